from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncompiler import dense_calls, interpreter, memory, ops, sliced_calls
from bnncompiler.convolution_calls import ConvolveRow
from bnncompiler.costs import FIRST, Cost, Selection, Work
from bnncompiler.errors import CompileError, LoweringError, UsageError
from bnncompiler.ir import Array, Domain, Graph, Node, TensorType, bipolar, rows
from bnncompiler.lower import lower, row_convolutions
from bnncompiler.passes import pipeline, run_pipeline
from bnncompiler.program import Buffer, Call, Program
from bnncompiler.window import Window
from tests import graphs


def kernels(graph: Graph, word_bits: int = 32, selection: Selection = FIRST) -> list[str]:
    return [c.kernel() for c in lower(graph, word_bits, 4, selection=selection).program.calls]


@dataclass(frozen=True)
class Prefers:
    """A cost model in which kernels of one module are cheaper, and their time depends on the data."""

    module: str = sliced_calls.__name__

    def of(self, kernel: type[Call], work: Work, word_bits: int) -> Cost:
        return Cost(1, 9, 9, False) if kernel.__module__ == self.module else Cost(2, 1, 1)


SLICED = Selection(Prefers())


@dataclass(frozen=True)
class PrefersRows:
    """A cost model in which a kernel for rows is cheaper than those for pixels."""

    kernel: type[ConvolveRow]

    def of(self, kernel: type[Call], work: Work, word_bits: int) -> Cost:
        return Cost(1 if kernel is self.kernel else 2, 1)


