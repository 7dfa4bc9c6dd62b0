"""What views cannot say: joined values, and elements that have to be moved for what reads them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bnncompiler.errors import ModelError, UnsupportedModel
from bnncompiler.frontend import Imported, load
from bnncompiler.ir import Array
from bnncompiler.ops import Concat, Permute
from tests.frontend.agreement import check
from tests.networks import Builder

RNG = np.random.default_rng(0)


def floats(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


def kinds(imported: Imported) -> list[str]:
    return [n.op for n in imported.graph.nodes() if n.op != "constant"]


def permutes(imported: Imported) -> list[Permute]:
    return [n for n in imported.graph.nodes() if isinstance(n, Permute)]


def joined(imported: Imported) -> Concat:
    (found,) = (n for n in imported.graph.nodes() if isinstance(n, Concat))
    return found


def conv(b: Builder, x: str, ins: int, outs: int, kernel: int = 1) -> str:
    return b("Conv", x, floats(outs, ins, kernel, kernel))


def test_channels_of_maps_are_joined() -> None:
    b = Builder()
    x = b.input("x", ["N", 3, 5, 4])
    y = b("Concat", conv(b, x, 3, 2), x, b("Sign", x), axis=1, name="joined")
    conv(b, y, 8, 2, 3)
    imported = check(b.model("v3"), {"x": floats(2, 3, 5, 4)})
    assert joined(imported).type.shape == (5, 4, 8)
    assert joined(imported).name == "joined"
    assert imported.origins["joined"] == ("node_2:Concat",)
    assert not permutes(imported)


@pytest.mark.parametrize("axis", [3, -1])
def test_channels_last_models_are_joined_channels_last(axis: int) -> None:
    b = Builder()
    x = b.input("x", ["N", 5, 4, 3])
    y = b("Transpose", conv(b, b("Transpose", x, perm=[0, 3, 1, 2]), 3, 2), perm=[0, 2, 3, 1])
    y = b("BatchNormalization", b("Transpose", b("Concat", y, x, axis=axis), perm=[0, 3, 1, 2]), *BN)
    b("Conv", y, floats(2, 5, 3, 3), name="y")
    imported = check(b.model("y"), {"x": floats(2, 5, 4, 3)})
    assert joined(imported).type.shape == (5, 4, 5)
    assert not permutes(imported)


BN = (*floats(3, 5), np.abs(floats(5)))


def test_inputs_alone_are_joined_along_the_axis_that_is_named() -> None:
    b = Builder()
    x, y = b.input("x", ["N", 3, 5, 4]), b.input("y", ["N", 2, 5, 4])
    b("Concat", x, y, axis=1, name="z")
    imported = check(b.model("z"), {"x": floats(2, 3, 5, 4), "y": floats(2, 2, 5, 4)})
    assert [i.type.shape for i in imported.graph.inputs] == [(5, 4, 3), (5, 4, 2)]
    assert joined(imported).type.shape == (5, 4, 5)


def test_one_dimensional_maps_are_joined() -> None:
    b = Builder()
    x = b.input("x", ["N", 3, 5])
    y = b("Conv", x, floats(2, 3, 3), pads=[1, 1])
    b("Conv", b("Concat", x, y, axis=1), floats(2, 5, 3), name="y")
    imported = check(b.model("y"), {"x": floats(2, 3, 5)})
    assert joined(imported).type.shape == (1, 5, 5)


def test_vectors_are_joined() -> None:
    b = Builder()
    x = b.input("x", ["N", 6])
    y = b("Concat", b("Sign", x), b("MatMul", x, floats(6, 3)), axis=1)
    b("MatMul", y, floats(9, 2), name="y")
    imported = check(b.model("y"), {"x": floats(2, 6)})
    assert kinds(imported) == ["input", "Sign", "dense", "concat", "dense"]


@pytest.mark.parametrize("nhwc", [False, True])
@pytest.mark.parametrize("pads", [(1, 2), (0, 3), (2, 0)])
def test_channels_are_padded(nhwc: bool, pads: tuple[int, int]) -> None:
    """As in residual networks whose shortcut has fewer channels."""
    b = Builder()
    x = conv(b, b.input("x", ["N", 3, 4, 4]), 3, 2)
    y = b("Slice", x, ints(0, 0), ints(9, 9), ints(2, 3), ints(2, 2))
    axis = 3 if nhwc else 1
    y = b("Transpose", y, perm=[0, 2, 3, 1]) if nhwc else y
    border = np.zeros(8, np.int64)
    border[[axis, axis + 4]] = pads
    y = b("Pad", y, border, np.float32(0.5), name="padded")
    y = b("Transpose", y, perm=[0, 3, 1, 2]) if nhwc else y
    other = b("Conv", x, floats(2 + sum(pads), 2, 2, 2), strides=[2, 2])
    b("Add", y, other, name="y")
    imported = check(b.model("y"), {"x": floats(2, 3, 4, 4)})
    assert joined(imported).type.shape == (2, 2, 2 + sum(pads))
    assert joined(imported).name == "padded"


def test_vectors_are_padded() -> None:
    b = Builder()
    b("MatMul", b("Pad", b.input("x", ["N", 6]), ints(0, 1, 0, 2)), floats(9, 2), name="y")
    assert joined(check(b.model("y"), {"x": floats(2, 6)})).type.shape == (9,)


@pytest.mark.parametrize("axis", [1, 2])
def test_constants_are_joined(axis: int) -> None:
    b = Builder()
    x = conv(b, b.input("x", ["N", 3, 4, 4]), 3, 2)
    shape = b("Concat", b("Slice", b("Shape", x), ints(0), ints(1)), ints(2, 4, 4), axis=0)
    b("Concat", b("Expand", floats(2, 4, 4), shape), x, b("ConstantOfShape", shape), axis=axis, name="y")
    imported = check(b.model("y"), {"x": floats(2, 3, 4, 4)})
    assert joined(imported).type.size == 96


def test_flattened_maps_are_joined_as_they_lie() -> None:
    """The order of their elements goes into the next layer's weights."""
    b = Builder()
    x = b.input("x", ["N", 3, 5, 4])
    y = b("Concat", b("Flatten", conv(b, x, 3, 2)), b("Flatten", b("GlobalAveragePool", x)), axis=1)
    b("MatMul", y, floats(43, 2), name="y")
    imported = check(b.model("y"), {"x": floats(2, 3, 5, 4)})
    assert all((p.index == np.arange(p.index.size)).all() for p in permutes(imported))


