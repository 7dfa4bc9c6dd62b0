"""What PyTorch exports compiles to bits, and the C computes it: every layer type, both exporters."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests import networks
from tests.conftest import need_module

need_module("torch")
need_module("onnxscript")

import torch
from torch import nn

import bnncompiler
from bnncompiler import torch as binary
from bnncompiler.errors import ModelError, UsageError
from bnncompiler.torch.export import Exporter

EXPORTERS: tuple[Exporter, ...] = ("dynamo", "torchscript")


def dense() -> nn.Module:
    return nn.Sequential(
        *(binary.Linear(20, 33), nn.PReLU(33)),
        *(binary.Linear(33, 21, bias=False, output="sum", estimator="swish_sign"), binary.RPReLU(21)),
        *(binary.Linear(21, 18, output="scale"), nn.BatchNorm1d(18), nn.Hardtanh()),
        binary.Linear(18, 7, threshold=False),
    )


def first_layer_of_pixels() -> nn.Module:
    return nn.Sequential(
        *(binary.Linear(20, 33, binarize_input=False), nn.ReLU()),
        *(binary.Sign(33), binary.Linear(33, 7, binarize_input=False, output="scale")),
    )


def first_layer_of_thermometers() -> nn.Module:
    return nn.Sequential(binary.Thermometer(3), binary.Linear(60, 17, binarize_input=False), binary.Linear(17, 7))


def images() -> nn.Module:
    return nn.Sequential(
        *(binary.Conv2d(2, 8, 3, padding=1, binarize_input=False), binary.RPReLU(8)),
        *(binary.Conv2d(8, 12, 3, padding=1), nn.MaxPool2d(2)),
        *(binary.Conv2d(12, 8, 3, padding="same", padding_value=0, groups=2, bias=False), nn.PReLU(8)),
        *(binary.Conv2d(8, 8, 2, stride=2, padding_value=1, padding=1), nn.Flatten(), binary.Linear(72, 7)),
    )


def series() -> nn.Module:
    return nn.Sequential(
        *(binary.Thermometer(2), binary.Conv1d(6, 8, 5, padding=2, binarize_input=False, padding_value=-1)),
        *(binary.Conv1d(8, 9, 3, stride=2, padding=1, padding_mode="circular"), nn.Flatten(), binary.Linear(72, 7)),
    )


NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "dense": (dense, (20,)),
    "pixels": (first_layer_of_pixels, (20,)),
    "thermometers": (first_layer_of_thermometers, (20,)),
    "images": (images, (2, 8, 8)),
    "series": (series, (3, 16)),
}


def trained(name: str) -> tuple[nn.Module, tuple[int, ...]]:
    """A network of ``NETWORKS`` after some steps that move thresholds, statistics, slopes and scales; and its shape."""
    torch.manual_seed(0)
    make, shape = NETWORKS[name]
    network = make()
    optimizer = torch.optim.SGD(network.parameters(), 0.05)
    for _ in range(5):
        optimizer.zero_grad()
        logits = network(pixels(32, shape) / 255)
        nn.functional.cross_entropy(logits, torch.randint(0, 7, (32,))).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return network, shape


def pixels(count: int, shape: tuple[int, ...]) -> torch.Tensor:
    return torch.randint(0, 256, (count, *shape))


@pytest.mark.usefixtures("cc")
@pytest.mark.parametrize("exporter", EXPORTERS)
@pytest.mark.parametrize("name", NETWORKS)
def test_c_computes_what_torch_does(name: str, exporter: Exporter) -> None:
    network, shape = trained(name)
    model = binary.export(network, pixels(1, shape) / 255, input="uint8", scale="1/255", exporter=exporter)
    compilation = bnncompiler.compile(model)
    q = pixels(50, shape)
    inputs = {"input": q.numpy().astype(np.uint8)}
    verification = bnncompiler.verify(compilation, inputs)
    verification.raise_if_failed()
    assert verification.bits_compared > 0 and verification.undecided_points == 0
    with torch.no_grad():
        logits = network.eval()((q / 255).float()).numpy()
    (ours,) = networks.run(model, {"input": (q / 255).numpy().astype(np.float32)}).values()
    np.testing.assert_allclose(ours, logits, atol=2e-6)


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_signs_and_sums_are_written_so_that_all_is_exact(exporter: Exporter) -> None:
    """No BatchNormalization that could be multiplied into the weights, no sign of three values."""
    network, shape = trained("images")
    model = binary.export(network, pixels(1, shape) / 255, exporter=exporter)
    written = {node.op_type for node in model.graph.node}
    assert {"GreaterOrEqual", "Where", "Conv", "PRelu"} <= written | {"LessOrEqual"}
    assert written.isdisjoint({"BatchNormalization", "Sign"})
    compilation = bnncompiler.compile(model)
    assert compilation.undecided == 0, "every accumulator is a sum of integers"


def test_the_input_grid_goes_into_the_file(tmp_path: Path) -> None:
    network = binary.Linear(4, 3)
    file = tmp_path / "model.onnx"
    model = binary.export(network, torch.rand(1, 4), file, scale="1/255", mean=0.5, std=[0.1, 0.2, 0.3, 0.4])
    (found,) = onnx.load(file).metadata_props
    assert found.key == "bnncompiler.input.input"
    assert json.loads(found.value) == {"scale": "1/255", "mean": 0.5, "std": [0.1, 0.2, 0.3, 0.4]}
    (one,) = bnncompiler.compile(model).grids
    assert one.source == "metadata of the model" and one.ctype == "uint8"
    np.testing.assert_allclose(one.domain.scale, 1 / 255 / np.array([0.1, 0.2, 0.3, 0.4]))


def test_compile_is_one_call() -> None:
    network = nn.Sequential(binary.Linear(4, 3), binary.Linear(3, 2))
    compilation = binary.compile(network, torch.rand(1, 4), input="uint8", scale="1/255", name="tiny", target="32")
    assert compilation.files.keys() == {"tiny.h", "tiny.c"}
    assert compilation.target.name == "32"
    assert "tiny_classify" in compilation.files["tiny.h"]


def test_integer_inputs_are_what_the_network_takes() -> None:
    class Normalised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = binary.Linear(4, 3)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.layer(x.float() / 255)  # type: ignore[no-any-return]

    (one,) = binary.compile(Normalised(), torch.zeros(1, 4, dtype=torch.uint8)).grids
    assert one.source == "graph: the input is uint8"


def test_several_inputs_have_their_names() -> None:
    class Two(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = binary.Linear(6, 3)

        def forward(self, image: torch.Tensor, state: torch.Tensor) -> torch.Tensor:
            return self.layer(torch.cat([image, state], 1))  # type: ignore[no-any-return]

    model = binary.export(Two(), (torch.rand(1, 4), torch.rand(1, 2)), scale="1/255", exporter="torchscript")
    assert [i.name for i in model.graph.input] == ["image", "state"]
    assert {p.key for p in model.metadata_props} == {"bnncompiler.input.image", "bnncompiler.input.state"}


def test_modes_are_as_before() -> None:
    network = nn.Sequential(binary.Linear(4, 3), nn.Dropout(), binary.Linear(3, 2))
    network[0].eval()
    binary.export(network, torch.rand(1, 4), exporter="torchscript")
    assert [m.training for m in network] == [False, True, True]


def test_errors_say_what_to_do() -> None:
    class Growing(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if float(x.sum()) > 0 else torch.linalg.svd(x)[0]

    with pytest.raises(ModelError, match=r"PyTorch cannot export the model: .*; try the other exporter"):
        binary.export(Growing(), -torch.ones(2, 4), exporter="torchscript")
    with pytest.raises(UsageError, match="there is no exporter 'tf'; there are dynamo, torchscript"):
        binary.export(nn.ReLU(), torch.rand(1, 4), exporter="tf")  # type: ignore[arg-type]


@pytest.mark.parametrize("exporter", EXPORTERS)
def test_exporters_are_quiet(
    exporter: Exporter, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    binary.export(binary.Linear(4, 3), torch.rand(1, 4), exporter=exporter)
    said = capfd.readouterr()
    assert (said.out, said.err, [str(w.message) for w in recwarn]) == ("", "", [])
