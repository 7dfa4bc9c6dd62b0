"""Channels that training switched off: rows of zeros do not make a binary layer ternary, and stay exact."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto

import bnncompiler
from tests.networks import Builder


def network(activation: str) -> ModelProto:
    """A binary convolution with a scale a channel, of which one is 0, and what reads it."""
    rng = np.random.default_rng(0)
    b = Builder()
    x = b("Sign", b("Sub", b.input("x", ["N", 3, 6, 6]), np.float32(0.3)))
    weight = rng.choice([-0.3, 0.3], (8, 3, 3, 3)).astype(np.float32)
    weight[2] = 0
    h = b("Conv", x, weight, rng.normal(size=8).astype(np.float32), pads=[1, 1, 1, 1])
    inputs = 288
    if activation == "MaxPool":
        h, activation, inputs = b("MaxPool", h, kernel_shape=[2, 2], strides=[2, 2]), "Sign", 72
    y = b("Flatten", b(activation, h))
    return b.model(b("MatMul", y, rng.choice([-1.0, 1.0], (inputs, 4)).astype(np.float32)))


@pytest.mark.parametrize("activation", ["Sign", "Relu", "Sigmoid", "Identity", "MaxPool"])
def test_the_layer_stays_binary_and_verifies(activation: str) -> None:
    compilation = bnncompiler.compile(network(activation), name="net")
    kernels = {k for c in compilation.program.calls for k in c.kernels()}
    assert "bnn_dense_tiled" in kernels
    assert not (activation == "MaxPool" and "bnn_requantize" in kernels)
    bnncompiler.verify(compilation, samples=64).raise_if_failed()
