"""A bare PC with AVX-512 in Bochs: it starts a program without an operating system, and its disks are streams of bytes.

Bochs is an interpreter: slow, but it knows each instruction, and its time stamp counter counts them. The machine has a
ROM of its own (``bare_pc/boot.S``), no screen, and ends when the program does. The program is a C program on
``bare_pc/ports.h``, linked with ``bare_pc/start.c``.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import struct
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template

from bnncompiler.errors import ToolError, VerificationError
from bnncompiler.machines import host, records
from bnncompiler.machines.host import compile_c, find_compiler, first_error, sections

PREFIX = "" if platform.machine() in ("x86_64", "AMD64") else "x86_64-linux-gnu-"  # of the tools for x86-64
BOCHS, OBJCOPY, SIZE, CROSS = "bochs", f"{PREFIX}objcopy", f"{PREFIX}size", f"{PREFIX}gcc"
PACKAGES = {
    BOCHS: "apt install bochs bochs-term",
    OBJCOPY: "apt install binutils" + "-x86-64-linux-gnu" * bool(PREFIX),
    SIZE: "apt install binutils" + "-x86-64-linux-gnu" * bool(PREFIX),
    CROSS: "apt install gcc-x86-64-linux-gnu",
}
SOURCES = ("boot.S", "start.c", "ports.h", "link.ld")
COMMAND = (BOCHS, "-q", "-f", "bochsrc")
PARTS = "pc"  # the folder that they are in
FLAGS = (*host.FLAGS, "-O3", "-march=x86-64-v4")  # as users are told to compile
ROM = "0xffffc000"  # where boot.S lies
SECTOR = 512
DISKS = 4
DISK = 1 << 30  # bytes of those that are written to, most of which the file does not have
STACK = 2 << 20  # bytes (boot.S), which begin at as many
RED_ZONE = 128  # bytes below the stack pointer that a function may use

_LINK = ("-nostdlib", "-static", "-Wl,--build-id=none")
_BARE = ("-fno-pie", "-fno-stack-protector", "-U_FORTIFY_SOURCE", f"-I{PARTS}")

# There is no screen, so that its ROM is of no use; but Bochs wants one.
_SETTINGS = Template(
    """\
