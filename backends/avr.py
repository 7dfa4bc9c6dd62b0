"""The AVR backend: C99 with every constant in flash, kernels with the few inner loops that matter in assembly.

Targets are parts. Their packed word is the register, 8 bits. Verification compiles with avr-gcc and runs on the
simulated chip (`bnncompiler.machines.simavr`).
"""

from __future__ import annotations

from dataclasses import dataclass

from bnncompiler.backends import c_writer, projects
from bnncompiler.backends.avr_sizes import ONES, SLICED, SLIDE, AvrSizes
from bnncompiler.backends.base import About, Backend, Files, Target, pick_target
from bnncompiler.column_calls import ConvolveColumns
from bnncompiler.costs import Cost, Span, Work
from bnncompiler.dense_calls import DenseBipolar, DenseSigns, DenseThreshold, DenseXnor
from bnncompiler.errors import UsageError
from bnncompiler.machines.base import Machine
from bnncompiler.machines.simavr import FAR, GPIOR, GPIOR_TINY, SimAvr
from bnncompiler.program import Call, Program
from bnncompiler.sliced_calls import DenseSliced, DenseSlicedThreshold
from bnncompiler.widths import COMPACT

KB = 1024
NEAR = 60 * KB  # of tables within the first 64 KB of flash; interrupt vectors and tables of others are there, too
# avr-gcc makes no copies of a function for its constant arguments when it optimises for size, which is usual for it:
# inlined kernels are both smaller and faster.
KERNEL = "BNN_KERNEL BNN_INLINE"
STRIP = 600  # bytes of stack of the bit-sliced kernels
LARGEST = 2**15 - 1  # bytes of an object of avr-gcc
MHZ = 1_000_000


