"""Operators of other domains against what they are defined to compute, written by hand in numpy."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto, helper

from bnncompiler.errors import UnsupportedModel
from bnncompiler.frontend import load
from bnncompiler.ir import Array
from tests.frontend.agreement import check
from tests.networks import Builder, mlp, run

QONNX = "qonnx.custom_op.general"
X = np.linspace(-4, 4, 2 * 33, dtype=np.float32).reshape(2, 33)


def one(
    op: str, *operands: object, shape: tuple[int, ...] = (33,), domain: str = QONNX, opset: int = 17, **attrs: Any
) -> ModelProto:
    b = Builder(opset, {domain: 1})
    x = b.input("x", ["N", *shape])
    b(op, x, *(np.asarray(o) for o in operands), name="y", domain=domain, **attrs)
    return b.model("y")


def computed(model: ModelProto, x: Array) -> Array:
    """What the rewritten model computes, having checked that the graph agrees."""
    imported = check(model, {"x": x})
    assert all(n.domain == "" for n in imported.model.graph.node)
    assert [o.domain for o in imported.model.opset_import] == [""]
    return run(imported.model, {"x": x})["y"]


@pytest.mark.parametrize("domain", [QONNX, "onnx.brevitas", "finn.custom_op.general"])
@pytest.mark.parametrize("scale", [1.0, 0.25])
def test_bipolar_quant(domain: str, scale: float) -> None:
    x = np.append(X[:, 1:], np.zeros((2, 1), np.float32), axis=1)
    y = computed(one("BipolarQuant", np.float32(scale), domain=domain), x)
    np.testing.assert_array_equal(y, np.where(x >= 0, 1, -1) * np.float32(scale))


ROUNDINGS: dict[str, Callable[[Array], Array]] = {
    "ROUND": np.rint,
    "CEIL": np.ceil,
    "FLOOR": np.floor,
    "UP": lambda x: np.sign(x) * np.ceil(np.abs(x)),
    "DOWN": np.trunc,
    "HALF_UP": lambda x: np.sign(x) * np.floor(np.abs(x) + 0.5),
    "HALF_DOWN": lambda x: np.sign(x) * np.ceil(np.abs(x) - 0.5),
}


@pytest.mark.parametrize("mode", ROUNDINGS)
def test_quant_rounds_after_clipping(mode: str) -> None:
    model = one("Quant", np.float32(0.5), np.float32(0), np.float32(3), signed=1, narrow=0, rounding_mode=mode)
    expected = ROUNDINGS[mode](np.clip(X / np.float32(0.5), -4, 3)) * 0.5
    np.testing.assert_array_equal(computed(model, X), expected)


@pytest.mark.parametrize(("signed", "narrow", "lo", "hi"), [(1, 0, -8, 7), (1, 1, -7, 7), (0, 0, 0, 15), (0, 1, 0, 14)])
def test_quant_ranges(signed: int, narrow: int, lo: int, hi: int) -> None:
    model = one("Quant", np.float32(0.2), np.float32(0), np.float32(4), signed=signed, narrow=narrow)
    expected = np.rint(np.clip(X / np.float32(0.2), lo, hi)) * np.float32(0.2)
    np.testing.assert_array_equal(computed(model, X), expected)


def test_quant_with_a_zero_point_and_scales_by_channel() -> None:
    scale = np.linspace(0.1, 2, 33, dtype=np.float32)
    model = one("Quant", scale, np.float32(2), np.float32(4), signed=0, narrow=0, rounding_mode="ROUND")
    expected = (np.rint(np.clip(X / scale + 2, 0, 15)) - 2) * scale
    np.testing.assert_array_equal(computed(model, X), expected)


def test_quant_of_one_signed_bit_is_bipolar() -> None:
    model = one("IntQuant", np.float32(0.5), np.float32(0), np.float32(1), signed=1, narrow=1)
    np.testing.assert_array_equal(computed(model, X), np.where(X >= 0, 0.5, -0.5))


def test_quant_with_integer_parameters() -> None:
    model = one("Quant", np.int64(1), np.int64(0), np.int64(2), signed=1, narrow=1)
    np.testing.assert_array_equal(computed(model, X), np.rint(np.clip(X, -1, 1)))


def test_quant_on_weights_folds() -> None:
    b = Builder(17, {QONNX: 1})
    w = np.linspace(-1, 1, 12, dtype=np.float32).reshape(4, 3)
    q = b("Quant", w, np.float32(1), np.float32(0), np.float32(2), domain=QONNX, signed=1, narrow=1)
    b("MatMul", b.input("x", ["N", 4]), q, name="y")
    imported = check(b.model("y"), {"x": X[:, :4].copy()})
    assert [n.op for n in imported.graph.nodes()] == ["input", "dense"]
    assert imported.origins["y"] == ("node_0:Quant", "node_1:MatMul")


def test_trunc_drops_low_bits() -> None:
    model = one("Trunc", np.float32(0.125), np.float32(0), np.float32(6), np.float32(4), rounding_mode="FLOOR")
    expected = np.floor(np.rint(X / 0.125) / 4) * 0.125
    np.testing.assert_array_equal(computed(model, X), expected)


def test_trunc_of_the_second_version() -> None:
    operands = [np.float32(v) for v in (0.125, 0, 6, 0.5, 0, 4)]
    model = one("Trunc", *operands, rounding_mode="ROUND", signed=1, narrow=0)
    expected = np.rint(np.clip(np.rint(X / 0.125) / 4, -8, 7)) * 0.5
    np.testing.assert_array_equal(computed(model, X), expected)


@pytest.mark.parametrize("layout", ["NC", "NCHW", "NHWC"])
def test_multi_threshold_on_vectors(layout: str) -> None:
    t = np.sort(np.random.default_rng(0).uniform(-3, 3, (33, 3)).astype(np.float32), axis=1)
    model = one("MultiThreshold", t, data_layout=layout, out_scale=2.0, out_bias=-3.0, out_dtype="INT3")
    np.testing.assert_array_equal(computed(model, X), 2 * (X[..., None] >= t).sum(-1) - 3)


@pytest.mark.parametrize(("layout", "axis"), [("NCHW", 1), ("NHWC", 3)])
def test_multi_threshold_on_maps(layout: str, axis: int) -> None:
    x = np.random.default_rng(0).uniform(-3, 3, (2, 3, 3, 3)).astype(np.float32)
    t = np.array([[-2, 0], [-1, 1], [0, 2]], np.float32)
    model = one("MultiThreshold", t, shape=(3, 3, 3), data_layout=layout, out_dtype="UINT2")
    expected = np.moveaxis((np.moveaxis(x, axis, -1)[..., None] >= t).sum(-1), -1, axis)
    np.testing.assert_array_equal(computed(model, x), expected)


def test_multi_threshold_alike_for_all_channels() -> None:
    t = np.linspace(-4, 4, 255, dtype=np.float32)[None]
    model = one("MultiThreshold", t, out_bias=-128.0, out_dtype="INT8")
    np.testing.assert_array_equal(computed(model, X), (X[..., None] >= t).sum(-1) - 128)


def test_multi_threshold_behind_other_custom_operators() -> None:
    b = Builder(17, {QONNX: 1})
    x = b.input("x", ["N", 2, 3, 3])
    q = b("BipolarQuant", x, np.float32(1), domain=QONNX)
    t = np.array([[-1.0], [2.0]], np.float32)
    b("MultiThreshold", q, t, name="y", domain=QONNX, out_dtype="BINARY")
    x_value = np.random.default_rng(0).standard_normal((2, 2, 3, 3)).astype(np.float32)
    expected = np.stack([np.ones((2, 3, 3)), np.zeros((2, 3, 3))], axis=1)
    np.testing.assert_array_equal(computed(b.model("y"), x_value), expected)


def test_xnor_popcount_matmul() -> None:
    rng = np.random.default_rng(0)
    x, w = rng.integers(0, 2, (5, 33)).astype(np.float32), rng.integers(0, 2, (33, 7)).astype(np.float32)
    y = computed(one("XnorPopcountMatMul", w), x)
    np.testing.assert_array_equal(y, (x[:, :, None] == w).sum(1))


@pytest.mark.parametrize("opset", [7, 9, 11])
def test_old_opsets_are_raised(opset: int) -> None:
    b = Builder(opset)  # as older exporters do: the custom domain is not imported
    x = b.input("x", ["N", 1, 4, 4])
    flat = b("Reshape", x, np.array([-1, 16], np.int64))
    q = b("Quant", flat, np.float32(0.5), np.float32(0), np.float32(4), domain="onnx.brevitas", signed=1, narrow=0)
    bounds: dict[str, Any] = {} if opset > 10 else {"min": -1.0, "max": 1.0}
    b("Clip", q, name="y", **bounds)
    x_value = np.random.default_rng(0).standard_normal((2, 1, 4, 4)).astype(np.float32)
    y = computed(b.model("y"), x_value)
    expected = np.rint(np.clip(x_value.reshape(2, 16) / 0.5, -8, 7)) * 0.5
    np.testing.assert_array_equal(y, expected if opset > 10 else np.clip(expected, -1, 1))
    assert "opset 12" in load(b.model("y")).notes[0]


def test_standard_models_keep_their_opset() -> None:
    assert load(mlp([4, 3], opset=13)).model.opset_import[0].version == 13


@pytest.mark.parametrize(
    ("activation", "attrs", "meaning"),
    [
        ("Relu", {}, lambda y: np.maximum(y, 0)),
        ("LeakyRelu", {"activation_alpha": 0.5}, lambda y: np.where(y < 0, y * np.float32(0.5), y)),
        ("", {}, lambda y: y),
    ],
)
def test_fused_gemm(activation: str, attrs: dict[str, Any], meaning: Callable[[Array], Array]) -> None:
    rng = np.random.default_rng(0)
    w, c = rng.standard_normal((5, 33)).astype(np.float32), rng.standard_normal(5).astype(np.float32)
    model = one("FusedGemm", w, c, domain="com.microsoft", transB=1, activation=activation, **attrs)
    np.testing.assert_allclose(computed(model, X), meaning(X @ w.T + c), rtol=1e-5, atol=1e-5)


def test_fused_matmul() -> None:
    w = np.random.default_rng(0).standard_normal((5, 33)).astype(np.float32)
    model = one("FusedMatMul", w, domain="com.microsoft", transB=1, alpha=0.5)
    np.testing.assert_allclose(computed(model, X), X @ w.T * 0.5, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(
    ("op", "domain", "words"),
    [
        ("Conv", "com.microsoft.nchwc", ["blocked layout", "ORT_ENABLE_EXTENDED"]),
        ("Attention", "com.microsoft", ["not known"]),
        ("FloatQuant", QONNX, ["not known"]),
        ("Foo", "my.own.domain", ["my.own.domain::Foo", "not known"]),
    ],
)
def test_unknown_operators_of_other_domains(op: str, domain: str, words: list[str]) -> None:
    with pytest.raises(UnsupportedModel) as caught:
        load(one(op, domain=domain))
    for word in words:
        assert word in str(caught.value)


def test_a_computed_bit_width_is_refused() -> None:
    b = Builder(17, {QONNX: 1})
    x = b.input("x", ["N", 4])
    bits = b("ReduceMax", x, keepdims=0)
    b("Quant", x, np.float32(1), np.float32(0), bits, name="y", domain=QONNX, signed=1, narrow=0)
    with pytest.raises(UnsupportedModel, match="not constant"):
        load(b.model("y"))


@pytest.mark.parametrize("op", ["RandomUniformLike", "Bernoulli"])
def test_random_operators_are_refused(op: str) -> None:
    b = Builder()
    b("Add", b.input("x", ["N", 4]), b(op, "x"), name="y")
    with pytest.raises(UnsupportedModel, match="random"):
        load(b.model("y"))


def masked(b: Builder, x: str, mask: str, value: object) -> str:
    """``x[mask] = value`` as torch.onnx writes it."""
    places = b("Transpose", b("NonZero", mask), perm=[1, 0])
    count = b("ReduceSum", b("Cast", b("Reshape", mask, np.array([-1], np.int64)), to=7))
    values = b("Reshape", b("Expand", np.asarray(value, np.float32), count), np.array([-1], np.int64))
    return b("ScatterND", x, places, values)


@pytest.mark.parametrize("value", [-1.0, [-1.0]])
def test_masked_assignment(value: object) -> None:
    b = Builder(18)
    x = b.input("x", ["N", 33])
    first = masked(b, x, b("Less", x, np.float32(0)), value)
    second = masked(b, first, b("GreaterOrEqual", x, np.float32(0)), 1.0)
    b("MatMul", second, np.ones((33, 2), np.float32), name="y")
    imported = check(b.model("y"), {"x": X})
    assert [n.op for n in imported.graph.nodes()].count("Where") == 2
    assert imported.origins[second] == (f"{b.nodes[-2].name}:ScatterND",)


def test_assignment_of_rows_is_refused() -> None:
    b = Builder(18)
    x = b.input("x", ["N", 4])
    rows = b("Squeeze", b("Less", b("Slice", x, *(np.array([v], np.int64) for v in (0, 1, 1))), np.float32(0)))
    count = b("ReduceSum", b("Cast", rows, to=7))
    b("ScatterND", x, b("Transpose", b("NonZero", rows)), b("Expand", np.float32(1), count), name="y")
    with pytest.raises(UnsupportedModel, match=r"ScatterND .* more than one constant"):
        load(b.model("y"))


def test_model_local_functions_are_inlined() -> None:
    b = Builder(17, {"mine": 1})
    b("Binarize", b.input("x", ["N", 33]), name="y", domain="mine")
    model = b.model("y")
    body = [helper.make_node("Sign", ["a"], ["s"]), helper.make_node("Neg", ["s"], ["r"])]
    model.functions.append(helper.make_function("mine", "Binarize", ["a"], ["r"], body, [helper.make_opsetid("", 17)]))
    np.testing.assert_array_equal(computed(model, X), -np.sign(X))


def test_initializers_that_are_inputs_too() -> None:
    model = mlp([4, 3], weights="baked")
    for t in model.graph.initializer:
        model.graph.input.append(helper.make_tensor_value_info(t.name, t.data_type, t.dims))
    imported = load(model)
    assert [i.name for i in imported.graph.inputs] == ["x"] == [i.name for i in imported.model.graph.input]


def test_dead_nodes_do_not_matter() -> None:
    model = mlp([4, 3])
    model.graph.node.append(helper.make_node("LSTM", ["x"], ["nobody_reads_this"]))
    assert "nobody_reads_this" not in [o for n in load(model).model.graph.node for o in n.output]


def test_other_domains_in_a_branch_are_refused() -> None:
    inner = helper.make_node("BipolarQuant", ["x", "s"], ["q"], "inner", domain=QONNX)
    result = helper.make_tensor_value_info("q", 1, None)
    body = helper.make_graph([inner], "body", [], [result])
    b = Builder(17, {QONNX: 1})
    b.input("x", ["N", 4])
    b.constant(np.float32(1), "s")
    b("If", b.constant(np.array(True)), name="y", then_branch=body, else_branch=body)
    with pytest.raises(UnsupportedModel, match="inner"):
        load(b.model("y"))


def im2col(x: Array, kernel: int, stride: int, pads: tuple[int, int, int, int], value: int, dilation: int) -> Array:
    """QONNX's Im2Col of a map channels last, tap by tap."""
    x = np.pad(x, ((0, 0), (pads[0], pads[2]), (pads[1], pads[3]), (0, 0)), constant_values=value)
    height, width = ((n - dilation * (kernel - 1) - 1) // stride + 1 for n in x.shape[1:3])
    taps = [
        x[:, i : i + stride * (height - 1) + 1 : stride, j : j + stride * (width - 1) + 1 : stride]
        for i in range(0, kernel * dilation, dilation)
        for j in range(0, kernel * dilation, dilation)
    ]
    return np.concatenate(taps, axis=-1)


@pytest.mark.parametrize(
    ("stride", "pads", "value", "dilation"),
    [(1, (0, 0, 0, 0), 0, 1), (2, (1, 0, 1, 2), 0, 1), (1, (1, 1, 1, 1), -1, 1), (1, (0, 0, 0, 0), 0, 2)],
)
def test_im2col_and_matmul_are_a_convolution(
    stride: int, pads: tuple[int, int, int, int], value: int, dilation: int
) -> None:
    rng = np.random.default_rng(0)
    weight = rng.integers(-3, 4, (27, 5)).astype(np.float32)
    b = Builder(17, {QONNX: 1})
    patches = b(
        "Im2Col",
        b.input("x", ["N", 7, 6, 3]),
        domain=QONNX,
        kernel_size=[3, 3],
        stride=[stride, stride],
        pad_amount=list(pads),
        pad_value=value,
        dilations=[dilation, dilation],
        input_shape="(1,7,6,3)",
    )
    b("MatMul", patches, weight, name="y")
    x = rng.integers(-3, 4, (2, 7, 6, 3)).astype(np.float32)
    np.testing.assert_array_equal(computed(b.model("y"), x), im2col(x, 3, stride, pads, value, dilation) @ weight)
    imported = load(b.model("y"))
    assert [n.op for n in imported.graph.nodes()] == ["input", "conv"]
    assert imported.origins[imported.graph.outputs[0].name][-1] == "node_1:MatMul"


@pytest.mark.parametrize(
    ("shape", "reader", "words"),
    [("(1,7,6,3)", "Sign", "is read by Sign"), ("(1,7,3)", "MatMul", "a height and a width"), ("", "", "is an output")],
)
def test_other_im2cols_are_refused(shape: str, reader: str, words: str) -> None:
    b = Builder(17, {QONNX: 1})
    x = b.input("x", ["N", 7, 6, 3])
    y = b("Im2Col", x, domain=QONNX, kernel_size=[3, 3], stride=[1, 1], input_shape=shape)
    operands = (y, np.ones((27, 2), np.float32))
    y = b(reader, *operands[: 2 if reader == "MatMul" else 1]) if reader else y
    with pytest.raises(UnsupportedModel, match=words):
        load(b.model(y))
