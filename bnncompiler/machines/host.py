"""Running the generated C on this machine: what verification of portable C is done with."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from bnncompiler.errors import ToolError, VerificationError
from bnncompiler.ir import Array
from bnncompiler.machines import records
from bnncompiler.machines.base import TIMEOUT, Measured, Run, folder_of, together
from bnncompiler.program import Program

COMPILERS = ("cc", "gcc", "clang")
FLAGS = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", "-O2")
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


@dataclass(frozen=True)
class HostBuilt:
    """Executables for one program, each made when it is first wanted: with and without the trace."""

    program: Program
    folder: Path
    flags: tuple[str, ...]
    timeout: float

    def run(self, inputs: Mapping[str, Array], *, trace: bool = True) -> Run:
        """Run all samples (see `machines.base.Built.run`)."""
        runs = [self._chunk(part, trace) for part in records.chunks(self.program, inputs, trace)]
        if len(runs) == 1:
            return runs[0]
        return Run(
            tuple(np.concatenate(o) for o in zip(*(r.outputs for r in runs), strict=True)),
            tuple(np.concatenate(t) for t in zip(*(r.trace for r in runs), strict=True)),
            runs[0].selftest,
            together([r.measured for r in runs if r.measured is not None]),
        )

    def _chunk(self, inputs: Mapping[str, Array], trace: bool) -> Run:
        count = len(next(iter(inputs.values())))
        (self.folder / "inputs.bin").write_bytes(records.encode(self.program, inputs))
        selftest = self.execute(trace)
        return Run(
            records.decode_outputs(self.program, (self.folder / "outputs.bin").read_bytes(), count),
            records.decode_trace(self.program, (self.folder / "trace.bin").read_bytes(), count) if trace else (),
            selftest,
            self.measured(trace),
        )

    def counted(self, counts: Iterable[int], size: str) -> Measured:
        """These instructions, and the sizes of the model's code and tables, which the tool ``size`` says."""
        (source,) = (p for p in self.folder.glob("*.c") if p.name != records.MAIN)
        output = self.folder / "model.o"
        if not output.exists():
            self.compile(["-c", f"-D{source.stem.upper()}_NO_SELFTEST", source.name, "-o", output.name])
        text, data, bss = sections(size, output)
        ports = (*self.program.inputs, *self.program.outputs)
        ram = self.program.arena_size + sum(p.buffer.bytes(self.program.word_bits) for p in ports)
        return Measured("instructions", tuple(counts), None, text + data, ram + data + bss)

    # What is different for programs that this machine does not run by itself (`machines.qemu_user`, `machines.bochs`).

    def compile(self, arguments: Sequence[str]) -> None:
        """Run the C compiler; raises ``ToolError`` where it does not accept the files."""
        compile_c(self.folder, [*self.flags, *arguments])

    def execute(self, trace: bool) -> int:
        """Run ``inputs.bin``, which leaves ``outputs.bin`` and ``trace.bin``; returns the self-test's result."""
        output = self.folder / ("traced" if trace else "plain")
        if not output.exists():
            self.compile([*(["-DBNN_HARNESS_TRACE"] if trace else []), records.MAIN, "-o", output.name])
        names = ["inputs.bin", "outputs.bin", "trace.bin" if trace else ""]
        return int(execute([*self.emulator(trace), str(output), *names], self.folder, self.timeout))

    def emulator(self, trace: bool) -> list[str]:
        """What the command of the executable begins with."""
        return []

    def measured(self, trace: bool) -> Measured | None:
        """What the last run cost."""
        return None


@dataclass(frozen=True)
class Host:
    """This machine.

    Attributes:
        flags: what the C compiler is given beyond strictness.
    """

    flags: tuple[str, ...] = ()
    name: str = "host"
    measures: bool = False

    @contextmanager
    def build(self, program: Program, files: Mapping[str, str], *, timeout: float = TIMEOUT) -> Iterator[HostBuilt]:
        """Compile the generated files with this machine's C compiler under the strict flags."""
        find_compiler()
        with folder_of(records.sources(program, files, records.read("host_io", records.IO))) as folder:
            yield HostBuilt(program, folder, (*FLAGS, *self.flags), timeout)


def first_error(messages: str) -> str:
    """The line of a compiler's messages that says what is wrong."""
    lines = messages.strip().splitlines()
    return next((line for line in lines if "error" in line), lines[0] if lines else "no message").strip()


def find_compiler() -> list[str]:
    """The host's C compiler as a command: ``$CC``, or the first of cc, gcc and clang that is there.

    Raises:
        ToolError: there is none.
    """
    said = shlex.split(os.environ.get("CC", ""))
    for command in [said] if said else [[c] for c in COMPILERS]:
        if shutil.which(command[0]):
            return command
    where = f"$CC is {said[0]!r}, which is not there" if said else f"none of {', '.join(COMPILERS)} is there"
    raise ToolError(
        f"no C compiler: {where}; install one (Debian: apt install gcc, Fedora: dnf install gcc, macOS: "
        "xcode-select --install) or set CC"
    )


def compile_c(folder: Path, arguments: Sequence[str], compiler: Sequence[str] = ()) -> None:
    """Run ``compiler``, this machine's where none is given, in ``folder``.

    Raises:
        ToolError: there is none, or it does not accept the files.
    """
    compiler = compiler or find_compiler()
    done = subprocess.run([*compiler, *arguments], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise ToolError(f"{shlex.join(compiler)} does not compile the generated C: {first_error(done.stderr)}")


def sections(size: str, file: Path) -> tuple[int, int, int]:
    """Bytes of code and constants, of data, and of data that begins as zeros, as the tool ``size`` says."""
    told = subprocess.run([size, file], capture_output=True, text=True, check=True).stdout
    text, data, bss = (int(n) for n in told.splitlines()[-1].split()[:3])
    return text, data, bss


def execute(command: list[str], folder: Path, timeout: float) -> str:
    """What the program prints; raises ``VerificationError`` that tells apart how it failed."""
    environment = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}  # the main program closes nothing that it reads
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            env=environment,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=timeout,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise VerificationError(f"the generated program hangs: no end after {timeout:g} s") from None
    if done.returncode == 0:
        return done.stdout
    lines = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    found = next((line for line in lines if "runtime error" in line or "Sanitizer:" in line), None)
    if found is not None:
        raise VerificationError(f"the sanitizer stopped the generated program: {found}")
    if done.returncode < 0:
        name = signal.Signals(-done.returncode).name
        if -done.returncode == signal.SIGILL:
            raise VerificationError("this machine lacks instructions that the target has: verify on one that has them")
        raise VerificationError(f"the generated program crashed ({name})")
    message = next((line.removeprefix("bnn_harness: ") for line in lines), "no message")
    raise VerificationError(f"the generated program failed (exit code {done.returncode}): {message}")
