"""Verification: that the generated C computes what onnxruntime computes, by running both and by checking every table.

Four comparisons that together leave no gap between the C and the model:

1. the C, compiled and run, against the program and the graph in numpy: every integer in memory must be equal;
2. the graph against onnxruntime, layer by layer: each layer from the compiled network's own inputs to it;
3. end to end: the outputs for all samples in which float32 rounding left nothing undecided and no stream saturated;
4. every threshold and table against the chain that it was folded from, on every accumulator.

The samples are given or random, and others directed at thresholds and ties are always added (`bnncompiler.stimuli`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnncompiler import blur, compare, data, exhaustive, forcing, grid, interpreter, reference, stimuli
from bnncompiler.compare import Count
from bnncompiler.errors import VerificationError
from bnncompiler.exhaustive import Checked
from bnncompiler.ir import Array
from bnncompiler.machines import records
from bnncompiler.machines.base import Built, Measured
from bnncompiler.ops import ArgMax
from bnncompiler.reference import Reference

if TYPE_CHECKING:
    from bnncompiler.compiler import Compilation

GENERATED = 256
DIRECTED = 64
BATCH = 256  # samples whose values are all in memory at once, as far as these are `AT_ONCE` in number
AT_ONCE = 1 << 25
FEWEST = 2  # samples of each kind that are generated for networks of any size
MANY_VALUES = 1 << 24  # in all samples of a kind together: beyond, fewer samples are generated
SIMULATED_MACS = 1 << 29  # the same where a simulator runs the samples, which takes about a minute for that
MANY = 0.01  # part of a layer's values that rounding may decide without a word
BY_PROGRAM = 2  # samples run call by call in numpy; the graph checks all of them
SEED = 0
MEASURED = 16  # samples that are run once more to see what they cost


@dataclass(frozen=True)
class Verification:
    """What was compared and what came out. The first fields are those of the report.

    Attributes:
        ran_on: what ran the C.
        samples: how many samples were run, directed ones included.
        reference: what they were compared with.
        bits_compared: discrete values inside the network that were compared with onnxruntime's.
        bits_differing: how many of them differ, those not counted where rounding decides.
        undecided_points: how many more there were at which float32 rounding itself decides.
        max_abs_error: the largest difference of an output from onnxruntime's, in real units.
        argmax_agreement: in which part of the samples both choose the same class.
        argmax_gap: how far onnxruntime has the class that the C chooses below its own, at most; infinite where its
            outputs do not show it.
        accuracy: of the C on the labels, None without labels.
        measured: what a sample cost on the machine that ran it, None where it cannot tell.
        passed: whether everything held.
        accuracy_reference: of onnxruntime on the labels.
        error_bound: what the compiler states for the outputs.
        given: how many of the samples came from the user.
        end_to_end: how many of the samples left no rounding undecided, so that their outputs were compared end to end.
        streams_compared: values of hidden streams that were compared, each within the bound on its own layer's error.
        outside: how many more there were outside of what their streams hold.
        drift: the largest difference of an output from onnxruntime's end to end, whatever was undecided on the way.
        values_compared: integers in the memory of the C that were compared with the graph's.
        layers: the comparison with onnxruntime, value by value.
        tables: the check of thresholds and tables, node by node.
        failures: what did not hold, a line each.
        notes: what the user should know about the samples.
    """

    ran_on: str
    samples: int
    reference: str
    bits_compared: int
    bits_differing: int
    undecided_points: int
    max_abs_error: float
    argmax_agreement: float
    accuracy: float | None
    measured: Measured | None
    passed: bool
    accuracy_reference: float | None = None
    error_bound: float = 0.0
    given: int = 0
    end_to_end: int = 0
    streams_compared: int = 0
    outside: int = 0
    drift: float = 0.0
    argmax_gap: float = 0.0
    values_compared: int = 0
    layers: tuple[Count, ...] = ()
    tables: tuple[Checked, ...] = ()
    failures: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def cycles(self) -> int | None:
        """The median count of cycles, None where they were not measured."""
        return self._typical("cycles")

    @property
    def instructions(self) -> int | None:
        """The median count of instructions, None where they were not measured."""
        return self._typical("instructions")

    def _typical(self, unit: str) -> int | None:
        return self.measured.typical if self.measured is not None and self.measured.unit == unit else None

    def raise_if_failed(self) -> None:
        """Raise ``VerificationError`` with the first failure if there is one."""
        if not self.passed:
            more = f" (and {len(self.failures) - 1} more)" if len(self.failures) > 1 else ""
            raise VerificationError(f"{self.failures[0]}{more}")

    def lines(self) -> tuple[str, ...]:
        """The result for people."""
        points = sum(t.count.compared for t in self.tables)
        part = [t.count.name for t in self.tables if not t.every]
        every = "on every accumulator" if not part else f"everywhere but for {len(part)} too wide to enumerate"
        exact = " (exact)" if not self.error_bound else ""
        outside = f"; {self.outside:,} more saturate" if self.outside else ""
        drift = f"; all: within {self.drift:.3g}" if self.drift > self.max_abs_error else ""
        is_tie = self.argmax_agreement < 1 and self.argmax_gap <= self.error_bound
        apart = f"; elsewhere a tie, onnxruntime's two largest are within {self.argmax_gap:.3g}" if is_tie else ""
        within = "within their bounds" if not self._failed("stream:") else "not all within their bounds"
        streams = [f"streams: {self.streams_compared:,} values compared, {within}{outside}"]
        streams = streams if self.streams_compared or self.outside else []
        lines = [
            f"{self.samples:,} samples on {self.ran_on}, {self.samples - self.given:,} generated; {self.reference}",
            f"C: {self.values_compared:,} integers equal to the graph's" if not self._failed("C:") else "C: differs",
            f"hidden values: {self.bits_compared:,} compared, {self.bits_differing:,} differ; "
            f"at {self.undecided_points:,} more rounding decides",
            *streams,
            f"tables: {points:,} points of {len(self.tables)} tables checked, {every}",
            f"outputs: worst error {self.max_abs_error:.3g}, stated bound {self.error_bound:.3g}{exact}; "
            f"{self.end_to_end:,} samples compared end to end, too{drift}",
            f"argmax: agrees on {self.argmax_agreement:.2%}{apart}",
        ]
        if self.measured is not None:
            lines.append(f"cost: {self.measured}")
        if self.accuracy is not None:
            lines.append(f"accuracy: {self.accuracy:.2%} in C, {self.accuracy_reference:.2%} in onnxruntime")
        return (*lines, *self.notes, *(f"FAILED: {f}" for f in self.failures), *(["passed"] if self.passed else []))

    def _failed(self, kind: str) -> bool:
        return any(f.startswith(kind) for f in self.failures)


@dataclass(frozen=True, eq=False)
class _Batch:
    """What one batch of samples showed."""

    c: tuple[Count, ...]
    discrete: tuple[Count, ...]
    streams: tuple[Count, ...]
    outputs: tuple[Count, ...]
    ours: Array
    theirs: Array
    selftest: int
    clean: int
    outside: int
    drift: float
    gap: float


def verify(compilation: Compilation, source: data.Source | None = None, *, samples: int | None = None) -> Verification:
    """Build the C for the target, run it there or on a simulator, and compare it with the reference.

    Args:
        compilation: what to verify.
        source: samples: an ``.npz`` file or arrays by input name; generated ones by default.
        samples: how many of the given samples to use, or how many to generate.

    Raises:
        UsageError: the samples do not fit the model.
        ToolError: there is no C compiler for the target, or no simulator.
        VerificationError: the program crashes, hangs or writes where it must not.
    """
    given = None if source is None else data.load(source, compilation.imported)
    if given is not None and samples is not None:
        given = given.first(max(1, samples))
    size = sum(n.type.size for n in compilation.graph.nodes())
    machine = compilation.backend.machine(compilation.target)
    affordable = MANY_VALUES // size
    if machine.measures:
        affordable = min(affordable, SIMULATED_MACS // max(1, sum(c.macs for c in compilation.program.calls)))
    generated, directed, measurable = (int(np.clip(affordable, FEWEST, n)) for n in (GENERATED, DIRECTED, MEASURED))
    inputs, notes = _inputs(compilation, given, generated if samples is None else samples, directed)
    count = len(next(iter(inputs.values())))
    with machine.build(compilation.program, compilation.files) as built:
        checker = _Checker(compilation, built)
        step = max(1, min(BATCH, AT_ONCE // size))
        parts = [checker.batch({k: v[i : i + step] for k, v in inputs.items()}) for i in range(0, count, step)]
        few = 1 if size > MANY_VALUES // 8 else BY_PROGRAM
        by_program = checker.by_program({k: v[:few] for k, v in inputs.items()})
        measured = checker.measure({k: v[:measurable] for k, v in inputs.items()}) if machine.measures else None
    tables = exhaustive.check(compilation.graph)
    own = count - directed
    return _result(compilation, parts, by_program, tables, given, own, directed, notes, machine.name, measured)


def _inputs(
    compilation: Compilation, given: data.Samples | None, count: int, directed: int
) -> tuple[dict[str, Array], tuple[str, ...]]:
    """All samples in grid units, the given ones first, and what there is to say about them."""
    rng = np.random.default_rng(SEED)
    graph, notes = compilation.graph, list[str]()
    if given is None:
        base = stimuli.generate(graph, max(1, count), rng)
    else:
        base = {}
        for one in compilation.grids:
            on_grid = grid.to_q(one, given.arrays[one.name])
            base[one.name] = on_grid.q
            notes += _rounding(one, on_grid)
        if given.unused:
            notes.append(f"note: {given.source} has more that is not used: {', '.join(given.unused)}")
    size = len(next(iter(base.values())))
    start = {name: q[rng.integers(0, size, directed)] for name, q in base.items()}
    aimed = stimuli.directed(graph, start, rng)
    return {name: np.concatenate([base[name], aimed[name]]) for name in base}, tuple(notes)


def _rounding(one: grid.InputGrid, on_grid: grid.OnGrid) -> list[str]:
    notes, total = [], on_grid.q.size
    if on_grid.rounded:
        notes.append(f"note: {on_grid.rounded / total:.1%} of input {one.name!r} was rounded to its grid, {one.domain}")
    if on_grid.clipped:
        notes.append(f"note: {on_grid.clipped / total:.1%} of input {one.name!r} was outside of its grid, {one.domain}")
    return notes


class _Checker:
    """Runs batches of samples through the C, the graph and the reference."""

    def __init__(self, compilation: Compilation, built: Built) -> None:
        self.compilation = compilation
        self.built = built
        self.forcing = forcing.forcing(compilation.imported, compilation.graph)
        self.reference = Reference(compilation.imported, tuple(self.forcing.given))

    def batch(self, inputs: Mapping[str, Array]) -> _Batch:
        """All comparisons for samples in grid units."""
        c, local = self.compilation, self.forcing
        ran = self.built.run(inputs)
        values = interpreter.run(c.graph, inputs)
        real = {one.name: grid.to_real(one, inputs[one.name]) for one in c.grids}
        given = {name: interpreter.real(node, values[node]) for name, node in local.given.items()}
        layer_outputs, computed = self.reference.forced(real, given)
        end_to_end = self.reference.end_to_end(real)
        total = {n: n.domain for n in c.graph.nodes() if n.type.domain is not None}
        near = compare.undecided(c.graph, values, local.undecided.__getitem__, local.domains)
        ever = compare.undecided(c.graph, values, blur.undecided, total)
        outside = compare.outside(c.graph, values)
        touched, astray = np.zeros((2, len(end_to_end[0])), bool)
        for node, mask in (*ever.items(), *outside.items()):
            touched |= mask.any(axis=1) & (not isinstance(node, ArgMax))
        for node, mask in (*near.items(), *outside.items()):
            lost = node in local.recomputed or (node in outside and node not in local.given.values())
            astray |= mask.any(axis=1) & lost
        discrete, streams = (
            compare.hidden(c.imported, nodes, values, local.domains, computed, astray, near | outside)
            for nodes in local.by_kind
        )
        by_layer = compare.outputs(c.imported, c.graph, values, local.domains, layer_outputs, astray, near)
        whole = compare.outputs(c.imported, c.graph, values, total, end_to_end, touched, ever)
        ours, theirs = classes(c, ran.outputs[0]), reference_classes(c, end_to_end[0])
        return _Batch(
            compare.c_against_graph(c.program, c.lowered, c.graph, ran, values),
            discrete,
            streams,
            (*by_layer, *whole),
            ours,
            theirs,
            ran.selftest,
            int((~touched).sum()),
            sum(int(mask.sum()) for mask in outside.values()),
            compare.drift(c.imported, c.graph, values, end_to_end),
            _gap(end_to_end[0], ours, theirs),
        )

    def by_program(self, inputs: Mapping[str, Array]) -> tuple[Count, ...]:
        """The C against the program's own meaning, buffer by buffer."""
        program = self.compilation.program
        return compare.c_against_program(program, records.fed(program, inputs), self.built.run(inputs))

    def measure(self, inputs: Mapping[str, Array]) -> Measured | None:
        """What samples cost without the trace; their outputs must be the same.

        Raises:
            VerificationError: they are others.
        """
        plain, traced = self.built.run(inputs, trace=False), self.built.run(inputs)
        if any((a != b).any() for a, b in zip(plain.outputs, traced.outputs, strict=True)):
            raise VerificationError("the program computes something else when nothing looks at its memory")
        return plain.measured


