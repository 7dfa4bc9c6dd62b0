"""The data's way, as one function: a model goes in, a `Compilation` with the C files comes out.

Every stage is a function of immutable data, called here in order and nowhere else; each stage's result is kept, so that
the report, the printed forms and verification speak of the same objects that made the C.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import onnx

from bnncompiler import backends, blur, costs, data, frontend, grid, memory, passes, ranges, readback, verification
from bnncompiler.backends.base import About, Backend, Target
from bnncompiler.choices import FILE as CHOICES_FILE
from bnncompiler.choices import KernelChoices, read_choices
from bnncompiler.errors import CompileError, UsageError
from bnncompiler.fit import Demand, demands
from bnncompiler.frontend import Imported
from bnncompiler.identifiers import identifier
from bnncompiler.ir import Array, Graph, Node
from bnncompiler.lower import Lowered, depth_first, lower
from bnncompiler.machines.base import Measured
from bnncompiler.ops import Constant, Requantize, Steps
from bnncompiler.passes.quantize_weights import USUAL
from bnncompiler.program import Program
from bnncompiler.ranges import Ranges
from bnncompiler.version import VERSION
from bnncompiler.widths import PRECISE

Model = str | os.PathLike[str] | bytes | onnx.ModelProto
Number = grid.Number
SPARE_STACK = 256  # bytes of RAM to leave to the caller, and to what kernels have on the stack besides large scratch


@dataclass(frozen=True)
class Options:
    """What the user chose; the defaults are what most need.

    Attributes:
        backend: name of a backend (entry point group ``bnncompiler.backends``).
        target: one of the backend's targets; None for its default.
        name: the model's C name; None takes the file's.
        grid: the input grid as far as it is given.
        weight_bits: bits of a real-valued weight, 2 to 24; None for 16, or 24 where errors would grow.
        stream_bits: bits of a real-valued hidden activation, 4 to 28; None for what the target has.
        verify_each: run the interpreter before and after each pass and compare.
        strict: refuse a model whose outputs are not exact.
        optimize: what is made small where there is a choice: "speed" (time), "size" (flash) or "ram".
        constant_time: use no kernel whose time depends on the data.
        choices: kernels of layers, where they are decided; None leaves all to the cost model.
    """

    backend: str = "c99"
    target: str | None = None
    name: str | None = None
    grid: grid.GridOptions = field(default_factory=grid.GridOptions)
    weight_bits: int | None = None
    stream_bits: int | None = None
    verify_each: bool = False
    strict: bool = False
    optimize: str = "speed"
    constant_time: bool = False
    choices: KernelChoices | None = None

    def __post_init__(self) -> None:
        if self.optimize not in costs.GOALS:
            raise UsageError(f"optimize is {self.optimize!r}; it can be {', '.join(costs.GOALS)}")
        if not 2 <= (self.weight_bits or USUAL) <= 24:
            raise UsageError("weight_bits must be 2 to 24: what they stand for is float32")
        if not 4 <= (self.stream_bits or PRECISE) <= PRECISE:
            raise UsageError(f"stream_bits must be 4 to {PRECISE}: sums of some such streams must fit 32 bits")

    def __str__(self) -> str:
        shown = {
            "backend": self.backend,
            "target": self.target,
            "weight-bits": self.weight_bits,
            "stream-bits": self.stream_bits,
        }
        given = [f"--{k} {v}" for k, v in shown.items() if v is not None]
        if self.optimize != "speed":
            given.append(f"--optimize {self.optimize}")
        if self.choices is not None:
            given.append(f"--choices {CHOICES_FILE}")
        flags = [f"--{k}" for k, v in (("constant-time", self.constant_time), ("strict", self.strict)) if v]
        return " ".join([*given, *filter(None, [str(self.grid)]), *flags])


@dataclass(frozen=True, eq=False)
class Compilation:
    """A compiled model and everything that led to it.

    Attributes:
        imported: what the frontend read.
        source: the imported graph with its input grids; nothing else done.
        graph: the graph after the passes.
        lowered: the program before planning and where it keeps each node's value.
        program: the planned program.
        backend: the backend that emitted it, and ``target`` what for.
        about: what the emitted files say about where they come from.
        files: the emitted files by name.
        grids: the input grids and how they became known.
        digest: SHA-256 of the model.
        observed: what samples showed of the ranges of real values.
        notes: what the user should know, a sentence each.
    """

    name: str
    options: Options
    imported: Imported
    source: Graph
    graph: Graph
    lowered: Lowered
    program: Program
    backend: Backend
    target: Target
    about: About
    files: Mapping[str, str]
    grids: tuple[grid.InputGrid, ...]
    digest: str
    observed: Ranges = ranges.UNKNOWN
    notes: tuple[str, ...] = ()

    @property
    def stream_bits(self) -> int:
        """The width of hidden fixed-point values."""
        return self.options.stream_bits or self.target.stream_bits

    @property
    def error_bound(self) -> float:
        """The stated bound on any output's difference from the reference, for inputs that touch no undecided point."""
        return error_bound(self.graph)

    @property
    def undecided(self) -> int:
        """How many accumulators there are, over all channels, at which the reference's own rounding decides a value."""
        return blur.total(self.graph)

    def demands(self, measured: Measured | None = None) -> tuple[Demand, Demand]:
        """What the program needs of the target's flash and RAM: as measured, or else as planned."""
        target = self.target
        return demands(self.program, target.flash, target.ram, target.sizes, measured)

    def project(self, kind: str) -> dict[str, str]:
        """The files of a project of ``kind`` (one of ``backend.projects()``) around the emitted ones, by path."""
        return self.backend.project(kind, self.program, self.about, dict(self.files))

    @property
    def exact(self) -> bool:
        """Whether all outputs equal the reference's for every input."""
        return self.error_bound == 0 and self.undecided == 0 and not saturating(self.graph)


