"""Whether a program fits its target, said before the target's compiler runs.

Tables, arena, inputs and outputs are known to the byte. Code and stack are the C compiler's: a target with a model of
them (`Sizes`) says about how much, and verification measures it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from bnncompiler.machines.base import Measured
from bnncompiler.program import Program


class Sizes(Protocol):
    """A model of what the target's compiler makes of a program."""

    def code(self, program: Program) -> int:
        """About how many bytes of code the program becomes."""
        ...

    def stack(self, program: Program) -> int:
        """How many bytes of stack a run takes at most."""
        ...

    def constants(self, program: Program) -> int:
        """How many bytes of RAM constants of its kernels take."""
        ...


@dataclass(frozen=True)
class Demand:
    """What a program needs of one memory: bytes by what takes them, and how many there are (None: not known)."""

    what: str
    parts: tuple[tuple[str, int], ...]
    room: int | None

    @property
    def total(self) -> int:
        """All of it."""
        return sum(size for _, size in self.parts)

    @property
    def excess(self) -> int:
        """How many bytes too many it is, 0 where it fits or where nobody knows."""
        return 0 if self.room is None else max(0, self.total - self.room)

    def __str__(self) -> str:
        of = "" if self.room is None else f" of {self.room:,}"
        return f"{self.total:,}{of} B of {self.what} ({', '.join(f'{size:,} {name}' for name, size in self.parts)})"


def demands(
    program: Program, flash: int | None, ram: int | None, sizes: Sizes | None, measured: Measured | None = None
) -> tuple[Demand, Demand]:
    """What ``program`` needs of ``flash`` and ``ram``: as measured where that was done, else as planned."""
    code, stack = (0, 0) if sizes is None else (sizes.code(program), sizes.stack(program))
    if measured is not None and measured.flash_bytes is not None:
        code = measured.flash_bytes - program.flash_bytes
    if measured is not None and measured.stack_bytes is not None:
        stack = measured.stack_bytes
    ports = sum(p.buffer.bytes(program.word_bits) for p in (*program.inputs, *program.outputs))
    in_flash = (("of tables", program.flash_bytes), ("of code", code))
    constants = 0 if sizes is None else sizes.constants(program)
    in_ram = (
        ("of arena", program.arena_size),
        ("of inputs and outputs", ports),
        ("of constants", constants),
        ("of stack", stack),
    )
    return (
        Demand("flash", tuple(p for p in in_flash if p[1]), flash),
        Demand("RAM", tuple(p for p in in_ram if p[1]), ram),
    )
