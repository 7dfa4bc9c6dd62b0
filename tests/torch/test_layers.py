from __future__ import annotations

import copy
import inspect
from typing import Any

import pytest

from tests.conftest import need_module

need_module("torch")

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim.swa_utils import update_bn

from bnncompiler import torch as binary
from bnncompiler.torch.layers import CLAMPED, SETTLED

KINDS = ("Linear", "Conv1d", "Conv2d")
# The layer, its arguments, and the shape of an input.
USES: list[tuple[str, dict[str, Any], tuple[int, ...]]] = [
    ("Linear", {"in_features": 6, "out_features": 4}, (5, 6)),
    ("Linear", {"in_features": 6, "out_features": 4, "bias": False}, (5, 3, 6)),
    ("Linear", {"in_features": 6, "out_features": 4}, (2, 3, 5, 6)),
    ("Conv1d", {"in_channels": 4, "out_channels": 6, "kernel_size": 3}, (5, 4, 9)),
    ("Conv1d", {"in_channels": 4, "out_channels": 6, "kernel_size": 4, "padding": "same", "dilation": 2}, (5, 4, 9)),
    ("Conv1d", {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "stride": 2, "padding": 1}, (4, 9)),
    ("Conv2d", {"in_channels": 4, "out_channels": 6, "kernel_size": (3, 2), "stride": (2, 1)}, (5, 4, 9, 8)),
    ("Conv2d", {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "padding": (2, 1), "groups": 2}, (5, 4, 9, 8)),
    ("Conv2d", {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "padding": 1, "bias": False}, (4, 9, 8)),
    *(
        (
            "Conv2d",
            {"in_channels": 4, "out_channels": 6, "kernel_size": 3, "padding": 1, "padding_mode": m},
            (2, 4, 6, 7),
        )
        for m in ("reflect", "replicate", "circular")
    ),
]


def both(kind: str, arguments: dict[str, Any], **own: Any) -> tuple[Any, Any]:
    """A float layer and a binary one."""
    return getattr(nn, kind)(**arguments), getattr(binary, kind)(**arguments, **own)


def signs(x: Tensor) -> Tensor:
    """By definition."""
    return torch.where(x >= 0, 1.0, -1.0)


@pytest.mark.parametrize("kind", KINDS)
def test_arguments_are_those_of_torch_and_more_by_keyword(kind: str) -> None:
    theirs = list(inspect.signature(getattr(nn, kind)).parameters.values())
    ours = list(inspect.signature(getattr(binary, kind)).parameters.values())
    assert [(p.name, p.default) for p in ours[: len(theirs)]] == [(p.name, p.default) for p in theirs]
    assert all(p.kind is p.KEYWORD_ONLY for p in ours[len(theirs) :])


@pytest.mark.parametrize(("kind", "arguments", "shape"), USES)
def test_shapes_are_those_of_torch(kind: str, arguments: dict[str, Any], shape: tuple[int, ...]) -> None:
    layer, own = both(kind, arguments)
    x = torch.randn(shape)
    assert own(x).shape == layer(x).shape
    assert own.eval()(x).shape == layer(x).shape
    assert isinstance(own, type(layer))


@pytest.mark.parametrize("output", ["batch_norm", "scale", "sum"])
@pytest.mark.parametrize(("kind", "arguments", "shape"), USES)
def test_state_of_a_float_layer_loads(
    kind: str, arguments: dict[str, Any], shape: tuple[int, ...], output: str
) -> None:
    layer, own = both(kind, arguments, output=output)
    own.load_state_dict(layer.state_dict())
    assert all(torch.equal(own.state_dict()[k], v) for k, v in layer.state_dict().items())
    again = both(kind, arguments, output=output)[1]
    own(torch.randn(shape))
    again.load_state_dict(own.state_dict())
    x = torch.randn(shape)
    assert torch.equal(again.eval()(x), own.eval()(x))
    assert torch.equal(copy.deepcopy(own)(x), own(x))
    with pytest.raises(RuntimeError, match="Missing key"):
        again.load_state_dict({k: v for k, v in own.state_dict().items() if k != "weight"})


def test_linear_computes_what_it_says() -> None:
    layer = binary.Linear(30, 5, output="scale").eval()
    assert layer.threshold is not None and layer.scale is not None
    with torch.no_grad():
        layer.threshold.normal_()
        layer.scale.uniform_(0.5, 2)
    x = torch.randn(8, 30)
    expected = signs(x - layer.threshold) @ signs(layer.weight).T * layer.scale + layer.bias
    assert torch.equal(layer(x), expected)


@pytest.mark.parametrize("value", [-1.0, 0.0, 1.0])
def test_convolution_pads_the_signs(value: float) -> None:
    layer = binary.Conv2d(3, 5, 3, padding=2, output="sum", bias=False, threshold=False, padding_value=value)
    x = torch.randn(2, 3, 6, 7)
    expected = F.conv2d(F.pad(signs(x), (2, 2, 2, 2), value=value), signs(layer.weight))
    assert torch.equal(layer(x), expected)


