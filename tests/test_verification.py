"""Verification passes what is right, and catches what is wrong: in the C, in the tables and in the weights."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

import bnncompiler
from bnncompiler import Compilation, compare, exhaustive, forcing, interpreter, memory, stimuli
from bnncompiler.backends.base import About
from bnncompiler.errors import ToolError, UsageError, VerificationError
from bnncompiler.ir import Array, Graph, Node
from bnncompiler.lower import lower
from bnncompiler.machines import host
from bnncompiler.ops import IntegerDense, Requantize, Steps
from bnncompiler.report import VerifyFacts
from bnncompiler.verification import DIRECTED
from tests.conftest import missing
from tests.networks import Builder

RNG = np.random.default_rng(7)
INS, HIDDEN, CLASSES = 37, 20, 5


def signs(*shape: int) -> Array:
    return RNG.choice([-1.0, 1.0], shape).astype(np.float32)


def floats(*shape: int) -> Array:
    return RNG.normal(size=shape).astype(np.float32)


def batch_norm(b: Builder, x: str, channels: int) -> str:
    variance = RNG.uniform(5, 30, channels).astype(np.float32)
    return b("BatchNormalization", x, floats(channels), floats(channels), floats(channels) * 3, variance)


def mlp(*, softmax: bool = False, real_first: bool = False) -> ModelProto:
    """Two hidden layers with batch norms of both signs; thresholds on the input, or real weights that read it."""
    b = Builder()
    x = b.input("x", ["N", INS])
    first = floats(INS, HIDDEN) if real_first else signs(INS, HIDDEN)
    h = x if real_first else b("Sign", b("Sub", x, RNG.uniform(0.2, 0.8, INS).astype(np.float32)))
    h = b("Sign", batch_norm(b, b("MatMul", h, first), HIDDEN), name="h1")
    h = b("Sign", batch_norm(b, b("MatMul", h, signs(HIDDEN, HIDDEN)), HIDDEN), name="h2")
    y = b("Add", b("MatMul", h, signs(HIDDEN, CLASSES)), floats(CLASSES), name="y")
    return b.model(b("Softmax", y) if softmax else y)


@pytest.fixture(autouse=True, scope="module")
def compiler() -> None:
    try:
        host.find_compiler()
    except ToolError:
        missing("a C compiler")


@pytest.fixture(scope="module")
def compilation() -> Compilation:
    return bnncompiler.compile(mlp(), name="net")


def rebuilt(compilation: Compilation, graph: Graph) -> Compilation:
    """The compilation of another graph, as if the passes had made it: C and graph agree, the model does not."""
    c = compilation
    lowered = lower(graph, c.target.word_bits, c.target.align)
    program = memory.plan(lowered.program)
    files = c.backend.emit(program, About("m", "0", "0", "", c.backend.name, c.target))
    return replace(c, graph=graph, lowered=lowered, program=program, files=files)


def changed(compilation: Compilation, change: Callable[[Node], Node | None]) -> Compilation:
    graph = compilation.graph.rewrite(change)
    assert graph is not compilation.graph
    return rebuilt(compilation, graph)


def with_source(compilation: Compilation, pattern: str, by: str) -> Compilation:
    """The compilation with one place in its C changed."""
    source, count = re.subn(pattern, by, compilation.files["net.c"], count=1)
    assert count == 1
    return replace(compilation, files={**compilation.files, "net.c": source})


def failures(compilation: Compilation) -> set[str]:
    """The kinds of failures that a verification reports."""
    result = bnncompiler.verify(compilation, samples=64)
    assert not result.passed
    with pytest.raises(VerificationError):
        result.raise_if_failed()
    return {f.split(":")[0] for f in result.failures}


# --- what is right


def test_generated_samples(compilation: Compilation) -> None:
    result = bnncompiler.verify(compilation)
    assert result.passed, result.failures
    result.raise_if_failed()
    assert result.samples == 256 + DIRECTED and result.given == 0
    assert result.bits_compared == result.samples * (INS + 2 * HIDDEN)
    assert (result.bits_differing, result.undecided_points) == (0, 0)
    assert result.max_abs_error <= result.error_bound == compilation.error_bound
    assert result.argmax_agreement == 1 and result.accuracy is None and result.cycles is None
    assert result.reference.startswith("onnxruntime") and result.ran_on == "host"
    assert all(t.every for t in result.tables) and len(result.tables) >= 3


def test_the_reports_fields_are_there(compilation: Compilation) -> None:
    result = bnncompiler.verify(compilation, samples=4)
    names = {f.name for f in fields(VerifyFacts)}
    assert all(hasattr(result, name) for name in names)
    text = "\n".join(result.lines())
    assert "0 differ" in text and "on every accumulator" in text and text.endswith("passed")


def test_given_samples_with_labels(compilation: Compilation, tmp_path: Path) -> None:
    pixels = RNG.integers(0, 256, (40, INS))
    np.savez(tmp_path / "d.npz", x=(pixels / 255).astype(np.float32), y=np.zeros(40, int), other=1)
    result = bnncompiler.verify(compilation, tmp_path / "d.npz")
    assert result.passed and result.given == 40 and result.samples == 40 + DIRECTED
    assert result.accuracy == result.accuracy_reference is not None
    assert any("not used: other" in n for n in result.notes)
    assert bnncompiler.verify(compilation, tmp_path / "d.npz", samples=10).given == 10


def test_samples_off_the_grid_are_rounded_and_it_says_so(compilation: Compilation) -> None:
    result = bnncompiler.verify(compilation, {"x": RNG.uniform(-0.1, 1.1, (20, INS))})
    assert result.passed
    for what in ("rounded to its grid", "outside of its grid"):
        assert any(what in note for note in result.notes)


def test_samples_that_do_not_fit_are_refused(compilation: Compilation) -> None:
    with pytest.raises(UsageError, match="the model takes"):
        bnncompiler.verify(compilation, {"x": np.zeros((2, INS + 1))})


def test_a_dropped_softmax_and_an_index() -> None:
    for model in (mlp(softmax=True), argmax_model()):
        result = bnncompiler.verify(bnncompiler.compile(model, name="net"))
        assert result.passed, result.failures
        assert result.argmax_agreement == 1


def test_ties_that_rounding_decides_are_called_ties() -> None:
    """Equal logits in exact arithmetic, whose scale has no end in binary: onnxruntime's differ in the last bits."""
    b = Builder()
    weight = signs(40, 12) * np.float32(0.1) * np.array([1, 1, 1, 3] * 3, np.float32)
    scaled = b(
        "Mul", b("MatMul", b("Sign", b.input("x", ["N", 40])), weight), np.float32(0.7) * np.ones(12, np.float32)
    )
    done = bnncompiler.verify(bnncompiler.compile(b.model(scaled), input="int8", scale="1"))
    assert done.argmax_agreement < 1
    assert 0 < done.argmax_gap < done.error_bound
    shown = "\n".join(done.lines())
    assert (
        f"argmax: agrees on {done.argmax_agreement:.2%}; elsewhere a tie, onnxruntime's two largest are with" in shown
    )
    worse = replace(done, argmax_gap=2 * done.error_bound)
    assert "tie" not in "\n".join(worse.lines())


