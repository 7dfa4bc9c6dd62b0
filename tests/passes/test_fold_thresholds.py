from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncompiler import blur, interpreter, ops, sampling
from bnncompiler.errors import UnsupportedModel
from bnncompiler.ir import Domain, Graph, Node, rows
from bnncompiler.oracle import ChannelFunction
from bnncompiler.passes import FoldThresholds
from bnncompiler.passes.fold_thresholds import fold
from tests import graphs

ACCUMULATOR = Domain(rows(1), rows(0), rows(-9), rows(9))


def folded(*steps: tuple[str, tuple[object, ...]], domain: Domain = ACCUMULATOR, size: int = 1) -> ops.Steps:
    x = graphs.source(size, domain)
    result = fold(ChannelFunction(x, graphs.chain(x, *steps)))
    assert result is not None
    return result


def values(node: ops.Steps) -> list[float]:
    """The real values on every accumulator of row 0."""
    q = np.arange(node.x.domain.bounds[0], node.x.domain.bounds[1] + 1, node.x.domain.step)[:, None]
    return [float(level) for level in interpreter.steps(q, node.at[:1], node.levels[:1])[:, 0]]


def test_sign_has_three_values() -> None:
    node = folded(("Sign", ()))
    assert node.at.tolist() == [[0, 1]]
    assert node.levels.tolist() == [[-1, 0, 1]]


def test_sign_of_odd_accumulators_is_bipolar() -> None:
    node = folded(("Sign", ()), domain=Domain(rows(1), rows(0), rows(-9), rows(9), step=2))
    assert node.out.is_bipolar
    assert node.at.tolist() == [[1]]


def test_negative_slope_makes_a_window() -> None:
    node = folded(("PRelu", (-0.5,)), ("Sub", (2.2,)), ("Sign", ()))
    assert values(node) == [1 if (q if q > 0 else -0.5 * q) > 2.2 else -1 for q in range(-9, 10)]
    assert node.at.shape == (1, 2)


def test_zero_gamma_makes_a_constant() -> None:
    node = folded(("BatchNormalization", (0.0, -0.25, 3.0, 2.0)), ("Sign", ()))
    assert set(values(node)) == {-1}


def test_two_levels_of_any_size_are_bipolar() -> None:
    node = folded(("Sub", (0.3,)), ("Sign", ()), ("Mul", (0.7,)), ("Add", (2.0,)))
    assert node.out.is_bipolar
    assert node.out.real(np.array([[-1], [1]])).round(6).tolist() == [[1.3], [2.7]]
    assert node.out.is_exact


def test_two_bits_round_half_to_even() -> None:
    node = folded(("Mul", (0.25,)), ("Clip", (0.0, 1.0)), ("Mul", (3.0,)), ("Round", ()), ("Div", (3.0,)))
    expected = [round(3 * min(max(q / 4, 0), 1)) for q in range(-9, 10)]  # Python rounds half to even, as ONNX does
    assert values(node) == expected
    assert node.out.bounds == (0, 3)


def test_integers_of_16_bits_that_a_file_has_onnxruntime_reads() -> None:
    x = graphs.source(1, Domain(rows(1), rows(0), rows(-9), rows(9)))
    scale, zero = graphs.constant(2.0), graphs.constant(0, np.int16)
    coded = ops.Elementwise("coded", "QuantizeLinear", (x, scale, zero), "int16", (("axis", 0),))
    real = ops.Elementwise("real", "DequantizeLinear", (coded, scale, zero), attrs=(("axis", 0),))
    assert ChannelFunction(x, real).evaluate32(np.array([[-9.0], [1.0], [3.0]])).tolist() == [[-8], [0], [4]]


def test_residue_of_a_straight_through_estimator_folds() -> None:
    x = graphs.source(1, ACCUMULATOR)
    sign = ops.Elementwise("s", "Sign", (x,))
    clip = graphs.chain(x, ("Clip", (-1.0, 1.0)))
    residue = ops.Elementwise("r", "Sub", (sign, clip))
    node = fold(ChannelFunction(x, ops.Elementwise("y", "Add", (residue, clip))))
    assert node is not None
    assert node.levels.tolist() == [[-1, 0, 1]]


def test_continuous_region_is_left_alone() -> None:
    x = graphs.source(1, Domain(rows(1), rows(0), rows(-100), rows(100)))
    graph = Graph("g", (x,), (graphs.chain(x, ("PRelu", (0.25,))),))
    assert FoldThresholds()(graph) is graph


