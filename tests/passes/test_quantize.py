from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncompiler import blur, interpreter, ops, sampling
from bnncompiler.ir import Domain, Graph, Node, TensorType, rows
from bnncompiler.oracle import ChannelFunction
from bnncompiler.passes import (
    BinarizeWeights,
    QuantizeActivations,
    QuantizeWeights,
    RefineBorders,
    pipeline,
    run_pipeline,
)
from bnncompiler.passes.quantize_activations import OUTPUT, Precision, quantize
from bnncompiler.window import Window
from tests import graphs


def worst_error(node: ops.Requantize | ops.Lookup) -> float:
    """How far the node is from onnxruntime's values on every accumulator."""
    function, domain = node.function, node.x.domain
    assert isinstance(function, ChannelFunction)
    q = sampling.everywhere(domain, np.arange(function.rows), function.rows)
    source = graphs.source(function.rows, domain)
    moved = node.with_operands({node.x: source})
    got = interpreter.evaluate(moved, {source: q})
    return float(np.abs(node.out.real(got) - function.evaluate32(domain.real(q))).max())


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_piecewise_linear_regions_keep_their_bound(seed: int, is_output: bool) -> None:
    rng = np.random.default_rng(seed)
    n, reach = int(rng.integers(2, 6)), int(rng.integers(5, 5000))
    x = graphs.source(n, Domain(rows(rng.uniform(0.01, 2)), rows(rng.normal()), rows(-reach), rows(reach)))
    sink = graphs.chain(x, graphs.batch_norm(rng, n, reach), ("PRelu", (rng.normal(size=n),)), ("Clip", (-1.5, 4.0)))
    node = quantize(ChannelFunction(x, sink), OUTPUT if is_output else Precision(16))
    assert isinstance(node, ops.Requantize)
    assert worst_error(node) <= node.out.error.max()
    assert node.out.error.max() < (1e-4 if is_output else 3e-4) * 4


def test_same_affine_function_for_all_rows_costs_nothing() -> None:
    x = graphs.source(3, Domain(rows(1), rows(0), rows(0), rows(255)))
    node = quantize(ChannelFunction(x, graphs.chain(x, ("Div", (255.0,)), ("Sub", (0.1307,)))), Precision(16))
    assert isinstance(node, ops.Requantize)
    assert (node.multiplier.tolist(), node.bias.tolist(), node.shift) == ([[1]], [[0]], 0)
    assert node.out.bounds == (0, 255)
    assert worst_error(node) <= node.out.error.max() < 1e-6


def test_outputs_with_equal_scales_stay_integers() -> None:
    x = graphs.source(4, Domain(rows([0.5, -0.5, 0.5, 0.5]), rows([0, 0.5, 1.5, 0]), rows(-9), rows(9)))
    node = quantize(ChannelFunction(x, x), OUTPUT)
    assert isinstance(node, ops.Requantize)
    assert node.multiplier[:, 0].tolist() == [1, -1, 1, 1]
    assert node.bias[:, 0].tolist() == [0, 1, 3, 0]
    assert node.out.is_exact


def test_curves_become_tables() -> None:
    x = graphs.source(2, Domain(rows(0.1), rows(0), rows(-40), rows(40)))
    node = quantize(ChannelFunction(x, graphs.chain(x, ("Sigmoid", ()))), Precision(16))
    assert isinstance(node, ops.Lookup)
    assert worst_error(node) <= node.out.error.max() < 3e-5


def test_wide_curves_become_a_stream_and_a_table() -> None:
    rng = np.random.default_rng(0)
    x = graphs.source(40, Domain(rows(0.01), rows(0), rows(-(10**5)), rows(10**5)))
    sink = graphs.chain(x, graphs.batch_norm(rng, 40, 10**3), ("Sigmoid", ()), ("Mul", (rng.normal(size=40),)))
    graph = Graph("g", (x,), (sink,))
    done = run_pipeline(graph, pipeline())
    assert [n.op for n in done.nodes()] == ["input", "requantize", "lookup", "requantize"]
    assert [len(n.table) for n in done.nodes() if isinstance(n, ops.Lookup)] == [1]
    q = rng.integers(-(10**5), 10**5, size=(200, 40))
    new, old = (interpreter.real(g.outputs[0], interpreter.run(g, {"x": q})[g.outputs[0]]) for g in (done, graph))
    assert np.abs(new - old).max() <= done.outputs[0].domain.error.max() < 0.1