@dataclass(frozen=True)
class AvrCosts:
    """What the kernels cost, fitted to counts of the simulator, at one input in two being 1.

    Attributes:
        strips: whether there is RAM for the counters of the bit-sliced kernels.
        ones: whether there is RAM for a table of how many ones a byte has.
    """

    strips: bool = True
    ones: bool = True

    def of(self, kernel: type[Call], work: Work, word_bits: int) -> Cost | None:
        """Cycles, flash and RAM of ``kernel`` for ``work``; None where it is not for this part."""
        words, row = -(-work.outs // 8), -(-work.ins // 8)
        digits = work.ins.bit_length() + 1
        by_input = work.ins * (6.5 + 0.5 * 29.4 * -(-words // 3)) + words * (25 * digits + 200) + 1500
        if kernel is DenseSigns:
            return Cost(work.outs * (5 * work.ins + 60), work.ins * words)
        if kernel is DenseBipolar:
            return Cost(
                work.planes * (work.outs * (12.4 * row + 60) + 40 * work.ins), work.outs * row, work.planes * row
            )
        if kernel in (DenseThreshold, DenseXnor):
            return Cost(work.outs * (12.4 * row + 60), work.outs * row)
        if kernel is ConvolveColumns and self.ones and work.span is not None:
            return _by_columns(work, work.span)
        if kernel is DenseSlicedThreshold and self.strips:
            return Cost(by_input, work.ins * words + SLICED, STRIP, constant_time=False)
        if kernel is DenseSliced and self.strips:
            return Cost(by_input + 45 * work.outs * digits, work.ins * words + SLICED, STRIP, constant_time=False)
        return None


def _by_columns(work: Work, span: Span) -> Cost | None:
    """What `ConvolveColumns` costs for a pixel, a row's part of it.

    None where a number leaves the byte that it has, or the weights an object.
    """
    (kernel_h, kernel_w), (_, stride_w) = span.window.kernel, span.window.stride
    column, pairs = -(-kernel_h * span.channels // 8), -(-work.outs // 2)
    row = kernel_w * column
    if max(span.columns, stride_w * column, -(-row // 9)) > 255 or 2 * pairs * row > LARGEST:
        return None
    passes = -(-row // 9)
    wide = row > 18
    pixel = pairs * (10 * row + (27 if wide else 14) * passes + 45 * wide)
    around = pairs * (75 * passes + (250 if wide else 70)) / span.columns
    gather = kernel_h * stride_w * (18 + 8 * (column // kernel_h > 2) * column / kernel_h)
    classes = span.classes * 2 * pairs * (1 + wide)
    return Cost(pixel + around + gather + 3 * work.outs + 20, work.outs * row + classes + SLIDE, ONES)


def _part(name: str, flash: int, ram: int, megahertz: int = 16) -> Target:
    costs = AvrCosts(strips=ram >= 3 * STRIP, ones=ram >= 4 * ONES)
    return Target(name, 8, 1, 16, flash * KB, ram, megahertz * MHZ, costs, LARGEST, AvrSizes(), COMPACT)


# Kinds of projects, and where in them the generated files go.
BOARDS = {
    "atmega328p": "uno",
    "atmega32u4": "leonardo",
    "atmega168": "diecimilaatmega168",
    "atmega1284p": "mightycore1284",
    "atmega2560": "megaatmega2560",
}  # PlatformIO's names of the usual boards
PROJECTS = {"arduino": "src", "platformio": "lib/{model}", "make": "."}

TARGETS = (
    _part("atmega328p", 32, 2048),  # Arduino Uno, Nano
    _part("atmega32u4", 32, 2560),  # Arduino Leonardo, Micro
    _part("atmega168", 16, 1024),
    _part("attiny85", 8, 512, megahertz=8),  # Digispark
    _part("atmega1284p", 128, 16 * KB),
    _part("atmega2560", 256, 8 * KB),  # Arduino Mega
)


def is_far(program: Program) -> bool:
    """Whether there are more tables than pointers of 16 bits can address, next to what else must be there."""
    return program.flash_bytes > NEAR


def dialect(program: Program) -> str:
    """The C that a program is in: an address space of more than 64 KB is a GNU extension."""
    return "gnu99" if is_far(program) else "c99"


@dataclass(frozen=True)
class AvrBackend:
    """Prints a program as one C99 source and one header for an AVR."""

    name: str = "avr"

    def targets(self) -> tuple[str, ...]:
        """The names that ``--target`` takes, the default first."""
        return tuple(t.name for t in TARGETS)

    def target(self, name: str | None = None) -> Target:
        """The part called ``name``, the ATmega328P for None; raises ``UsageError`` where there is none."""
        return pick_target(self.name, TARGETS, name)

    def machine(self, target: Target) -> Machine:
        """The simulated part."""
        gpior = GPIOR_TINY if target.name.startswith("attiny") else GPIOR
        return SimAvr(target.name, target.hertz or 16 * MHZ, gpior)

    def emit(self, program: Program, about: About) -> Files:
        """``<model>.h`` and ``<model>.c``."""
        return c_writer.emit(program, about, port="avr", defines=(KERNEL, *([FAR] if is_far(program) else [])))

    def projects(self) -> tuple[str, ...]:
        """An Arduino library, a PlatformIO project, and one for avr-gcc, avrdude and make."""
        return tuple(PROJECTS)

    def project(self, kind: str, program: Program, about: About, files: Files) -> Files:
        """The files of a project, those of the model in their place."""
        if kind not in PROJECTS:
            raise projects.unknown(self.name, kind, self.projects())
        if kind != "make" and about.target.name not in BOARDS:
            raise UsageError(f"{about.target.name} has no serial port, which the sketch needs; take --project make")
        values = projects.values(program, about)
        values["clock"] = str(about.target.hertz)
        values["dialect"] = dialect(program)
        values["board"] = BOARDS.get(about.target.name, "")
        return projects.render("avr", kind, values, files, PROJECTS[kind])


AVR: Backend = AvrBackend()