def classes(compilation: Compilation, output: Array) -> Array:
    """The class that each sample's integers ``[samples, elements]`` of the first output mean; or that of each pixel."""
    node = compilation.graph.outputs[0]
    if isinstance(node, ArgMax):
        return _indices(node, output)
    name = compilation.imported.outputs[0].reference
    shaped = output.reshape(len(output), *node.type.shape)
    return _class(reference.in_onnx_order(compilation.imported, name, interpreter.real(node, shaped)))


def reference_classes(compilation: Compilation, output: Array) -> Array:
    """The class that the reference's first output ``[samples, elements]`` means; or that of each pixel."""
    node = compilation.graph.outputs[0]
    return _indices(node, output) if isinstance(node, ArgMax) else _class(output)


def _indices(node: ArgMax, output: Array) -> Array:
    """The first indices: ``[samples]``, or ``[samples, pixels]`` where each pixel has its own."""
    vectors = node.x.type.size // node.x.type.channels
    return np.asarray(output[:, 0] if vectors == 1 or node.count > 1 else output)


def _class(real: Array) -> Array:
    """The index of the largest element; for a single one, whether it is positive."""
    return np.asarray(np.argmax(real, axis=1) if real.shape[1] > 1 else (real[:, 0] > 0).astype(np.int64))


