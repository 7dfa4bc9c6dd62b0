"""The facts about a compilation, as plain data: what ``report.json`` holds and what the command line prints.

`build` reads them off the graph and the program; nothing is rounded. One entry of ``nodes`` is one value that the
program computes. A dense layer whose threshold the same kernel takes is one entry with its activation, and a node that
costs nothing (the same integers mean other numbers) has no kernel.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

import numpy as np

from bnncompiler import ops
from bnncompiler.identifiers import identifiers
from bnncompiler.ir import Array, Domain, Graph, Node, unique_names
from bnncompiler.program import Call, Program
from bnncompiler.version import VERSION

if TYPE_CHECKING:
    from bnncompiler.compiler import Compilation
    from bnncompiler.verification import Verification


@dataclass(frozen=True)
class InputFacts:
    """A graph input: ``real = scale * q + offset`` (lists where channels differ); ``source`` says who decided so."""

    name: str
    shape: tuple[int, ...]
    ctype: str
    scale: float | list[float]
    offset: float | list[float]
    source: str


@dataclass(frozen=True)
class NodeFacts:
    """What a node became and why. ``exact``: every value equals the reference's, for every input."""

    name: str
    kind: str
    onnx: tuple[str, ...]
    shape: tuple[int, ...]
    macs: int
    domain: str
    exact: bool
    why: str
    flash_bytes: int
    kernel: str


@dataclass(frozen=True)
class MemoryFacts:
    """Bytes of constant tables, of the caller's arena, and of stack where that was measured."""

    flash_bytes: int
    arena_bytes: int
    stack_bytes: int | None


@dataclass(frozen=True)
class VerifyFacts:
    """What a verification compared, and what it found."""

    ran_on: str
    samples: int
    reference: str
    bits_compared: int
    bits_differing: int
    undecided_points: int
    max_abs_error: float
    argmax_agreement: float
    accuracy: float | None
    cycles: int | None
    passed: bool


@dataclass(frozen=True)
class Report:
    """Everything that is known about one compiled model; ``error_bound`` is on the outputs' real values."""

    model: str
    backend: str
    target: str
    compiler_version: str
    input: tuple[InputFacts, ...]
    nodes: tuple[NodeFacts, ...]
    memory: MemoryFacts
    exact: bool
    error_bound: float
    verify: VerifyFacts | None

    def json(self) -> str:
        """The report as JSON text, the same bytes for the same facts."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def node_facts(graph: Graph, program: Program) -> tuple[NodeFacts, ...]:
    """The facts about every value that ``program`` computes, in its order."""
    nodes = graph.nodes()
    calls: dict[str, list[Call]] = {}
    for call in program.calls:
        calls.setdefault(call.layer, []).append(call)
    seen: set[str] = set()
    facts = []
    names = unique_names(nodes)
    for node, layer in zip(nodes, identifiers(names.values()), strict=True):
        own = calls.get(layer, [])
        if isinstance(node, ops.Constant) or (not own and isinstance(node, ops.Input | ops.IntegerDense)):
            continue  # no code of its own: an input, or a layer that its reader's kernel computes
        tables = {t.name: t for c in own for t in c.tables if t.name not in seen}
        seen.update(tables)
        dense = node.x if isinstance(node, ops.Steps) and any(c.macs for c in own) else None
        kind, why = describe(node, dense if isinstance(dense, ops.IntegerDense) else None)
        facts.append(
            NodeFacts(
                name=names[node],
                kind=kind,
                onnx=tuple(dict.fromkeys(o for c in own for o in c.origin)),
                shape=node.type.shape,
                macs=sum(c.macs for c in own),
                domain=str(node.domain),
                exact=is_exact(node),
                why=why,
                flash_bytes=sum(t.bytes(program.word_bits) for t in tables.values()),
                kernel=" + ".join(dict.fromkeys(c.kernel() for c in own)),
            )
        )
    return tuple(facts)


def is_exact(node: Node) -> bool:
    """Whether the node's value equals the reference's for every input that reaches it."""
    return node.domain.is_exact and not (isinstance(node, ops.Steps) and undecided(node))


def undecided(node: ops.Steps) -> int:
    """At how many (row, accumulator) points float32 rounding in the reference decides."""
    first, last = node.undecided[..., 0], node.undecided[..., 1]
    return int(np.maximum(last - first, 0).sum()) // node.x.domain.step


def describe(node: Node, dense: ops.IntegerDense | None = None) -> tuple[str, str]:
    """What ``node`` became, in a few words, and why; ``dense`` is the layer that its kernel computes along with it."""
    match node:
        case ops.Steps():
            kind, why = _activation(node)
            if dense is not None:
                layer, of = _dense(dense)
                return f"{layer}, threshold", f"{of}; {why}"
            return kind, why
        case ops.IntegerDense():
            return _dense(node)
        case ops.Requantize():
            return _fixed_point(node)
        case ops.Lookup():
            return "lookup", f"a curve of {node.table.shape[1]} possible accumulators, tabulated" + _within(node)
        case ops.ArgMax():
            return "argmax", "the index of the largest, the first of equals"
        case _:
            return node.op, "packed input bits become words"


def levels(domain: Domain) -> str:
    """How many values a domain has, in the field's words: binary, ternary, or so many bits."""
    lo, hi = domain.bounds
    count = (hi - lo) // domain.step + 1
    return {1: "constant", 2: "binary", 3: "ternary"}.get(count, f"{max(1, (count - 1).bit_length())}-bit")


