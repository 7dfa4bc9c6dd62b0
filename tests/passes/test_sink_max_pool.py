"""Pools move behind thresholds, whichever of the two passes sees the thresholds first."""

from __future__ import annotations

import numpy as np
import pytest

import bnncompiler
from bnncompiler import ops
from bnncompiler.ir import Graph, Node, TensorType, bipolar
from bnncompiler.passes import FoldThresholds, SinkMaxPool, check_equivalence, pipeline, run_pipeline
from bnncompiler.window import Window
from tests import graphs
from tests.networks import Builder

POOL = Window((2, 2), (2, 2))
SAME = Window((3, 3), before=(1, 1), after=(1, 1))


def pooled(rng: np.random.Generator) -> Graph:
    """Two convolutions, the second one pooled between its sums and their thresholds, some of which fall."""
    x = ops.Input("x", TensorType((6, 6, 3), "float32", bipolar()))
    h: Node = x
    for i, (ins, outs) in enumerate(((3, 5), (5, 4))):
        h = ops.Conv(f"conv{i}", h, graphs.signs(rng, outs, 3, 3, ins), None, SAME)
        h = ops.MaxPool("pool", h, POOL) if i else h
        h = graphs.chain(h, graphs.batch_norm(rng, outs, ins * 9), ("Add", (0.25,)), ("Sign", ()), name=f"act{i}_")
    return Graph("g", (x,), (ops.Dense("logits", h, graphs.signs(rng, 2, 36)),))


@pytest.mark.parametrize("seed", range(5))
def test_thresholds_folded_before_the_pool_got_its_turn(seed: int) -> None:
    rng = np.random.default_rng(seed)
    graph = run_pipeline(pooled(rng), pipeline()[:3])
    folded = FoldThresholds()(graph)  # one sweep folds both: the pool's sums have a domain as soon as the first is
    (pool,) = (n for n in folded.nodes() if isinstance(n, ops.MaxPool))
    assert any(isinstance(n, ops.Steps) and n.x is pool for n in folded.nodes())
    sunk = SinkMaxPool()(folded)
    (pool,) = (n for n in sunk.nodes() if isinstance(n, ops.MaxPool))
    assert isinstance(pool.x, ops.Steps)
    assert pool.domain.is_bipolar
    q = rng.choice([-1, 1], (16, 6, 6, 3))
    check_equivalence("sink", graph, sunk, {"x": q})
    check_equivalence("sink", folded, sunk, {"x": q})


def test_levels_that_rise_and_fall_stay_behind_the_pool() -> None:
    x = ops.Input("x", TensorType((4, 4, 1), "float32", bipolar()))
    sums = ops.Conv("conv", x, np.ones((1, 3, 3, 1), np.float32), None, Window((3, 3)))
    window = graphs.chain(ops.MaxPool("pool", sums, POOL), ("Abs", ()), ("Sub", (4.0,)), ("Sign", ()))
    graph = run_pipeline(Graph("g", (x,), (ops.Dense("y", window, np.ones((1, 1), np.float32)),)), pipeline())
    (pool,) = (n for n in graph.nodes() if isinstance(n, ops.MaxPool))
    assert isinstance(pool.x, ops.IntegerConv)


@pytest.mark.usefixtures("cc")
@pytest.mark.parametrize("seed", range(4))
def test_thresholds_behind_a_pool_that_is_turned_round_are_turned_with_it(seed: int) -> None:
    """Where all batch norm factors are negative, the next layer's thresholds are folded before its pool sinks."""
    rng = np.random.default_rng(seed)
    b = Builder()
    x = b("Sign", b("Sub", b.input("x", ["N", 2, 10, 10]), np.float32(100.5)))
    for i, (ins, outs) in enumerate(((2, 6), (6, 4))):
        x = b("Conv", x, graphs.signs(rng, outs, ins, 3, 3))
        x = x if i else b("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
        scale, bias, mean = rng.normal(size=(3, outs)).astype(np.float32)
        x = b("BatchNormalization", x, -np.abs(scale), bias, mean, np.full(outs, 9, np.float32))
        x = b("Sign", b("Add", x, np.float32(0.01)))
    model = b.model(b("Gemm", b("Flatten", x), graphs.signs(rng, 5, 16), transB=1))
    compilation = bnncompiler.compile(model, name="net", input="uint8", scale=1)
    result = bnncompiler.verify(compilation, {"x": rng.integers(0, 256, (32, 2, 10, 10), dtype=np.uint8)})
    assert result.passed, result.failures


@pytest.mark.usefixtures("cc")
@pytest.mark.parametrize("between", ["Neg", "Flatten"])
def test_a_pool_of_what_another_one_turned_round(between: str) -> None:
    rng = np.random.default_rng(0)
    b = Builder(18)
    x = b("Sign", b("Sub", b.input("x", ["N", 2, 8, 8]), np.float32(100.5)))
    x = b("Neg", b("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))
    if between == "Neg":
        x = b("Neg", b("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]))
    else:
        x = b("ReduceMax", b("Reshape", x, np.array([0, 2, 16])), np.array([2]), keepdims=0)
        x = b("Reshape", x, np.array([0, -1]))
    ins = 8 if between == "Neg" else 2
    model = b.model(b("Gemm", b("Flatten", x), graphs.signs(rng, 5, ins), transB=1))
    compilation = bnncompiler.compile(model, name="net", input="uint8", scale=1)
    assert compilation.exact
    result = bnncompiler.verify(compilation, {"x": rng.integers(0, 256, (32, 2, 8, 8), dtype=np.uint8)})
    assert result.passed, result.failures
