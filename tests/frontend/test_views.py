"""Layout by evaluation: what moves elements changes an index, makes no node, and ends in the next layer's weights."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from bnncompiler.errors import UnsupportedModel
from bnncompiler.frontend import load
from bnncompiler.ir import Array
from bnncompiler.ops import Dense
from tests.frontend.agreement import check
from tests.networks import Builder


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


Move = Callable[[Builder, str], str]
MOVES: dict[str, tuple[tuple[int, ...], Move]] = {
    "flatten": ((2, 3, 4), lambda b, x: b("Flatten", x)),
    "flatten of a transposed map": ((2, 3, 4), lambda b, x: b("Flatten", b("Transpose", x, perm=[0, 2, 3, 1]))),
    "reshape and transpose": (
        (24,),
        lambda b, x: b("Flatten", b("Transpose", b("Reshape", x, ints(-1, 4, 6)), perm=[0, 2, 1])),
    ),
    "slice": ((24,), lambda b, x: b("Slice", x, ints(3), ints(20), ints(1), ints(2))),
    "reversed": ((24,), lambda b, x: b("Slice", x, ints(-1), ints(-1000), ints(1), ints(-1))),
    "gather": ((24,), lambda b, x: b("Gather", x, ints(5, 0, 7, 7), axis=1)),
    "split": ((24,), lambda b, x: b.many("Split", x, ints(10, 14), outputs=["left", "right"], axis=1)[1]),
    "rotated": (
        (24,),
        lambda b, x: b("Concat", *b.many("Split", x, ints(10, 14), outputs=["l", "r"], axis=1)[::-1], axis=1),
    ),
    "squeezed": ((1, 24, 1), lambda b, x: b("Squeeze", b("Unsqueeze", x, ints(2)), ints(1, 2, 4))),
    "expanded": ((6, 1), lambda b, x: b("Flatten", b("Expand", x, ints(1, 6, 4)))),
    "tiled": ((12,), lambda b, x: b("Tile", x, ints(1, 2))),
    "depth to space": ((4, 3, 2), lambda b, x: b("Flatten", b("DepthToSpace", x, blocksize=2))),
    "space to depth": ((1, 4, 6), lambda b, x: b("Flatten", b("SpaceToDepth", x, blocksize=2))),
    "batch at the end": ((24,), lambda b, x: b("Transpose", b("Transpose", x, perm=[1, 0]), perm=[1, 0])),
}


@pytest.mark.parametrize("where", MOVES)
@pytest.mark.parametrize("batch", ["N", 1, 3])
def test_moves_make_no_nodes(where: str, batch: int | str) -> None:
    shape, move = MOVES[where]
    rng = np.random.default_rng(0)
    b = Builder()
    moved = move(b, b("Sign", b.input("x", [batch, *shape])))
    width = {"slice": 9, "gather": 4, "split": 14}.get(where, 24)
    b("MatMul", moved, rng.integers(-3, 4, (width, 5)).astype(np.float32), name="y")
    samples = 3 if batch == "N" else int(batch)
    imported = check(b.model("y"), {"x": rng.standard_normal((samples, *shape)).astype(np.float32)})
    assert [n.op for n in imported.graph.nodes()] == ["input", "Sign", "dense"]
    assert imported.batch == (None if batch == "N" else batch)
    assert moved in imported.views


def test_layout_nodes_are_the_consumers_origin() -> None:
    b = Builder()
    b("MatMul", b("Flatten", b.input("x", ["N", 2, 2])), np.ones((4, 3), np.float32), name="y")
    assert load(b.model("y")).origins["y"] == ("node_0:Flatten", "node_1:MatMul")


def test_the_shape_boilerplate_of_exporters() -> None:
    """``x.view(x.size(0), -1)``, and constants made of a shape."""
    b = Builder()
    x = b.input("x", ["N", 2, 3])
    n = b("Unsqueeze", b("Gather", b("Shape", x), np.int64(0)), ints(0))
    flat = b("Reshape", x, b("Concat", n, ints(-1), axis=0))
    ones = b("ConstantOfShape", b("Shape", flat))
    b("Where", b("Greater", flat, np.float32(0)), b("Add", ones, np.float32(1)), b("Neg", ones), name="y")
    x_value = np.random.default_rng(0).standard_normal((4, 2, 3)).astype(np.float32)
    imported = check(b.model("y"), {"x": x_value})
    assert [n.op for n in imported.graph.nodes() if n.op != "constant"] == ["input", "Greater", "Where"]


def test_positions_side_by_side_are_a_dense_layer_each() -> None:
    rng = np.random.default_rng(0)
    b = Builder()
    x = b.input("x", ["N", 3, 4])
    flat = b("Reshape", x, ints(-1, 4))  # positions of all samples in one axis
    y = b(
        "Gemm",
        flat,
        rng.standard_normal((5, 4)).astype(np.float32),
        rng.standard_normal(5).astype(np.float32),
        transB=1,
    )
    b("Reshape", b("Sign", y), ints(-1, 3, 5), name="z")
    imported = check(b.model("z"), {"x": rng.standard_normal((2, 3, 4)).astype(np.float32)})
    assert imported.graph.outputs[0].type.shape == (3, 5)
    assert flat not in imported.views  # its first axis is not the batch


def test_positions_with_permuted_channels() -> None:
    rng = np.random.default_rng(0)
    b = Builder()
    x = b("Gather", b.input("x", ["N", 3, 4]), ints(2, 0, 3, 1), axis=2)
    b("MatMul", x, rng.standard_normal((4, 5)).astype(np.float32), name="y")
    check(b.model("y"), {"x": rng.standard_normal((2, 3, 4)).astype(np.float32)})


def test_constants_on_the_left() -> None:
    rng = np.random.default_rng(0)
    b = Builder()
    column = b("Transpose", b.input("x", ["N", 4]), perm=[1, 0])
    product = b("MatMul", rng.standard_normal((3, 4)).astype(np.float32), column)
    bias = rng.standard_normal((2, 1)).astype(np.float32)
    product = b("Gemm", rng.standard_normal((2, 3)).astype(np.float32), product, bias)
    b("Transpose", product, perm=[1, 0], name="y")
    check(b.model("y"), {"x": rng.standard_normal((5, 4)).astype(np.float32)})


def test_a_vector_of_weights() -> None:
    rng = np.random.default_rng(0)
    b = Builder()
    b("MatMul", b.input("x", ["N", 3, 4]), rng.standard_normal(4).astype(np.float32), name="y")
    imported = check(b.model("y"), {"x": rng.standard_normal((2, 3, 4)).astype(np.float32)})
    assert imported.views["y"].index.shape == (3,)


@pytest.mark.parametrize("bias", [(5,), (1, 5), (), (1,), (1, 1), (3, 5)])
def test_gemm_in_all_its_forms(bias: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    b = Builder()
    x = b("Transpose", b.input("x", [3, 4]), perm=[1, 0])
    c = np.broadcast_to(rng.standard_normal(bias[-1:]), bias).astype(np.float32)
    w = rng.standard_normal((5, 4)).astype(np.float32)
    b("Gemm", x, w, c, transA=1, transB=1, alpha=0.5, beta=2.0, name="y")
    imported = check(b.model("y"), {"x": rng.standard_normal((3, 4)).astype(np.float32)})
    dense = imported.graph.outputs[0]
    assert isinstance(dense, Dense)
    np.testing.assert_array_equal(dense.weight, w * np.float32(0.5))
    assert {"alpha" in note for note in imported.notes} == {True, False}


@pytest.mark.parametrize(
    ("mix", "ins"),
    [
        (lambda b, x: b("Reshape", x, ints(1, -1)), 8),
        (lambda b, x: b("Transpose", x, perm=[1, 0]), 2),
        (lambda b, x: b("Slice", x, ints(0), ints(1), ints(0)), 4),
    ],
)
def test_mixing_samples_is_refused(mix: Move, ins: int) -> None:
    b = Builder()
    b("MatMul", mix(b, b.input("x", ["N", 4])), np.ones((ins, 3), np.float32), name="y")
    with pytest.raises(UnsupportedModel, match='MatMul node "node_1" mixes the samples'):
        load(b.model("y"))


@pytest.mark.parametrize(
    "mix",
    [
        lambda b, x: b("Slice", x, ints(-1), ints(-9), ints(0), ints(-1)),
        lambda b, x: b("Concat", x, x, axis=0),
    ],
)
def test_reordering_samples_is_refused(mix: Move) -> None:
    b = Builder()
    b("MatMul", mix(b, b.input("x", ["N", 4])), np.ones((4, 3), np.float32), name="y")
    with pytest.raises(UnsupportedModel, match="another order"):
        load(b.model("y"))


@pytest.mark.parametrize(
    ("build", "word"),
    [
        (lambda b, x: b("MatMul", x, b("Transpose", x, perm=[0, 2, 1])), "two variable values"),
        (lambda b, x: b("Concat", x, b("Sign", x), axis=0), "mixes the samples"),
        (lambda b, x: b("Gather", np.ones(4, np.float32), b("Cast", x, to=7)), "moves elements by what"),
        (
            lambda b, x: b("MatMul", x, np.arange(16, dtype=np.float32).reshape(2, 4, 2)),
            "other weights for each sample",
        ),
        (lambda b, x: b("Slice", x, ints(2), ints(2), ints(1)), "empty tensor"),
        (lambda b, x: b("Identity", np.ones(3, np.float32)), "does not depend on the input"),
    ],
)
def test_what_is_refused(build: Move, word: str) -> None:
    b = Builder()
    x = b.input("x", [2, 4, 4])
    y = build(b, x)
    with pytest.raises(UnsupportedModel, match=word):
        load(b.model(y))