@pytest.mark.parametrize("axis", [2, 3])
@pytest.mark.parametrize("nhwc", [False, True])
def test_rows_and_columns_are_joined(axis: int, nhwc: bool) -> None:
    b = Builder()
    x = b.input("x", ["N", 3, 4, 4])
    parts = [conv(b, x, 3, 2), b("Sign", conv(b, x, 3, 2))]
    if nhwc:
        parts = [b("Transpose", p, perm=[0, 2, 3, 1]) for p in parts]
        y = b("Transpose", b("Concat", *parts, axis=axis - 1), perm=[0, 3, 1, 2])
    else:
        y = b("Concat", *parts, axis=axis)
    b("Conv", y, floats(2, 2, 3, 3), name="y")
    imported = check(b.model("y"), {"x": floats(2, 3, 4, 4)})
    assert joined(imported).type.shape == (64,)
    assert permutes(imported)[-1].type.shape == ((8, 4, 2) if axis == 2 else (4, 8, 2))


def test_parts_that_are_joined_again_make_no_node() -> None:
    b = Builder()
    y = conv(b, b.input("x", ["N", 3, 4, 4]), 3, 6)
    left, right = b.many("Split", y, ints(4, 2), outputs=["l", "r"], axis=1)
    b("MatMul", b("Flatten", b("Concat", right, left, axis=1)), floats(96, 2), name="y")
    assert kinds(check(b.model("y"), {"x": floats(2, 3, 4, 4)})) == ["input", "conv", "dense"]


def test_parts_of_different_values_are_gathered_and_joined() -> None:
    b = Builder()
    x = b.input("x", ["N", 3, 4, 4])
    left, _ = b.many("Split", conv(b, x, 3, 6), ints(4, 2), outputs=["l", "r"], axis=1)
    b("Conv", b("Concat", left, b("Relu", conv(b, x, 3, 2)), axis=1), floats(2, 6, 3, 3), name="y")
    imported = check(b.model("y"), {"x": floats(2, 3, 4, 4)})
    assert [p.type.shape for p in permutes(imported)] == [(4, 4, 4)]
    assert permutes(imported)[0].name == "l.gathered"
    assert imported.origins["l.gathered"] == ("node_1:Split",)


