"""Every kernel file is a translation unit of strict C99, and of C++, for every word size and for 16-bit int."""

from __future__ import annotations

import platform
import re
from pathlib import Path

import pytest

from bnncompiler.backends import c_kernels
from tests.conftest import STRICT, Compiler, need
from tests.kernels.harness import CALLS, KERNELS

SOURCES = sorted(map(str, KERNELS.glob("*.c")))
COMPILERS = {
    "gcc": [*STRICT, "-Wsign-conversion", "-Wcast-align", "-Wcast-qual", "-O2"],
    "clang": [*STRICT, "-Wsign-conversion", "-Wcast-align", "-Wcast-qual", "-O0"],  # it warns before it optimizes
    "g++": ["-x", "c++", "-std=c++11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-O0"],
    "avr-gcc": ["-mmcu=atmega2560", *STRICT, "-Os"],
}


@pytest.mark.parametrize("word_bits", [8, 16, 32, 64])
@pytest.mark.parametrize("command", COMPILERS)
def test_kernels_compile_by_themselves(command: str, word_bits: int, tmp_path: Path) -> None:
    flags = [*COMPILERS[need(command)], f"-DBNN_WORD_BITS={word_bits}", f"-I{KERNELS}", f"-I{KERNELS / 'c99'}"]
    Compiler(command, tmp_path).call([command, *flags, "-c", *SOURCES])
    assert len(list(tmp_path.glob("*.o"))) == len(CALLS)


@pytest.mark.parametrize("flags", [["-O1"], ["-O2", "-march=native"], ["-O2", "-march=x86-64-v4"]])
def test_kernels_go_into_one_file(flags: list[str], tmp_path: Path) -> None:
    """As in generated C, which has all that a network needs: no two have a name for different things."""
    need("gcc")
    if flags[-1] == "-march=x86-64-v4" and platform.machine() != "x86_64":
        pytest.skip("gcc compiles for another machine here")
    (tmp_path / "all.c").write_text("".join(f'#include "{Path(s).name}"\n' for s in SOURCES))
    places = [f"-I{KERNELS / 'c99'}", f"-I{KERNELS}"]
    Compiler("gcc", tmp_path).call(["gcc", *STRICT, "-Wno-unused-function", *flags, *places, "-c", "all.c"])


PORTS = {"c99": ["gcc"], "cmsis": ["gcc", "-DBNN_WORD_BITS=32"], "avr": ["avr-gcc", "-mmcu=atmega2560"]}


@pytest.mark.parametrize("header", sorted(str(p.relative_to(KERNELS)) for p in KERNELS.rglob("*.h")))
def test_headers_compile_by_themselves(header: str, tmp_path: Path) -> None:
    """With their port's files before the common ones of the same name; the common ones with those of C99."""
    port, _, name = header.rpartition("/")
    command = PORTS[port or "c99"]
    need(command[0])
    (tmp_path / "only.c").write_text(f'#include "{name}"\n#include "{name}"\ntypedef int not_empty;\n')
    places = [f"-I{KERNELS / (port or 'c99')}", f"-I{KERNELS}"]
    Compiler(command[0], tmp_path).call([*command, *STRICT, *places, "-c", "only.c"])


def test_every_call_has_a_kernel_and_every_kernel_a_call() -> None:
    declared = re.findall(r"BNN_KERNEL void (\w+)\(", (KERNELS / c_kernels.INTERFACE).read_text())
    assert sorted(declared) == sorted(c.kernel() for c in CALLS)
    assert [Path(s).stem for s in SOURCES] == sorted(declared)


def test_no_line_is_wider_than_100_columns() -> None:
    wide = [
        f"{p.name}:{i}"
        for p in KERNELS.rglob("*.[ch]")
        for i, line in enumerate(p.read_text().split("\n"), 1)
        if len(line) > 100
    ]
    assert not wide


@pytest.mark.skipif(platform.machine() != "x86_64", reason="gcc compiles for another machine here")
def test_full_adders_are_two_instructions_with_avx512(tmp_path: Path) -> None:
    """And ones are counted by an instruction where there is one."""
    code = {
        kernel: Compiler("gcc", tmp_path).assembly(
            KERNELS / f"{kernel}.c", "-O3", f"-march={march}", f"-I{KERNELS}", f"-I{KERNELS / 'c99'}"
        )
        for kernel, march in (("bnn_dense_sliced", "x86-64-v4"), ("bnn_dense_tiled", "icelake-server"))
    }
    assert len(re.findall(r"vpternlogq\s+\$(?:150|212), .*%zmm", code["bnn_dense_sliced"])) >= 2 * 15 * 2
    assert "vpopcntq" in code["bnn_dense_tiled"]


def test_no_two_kernel_files_define_the_same_name() -> None:
    """A model's file includes those that it needs, any two of them."""
    where: dict[str, set[str]] = {}
    for path in sorted(KERNELS.glob("*.[ch]")):
        for name in re.findall(r"^BNN_(?:INLINE|KERNEL)\b[^;{]*?(\w+)\([^;{]*\)\s*\{", path.read_text(), re.MULTILINE):
            where.setdefault(name, set()).add(path.name)
    assert len(where) >= len(SOURCES)
    assert {name: files for name, files in where.items() if len(files) > 1} == {}