def test_pixels_are_padded_with_zero_and_used_as_they_are() -> None:
    layer = binary.Conv2d(1, 5, 3, padding=1, output="sum", bias=False, binarize_input=False)
    x = torch.rand(2, 1, 6, 7)
    assert torch.equal(layer(x), F.conv2d(x, signs(layer.weight), padding=1))
    assert layer.threshold is None


def test_normalisation_is_batch_normalisation() -> None:
    layer, norm = binary.Linear(40, 6), nn.BatchNorm1d(6)
    with torch.no_grad():
        norm.bias.copy_(layer.bias)
    for training in (True, True, True, False):
        x = torch.randn(16, 40)
        y = layer.train(training)(x)
        assert layer.threshold is not None
        sums = signs(x - layer.threshold) @ signs(layer.weight).T
        torch.testing.assert_close(y, norm.train(training)(sums))


def test_gradients_reach_the_weights_unchanged() -> None:
    layer = binary.Linear(30, 5, output="sum", threshold=False)
    x = torch.randn(8, 30)
    given = torch.randn(8, 5)
    layer(x).backward(given)
    assert layer.weight.grad is not None
    torch.testing.assert_close(layer.weight.grad, given.T @ signs(x))
    assert layer.bias.grad is not None
    torch.testing.assert_close(layer.bias.grad, given.sum(0))


def test_weights_stay_within_reach_of_their_threshold() -> None:
    layer = binary.Linear(4, 3)
    with torch.no_grad():
        layer.weight.fill_(5)
    layer.eval()(torch.randn(2, 4))
    assert layer.weight.max() == 5, "evaluation changes nothing"
    layer.train()(torch.randn(2, 4))
    assert layer.weight.max() == 1
    with torch.no_grad():
        layer.weight.fill_(5)
    for _ in range(CLAMPED):
        layer(torch.randn(2, 4))
    assert layer.weight.max() == 1


def test_thresholds_of_data_are_the_mean_of_all_batches() -> None:
    layer = binary.Linear(4, 3)
    batches = [torch.rand(10, 4) + 3 for _ in range(5)]
    for x in batches:
        layer(x).sum().backward()
    assert layer.threshold is not None and layer.threshold.grad is None
    torch.testing.assert_close(layer.threshold.detach(), torch.cat(batches).mean(0))


def test_thresholds_of_a_loaded_state_settle_from_where_it_is() -> None:
    fresh, layer, other = binary.Linear(4, 3), binary.Linear(4, 3), binary.Linear(4, 3)
    state = {name: value.clone() for name, value in fresh.state_dict().items()}
    for _ in range(SETTLED + 1):
        layer(torch.rand(10, 4) + 3)
    other.load_state_dict(layer.state_dict())
    assert other.threshold is not None and layer.threshold is not None
    other(torch.rand(10, 4) + 7)
    assert torch.equal(other.threshold, layer.threshold), "it has settled"
    layer.load_state_dict(state)
    x = torch.rand(10, 4) + 7
    layer(x)
    torch.testing.assert_close(layer.threshold.detach(), x.mean(0))


def test_hidden_thresholds_start_at_the_mean_and_are_learned() -> None:
    layer = binary.Conv2d(4, 3, 3)
    x = (torch.rand(10, 4, 5, 5) + 3).requires_grad_()
    layer(x).square().sum().backward()
    assert layer.threshold is not None and layer.threshold.grad is not None
    assert layer.threshold.shape == (4, 1, 1)
    torch.testing.assert_close(layer.threshold.detach().flatten(), x.detach().mean((0, 2, 3)))
    before = layer.threshold.detach().clone()
    layer(x + 1)
    assert torch.equal(layer.threshold, before)


def test_thresholds_change_in_training_only() -> None:
    layer = binary.Linear(4, 3)
    layer.eval()(torch.rand(10, 4) + 3)
    with torch.no_grad():
        layer.train()(torch.rand(10, 4) + 3)
    assert layer.threshold is not None and not layer.threshold.any()


def test_update_bn_recalibrates() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(binary.Linear(20, 8), nn.PReLU(), binary.Linear(8, 3))
    net(torch.randn(64, 20)).sum().backward()
    data = [torch.randn(64, 20) for _ in range(4)]
    update_bn(data, net)
    first = net[0]
    assert isinstance(first, binary.Linear) and first.norm is not None and first.threshold is not None
    sums = torch.stack([signs(x - first.threshold) @ signs(first.weight).T for x in data])
    torch.testing.assert_close(first.norm.running_mean, sums.mean((0, 1)))
    torch.testing.assert_close(first.norm.running_var, sums.var(1).mean(0))


def test_an_unknown_output_is_refused() -> None:
    with pytest.raises(ValueError, match="no output is called 'softmax'; there are batch_norm, scale, sum"):
        binary.Linear(2, 2, output="softmax")  # type: ignore[arg-type]


def test_a_layer_says_what_it_is() -> None:
    assert "in_features=6, out_features=4, bias=True, output=batch_norm" in repr(binary.Linear(6, 4))
    shown = repr(binary.Conv2d(1, 4, 3, padding=1, binarize_input=False, estimator="approx_sign"))
    assert "binarize_input=False, estimator=approx_sign" in shown and "padding_value=0" in shown
