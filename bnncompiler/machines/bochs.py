"""Running the generated C for x86-64-v4, that is with AVX-512, on machines that have none: in Bochs.

The main program is the common one on a bare PC (`bochs_pc`). A run without a trace is measured: instructions, exactly,
by the time stamp counter, each repetition of a string instruction as one. They are not cycles. Where this machine has
AVX-512, it is the machine (`x86_64_v4`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bnncompiler.errors import VerificationError
from bnncompiler.ir import Array
from bnncompiler.machines import records
from bnncompiler.machines.base import TIMEOUT, Machine, Measured, folder_of
from bnncompiler.machines.bochs_pc import FLAGS, SIZE, Pc, need
from bnncompiler.machines.host import Host, HostBuilt
from bnncompiler.program import Program

CPUINFO = Path("/proc/cpuinfo")
PARTS = frozenset(f"avx512{part}" for part in ("f", "bw", "cd", "dq", "vl"))  # of AVX-512, in x86-64-v4


@dataclass(frozen=True)
class BochsBuilt(HostBuilt):
    """Programs for the PC, each made when it is first wanted: with and without the trace."""

    @property
    def pc(self) -> Pc:
        """The machine."""
        return Pc(self.folder, self.flags)

    def compile(self, arguments: Sequence[str]) -> None:
        """Run the compiler for the PC."""
        self.pc.compile(arguments)

    def execute(self, trace: bool) -> int:
        """Run the samples in ``inputs.bin`` on the PC."""
        self._run("trace" if trace else "plain")
        return int(self._said("selftest")[0])

    def profile(self, inputs: Mapping[str, Array]) -> tuple[int, ...]:
        """How many instructions each call of the program takes, in the median over the samples of one chunk."""
        (self.folder / "inputs.bin").write_bytes(records.encode(self.program, inputs))
        self._run("profile")
        samples, calls = len(next(iter(inputs.values()))), len(self.program.calls)
        counts = self._counts()[-samples * (calls + 1) :]  # what comes before is the self-test's
        return tuple(int(n) for n in np.median(np.reshape(counts, (samples, -1))[:, :-1], axis=0))

    def _run(self, kind: str) -> None:
        """Run the main program: "plain", with the "trace", or with a count for each call ("profile")."""
        if not (self.folder / f"{kind}.img").exists():
            self.pc.link([f"-DBNN_HARNESS_{kind.upper()}", records.MAIN], kind)
        outputs, traces, said = self.pc.run(kind, (self.folder / "inputs.bin").read_bytes(), self.timeout)
        (self.folder / "outputs.bin").write_bytes(outputs)
        (self.folder / "trace.bin").write_bytes(traces)
        (self.folder / "said.txt").write_bytes(said)
        failed = self._said("failed")
        if failed:
            raise VerificationError(f"the generated program failed in Bochs: {failed[0]}")

    def measured(self, trace: bool) -> Measured | None:
        """What the last run without a trace counted, and the size of the model's code and tables."""
        return None if trace else self.counted(self._counts(), need(SIZE))

    def _counts(self) -> list[int]:
        """What the last run counted."""
        return [int(text) for text in self._said("count")]

    def _said(self, about: str) -> list[str]:
        """What the program said on the last run, line by line."""
        lines = (line.partition(" ") for line in (self.folder / "said.txt").read_text().splitlines())
        return [text for first, _, text in lines if first == about]


@dataclass(frozen=True)
class Bochs:
    """A PC with AVX-512 in Bochs."""

    name: str = "x86-64-v4 in Bochs"
    measures: bool = True

    @contextmanager
    def build(self, program: Program, files: Mapping[str, str], *, timeout: float = TIMEOUT) -> Iterator[BochsBuilt]:
        """Compile the generated files for the PC under the strict flags."""
        with folder_of(records.sources(program, files, records.read("bare_pc", records.IO))) as folder:
            built = BochsBuilt(program, folder, FLAGS, timeout)
            built.pc.prepare()
            yield built


def x86_64_v4() -> Machine:
    """This machine where it has AVX-512, else Bochs."""
    return Host(("-march=x86-64-v4",)) if has_avx512() else Bochs()


def has_avx512() -> bool:
    """Whether this machine has what x86-64-v4 has of AVX-512, as far as it says so."""
    return CPUINFO.exists() and PARTS.issubset(CPUINFO.read_text(encoding="utf-8", errors="replace").split())
