"""Einsum, stacks of matrices, CumSum and reductions over any axes, against onnxruntime and numpy."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

import bnncompiler
from bnncompiler.errors import CompileError, ModelError, UnsupportedModel
from bnncompiler.frontend import load
from bnncompiler.ir import Array
from bnncompiler.ops import Concat, Dense, MaxPool, Permute
from tests.frontend.agreement import check
from tests.frontend.test_conv import kinds
from tests.networks import Builder

RNG = np.random.default_rng(0)


def floats(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


def ints(*values: int) -> Array:
    return np.array(values, np.int64)


EQUATIONS = [
    ("bi,ij->bj", [(4, 6), (6, 3)]),
    ("bi,oi->bo", [(4, 6), (3, 6)]),
    ("bi,oi", [(4, 6), (3, 6)]),
    ("btc,cd->btd", [(4, 5, 6), (6, 3)]),
    ("btc,cd->bdt", [(4, 5, 6), (6, 3)]),
    ("nchw,oc->nohw", [(4, 6, 3, 2), (5, 6)]),
    ("nhwc, co -> nhwo", [(4, 3, 2, 6), (6, 5)]),
    ("...c,cd->...d", [(4, 5, 6), (6, 3)]),
    ("b...c,c...->b...", [(4, 2, 3, 6), (6, 2, 3)]),
    ("bc...,co->bo...", [(4, 6, 2, 3), (6, 5)]),
    ("abc,cde->abde", [(4, 5, 6), (6, 2, 3)]),
    ("abcd,cde->abe", [(4, 5, 2, 3), (2, 3, 6)]),
    ("bgi,gio->bgo", [(4, 2, 6), (2, 6, 3)]),
    ("bghi,hgio->bohg", [(4, 2, 3, 6), (3, 2, 6, 5)]),
    ("bti,tio->bo", [(4, 5, 6), (5, 6, 3)]),
    ("bti,io->bo", [(4, 5, 6), (6, 3)]),
    ("bti,ios->bo", [(4, 5, 6), (6, 3, 2)]),
    ("bti,io,to->bto", [(4, 5, 6), (6, 3), (5, 3)]),
    ("bi,j->bij", [(4, 6), (3,)]),
    ("abc->acb", [(4, 5, 6)]),
    ("abc->ab", [(4, 5, 6)]),
    ("abc->a", [(4, 5, 6)]),
]


@pytest.mark.parametrize(("equation", "shapes"), EQUATIONS)
def test_einsum(equation: str, shapes: list[tuple[int, ...]]) -> None:
    for place in range(len(shapes)):
        if place and len(shapes) != 2:
            continue  # with two operands, the variable one may be either
        terms, arrow, out = equation.partition("->")
        listed = terms.split(",")
        given = [*listed[1:], listed[0]] if place else listed
        b = Builder(17)
        x = b.input("x", ["N", *shapes[0][1:]])
        others = [floats(*s) for s in shapes[1:]]
        operands = [*others, x] if place else [x, *others]
        b("Einsum", *operands, name="y", equation=",".join(given) + arrow + out)
        check(b.model("y"), {"x": floats(*shapes[0])})


def test_einsum_by_one_matrix_is_one_layer() -> None:
    b = Builder(17)
    b("Einsum", b("Sign", b.input("x", ["N", 5, 6])), floats(6, 3), name="y", equation="btc,cd->btd")
    imported = check(b.model("y"), {"x": floats(4, 5, 6)})
    assert kinds(imported) == ["input", "Sign", "dense"]


STACKS: list[tuple[tuple[int, ...], tuple[int, ...], int]] = [
    ((2, 3, 6), (2, 6, 5), 2),  # a matrix for each head
    ((2, 1, 6), (2, 6, 5), 2),
    ((1, 3, 6), (2, 6, 5), 1),  # the same input to two matrices
    ((2, 3, 4, 6), (3, 6, 5), 3),
    ((2, 3, 6), (1, 1, 6, 5), 1),
]


@pytest.mark.parametrize(("shape", "weights", "layers"), STACKS)
@pytest.mark.parametrize("left", [False, True])
def test_stack_of_matrices(shape: tuple[int, ...], weights: tuple[int, ...], layers: int, left: bool) -> None:
    """Each matrix of a stack is a layer; a stack that broadcasts over the inputs is one."""
    b = Builder(17)
    weight = floats(*weights)
    if left:
        shape = (*shape[:-2], shape[-1], shape[-2])
        x = b.input("x", ["N", *shape])
        b("MatMul", weight.swapaxes(-1, -2).copy(), x, name="y")
    else:
        x = b.input("x", ["N", *shape])
        b("MatMul", x, weight, name="y")
    imported = check(b.model("y"), {"x": floats(4, *shape)})
    assert sum(isinstance(n, Dense) for n in imported.graph.nodes()) == layers


def test_stack_of_the_same_matrix_is_one_layer() -> None:
    b = Builder(17)
    weight = np.repeat(floats(1, 6, 5), 3, axis=0)
    b("MatMul", b.input("x", ["N", 3, 4, 6]), weight, name="y")
    imported = check(b.model("y"), {"x": floats(4, 3, 4, 6)})
    assert sum(isinstance(n, Dense) for n in imported.graph.nodes()) == 1
    assert not any(isinstance(n, Concat) for n in imported.graph.nodes())


@pytest.mark.parametrize("exclusive", [0, 1])
@pytest.mark.parametrize("reverse", [0, 1])
@pytest.mark.parametrize("axis", [1, -1])
def test_cum_sum(axis: int, exclusive: int, reverse: int) -> None:
    b = Builder(17)
    b("CumSum", b.input("x", ["N", 3, 5]), np.array(axis), name="y", exclusive=exclusive, reverse=reverse)
    imported = check(b.model("y"), {"x": floats(4, 3, 5)})
    (layer,) = (n for n in imported.graph.nodes() if isinstance(n, Dense))
    assert set(np.unique(layer.weight)) <= {0, 1}


SHAPES: list[tuple[tuple[int, ...], tuple[int, ...]]] = [
    ((6,), (1,)),
    ((3, 6), (1, 2)),
    ((3, 4, 6), (1, 2, 3)),
    ((2, 3, 4, 6), (2,)),
    ((2, 3, 4, 6), (1, 4)),
]


@pytest.mark.parametrize(("shape", "axes"), SHAPES)
@pytest.mark.parametrize("op", ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceMin"])
@pytest.mark.parametrize("keepdims", [0, 1])
def test_reductions_over_any_axes(op: str, shape: tuple[int, ...], axes: tuple[int, ...], keepdims: int) -> None:
    b = Builder(18)
    b(op, b.input("x", ["N", *shape]), ints(*axes), name="y", keepdims=keepdims)
    check(b.model("y"), {"x": floats(4, *shape)})


def test_the_largest_of_channels_is_a_pool() -> None:
    b = Builder(18)
    y = b("Conv", b.input("x", ["N", 2, 5, 5]), floats(4, 2, 3, 3))
    b("ReduceMax", y, ints(1), name="y", keepdims=1)
    imported = check(b.model("y"), {"x": floats(4, 2, 5, 5)})
    (pool,) = (n for n in imported.graph.nodes() if isinstance(n, MaxPool))
    assert pool.window.kernel == (4, 1) and isinstance(pool.x, Permute)


def test_reduction_over_channels_and_rows() -> None:
    b = Builder(18)
    y = b("Conv", b.input("x", ["N", 2, 5, 5]), floats(4, 2, 3, 3))
    b("ReduceMean", y, ints(1, 2), name="y")
    check(b.model("y"), {"x": floats(4, 2, 5, 5)})


@pytest.mark.usefixtures("cc")
def test_they_compile_to_bits() -> None:
    """A network of them, with nothing real in it, is exact."""
    b = Builder(18)
    signs = np.sign(floats(2, 8, 8)), np.sign(floats(8, 3, 4)), np.sign(floats(8, 5))
    x = b("Sign", b("Sub", b.input("x", ["N", 2, 4, 8]), np.float32(100.5)))
    x = b("Sign", b("Add", b("MatMul", x, signs[0]), np.float32(0.5)))
    x = b("Sign", b("Add", b("CumSum", x, np.array(2)), np.float32(0.5)))
    x = b("Sign", b("Add", b("Einsum", x, signs[1], equation="nghi,ijk->nhgjk"), np.float32(0.5)))
    x = b("ReduceMin", b("ReduceMax", x, ints(2), keepdims=0), ints(2), keepdims=0)
    y = b("Einsum", b("Concat", x, x, axis=2), signs[2], equation="nti,io->no", name="y")
    compilation = bnncompiler.compile(b.model(y), name="net", input="uint8", scale=1)
    assert compilation.exact
    result = bnncompiler.verify(compilation, {"x": RNG.integers(0, 256, (32, 2, 4, 8), dtype=np.uint8)})
    assert result.passed, result.failures
    assert result.undecided_points == 0


Refused = list[tuple[Callable[[Builder, str], str], str]]
REFUSED: Refused = [
    (lambda b, x: b("Einsum", x, x, equation="bti,bsi->bts"), r"Einsum.*two variable values.*gate by Mul"),
    (lambda b, x: b("Einsum", x, floats(6), equation="bti,i->bti"), "write it as Mul"),
    (lambda b, x: b("Einsum", x, floats(2, 6, 5), equation="bti,bio->bto"), "other weights for each sample"),
    (lambda b, x: b("Einsum", x, floats(6, 6), equation="bti,ii->bt"), "diagonal"),
    (lambda b, x: b("ReduceMean", x, ints(0)), "batch"),
    (lambda b, x: b("ReduceMin", x, ints(0)), "mixes the samples"),
    (lambda b, x: b("LayerNormalization", x, floats(6)), r"LayerNormalization.*use BatchNormalization"),
    (lambda b, x: b("InstanceNormalization", x, floats(5), floats(5)), "use BatchNormalization"),
    (lambda b, x: b("GRU", x, floats(1, 12, 6), floats(1, 12, 4), hidden_size=4), "recurrent networks do not compile"),
]


@pytest.mark.parametrize(("build", "message"), REFUSED)
def test_refused(build: Callable[[Builder, str], str], message: str) -> None:
    b = Builder(18)
    with pytest.raises(UnsupportedModel, match=message):
        load(b.model(build(b, b.input("x", ["N", 5, 6]))))


def test_an_equation_that_does_not_fit() -> None:
    b = Builder(17)
    b("Einsum", b.input("x", ["N", 6]), floats(6, 3), name="y", equation="bti,io->bo")
    with pytest.raises(ModelError, match="Einsum"):
        load(b.model("y"))


def test_a_decomposed_layer_norm_is_refused_by_what_it_is() -> None:
    """As PyTorch and Keras write it, with a division or a reciprocal."""
    for reciprocal in (False, True):
        b = Builder(18)
        y = b("MatMul", b("Sign", b.input("x", ["N", 16])), np.sign(floats(16, 8)))
        centred = b("Sub", y, b("ReduceMean", y, ints(-1)))
        variance = b("ReduceMean", b("Mul", centred, centred), ints(-1))
        deviation = b("Sqrt", b("Add", variance, np.float32(1e-3)))
        y = b("Mul", centred, b("Reciprocal", deviation)) if reciprocal else b("Div", centred, deviation)
        y = b("MatMul", b("Sign", b("Add", y, floats(8))), np.sign(floats(8, 4)))
        with pytest.raises(CompileError, match=r"norm by each sample's own statistics.*BatchNormalization"):
            bnncompiler.compile(b.model(y), name="net")