def argmax_model() -> ModelProto:
    b = Builder()
    h = b("Sign", b("Sub", b.input("x", ["N", INS]), np.float32(0.5)))
    return b.model(b("ArgMax", b("MatMul", h, signs(INS, CLASSES)), axis=1, keepdims=0))


@pytest.mark.parametrize("batch", [1, 3])
def test_a_fixed_batch(batch: int) -> None:
    b = Builder()
    h = b("Sign", b("Sub", b.input("x", [batch, INS]), np.float32(0.5)))
    result = bnncompiler.verify(bnncompiler.compile(b.model(b("MatMul", h, signs(INS, 3))), name="net"), samples=8)
    assert result.passed, result.failures


def test_rounding_that_decides_is_told_from_errors() -> None:
    """A layer that adds up x/255 leaves ties to float32: they are counted, and everything else is equal."""
    b = Builder()
    x = b.input("x", ["N", INS])
    h = b("Sign", b("MatMul", x, signs(INS, HIDDEN)), name="h")
    compilation = bnncompiler.compile(b.model(b("MatMul", h, signs(HIDDEN, CLASSES))), name="net")
    result = bnncompiler.verify(compilation)
    assert result.passed, result.failures
    assert 0 < result.undecided_points < result.bits_compared / 10
    assert result.bits_compared + result.undecided_points == result.samples * HIDDEN

    def move(node: Node) -> Node | None:
        return replace(node, at=node.at + 40 * node.x.domain.step) if isinstance(node, Steps) else None

    assert {"layer", "table"} <= failures(changed(compilation, move))