display_library: term
cpu: model=$model, ips=1000000, reset_on_triple_fault=0
clock: sync=none
memory: guest=$megabytes, host=$megabytes
romimage: file=boot.img
vgaromimage: file=boot.img
ata0: enabled=1, ioaddr1=0x1f0, ioaddr2=0x3f0, irq=14
ata1: enabled=1, ioaddr1=0x170, ioaddr2=0x370, irq=15
ata0-master: type=disk, mode=flat, path=disk0
ata0-slave: type=disk, mode=flat, path=disk1
ata1-master: type=disk, mode=flat, path=disk2
ata1-slave: type=disk, mode=flat, path=disk3
log: bochs.log
"""
)


@dataclass(frozen=True)
class Pc:
    """A PC, and the folder that programs for it are built and run in.

    Attributes:
        folder: made ready by `prepare`.
        flags: what the C compiler is given.
        model: the processor, as Bochs calls it.
    """

    folder: Path
    flags: tuple[str, ...] = FLAGS
    model: str = "corei7_skylake_x"

    def prepare(self) -> None:
        """Write the files that programs are built with, and build the ROM.

        Raises:
            ToolError: a tool is missing.
        """
        check_tools()
        (self.folder / PARTS).mkdir()
        for name in SOURCES:
            (self.folder / PARTS / name).write_text(records.read("bare_pc", name), encoding="utf-8")
        compile_c(self.folder, [*_LINK, f"-Wl,-Ttext={ROM},-e,0", f"{PARTS}/boot.S", "-o", "boot.elf"], compiler())
        self._image("boot")

    def compile(self, arguments: Sequence[str]) -> None:
        """Run the C compiler; raises ``ToolError`` where it does not accept the files."""
        compile_c(self.folder, [*self.flags, *_BARE, *arguments], compiler())

    def link(self, arguments: Sequence[str], program: str) -> None:
        """Compile and link a program."""
        self.compile([*_LINK, f"-Wl,-T,{PARTS}/link.ld", f"{PARTS}/start.c", *arguments, "-o", f"{program}.elf"])
        self._image(program)

    def run(self, program: str, inputs: bytes, timeout: float) -> list[bytes]:
        """Start the machine.

        Args:
            program: what it starts.
            inputs: what its first disk has for it.
            timeout: seconds after which it counts as hanging.

        Returns:
            What the program wrote to each of the others.

        Raises:
            ToolError: Bochs does not run.
            VerificationError: the program does not come to its end.
        """
        self.load(program, inputs)
        try:
            # Where Bochs has its debugger, that waits for a command: "c" is to continue.
            done = subprocess.run(
                COMMAND, cwd=self.folder, env=environment(), input="c\n", capture_output=True, text=True,
                errors="replace", timeout=timeout, check=False,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise VerificationError(f"the generated program hangs: no end after {timeout:g} s in Bochs") from None
        log = self.folder / "bochs.log"
        _check(log.read_text(encoding="utf-8", errors="replace") if log.exists() else done.stderr)
        return [_stream(self._disk(number)) for number in range(1, DISKS)]

    def load(self, program: str, inputs: bytes) -> None:
        """Make ready to start (see `run`): what is left to do is `COMMAND`, in the folder."""
        need(BOCHS)
        self._prepare_disks((self.folder / f"{program}.img").read_bytes(), inputs)
        memory = (4 << 20) + sum(sections(need(SIZE), self.folder / f"{program}.elf"))  # above link.ld's first address
        settings = _SETTINGS.substitute(model=self.model, megabytes=memory // (1 << 20) + 2)
        (self.folder / "bochsrc").write_text(settings, encoding="utf-8")

    def _disk(self, number: int) -> Path:
        return self.folder / f"disk{number}"

    def _prepare_disks(self, image: bytes, inputs: bytes) -> None:
        """What is on a disk is said in ``bare_pc/ports.h``."""
        first = struct.pack("<QQ", len(inputs), len(_padded(image)) // SECTOR)
        self._disk(0).write_bytes(_padded(first) + _padded(image) + _padded(inputs))
        for number in range(1, DISKS):
            self._disk(number).write_bytes(b"")
            os.truncate(self._disk(number), DISK)
        for number in range(DISKS):  # a machine that was stopped leaves these
            Path(f"{self._disk(number)}.lock").unlink(missing_ok=True)

    def _image(self, program: str) -> None:
        """The bytes in memory of a linked program, as a file."""
        command = [need(OBJCOPY), "-O", "binary", f"{program}.elf", f"{program}.img"]
        subprocess.run(command, cwd=self.folder, check=True, capture_output=True)


def environment() -> dict[str, str]:
    """What `COMMAND` is run with: Bochs' screen is a terminal, which it does not write to."""
    return {**os.environ, "TERM": "xterm"}


def check_tools() -> None:
    """Raise ``ToolError`` if any tool is missing."""
    for tool in (BOCHS, OBJCOPY, SIZE):
        need(tool)
    compiler()


def compiler() -> list[str]:
    """The C compiler for x86-64 as a command.

    Raises:
        ToolError: there is none.
    """
    return [need(CROSS)] if PREFIX else find_compiler()


def need(tool: str) -> str:
    """``tool``, if it is installed."""
    if shutil.which(tool) is None:
        raise ToolError(f"{tool} is missing, which AVX-512 is verified with: {PACKAGES[tool]}, or your equivalent")
    return tool


def _check(log: str) -> None:
    """Raise what Bochs' log says went wrong, if it does not say that the program ended the machine."""
    if "Shutdown port: shutdown requested" in log:
        return
    if "exception with no resolution" in log:
        stack = re.search(r"RSP=([0-9a-f]+)", log)
        if stack is not None and int(stack.group(1), 16) <= STACK + RED_ZONE:
            raise VerificationError(f"the generated program overruns its stack of {STACK:,} B in Bochs")
        raise VerificationError("the generated program crashed in Bochs (a fault)")
    panic = re.search(r">>PANIC<< (.*)", log)
    raise ToolError(f"{BOCHS} fails: {panic.group(1) if panic else first_error(log)}")


def _padded(content: bytes) -> bytes:
    """In whole sectors."""
    return content + bytes(-len(content) % SECTOR)


def _stream(disk: Path) -> bytes:
    """What a disk has, if the program came to write how much that is."""
    with disk.open("rb") as file:
        (size,) = struct.unpack("<Q", file.read(8))
        file.seek(SECTOR)
        return file.read(size)
