"""The generated C on a PC with AVX-512 in Bochs: what comes back, and what is measured."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import bnncompiler
from bnncompiler import Compilation
from bnncompiler.errors import ToolError, UsageError, VerificationError
from bnncompiler.machines import bochs, records
from bnncompiler.machines.bochs import Bochs, BochsBuilt
from bnncompiler.machines.bochs_pc import Pc
from bnncompiler.machines.host import Host
from tests.conftest import need_bochs
from tests.machines.checks import check_buffers, check_counts, dense

RNG = np.random.default_rng(6)


@pytest.fixture(autouse=True, scope="module")
def tools() -> None:
    need_bochs()


@pytest.fixture(scope="module")
def compilation() -> Compilation:
    return bnncompiler.compile(dense(300, 200), name="net", target="x86-64-v4")


@pytest.fixture(scope="module")
def built(compilation: Compilation) -> Iterator[BochsBuilt]:
    with Bochs().build(compilation.program, compilation.files) as built:
        yield built


def test_every_buffer_is_what_the_program_means(compilation: Compilation, built: BochsBuilt) -> None:
    check_buffers(compilation.program, built)


def test_instructions_are_counted_for_each_sample(compilation: Compilation, built: BochsBuilt) -> None:
    check_counts(compilation.program, built)


def test_verification_says_where_it_ran(compilation: Compilation) -> None:
    result = bnncompiler.verify(compilation)
    assert result.passed
    assert result.ran_on == ("host" if bochs.has_avx512() else "x86-64-v4 in Bochs")
    assert (result.measured is None) == bochs.has_avx512()


def test_writing_outside_of_the_arena_is_seen(compilation: Compilation) -> None:
    source = compilation.files["net.c"].replace("BNN_TRACE(0,", "((unsigned char *)arena)[-1] = 0; BNN_TRACE(0,")
    with (
        Bochs().build(compilation.program, {**compilation.files, "net.c": source}) as built,
        pytest.raises(VerificationError, match="failed in Bochs: the program writes outside of the arena"),
    ):
        built.run({"x": np.zeros((1, 300), np.int64)}, trace=False)


def test_c_that_does_not_compile_is_quoted(compilation: Compilation) -> None:
    files = {
        **compilation.files,
        "net.c": compilation.files["net.c"].replace("BNN_TRACE(0,", "unknown_name; BNN_TRACE(0,"),
    }
    with (
        Bochs().build(compilation.program, files) as built,
        pytest.raises(ToolError, match=r"does not compile .*unknown_name"),
    ):
        built.run({"x": np.zeros((1, 300), np.int64)})


def test_missing_tools_have_a_package(compilation: Compilation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "which", lambda tool: None)
    with (
        pytest.raises(ToolError, match=r"bochs is missing.*: apt install bochs"),
        Bochs().build(compilation.program, compilation.files),
    ):
        pass


@pytest.mark.parametrize("lacking", [None, "avx512f", "avx512vl"])
def test_it_is_the_machine_itself_where_that_has_avx512(
    lacking: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    flags = sorted({"sse2", "avx2", *bochs.PARTS} - {lacking})
    (tmp_path / "cpuinfo").write_text(f"processor : 0\nflags\t\t: {' '.join(flags)}\n")
    monkeypatch.setattr(bochs, "CPUINFO", tmp_path / "cpuinfo")
    assert bochs.x86_64_v4() == (Bochs() if lacking else Host(("-march=x86-64-v4",)))
    monkeypatch.setattr(bochs, "CPUINFO", tmp_path / "nothing")
    assert bochs.x86_64_v4() == Bochs()


def test_it_is_not_tuned_for_by_measuring_here(compilation: Compilation) -> None:
    if not bochs.has_avx512():
        with pytest.raises(UsageError, match="runs on x86-64-v4 in Bochs"):
            bnncompiler.autotune(compilation)


# --- the PC itself

PROGRAM = r"""
#include "bnn_io.h"