def _gap(logits: Array, ours: Array, theirs: Array) -> float:
    """How far ``logits [samples, classes]`` have the classes ``ours`` below ``theirs``, at most."""
    differ = np.flatnonzero(ours != theirs)
    if not len(differ) or ours.ndim > 1 or max(ours.max(), theirs.max()) >= logits.shape[1]:
        return np.inf if len(differ) else 0.0
    return float((logits[differ, theirs[differ]] - logits[differ, ours[differ]]).max())


def _result(
    compilation: Compilation,
    parts: Sequence[_Batch],
    by_program: Sequence[Count],
    tables: tuple[Checked, ...],
    given: data.Samples | None,
    own: int,
    directed: int,
    notes: tuple[str, ...],
    ran_on: str,
    measured: Measured | None,
) -> Verification:
    c = compare.merge([*(p.c for p in parts), by_program])
    discrete, streams = (compare.merge([getattr(p, kind) for p in parts]) for kind in ("discrete", "streams"))
    outputs = compare.merge([p.outputs for p in parts])
    checked = [t.count for t in tables]
    kinds = (("C", c), ("layer", discrete), ("stream", streams), ("output", outputs), ("table", checked))
    failures = tuple(
        f"{kind}: {one.name}: {one.differing:,} of {one.compared:,} differ, the first {one.first}"
        for kind, counts in kinds
        for one in counts
        if one.differing
    )
    if parts[0].selftest:
        failures = (*failures, f"C: the self-test fails, in vector {parts[0].selftest}")
    ours, theirs = (np.concatenate([getattr(p, f) for p in parts]) for f in ("ours", "theirs"))
    labels = None if given is None or ours.ndim > 1 else given.labels
    return Verification(
        ran_on=ran_on,
        samples=own + directed,
        reference=reference.describe(),
        bits_compared=sum(h.compared for h in discrete),
        bits_differing=sum(h.differing for h in discrete),
        undecided_points=sum(h.undecided for h in discrete),
        max_abs_error=max((o.worst for o in outputs), default=0.0),
        argmax_agreement=float((ours[:own] == theirs[:own]).mean()),
        accuracy=None if labels is None else float((ours[:own] == labels).mean()),
        measured=measured,
        passed=not failures,
        accuracy_reference=None if labels is None else float((theirs[:own] == labels).mean()),
        error_bound=compilation.error_bound,
        given=0 if given is None else len(given),
        end_to_end=sum(p.clean for p in parts),
        streams_compared=sum(one.compared for one in streams),
        outside=sum(p.outside for p in parts),
        drift=max(p.drift for p in parts),
        argmax_gap=max(p.gap for p in parts),
        values_compared=sum(one.compared for one in c),
        layers=(*discrete, *streams),
        tables=tables,
        failures=failures,
        notes=(*notes, *_undecided(discrete)),
    )


def _undecided(discrete: Sequence[Count]) -> list[str]:
    """Which layers leave more than a few of their values to float32 rounding, so that less of them is compared."""
    shares = ((h.name, h.undecided / max(1, h.undecided + h.compared)) for h in discrete)
    return [f"note: rounding decides at {share:.1%} of {name}" for name, share in shares if share > MANY]