@pytest.mark.parametrize("swapped", [False, True])
def test_a_region_is_cut_where_all_ways_to_its_curve_pass(swapped: bool) -> None:
    x = graphs.source(40, Domain(rows(0.01), rows(0), rows(-(10**5)), rows(10**5)))
    scaled = graphs.chain(x, ("Mul", (np.linspace(0.5, 2, 40),)), name="scaled")
    curve = graphs.chain(scaled, ("Sigmoid", ()), name="curve")
    above = ops.Elementwise("above", "Greater", (scaled, graphs.constant(3.0)), "bool")
    factors = (curve, scaled) if swapped else (scaled, curve)
    gated = ops.Elementwise("gated", "Mul", factors, "float32")
    sink = ops.Elementwise("sink", "Where", (above, scaled, gated), "float32")  # its first operand is a comparison
    done = run_pipeline(Graph("g", (x,), (sink,)), pipeline())
    assert [n.op for n in done.nodes()] == ["input", "requantize", "lookup"]


def test_rows_whose_sums_are_too_long_by_a_bit_lose_it() -> None:
    reach = 2**23 - 1
    x = graphs.source(24, Domain(rows(2.0**-10), rows(0), rows(-reach), rows(reach)))
    weight = np.where(np.arange(24) % 2, 16, -15).astype(np.float32)[None]  # integers: 2**31 < 372 * reach < 2**32
    before = ops.Dense("fc", x, weight)
    done = QuantizeWeights()(Graph("g", (x,), (before,))).outputs[0]
    assert done.type.domain is not None
    q = np.random.default_rng(0).integers(-reach, reach + 1, size=(50, 24))
    sums = interpreter.run(Graph("g", (x,), (done,)), {"x": q})[done]
    off = np.abs(done.domain.real(sums) - x.domain.real(q) @ weight.T.astype(np.float64)).max()
    assert off <= done.domain.error.max()


@pytest.mark.parametrize("moved", [False, True])
def test_values_side_by_side_on_scales_far_apart_get_one(moved: bool) -> None:
    fine, coarse = (
        ops.Input(n, TensorType((8,), domain=Domain(rows(s), rows(0), rows(-r), rows(r))))
        for n, s, r in (("fine", 1e-6, 2**23), ("coarse", 0.5, 64))
    )
    joined: Node = ops.Concat("joined", (fine, coarse))
    joined = ops.Permute("moved", joined, np.arange(15, -1, -1)) if moved else joined
    weight = np.random.default_rng(0).normal(size=(5, 16)).astype(np.float32)
    before = Graph("g", (fine, coarse), (ops.Dense("fc", joined, weight),))
    after = run_pipeline(before, pipeline())
    rng = np.random.default_rng(1)
    inputs = {n.name: rng.integers(-n.domain.bounds[1], n.domain.bounds[1] + 1, size=(40, 8)) for n in (fine, coarse)}
    old, new = (interpreter.real(g.outputs[0], interpreter.run(g, inputs)[g.outputs[0]]) for g in (before, after))
    assert np.abs(old - new).max() <= after.outputs[0].domain.error.max() < 0.1  # of up to 200


@pytest.mark.parametrize("wide", [False, True])
def test_real_weights_fill_the_accumulator_and_no_more(wide: bool) -> None:
    rng = np.random.default_rng(0)
    x = graphs.source(200, Domain(rows(2.0**-12), rows(0), rows(-32767), rows(32767)))
    dense = ops.Dense("fc", x, rng.normal(size=(7, 200)).astype(np.float32))
    done = QuantizeWeights(wide=wide)(Graph("g", (x,), (dense,))).outputs[0]
    assert isinstance(done, ops.IntegerDense)
    lo, hi = done.domain.bounds
    assert 2**29 <= max(-lo, hi) <= 2**30
    assert bool(done.shift) == wide
    q = rng.integers(-32767, 32768, size=(50, 200))
    sums = interpreter.run(Graph("g", (x,), (done,)), {"x": q})[done]
    expected = x.domain.real(q) @ dense.weight.T.astype(np.float64)
    assert np.abs(done.domain.real(sums) - expected).max() <= done.domain.error.max()
    exact = dense.weight.astype(np.float64)
    off = np.abs(done.weight * done.scale[:, None] - exact).max(axis=1)
    np.testing.assert_array_less(off, done.weight_error * (1 + 1e-9) + 1e-12)


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("inner", [False, True])
def test_real_weights_before_a_layer_are_as_fine_as_float32_where_sums_have_64_bits(wide: bool, inner: bool) -> None:
    rng = np.random.default_rng(0)
    x = graphs.source(27)  # pixels: with 16 bits for the weights, the sums have 32
    first = ops.Dense("first", x, rng.normal(size=(6, 27)).astype(np.float32))
    signs = graphs.chain(first, ("Sign", ()))
    last = ops.Dense("last", signs, graphs.signs(rng, 4, 6)) if inner else signs
    graph = QuantizeWeights(wide=wide)(Graph("g", (x,), (last,)))
    done = next(n for n in graph.nodes() if isinstance(n, ops.IntegerDense))
    bits = 24 if wide and inner else 16
    assert np.abs(done.weight).max() == 2 ** (bits - 1) - 1
    assert (done.weight_error <= 0.5 * done.scale * (1 + 1e-6)).all()