#define COUNT(statement) do { bnn_io_start(); statement; bnn_io_stop(); } while (0)

int main(int argc, char **argv)
{
    static unsigned char bytes[1000], moved[1000];
    uint32_t ones = 0;
    size_t n = sizeof bytes;

    bnn_io_open(argc, argv);
    COUNT((void)0);
    COUNT(__asm__ volatile("movl $1000, %%ecx\n1:\tdecl %%ecx\n\tjnz 1b" : : : "ecx"));
    COUNT(__asm__ volatile("vpxord %%zmm30, %%zmm30, %%zmm31" : : : "xmm31"));
    while (n > 0 && bnn_io_read(bytes, n)) {
        for (size_t i = 0; i < n; i++)
            ones += bytes[i];
        memcpy(moved, bytes, n);
        memmove(moved, moved + n / 3, n - n / 3);
        memmove(moved + n / 2, moved, n - n / 2);
        bnn_io_output(moved, n);
        bnn_io_trace(&ones, sizeof ones);
        n -= 37;
    }
    bnn_io_selftest(memcmp(bytes, moved, 1000) != 0);
    bnn_io_close();
    return 0;
}
"""


def linked(folder: Path, program: str) -> Pc:
    """A PC with a program."""
    (folder / records.IO).write_text(records.read("bare_pc", records.IO))
    (folder / "program.c").write_text(program)
    pc = Pc(folder)
    pc.prepare()
    pc.link(["program.c"], "program")
    return pc


def test_counts_are_exact_and_disks_are_streams(tmp_path: Path) -> None:
    """A known loop has 2001 instructions; bytes come and go in blocks that are no sectors."""
    sizes = range(1000, 0, -37)
    data = RNG.integers(0, 256, sum(sizes)).astype(np.uint8)
    pc = linked(tmp_path, PROGRAM)
    outputs, sums, said = pc.run("program", data.tobytes(), 60)
    moved, at = np.zeros(1000, np.uint8), 0
    expected, ones = [], []
    for n in sizes:
        moved[:n] = data[at : at + n]
        moved[: n - n // 3] = moved[n // 3 : n].copy()
        moved[n // 2 : n] = moved[: n - n // 2].copy()
        at += n
        expected.append(moved[:n].copy())
        ones.append(data[:at].sum())
    np.testing.assert_array_equal(np.frombuffer(outputs, np.uint8), np.concatenate(expected))
    np.testing.assert_array_equal(np.frombuffer(sums, np.uint32), ones)
    assert said.decode().splitlines() == ["count 0", "count 2001", "count 1", "selftest 1", "done"]
    outputs, sums, _ = pc.run("program", b"", 60)
    assert outputs == sums == b""


@pytest.mark.parametrize(
    "statement, timeout, message",
    [
        ("*(volatile int *)0 = 1", 60, "crashed in Bochs"),
        ('for (;;) __asm__ volatile("")', 1, "no end after 1 s in Bochs"),
        (
            "volatile char deep[1 << 21]; for (size_t i = sizeof deep; i > 0; i -= 64) deep[i - 64] = 1",
            60,
            "overruns its stack of 2,097,152 B",
        ),
    ],
    ids=["crash", "hang", "stack"],
)
def test_what_goes_wrong_has_a_name(statement: str, timeout: float, message: str, tmp_path: Path) -> None:
    """Also on a machine that was stopped before."""
    pc = linked(tmp_path, f'#include "ports.h"\nint main(void)\n{{\n    {statement};\n    return 0;\n}}\n')
    for _ in range(2):
        with pytest.raises(VerificationError, match=message):
            pc.run("program", b"", timeout)


def test_what_bochs_says_is_quoted(tmp_path: Path) -> None:
    pc = linked(tmp_path, "int main(void)\n{\n    return 0;\n}\n")
    with pytest.raises(ToolError, match="bochs fails: bochsrc:2: cpu directive malformed"):
        replace(pc, model="no-such-processor").run("program", b"", 10)
