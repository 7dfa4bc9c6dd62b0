"""Onnxruntime as the reference: end to end, and layer by layer from given values."""

from __future__ import annotations

import numpy as np
import onnxruntime
import pytest
from onnx import ModelProto

from bnncompiler import frontend
from bnncompiler.ir import Array
from bnncompiler.reference import Reference, in_onnx_order
from tests.networks import Builder

RNG = np.random.default_rng(5)
W1, W2 = (RNG.choice([-1.0, 1.0], s).astype(np.float32) for s in ((12, 6), (6, 4)))
X = RNG.normal(size=(5, 12)).astype(np.float32)


def mlp(batch: int | str = "N", *, softmax: bool = False, dtype: type = np.float32) -> ModelProto:
    """Inputs [batch, 3, 4]: a sign, a layer, a sign, a layer."""
    b = Builder()
    x = b("Flatten", b.input("x", [batch, 3, 4], dtype), axis=1)
    s1 = b("Sign", x, name="s1")
    s2 = b("Sign", b("MatMul", s1, W1.astype(dtype)), name="s2")
    y = b("MatMul", s2, W2.astype(dtype), name="y")
    return b.model(b("Softmax", y, name="p") if softmax else y)


def by_hand(s1: Array, s2: Array) -> tuple[Array, Array]:
    return np.sign(s1 @ W1), s2 @ W2


@pytest.mark.parametrize("batch", ["N", 1, 2])
def test_end_to_end_is_the_model(batch: int | str) -> None:
    imported = frontend.load(mlp(batch), "m")
    (ours,) = Reference(imported).end_to_end({"x": X.reshape(5, 3, 4)})
    np.testing.assert_array_equal(ours, np.sign(np.sign(X) @ W1) @ W2)
    session = onnxruntime.InferenceSession(mlp().SerializeToString(), providers=["CPUExecutionProvider"])
    np.testing.assert_array_equal(ours, session.run(None, {"x": X.reshape(5, 3, 4)})[0])


def test_more_samples_than_a_batch() -> None:
    many = RNG.normal(size=(600, 3, 4)).astype(np.float32)
    (ours,) = Reference(frontend.load(mlp(), "m")).end_to_end({"x": many})
    np.testing.assert_array_equal(ours, np.sign(np.sign(many.reshape(600, 12)) @ W1) @ W2)


def test_a_dropped_softmax_is_not_compared() -> None:
    (ours,) = Reference(frontend.load(mlp(softmax=True), "m")).end_to_end({"x": X.reshape(5, 3, 4)})
    np.testing.assert_array_equal(ours, np.sign(np.sign(X) @ W1) @ W2)


@pytest.mark.parametrize("batch", ["N", 2])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_each_layer_from_given_values(batch: int | str, dtype: type) -> None:
    """What is forced need not be what the layers before it compute."""
    imported = frontend.load(mlp(batch, dtype=dtype), "m")
    s1, s2 = (RNG.choice([-1.0, 0.0, 1.0], (5, n)) for n in (12, 6))
    outputs, computed = Reference(imported, ("s1", "s2")).forced({"x": X.reshape(5, 3, 4)}, {"s1": s1, "s2": s2})
    np.testing.assert_array_equal(computed["s1"], np.sign(X))
    np.testing.assert_array_equal(computed["s2"], by_hand(s1, s2)[0])
    np.testing.assert_array_equal(outputs[0], by_hand(s1, s2)[1])
    assert computed["s2"].dtype == dtype


def test_an_output_may_be_a_cut_itself() -> None:
    b = Builder()
    s = b("Sign", b.input("x", ["N", 12]), name="s")
    imported = frontend.load(b.model(s, b("MatMul", s, W1, name="y")), "m")
    forced = np.ones((5, 12))
    (first, second), computed = Reference(imported, ("s",)).forced({"x": X}, {"s": forced})
    np.testing.assert_array_equal(first, np.sign(X))
    np.testing.assert_array_equal(computed["s"], np.sign(X))
    np.testing.assert_array_equal(second, forced @ W1)


def test_the_model_is_left_as_it_was() -> None:
    imported = frontend.load(mlp(), "m")
    before = imported.model.SerializeToString()
    Reference(imported, ("s1", "s2")).forced({"x": X.reshape(5, 3, 4)}, {"s1": np.sign(X), "s2": np.ones((5, 6))})
    assert imported.model.SerializeToString() == before


def test_values_are_put_into_onnx_order() -> None:
    b = Builder()
    x = b.input("x", ["N", 3, 4])
    flat = b("Flatten", b("Transpose", x, perm=[0, 2, 1], name="t"), axis=1)
    imported = frontend.load(b.model(b("MatMul", b("Sign", flat), W1)), "m")
    values = RNG.normal(size=(2, *imported.views["t"].base.type.shape))
    real = in_onnx_order(imported, "x", values).reshape(2, 3, 4)
    np.testing.assert_array_equal(in_onnx_order(imported, "t", values), real.transpose(0, 2, 1).reshape(2, 12))
