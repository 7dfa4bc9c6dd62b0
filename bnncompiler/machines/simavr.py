"""Running the generated C on a simulated AVR: built by avr-gcc as a user would, run by libsimavr, cycle for cycle.

The simulator's side is a small C program, ``simavr_io/run.c``, which is compiled when it is first wanted and then kept
in a cache folder. It moves samples in and results out by itself, keeps the stopwatch, and tells apart a program that
crashes, one that hangs, and one whose stack grows into its data.

What is measured: cycles of a sample, and the stack below the main program while it runs; flash and RAM of the smallest
program that calls the model, less those of an empty program.
"""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import shutil
import subprocess
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from bnncompiler.errors import DoesNotFit, ToolError, VerificationError
from bnncompiler.ir import Array
from bnncompiler.machines import records
from bnncompiler.machines.base import TIMEOUT, Measured, Run, folder_of
from bnncompiler.machines.host import find_compiler, first_error
from bnncompiler.program import Program
from bnncompiler.row_calls import row_sizes, streamed

STRICT = ("-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
LEAST = ("-Os", "-ffunction-sections", "-fdata-sections", "-Wl,--gc-sections")  # as the Arduino IDE compiles
LIMIT = 1 << 33  # cycles without a sign of life until a program counts as hanging: nine minutes at 16 MHz
FAR = "BNN_FAR"  # defined in files whose tables need pointers of 24 bits, which are GNU C
GPIOR = (0x3E, 0x4A, 0x4B)  # addresses of the general purpose registers 0, 1 and 2 in the memory of an ATmega
GPIOR_TINY = (0x31, 0x32, 0x33)

_AVR_GCC = (
    "Debian and Ubuntu: apt install gcc-avr avr-libc binutils-avr; Fedora: dnf install avr-gcc avr-libc avr-binutils; "
    "Arch: pacman -S avr-gcc avr-libc; macOS: brew install osx-cross/avr/avr-gcc"
)
_SIMAVR = (
    "Debian and Ubuntu: apt install libsimavr-dev libelf-dev gcc; Fedora: dnf install simavr-devel "
    "elfutils-libelf-devel gcc; Arch: pacman -S simavr libelf gcc; macOS: brew install osx-cross/avr/simavr libelf"
)
_EXITS = {
    3: "the generated program failed on the simulated chip: {}",
    4: "the generated program crashes on the simulated chip: {}",
    5: "the generated program hangs on the simulated chip: {}",
    6: "the generated program does not fit the chip's RAM: {}",
}


@dataclass(frozen=True)
class AvrBuilt:
    """Executables for one program, each made when it is first wanted."""

    machine: SimAvr
    program: Program
    stem: str
    dialect: str
    folder: Path
    timeout: float
    notes: dict[str, int] = field(default_factory=dict)  # what is found out once: "selftest", "flash", "ram"

    def run(self, inputs: Mapping[str, Array], *, trace: bool = True) -> Run:
        """Run all samples (see `machines.base.Built.run`)."""
        runs = [self._chunk(part, trace) for part in records.chunks(self.program, inputs, trace)]
        measured = runs[0].measured
        if measured is not None:
            counts = tuple(c for r in runs if r.measured for c in r.measured.counts)
            stack = max(r.measured.stack_bytes or 0 for r in runs if r.measured)
            flash, ram = self._size()
            measured = Measured("cycles", counts, stack, flash, ram, self.machine.hertz)
        return Run(
            tuple(np.concatenate(o) for o in zip(*(r.outputs for r in runs), strict=True)),
            tuple(np.concatenate(t) for t in zip(*(r.trace for r in runs), strict=True)),
            runs[0].selftest,
            measured,
        )

    def _chunk(self, inputs: Mapping[str, Array], trace: bool) -> Run:
        count = len(next(iter(inputs.values())))
        names = ("outputs.bin", *(["trace.bin"] if trace else []))
        self._save("inputs.bin", records.encode(self.program, inputs))
        kind = "traced" if trace else "plain"
        flags = ["-DBNN_HARNESS_NO_SELFTEST", self._no_selftest, *(["-DBNN_HARNESS_TRACE"] if trace else [])]
        facts = self._simulate(self._executable(kind, flags), "inputs.bin", *names)
        return Run(
            records.decode_outputs(self.program, (self.folder / "outputs.bin").read_bytes(), count),
            records.decode_trace(self.program, (self.folder / "trace.bin").read_bytes(), count) if trace else (),
            self._selftest(),
            None if trace else Measured("cycles", tuple(facts["sample"]), facts["stack"][0]),
        )

    def _selftest(self) -> int:
        """What the self-test returns. It has a program of its own: its vectors and a sample's may not both fit."""
        if "selftest" not in self.notes:
            self._save("none.bin", b"")
            facts = self._simulate(
                self._executable("selftest", ["-DBNN_HARNESS_ONLY_SELFTEST"]), "none.bin", "none.out"
            )
            self.notes["selftest"] = facts["selftest"][0]
        return self.notes["selftest"]

    def _size(self) -> tuple[int, int]:
        """Bytes of flash and of RAM that the model takes in the smallest program that calls it."""
        if "flash" not in self.notes:
            self._save("smallest.c", _smallest(self.program, self.stem).encode())
            self._save("empty.c", b"int main(void)\n{\n    return 0;\n}\n")
            flags = [f"-std={self.dialect}", *LEAST, self._no_selftest]
            sizes = []
            for source in ("smallest", "empty"):
                self.machine.compile(self.folder, [*flags, f"{source}.c", "-o", f"{source}.elf"])
                sizes.append(self.machine.sizes(self.folder / f"{source}.elf"))
            self.notes["flash"], self.notes["ram"] = (a - b for a, b in zip(*sizes, strict=True))
        return self.notes["flash"], self.notes["ram"]

    # --- steps

    @property
    def _no_selftest(self) -> str:
        return f"-D{self.stem.upper()}_NO_SELFTEST"

    def _save(self, name: str, content: bytes) -> None:
        (self.folder / name).write_bytes(content)

    def _executable(self, name: str, flags: Sequence[str]) -> Path:
        """The main program with ``flags``."""
        output = self.folder / f"{name}.elf"
        if not output.exists():
            strict = [f"-std={self.dialect}", *STRICT, "-Os"]
            self.machine.compile(self.folder, [*strict, *flags, records.MAIN, "-o", output.name])
        return output

    def _simulate(self, program: Path, *files: str) -> dict[str, list[int]]:
        """Run a program on the simulated chip; what the simulator prints, by its first word."""
        machine = self.machine
        numbers = (*machine.gpior, machine.stack_floor(program), LIMIT)
        command = [runner(), machine.part, str(machine.hertz), program.name, *map(str, numbers), *files]
        try:
            done = subprocess.run(
                command,
                cwd=self.folder,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=self.timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise VerificationError(f"the generated program hangs: no end after {self.timeout:g} s") from None
        if done.returncode != 0:
            message = done.stderr.strip().removeprefix("run: ") or f"exit code {done.returncode}"
            if done.returncode in _EXITS:
                raise VerificationError(_EXITS[done.returncode].format(message))
            raise ToolError(f"the simulator of {machine.part} fails: {message}")
        facts: dict[str, list[int]] = {"sample": [], "stack": [], "selftest": []}
        for line in done.stdout.splitlines():
            what, _, value = line.partition(" ")
            facts[what].append(int(value))
        return facts


@dataclass(frozen=True)
class SimAvr:
    """A simulated AVR.

    Attributes:
        part: its name, as avr-gcc and simavr know it.
        hertz: its clock.
        gpior: addresses of its general purpose registers 0, 1 and 2.
        flags: more for the compiler.
    """

    part: str
    hertz: int
    gpior: tuple[int, int, int] = GPIOR
    flags: tuple[str, ...] = ()
    measures: bool = True

    @property
    def name(self) -> str:
        """The simulator and the part."""
        return f"{self.part} (simavr)"

    @contextmanager
    def build(self, program: Program, files: Mapping[str, str], *, timeout: float = TIMEOUT) -> Iterator[AvrBuilt]:
        """Lay out the generated files with the main program; they are compiled when they are run."""
        self.find_tool("avr-gcc")
        runner()
        with folder_of(records.sources(program, files, records.read("simavr_io", records.IO))) as folder:
            stem = records.stem(files)
            dialect = "gnu99" if f"#define {FAR}\n" in files[f"{stem}.c"] else "c99"
            yield AvrBuilt(self, program, stem, dialect, folder, timeout)

    @staticmethod
    def find_tool(name: str) -> str:
        """The path of a tool of the AVR toolchain; raises ``ToolError`` where it is missing."""
        path = shutil.which(name)
        if path is None:
            raise ToolError(f"{name} is missing, which --backend avr needs to build and measure programs. {_AVR_GCC}")
        return path

    def compile(self, folder: Path, arguments: Sequence[str]) -> None:
        """Run avr-gcc for this part.

        Raises:
            ToolError: it does not accept the files.
            DoesNotFit: the program is larger than the part's memories.
        """
        command = [self.find_tool("avr-gcc"), f"-mmcu={self.part}", *self.flags, *arguments]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode == 0:
            return
        too_large = re.search(r"region `(\w+)' overflowed by (\d+) bytes|section .* is not within region", done.stderr)
        if too_large:
            raise DoesNotFit(f"the program does not fit {self.part}: {too_large.group(0)} (avr-ld)")
        raise ToolError(f"avr-gcc does not compile the generated C: {first_error(done.stderr)}")

    def sizes(self, program: Path) -> tuple[int, int]:
        """Bytes of flash and of RAM that a linked program takes."""
        done = subprocess.run([self.find_tool("avr-size"), program], capture_output=True, text=True, check=True)
        text, data, bss = map(int, done.stdout.splitlines()[1].split()[:3])
        return text + data, data + bss

    def stack_floor(self, program: Path) -> int:
        """The lowest address that the stack of a linked program may use: the first behind its data."""
        done = subprocess.run([self.find_tool("avr-nm"), program], capture_output=True, text=True, check=True)
        (end,) = (line.split()[0] for line in done.stdout.splitlines() if line.endswith(" _end"))
        return int(end, 16) & 0xFFFF


def _smallest(program: Program, stem: str) -> str:
    """A program that has nothing but the buffers and one call of the model."""
    ports, loop = [*program.inputs, *program.outputs], streamed(program)
    counts = [p.buffer.count for p in ports]
    names = [*(f"port{i}" for i in range(len(ports))), "arena"]
    call = f"{stem}_run({', '.join(names)});"
    if loop is not None:
        rows, counts[0] = row_sizes(loop)
        feed = f"for (int i = 0; i < {rows}; ++i) {stem}_feed(port0, arena);"
        call = f"{stem}_start(arena); {feed} {stem}_finish({', '.join(names[1:])});"
    buffers = [f"static {p.buffer.ctype} port{i}[{n}];" for i, (p, n) in enumerate(zip(ports, counts, strict=True))]
    arena = f"static unsigned char arena[{stem.upper()}_ARENA_SIZE];"
    return "\n".join(
        [f'#include "{stem}.c"', *buffers, arena, "int main(void)", "{", f"    {call}", "    return 0;", "}", ""]
    )


def cache_folder() -> Path:
    """Where compiled tools are kept between runs: ``$XDG_CACHE_HOME/bnncompiler``, or ``~/.cache/bnncompiler``."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bnncompiler"


def runner() -> str:
    """The path of the compiled ``run.c``; compiled now where it is not in the cache.

    Raises:
        ToolError: there is no C compiler or no libsimavr.
    """
    source = records.read("simavr_io", "run.c")
    compiler = find_compiler()
    key = hashlib.sha256("\0".join([source, *compiler]).encode()).hexdigest()[:16]
    program = cache_folder() / f"simavr-{key}"
    if program.exists():
        return str(program)
    program.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=program.parent) as name:
        built = Path(name) / "run"
        (Path(name) / "run.c").write_text(source, encoding="utf-8")
        command = [*compiler, "-std=gnu99", "-O2", f"{built}.c", "-o", str(built), "-lsimavr", "-lelf"]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=False)
        if done.returncode != 0:
            missing = "simavr" in done.stderr or "-lelf" in done.stderr
            why = f"libsimavr is missing, which runs AVR programs. {_SIMAVR}" if missing else first_error(done.stderr)
            raise ToolError(why if missing else f"{shlex.join(compiler)} does not compile the simulator: {why}")
        built.replace(program)  # at once: another process may be doing the same
    return str(program)