def test_equal_nodes_that_became_one_may_round_differently() -> None:
    """Two signs of one sum: the program has one, onnxruntime is given one and computes the other itself."""
    b = Builder()
    total = b("MatMul", b.input("x", ["N", INS]), signs(INS, HIDDEN))
    left, right = b("Sign", total, name="left"), b("Sign", total, name="right")
    model = b.model(b("MatMul", left, signs(HIDDEN, 3), name="y"), b("MatMul", right, signs(HIDDEN, 4), name="z"))
    compilation = bnncompiler.compile(model, name="net")
    found = forcing.forcing(compilation.imported, compilation.graph)
    assert len(found.given) == 1
    assert {n.name for n in found.recomputed} == set(found.given)
    result = bnncompiler.verify(compilation)
    assert result.passed, result.failures
    assert result.undecided_points > 0 and result.end_to_end < result.samples


def test_of_two_grids_for_a_value_the_finer_one_is_given() -> None:
    """Maps joined to be read as they are, and on one grid to be added to: onnxruntime has one value for both."""
    b = Builder()
    stream = b("Relu", b("Conv", b.input("x", ["N", 3, 6, 6]), floats(8, 3, 3, 3)), name="stream")
    sums = b("Conv", b("Sign", batch_norm(b, stream, 8)), signs(8, 8, 1, 1))
    joined = b("Concat", stream, sums, name="joined", axis=1)
    level = b("Sign", batch_norm(b, joined, 16), name="level")
    merged = b("Add", joined, b("Conv", level, signs(16, 16, 1, 1)), name="merged")
    model = b.model(b("MatMul", b("Flatten", b("GlobalAveragePool", merged)), signs(16, 3), name="y"))
    compilation = bnncompiler.compile(model, name="net")
    found = forcing.forcing(compilation.imported, compilation.graph)
    finer, coarser = sorted(
        (n for n in compilation.graph.nodes() if n.name == "joined" and n.type.domain),
        key=lambda n: float(n.domain.error.max()),
    )
    assert found.given["joined"] is finer
    assert (found.domains[coarser].error >= found.domains[finer].error).all()
    assert bnncompiler.verify(compilation).passed


def test_real_weights() -> None:
    result = bnncompiler.verify(bnncompiler.compile(mlp(real_first=True), name="net"))
    assert result.passed, result.failures
    assert result.bits_compared > 0 and result.bits_differing == 0


@pytest.mark.parametrize("ctype", ["uint8", "int8", "int16", "bits"])
@pytest.mark.parametrize("real_first", [False, True])
def test_input_types(ctype: str, real_first: bool) -> None:
    compilation = bnncompiler.compile(mlp(real_first=real_first), name="net", input=ctype)
    assert compilation.grids[0].ctype == ctype
    result = bnncompiler.verify(compilation, samples=32)
    assert result.passed, result.failures


def test_several_inputs() -> None:
    b = Builder()
    left = b("MatMul", b("Sign", b("Sub", b.input("a", ["N", INS]), np.float32(0.5))), signs(INS, 3), name="y")
    right = b("MatMul", b("Sign", b("Sub", b.input("b", ["N", 9]), np.float32(0.1))), signs(9, 4), name="z")
    compilation = bnncompiler.compile(b.model(left, right), name="net", input="int8")
    result = bnncompiler.verify(compilation)
    assert result.passed, result.failures
    given = {"a": RNG.uniform(0, 1, (6, INS)), "b": RNG.integers(-128, 128, (6, 9))}
    assert bnncompiler.verify(compilation, given).passed