def _weights(node: ops.IntegerDense) -> str:
    values = set(np.unique(node.weight).tolist())
    if values <= {-1, 1}:
        return "binary"
    if values <= {-1, 0, 1}:
        return "ternary"
    largest = int(np.abs(node.weight).max())
    return f"{largest.bit_length() + 1}-bit"


def _dense(node: ops.IntegerDense) -> tuple[str, str]:
    weights, ins = _weights(node), node.weight.shape[1]
    lo, hi = node.domain.bounds
    error = float(node.weight_error.max())
    how = f"real weights on a {weights} grid, within {error:.2g} each" if error else f"{weights} weights"
    exact = node.domain.is_exact
    rounding = "exact in float32" if exact else f"float32 rounds it by up to {node.domain.error.max():.2g}"
    return f"{levels(node.x.domain)} x {weights} dense", f"{how}; the sum of {ins} products is {lo}..{hi}, {rounding}"


def _activation(node: ops.Steps) -> tuple[str, str]:
    rows, count = node.at.shape
    values = levels(node.out)
    each = "each" if rows > 1 else "all"
    thresholds = {0: "no threshold", 1: "one threshold"}.get(count, f"{count} thresholds")
    where = f"{rows} channels, {thresholds} {each}" if count else "the same for every accumulator"
    open_points = undecided(node)
    rounding = f"; float32 rounding decides at {open_points} accumulators" if open_points else ""
    return f"{values} activation", f"{len(np.unique(node.levels))} values on {node.x.type.domain}: {where}{rounding}"


def _fixed_point(node: ops.Requantize) -> tuple[str, str]:
    pieces = node.start.shape[1]
    if node.shift == 0 and node.start.shape == (1, 1) and node.multiplier[0, 0] == 1 and node.bias[0, 0] == 0:
        return "scale", "the same integers on another grid: no code" + _within(node)
    lines = "linear" if pieces == 1 else f"linear in {pieces} pieces"
    shift = f", shift by {node.shift}" if node.shift else ""
    lo, hi = node.out.bounds
    kind = "fixed point" if hi - lo >= 1 << 16 else f"{levels(node.out)} fixed point"
    return kind, f"{lines}: multiply, add{shift}{_within(node)}"


def _within(node: Node) -> str:
    return "" if node.domain.is_exact else f", within {node.domain.error.max():.2g}"


def _number(values: Array) -> float | list[float]:
    return float(values[0]) if len(values) == 1 else [float(v) for v in values]


def verify_facts(verification: Verification) -> VerifyFacts:
    """The figures of a verification."""
    return VerifyFacts(**{f.name: getattr(verification, f.name) for f in fields(VerifyFacts)})


def build(compilation: Compilation, verification: Verification | None = None) -> Report:
    """The report on a compilation, and on its verification where there was one."""
    program, shapes = compilation.program, {i.name: i.type.shape for i in compilation.graph.inputs}
    nodes = node_facts(compilation.graph, program)
    return Report(
        model=compilation.name,
        backend=compilation.backend.name,
        target=compilation.target.name,
        compiler_version=VERSION,
        input=tuple(
            InputFacts(g.name, shapes[g.name], g.ctype, _number(g.domain.scale), _number(g.domain.offset), g.source)
            for g in compilation.grids
        ),
        nodes=nodes,
        memory=MemoryFacts(program.flash_bytes, program.arena_size, None),
        exact=compilation.exact,
        error_bound=compilation.error_bound,
        verify=None if verification is None else verify_facts(verification),
    )
