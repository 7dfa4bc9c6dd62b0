"""The backend for Arm Cortex-M: C99 with kernels in the style of CMSIS-NN, verified on each core in QEMU.

``--target`` takes a core (``cortex-m4``, the default) or a chip (``rp2040``, ``stm32f411``, ...), whose flash and RAM
the result must then fit (`bnncompiler.backends.cmsis_targets`).
"""

from __future__ import annotations

from dataclasses import dataclass

from bnncompiler.backends import c_writer, cmsis_projects
from bnncompiler.backends.base import About, Backend, Files, Target, pick_target
from bnncompiler.backends.cmsis_targets import CHIPS, CORES, core_of
from bnncompiler.calls import DenseBipolar, DenseThreshold, DenseXnor
from bnncompiler.costs import Cost, Work
from bnncompiler.machines.base import Machine
from bnncompiler.machines.qemu import CortexM
from bnncompiler.program import Call, Program
from bnncompiler.sliced_calls import DenseSliced, DenseSlicedBorder, DenseSlicedPlanes, DenseSlicedThreshold
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
        reach: bytes of weights by input that 16-bit offsets reach.
    """

    eight: float
    word: float
    output: float
    row: float
    listed: float
    compared: float
    numbers: float
    reach: int

    def of(self, kernel: type[Call], work: Work, word_bits: int) -> Cost | None:
        """Instructions, flash and RAM of ``kernel`` for ``work``, at one input in two being 1."""
        if kernel in COUNTING:
            words = -(-work.ins // word_bits)
            row = words // 8 * self.eight + words % 8 * self.word
            return Cost(work.outs * (row * work.planes + self.output), work.outs * words * word_bits // 8)
        words = -(-work.outs // word_bits)
        table = (work.ins + 1) * words * word_bits // 8
        if kernel in SLICED and table <= self.reach:
            added = work.planes * work.ins / 2 * (self.row * words + self.listed * -(-words // 4))
            each = self.numbers if kernel in (DenseSliced, DenseSlicedPlanes) else self.compared * work.thresholds
            return Cost(added + each * words, table, 1800, constant_time=False)
        return None


COUNTING = (DenseXnor, DenseThreshold, DenseBipolar)
SLICED = (DenseSliced, DenseSlicedThreshold, DenseSlicedBorder, DenseSlicedPlanes)

THUMB1 = CortexMCosts(155, 22, 100, 8.5, 9, 140, 1300, 65535)
THUMB2 = CortexMCosts(92, 14, 58, 7.8, 5.6, 110, 1050, 4 * 65535)
MVE = CortexMCosts(92, 14, 58, 3, 5.6, 110, 1050, 4 * 65535)


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