def saturating(graph: Graph) -> list[str]:
    """The streams that hold less than their worst case, by name."""
    return list(dict.fromkeys(n.name for n in graph.nodes() if isinstance(n, Requantize) and n.saturates))


def error_bound(graph: Graph) -> float:
    """The largest bound on an output's difference from the reference."""
    return max((float(o.domain.error.max()) for o in graph.outputs), default=0.0)


def compile(
    model: Model,
    *,
    backend: str = "c99",
    target: str | None = None,
    name: str | None = None,
    input: str | None = None,  # as the command's --input
    scale: Number | None = None,
    offset: Number | None = None,
    mean: Number | None = None,
    std: Number | None = None,
    calibrate: data.Source | None = None,
    weight_bits: int | None = None,
    stream_bits: int | None = None,
    verify_each: bool = False,
    strict: bool = False,
    optimize: str = "speed",
    constant_time: bool = False,
    choices: str | os.PathLike[str] | KernelChoices | None = None,
) -> Compilation:
    """Compile an ONNX model to C.

    Args:
        model: a path, the bytes of a file, or a ModelProto.
        backend: "c99" or another installed backend.
        target: one of the backend's targets.
        name: the C name; by default the file's.
        input: type of the input elements: "uint8", "int8", "int16" or "bits"; with ``scale``, ``offset``, ``mean`` and
            ``std`` it says what they mean: ``real = (q * scale + offset - mean) / std``.
        scale: real value of one step of an input element; a string such as "1/255" is a fraction.
        offset: real value at 0, before ``mean`` and ``std``.
        mean: subtracted from the scaled input.
        std: what the difference is divided by.
        calibrate: samples (an .npz file or arrays by input name) for the input grid, where nothing else gives it.
        weight_bits: bits of a real-valued weight; None for 16, or 24 where errors would grow.
        stream_bits: bits of a real-valued hidden activation; None for what the target has.
        verify_each: compare the graph before and after each pass.
        strict: refuse a model whose outputs are not exact.
        optimize: what is made small where there is a choice: "speed" (time), "size" (flash) or "ram".
        constant_time: use no kernel whose time depends on the data.
        choices: a file of kernels by layer, as `bnncompiler.autotune` measures them.

    Raises:
        CompileError: the model cannot be compiled; the message names the node and the way out.
    """
    grid_options = grid.GridOptions(input, scale, offset, mean, std)
    bits = weight_bits, stream_bits
    decided = None if choices is None else read_choices(choices)
    options = Options(backend, target, name, grid_options, *bits, verify_each, strict, optimize, constant_time, decided)
    return run(model, options, calibrate)


