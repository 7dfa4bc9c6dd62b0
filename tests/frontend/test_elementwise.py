"""Elementwise operators: one form for all opsets, dtypes as onnxruntime has them, constants as rows of the base."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import TensorProto

from bnncompiler.elementwise import OPERATORS
from bnncompiler.errors import UnsupportedModel
from bnncompiler.frontend import Imported, load
from bnncompiler.frontend.elementwise import constant_rows
from bnncompiler.ir import Array
from bnncompiler.ops import Constant, Elementwise
from tests.frontend.agreement import check
from tests.networks import Builder, Operand

X = np.linspace(-3, 3, 4 * 6, dtype=np.float32).reshape(4, 6)


def last(imported: Imported) -> Elementwise:
    node = imported.graph.outputs[0]
    assert isinstance(node, Elementwise)
    return node


def constants(imported: Imported) -> list[Array]:
    return [i.value for i in last(imported).inputs if isinstance(i, Constant)]


def unary(op: str, opset: int = 20, x: Array = X, **attrs: Any) -> Imported:
    b = Builder(opset)
    b(op, b.input("x", ["N", *x.shape[1:]], x.dtype), name="y", **attrs)
    return check(b.model("y"), {"x": x})


POSITIVE = {"Log", "Sqrt", "Reciprocal"}
BOOLEAN = {"Not"}
UNARY = sorted({
    "Abs", "Celu", "Ceil", "Elu", "Erf", "Exp", "Floor", "Gelu", "HardSigmoid", "HardSwish", "LeakyRelu", "Log", "Mish",
    "Neg", "Not", "Reciprocal", "Relu", "Round", "Selu", "Sigmoid", "Sign", "Softplus", "Softsign", "Sqrt", "Tanh",
    "ThresholdedRelu",
})  # fmt: skip


@pytest.mark.parametrize("op", UNARY)
def test_unary_operators(op: str) -> None:
    imported = unary(op, x=X > 0 if op in BOOLEAN else np.abs(X) + 0.1 if op in POSITIVE else X)
    assert last(imported).operator == op


@pytest.mark.parametrize("op", ["Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Mod"])
def test_arithmetic_with_constants_by_channel(op: str) -> None:
    b = Builder(20)
    c = np.linspace(1, 2, 6, dtype=np.float32)
    attrs: dict[str, Any] = {"fmod": 1} if op == "Mod" else {}
    b(op, b.input("x", ["N", 6]), c, name="y", **attrs)
    imported = check(b.model("y"), {"x": np.abs(X) + 0.1})
    np.testing.assert_array_equal(constants(imported)[0], c)


@pytest.mark.parametrize("op", ["Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"])
def test_comparisons_are_boolean(op: str) -> None:
    b = Builder()
    compared = b(op, b.constant(np.float32(X[1, 2])), b.input("x", ["N", 6]))
    b("Cast", b("Xor", b("Not", compared), compared), name="y", to=TensorProto.FLOAT)
    imported = check(b.model("y"), {"x": X})
    assert imported.views[compared].base.type.dtype == "bool"


@pytest.mark.parametrize("op", ["Sum", "Mean", "Max", "Min"])
@pytest.mark.parametrize("count", [1, 2, 4])
def test_variadic_operators(op: str, count: int) -> None:
    b = Builder()
    x = b.input("x", ["N", 6])
    operands: list[Operand] = [x, np.float32(0.5), b("Neg", x), np.ones(6, np.float32)]
    b(op, *operands[:count], name="y")
    check(b.model("y"), {"x": X})


def test_every_operator_has_a_test_or_is_tested_elsewhere() -> None:
    here = set(UNARY) | {"Add", "Sub", "Mul", "Div", "Max", "Min", "Pow", "Mod", "Equal", "Greater", "GreaterOrEqual"}
    here |= {"Less", "LessOrEqual", "Xor", "Sum", "Mean", "And", "Or", "Where", "Clip", "BatchNormalization", "PRelu"}
    here |= {"QuantizeLinear", "DequantizeLinear", "BitwiseAnd", "BitwiseOr", "BitwiseXor", "BitwiseNot"}
    assert set(OPERATORS) <= here


def test_bits() -> None:
    b = Builder(20)
    x = b.input("x", ["N", 6], np.uint8)
    y = b("BitwiseXor", b("BitwiseOr", b("BitwiseAnd", x, np.uint8(13)), np.uint8(64)), b("BitwiseNot", x))
    b("Cast", y, name="y", to=TensorProto.FLOAT)
    check(b.model("y"), {"x": np.arange(24, dtype=np.uint8).reshape(4, 6)})


def test_logic() -> None:
    b = Builder()
    x = b.input("x", ["N", 6])
    inside = b("And", b("Greater", x, np.float32(-1)), b("Less", x, np.float32(1)))
    b("Cast", b("Or", inside, b("Greater", x, np.float32(2))), name="y", to=TensorProto.FLOAT)
    check(b.model("y"), {"x": X})


def test_attributes_are_spelled_out() -> None:
    assert dict(last(unary("LeakyRelu")).attrs) == {"alpha": float(np.float32(0.01))}
    assert dict(last(unary("LeakyRelu", alpha=0.5)).attrs) == {"alpha": 0.5}
    assert dict(last(unary("HardSigmoid")).attrs) == {"alpha": float(np.float32(0.2)), "beta": 0.5}


LOWEST, HIGHEST = np.finfo(np.float32).min, np.finfo(np.float32).max


@pytest.mark.parametrize(
    ("opset", "bounds", "attrs", "expected"),
    [
        (7, (), {"min": -1.0, "max": 1.0}, (-1, 1)),
        (10, (), {"max": 1.0}, (LOWEST, 1)),
        (11, (np.float32(-1), np.float32(1)), {}, (-1, 1)),
        (13, (np.float32(-1),), {}, (-1, HIGHEST)),
        (17, ("", np.float32(1)), {}, (LOWEST, 1)),
        (17, (), {}, (LOWEST, HIGHEST)),
    ],
)
def test_clip_always_has_both_bounds(
    opset: int, bounds: tuple[Any, ...], attrs: dict[str, Any], expected: tuple[float, float]
) -> None:
    b = Builder(opset)
    b("Clip", b.input("x", ["N", 6]), *bounds, name="y", **attrs)
    assert [c.item() for c in constants(check(b.model("y"), {"x": X}))] == list(expected)


def test_clip_of_integers() -> None:
    b = Builder()
    q = b("QuantizeLinear", b.input("x", ["N", 6]), np.float32(0.5), np.int8(0))
    y = b("Clip", q, np.int8(-3), np.int8(3))
    b("DequantizeLinear", y, np.float32(0.5), np.int8(0), name="y")
    imported = check(b.model("y"), {"x": X})
    assert imported.views[y].base.type.dtype == "int8"


def test_cast_like_is_cast() -> None:
    b = Builder(20)
    x = b.input("x", ["N", 6], np.uint8)
    like = b("CastLike", x, b.constant(np.float32(0)))
    b("Add", like, b("CastLike", b.constant(np.int64(3)), like), name="y")
    imported = check(b.model("y"), {"x": np.arange(24, dtype=np.uint8).reshape(4, 6)})
    cast = imported.views[like].base
    assert isinstance(cast, Elementwise)
    assert (cast.operator, cast.attrs, cast.dtype) == ("Cast", (("to", TensorProto.FLOAT),), "float32")
    assert constants(imported)[0].dtype == np.float32


@pytest.mark.parametrize("opset", [7, 9, 14, 15])
def test_batch_normalization(opset: int) -> None:
    rng = np.random.default_rng(0)
    b = Builder(opset)
    parameters = [rng.uniform(0.5, 2, 3).astype(np.float32) for _ in range(4)]
    b("BatchNormalization", b.input("x", ["N", 3, 2, 2]), *parameters, name="y")
    imported = check(b.model("y"), {"x": rng.standard_normal((4, 3, 2, 2)).astype(np.float32)})
    assert last(imported).attrs == (("epsilon", float(np.float32(1e-5))),)
    np.testing.assert_array_equal(constants(imported)[0], np.repeat(parameters[0], 4))  # channels are not last here


def test_batch_normalization_in_training_mode_is_refused() -> None:
    b = Builder()
    parameters = [np.ones(3, np.float32)] * 4
    b.many("BatchNormalization", b.input("x", ["N", 3]), *parameters, outputs=["y", "mean", "var"], training_mode=1)
    with pytest.raises(UnsupportedModel, match="eval"):
        load(b.model("y"))


@pytest.mark.parametrize("slope", [(1,), (6,), (1, 6), (1, 1)])
def test_prelu(slope: tuple[int, ...]) -> None:
    b = Builder()
    b("PRelu", b.input("x", ["N", 6]), np.linspace(-1, 1, slope[-1], dtype=np.float32).reshape(slope), name="y")
    assert constants(check(b.model("y"), {"x": X}))[0].shape == slope[-1:]


@pytest.mark.parametrize("dtype", [np.int8, np.uint8])
@pytest.mark.parametrize("by_channel", [False, True])
def test_quantize_and_dequantize(dtype: type, by_channel: bool) -> None:
    b = Builder(19)
    scale = np.linspace(0.1, 0.4, 3, dtype=np.float32) if by_channel else np.float32(0.2)
    zero = np.array([1, 2, 3], dtype) if by_channel else dtype(2)
    q = b("QuantizeLinear", b.input("x", ["N", 3, 2]), scale, zero, axis=1)
    b("DequantizeLinear", q, scale, zero, name="y", axis=-2)
    imported = check(b.model("y"), {"x": X.reshape(4, 3, 2)})
    assert imported.views[q].base.type.dtype == np.dtype(dtype).name
    assert all(c.size == (6 if by_channel else 1) for c in constants(imported))


def test_quantize_without_a_zero_point() -> None:
    b = Builder(19)
    q = b("QuantizeLinear", b.input("x", ["N", 6]), np.float32(0.2))
    b("DequantizeLinear", q, np.float32(0.2), name="y")
    imported = check(b.model("y"), {"x": X})
    assert constants(imported)[1].dtype == np.uint8


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_float_types(dtype: type) -> None:
    b = Builder()
    y = b("Add", b("Mul", b.input("x", ["N", 6], dtype), b.constant(np.array(0.5, dtype))), np.arange(6, dtype=dtype))
    b("MatMul", b("Sign", y), np.ones((6, 2), dtype), name="y")
    imported = check(b.model("y"), {"x": X.astype(dtype)})
    assert imported.graph.outputs[0].type.dtype == np.dtype(dtype).name


def test_dropout_and_identity_vanish() -> None:
    b = Builder()
    x = b.many("Dropout", b.input("x", ["N", 6]), outputs=["kept", "mask"])[0]
    b("Sign", b("Identity", x), name="y")
    imported = check(b.model("y"), {"x": X})
    assert [n.op for n in imported.graph.nodes()] == ["input", "Sign"]
    assert imported.origins["y"] == ("node_0:Dropout", "node_1:Identity", "node_2:Sign")


def test_dropout_in_training_is_refused() -> None:
    b = Builder()
    b("Dropout", b.input("x", ["N", 6]), np.float32(0.5), b.constant(np.array(True)), name="y")
    with pytest.raises(UnsupportedModel, match="eval"):
        load(b.model("y"))


def test_a_residue_stays_as_it_is() -> None:
    b = Builder()
    x = b.input("x", ["N", 6])
    clipped = b("Clip", x, np.float32(-1), np.float32(1))
    b("Add", b("Sub", b("Sign", x), clipped), clipped, name="y")
    imported = check(b.model("y"), {"x": X})
    assert [n.op for n in imported.graph.nodes() if n.op != "constant"] == ["input", "Sign", "Clip", "Sub", "Add"]


@pytest.mark.parametrize("shape", [(6,), (1, 6), (1, 1, 6), ()])
def test_constants_of_any_rank(shape: tuple[int, ...]) -> None:
    b = Builder()
    c = np.arange(6, dtype=np.float32).reshape(shape) if shape else np.float32(2)
    y = b("Reshape", b("Add", b.input("x", ["N", 6]), c), np.array([-1, 6], np.int64))
    check(b.model(y), {"x": X})


Build = Callable[[Builder, str], str]


@pytest.mark.parametrize(
    ("build", "rows"),
    [
        (lambda b, x: b("Add", x, np.full((2, 3), 4, np.float32)), 1),
        (lambda b, x: b("Add", x, np.tile(np.arange(3, dtype=np.float32), (2, 1))), 3),
        (lambda b, x: b("Add", x, np.arange(6, dtype=np.float32).reshape(2, 3)), 6),
        (lambda b, x: b("Add", x, np.array([[0], [-0.0]], np.float32)), 6),  # a different zero is a different constant
        (lambda b, x: b("Add", b("Transpose", x, perm=[0, 2, 1]), np.arange(3, dtype=np.float32)[:, None]), 3),
        (lambda b, x: b("Add", b("Flatten", x), np.arange(6, dtype=np.float32)), 6),
    ],
)
def test_rows(build: Build, rows: int) -> None:
    b = Builder()
    y = b("Identity", build(b, b("Relu", b.input("x", ["N", 2, 3]))))
    b("MatMul", b("Flatten", y), np.ones((6, 1), np.float32), name="z")
    imported = check(b.model("z"), {"x": X.reshape(4, 2, 3)})
    base = imported.views[y].base
    assert isinstance(base, Elementwise)
    assert [len(i.value) for i in base.inputs if isinstance(i, Constant)] == [rows]


def test_constants_on_a_part_of_a_value() -> None:
    b = Builder()
    half = b("Slice", b.input("x", ["N", 6]), *(np.array([v], np.int64) for v in (3, 6, 1)))
    b("MatMul", b("Add", half, np.arange(1, 4, dtype=np.float32)), np.ones((3, 2), np.float32), name="y")
    check(b.model("y"), {"x": X})


def test_a_constant_that_differs_by_sample_is_refused() -> None:
    b = Builder()
    b("Add", b.input("x", [2, 3]), np.arange(6, dtype=np.float32).reshape(2, 3), name="y")
    with pytest.raises(UnsupportedModel, match="differs between samples"):
        load(b.model("y"))


def test_two_inputs() -> None:
    b = Builder()
    b("Sub", b.input("x", ["N", 6]), b.input("z", ["N", 6]), name="y")
    imported = check(b.model("y"), {"x": X, "z": X[::-1].copy()})
    assert [i.name for i in imported.graph.inputs] == ["x", "z"]


def test_unread_elements_take_any_constant() -> None:
    index = np.array([[1, 2], [5, 6]])
    rows = constant_rows(np.array([7, 8], np.float32), index, 4, 4, 2)
    assert rows is not None
    np.testing.assert_array_equal(rows, [7, 7, 8, 7])


def test_gelu_with_tanh() -> None:
    b = Builder(20)
    b("Gelu", b.input("x", ["N", 6]), name="y", approximate="tanh")
    check(b.model("y"), {"x": X})
