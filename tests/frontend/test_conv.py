"""Convolutions, pools and pads: every form of their attributes against onnxruntime, and where channels end up."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

from bnncompiler.errors import ModelError, UnsupportedModel
from bnncompiler.frontend import Imported, load
from bnncompiler.ir import Array, Node
from bnncompiler.ops import Conv, Dense, MaxPool, Pad, Permute
from bnncompiler.window import Window
from tests.frontend.agreement import check
from tests.networks import SIGNS, Builder, cnn

RNG = np.random.default_rng(0)


def floats(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def kinds(imported: Imported) -> list[str]:
    return [n.op for n in imported.graph.nodes() if n.op != "constant"]


def single(imported: Imported, kind: type[Node]) -> Any:
    """The only node of its kind."""
    (found,) = (n for n in imported.graph.nodes() if isinstance(n, kind))
    return found


Form = tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]
CONVOLUTIONS: dict[str, Form] = {  # the map, the weights, attributes
    "plain": ((4, 7, 6), (5, 4, 3, 3), {}),
    "1x1": ((4, 5, 6), (3, 4, 1, 1), {}),
    "rectangular": ((2, 7, 6), (3, 2, 1, 4), {"pads": [0, 2, 0, 1]}),
    "one column": ((2, 7, 1), (3, 2, 3, 1), {"pads": [1, 0, 1, 0]}),
    "explicit": ((4, 7, 6), (5, 4, 3, 2), {"kernel_shape": [3, 2], "auto_pad": "NOTSET", "dilations": [1, 1]}),
    "strides": ((4, 9, 8), (5, 4, 3, 3), {"strides": [2, 3]}),
    "pads": ((4, 7, 6), (5, 4, 3, 3), {"pads": [1, 1, 1, 1]}),
    "uneven pads": ((4, 7, 6), (5, 4, 3, 3), {"pads": [0, 1, 2, 0], "strides": [2, 2]}),
    "dilations": ((4, 9, 8), (5, 4, 3, 3), {"dilations": [2, 3], "pads": [1, 2, 1, 3]}),
    "groups": ((6, 7, 6), (4, 3, 3, 3), {"group": 2, "pads": [1, 1, 1, 1]}),
    "depthwise": ((6, 7, 6), (6, 1, 3, 3), {"group": 6}),
    "depthwise, two each": ((3, 7, 6), (6, 1, 3, 3), {"group": 3}),
    "valid": ((4, 7, 6), (5, 4, 3, 3), {"auto_pad": "VALID", "strides": [2, 1]}),
    "same upper": ((4, 7, 6), (5, 4, 3, 4), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "same lower": ((4, 7, 6), (5, 4, 4, 3), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    "same, strides beyond the kernel": ((4, 9, 8), (5, 4, 1, 1), {"auto_pad": "SAME_UPPER", "strides": [3, 2]}),
    "wide pads": ((2, 3, 3), (3, 2, 3, 3), {"pads": [4, 4, 4, 4]}),
    "1-D": ((4, 9), (5, 4, 3), {}),
    "1-D in full": ((4, 9), (6, 2, 3), {"pads": [2, 1], "strides": [2], "dilations": [2], "group": 2}),
    "1-D same": ((4, 9), (5, 4, 4), {"auto_pad": "SAME_LOWER", "strides": [2]}),
}


@pytest.mark.parametrize("form", CONVOLUTIONS)
@pytest.mark.parametrize("batch", ["N", 1])
def test_convolutions(form: str, batch: str | int) -> None:
    shape, weights, attributes = CONVOLUTIONS[form]
    b = Builder()
    x = b.input("x", [batch, *shape])
    y = b("Conv", x, floats(*weights), floats(weights[0]), **attributes)
    b("BatchNormalization", y, *floats(3, weights[0]), np.abs(floats(weights[0])), name="y")
    imported = check(b.model("y"), {"x": floats(2 if batch == "N" else 1, *shape)})
    assert kinds(imported) == ["input", "conv", "BatchNormalization"]
    height, width = (1, *shape[1:])[-2:]
    assert imported.graph.inputs[0].type.shape == (height, width, shape[0])
    assert all(n.type.shape == (weights[0],) for n in imported.graph.nodes() if n.op == "constant")


def test_a_convolution_without_bias() -> None:
    b = Builder()
    b("Conv", b.input("x", ["N", 2, 4, 4]), floats(3, 2, 3, 3), name="y")
    imported = check(b.model("y"), {"x": floats(3, 2, 4, 4)})
    assert single(imported, Conv).bias is None
    assert list(imported.origins["y"]) == ["node_0:Conv"]
    assert imported.notes == (
        'input "x" is taken channels last: 4x4x2',
        'output "y" is given channels last: 2x2x3',
    )


POOLS: dict[str, Form] = {  # the map, nothing, attributes
    "2x2": ((3, 6, 8), (), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "default strides": ((3, 6, 5), (), {"kernel_shape": [2, 3]}),
    "left over": ((3, 7, 5), (), {"kernel_shape": [2, 2], "strides": [2, 2]}),
    "pads": ((3, 7, 6), (), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "uneven pads": ((3, 6, 6), (), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [0, 0, 1, 2]}),
    "dilations": ((3, 7, 6), (), {"kernel_shape": [2, 2], "dilations": [3, 2]}),
    "same upper": ((3, 7, 6), (), {"kernel_shape": [3, 2], "strides": [2, 1], "auto_pad": "SAME_UPPER"}),
    "same lower": ((3, 7, 6), (), {"kernel_shape": [3, 2], "strides": [2, 1], "auto_pad": "SAME_LOWER"}),
    "valid": ((3, 7, 6), (), {"kernel_shape": [3, 2], "strides": [2, 1], "auto_pad": "VALID"}),
    "ceil": ((3, 7, 6), (), {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    "ceil that changes nothing": ((3, 6, 6), (), {"kernel_shape": [2, 2], "strides": [2, 2], "ceil_mode": 1}),
    "ceil and pads": (
        (3, 8, 6), (), {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": 1}
    ),
    "ceil that would begin in the padding": (
        (3, 6, 7), (), {"kernel_shape": [2, 2], "strides": [3, 3], "pads": [0, 0, 1, 1], "ceil_mode": 1}
    ),
    "ceil with a long stride": ((3, 7, 7), (), {"kernel_shape": [1, 2], "strides": [4, 3], "ceil_mode": 1}),
    "1-D": ((3, 7), (), {"kernel_shape": [2], "strides": [2]}),
    "1-D in full": (
        (3, 8), (), {"kernel_shape": [3], "strides": [2], "pads": [1, 0], "dilations": [2], "ceil_mode": 1}
    ),
}  # fmt: skip


@pytest.mark.parametrize("form", POOLS)
@pytest.mark.parametrize("dtype", [np.float32, np.uint8, np.int8])
def test_max_pools(form: str, dtype: Any) -> None:
    shape, _, attributes = POOLS[form]
    b = Builder()
    b("MaxPool", b.input("x", ["N", *shape], dtype), **attributes, name="y")
    imported = check(b.model("y"), {"x": (floats(2, *shape) * 40).astype(dtype)})
    assert kinds(imported) == ["input", "max_pool"]
    assert imported.graph.outputs[0].type.dtype == np.dtype(dtype).name


@pytest.mark.parametrize("include", [0, 1])
@pytest.mark.parametrize("form", POOLS)
def test_average_pools(form: str, include: int) -> None:
    """A sum and its divisor exactly where that depends on the position."""
    shape, _, attributes = POOLS[form]
    b = Builder(19)
    b("AveragePool", b.input("x", ["N", *shape]), **attributes, count_include_pad=include, name="y")
    rounded = form in ("ceil", "ceil and pads", "ceil with a long stride")
    padded = "pad" in form or form in ("same upper", "same lower", "1-D in full")
    imported = check(b.model("y"), {"x": floats(2, *shape)})
    conv = single(imported, Conv)
    assert conv.group == shape[0] == len(conv.weight)
    assert len(np.unique(conv.weight)) == 1
    assert kinds(imported)[2:] == (["Div"] if rounded or (padded and not include) else [])
    assert "y" in imported.views
    assert imported.origins["y"] == imported.origins[conv.name]


@pytest.mark.parametrize("shape", [(5, 4, 3), (5, 4), (5, 1, 1)])
@pytest.mark.parametrize("op", ["GlobalAveragePool", "GlobalMaxPool"])
def test_global_pools(op: str, shape: tuple[int, ...]) -> None:
    b = Builder()
    b("Flatten", b(op, b.input("x", ["N", *shape])), name="y")
    imported = check(b.model("y"), {"x": floats(2, *shape)})
    assert kinds(imported) == ["input", "conv" if op == "GlobalAveragePool" else "max_pool"]
    assert imported.graph.outputs[0].type.shape == (1, 1, 5)


@pytest.mark.parametrize("op", ["ReduceMean", "ReduceSum", "ReduceMax"])
@pytest.mark.parametrize("opset", [11, 20])
@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("nhwc", [False, True])
@pytest.mark.parametrize("axes", [(0, 1), (0,), (1,)])
def test_reductions(op: str, opset: int, keepdims: int, nhwc: bool, axes: tuple[int, ...]) -> None:
    """Over height (0), width (1) or both."""
    b = Builder(opset)
    y = b("Conv", b.input("x", ["N", 3, 5, 4]), floats(6, 3, 2, 2))
    y = b("Transpose", y, perm=[0, 2, 3, 1]) if nhwc else y
    counted = [a + 1 if nhwc else a - 2 for a in axes]
    if opset == 20:
        b(op, y, ints(*counted), keepdims=keepdims, name="y")
    else:
        b(op, y, axes=[a % 4 for a in counted], keepdims=keepdims, name="y")
    imported = check(b.model("y"), {"x": floats(2, 3, 5, 4)})
    assert kinds(imported) == ["input", "conv", "max_pool" if op == "ReduceMax" else "conv"]


def test_reductions_of_an_input_take_the_axes_for_spatial() -> None:
    b = Builder()
    x = b.input("x", ["N", 4, 3, 5])
    b("ReduceMean", x, axes=[1, 2], keepdims=0, name="last")
    b("ReduceMean", x, axes=[2, 3], keepdims=0, name="first")
    imported = check(b.model("last", "first"), {"x": floats(2, 4, 3, 5)})
    assert imported.graph.inputs[0].type.shape == (4, 3, 5)
    assert single(imported, Permute).type.shape == (4, 15)


@pytest.mark.parametrize("channels", [1, 3])
def test_an_input_keeps_the_layout_of_its_first_reader(channels: int) -> None:
    b = Builder()
    x = b.input("x", ["N", 4, 4, 4])
    y = b("Conv", b("Transpose", x, perm=[0, 3, 1, 2]) if channels == 3 else x, floats(2, 4, 3, 3))
    z = b("ReduceMax", x, axes=[2], keepdims=0)
    imported = check(b.model(y, z), {"x": floats(2, 4, 4, 4)})
    assert "permute" not in kinds(imported)


def test_the_input_is_laid_out_for_the_convolution() -> None:
    """Through elementwise nodes, and with constants a pixel or a channel."""
    b = Builder()
    x = b.input("x", ["N", 3, 5, 4])
    y = b("Sub", b("Mul", x, floats(3, 1, 1)), floats(3, 5, 4))
    b("Conv", SIGNS["where_ge"](b, y), floats(2, 3, 3, 3), name="y")
    imported = check(b.model("y"), {"x": floats(2, 3, 5, 4)})
    assert "permute" not in kinds(imported)
    assert imported.graph.inputs[0].type.shape == (5, 4, 3)
    np.testing.assert_array_equal(imported.views["x"].index, np.arange(60).reshape(5, 4, 3).transpose(2, 0, 1))
    constants = [n.type.shape for n in imported.graph.nodes() if n.op == "constant"]
    assert constants[:2] == [(3,), (60,)]


@pytest.mark.parametrize("shape", [(60,), (12, 5), (3, 20)])
def test_a_flat_input_is_laid_out_as_a_map(shape: tuple[int, ...]) -> None:
    b = Builder()
    x = b("Reshape", b("Sign", b.input("x", ["N", *shape])), ints(-1, 3, 5, 4))
    b("Conv", x, floats(2, 3, 3, 3), name="y")
    imported = check(b.model("y"), {"x": floats(2, *shape)})
    assert kinds(imported) == ["input", "Sign", "conv"]
    assert imported.graph.inputs[0].type.shape == (5, 4, 3)
    assert imported.views["x"].index.shape == shape


def test_one_channel_needs_another_shape_but_no_other_order() -> None:
    b = Builder()
    b("Flatten", b("MaxPool", b.input("x", ["N", 1, 6, 4]), kernel_shape=[2, 2]), name="y")
    imported = check(b.model("y"), {"x": floats(2, 1, 6, 4)})
    assert imported.graph.inputs[0].type.shape == (6, 4, 1)
    assert imported.notes == ()


def test_two_inputs_are_each_laid_out() -> None:
    b = Builder()
    x, y = b.input("x", ["N", 3, 5, 4]), b.input("y", ["N", 2, 5, 4])
    b("Add", b("Conv", x, floats(4, 3, 3, 3)), b("Conv", b("Sign", y), floats(4, 2, 3, 3)), name="z")
    imported = check(b.model("z"), {"x": floats(2, 3, 5, 4), "y": floats(2, 2, 5, 4)})
    assert [i.type.shape for i in imported.graph.inputs] == [(5, 4, 3), (5, 4, 2)]
    assert "permute" not in kinds(imported)


def test_inputs_that_meet_before_the_convolution_are_laid_out_alike() -> None:
    b = Builder()
    x, y = b.input("x", ["N", 3, 5, 4]), b.input("y", ["N", 3, 5, 4])
    b("Conv", b("Add", x, b("Abs", y)), floats(4, 3, 3, 3), name="z")
    imported = check(b.model("z"), {"x": floats(2, 3, 5, 4), "y": floats(2, 3, 5, 4)})
    assert [i.type.shape for i in imported.graph.inputs] == [(5, 4, 3), (5, 4, 3)]


def test_the_second_order_of_an_input_is_a_permutation() -> None:
    """Made once for all that want it."""
    b = Builder()
    x = b.input("x", ["N", 4, 4, 4])
    turned = b("Transpose", x, perm=[0, 2, 3, 1])
    first = b("Conv", x, floats(2, 4, 3, 3))
    second, third = (b("Conv", turned, floats(2, 4, 3, 3)) for _ in range(2))
    b("Sum", first, second, third, name="y")
    imported = check(b.model("y"), {"x": floats(2, 4, 4, 4)})
    assert single(imported, Permute).type.shape == (4, 4, 4)
    assert list(imported.origins[single(imported, Permute).name]) == ["node_0:Transpose"]
    assert "node_0:Transpose" in imported.origins[second]


def test_a_channel_shuffle_is_a_permutation() -> None:
    b = Builder()
    y = b("Conv", b.input("x", ["N", 4, 5, 4]), floats(6, 2, 1, 1), group=2)
    y = b("Reshape", y, ints(-1, 2, 3, 5, 4))
    y = b("Reshape", b("Transpose", y, perm=[0, 2, 1, 3, 4]), ints(-1, 6, 5, 4))
    b("Conv", b("Sign", y), floats(4, 3, 1, 1), group=2, name="y")
    imported = check(b.model("y"), {"x": floats(2, 4, 5, 4)})
    assert kinds(imported) == ["input", "conv", "Sign", "permute", "conv"]


def test_parts_of_a_map_are_gathered() -> None:
    b = Builder()
    y = b("Conv", b.input("x", ["N", 2, 6, 6]), floats(6, 2, 1, 1))
    left, right = b.many("Split", y, ints(4, 2), outputs=["l", "r"], axis=1)
    cropped = b("Slice", right, ints(1, 2), ints(5, 6), ints(2, 3))
    b("Conv", b("Slice", left, ints(1, 2), ints(5, 6), ints(2, 3)), floats(2, 4, 3, 3), name="y")
    b("MaxPool", cropped, kernel_shape=[3, 3], name="z")
    check(b.model("y", "z"), {"x": floats(2, 2, 6, 6)})


def test_a_vector_becomes_a_map() -> None:
    b = Builder()
    y = b("Reshape", b("MatMul", b.input("x", ["N", 7]), floats(7, 18)), ints(-1, 2, 3, 3))
    b("Conv", y, floats(4, 2, 3, 3), name="y")
    imported = check(b.model("y"), {"x": floats(2, 7)})
    assert kinds(imported) == ["input", "dense", "permute", "conv"]


def test_channels_last_models_need_no_permutation() -> None:
    """As tf2onnx writes them: a Transpose before and behind each convolution, signs and pads channels last."""
    b = Builder()
    y = b.input("x", ["N", 6, 5, 3])
    for ins, outs in ((3, 4), (4, 2)):
        y = b("Sign", b("Add", y, floats(ins)))
        y = b("Pad", y, ints(0, 1, 1, 0, 0, 1, 2, 0), np.float32(1))
        y = b("Conv", b("Transpose", y, perm=[0, 3, 1, 2]), floats(outs, ins, 3, 3))
        y = b("PRelu", b("Transpose", y, perm=[0, 2, 3, 1]), floats(1, 1, outs))
    y = b("Reshape", b("Sign", y), ints(-1, 6 * 7 * 2))
    b("MatMul", y, floats(84, 3), name="y")
    imported = check(b.model("y"), {"x": floats(2, 6, 5, 3)}, 1e-4)
    one = ["conv", "PRelu", "Sign"]
    assert kinds(imported) == ["input", "Add", "Sign", *one[:2], "Add", "Sign", *one, "dense"]
    assert imported.notes == ()


@pytest.mark.parametrize("perm", [[0, 1, 2, 3], [0, 2, 3, 1], [0, 3, 2, 1]])
def test_a_flattened_map_goes_into_the_weights(perm: list[int]) -> None:
    b = Builder()
    w = floats(36, 5)
    y = b("Conv", b.input("x", ["N", 2, 5, 4]), floats(6, 2, 3, 3))
    b("MatMul", b("Flatten", b("Transpose", y, perm=perm)), w, name="y")
    imported = check(b.model("y"), {"x": floats(2, 2, 5, 4)})
    order = np.arange(36).reshape(3, 2, 6).transpose(2, 0, 1).transpose([p - 1 for p in perm[1:]])
    np.testing.assert_array_equal(single(imported, Dense).weight[:, order.reshape(-1)], w.T)


def test_a_dense_layer_at_each_pixel() -> None:
    b = Builder()
    y = b("Conv", b.input("x", ["N", 2, 5, 4]), floats(6, 2, 3, 3))
    b("MatMul", b("Transpose", y, perm=[0, 2, 3, 1]), floats(6, 3), name="y")
    imported = check(b.model("y"), {"x": floats(2, 2, 5, 4)})
    assert single(imported, Dense).weight.shape == (3, 6)


def test_parameters_of_channels_are_rows() -> None:
    b = Builder()
    y = b("Conv", b.input("x", ["N", 2, 5, 4]), floats(6, 2, 3, 3))
    y = b("BatchNormalization", y, *floats(3, 6), np.abs(floats(6)))
    y = b("PRelu", y, floats(6, 1, 1))
    y = b("Mul", y, b("Expand", floats(1, 6, 1, 1), ints(1, 6, 3, 2)))
    b("Add", y, floats(6, 1, 1), name="y")
    imported = check(b.model("y"), {"x": floats(2, 2, 5, 4)})
    assert {n.type.shape for n in imported.graph.nodes() if n.op == "constant"} == {(6,)}


def test_two_streams_join() -> None:
    b = Builder()
    y = b("Conv", b.input("x", ["N", 2, 5, 4]), floats(6, 2, 3, 3))
    z = b("Conv", b("Sign", y), floats(6, 6, 3, 3), pads=[1, 1, 1, 1])
    b("Add", z, y, name="y")
    imported = check(b.model("y"), {"x": floats(2, 2, 5, 4)})
    assert len(imported.graph.outputs[0].operands) == 2


def pad_and_conv(b: Builder, x: str, value: float | None, **attributes: Any) -> None:
    given = () if value is None else (np.float32(value),)
    y = b("Pad", x, ints(0, 0, 1, 2, 0, 0, 3, 0), *given)
    b("Conv", y, floats(2, 3, 3, 3), **attributes, name="y")


@pytest.mark.parametrize(("value", "own"), [(None, 0), (0.0, 0), (1.0, 0), (-1.0, 0), (0.25, 0), (None, 1), (0.0, 1)])
def test_a_pad_becomes_the_convolution_s(value: float | None, own: int) -> None:
    b = Builder()
    pad_and_conv(b, b.input("x", ["N", 3, 5, 4]), value, pads=[own] * 4, strides=[2, 1])
    imported = check(b.model("y"), {"x": floats(2, 3, 5, 4)})
    conv = single(imported, Conv)
    assert kinds(imported) == ["input", "conv"]
    assert conv.window == Window((3, 3), (2, 1), (1 + own, 2 + own), (3 + own, own))
    assert conv.pad_value == (value or 0)
    assert list(imported.origins["y"]) == ["node_0:Pad", "node_1:Conv"]
    assert "v0" not in imported.views


def test_a_pad_of_another_value_stays_before_a_padded_convolution() -> None:
    b = Builder()
    pad_and_conv(b, b.input("x", ["N", 3, 5, 4]), 1.0, pads=[1, 1, 1, 1])
    imported = check(b.model("y"), {"x": floats(2, 3, 5, 4)})
    assert kinds(imported) == ["input", "pad", "conv"]
    assert imported.views["v0"].base is single(imported, Pad)


def test_a_pad_before_a_sign_stays() -> None:
    b = Builder()
    y = b("Pad", b.input("x", ["N", 3, 5, 4]), ints(0, 0, 1, 1, 0, 0, 1, 1))
    b("Conv", SIGNS["where_ge"](b, y), floats(2, 3, 3, 3), name="y")
    assert "pad" in kinds(check(b.model("y"), {"x": floats(2, 3, 5, 4)}))


def test_a_pad_before_an_average_becomes_the_convolution_s() -> None:
    b = Builder()
    y = b("Pad", b.input("x", ["N", 3, 5, 4]), ints(0, 0, 1, 1, 0, 0, 1, 1), np.float32(2))
    b("AveragePool", y, kernel_shape=[3, 3], name="y")
    assert kinds(check(b.model("y"), {"x": floats(2, 3, 5, 4)})) == ["input", "conv"]


@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint8])
@pytest.mark.parametrize(
    ("opset", "shape", "pads", "axes"),
    [
        (10, (3, 5, 4), [0, 0, 1, 2, 0, 0, 3, 0], None),
        (13, (3, 5, 4), [0, 0, 0, 2, 0, 0, 3, 0], None),
        (13, (5, 4, 3), [0, 1, 0, 0, 0, 1, 2, 0], None),
        (13, (3, 5), [0, 0, 1, 0, 0, 2], None),
        (18, (3, 5, 4), [1, 2, 0, 3], [-1, 2]),
        (18, (5, 3), [1, 2], [1]),
    ],
)
def test_pads(opset: int, shape: tuple[int, ...], pads: list[int], axes: list[int] | None, dtype: Any) -> None:
    b = Builder(opset)
    x = b.input("x", ["N", *shape], dtype)
    if opset == 10:
        if dtype != np.float32:
            pytest.skip("opset 10 pads floats only")
        b("Pad", x, pads=pads, value=3.0, name="y")
    else:
        b("Pad", x, ints(*pads), np.array(3, dtype), *([] if axes is None else [ints(*axes)]), name="y")
    imported = check(b.model("y"), {"x": (floats(2, *shape) * 20).astype(dtype)})
    assert kinds(imported) == ["input", "pad"]


def test_a_pad_of_nothing_is_nothing() -> None:
    b = Builder()
    b("Sign", b("Pad", b.input("x", ["N", 6]), ints(0, 0, 0, 0)), name="y")
    imported = check(b.model("y"), {"x": floats(2, 6)})
    assert kinds(imported) == ["input", "Sign"]
    assert "node_0:Pad" in imported.origins["y"]


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("pool", [None, "before_bn", "before_sign", "after_sign"])
def test_networks(sign: str, pool: str | None) -> None:
    imported = check(cnn([3, 8, 6], sign=sign, pool=pool), {"x": floats(2, 3, 8, 8)}, 1e-4)
    assert kinds(imported).count("max_pool") == (2 if pool else 0)
    assert "permute" not in kinds(imported)


@pytest.mark.parametrize(
    "options",
    [
        {"weights": "baked", "head": "mean"},
        {"pad_value": 1.0, "batch_norm": False},
        {"pads": 0, "kernel": 2, "stride": 2, "batch": 1},
        {"size": (9, 5), "opset": 13},
    ],
)
def test_options_of_networks(options: dict[str, Any]) -> None:
    size = options.get("size", (8, 8))
    samples = 1 if options.get("batch") == 1 else 3
    imported = check(cnn([3, 5, 4], **options), {"x": floats(samples, 3, *size)}, 1e-4)
    assert "pad" not in kinds(imported)
    assert imported.graph.outputs[0].type.size == 10


Build = Callable[[Builder, str], str | Sequence[str]]


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda b, x: b("Conv", x, b("Sign", x)), "input 1 is not constant"),
        (lambda b, x: b("Conv", x, floats(3, 2, 3, 3), b("Flatten", x)), "bias is not constant"),
        (lambda b, x: b("Conv", b("Unsqueeze", x, ints(4)), floats(3, 2, 1, 1, 1)), "5 axes"),
        (lambda b, x: b("Conv", b("Flatten", x), floats(3, 2, 1, 1)), "2 axes"),
        (lambda b, x: b("Conv", b("Reshape", x, ints(1, -1, 5, 4)), floats(3, 4, 3, 3)), "mixes the samples"),
        (lambda b, x: b("Conv", x, floats(3, 2, 3, 3), pads=[-1, 0, 0, 0]), "negative pads"),
        (lambda b, x: b("Conv", x, floats(3, 2, 3, 3), auto_pad="SAME_UPPER", dilations=[2, 2]), "write pads"),
        (lambda b, x: b.many("MaxPool", x, kernel_shape=[2, 2], outputs=["m", "i"]), "indices"),
        (lambda b, x: b("Pad", x, ints(0, 0, 1, -1, 0, 0, 1, 1)), "negative pads"),
        (lambda b, x: b("Pad", x, ints(0, 1, 1, 1, 0, 0, 0, 0)), "runs over the channels"),
        (lambda b, x: b("Pad", b("GlobalMaxPool", x), ints(0, 1, 1, 1, 0, 0, 0, 0)), "over the channels"),
        (lambda b, x: b("Pad", x, ints(1, 0, 0, 0, 0, 0, 0, 0)), "runs over the batch"),
        (lambda b, x: b("Pad", x, ints(*[0, 0, 1, 1] * 2), b("ReduceMax", x, keepdims=0)), "mixes the samples"),
        (lambda b, x: b("Pad", b("Conv", x, floats(3, 2, 1, 1)), ints(0, 1, 1, 0, 0, 1, 0, 0)), "over the channels"),
        (lambda b, x: b("ReduceMean", x), "sums over the batch"),
        (lambda b, x: b("ReduceMean", x, axes=[0]), "runs over the batch"),
        (lambda b, x: b("ReduceSum", b("Cast", x, to=6), ints(2, 3)), "sums int32 integers"),
        (lambda b, x: b("ConvTranspose", x, floats(2, 3, 3, 3), b("Flatten", x)), "bias is not constant"),
        (lambda b, x: b("ConvTranspose", x, floats(2, 3, 3, 3), strides=[9, 9]), "at most 64"),
        (lambda b, x: b("Resize", x, "", np.array([1, 1, 2, 2], np.float32), mode="linear"), "mode=linear"),
    ],
)
def test_what_is_refused(build: Build, words: str) -> None:
    b = Builder()
    y = build(b, b.input("x", [2, 2, 5, 4]))
    with pytest.raises(UnsupportedModel, match=words) as error:
        load(b.model(*([y] if isinstance(y, str) else y)))
    assert 'node "node_' in str(error.value)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda b, x: b("Conv", x, floats(3, 3, 3, 3)), "do not fit"),
        (lambda b, x: b("Conv", x, floats(3, 1, 3, 3), group=2), "do not fit"),
        (lambda b, x: b("Conv", x, floats(3, 2, 3, 3), group=0), "do not fit"),
        (lambda b, x: b("Conv", x, floats(3, 2, 3)), "do not fit"),
        (lambda b, x: b("Conv", x, floats(0, 2, 3, 3)), "do not fit"),
        (lambda b, x: b("Conv", x, floats(3, 2, 3, 3), floats(2)), "bias do not fit"),
        (lambda b, x: b("Conv", x, floats(3, 2, 3, 3), kernel_shape=[2, 2]), "kernel_shape"),
        (lambda b, x: b("Conv", x, floats(3, 2, 3, 3), strides=[1]), "strides"),
        (lambda b, x: b("Conv", x, floats(3, 2, 3, 3), strides=[0, 1]), "strides"),
        (lambda b, x: b("Conv", x, floats(3, 2, 6, 3)), "larger than the map"),
        (lambda b, x: b("Conv", x, floats(3, 2, 3, 3), auto_pad="SOMEHOW"), "SOMEHOW"),
        (lambda b, x: b("Conv", x, floats(3, 2, 3, 3), pads=[2**40] * 4), "damaged"),
        (lambda b, x: b("MaxPool", x), "no kernel_shape"),
        (lambda b, x: b("MaxPool", x, kernel_shape=[1, 1], pads=[1, 1, 1, 1]), "in the padding only"),
        (lambda b, x: b("Pad", x, ints(0, 1, 1)), "do not fit"),
        (lambda b, x: b("Pad", x, ints(0, 0, 2**40, 0, 0, 0, 0, 0)), "damaged"),
    ],
)
def test_damaged_models(build: Callable[[Builder, str], str], words: str) -> None:
    b = Builder()
    y = build(b, b.input("x", [2, 2, 5, 4]))
    with pytest.raises(ModelError, match=words):
        load(b.model(y))


def test_an_average_of_nothing_is_damaged() -> None:
    b = Builder(19)
    x = b.input("x", ["N", 3, 2, 2])
    b("AveragePool", x, kernel_shape=[2, 2], dilations=[3, 3], pads=[1, 1, 1, 1], name="y")
    with pytest.raises(ModelError, match="in the padding only"):
        load(b.model("y"))


def test_pads_and_pools_need_a_value_that_is_a_number() -> None:
    b = Builder()
    b("Pad", b.input("x", ["N", 2, 5, 4]), ints(0, 0, 1, 1, 0, 0, 1, 1), np.float32(-np.inf), name="y")
    with pytest.raises(ModelError, match="infinite"):
        load(b.model("y"))


def test_max_pool_nodes_keep_the_type_of_what_they_read() -> None:
    b = Builder()
    y = b(
        "MaxPool",
        b("Conv", b.input("x", ["N", 2, 5, 4], np.float16), floats(3, 2, 2, 2).astype(np.float16)),
        kernel_shape=[2, 2],
        name="y",
    )
    assert single(load(b.model(y)), MaxPool).type.dtype == "float16"
