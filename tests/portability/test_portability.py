"""The portable C on machines that this is not: other instruction sets, other word widths, the other byte order.

Each is a cross compiler and an emulator of its processor. The same samples go in; every value that any kernel leaves in
memory must be what the program means, whichever the machine.
"""

from __future__ import annotations

import subprocess
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

import bnncompiler
from bnncompiler.machines import records
from bnncompiler.machines.host import FLAGS
from bnncompiler.machines.records import Order
from tests.conftest import need
from tests.corpus import ROOT, SELECTION, models

HERE = Path(__file__).parent
RV32 = ("-march=rv32imc", "-mabi=ilp32")
FREESTANDING = (*RV32, "-ffreestanding", "-nostdlib", "-nostartfiles", "-fno-builtin", "-static", "-I.")
STRING = """#include <stddef.h>
void *memset(void *to, int value, size_t bytes);
void *memcpy(void *restrict to, const void *restrict from, size_t bytes);
"""


@dataclass(frozen=True)
class Foreign:
    """A machine of another kind.

    Attributes:
        compiler: its C compiler.
        emulator: what runs its programs here.
        target: the word that the code is compiled for.
        order: its byte order.
        flags: what the compiler is told.
        library: whether there is a C library for it.
    """

    compiler: str
    emulator: str
    target: str
    order: Order = "<"
    flags: tuple[str, ...] = ("-static",)
    library: bool = True


MACHINES = {
    "aarch64": Foreign("aarch64-linux-gnu-gcc", "qemu-aarch64", "64"),
    "armv7": Foreign("arm-linux-gnueabihf-gcc", "qemu-arm", "32", flags=("-static", "-march=armv7-a+fp")),
    "rv32imc": Foreign("riscv64-linux-gnu-gcc", "qemu-riscv32", "32", flags=FREESTANDING, library=False),
    "big-endian powerpc": Foreign("powerpc-linux-gnu-gcc", "qemu-ppc", "32", ">"),
    "big-endian powerpc, 64-bit words": Foreign("powerpc-linux-gnu-gcc", "qemu-ppc", "64", ">"),
    "big-endian powerpc, bytes": Foreign("powerpc-linux-gnu-gcc", "qemu-ppc", "8", ">"),
}
TRAINED = {m.name: m for m in models(SELECTION, ["trained"])}


def sources(model: str, target: str, io: str) -> tuple[bnncompiler.Compilation, dict[str, str]]:
    exported = TRAINED[model]
    compilation = bnncompiler.compile(exported.data, name="net", target=target, calibrate=exported.samples)
    return compilation, records.sources(compilation.program, compilation.files, io)


@pytest.mark.parametrize("name", MACHINES)
@pytest.mark.parametrize("model", TRAINED)
def test_every_value_is_the_programs(name: str, model: str, tmp_path: Path) -> None:
    machine = MACHINES[name]
    need(machine.compiler)
    need(machine.emulator)
    io = records.read("host_io", records.IO) if machine.library else (HERE / "linux_rv32_io.h").read_text()
    compilation, files = sources(model, machine.target, io)
    if not machine.library:
        files["string.h"] = STRING
    for file, text in files.items():
        (tmp_path / file).write_text(text)
    build = [machine.compiler, *FLAGS, *machine.flags, "-DBNN_HARNESS_TRACE", records.MAIN, "-o", "program"]
    done = subprocess.run(build, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    program, rng = compilation.program, np.random.default_rng(0)
    inputs = {}
    for grid, port in zip(compilation.grids, program.inputs, strict=True):
        lo, hi = grid.domain.bounds
        inputs[port.name] = lo + grid.domain.step * rng.integers(
            0, (hi - lo) // grid.domain.step + 1, (3, *port.type.shape)
        )
    (tmp_path / "inputs.bin").write_bytes(records.encode(program, inputs, machine.order))
    run = [machine.emulator, "./program", "inputs.bin", "outputs.bin", "trace.bin"]
    ran = subprocess.run(run, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=300)
    assert ran.returncode == 0 and int(ran.stdout) == 0, ran.stderr
    outputs = records.decode_outputs(program, (tmp_path / "outputs.bin").read_bytes(), 3, machine.order)
    trace = records.decode_trace(program, (tmp_path / "trace.bin").read_bytes(), 3, machine.order)
    fed = records.fed(program, inputs)
    for i in range(3):
        memory = {p.buffer.name: x[i] for p, x in zip(program.inputs, fed, strict=True)}
        for call, found in zip(program.calls, trace, strict=True):
            call.run(memory, program.word_bits)
            np.testing.assert_array_equal(found[i], memory[call.buffers["y"].name])
        for port, found in zip(program.outputs, outputs, strict=True):
            np.testing.assert_array_equal(found[i], memory[port.buffer.name])


def test_toolchains_are_those_that_the_setup_installs() -> None:
    setup = (ROOT / "scripts" / "setup.sh").read_text()
    assert all(f"need {m.compiler} " in setup and f" {m.emulator}" in setup for m in MACHINES.values())