Move = Callable[[Builder, str], str]
GATHERS: dict[str, tuple[Move, tuple[int, ...]]] = {
    "split": (lambda b, x: b.many("Split", x, ints(1, 3), outputs=["l", "r"], axis=1)[1], (4, 6, 3)),
    "strided": (lambda b, x: b("Slice", x, ints(0, 1), ints(9, 9), ints(2, 3), ints(2, 2)), (2, 3, 4)),
    "turned": (lambda b, x: b("Transpose", x, perm=[0, 1, 3, 2]), (6, 4, 4)),
    "mirrored": (lambda b, x: b("Slice", x, ints(-1), ints(-99), ints(3), ints(-1)), (4, 6, 4)),
    "reflected": (lambda b, x: b("Pad", x, ints(0, 0, 1, 2, 0, 0, 0, 1), mode="reflect"), (5, 9, 4)),
    "edge": (lambda b, x: b("Pad", x, ints(0, 0, 1, 2, 0, 0, 0, 1), mode="edge"), (5, 9, 4)),
    "cropped": (lambda b, x: b("Pad", x, ints(0, 0, -1, 0, 0, 0, 0, -2)), (3, 4, 4)),
    "tiled": (lambda b, x: b("Tile", x, ints(1, 1, 1, 2)), (4, 12, 4)),
    "expanded": (lambda b, x: b("Expand", b("MaxPool", x, kernel_shape=[1, 6]), ints(1, 4, 4, 3)), (4, 3, 4)),
    "depth to space": (lambda b, x: b("DepthToSpace", x, blocksize=2), (8, 12, 1)),
    "depth to space, CRD": (lambda b, x: b("DepthToSpace", x, blocksize=2, mode="CRD"), (8, 12, 1)),
    "space to depth": (lambda b, x: b("SpaceToDepth", x, blocksize=2), (2, 3, 16)),
    "nearest": (lambda b, x: b("Resize", x, "", np.array([1, 1, 2, 1.5], np.float32)), (8, 9, 4)),
    "nearest, to a size": (lambda b, x: b("Resize", x, "", "", ints(1, 4, 3, 5)), (3, 5, 4)),
}


@pytest.mark.parametrize("what", GATHERS)
@pytest.mark.parametrize("on_input", [False, True])
def test_moved_maps_are_gathered_for_a_convolution(what: str, on_input: bool) -> None:
    move, shape = GATHERS[what]
    b = Builder()
    x = b.input("x", [1, 4, 4, 6])
    y = move(b, x if on_input else conv(b, x, 4, 4))
    b("Conv", y, floats(2, shape[-1], 1, 1), name="y")
    imported = check(b.model("y"), {"x": floats(1, 4, 4, 6)})
    assert [p.type.shape for p in permutes(imported)] == ([] if on_input and what in WHOLE else [shape])
    if on_input and what not in WHOLE:
        assert imported.graph.inputs[0].type.shape == (4, 6, 4)


WHOLE = ("turned", "mirrored", "depth to space", "depth to space, CRD", "space to depth")  # an input can lie so itself


@pytest.mark.parametrize("mode", ["reflect", "edge", "constant"])
def test_old_pads_that_move(mode: str) -> None:
    b = Builder(10)
    pads = [0, 0, -1, 0, 0, 0, 0, -2] if mode == "constant" else [0, 0, 1, 0, 0, 0, 1, 2]
    conv(b, b("Pad", b.input("x", ["N", 3, 4, 6]), mode=mode, pads=pads, name="padded"), 3, 2)
    check(b.model("v1"), {"x": floats(2, 3, 4, 6)})


def test_a_circular_pad() -> None:
    b = Builder(19)
    conv(b, b("Pad", b.input("x", ["N", 3, 4, 6]), ints(1, 2, 1, 2), "", ints(2, 3), mode="wrap"), 3, 2, 3)
    imported = check(b.model("v1"), {"x": floats(2, 3, 4, 6)})
    assert permutes(imported)[0].type.shape == (6, 10, 3)


def test_upsample() -> None:
    b = Builder(9)
    conv(b, b("Upsample", b.input("x", ["N", 3, 4, 6]), np.array([1, 1, 2, 2], np.float32)), 3, 2)
    assert permutes(check(b.model("v1"), {"x": floats(2, 3, 4, 6)}))[0].type.shape == (8, 12, 3)