def run(model: Model, options: Options, calibrate: data.Source | None = None) -> Compilation:
    """`compile` with its options as one object."""
    chosen = backends.find(options.backend)
    target = chosen.target(options.target)
    name = identifier(options.name or Path(_file(model)).stem)
    options = replace(options, stream_bits=options.stream_bits or target.stream_bits)
    imported = frontend.load(model, name)
    samples = None if calibrate is None else data.load(calibrate, imported)
    grids = grid.choose(imported, options.grid, samples)
    source = grid.apply(imported.graph, grids)
    observed = ranges.UNKNOWN if samples is None else ranges.observe(imported, grids, samples)
    graph, lowered, program = _middle(imported, source, grids, observed, options, target)
    digest = hashlib.sha256(_bytes(model)).hexdigest()
    bound, undecided = error_bound(graph), blur.total(graph)
    notes = (*imported.notes, *_saturation(graph, observed))
    if options.strict and (bound or undecided):
        raise CompileError(_not_exact(graph, bound, undecided))
    texts = layer_texts(lowered)
    about = About(
        _file(model),
        digest,
        VERSION,
        str(options),
        chosen.name,
        target,
        not (bound or undecided),
        bound,
        notes,
        texts,
    )
    files = chosen.emit(program, about)
    readback.check(files, program)
    stages = imported, source, graph, lowered, program, chosen, target, about
    return Compilation(name, options, *stages, files, grids, digest, observed, notes)


def _middle(
    imported: Imported,
    source: Graph,
    grids: Sequence[grid.InputGrid],
    observed: Ranges,
    options: Options,
    target: Target,
) -> tuple[Graph, Lowered, Program]:
    """From the graph that was read to the planned program."""
    pipeline = passes.pipeline(options.weight_bits, options.stream_bits or target.stream_bits, observed)
    graph = passes.run_pipeline(source, pipeline, _checker(source, options))
    return graph, *_lowered(graph, imported, grids, options, target)


def _lowered(
    graph: Graph, imported: Imported, grids: Sequence[grid.InputGrid], options: Options, target: Target
) -> tuple[Lowered, Program]:
    """From the graph that kernels compute to the planned program."""
    sources = {g.name: g.source for g in grids}

    def lowered_for(goal: str, room: int | None = None) -> Lowered:
        selection = costs.Selection(target.costs, goal, options.constant_time, room, options.choices or KernelChoices())
        return lower(graph, target.word_bits, target.align, sources, imported.origins, selection, target.largest_table)

    return _planned(lowered_for, options.optimize, target.ram)


def remade(compilation: Compilation, options: Options) -> Compilation:
    """``compilation`` as far as the planned program, with other numbers; the files stay what they are."""
    c = compilation
    graph, lowered, program = _middle(c.imported, c.source, c.grids, c.observed, options, c.target)
    return replace(c, options=options, graph=graph, lowered=lowered, program=program)


def with_choices(compilation: Compilation, choices: KernelChoices | None) -> Compilation:
    """``compilation`` with other kernels, its files printed again; they are not read back (`readback.check`)."""
    c, options = compilation, replace(compilation.options, choices=choices)
    lowered, program = _lowered(c.graph, c.imported, c.grids, options, c.target)
    about = replace(c.about, options=str(options), layers=layer_texts(lowered))
    files = c.backend.emit(program, about)
    return replace(c, options=options, lowered=lowered, program=program, about=about, files=files)