@pytest.mark.parametrize("target", ["8", "32"])
def test_other_words(target: str) -> None:
    result = bnncompiler.verify(bnncompiler.compile(mlp(), name="net", target=target), samples=16)
    assert result.passed, result.failures


# --- what is wrong


def test_a_broken_kernel_is_caught(compilation: Compilation) -> None:
    """One comparison in C, one that only ties can tell: >= became >."""
    broken = with_source(compilation, r"(reached \+= value) >= bnn_rom_load", r"\1 > bnn_rom_load")
    assert failures(broken) == {"C"}


def test_a_broken_weight_is_caught_in_c(compilation: Compilation) -> None:
    """A single bit of the last layer's weights, whose accumulators can be seen."""
    tables = re.findall(r"(\w+_weights)\[[^]]*\] = ", compilation.files["net.c"])
    pattern = rf"({tables[-1]}\[[^]]*\] = \{{\s*)0x([0-9a-fA-F]+)"
    match = re.search(pattern, compilation.files["net.c"])
    assert match is not None
    flipped = f"0x{int(match[2], 16) ^ 1:016x}"
    assert failures(with_source(compilation, pattern, rf"\g<1>{flipped}")) == {"C"}


def test_a_broken_threshold_is_caught_in_c(compilation: Compilation) -> None:
    pattern = r"(_at\[[^]]*\] = \{\s*)(-?\d+)"
    match = re.search(pattern, compilation.files["net.c"])
    assert match is not None
    assert failures(with_source(compilation, pattern, rf"\g<1>{int(match[2]) + 1}")) == {"C"}


def nth(kind: type[Node], n: int, compilation: Compilation) -> str:
    return [node.name for node in compilation.graph.nodes() if isinstance(node, kind)][n]


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_broken_threshold_is_caught_in_the_compiler(compilation: Compilation, n: int) -> None:
    """One row's threshold, one step off: the table check sees it for sure, the directed samples in the first layers."""
    name = nth(Steps, n, compilation)

    def move(node: Node) -> Node | None:
        if not isinstance(node, Steps) or node.name != name:
            return None
        inside = (node.at > node.x.domain.bounds[0]) & (node.at < node.x.domain.bounds[1])
        at = node.at.copy()
        at[tuple(np.argwhere(inside)[0])] += node.x.domain.step
        return replace(node, at=at)

    found = failures(changed(compilation, move))
    assert "table" in found and "C" not in found
    assert n == 2 or "layer" in found


@pytest.mark.parametrize("n", [0, 1, 2])
def test_a_broken_weight_is_caught_in_the_compiler(compilation: Compilation, n: int) -> None:
    name = nth(IntegerDense, n, compilation)

    def flip(node: Node) -> Node | None:
        if not isinstance(node, IntegerDense) or node.name != name:
            return None
        weight = node.weight.copy()
        weight[:, 0] *= -1
        return replace(node, weight=weight)

    found = failures(changed(compilation, flip))
    assert "C" not in found and found & {"layer", "output"}


def test_a_wrong_scale_is_caught() -> None:
    """Levels that fall on the right side but mean other numbers."""
    b = Builder()
    s = b("Sign", b("Sub", b.input("x", ["N", INS]), np.float32(0.5)))
    model = b.model(b("MatMul", b("Mul", s, np.float32(0.3), name="h"), floats(INS, CLASSES)))
    compilation = bnncompiler.compile(model, name="net")
    assert bnncompiler.verify(compilation).passed

    def rescale(node: Node) -> Node | None:
        return replace(node, out=replace(node.out, scale=node.out.scale * 1.01)) if isinstance(node, Steps) else None

    assert {"layer", "table"} <= failures(changed(compilation, rescale))


def test_a_wrong_output_is_caught(compilation: Compilation) -> None:
    def nudge(node: Node) -> Node | None:
        if not isinstance(node, Requantize):
            return None
        return replace(node, bias=node.bias + (1 << node.shift) * int(2 + node.out.error.max() / node.out.scale[0]))

    assert {"output", "table"} <= failures(changed(compilation, nudge))


