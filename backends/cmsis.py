"""The backend for Arm Cortex-M: C99 with kernels in the style of CMSIS-NN, verified on each core in QEMU.

``--target`` takes a core (``cortex-m4``, the default) or a chip (``rp2040``, ``stm32f411``, ...), whose flash and RAM
the result must then fit (`bnncompiler.backends.cmsis_targets`).
"""

from __future__ import annotations

from dataclasses import dataclass

from bnncompiler.backends import c_writer, cmsis_projects
from bnncompiler.backends.base import About, Backend, Files, Target, pick_target
from bnncompiler.backends.cmsis_targets import CHIPS, CORES, core_of
from bnncompiler.costs import Cost, Span, Work
from bnncompiler.dense_calls import DenseBipolar, DenseSigns, DenseThreshold, DenseXnor
from bnncompiler.machines.base import Machine
from bnncompiler.machines.qemu import CortexM
from bnncompiler.packing import tails_save
from bnncompiler.program import Call, Program
from bnncompiler.sliced_calls import (
    ConvolveRowSliced,
    DenseSliced,
    DenseSlicedBorder,
    DenseSlicedPlanes,
    DenseSlicedThreshold,
)
from bnncompiler.widths import COMPACT


@dataclass(frozen=True)
class CortexMCosts:
    """What the kernels cost on a core, in instructions: fitted to counts of QEMU.

    Attributes:
        eight: of eight words of inputs and weights, multiplied by exclusive-or and counted.
        word: of a word beside these.
        output: of an output that is counted so.
        row: of adding the row of an input that is 1 to 32 outputs.
        listed: of listing an input that is 1, once for 128 outputs.
        compared: of comparing 32 bit-sliced outputs with a threshold.
        numbers: of making 32 bit-sliced outputs numbers.
        plane: of a bit plane beside its ones, for 32 outputs.
        sign: of a byte that is added or taken by a bit of weight.
        pixel: of a pixel of a convolution that is gathered and put, beside the kernel.
        tap: of an input of it.
        kept: of an input that is 1 in a list that several windows have.
        column: of the lists of a column of a window, for 32 outputs.
        window: of a window beside that.
        reach: bytes of weights by input that 16-bit offsets reach.
    """

    eight: float
    word: float
    output: float
    row: float
    listed: float
    compared: float
    numbers: float
    plane: float
    sign: float
    pixel: float
    tap: float
    kept: float
    column: float
    window: float
    reach: int

    def of(self, kernel: type[Call], work: Work, word_bits: int) -> Cost | None:
        """Instructions, flash and RAM of ``kernel`` for ``work``, at one input in two being 1."""
        words = -(-work.outs // word_bits)
        table = (work.ins + 1) * words * word_bits // 8
        if kernel in COUNTING:
            return self._counting(work, word_bits)
        if kernel in SLICED and table <= self.reach:
            added = work.planes * work.ins / 2 * (self.row * words + self.listed * -(-words // 4))
            added += self.plane * work.planes * words if kernel is DenseSlicedPlanes else 0
            each = self.numbers if kernel in (DenseSliced, DenseSlicedPlanes) else self.compared * work.thresholds
            cycles = added + each * words + self._gathering(work)
            return Cost(cycles, table, STRIP, constant_time=False, scratch=STRIP)
        if kernel is DenseSigns:
            return Cost(work.outs * (self.sign * work.ins + self.output / 6), work.ins * words * 4)
        if kernel is ConvolveRowSliced and work.span is not None:
            return self._by_row(work, work.span, words)
        return None

    def _counting(self, work: Work, word_bits: int) -> Cost:
        words = -(-work.ins // word_bits)
        row = words // 8 * self.eight + words % 8 * self.word
        cycles = work.outs * (row * work.planes + self.output) + self._gathering(work)
        return Cost(cycles, work.outs * words * word_bits // 8 - tails_save(work.outs, work.ins, word_bits))

    def _gathering(self, work: Work) -> float:
        return 0 if work.span is None else self.pixel + self.tap * work.ins

    def _by_row(self, work: Work, span: Span, words: int) -> Cost | None:
        columns = span.window.kernel[1]
        inputs = work.ins // columns
        table = (work.ins + columns) * words * 4
        if table > self.reach:
            return None
        listed = self.kept * inputs / 2 * min(columns, span.window.stride[1])
        added = words * (self.row * work.ins / 2 + self.column * columns + self.compared * work.thresholds)
        scratch = ConvolveRowSliced.scratch_bytes(work.ins, span.window, 32)
        return Cost(listed + added + self.window, table, scratch, constant_time=False, scratch=scratch)


STRIP = 1768  # bytes of an arm_bnn_strip
COUNTING = (DenseXnor, DenseThreshold, DenseBipolar)
SLICED = (DenseSliced, DenseSlicedThreshold, DenseSlicedBorder, DenseSlicedPlanes)

THUMB1 = CortexMCosts(155, 22, 100, 8.5, 9, 140, 1300, 470, 3.7, 450, 1, 12.9, 206, 125, 65535)
THUMB2 = CortexMCosts(92, 14, 58, 7.8, 5.6, 110, 1050, 300, 2.6, 280, 0.6, 6.9, 140, 123, 4 * 65535)
MVE = CortexMCosts(92, 14, 58, 2.4, 5.6, 110, 1050, 570, 2.2, 720, 0, 5.1, 84, 517, 4 * 65535)


def _targets() -> tuple[Target, ...]:
    cores = tuple(Target(c.name, 32, 4, costs=_costs(c.name), stream_bits=COMPACT) for c in CORES)
    chips = tuple(
        Target(c.name, 32, 4, 32, c.flash, c.ram, c.hertz, _costs(c.core), stream_bits=COMPACT) for c in CHIPS
    )
    return (*cores, *chips)


def _costs(core: str) -> CortexMCosts:
    return {"cortex-m0": THUMB1, "cortex-m0plus": THUMB1, "cortex-m55": MVE}.get(core, THUMB2)


@dataclass(frozen=True)
class CortexMBackend:
    """Prints a program as one C99 source and one header, with Cortex-M's own kernels."""

    name: str = "cmsis"

    def targets(self) -> tuple[str, ...]:
        """The names that ``--target`` takes, the default first."""
        return tuple(t.name for t in _targets())

    def target(self, name: str | None = None) -> Target:
        """The target called ``name``, ``cortex-m4`` for None; raises ``UsageError`` where there is none."""
        return pick_target(self.name, _targets(), name)

    def machine(self, target: Target) -> Machine:
        """The target's core in QEMU."""
        core = core_of(target.name)
        return CortexM(core.name, core.flags)

    def emit(self, program: Program, about: About) -> Files:
        """``<model>.h`` and ``<model>.c``."""
        return c_writer.emit(program, about, port="cmsis")

    def projects(self) -> tuple[str, ...]:
        """The kinds of project that ``--project`` takes."""
        return tuple(cmsis_projects.KINDS)

    def project(self, kind: str, program: Program, about: About, files: Files) -> Files:
        """The files of a project, those of the model in their place."""
        return cmsis_projects.project(kind, program, about, files)


CMSIS: Backend = CortexMBackend()
