"""Running the generated C for another processor under this system, in QEMU: AArch64.

The main program is this machine's (`host`), built by a cross compiler, and calls this system. A run without a trace is
measured: instructions by the plugin of `qemu_plugin`, exactly. They are not cycles. Where this machine is such a
processor, it is the machine (`aarch64`).
"""

from __future__ import annotations

import platform
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from bnncompiler.errors import ToolError
from bnncompiler.machines import qemu_plugin, records
from bnncompiler.machines.base import TIMEOUT, Machine, Measured, folder_of
from bnncompiler.machines.host import FLAGS, Host, HostBuilt, compile_c, find_compiler
from bnncompiler.program import Program

COMPILER, SIZE, QEMU = "aarch64-linux-gnu-gcc", "aarch64-linux-gnu-size", "qemu-aarch64"
PACKAGES = {
    COMPILER: "apt install gcc-aarch64-linux-gnu libc6-dev-arm64-cross",
    SIZE: "apt install binutils-aarch64-linux-gnu",
    QEMU: "apt install qemu-user",
}
CALL = 2  # instructions between the marks that are not the model's: the return from one and the call of the other


@dataclass(frozen=True)
class QemuUserBuilt(HostBuilt):
    """Executables for one program, for another processor."""

    def compile(self, arguments: Sequence[str]) -> None:
        """Run the cross compiler."""
        compile_c(self.folder, [*self.flags, "-static", "-DBNN_IO_COUNT", *arguments], [COMPILER])

    def emulator(self, trace: bool) -> list[str]:
        """QEMU, which counts where there is no trace."""
        qemu = _need(QEMU)
        return [qemu] if trace else [qemu, "-plugin", f"file={qemu_plugin.path(qemu, find_compiler())},out=counts.txt"]

    def measured(self, trace: bool) -> Measured | None:
        """What the last run without a trace counted, and the size of the model's code and tables."""
        if trace:
            return None
        counts = (int(n) - CALL for n in (self.folder / "counts.txt").read_text().split())
        return self.counted(counts, _need(SIZE))


@dataclass(frozen=True)
class QemuUser:
    """An AArch64 processor in QEMU."""

    name: str = "aarch64 in QEMU"
    measures: bool = True

    @contextmanager
    def build(self, program: Program, files: Mapping[str, str], *, timeout: float = TIMEOUT) -> Iterator[QemuUserBuilt]:
        """Compile the generated files with the cross compiler under the strict flags."""
        for tool in PACKAGES:
            _need(tool)
        with folder_of(records.sources(program, files, records.read("host_io", records.IO))) as folder:
            yield QemuUserBuilt(program, folder, FLAGS, timeout)


def aarch64() -> Machine:
    """This machine where it is one, else QEMU."""
    return Host() if platform.machine() in ("aarch64", "arm64") else QemuUser()


def _need(tool: str) -> str:
    """``tool``, if it is installed."""
    if shutil.which(tool) is None:
        raise ToolError(f"{tool} is missing, which AArch64 is verified with: {PACKAGES[tool]}, or your equivalent")
    return tool
