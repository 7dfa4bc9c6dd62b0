"""Comparing a batch of samples: the C against the graph, and the graph against onnxruntime.

Between C and graph every number is an integer and must be equal. Between graph and onnxruntime each discrete value must
be what onnxruntime computes from the same inputs to its layer, except where float32 rounding itself decides: at the
accumulators that `blur` lists. Streams and outputs must be within the bound that the graph states; 0 means equal.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from bnncompiler import blur, interpreter, memory
from bnncompiler.forcing import is_discrete
from bnncompiler.frontend.imported import Imported
from bnncompiler.ir import Array, Domain, Graph, Node, per_element
from bnncompiler.lower import Lowered, Stored
from bnncompiler.machines.base import Run
from bnncompiler.ops import ArgMax, MaxPool, Requantize, Steps
from bnncompiler.packing import unpack_bits
from bnncompiler.program import Program
from bnncompiler.reference import in_onnx_order

NOISE = 4e-6  # relative: levels that come out of float32 arithmetic are equal up to their last bits

Values = Mapping[Node, Array]


@dataclass(frozen=True)
class Count:
    """How a value compared: elements that were, those that differ, and those where float32 rounding decides.

    ``first`` says what the first difference was; ``worst`` is the largest difference of real values.
    """

    name: str
    compared: int = 0
    differing: int = 0
    undecided: int = 0
    worst: float = 0.0
    first: str = ""

    def __add__(self, other: Count) -> Count:
        return replace(
            self,
            compared=self.compared + other.compared,
            differing=self.differing + other.differing,
            undecided=self.undecided + other.undecided,
            worst=max(self.worst, other.worst),
            first=self.first or other.first,
        )


def merge(batches: Sequence[Sequence[Count]]) -> tuple[Count, ...]:
    """The counts of several batches as one, value by value."""
    total: dict[str, Count] = {}
    for count in (c for batch in batches for c in batch):
        total[count.name] = total[count.name] + count if count.name in total else count
    return tuple(total.values())


def c_against_graph(program: Program, lowered: Lowered, graph: Graph, ran: Run, values: Values) -> tuple[Count, ...]:
    """Everything that the program has in memory, and its outputs, against the interpreter."""
    calls = {memory.written(call).name: i for i, call in enumerate(program.calls)}
    counts = []
    for node, stored in lowered.stored.items():
        if stored.buffer.name in calls and node in values:
            q = decode(stored, ran.trace[calls[stored.buffer.name]], node.type.size)
            counts.append(_equal(lowered.names[node], q, values[node]))
    for node, out in zip(graph.outputs, ran.outputs, strict=True):
        counts.append(_equal(f"output {node.name}", out, values[node]))
    return tuple(counts)


def c_against_program(program: Program, inputs: Sequence[Array], ran: Run) -> tuple[Count, ...]:
    """Every buffer that any call writes against the program's own meaning in numpy.

    Args:
        program: the program.
        inputs: what each input port was fed, ``[samples, elements of the buffer]``.
        ran: what the C made of it.
    """
    counts = []
    for s in range(len(inputs[0])):
        content = program.run({p.buffer.name: x[s] for p, x in zip(program.inputs, inputs, strict=True)})
        for i, call in enumerate(program.calls):
            expected = content[memory.written(call).name]
            counts.append(_equal(f"{call.kernel()} of {call.layer}", ran.trace[i][s][None], expected[None]))
    return merge([counts])


def decode(stored: Stored, raw: Array, count: int) -> Array:
    """The integers ``q [samples, count]`` behind a buffer's contents ``[samples, elements of the buffer]``."""
    codes = raw.astype(np.int64) if not stored.planes else np.zeros((len(raw), count), np.int64)
    if stored.planes:
        planes = np.ascontiguousarray(raw).reshape(len(raw), stored.planes, -1)
        for p in range(stored.planes):
            negative = stored.signed and p == stored.planes - 1
            codes += unpack_bits(planes[:, p], count).astype(np.int64) * (-(1 << p) if negative else 1 << p)
    return np.asarray(per_element(stored.base, count) + stored.step * codes)


def undecided(
    graph: Graph, values: Values, intervals: Callable[[Steps], Array], domains: Mapping[Node, Domain]
) -> dict[Node, Array]:
    """Where float32 rounding decides: ``[samples, elements]`` for each node that has such points at all.

    Args:
        graph: the graph after the passes.
        values: its values.
        intervals: for a threshold, the accumulators at which rounding decides.
        domains: the domains of values, with the errors that are meant.
    """
    found: dict[Node, Array] = {}
    for node in graph.nodes():
        mask = None
        if isinstance(node, Steps):
            mask = blur.reached(intervals(node), values[node.x].reshape(len(values[node.x]), -1))
        elif isinstance(node, ArgMax):
            mask = _ties(node, domains[node.x], values[node.x], values[node])
        elif isinstance(node, MaxPool) and node.x in found:
            open_taps = found[node.x].reshape(-1, *node.x.type.shape)
            mask = node.window.patches(open_taps, False).any(axis=(3, 4)).reshape(len(open_taps), -1)
        if mask is not None and mask.any():
            found[node] = mask
    return found


def outside(graph: Graph, values: Values) -> dict[Node, Array]:
    """Where streams leave the range that they hold: ``[samples, elements]`` for each that does."""
    found: dict[Node, Array] = {}
    for node in graph.nodes():
        if isinstance(node, Requantize) and node.saturates:
            mask = interpreter.saturated(values[node.x].reshape(len(values[node.x]), -1), node)
            if mask.any():
                found[node] = mask
    return found


