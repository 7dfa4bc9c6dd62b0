"""Networks as AVX-512 computes them, in Bochs: equal to onnxruntime, and in how many instructions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

import bnncompiler
from bnncompiler.machines.bochs import Bochs
from bnncompiler.verification import verify
from tests.conftest import need_bochs
from tests.corpus import ROOT, SELECTION, Exported
from tests.machines.checks import signs
from tests.networks import Builder

TARGET = "x86-64-v4"
EXAMPLE = ROOT / "examples/mnist_mlp"
PIXELS: dict[str, Any] = {"input": "uint8", "scale": "1/255", "mean": "0.1307", "std": "0.3081"}
RNG = np.random.default_rng(7)


@pytest.fixture(autouse=True, scope="module")
def tools() -> None:
    need_bochs()


@pytest.fixture(autouse=True)
def in_bochs(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where this machine has AVX-512."""
    monkeypatch.setattr("bnncompiler.machines.bochs.has_avx512", lambda: False)


def test_the_example_agrees_with_onnxruntime() -> None:
    compilation = bnncompiler.compile(EXAMPLE / "mnist_mlp.onnx", target=TARGET, **PIXELS)
    result = verify(compilation, EXAMPLE / "test_images.npz")
    result.raise_if_failed()
    assert result.bits_differing == 0 and result.accuracy == result.accuracy_reference == pytest.approx(0.964)
    assert result.samples > 1000 and result.ran_on == Bochs().name
    assert result.measured is not None and result.measured.unit == "instructions"


def test_a_convolutional_network_agrees_with_onnxruntime(tmp_path: Path) -> None:
    model = Exported("cnn_larq_mnist", SELECTION / "trained" / "cnn_larq_mnist")
    compilation = bnncompiler.compile(model.unpack(tmp_path), target=TARGET, calibrate=model.samples)
    result = verify(compilation, model.samples)
    result.raise_if_failed()
    assert result.bits_differing == 0 and result.ran_on == Bochs().name


def dense(n: int, outs: int) -> ModelProto:
    b = Builder()
    h = b("Sign", b("Add", b("MatMul", b.input("x", ["N", n]), signs(n, outs)), np.float32(0.5)))
    return b.model(b("MatMul", h, signs(outs, 1)))


def convolution(channels: int, size: int) -> ModelProto:
    """3x3, padded with zeros."""
    b = Builder()
    x = b.input("x", ["N", channels, size, size])
    h = b("Sign", b("Add", b("Conv", x, signs(channels, channels, 3, 3), pads=[1] * 4), np.float32(0.5)))
    return b.model(b("MatMul", b("Flatten", h), signs(channels * size * size, 1)))


def macs_per_instruction(model: ModelProto) -> float:
    """Of the layer with the most multiplications, where one input in two is 1."""
    compilation = bnncompiler.compile(model, name="net", target=TARGET, input="bits")
    program = compilation.program
    shape = program.inputs[0].type.shape
    q = np.stack([RNG.permutation(np.resize([-1, 1], shape).reshape(-1)) for _ in range(3)]).reshape(3, *shape)
    with Bochs().build(program, compilation.files) as built:
        instructions = built.profile({"x": q})
    macs = [call.macs for call in program.calls]
    return max(macs) / instructions[int(np.argmax(macs))]


@pytest.mark.parametrize(
    "make, size, least",
    [
        pytest.param(dense, (784, 120), 25, id="dense 784 to 120"),
        pytest.param(dense, (1024, 1024), 120, id="dense 1024 to 1024"),
        pytest.param(convolution, (64, 16), 90, id="3x3, 16 pixels, 64 channels"),
        pytest.param(convolution, (256, 8), 90, id="3x3, 8 pixels, 256 channels"),
        pytest.param(convolution, (128, 16), 100, id="3x3, 16 pixels, 128 channels"),
        pytest.param(convolution, (64, 56), 140, id="3x3, 56 pixels, 64 channels"),
    ],
)
def test_multiplications_an_instruction(make: Callable[..., ModelProto], size: tuple[int, int], least: int) -> None:
    assert macs_per_instruction(make(*size)) > least
