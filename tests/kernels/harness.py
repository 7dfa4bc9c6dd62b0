"""Runs kernels on their own: a C program that reads calls from its input, and writes what each one leaves in ``y``.

It runs on this machine, or on a bare PC in Bochs. Input and output are those of the machine's ``bnn_io.h``.

The program is generated from the `Call` classes: its dispatch over kernels is the claim that a class's fields are the
kernel's parameters. Every block of memory has exactly the size that the call is entitled to, so that the address
sanitizer sees any access beyond it, reads included.
"""

from __future__ import annotations

import struct
import subprocess
from collections.abc import Collection, Sequence
from dataclasses import KW_ONLY, dataclass, fields
from pathlib import Path

import numpy as np

from bnncompiler import calls, column_calls, convolution_calls, map_calls, move_calls, overlap, row_calls
from bnncompiler.ir import Array
from bnncompiler.machines import records
from bnncompiler.machines.bochs_pc import Pc
from bnncompiler.program import Buffer, Call, Memory, Table, Typed, data_of

KERNELS = Path(__file__).parents[2] / "backends" / "kernels"
LOOPS = {map_calls.PixelLoop, row_calls.RowLoop}


def _concrete(kind: type[Call]) -> set[type[Call]]:
    """The classes of calls that have a kernel: those without subclasses."""
    return {kind}.union(*(_concrete(k) for k in kind.__subclasses__())) - ({kind} if kind.__subclasses__() else set())


CALLS: list[type[Call]] = sorted(_concrete(Call) - LOOPS - {convolution_calls.ConvolveRow}, key=lambda c: c.__name__)
TYPES = ["uint8_t", "int8_t", "uint16_t", "int16_t", "int32_t"]
ENUMERATORS = [*TYPES, "int64_t"]  # of bnn_type, in order
KINDS = dict(zip(ENUMERATORS, ("BNN_U8", "BNN_S8", "BNN_U16", "BNN_S16", "BNN_S32", "BNN_S64"), strict=True))

_SOURCE = r"""
#include "bnn_kernels.h"
#include "bnn_io.h"
#include <string.h>

#ifdef BNN_IO_BARE
/* Memory where there is none to ask for: blocks that are aligned to no more than eight bytes, with
 * guards behind them. It is given back all at once. */
enum { GUARD = 64, GUARDED = 0xC3 };
static unsigned char heap[1 << 24];
static size_t used = 8, ends[32], blocks;

static void *malloc(size_t bytes)
{
    unsigned char *const block = heap + used;
    used += (bytes + GUARD + 15u) / 16u * 16u;
    ends[blocks] = (size_t)(block + bytes - heap);
    if (used > sizeof heap || blocks++ == 32)
        bnn_io_fail("the calls need more memory");
    memset(block + bytes, GUARDED, GUARD);
    return block;
}

static void free(void *block)
{
    (void)block;
    for (; blocks > 0; blocks--)
        for (size_t i = 0; i < GUARD; i++)
            if (heap[ends[blocks - 1] + i] != GUARDED)
                bnn_io_fail("a call writes behind its memory");
    used = 8;
}
#else
#include <stdlib.h>
#endif

static int64_t number(void)
{
    int64_t value = 0;
    if (!bnn_io_read(&value, sizeof value))
        bnn_io_fail("the calls are cut off");
    return value;
}

static void *block(int64_t bytes)
{
    void *data;
    if (bytes < 0)
        return NULL;
    data = malloc((size_t)bytes);
    if (!bnn_io_read(data, (size_t)bytes))
        bnn_io_fail("the calls are cut off");
    return data;
}

int main(int argc, char **argv)
{
    bnn_io_open(argc, argv);
    for (;;) {
        void *b[32] = {0};
        bnn_type t[32];
        int64_t n[32];
        const int64_t kernel = number(), in_place = number(), count = number(), x = number(), y = number();
        int64_t written = 0, i;
        if (kernel < 0)
            break;
        for (i = 0; i < count; i++) {
            const int64_t kind = number(), value = number();
            n[i] = value;
            t[i] = (bnn_type)kind;
            if (kind >= 0)
                b[i] = block(value);
            if (i == y)
                written = value;
        }
        if (in_place) { /* x begins in_place - 1 bytes behind y */
            const int64_t room = in_place - 1 + n[x] > n[y] ? in_place - 1 + n[x] : n[y];
            unsigned char *const both = malloc((size_t)room);
            memcpy(both, b[y], (size_t)n[y]);
            memcpy(both + in_place - 1, b[x], (size_t)n[x]);
            free(b[y]);
            free(b[x]);
            b[y] = both;
            b[x] = both + in_place - 1;
        }
        switch (kernel) {
DISPATCH
        default:
            bnn_io_fail("there is no such kernel");
        }
        bnn_io_output(b[y], (size_t)written);
        for (i = 0; i < count; i++)
            if (!(in_place && i == x))
                free(b[i]);
    }
    bnn_io_close();
    return 0;
}
"""


