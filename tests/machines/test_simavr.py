"""The simulated AVR: what is measured, and how failures are told apart."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest

import bnncompiler
from bnncompiler import Compilation
from bnncompiler.errors import ToolError, VerificationError
from bnncompiler.machines import simavr
from bnncompiler.machines.base import Run
from tests.networks import mlp

pytestmark = pytest.mark.usefixtures("avr")

PIXELS = np.random.default_rng(3).integers(-128, 128, (5, 37))


@pytest.fixture(scope="module")
def compilation() -> Compilation:
    return bnncompiler.compile(mlp([37, 20, 5]), backend="avr", name="net", input="int8", scale="1/16")


def sabotaged(compilation: Compilation, statement: str, declaration: str = "") -> dict[str, str]:
    """The files with a statement behind the first kernel call."""
    source = compilation.files["net.c"]
    source, count = re.subn(r"(BNN_TRACE\(0,.*;)", rf"\1\n    {statement}", source)
    assert count == 1
    return {**compilation.files, "net.c": source.replace("void net_run", f"{declaration}\nvoid net_run", 1)}


def run(compilation: Compilation, files: Mapping[str, str] | None = None, trace: bool = False) -> Run:
    machine = compilation.backend.machine(compilation.target)
    with machine.build(compilation.program, files or compilation.files) as built:
        return built.run({"x": PIXELS}, trace=trace)


def test_samples_run_and_cost_the_same_each_time(compilation: Compilation) -> None:
    first, again = run(compilation), run(compilation)
    assert first.measured == again.measured and first.measured is not None
    assert len(first.measured.counts) == len(PIXELS) and first.measured.hertz == 16_000_000
    assert first.selftest == 0 and first.trace == ()
    traced = run(compilation, trace=True)
    assert traced.measured is None and len(traced.trace) == len(compilation.program.calls)
    np.testing.assert_array_equal(first.outputs[0], traced.outputs[0])


def test_stopwatch_and_stack_gauge_are_exact(compilation: Compilation) -> None:
    """What a statement adds is what it takes: nothing of the measuring is in the measure."""
    nops = ['__asm__ volatile("' + r"nop\\n" * n + '");' for n in (10, 40)]
    delays = [run(compilation, sabotaged(compilation, nop)).measured for nop in nops]
    short, long = (m.counts if m else () for m in delays)
    assert [b - a for a, b in zip(short, long, strict=True)] == [30] * len(PIXELS)
    rooms = [run(compilation, sabotaged(compilation, "deep();", room(n))).measured for n in (100, 400)]
    less, more = (m.stack_bytes or 0 if m else 0 for m in rooms)
    assert more - less == 300


def room(size: int) -> str:
    """A function that takes so much stack."""
    return (
        "__attribute__((noinline)) static char deep(void)\n"
        f"{{ volatile char room[{size}]; room[0] = 1; room[{size - 1}] = 1; return room[0]; }}"
    )


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ('for (;;) { __asm__ volatile(""); }', "hangs on the simulated chip: no end after"),
        ("((void (*)(void))0)();", "crashes on the simulated chip: it starts again from the reset vector"),
        ("*(volatile char *)0x900 = 1;", "crashes on the simulated chip"),
        (
            "((volatile char *)arena)[NET_ARENA_SIZE] = 1;",
            "failed on the simulated chip: the program writes outside of",
        ),
        ("deep(200);", "does not fit the chip's RAM: its stack grows into its data"),
    ],
)
def test_failures_are_told_apart(
    statement: str, message: str, compilation: Compilation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(simavr, "LIMIT", 1 << 22)
    deep = "static char deep(int n) { volatile char a[64]; a[0] = 1; if (n > 0) a[1] = deep(n - 1); return a[0]; }"
    files = sabotaged(compilation, statement, deep if "deep" in statement else "")
    with pytest.raises(VerificationError, match=message):
        run(compilation, files)


def test_a_failing_selftest_is_reported(compilation: Compilation) -> None:
    source = re.sub(
        r"(selftest_\d+\[\d+\] = \{\s*)(-?\d+)", lambda m: f"{m[1]}{int(m[2]) + 1}", compilation.files["net.c"], count=1
    )
    assert run(compilation, {**compilation.files, "net.c": source}).selftest != 0


def test_files_that_do_not_compile_are_the_tools_error(compilation: Compilation) -> None:
    with pytest.raises(ToolError, match=r"avr-gcc does not compile the generated C: .*error"):
        run(compilation, sabotaged(compilation, "nonsense;"))


def test_a_missing_compiler_names_the_packages(
    compilation: Compilation, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    gcc = shutil.which("gcc")
    assert gcc is not None
    os.symlink(gcc, tmp_path / "gcc")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ToolError, match=r"avr-gcc is missing.*apt install gcc-avr avr-libc.*dnf install.*brew install"):
        run(compilation)


def test_a_missing_simulator_names_the_packages(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    lacking = tmp_path / "lacking"
    lacking.write_text(
        '#!/bin/sh\necho "run.c:18: fatal error: simavr/sim_avr.h: No such file or directory" >&2\nexit 1\n'
    )
    lacking.chmod(0o755)
    monkeypatch.setenv("CC", str(lacking))
    with pytest.raises(
        ToolError, match=r"libsimavr is missing.*apt install libsimavr-dev libelf-dev.*pacman -S simavr"
    ):
        simavr.runner()


def test_the_simulator_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = Path(simavr.runner())
    made = first.stat().st_mtime_ns
    assert first.parent == tmp_path / "bnncompiler" and Path(simavr.runner()).stat().st_mtime_ns == made
    assert [p.name for p in first.parent.iterdir()] == [first.name]