def _ties(node: ArgMax, domain: Domain, q: Array, chosen: Array) -> Array:
    """Where another element may have the place of one that was chosen, within the error of both."""
    real = interpreter.real(node.x, q)
    error = np.broadcast_to(per_element(domain.error, node.x.type.size).reshape(node.x.type.shape), real.shape)
    mine, mine_error = (np.take_along_axis(a, chosen, -1)[..., None] for a in (real, error))
    rivals = (np.abs(real[..., None, :] - mine) <= error[..., None, :] + mine_error).sum(axis=-1) > 1
    return np.asarray(rivals.reshape(len(q), -1) & bool(domain.error.any()))


def hidden(
    imported: Imported,
    nodes: Mapping[str, Node],
    values: Values,
    domains: Mapping[Node, Domain],
    computed: Mapping[str, Array],
    skip: Array,
    open_points: Mapping[Node, Array],
) -> tuple[Count, ...]:
    """Each value that is given against what onnxruntime computes for it from what is given to its layer.

    Args:
        imported: the model.
        nodes: the values.
        values: the graph's values.
        domains: their domains, with errors counted from what is given.
        computed: what onnxruntime computes, by name, ``[samples, elements]``.
        skip: samples to leave out, ``[samples]``.
        open_points: where rounding decides, or a stream saturates.
    """
    counts = []
    for name, node in nodes.items():
        real, error = _reference_form(imported, name, node, domains[node], values[node])
        mask = np.repeat(skip[:, None], real.shape[1], axis=1)
        if node in open_points:
            mask = mask | in_onnx_order(imported, name, open_points[node])
        noise = NOISE * float(np.abs(real).max(initial=0)) if is_discrete(node) else 0.0
        counts.append(_within(node.name, real, computed[name], error + noise, mask))
    return tuple(counts)


def outputs(
    imported: Imported,
    graph: Graph,
    values: Values,
    domains: Mapping[Node, Domain],
    reference: Sequence[Array],
    skip: Array,
    open_points: Mapping[Node, Array],
) -> tuple[Count, ...]:
    """The outputs against onnxruntime's, within the bounds of their domains.

    Args:
        imported: the model.
        graph: the graph after the passes.
        values: its values.
        domains: the domains of the outputs, with the errors that are meant.
        reference: what onnxruntime computes for each output, ``[samples, elements]``.
        skip: samples to leave out, ``[samples]``.
        open_points: where rounding decides; an index of the largest may be open itself.
    """
    counts = []
    for node, out, expected in zip(graph.outputs, imported.outputs, reference, strict=True):
        real, error = _reference_form(imported, out.reference, node, domains[node], values[node])
        mask = np.repeat(skip[:, None], real.shape[1], axis=1)
        if node in open_points:
            mask = mask | in_onnx_order(imported, out.reference, open_points[node])
        counts.append(_within(out.name, real, expected, error, mask))
    return tuple(counts)


def drift(imported: Imported, graph: Graph, values: Values, reference: Sequence[Array]) -> float:
    """The largest difference of an output that is a number from onnxruntime's, whatever rounding decided on the way."""
    off = [0.0]
    for node, out, expected in zip(graph.outputs, imported.outputs, reference, strict=True):
        if not isinstance(node, ArgMax):
            real = in_onnx_order(imported, out.reference, interpreter.real(node, values[node]))
            off.append(float(np.abs(real - expected.astype(np.float64)).max(initial=0)))
    return max(off)


def _reference_form(imported: Imported, name: str, node: Node, domain: Domain, q: Array) -> tuple[Array, Array]:
    """The real values in ONNX's order, and the bound on each element's error."""
    real = in_onnx_order(imported, name, interpreter.real(node, q))
    error = per_element(domain.error, node.type.size).reshape(1, *node.type.shape)
    return real, in_onnx_order(imported, name, error)


def _equal(name: str, ours: Array, theirs: Array) -> Count:
    a, b = ours.reshape(len(ours), -1), theirs.reshape(len(theirs), -1)
    differs = a != b
    where = np.argwhere(differs)[:1]
    first = "" if not len(where) else f"{_place(where[0])} the C has {a[tuple(where[0])]}, not {b[tuple(where[0])]}"
    return Count(name, a.size, int(differs.sum()), first=first)


def _within(name: str, ours: Array, theirs: Array, bound: Array, skip: Array) -> Count:
    counted = ~skip
    off = difference(ours, theirs, bound)
    differs = counted & (off > bound)
    where = np.argwhere(differs)[:1]
    first = ""
    if len(where):
        at = tuple(where[0])
        first = f"{_place(where[0])} the program has {ours[at]:.9g}, onnxruntime {theirs[at]:.9g}"
    worst = float(np.max(off, where=counted, initial=0.0))
    return Count(name, int(counted.sum()), int(differs.sum()), int((~counted).sum()), worst, first)


def difference(ours: Array, theirs: Array, bound: Array) -> Array:
    """How far the reference's values are from real ones; where ``bound`` is 0, from these in its element type."""
    exact = np.asarray(ours.astype(theirs.dtype), np.float64)
    off = np.abs(theirs.astype(np.float64) - np.where(bound == 0, exact, ours))
    return np.where(np.isnan(off), np.inf, off)


def _place(where: Array) -> str:
    return f"in sample {where[0]}, element {where[1]},"