def _dispatch(kinds: Collection[type[Call]]) -> str:
    cases = []
    for k, kind in enumerate(CALLS):
        if kind not in kinds:
            continue
        arguments: list[str] = []
        for i, f in enumerate(fields(kind)[3:]):
            match str(f.type):
                case "Typed":
                    arguments += [f"b[{i}]", f"t[{i}]"]
                case "int" | "int | Index" | "int | Dropped":
                    arguments += [f"n[{i}]"]
                case _:
                    arguments += [f"b[{i}]"]
        cases.append(f"        case {k}: {kind.kernel()}({', '.join(arguments)}); break;")
    return "\n".join(cases)


def _sources(folder: Path, kinds: Collection[type[Call]], port: str, io: str) -> list[str]:
    """Writes the program, with the kernels as ``port`` has them; what the compiler is given for it."""
    (folder / "harness.c").write_text(_SOURCE.replace("DISPATCH", _dispatch(kinds)))
    (folder / records.IO).write_text(records.read(io, records.IO))
    own = {path.name: path for path in (KERNELS / port).glob("*.c")}
    names = sorted(f"{kind.kernel()}.c" for kind in kinds)
    return [f"-I{KERNELS / port}", f"-I{KERNELS}", "harness.c", *(str(own.get(n, KERNELS / n)) for n in names)]


def build(folder: Path, command: str, word_bits: int, *flags: str, port: str = "c99") -> Harness:
    """The harness with the kernels as ``port`` has them."""
    sources = _sources(folder, CALLS, port, "host_io")
    line = [command, "-std=c99", *flags, f"-DBNN_WORD_BITS={word_bits}", *sources, "-o", "harness"]
    subprocess.run(line, cwd=folder, check=True)
    return Harness(folder / "harness", word_bits)


def build_bare(folder: Path, march: str, model: str, kinds: Collection[type[Call]]) -> BareHarness:
    """The harness with some kernels for a PC with the processor ``march`` of gcc, which is ``model`` in Bochs."""
    pc = Pc(folder, ("-std=c99", "-O2", f"-march={march}"), model)
    pc.prepare()
    pc.link(["-DBNN_IO_BARE", *_sources(folder, kinds, "c99", "bare_pc")], "harness")
    return BareHarness(folder / "harness", 64, pc=pc)


