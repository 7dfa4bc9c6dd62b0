"""The facts about a compilation, as plain data: what ``report.json`` holds and what the command line prints.

`build` reads them off the graph and the program; nothing is rounded. One entry of ``nodes`` is one value that the
program computes. A layer and the activation that is computed along with it are one entry, and a node that costs nothing
(the same integers mean other numbers) has no kernel.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING

from bnncompiler import explain, memory, ops
from bnncompiler.identifiers import identifiers
from bnncompiler.ir import Array, Graph, unique_names
from bnncompiler.machines.base import Measured
from bnncompiler.program import Call, Program, Table
from bnncompiler.version import VERSION

if TYPE_CHECKING:
    from bnncompiler.compiler import Compilation
    from bnncompiler.precision import Choice
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
    """Bytes of constant tables and of the caller's arena as planned; what was measured on the target, if it was.

    ``linked_bytes`` is all of the model that is in flash, code included, ``ram_bytes`` its arena, inputs and outputs.
    """

    flash_bytes: int
    arena_bytes: int
    stack_bytes: int | None
    linked_bytes: int | None = None
    ram_bytes: int | None = None


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
    instructions: int | None
    passed: bool


@dataclass(frozen=True)
class Report:
    """Everything that is known about one compiled model; ``error_bound`` is on the outputs' real values.

    ``plan`` draws the arena, a line for each buffer. ``precision`` is what other widths of hidden streams would
    cost, where that was measured.
    """

    model: str
    backend: str
    target: str
    compiler_version: str
    input: tuple[InputFacts, ...]
    nodes: tuple[NodeFacts, ...]
    memory: MemoryFacts
    plan: tuple[str, ...]
    exact: bool
    error_bound: float
    verify: VerifyFacts | None
    precision: tuple[Choice, ...] = ()
    fit: tuple[str, ...] = ()

    def json(self) -> str:
        """The report as JSON text, the same bytes for the same facts."""
        return json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n"


def node_facts(graph: Graph, program: Program, origins: Mapping[str, tuple[str, ...]]) -> tuple[NodeFacts, ...]:
    """The facts about every value that ``program`` computes, in its order; ``origins`` has its ONNX nodes, by name."""
    nodes = graph.nodes()
    calls: dict[str, list[Call]] = {}
    tables: dict[str, list[Table]] = {}  # each counts where it is used first
    seen: set[str] = set()
    for call in program.calls:
        for part in call.parts:
            calls.setdefault(part.layer, []).append(part)
        for user in (*call.parts, call):
            new = {t.name: t for t in user.tables if t.name not in seen}
            seen.update(new)
            tables.setdefault(user.layer, []).extend(new.values())
    facts = []
    names = unique_names(nodes)
    for node, layer in zip(nodes, identifiers(names.values()), strict=True):
        own = calls.get(layer, [])
        if isinstance(node, ops.Constant) or (not own and isinstance(node, ops.Input | explain.Layer)):
            continue  # no code of its own: an input, or a layer that its reader's kernel computes
        kind, why = explain.node(node, with_layer=any(c.macs for c in own))
        facts.append(
            NodeFacts(
                name=names[node],
                kind=kind,
                onnx=tuple(dict.fromkeys(o for c in own for o in c.origin)) or tuple(origins.get(node.name, ())),
                shape=node.type.shape,
                macs=sum(c.macs for c in own),
                domain=str(node.domain),
                exact=explain.is_exact(node),
                why=why,
                flash_bytes=sum(t.bytes(program.word_bits) for t in tables.get(layer, [])),
                kernel=" + ".join(dict.fromkeys(k for c in own for k in c.kernels())),
            )
        )
    return tuple(facts)


def _number(values: Array) -> float | list[float]:
    return float(values[0]) if len(values) == 1 else [float(v) for v in values]


def verify_facts(verification: Verification) -> VerifyFacts:
    """The figures of a verification."""
    return VerifyFacts(**{f.name: getattr(verification, f.name) for f in fields(VerifyFacts)})


def memory_facts(program: Program, measured: Measured | None) -> MemoryFacts:
    """What the plan says, and what was measured."""
    if measured is None:
        return MemoryFacts(program.flash_bytes, program.arena_size, None)
    sizes = measured.stack_bytes, measured.flash_bytes, measured.ram_bytes
    return MemoryFacts(program.flash_bytes, program.arena_size, *sizes)


def fit_lines(compilation: Compilation, measured: Measured | None) -> tuple[str, ...]:
    """What the target has and what the program takes of it, by memory; nothing where that is not known."""
    kind = "about " if measured is None else ""
    verdicts = {True: "fits", False: "does not fit"}
    return tuple(f"{kind}{d}: {verdicts[not d.excess]}" for d in compilation.demands(measured) if d.room is not None)


def build(
    compilation: Compilation, verification: Verification | None = None, precision: tuple[Choice, ...] = ()
) -> Report:
    """The report on a compilation, and on its verification and what other precision costs where that was measured."""
    program, shapes = compilation.program, {i.name: i.type.shape for i in compilation.graph.inputs}
    nodes = node_facts(compilation.graph, program, compilation.imported.origins)
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
        memory=memory_facts(program, None if verification is None else verification.measured),
        plan=tuple(memory.drawing(program).splitlines()),
        exact=compilation.exact,
        error_bound=compilation.error_bound,
        verify=None if verification is None else verify_facts(verification),
        precision=precision,
        fit=fit_lines(compilation, None if verification is None else verification.measured),
    )