def test_levels_that_no_number_can_be_are_refused() -> None:
    x = graphs.source(1, ACCUMULATOR)
    with pytest.raises(UnsupportedModel, match=r"f1: .*not a finite number"):
        fold(ChannelFunction(x, graphs.chain(x, ("Div", (0.0,)), ("Neg", ()))))


def test_inexact_accumulator_keeps_its_undecided_points() -> None:
    domain = Domain(rows(0.1), rows(0), rows(-9), rows(9), error=rows(0.11))
    node = folded(("Sub", (0.25,)), ("Sign", ()), domain=domain)
    assert node.at.tolist() == [[3]]
    # 0.1 q is within 0.11 of 0.25 for q = 2 and 3 only.
    assert blur.undecided(node).tolist() == [[[2, 4]]]


CHAINS = st.lists(
    st.one_of(
        st.tuples(st.just("Add"), st.tuples(st.floats(-50, 50, width=16))),
        st.tuples(st.just("Mul"), st.tuples(st.sampled_from([-2.0, -0.37, 0.0, 0.013, 1.0, 3.0]))),
        st.tuples(st.just("PRelu"), st.tuples(st.floats(-2, 2, width=16))),
        st.tuples(st.just("Clip"), st.sampled_from([(-1.0, 1.0), (0.0, 6.0), (-30.0, 5.5)])),
        st.tuples(st.sampled_from(["Relu", "Abs", "Neg", "Tanh", "Sigmoid"]), st.just(())),
    ),
    max_size=5,
)
DECISIONS = st.sampled_from([(("Sign", ()),), (("Round", ()), ("Clip", (-2.0, 2.0))), (("Sub", (0.5,)), ("Sign", ()))])


@settings(max_examples=60, deadline=None)
@given(CHAINS, DECISIONS)
def test_looking_at_breakpoints_finds_what_looking_everywhere_finds(
    steps: list[tuple[str, tuple[object, ...]]], decision: tuple[tuple[str, tuple[object, ...]], ...]
) -> None:
    domain = Domain(rows(0.25), rows(0.125), rows(-4000), rows(4000))
    x = graphs.source(1, domain)
    sink: Node = graphs.chain(x, *steps, *decision)
    function = ChannelFunction(x, sink)
    row = np.array([0])
    try:
        sparse = sampling.sample(function, row, full=0)
    except sampling.NotPiecewiseError:
        return
    every = sampling.everywhere(domain, row, 1)
    y = function.evaluate32(domain.real(every))[:, 0]
    changes = every[1:][np.abs(np.diff(y)) > 1e-6][:, 0]
    assert set(changes) <= set(sparse.q[:, 0])
    assert set(changes - 1) <= set(sparse.q[:, 0])


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans(), st.sampled_from(["Sign", "Round"]))
def test_folding_keeps_what_onnxruntime_computes(seed: int, scaled: bool, activation: str) -> None:
    """Every fold of a random network equals its region on every accumulator that is decided."""
    rng = np.random.default_rng(seed)
    from bnncompiler.passes import BinarizeWeights

    sizes = rng.integers(3, 40, size=3).tolist()
    graph = FoldThresholds()(BinarizeWeights()(graphs.mlp(rng, *sizes, 5, scaled=scaled, activation=activation)))
    for node in graph.nodes():
        if not isinstance(node, ops.Steps):
            continue
        function, domain = node.function, node.x.domain
        assert isinstance(function, ChannelFunction)
        row = np.arange(function.rows)
        q = sampling.everywhere(domain, row, function.rows)
        expected = function.evaluate32(domain.real(q))
        got = node.out.real(interpreter.steps(q, node.at, node.levels))
        blurred = blur.reached(blur.undecided(node), q)
        np.testing.assert_allclose(np.where(blurred, expected, got), expected, rtol=0, atol=2e-6)
        assert scaled or not blurred.any()


def test_a_curve_that_cancels_is_no_obstacle() -> None:
    """Sign with a polynomial straight-through residue, on a range too wide to look everywhere."""
    domain = Domain(rows(2.0**-18), rows(0), rows(-(2**22)), rows(2**22))
    x = graphs.source(1, domain)
    square = ops.Elementwise("square", "Mul", (x, x))
    residue = ops.Elementwise("less", "Sub", (graphs.chain(x, ("Sign", ())), square))
    function = ChannelFunction(x, ops.Elementwise("y", "Add", (residue, square)))
    node = fold(function)
    assert node is not None
    assert (node.at.tolist(), node.levels.tolist()) == ([[0, 1]], [[-1, 0, 1]])
    with pytest.raises(sampling.NotPiecewiseError, match="square: Mul"):
        sampling.pieces(ChannelFunction(x, residue), np.array([0]))
