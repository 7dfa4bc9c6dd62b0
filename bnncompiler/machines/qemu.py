"""Running the generated C on Cortex-M cores in QEMU, bare: no operating system, no debugger, no board of your own.

The program is linked with a start-up file and a linker script of its own (`cortex_m/`) and does input and output by
semihosting. A run without a trace is measured: instructions by a plugin of QEMU (`bnncompiler.machines.qemu_plugin`),
exactly, the stack by painting it, flash by linking the model alone. What QEMU does not simulate is time: instructions
are not cycles.
"""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from string import Template

import numpy as np

from bnncompiler.errors import ToolError, VerificationError
from bnncompiler.ir import Array
from bnncompiler.machines import qemu_plugin, records
from bnncompiler.machines.base import TIMEOUT, Measured, Run, folder_of
from bnncompiler.machines.host import FLAGS, find_compiler, first_error
from bnncompiler.machines.qemu_boards import BOARDS, Board
from bnncompiler.program import Program

COMPILER = "arm-none-eabi-gcc"
QEMU = "qemu-system-arm"
PACKAGES = {
    COMPILER: "apt install gcc-arm-none-eabi libnewlib-arm-none-eabi",
    "arm-none-eabi-size": "apt install binutils-arm-none-eabi",
    QEMU: "apt install qemu-system-arm",
}
STACK = 64 << 10  # bytes; a model that needs more is none for a microcontroller
CALL = 2  # instructions between the marks that are not the model's: the return from one and the call of the other
SOURCES = ("startup.c", "semihosting.h")
LINKER_SCRIPT = "link.ld.in"
_LINK = ("-ffreestanding", "-nostartfiles", "--specs=nano.specs")

# How the guest ends: `BNN_EXIT_...` of cortex_m/semihosting.h.
_FAILED, _IO, _FAULT, _STACK = 90, 91, 92, 93