def test_what_is_computed_of_repeated_elements_is_computed_before_they_are() -> None:
    """While the constants allow it: one a channel here."""
    b = Builder()
    y = b("Pad", conv(b, b.input("x", ["N", 3, 4, 4]), 3, 5), ints(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect")
    b("Conv", b("Sign", b("BatchNormalization", y, *BN)), floats(2, 5, 3, 3), name="y")
    imported = check(b.model("y"), {"x": floats(2, 3, 4, 4)})
    assert kinds(imported) == ["input", "conv", "BatchNormalization", "Sign", "permute", "conv"]
    assert {n.type.shape for n in imported.graph.nodes() if n.op == "constant"} == {(5,)}


def test_repeated_elements_that_meet_different_constants_are_gathered_first() -> None:
    b = Builder()
    y = b("Pad", conv(b, b.input("x", ["N", 3, 4, 4]), 3, 5), ints(0, 0, 1, 1, 0, 0, 1, 1), mode="reflect")
    b("Conv", b("Sign", b("Add", y, floats(5, 6, 6))), floats(2, 5, 3, 3), name="y")
    imported = check(b.model("y"), {"x": floats(2, 3, 4, 4)})
    assert kinds(imported) == ["input", "conv", "permute", "Add", "Sign", "conv"]
    assert permutes(imported)[0].type.shape == (6, 6, 5)


def test_parts_keep_constants_of_channels() -> None:
    b = Builder()
    y = b("Slice", conv(b, b.input("x", ["N", 3, 4, 4]), 3, 5), ints(1, 1), ints(3, 3), ints(2, 3))
    b("Conv", b("BatchNormalization", y, *BN), floats(2, 5, 1, 1), name="y")
    imported = check(b.model("y"), {"x": floats(2, 3, 4, 4)})
    assert {n.type.shape for n in imported.graph.nodes() if n.op == "constant"} == {(5,)}


def test_one_value_that_meets_many_constants_is_gathered() -> None:
    b = Builder()
    b("Add", b.input("x", ["N", 1]), np.arange(6, dtype=np.float32), name="y")
    imported = check(b.model("y"), {"x": floats(2, 1)})
    assert permutes(imported)[0].type.shape == (6,)


@pytest.mark.parametrize("first", [False, True])
@pytest.mark.parametrize("shape", [(-1, 5, 1, 1), (-1, 1, 4, 4)])
def test_a_gate_is_spread_over_the_map(first: bool, shape: tuple[int, ...]) -> None:
    """Squeeze and excite: one factor a channel, or a pixel."""
    b = Builder()
    x = conv(b, b.input("x", ["N", 3, 4, 4]), 3, 5)
    gate = b("MatMul", b("Flatten", b("GlobalAveragePool", x)), floats(5, int(np.prod(shape[1:]))))
    gate = b("Reshape", b("Sigmoid", gate), ints(*shape))
    y = b("Mul", *((gate, x) if first else (x, gate)))
    b("Conv", b("Sign", y), floats(2, 5, 3, 3), name="y")
    imported = check(b.model("y"), {"x": floats(2, 3, 4, 4)})
    assert [p.type.shape for p in permutes(imported)] == [(4, 4, 5)]


def test_a_gate_of_pooled_maps_channels_last() -> None:
    b = Builder()
    x = b("Transpose", conv(b, b.input("x", ["N", 3, 4, 4]), 3, 5), perm=[0, 2, 3, 1])
    y = b("Mul", x, b("Sigmoid", b("ReduceMean", x, axes=[1, 2], keepdims=1)))
    b("ReduceMean", y, axes=[1, 2], keepdims=0, name="y")
    imported = check(b.model("y"), {"x": floats(2, 3, 4, 4)})
    assert [p.type.shape for p in permutes(imported)] == [(4, 4, 5)]


def test_two_vectors_that_span_a_map_are_both_gathered() -> None:
    b = Builder()
    x = b.input("x", ["N", 6])
    rows, columns = (
        b("Reshape", b("MatMul", x, floats(6, n)), ints(*s)) for n, s in ((5, (-1, 5, 1)), (4, (-1, 1, 4)))
    )
    b("Mul", rows, columns, name="y")
    imported = check(b.model("y"), {"x": floats(2, 6)})
    assert len(permutes(imported)) == 2
    assert imported.views["y"].index.shape == (5, 4)


def test_a_value_and_its_transpose() -> None:
    b = Builder()
    x = b.input("x", ["N", 4, 4])
    b("Add", x, b("Transpose", x, perm=[0, 2, 1]), name="y")
    imported = check(b.model("y"), {"x": floats(2, 4, 4)})
    assert kinds(imported) == ["input", "permute", "Add"]


def test_a_transposed_input_is_laid_out_as_what_it_meets() -> None:
    b = Builder()
    x, y = b.input("x", ["N", 3, 4, 4]), b.input("y", ["N", 4, 4, 5])
    b("Add", conv(b, x, 3, 5), b("Transpose", y, perm=[0, 3, 1, 2]), name="z")
    imported = check(b.model("z"), {"x": floats(2, 3, 4, 4), "y": floats(2, 4, 4, 5)})
    assert kinds(imported) == ["input", "input", "conv", "Add"]


def test_halves_of_a_map_are_added() -> None:
    b = Builder()
    y = conv(b, b.input("x", ["N", 3, 4, 4]), 3, 6)
    left, right = b.many("Split", y, ints(3, 3), outputs=["l", "r"], axis=1)
    b("Conv", b("Max", left, right), floats(2, 3, 1, 1), name="y")
    imported = check(b.model("y"), {"x": floats(2, 3, 4, 4)})
    assert [p.type.shape for p in permutes(imported)] == [(4, 4, 3)] * 2


def test_a_dense_layer_over_the_pixels_of_each_channel() -> None:
    b = Builder()
    y = b("Reshape", conv(b, b.input("x", ["N", 3, 4, 4]), 3, 5), ints(-1, 5, 16))
    b("MatMul", y, floats(16, 2), name="y")
    imported = check(b.model("y"), {"x": floats(2, 3, 4, 4)})
    assert kinds(imported) == ["input", "conv", "permute", "dense"]
    assert imported.graph.outputs[0].type.shape == (5, 2)


OUTPUTS: dict[str, tuple[Move, tuple[int, ...]]] = {
    "half": (lambda b, x: b.many("Split", x, ints(2, 3), outputs=["l", "y"], axis=1)[1], (4, 6, 3)),
    "turned": (lambda b, x: b("Transpose", x, perm=[0, 3, 1, 2]), (6, 5, 4)),
    "flat": (lambda b, x: b("Flatten", x), (120,)),
    "pixels": (lambda b, x: b("Slice", b("Reshape", x, ints(-1, 5, 24)), ints(4), ints(20), ints(2)), (1, 16, 5)),
}


@pytest.mark.parametrize("what", OUTPUTS)
def test_outputs_are_laid_out(what: str) -> None:
    move, shape = OUTPUTS[what]
    b = Builder()
    y = move(b, conv(b, b.input("x", ["N", 3, 4, 6]), 3, 5))
    imported = check(b.model(y), {"x": floats(2, 3, 4, 6)})
    (output,) = imported.graph.outputs
    assert sorted(output.type.shape) == sorted(shape)
    assert output.name == y
    assert imported.views[y].base is output
    assert any("channels last" in note for note in imported.notes)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda b, x: b("Concat", x, np.arange(96, dtype=np.float32).reshape(2, 3, 4, 4), axis=1), "differs between"),
        (lambda b, x: b("Concat", x, b("Sign", x), axis=0), "mixes the samples"),
        (lambda b, x: b("Concat", b("Softmax", x, axis=1), b("Sign", x), axis=1), "Softmax"),
        (lambda b, x: b("Add", x, b("Slice", x, ints(-1), ints(-9), ints(0), ints(-1))), "mixes the samples"),
        (lambda b, x: b("Resize", x, "", np.array([1, 1, 2, 2], np.float32), mode="cubic"), "mode=cubic"),
        (lambda b, x: b("Pad", x, ints(0, 0, 1, -1, 0, 0, 1, 1)), "negative pads"),
    ],
)
def test_what_is_refused(build: Move, words: str) -> None:
    b = Builder()
    y = build(b, b.input("x", [2, 3, 4, 4]))
    with pytest.raises(UnsupportedModel, match=words) as error:
        load(b.model(y))
    assert 'node "node_' in str(error.value)


def test_shapes_that_do_not_go_together_are_damage() -> None:
    b = Builder()
    b("Add", b.input("x", ["N", 3, 4]), floats(2, 4), name="y")
    with pytest.raises(ModelError, match="do not go together"):
        load(b.model("y"))
