from __future__ import annotations

import pytest

from tests.conftest import need_module

need_module("torch")

import torch
from torch import Tensor

from bnncompiler import torch as binary
from bnncompiler.torch.product import composed, linear
from bnncompiler.torch.sign import ESTIMATORS, Derivative


def operands(*, learned: bool = True, data: bool = False) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs, weights and thresholds, of which some are 0 and some equal."""
    torch.manual_seed(0)
    x, weight, threshold = torch.randn(7, 12), torch.randn(5, 12) / 2, torch.randn(12) / 4
    x[0], weight[1], x[2], threshold[3] = threshold, 0, 0, 0
    return x.requires_grad_(not data), weight.requires_grad_(), threshold.requires_grad_(learned)


@pytest.mark.parametrize("derivative", [None, *ESTIMATORS.values()])
@pytest.mark.parametrize("learned", [True, False])
@pytest.mark.parametrize("data", [True, False])
@pytest.mark.parametrize("with_threshold", [True, False])
def test_one_function_and_three_are_the_same(
    derivative: Derivative | None, learned: bool, data: bool, with_threshold: bool
) -> None:
    found = []
    for product in (linear, composed):
        x, weight, threshold = operands(learned=learned, data=data)
        y = product(x, weight, threshold if with_threshold else None, derivative)
        torch.autograd.backward((y * torch.arange(35.0).view(7, 5)).sum())
        found.append((y, x.grad, weight.grad, threshold.grad))
    for one, other in zip(*found, strict=True):
        assert (one is None) == (other is None)
        if one is not None and other is not None:
            torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-5)
    assert torch.equal(found[0][0], found[1][0])  # sums of signs are integers: no rounding


def test_a_frozen_weight_gets_no_gradient() -> None:
    layer = binary.Linear(12, 5)
    layer.weight.requires_grad_(False)
    x = torch.randn(7, 12, requires_grad=True)
    layer(x).square().sum().backward()
    assert layer.weight.grad is None
    assert x.grad is not None and layer.threshold is not None and layer.threshold.grad is not None


def test_trains_under_autocast() -> None:
    torch.manual_seed(0)
    first, second = binary.Linear(12, 8, output="sum", bias=False), binary.Linear(8, 3)
    x = torch.randn(16, 12)
    with torch.autocast("cpu", torch.bfloat16):
        sums = first(x)
        second(sums).square().mean().backward()
    assert all(p.grad is not None for p in (first.weight, *second.parameters()))
    assert first.threshold is not None
    signs = [torch.where(t >= 0, 1.0, -1.0) for t in (x - first.threshold, first.weight)]
    assert torch.equal(sums.float(), signs[0] @ signs[1].T)
