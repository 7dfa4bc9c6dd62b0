"""How long each kernel call of a program takes on this machine, measured in the generated C.

Clocks are noisy: what else the machine does comes on top. So runs are many and short, and whoever compares programs
runs them turn by turn and compares medians.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bnncompiler.ir import Array
from bnncompiler.machines import host, records
from bnncompiler.machines.base import TIMEOUT, folder_of
from bnncompiler.program import Program

MAIN = "bnn_clock.c"
FAST = "-O3"  # what who wants speed compiles with


@dataclass(frozen=True)
class Clocked:
    """An executable for one program and one sample."""

    program: Program
    folder: Path

    def run(self, seconds: float) -> Array:
        """Nanoseconds of each call, ``[runs, calls]``, of as many runs as there is time for.

        Raises:
            VerificationError: the program crashes.
        """
        host.execute(["./clock", "sample.bin", "times.bin", str(round(1e3 * seconds))], self.folder, TIMEOUT)
        return np.fromfile(self.folder / "times.bin", np.uint64).reshape(-1, len(self.program.calls)).astype(float)


@contextmanager
def build(
    program: Program, files: Mapping[str, str], sample: Mapping[str, Array], flags: tuple[str, ...]
) -> Iterator[Clocked]:
    """Compile ``files``, which ``program`` was printed to.

    Args:
        program: what is timed.
        files: the generated files, by name.
        sample: grid units by input port name, ``[1, *shape]``.
        flags: what the C compiler is given beyond strictness and `FAST`.

    Raises:
        ToolError: there is no C compiler, or it does not accept the files.
    """
    sources = {**files, MAIN: records.read("clock.c"), records.MODEL: records.model(program, records.stem(files))}
    with folder_of(sources) as folder:
        (folder / "sample.bin").write_bytes(records.encode(program, sample))
        calls = f"-DBNN_CLOCK_CALLS={len(program.calls)}u"
        host.compile_c(folder, [*host.FLAGS, FAST, *flags, calls, MAIN, "-o", "clock"])
        yield Clocked(program, folder)


@contextmanager
def pinned() -> Iterator[None]:
    """Within this, this process and those that it starts stay on one processor, where the system can do that."""
    if not hasattr(os, "sched_setaffinity"):
        yield
        return
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(before)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)