def test_a_requantisation_may_be_off_by_what_float32_makes_of_its_operand() -> None:
    """A steep slope that nearly cancels with what is added: the operand's last bit is most of the result's error."""
    rng = np.random.default_rng(0)
    b = Builder()
    h = b("MatMul", b.input("x", ["N", 64]), rng.normal(size=(64, 256)).astype(np.float32))
    h = b("Mul", h, rng.uniform(20, 40, 256).astype(np.float32))
    h = b("Add", h, rng.uniform(8, 16, 256).astype(np.float32))
    h = b("Clip", h, np.float32(0), np.float32(1), name="narrow")
    compilation = bnncompiler.compile(b.model(b("MatMul", h, signs(256, 10), name="y")), name="net")
    (checked,) = exhaustive.check(compilation.graph)
    assert checked.count.differing == 0 and checked.count.compared > 100_000


def test_wide_ranges_are_checked_around_every_change(compilation: Compilation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exhaustive, "FULL", 10)
    checked = exhaustive.check(compilation.graph)
    assert not any(t.every for t in checked) and not any(t.count.differing for t in checked)
    moved = compilation.graph.rewrite(lambda n: replace(n, at=n.at + n.x.domain.step) if isinstance(n, Steps) else None)
    thresholds = {n.name for n in compilation.graph.nodes() if isinstance(n, Steps)}
    assert all(t.count.differing for t in exhaustive.check(moved) if t.count.name in thresholds)


def test_failures_name_the_value_and_the_place(compilation: Compilation) -> None:
    broken = with_source(compilation, r"(reached \+= value) >= bnn_rom_load", r"\1 > bnn_rom_load")
    result = bnncompiler.verify(broken)
    where = r"in sample \d+, element \d+, the C has -?\d+, not -?\d+"
    assert re.fullmatch(rf"C: \w+: [\d,]+ of [\d,]+ differ, the first {where}", result.failures[0])
    assert any(line.startswith("FAILED: C: ") for line in result.lines())


# --- directed samples


def test_directed_samples_meet_thresholds(compilation: Compilation) -> None:
    """Nearly all of them have an accumulator of the first layer on a threshold or one step below, or the inputs are."""
    graph = compilation.graph
    start = stimuli.generate(graph, 64, np.random.default_rng(0))
    before = start["x"].copy()
    samples = stimuli.directed(graph, start, np.random.default_rng(0))
    np.testing.assert_array_equal(start["x"], before)
    values = interpreter.run(graph, samples)
    steps = [n for n in graph.nodes() if isinstance(n, Steps)][:2]
    near = np.zeros((64, 2), bool)
    for k, node in enumerate(steps):
        q = values[node.x].reshape(64, -1, 1)
        at = node.at[np.arange(q.shape[1]) % len(node.at)][None]
        distance = (q == at) | (q == at - node.x.domain.step)
        near[:, k] = distance.any(axis=2).all(axis=1) if k == 0 else distance.any(axis=(1, 2))
    assert near[::4, 0].all()
    assert near[:, 1].mean() > 0.9


def test_random_samples_stay_in_the_domain(compilation: Compilation) -> None:
    q = stimuli.generate(compilation.graph, 50, np.random.default_rng(1))["x"]
    assert q.min() == 0 and q.max() == 255 and q.shape == (50, INS)
    assert (q[0] == 0).all() and (q[1] == 255).all()


def test_decode_is_the_inverse_of_packing() -> None:
    from bnncompiler.lower import Stored
    from bnncompiler.packing import pack_planes
    from bnncompiler.program import Buffer

    codes = RNG.integers(0, 8, (4, 21))
    raw = np.stack([pack_planes(c, 3, 16) for c in codes])
    stored = Stored(Buffer("b", "bnn_word", raw.shape[1]), 3, False, 2, np.array([-7]))
    np.testing.assert_array_equal(compare.decode(stored, raw, 21), 2 * codes - 7)
    signed = Stored(Buffer("b", "bnn_word", raw.shape[1]), 3, True)
    np.testing.assert_array_equal(compare.decode(signed, raw, 21), np.where(codes > 3, codes - 8, codes))
    np.testing.assert_array_equal(compare.decode(stored, raw, 21), np.stack([stored.decode(r, 21) for r in raw]))
