"""What a machine is: it builds a program's files and runs samples through them."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median_low
from typing import Protocol

from bnncompiler.ir import Array
from bnncompiler.program import Program

TIMEOUT = 600.0  # seconds that a run may take until it counts as hanging


@contextmanager
def folder_of(files: Mapping[str, str]) -> Iterator[Path]:
    """A temporary folder with these texts, by name of file."""
    with tempfile.TemporaryDirectory(prefix="bnncompiler-") as name:
        folder = Path(name)
        for file, text in files.items():
            (folder / file).write_text(text, encoding="utf-8")
        yield folder


@dataclass(frozen=True)
class Measured:
    """What running a program cost.

    Attributes:
        unit: what is counted: "cycles" or "instructions".
        counts: how many of them each sample took.
        stack_bytes: the deepest stack of any sample, below the main program.
        flash_bytes: code and constants of the model alone, None where it was not measured.
        ram_bytes: what the model and its caller's buffers (arena, input, output) take, without the stack.
        hertz: the machine's clock, to tell seconds from cycles; None where they are not known.
    """

    unit: str
    counts: tuple[int, ...]
    stack_bytes: int | None = None
    flash_bytes: int | None = None
    ram_bytes: int | None = None
    hertz: int | None = None

    @property
    def typical(self) -> int:
        """The median count."""
        return median_low(self.counts)

    def __str__(self) -> str:
        least, most = min(self.counts), max(self.counts)
        text = f"{self.typical:,} {self.unit}" + (f" ({least:,} to {most:,})" if least != most else "")
        if self.hertz is not None:
            text += f", {self.typical / self.hertz * 1e3:.3g} ms at {self.hertz / 1e6:g} MHz"
        sizes = (("stack", self.stack_bytes), ("flash", self.flash_bytes), ("RAM without the stack", self.ram_bytes))
        return text + "".join(f"; {size:,} B of {what}" for what, size in sizes if size is not None)


def together(parts: Sequence[Measured]) -> Measured | None:
    """What several runs of one program cost; None for none."""
    if not parts:
        return None
    stacks = [m.stack_bytes for m in parts if m.stack_bytes is not None]
    return replace(parts[0], counts=tuple(n for m in parts for n in m.counts), stack_bytes=max(stacks, default=None))


@dataclass(frozen=True, eq=False)
class Run:
    """What the program left behind.

    Attributes:
        outputs: for each output port, in order: ``[samples, elements]``.
        trace: for each call of the program, in order: what it wrote, ``[samples, elements of the buffer]``, in the
            buffer's element type; empty where no trace was asked for.
        selftest: what the program's self-test returned: 0, or the number of the vector that failed.
        measured: what it cost, where the machine can tell and no trace was in the way.
    """

    outputs: tuple[Array, ...]
    trace: tuple[Array, ...]
    selftest: int = 0
    measured: Measured | None = None


class Built(Protocol):
    """A program that is ready to run; it is gone with the context of `Machine.build`."""

    def run(self, inputs: Mapping[str, Array], *, trace: bool = True) -> Run:
        """Run all samples.

        Args:
            inputs: grid units by input port name: ``[samples, *shape]``, -1 and +1 for packed inputs.
            trace: also return what every call wrote; without, the program is exactly what a user gets.

        Raises:
            VerificationError: the program crashes, hangs, or writes where it must not.
        """
        ...


class Machine(Protocol):
    """Runs programs."""

    @property
    def name(self) -> str:
        """What it is called in reports: "host", or the simulator and the part that it simulates."""
        ...

    @property
    def measures(self) -> bool:
        """Whether a run without a trace says what it cost (`Run.measured`)."""
        ...

    def build(
        self, program: Program, files: Mapping[str, str], *, timeout: float = TIMEOUT
    ) -> AbstractContextManager[Built]:
        """Compile the files that ``program`` was printed to.

        Args:
            program: what the files were printed from.
            files: the generated files, by name.
            timeout: seconds after which a run counts as hanging.

        Raises:
            ToolError: a tool is missing, or does not accept the files.
        """
        ...
