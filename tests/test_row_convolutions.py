"""Convolutions that are computed a row at a time: the target's compiler, with the instructions it may use, agrees."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bnncompiler
from bnncompiler.compiler import Compilation
from tests.networks import Builder, cnn

INT8: dict[str, Any] = {"input": "int8"}
NETWORKS: dict[str, dict[str, Any]] = {
    "zero padding": {"channels": [3, 32, 70, 33], "size": (7, 6)},
    "padding by +1": {"channels": [3, 64, 64], "pad_value": 1.0},
    "padding by -1": {"channels": [4, 40, 65], "pad_value": -1.0},
    "stride": {"channels": [3, 64, 32], "size": (11, 9), "stride": 2},
    "one column": {"channels": [3, 32, 40], "size": (9, 1), "kernel": 3},
    "pool before sign": {"channels": [3, 64, 48], "pool": "before_sign"},
    "pool after sign": {"channels": [3, 64, 48], "size": (9, 8), "pool": "after_sign"},
    "sums": {"channels": [3, 32, 64], "head": "mean", "batch_norm": False},
}


def compiled(name: str, **options: Any) -> Compilation:
    return bnncompiler.compile(cnn(**NETWORKS[name]), name="net", **INT8, **options)


def kernels(compilation: Compilation) -> set[str]:
    return {k for c in compilation.program.calls for k in c.kernels()}


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_agree_with_the_model(name: str) -> None:
    compilation = compiled(name, target="native")
    assert kernels(compilation) & {"bnn_convolve_nibbles", "bnn_sum_nibbles"}
    verification = bnncompiler.verify(compilation)
    assert verification.passed and verification.bits_differing == 0


def test_rows_take_more_flash() -> None:
    """Weights that are looked up have a byte where others have half of one."""
    small = compiled("padding by +1", optimize="size")
    assert not any("nibbles" in k for k in kernels(small))
    assert small.program.flash_bytes < compiled("padding by +1").program.flash_bytes


@pytest.mark.parametrize("stride", [1, 2])
def test_rows_of_a_real_first_layer_whose_padding_is_no_pixel(stride: int) -> None:
    """Zeros around pixels from -1 to 1 would be pixels of 127.5: what they add depends on where they are."""
    rng, b = np.random.default_rng(stride), Builder()
    x = b.input("x", [1, 3, 9, 8])
    weight = rng.normal(size=(21, 3, 3, 3)).astype(np.float32)
    bias = rng.normal(size=21).astype(np.float32)
    sums = b("Conv", x, weight, bias, pads=[1, 1, 1, 1], strides=[stride, stride])
    bits = b("Flatten", b("Where", b("GreaterOrEqual", sums, np.float32(0)), np.float32(1), np.float32(-1)))
    pixels = 72 if stride == 1 else 20
    model = b.model(b("MatMul", bits, np.where(rng.random((21 * pixels, 5)) < 0.5, 1, -1).astype(np.float32)))
    compilation = bnncompiler.compile(model, name="net", input="uint8", scale="1/127.5", offset=-1)
    assert {"bnn_dense_limbs", "bnn_add_border"} <= kernels(compilation)
    verification = bnncompiler.verify(compilation)
    assert verification.passed and verification.bits_differing == 0
