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


@dataclass(frozen=True)
class CortexMCosts:
    """What the kernels cost on a core, in instructions: fitted to counts of QEMU.

    Attributes:
        xnor: of a multiplication by exclusive-or and counting ones.
        row: of adding the row of an input that is 1 to 32 outputs.
        listed: of listing an input that is 1, once for 128 outputs.
        output: of making a number of a bit-sliced counter, for each output.
        reach: bytes of weights by input that 16-bit offsets reach.
    """

    xnor: float
    row: float
    listed: float
    output: float
    reach: int

    def of(self, kernel: type[Call], work: Work, word_bits: int) -> Cost | None:
        """Instructions, flash and RAM of ``kernel`` for ``work``, at one input in two being 1."""
        words = -(-work.outs // word_bits)
        if kernel in (DenseXnor, DenseThreshold):
            row = -(-work.ins // word_bits)
            return Cost(self.xnor * row * word_bits * work.outs, row * work.outs * word_bits // 8)
        if kernel is DenseBipolar:
            row = -(-work.ins // word_bits) * word_bits
            return Cost(self.xnor * row * work.outs * work.planes, row * work.outs // 8)
        table = (work.ins + 1) * words * word_bits // 8
        if kernel in (DenseSliced, DenseSlicedThreshold, DenseSlicedBorder, DenseSlicedPlanes) and table <= self.reach:
            outputs = self.output * work.outs if kernel in (DenseSliced, DenseSlicedPlanes) else 0
            added = work.planes * work.ins / 2 * (self.row * words + self.listed * -(-words // 4))
            return Cost(added + 100 * words + outputs, table, 1000, constant_time=False)
        return None


THUMB1 = CortexMCosts(1.15, 8.5, 10, 60, 65535)
THUMB2 = CortexMCosts(0.85, 8, 6, 40, 4 * 65535)


def _targets() -> tuple[Target, ...]:
    cores = tuple(Target(c.name, word_bits=32, align=4, costs=_costs(c.name)) for c in CORES)
    chips = tuple(Target(c.name, 32, 4, 32, c.flash, c.ram, c.hertz, _costs(c.core)) for c in CHIPS)
    return (*cores, *chips)


def _costs(core: str) -> CortexMCosts:
    return THUMB1 if core in ("cortex-m0", "cortex-m0plus") else THUMB2


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
