from __future__ import annotations

import numpy as np
import pytest

from bnncompiler import blur, interpreter, ops
from bnncompiler.ir import Graph
from bnncompiler.passes import AbsorbPolarity, BinarizeWeights, Canonicalize, FoldThresholds
from bnncompiler.passes.binarize_weights import integer_rows
from tests import graphs


@pytest.mark.parametrize("levels", [[-1, 1], [-1, 0, 1], [-3, -1, 1, 3], [0, 1], [-2, -1, 0, 1], [-3, -2, 2, 3]])
def test_rows_of_few_values_are_integers_with_a_scale(levels: list[int]) -> None:
    rng = np.random.default_rng(0)
    q = rng.choice(levels, size=(6, 50))
    q[:, : len(levels)] = levels
    scale = rng.uniform(0.01, 3, size=6).astype(np.float32)
    found = integer_rows((q * scale[:, None]).astype(np.float32))
    assert found.known.all()
    np.testing.assert_array_equal(found.q, q)
    np.testing.assert_allclose(found.scale, scale, rtol=1e-6)
    assert (found.error <= 2e-6 * np.abs(q).max() * scale).all()


def test_zeros_and_noise_in_the_last_bits() -> None:
    w = np.array([[0.5, -0.5, 0.0, 0.50000006], [0, 0, 0, 0], [2, -2, 2, 2]], np.float32)
    found = integer_rows(w)
    assert found.q.tolist() == [[1, -1, 0, 1], [0, 0, 0, 0], [1, -1, 1, 1]]
    assert found.error[0] > 0
    assert not found.error[1:].any()


def test_a_row_of_zeros_beside_bipolar_ones_is_bipolar_with_a_scale_of_0() -> None:
    found = integer_rows(np.array([[0.5, -0.5, 0.5], [0, 0, 0], [2, 2, -2]], np.float32))
    assert found.known.all()
    assert found.q.tolist() == [[1, -1, 1], [1, 1, 1], [1, 1, -1]]
    assert found.scale.tolist() == [0.5, 0, 2]
    assert integer_rows(np.zeros((2, 3), np.float32)).scale.tolist() == [1, 1]


def test_rows_that_a_quantiser_wrote_are_integers_without_one_of_a_few_steps() -> None:
    q = np.array([[-128, 77, 50, 13], [255, -9, 23, 100], [41, 17, -5, 127]])
    scale = np.array([0.0031, 0.7, 1 / 127], np.float32)
    found = integer_rows(q.astype(np.float32) * scale[:, None])
    assert found.known.all()
    np.testing.assert_array_equal(found.q, q)
    assert (found.error <= 2.0**-22 * np.abs(q).max(axis=1) * scale).all()


def test_real_rows_are_not_integers() -> None:
    w = np.random.default_rng(0).normal(size=(3, 40)).astype(np.float32)
    assert not integer_rows(w).known.any()


def test_polarity_moves_into_the_weights() -> None:
    rng = np.random.default_rng(3)
    graph = FoldThresholds()(BinarizeWeights()(graphs.mlp(rng, 30, 17, 5)))
    done = AbsorbPolarity()(graph)
    hidden = [n for n in done.nodes() if isinstance(n, ops.Steps) and isinstance(n.x, ops.IntegerDense)]
    assert hidden
    assert all((n.levels[:, 0] <= n.levels[:, -1]).all() for n in hidden)
    falling = [n for n in graph.nodes() if isinstance(n, ops.Steps) and (n.levels[:, 0] > n.levels[:, -1]).any()]
    assert falling, "the network has no negative batch norm factor: the test shows nothing"
    q = rng.integers(0, 256, size=(200, 30))
    for a, b in zip(graph.nodes(), done.nodes(), strict=True):
        if isinstance(a, ops.Steps):
            np.testing.assert_array_equal(interpreter.run(graph, {"x": q})[a], interpreter.run(done, {"x": q})[b])


def test_polarity_keeps_undecided_points() -> None:
    rng = np.random.default_rng(4)
    graph = FoldThresholds()(BinarizeWeights()(graphs.mlp(rng, 300, 40, 5, scaled=True)))
    done = AbsorbPolarity()(graph)
    for a, b in zip(graph.nodes(), done.nodes(), strict=True):
        if isinstance(a, ops.Steps) and isinstance(b, ops.Steps):
            width_a, width_b = (np.sort(np.ptp(blur.undecided(n), axis=2).sum(axis=1)) for n in (a, b))
            np.testing.assert_array_equal(width_a, np.broadcast_to(width_b, width_a.shape))


def test_equal_nodes_become_one_and_casts_to_the_same_type_vanish() -> None:
    x = graphs.source(4, None)
    cast = ops.Elementwise("cast", "Cast", (x,), attrs=(("to", 1),))
    left, right = (graphs.chain(cast, ("Clip", (-1.0, 1.0)), name=n) for n in "ab")
    graph = Canonicalize()(Graph("g", (x,), (ops.Elementwise("y", "Add", (left, right)),)))
    assert [n.op for n in graph.nodes() if not isinstance(n, ops.Constant)] == ["input", "Clip", "Add"]
    assert Canonicalize()(graph) is graph


def test_a_graph_prints_as_text() -> None:
    x = graphs.source(3)
    graph = Graph("g", (x,), (graphs.chain(ops.Dense("fc", x, np.ones((2, 3), np.float32)), ("Relu", ())),))
    assert str(FoldThresholds()(BinarizeWeights()(graph))).splitlines() == [
        "graph g {",
        "  %x = input() : {0..255} *0.00392157[3]",
        "  %fc = integer_dense(%x, weight=[1][2, 3]) : {0..765} *0.00392157 ±1.1e-06[2]",
        "  %f0 = Relu(%fc) : float32[2]",
        "  return %f0",
        "}",
    ]