def check(graph: Graph, q: Array, word_bits: int, selection: Selection = FIRST) -> Program:
    """Lower and plan ``graph``, and compare every stored value with the interpreter on the samples ``q``."""
    lowered = lower(graph, word_bits, word_bits // 8, selection=selection)
    planned = memory.plan(lowered.program)
    expected = interpreter.run(graph, {"x": q})
    for i, sample in enumerate(q):
        flat = sample.reshape(-1)
        fed = np.packbits(flat > 0, bitorder="little") if graph.inputs[0].domain.is_bipolar else flat
        content = planned.run({planned.inputs[0].buffer.name: fed})
        for node, stored in lowered.stored.items():
            if not isinstance(node, ops.Input):
                got = stored.decode(content[stored.buffer.name], node.type.size)
                np.testing.assert_array_equal(got, expected[node][i].reshape(-1), err_msg=node.name)
        for node, port in zip(graph.outputs, planned.outputs, strict=True):
            np.testing.assert_array_equal(content[port.buffer.name], expected[node][i].reshape(-1))
    return planned


@settings(max_examples=40, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.sampled_from([8, 16, 32, 64]),
    st.booleans(),
    st.sampled_from(["Sign", "Round", "Relu"]),
)
def test_programs_compute_what_graphs_compute(seed: int, word_bits: int, scaled: bool, activation: str) -> None:
    rng = np.random.default_rng(seed)
    sizes = rng.integers(2, 70, size=int(rng.integers(2, 4))).tolist()
    graph = run_pipeline(graphs.mlp(rng, *sizes, 5, scaled=scaled, activation=activation), pipeline())
    for selection in (FIRST, SLICED):
        check(graph, rng.integers(0, 256, size=(3, sizes[0])), word_bits, selection)


INPUTS = {
    "pixels": graphs.PIXELS,
    "signed": Domain(rows(0.1), rows(0), rows(-128), rows(127)),
    "sixteen": Domain(rows(0.0001), rows(0), rows(-32767), rows(32767)),
    "bits": bipolar(),
    "narrow": Domain(rows(1), rows(0), rows(3), rows(12)),
}
WEIGHTS = {"bipolar": [-1, 1], "ternary": [-1, 0, 1], "twobit": [-3, -1, 1, 3]}


@pytest.mark.parametrize("domain", INPUTS.values(), ids=INPUTS.keys())
@pytest.mark.parametrize("levels", WEIGHTS.values(), ids=WEIGHTS.keys())
@pytest.mark.parametrize("activation", ["Sign", "Round", "Relu"])
def test_every_storage_meets_every_weight(domain: Domain, levels: list[int], activation: str) -> None:
    rng = np.random.default_rng(0)
    x = graphs.source(37, domain)
    hidden = ops.Dense("fc", x, rng.choice(levels, size=(19, 37)).astype(np.float32))
    acted = graphs.chain(hidden, ("Mul", (0.01,)), (activation, ()), ("Clip", (-2.0, 2.0)))
    weight = rng.choice(levels, size=(4, 19)).astype(np.float32)
    last = ops.Dense("out", acted, weight, np.array([0, 1, 2, 3], np.float32))
    graph = run_pipeline(Graph("g", (x,), (last, ops.ArgMax("best", last))), pipeline())
    lo, hi = domain.bounds
    q = lo + domain.step * rng.integers(0, (hi - lo) // domain.step + 1, size=(5, 37))
    for word_bits in (8, 64):
        check(graph, q, word_bits)


@pytest.mark.parametrize("reader", ["argmax", "permute", "table"])
def test_codes_whose_base_differs_by_row(reader: str) -> None:
    """Ternary values are stored from 0 on, so that what they add to a sum depends on the output's weights."""
    rng = np.random.default_rng(4)
    x = ops.Input("x", TensorType((24,), "float32", Domain(rows(1), rows(0), rows(-1), rows(1))))
    hidden = graphs.chain(x, ("Mul", (0.7,)), ("Round", ()))
    dense = ops.Dense("fc", hidden, rng.choice([-1.0, 1.0], (6, 24)).astype(np.float32))
    ends = {
        "argmax": ops.ArgMax("best", dense),
        "permute": ops.Permute("turned", dense, np.arange(6)[::-1].copy()),
        "table": graphs.chain(dense, ("Mul", (np.linspace(0.1, 0.7, 6),)), ("Sigmoid", ())),
    }
    graph = run_pipeline(Graph("g", (x,), (ends[reader],)), pipeline())
    q = rng.integers(-1, 2, (20, 24))
    for word_bits in (8, 64):
        check(graph, q, word_bits)


def test_bipolar_layers_use_the_fused_kernel() -> None:
    graph = run_pipeline(graphs.mlp(np.random.default_rng(0), 40, 30, 20, 5, prelu=False), pipeline())
    assert kernels(graph)[:3] == ["bnn_threshold", "bnn_dense_threshold", "bnn_dense_threshold"]


def test_windows_fuse_too() -> None:
    """A PReLU with a negative slope makes bits of several thresholds."""
    graph = run_pipeline(graphs.mlp(np.random.default_rng(0), 40, 30, 20, 5), pipeline())
    lowered = lower(graph, 32, 4).program
    fused = [c for c in lowered.calls if isinstance(c, dense_calls.DenseThreshold)]
    assert len(fused) == 2 and max(c.count for c in fused) > 1


def test_the_cost_model_chooses_kernels() -> None:
    graph = run_pipeline(graphs.mlp(np.random.default_rng(0), 40, 30, 20, 5, prelu=False), pipeline())
    popcount = ["bnn_threshold", "bnn_dense_threshold", "bnn_dense_threshold", "bnn_dense_xnor"]
    bit_sliced = ["bnn_threshold", "bnn_dense_sliced_threshold", "bnn_dense_sliced_threshold", "bnn_dense_sliced"]
    assert kernels(graph)[:4] == popcount
    assert kernels(graph, selection=SLICED)[:4] == bit_sliced
    assert kernels(graph, selection=Selection(Prefers(), constant_time=True))[:4] == popcount
    for goal in ("size", "ram"):
        assert kernels(graph, selection=Selection(Prefers(), goal))[:4] == popcount
    with pytest.raises(UsageError, match="'tiny'; it can be speed, size, ram"):
        Selection(goal="tiny")


def test_bit_sliced_convolutions_in_groups() -> None:
    rng = np.random.default_rng(2)
    x = ops.Input("x", TensorType((5, 4, 6), "float32", bipolar()))
    weight = rng.choice([-1.0, 1.0], (10, 3, 3, 3)).astype(np.float32)
    conv = ops.Conv("conv", x, weight, None, Window((3, 3), before=(1, 1), after=(1, 1)), 2)
    graph = run_pipeline(Graph("g", (x,), (graphs.chain(conv, ("Add", (0.5,)), ("Sign", ())),)), pipeline())
    program = check(graph, rng.choice([-1, 1], (4, 5, 4, 6)), 8, SLICED)
    assert any("bnn_dense_sliced" in c.kernels() for c in program.calls)


@pytest.mark.parametrize("kernel", row_convolutions.BUILDERS, ids=lambda kernel: kernel.__name__)
@pytest.mark.parametrize("pool", [None, (2, 2), (1, 3)], ids=str)
@pytest.mark.parametrize("pads", [(0, 0), (1, 1), (2, 0)], ids=str)
def test_convolutions_by_row(kernel: type[ConvolveRow], pool: tuple[int, int] | None, pads: tuple[int, int]) -> None:
    """Zeros around the map, windows that overlap or leave gaps, and pools of what a row gives."""
    rng = np.random.default_rng(6)
    x = ops.Input("x", TensorType((7, 13, 8), "float32", bipolar()))
    for stride, outs in (((1, 1), 8), ((2, 1), 21), ((1, 4), 3)):
        weight = rng.choice([-1.0, 1.0], (outs, 3, 3, 8)).astype(np.float32)
        conv = ops.Conv("conv", x, weight, None, Window((3, 3), stride, pads, pads))
        y: Node = graphs.chain(conv, ("Add", (rng.integers(-9, 9, outs) + 0.5,)), ("Sign", ()))
        if pool is not None:
            y = ops.MaxPool("pool", y, Window(pool, pool))
        graph = run_pipeline(Graph("g", (x,), (y,)), pipeline())
        for word_bits in (8, 64):
            program = check(graph, rng.choice([-1, 1], (3, 7, 13, 8)), word_bits, Selection(PrefersRows(kernel)))
            assert any(kernel.kernel() in c.kernels() for c in program.calls)


def test_weights_that_all_groups_share_are_stored_once() -> None:
    rng = np.random.default_rng(5)
    x = ops.Input("x", TensorType((4, 4, 6), "float32", Domain(rows(1), rows(0), rows(0), rows(255))))
    one = rng.integers(-9, 10, (1, 2, 2, 1))
    for weight, entries in ((np.repeat(one, 6, axis=0), 4), (rng.integers(-9, 10, (6, 2, 2, 1)), 24)):
        conv = ops.Conv("conv", x, weight.astype(np.float32), None, Window((2, 2), (2, 2)), 6)
        graph = run_pipeline(Graph("g", (x,), (conv,)), pipeline())
        program = check(graph, rng.integers(0, 256, (4, 4, 4, 6)), 8)
        assert [len(t.values) for t in program.tables if t.name.endswith("weights")] == [entries]


@pytest.mark.parametrize("values", [bipolar(), Domain(rows(1), rows(0), rows(-2), rows(1))], ids=["bits", "planes"])
@pytest.mark.parametrize("levels", [[-1.0, 1.0], [-1.0, 0.0, 1.0]], ids=["bipolar", "ternary"])
@pytest.mark.parametrize(("word_bits", "rows_of_9"), [(8, 2), (16, 2), (32, 2), (64, 2)])
def test_rows_of_few_bits_take_two_bytes_and_not_a_word(
    values: Domain, levels: list[float], word_bits: int, rows_of_9: int
) -> None:
    rng = np.random.default_rng(8)
    x = ops.Input("x", TensorType((4, 4, 40), "float32", values))
    weight = rng.choice(levels, (40, 3, 3, 1)).astype(np.float32)
    conv = ops.Conv("conv", x, weight, None, Window((3, 3)), 40)
    graph = run_pipeline(Graph("g", (x,), (conv,)), pipeline())
    program = check(graph, rng.choice([-1, 1] if values.is_bipolar else [-2, -1, 0, 1], (3, 4, 4, 40)), word_bits)
    of_weights = [t.bytes(word_bits) for t in program.tables if "weights" in t.name or "us" in t.name]
    assert sum(of_weights) == 40 * rows_of_9 * (len(levels) - 1)


def test_tails_beside_whole_words_are_for_small_tables_only() -> None:
    """Rows of 72 bits: a word of 64 and a byte, where that is wanted and saves more than its code."""
    rng = np.random.default_rng(9)
    x = graphs.source(72, bipolar())

    def flash(outs: int, goal: str) -> int:
        graph = Graph("g", (x,), (ops.Dense("fc", x, graphs.signs(rng, outs, 72)),))
        selection = Selection(goal=goal)
        graph = run_pipeline(graph, pipeline())
        lowered = lower(graph, 64, 8, selection=selection).program
        assert check(graph, rng.choice([-1, 1], (3, 72)), 64, selection).flash_bytes == lowered.flash_bytes
        return sum(t.bytes(64) for t in lowered.tables if "weights" in t.name)

    assert [flash(outs, "size") for outs in (5, 40)] == [5 * 16, 40 * 9]
    assert flash(40, "speed") == 40 * 16


def test_what_fits_is_scaled_in_32_bits() -> None:
    x = graphs.source(40, bipolar())
    dense = ops.Dense("fc", x, graphs.signs(np.random.default_rng(0), 5, 40))
    graph = run_pipeline(Graph("g", (x,), (graphs.chain(dense, ("Add", (np.arange(5),))),)), pipeline())
    assert kernels(graph) == ["bnn_load_bits", "bnn_dense_xnor", "bnn_scale"]
    check(graph, np.random.default_rng(1).choice([-1, 1], size=(3, 40)), 32)


def test_a_value_that_is_still_real_is_named() -> None:
    x = graphs.source(4, None)
    with pytest.raises(LoweringError, match=r"f0: Sigmoid could not be compiled to integers \(x is float32\[4\]\)"):
        lower(Graph("g", (graphs.source(4),), (graphs.chain(x, ("Sigmoid", ())),)), 32, 4)


def test_the_arena_is_reused() -> None:
    rng = np.random.default_rng(0)
    graph = run_pipeline(graphs.mlp(rng, 64, *[64] * 10, 5, prelu=False), pipeline())
    planned = check(graph, rng.integers(0, 256, size=(1, 64)), 32)
    assert planned.arena_size < 2 * 64 + 5 * 4


def test_the_checker_sees_a_value_overwritten() -> None:
    graph = run_pipeline(graphs.mlp(np.random.default_rng(0), 64, 64, 64, 5, prelu=False), pipeline())
    planned = memory.plan(lower(graph, 32, 4).program)

    def at_zero(buffer: Buffer) -> Buffer:
        return buffer if buffer.offset is None else replace(buffer, offset=0)

    moved = tuple(c.with_buffers({b: at_zero(b) for b in c.buffers.values()}) for c in planned.calls)
    with pytest.raises(CompileError, match="while it reads it"):
        memory.check(replace(planned, calls=moved))


def test_a_planned_program_can_be_drawn() -> None:
    graph = run_pipeline(graphs.mlp(np.random.default_rng(0), 64, 64, 5, prelu=False), pipeline())
    text = memory.drawing(memory.plan(lower(graph, 32, 4).program))
    assert text.startswith("arena ")
    assert text.count("#") >= 4