@dataclass(frozen=True)
class Harness:
    """An executable, and what runs it where this machine does not by itself."""

    path: Path
    word_bits: int
    emulator: tuple[str, ...] = ()

    def run(self, stream: bytes) -> bytes:
        """What the program writes for these calls."""
        folder = self.path.parent
        (folder / "calls.bin").write_bytes(stream)
        command = [*self.emulator, str(self.path), "calls.bin", "written.bin", ""]
        done = subprocess.run(command, cwd=folder, capture_output=True, check=False)
        assert done.returncode == 0, done.stderr.decode(errors="replace")[-3000:]
        return (folder / "written.bin").read_bytes()

    def check(self, cases: Sequence[tuple[Call, Memory]], in_place: bool = False) -> None:
        """Run every call on its memory, in C and in numpy, and compare what they write.

        ``in_place``: the output lies over the input, as near as `overlap.timeline` says that it may.
        """
        stream = b"".join(self._case(call, memory, in_place) for call, memory in cases) + struct.pack(
            "<5q", -1, 0, 0, 0, 0
        )
        written, at = self.run(stream), 0
        for call, memory in cases:
            y = call.buffers["y"]
            dtype, size = y.dtype(self.word_bits), y.bytes(self.word_bits)
            got = np.frombuffer(written[at : at + size], dtype)
            at += size
            expected = {name: content.copy() for name, content in memory.items()}
            call.run(expected, self.word_bits)
            np.testing.assert_array_equal(got, expected[y.name], err_msg=_show(call))
        assert at == len(written)

    def _case(self, call: Call, memory: Memory, in_place: bool) -> bytes:
        arguments = list(call.arguments())
        names = [name for name, _ in arguments]
        x, apart = names.index("x") if in_place else 0, 0
        if in_place:
            times = overlap.timeline(call, self.word_bits)
            assert times is not None
            size = call.buffers["x"].bytes(self.word_bits) // call.buffers["x"].count
            apart = -(-times.distance() // size) * size + 1
        parts = [struct.pack("<5q", CALLS.index(type(call)), apart, len(arguments), x, names.index("y"))]
        for name, value in arguments:
            if isinstance(value, int):
                parts.append(struct.pack("<2q", -1, value))
                continue
            if value is None:
                parts.append(struct.pack("<2q", 0, -1))
                continue
            data = data_of(value)
            assert data is not None
            kind = ENUMERATORS.index(data.ctype) if isinstance(value, Typed) else 0
            if _is_empty(data):
                parts.append(struct.pack("<2q", kind, -1))
                continue
            content = self._content(call, name, data, memory)
            parts += [struct.pack("<2q", kind, len(content)), content]
        return b"".join(parts)

    def _content(self, call: Call, name: str, data: Buffer | Table, memory: Memory) -> bytes:
        if isinstance(data, Table):
            return np.ascontiguousarray(data.values, Buffer("", data.ctype, 0).dtype(self.word_bits)).tobytes()
        size = data.bytes(self.word_bits)
        if name in ("y", "scratch") and data.name not in memory:
            return b"\xa5" * size
        content = np.ascontiguousarray(memory[data.name], data.dtype(self.word_bits)).tobytes()
        assert len(content) == size
        return content


@dataclass(frozen=True)
class BareHarness(Harness):
    """A program for a PC."""

    _: KW_ONLY
    pc: Pc

    def run(self, stream: bytes) -> bytes:
        """What the program writes for these calls."""
        written, _, said = self.pc.run(self.path.name, stream, 300)
        assert said == b"done\n", said.decode()
        return written


def _is_empty(data: Buffer | Table) -> bool:
    """Whether it is a table without elements, for which C has NULL."""
    return isinstance(data, Table) and not len(data.values)


def check_constant(folder: Path, command: str, cases: Sequence[tuple[Call, Memory]], *flags: str) -> None:
    """Run calls as generated code has them, on constant tables, types and numbers, and compare with numpy."""
    kernels = dict.fromkeys(call.kernel() for call, _ in cases)
    functions = [_constant(f"case{i}", call, memory) for i, (call, memory) in enumerate(cases)]
    body = "".join(f"    case{i}();\n" for i in range(len(cases)))
    text = ["#define BNN_KERNEL static", "#include <stdio.h>", *(f'#include "{k}.c"' for k in kernels), *functions]
    (folder / "constant.c").write_text("\n".join(text) + f"\nint main(void)\n{{\n{body}    return 0;\n}}\n")
    include = [f"-I{KERNELS / 'c99'}", f"-I{KERNELS}"]
    subprocess.run([command, "-std=c99", *flags, *include, "constant.c", "-o", "constant"], cwd=folder, check=True)
    lines = subprocess.run([folder / "constant"], capture_output=True, text=True, check=True).stdout.splitlines()
    for (call, memory), line in zip(cases, lines, strict=True):
        y = call.buffers["y"]
        expected = {name: content.copy() for name, content in memory.items()}
        call.run(expected, 64)
        np.testing.assert_array_equal(np.array(line.split(), y.dtype(64)), expected[y.name], err_msg=_show(call))


def _constant(name: str, call: Call, memory: Memory) -> str:
    """A function that makes one call with constant arguments and prints what it leaves in ``y``."""
    declared, arguments = [], []
    for field, value in call.arguments():
        data = data_of(value)
        if data is None:
            arguments.append("NULL" if value is None else str(value))
            continue
        if _is_empty(data):
            arguments.append("NULL" + (f", {KINDS[data.ctype]}" if isinstance(value, Typed) else ""))
            continue
        values = data.values if isinstance(data, Table) else memory.get(data.name, np.zeros(data.count, np.int64))
        ctype = ("const " if isinstance(data, Table) else "") + data.ctype
        items = ", ".join(f"(({data.ctype}){v}{'u' if v > 2**31 else ''})" for v in values.tolist()) or "0"
        declared.append(f"    static {ctype} {field}[] = {{{items}}};")
        arguments.append(field + (f", {KINDS[data.ctype]}" if isinstance(value, Typed) else ""))
    y = call.buffers["y"]
    form = "%llu" if y.ctype == "bnn_word" else "%lld"
    kind = "unsigned long long" if y.ctype == "bnn_word" else "long long"
    printed = f'    for (int i = 0; i < {y.count}; ++i) printf("{form} ", ({kind})y[i]);\n    printf("\\n");'
    call_line = f"    {call.kernel()}({', '.join(arguments)});"
    return "\n".join([f"static void {name}(void)", "{", *declared, call_line, printed, "}"])


def _show(call: Call) -> str:
    return f"{call.kernel()}({', '.join(f'{k}={v}' for k, v in call.arguments() if isinstance(v, int))})"


def table(values: Array, ctype: str) -> Table:
    return Table("t", ctype, np.asarray(values).reshape(-1))


def limits(ctype: str) -> tuple[int, int]:
    info = np.iinfo(ctype.removesuffix("_t"))
    return int(info.min), int(info.max)


__all__ = [
    "CALLS",
    "TYPES",
    "Harness",
    "build",
    "build_bare",
    "calls",
    "check_constant",
    "column_calls",
    "limits",
    "move_calls",
    "table",
]
