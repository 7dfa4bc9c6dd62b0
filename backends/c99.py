"""The portable backend: strict C99 for any machine with 8-bit bytes. Its targets are sizes of the packed word.

``--target`` takes ``host`` (the default: 64-bit words), ``64``, ``32``, ``16`` and ``8``. Any of them is right on any
machine; the one that is as wide as the machine's registers is the fastest. ``x86-64-v3`` and ``native`` are 64-bit
words, too, with the kernels that are the fastest where the C compiler may use AVX2, and verified with its instructions.
``x86-64-v4`` is for AVX-512, and verified in Bochs where this machine has none; ``aarch64`` is verified in QEMU. Both
count instructions.
"""

from __future__ import annotations

from dataclasses import dataclass

from bnncompiler.backends import c_writer, projects
from bnncompiler.backends.base import About, Backend, Files, Target, pick_target
from bnncompiler.backends.c99_costs import WIDE, WIDE_AVX512, WIDE_NEON, WIDE_VECTORS
from bnncompiler.machines.base import Machine
from bnncompiler.machines.bochs import x86_64_v4
from bnncompiler.machines.host import Host
from bnncompiler.machines.qemu_user import aarch64
from bnncompiler.program import Program

# int32_t values lie in the arena beside words, so that nothing is aligned to less than 4 bytes.
TARGETS = (
    Target("host", word_bits=64, align=8, costs=WIDE),
    Target("64", word_bits=64, align=8, costs=WIDE),
    Target("x86-64-v3", word_bits=64, align=8, costs=WIDE_VECTORS),
    Target("x86-64-v4", word_bits=64, align=8, costs=WIDE_AVX512),
    Target("native", word_bits=64, align=8, costs=WIDE_VECTORS),
    Target("aarch64", word_bits=64, align=8, costs=WIDE_NEON),
    Target("32", word_bits=32, align=4),
    Target("16", word_bits=16, align=4, int_bits=16),
    Target("8", word_bits=8, align=4, int_bits=16),
)

# What the C compiler may use beyond what every machine of its kind has.
FLAGS = {name: (f"-march={name}",) for name in ("x86-64-v3", "native")}
ELSEWHERE = {"aarch64": aarch64, "x86-64-v4": x86_64_v4}  # targets that this machine may not be


@dataclass(frozen=True)
class PortableBackend:
    """Prints a program as one C99 source and one header."""

    name: str = "c99"

    def targets(self) -> tuple[str, ...]:
        """The names that ``--target`` takes, the default first."""
        return tuple(t.name for t in TARGETS)

    def target(self, name: str | None = None) -> Target:
        """The target called ``name``, ``host`` for None; raises ``CompileError`` where there is none."""
        return pick_target(self.name, TARGETS, name)

    def machine(self, target: Target) -> Machine:
        """This machine, as portable C runs anywhere, but for the instructions of some targets."""
        if target.name in ELSEWHERE:
            return ELSEWHERE[target.name]()
        return Host(FLAGS.get(target.name, ()))

    def emit(self, program: Program, about: About) -> Files:
        """``<model>.h`` and ``<model>.c``."""
        return c_writer.emit(program, about, port="c99")

    def projects(self) -> tuple[str, ...]:
        """None: two files go into any project."""
        return ()

    def project(self, kind: str, program: Program, about: About, files: Files) -> Files:
        """There is none."""
        raise projects.unknown(self.name, kind, self.projects())


C99: Backend = PortableBackend()