@dataclass(frozen=True)
class QemuBuilt:
    """Executables for one program, each made when it is first wanted: with and without the trace."""

    program: Program
    folder: Path
    machine: CortexM
    timeout: float

    def run(self, inputs: Mapping[str, Array], *, trace: bool = True) -> Run:
        """Run all samples (see `machines.base.Built.run`); without a trace they are measured, too."""
        runs = [self._chunk(part, trace) for part in records.chunks(self.program, inputs, trace)]
        if len(runs) == 1:
            return runs[0]
        measured = [r.measured for r in runs if r.measured is not None]
        return Run(
            tuple(np.concatenate(o) for o in zip(*(r.outputs for r in runs), strict=True)),
            tuple(np.concatenate(t) for t in zip(*(r.trace for r in runs), strict=True)),
            runs[0].selftest,
            self._measured([count for m in measured for count in m.counts], max(m.stack_bytes or 0 for m in measured))
            if measured
            else None,
        )

    def profile(self, inputs: Mapping[str, Array]) -> tuple[int, ...]:
        """How many instructions each call of the program takes, in the median over the samples of one chunk."""
        (self.folder / "inputs.bin").write_bytes(records.encode(self.program, inputs))
        self._execute(self._executable("profile"), count=True)
        counts = np.loadtxt(self.folder / "counts.txt", np.int64, ndmin=1)
        samples, calls = len(next(iter(inputs.values()))), len(self.program.calls)
        by_call = counts[-samples * (calls + 1) :].reshape(samples, -1)  # what comes before is the self-test's
        return tuple(int(n) - CALL for n in np.median(by_call[:, :-1], axis=0))

    def _chunk(self, inputs: Mapping[str, Array], trace: bool) -> Run:
        count = len(next(iter(inputs.values())))
        (self.folder / "inputs.bin").write_bytes(records.encode(self.program, inputs))
        results = self._execute(self._executable("trace" if trace else "plain"), count=not trace)
        traced = records.decode_trace(self.program, (self.folder / "trace.bin").read_bytes(), count) if trace else ()
        counts = [int(n) - CALL for n in (self.folder / "counts.txt").read_text().split()] if not trace else []
        return Run(
            records.decode_outputs(self.program, (self.folder / "outputs.bin").read_bytes(), count),
            traced,
            results["selftest"],
            None if trace else self._measured(counts, results["stack"]),
        )

    def _measured(self, counts: list[int], stack: int) -> Measured:
        ports = (*self.program.inputs, *self.program.outputs)
        ram = self.program.arena_size + sum(p.buffer.bytes(self.program.word_bits) for p in ports)
        flash, data = self._sizes()
        return Measured("instructions", tuple(counts), stack, flash, ram + data)

    # --- building

    def _executable(self, kind: str) -> Path:
        """The main program: "plain", with the "trace", or with a count for each call ("profile")."""
        output = self.folder / f"{kind}.elf"
        if not output.exists():
            defined = f"-DBNN_HARNESS_{kind.upper()}"
            self._compile(*_LINK, "-T", "link.ld", defined, records.MAIN, "startup.c", "-o", output.name)
        return output

    def _sizes(self) -> tuple[int, int]:
        """Flash and static RAM of the model alone, in bytes: code and tables, with what it needs of the libraries."""
        (source,) = (p for p in self.folder.glob("*.c") if p.name not in (records.MAIN, *SOURCES))
        output = self.folder / "model.elf"
        if not output.exists():
            run, own = f"{source.stem}_run", f"-D{source.stem.upper()}_NO_SELFTEST"
            sections = ("-ffunction-sections", "-fdata-sections", f"-Wl,--gc-sections,-e,{run},-u,{run}")
            self._compile(own, *_LINK, *sections, source.name, "-o", output.name)
        told = _call([_need("arm-none-eabi-size"), output.name], self.folder)
        text, data, bss = (int(n) for n in told.stdout.splitlines()[-1].split()[:3])
        return text + data, data + bss

    def _compile(self, *arguments: str) -> None:
        done = _call([_need(COMPILER), *self.machine.flags, *FLAGS, *arguments], self.folder)
        if done.returncode != 0:
            raise ToolError(f"{COMPILER} does not compile the generated C: {_reason(done.stderr)}")

    # --- running

    def _execute(self, elf: Path, count: bool) -> dict[str, int]:
        """Run an executable; returns the numbers that it wrote to result.txt, by name."""
        qemu, board = _need(QEMU), self.machine.board
        command = [qemu, *options(board), "-kernel", elf.name]
        if count:
            command += ["-plugin", f"file={qemu_plugin.path(qemu, find_compiler())},out=counts.txt"]
        result = self.folder / "result.txt"
        result.write_text("")
        try:
            done = subprocess.run(
                command, cwd=self.folder, capture_output=True, text=True, timeout=self.timeout, check=False,
                stdin=subprocess.DEVNULL, errors="replace",
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise VerificationError(f"the generated program hangs: no end after {self.timeout:g} s in QEMU") from None
        said = dict(line.partition(" ")[::2] for line in result.read_text().splitlines())
        if done.returncode != 0:
            raise self._ended(done.returncode, said.get("failed", "no message"), done.stderr)
        return {name: int(value) for name, value in said.items()}

    def _ended(self, code: int, failed: str, messages: str) -> Exception:
        """What an exit code other than 0 means."""
        if code == _FAILED:
            return VerificationError(f"the generated program failed on {self.machine.core}: {failed}")
        if code == _STACK or (code < 0 and "Lockup" in messages and self._is_deep(messages)):
            return VerificationError(f"the generated program overruns its stack of {STACK:,} B on {self.machine.core}")
        if code == _FAULT or "Lockup" in messages:
            return VerificationError(f"the generated program crashed on {self.machine.core} (a fault)")
        if code == _IO:
            return ToolError(f"{QEMU} does no input and output for the program: semihosting fails")
        return ToolError(f"{QEMU} fails (exit code {code}): {_reason(messages)}")

    def _is_deep(self, messages: str) -> bool:
        """Whether QEMU's dump of the registers has a stack pointer at or below the end of the stack."""
        found = re.search(r"R13=([0-9a-f]{8})", messages)
        return found is not None and int(found.group(1), 16) < self.machine.board.ram[0] + 64


@dataclass(frozen=True)
class CortexM:
    """A Cortex-M core in QEMU.

    Attributes:
        core: its name, as in ``-mcpu``.
        flags: what makes the C compiler generate code for it.
    """

    core: str
    flags: tuple[str, ...]
    measures: bool = True

    @property
    def name(self) -> str:
        """What it is called in reports."""
        return f"{self.core} in QEMU ({self.board.machine})"

    @property
    def board(self) -> Board:
        """QEMU's machine with this core."""
        return BOARDS[self.core]

    @contextmanager
    def build(self, program: Program, files: Mapping[str, str], *, timeout: float = TIMEOUT) -> Iterator[QemuBuilt]:
        """Compile the generated files with the core's C compiler under the strict flags."""
        for tool in PACKAGES:
            _need(tool)
        sources = records.sources(program, files, records.read("cortex_m", records.IO))
        sources |= {file: records.read("cortex_m", file) for file in SOURCES}
        sources["link.ld"] = linker_script(self.board)
        with folder_of(sources) as folder:
            yield QemuBuilt(program, folder, self, timeout)


def options(board: Board) -> list[str]:
    """What the command line of QEMU says for ``board``: no screen, no ports, semihosting."""
    quiet = ["-display", "none", "-monitor", "none", "-serial", "none"]
    return ["-machine", board.machine, *board.options, *quiet, "-semihosting-config", "enable=on,target=native"]


def linker_script(board: Board) -> str:
    """The linker script for the memory of ``board``."""
    places = {"vectors": board.vectors, "stack": STACK}
    places |= {"flash": board.flash[0], "flash_size": board.flash[1], "ram": board.ram[0], "ram_size": board.ram[1]}
    return Template(records.read("cortex_m", LINKER_SCRIPT)).substitute({k: hex(v) for k, v in places.items()})


def _need(tool: str) -> str:
    """``tool``, if it is installed."""
    if shutil.which(tool) is None:
        raise ToolError(f"{tool} is missing, which Cortex-M is verified with: {PACKAGES[tool]}, or your equivalent")
    return tool


def _call(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)


def _reason(messages: str) -> str:
    """The line that says what is wrong; of the linker's, the one about memory that overflows."""
    lines = messages.splitlines()
    return next((line.strip() for line in lines if "overflowed" in line), first_error(messages))
