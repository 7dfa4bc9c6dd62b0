"""The backend for Arm Cortex-M: C99 with kernels in the style of CMSIS-NN, verified on each core in QEMU.

``--target`` takes a core (``cortex-m4``, the default) or a chip (``rp2040``, ``stm32f411``, ...), whose flash and RAM
the result must then fit (`bnncompiler.backends.cmsis_targets`).
"""

from __future__ import annotations

from dataclasses import dataclass

from bnncompiler.backends import c_writer
from bnncompiler.backends.base import About, Backend, Files, Target, pick_target
from bnncompiler.backends.cmsis_targets import CHIPS, CORES, core_of
from bnncompiler.machines.base import Machine
from bnncompiler.machines.qemu import CortexM
from bnncompiler.program import Program


def _targets() -> tuple[Target, ...]:
    cores = tuple(Target(core.name, word_bits=32, align=4) for core in CORES)
    chips = tuple(Target(c.name, word_bits=32, align=4, flash=c.flash, ram=c.ram, hertz=c.hertz) for c in CHIPS)
    return (*cores, *chips)


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


CMSIS: Backend = CortexMBackend()
