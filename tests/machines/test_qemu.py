"""The generated C on Cortex-M cores in QEMU: what comes back, what is measured, and how failures are told apart."""

from __future__ import annotations

import re
import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

import bnncompiler
from bnncompiler import Compilation, backends
from bnncompiler.errors import ToolError, VerificationError
from bnncompiler.ir import Array
from bnncompiler.machines import host, qemu, qemu_plugin, records
from bnncompiler.machines.base import TIMEOUT, Run
from bnncompiler.machines.qemu_boards import BOARDS
from tests.conftest import need
from tests.networks import Builder

RNG = np.random.default_rng(3)
PIXELS = RNG.integers(0, 256, (9, 37))


def signs(*shape: int) -> Array:
    return RNG.choice([-1.0, 1.0], shape).astype(np.float32)


def mlp() -> ModelProto:
    b = Builder()
    x = b("Sign", b("Sub", b.input("x", ["N", 37]), np.float32(0.3)))
    h = b("Sign", b("Add", b("MatMul", x, signs(37, 40)), np.float32(0.5)))
    return b.model(b("MatMul", h, signs(40, 5)))


@pytest.fixture(autouse=True, scope="module")
def tools() -> None:
    for tool in qemu.PACKAGES:
        need(tool)


@pytest.fixture(scope="module")
def compilation() -> Compilation:
    return bnncompiler.compile(mlp(), name="net", backend="cmsis", target="cortex-m0plus")


def machine(core: str) -> qemu.CortexM:
    backend = backends.find("cmsis")
    found = backend.machine(backend.target(core))
    assert isinstance(found, qemu.CortexM)
    return found


def run(
    compilation: Compilation,
    files: Mapping[str, str] | None = None,
    core: str = "cortex-m0plus",
    *,
    trace: bool = True,
    timeout: float = TIMEOUT,
) -> Run:
    with machine(core).build(compilation.program, files or compilation.files, timeout=timeout) as built:
        return built.run({"x": PIXELS}, trace=trace)


def sabotaged(compilation: Compilation, statement: str) -> dict[str, str]:
    """The files with a statement behind the first kernel call."""
    source = compilation.files["net.c"]
    assert len(re.findall(r"BNN_TRACE\(0,.*;", source)) == 1
    return {**compilation.files, "net.c": re.sub(r"BNN_TRACE\(0,.*;", lambda m: f"{m[0]}\n    {statement}", source)}


@pytest.mark.parametrize("core", BOARDS)
def test_every_core_computes_what_the_program_means(compilation: Compilation, core: str) -> None:
    program = compilation.program
    traced, plain = run(compilation, core=core), run(compilation, core=core, trace=False)
    fed = records.fed(program, {"x": PIXELS})
    for i in range(len(PIXELS)):
        memory = program.run({p.buffer.name: x[i] for p, x in zip(program.inputs, fed, strict=True)})
        for call, found in zip(program.calls, traced.trace, strict=True):
            np.testing.assert_array_equal(found[i], memory[call.buffers["y"].name])
        for port, *found_in in zip(program.outputs, traced.outputs, plain.outputs, strict=True):
            for found in found_in:
                np.testing.assert_array_equal(found[i], memory[port.buffer.name])
    assert traced.selftest == plain.selftest == 0 and traced.measured is None


def test_what_is_measured(compilation: Compilation) -> None:
    measured = run(compilation, trace=False).measured
    assert measured is not None and measured.unit == "instructions" and len(measured.counts) == len(PIXELS)
    assert measured.counts == run(compilation, trace=False).measured.counts  # type: ignore[union-attr]
    loop = r".syntax unified\n movs r3, #200\n 1: subs r3, #1\n bne 1b"
    with_loop = sabotaged(compilation, f'__asm__ volatile("{loop}" ::: "r3", "cc");')
    longer = run(compilation, with_loop, trace=False).measured
    assert longer is not None
    assert {b - a for a, b in zip(measured.counts, longer.counts, strict=True)} == {1 + 200 * 2}
    assert measured.ram_bytes == compilation.program.arena_size + 37 + 5 * 4
    assert measured.flash_bytes is not None and 300 < measured.flash_bytes - compilation.program.flash_bytes < 3000


def test_the_stack_is_measured(compilation: Compilation) -> None:
    deep = "{ volatile unsigned char big[3000]; big[0] = 1; big[2999] = big[0]; (void)big[2999]; }"
    before, after = run(compilation, trace=False).measured, run(compilation, sabotaged(compilation, deep), trace=False)
    assert before is not None and after.measured is not None
    assert before.stack_bytes is not None and after.measured.stack_bytes is not None
    assert 3000 <= after.measured.stack_bytes <= 3000 + before.stack_bytes + 32 < 4000


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4", "cortex-m33", "cortex-m55"])
def test_failures_are_told_apart(compilation: Compilation, core: str) -> None:
    crash = "*(volatile int *)0xE1000001u = 1;"
    with pytest.raises(VerificationError, match=f"crashed on {core}"):
        run(compilation, sabotaged(compilation, crash), core)
    deep = "{ volatile unsigned char big[70000]; for (int i = 69999; i >= 0; i--) big[i] = 1; (void)big[0]; }"
    with pytest.raises(VerificationError, match=f"overruns its stack of 65,536 B on {core}"):
        run(compilation, sabotaged(compilation, deep), core)


def test_a_program_that_hangs(compilation: Compilation) -> None:
    with pytest.raises(VerificationError, match="hangs: no end after 1 s in QEMU"):
        run(compilation, sabotaged(compilation, "for (volatile int i = 0; i == 0;) { }"), timeout=1)


def test_writes_outside_of_the_arena_are_found(compilation: Compilation) -> None:
    outside = "((unsigned char *)arena)[NET_ARENA_SIZE] = 0;"
    with pytest.raises(VerificationError, match=r"failed on cortex-m0plus: .*outside of the arena"):
        run(compilation, sabotaged(compilation, outside))


def test_calls_that_are_not_the_programs_are_seen(compilation: Compilation) -> None:
    program = replace(compilation.program, calls=compilation.program.calls[:-1])
    with pytest.raises(VerificationError, match="calls in the source are not those of the program"):
        run(replace(compilation, program=program))


def test_c_that_does_not_compile_is_quoted(compilation: Compilation) -> None:
    with pytest.raises(ToolError, match=r"arm-none-eabi-gcc does not compile the generated C: .*net\.c.*error"):
        run(compilation, sabotaged(compilation, "int unused;"))


@pytest.mark.parametrize("tool", qemu.PACKAGES)
def test_a_missing_tool_is_named_with_its_package(
    compilation: Compilation, tool: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(shutil, "which", lambda name: None if name == tool else f"/usr/bin/{name}")
    with pytest.raises(ToolError, match=f"{tool} is missing, .*: apt install "):
        run(compilation)


def test_the_plugin_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    built = qemu_plugin.path(qemu.QEMU, host.find_compiler())
    assert built.parent == tmp_path / "bnncompiler" and list(built.parent.iterdir()) == [built]
    made = built.stat().st_mtime_ns
    assert qemu_plugin.path(qemu.QEMU, host.find_compiler()) == built and built.stat().st_mtime_ns == made


def test_the_plugin_knows_qemus_interface() -> None:
    assert [qemu_plugin.interface(version) for version in (7, 8, 9, 10)] == [1, 1, 2, 2]