def test_float16_within_float32_rounds_as_float16() -> None:
    biased = Domain(rows(1), rows([0.025, -0.3, 0.2]), rows(-800), rows(800))
    x = graphs.source(3, biased, "float16")
    node = quantize(ChannelFunction(x, ops.Elementwise("y", "Cast", (x,), "float32", (("to", 1),))), OUTPUT)
    assert isinstance(node, ops.Requantize)
    assert 0.1 < worst_error(node) <= node.out.error.max() < 1  # float16 near 800 has steps of 0.5


def test_uneven_input_scales_move_into_the_weights() -> None:
    rng = np.random.default_rng(1)
    uneven = Domain(rows(rng.uniform(0.5, 2, 8)), rows(rng.normal(size=8)), rows(-1), rows(1), step=2)
    x = graphs.source(8, uneven)
    before = Graph("g", (x,), (ops.Dense("fc", x, graphs.signs(rng, 3, 8)),))
    binary = BinarizeWeights()(before)
    assert binary.outputs[0].type.domain is None
    after = QuantizeWeights()(binary)
    q = rng.choice([-1, 1], size=(20, 8))
    expected = uneven.real(q) @ before.outputs[0].weight.T  # type: ignore[attr-defined]  # a Dense, made above
    node = after.outputs[0]
    got = interpreter.real(node, interpreter.run(after, {"x": q})[node])
    assert np.abs(got - expected).max() <= node.domain.error.max() < 1e-3


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["Relu", "Sign", "Round", "Tanh"]))
def test_the_whole_pipeline_leaves_nothing_real(seed: int, activation: str) -> None:
    rng = np.random.default_rng(seed)
    graph = graphs.mlp(rng, 20, 12, 9, 4, activation=activation, prelu=activation != "Tanh")
    done = run_pipeline(graph, pipeline())
    assert all(n.type.domain is not None for n in done.nodes())
    assert QuantizeActivations()(done) is done
    q = rng.integers(0, 256, size=(30, 20))
    new, old = (interpreter.real(g.outputs[0], interpreter.run(g, {"x": q})[g.outputs[0]]) for g in (done, graph))
    error = np.abs(new - old).max(axis=1)
    undecided = sum(int(np.ptp(blur.undecided(n), axis=2).sum()) for n in done.nodes() if isinstance(n, ops.Steps))
    assert np.median(error) <= done.outputs[0].domain.error.max() + 1e-5
    assert undecided or error.max() <= done.outputs[0].domain.error.max() + 1e-5


def test_borders_that_move_sums_by_fractions_are_refined() -> None:
    rng = np.random.default_rng(2)
    pixels = TensorType((6, 6, 2), "float32", Domain(rows(1 / 255), rows(-0.45), rows(0), rows(255)))
    x = ops.Input("x", pixels)
    window = Window((3, 3), before=(1, 1), after=(1, 1))
    conv = ops.Conv("conv", x, np.where(rng.normal(size=(4, 3, 3, 2)) < 0, -1, 1).astype(np.float32), None, window)
    graph = Graph("g", (x,), (conv,))
    coarse = BinarizeWeights()(graph)
    fine = RefineBorders()(coarse)
    assert RefineBorders()(fine) is fine
    q = rng.integers(0, 256, size=(8, 6, 6, 2))
    exact = interpreter.run(graph, {"x": q})[conv]
    off = []
    for done in (coarse, fine):
        (node,) = done.outputs
        off.append(float(np.abs(node.domain.real(interpreter.run(done, {"x": q})[node]) - exact).max()))
        assert off[-1] <= node.domain.error.max()
    assert off[0] > 1e-3 > 100 * off[1]