def _saturation(graph: Graph, observed: Ranges) -> list[str]:
    """A note on the streams that hold less than their worst case."""
    names = saturating(graph)
    if not names:
        return []
    some = ", ".join(names[:3]) + (", ..." if len(names) > 3 else "")
    streams = f"{len(names)} streams hold" if len(names) > 1 else "1 stream holds"
    samples = f"{observed.count} sample{'s' if observed.count > 1 else ''} of {observed.source}"
    return [f"{streams} {ranges.MARGIN:g} times the range that {samples} showed, and saturate outside: {some}"]


def _planned(lowered_for: Callable[..., Lowered], goal: str, ram: int | None) -> tuple[Lowered, Program]:
    """The program with its memory planned: map by map, unless RAM is the ``goal`` or too small.

    Then layers run row by row, and if that is not enough, with the kernels that need the least memory; where that
    leaves room, with those again that need no more than there is.
    """

    def fits(lowered: Lowered, program: Program) -> bool:
        return ram is None or depth_first.footprint(program) + lowered.stack + SPARE_STACK <= ram

    lowered = lowered_for(goal)
    if goal != "ram":
        program = memory.plan(lowered.program)
        if fits(lowered, program):
            return lowered, program
        program = depth_first.plan(lowered)
        if fits(lowered, program):
            return lowered, program
    least = lowered_for("ram")
    smallest = depth_first.plan(least)
    if goal != "ram" and ram is not None and fits(least, smallest):
        lowered = lowered_for(goal, ram - SPARE_STACK - depth_first.footprint(smallest))
        program = depth_first.plan(lowered)
        if fits(lowered, program):
            return lowered, program
    return least, smallest


def verify(
    compilation: Compilation,
    source: data.Source | None = None,
    *,
    samples: int | None = None,
) -> verification.Verification:
    """Build and run the C, and compare every value with onnxruntime's (see `bnncompiler.verification`)."""
    return verification.verify(compilation, source, samples=samples)


def _checker(source: Graph, options: Options) -> passes.base.After | None:
    """With --verify-each: compare the graphs around each pass on random inputs."""
    if not options.verify_each:
        return None
    rng = np.random.default_rng(0)
    inputs = {i.name: _random(i, rng) for i in source.inputs}

    def after(one: passes.Pass, before: Graph, now: Graph) -> None:
        passes.check_equivalence(one.name, before, now, inputs)

    return after


def _random(node: Node, rng: np.random.Generator, samples: int = 32) -> Array:
    lo, hi = node.domain.bounds
    q: Array = lo + node.domain.step * rng.integers(0, (hi - lo) // node.domain.step + 1, (samples, *node.type.shape))
    return q


def layer_texts(lowered: Lowered) -> dict[str, str]:
    """For each layer (by the name of its calls), the node's operation and type, for the comments in the C."""
    return {lowered.names[node]: f"{node.op}: {node.type}" for node in lowered.names if not isinstance(node, Constant)}


def _not_exact(graph: Graph, bound: float, undecided: int) -> str:
    """Why --strict refuses, and the way out."""
    named = next((n for n in graph.nodes() if isinstance(n, Steps) and blur.count(n)), graph.outputs[0])
    return (
        f"{named.name}: not exact: outputs are within {bound:.3g} of the reference, and at {undecided} accumulators "
        "its float32 rounding decides a value; compile without --strict, or train with weights and activations of "
        "few values throughout"
    )


def _file(model: Model) -> str:
    """The model's file name, for people."""
    return Path(model).name if isinstance(model, str | os.PathLike) else "model.onnx"


def _bytes(model: Model) -> bytes:
    if isinstance(model, bytes):
        return model
    return model.SerializeToString() if isinstance(model, onnx.ModelProto) else Path(model).read_bytes()
