"""The self-test of an emitted program: made-up inputs, and the outputs that the program's numpy meaning gives for them.

The inputs are computed on the target (`kernels/bnn_noise.h`), so that only the outputs take flash. They are spread
evenly over what the input's domain allows; packed bits are any bytes, those behind the last bit included.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bnncompiler.backends.c_header import prototype
from bnncompiler.backends.c_kernels import Sources
from bnncompiler.backends.c_symbols import Symbols
from bnncompiler.backends.c_text import table
from bnncompiler.calls import LoadBits
from bnncompiler.ir import Array, per_element
from bnncompiler.program import CTYPES, Buffer, Port, Program, Table
from bnncompiler.row_calls import RowLoop, row_sizes, streamed

VECTORS = 4
LARGE = 1 << 26  # multiplications from which one vector touches enough of a network


@dataclass(frozen=True)
class Range:
    """What the elements of an input can be: ``lo + step * k`` with ``k < levels``, ``lo`` and ``levels`` by row."""

    lo: Array
    levels: Array
    step: int


def input_range(program: Program, port: Port) -> Range:
    """What the self-test feeds into ``port``."""
    if any(isinstance(c, LoadBits) and c.x.name == port.buffer.name for c in program.calls):
        return Range(np.zeros(1, np.int64), np.full(1, 256), 1)
    domain = port.type.domain
    assert domain is not None, f"the input {port.name} has no domain"
    count = max(len(domain.lo), len(domain.hi))
    lo, hi = per_element(domain.lo, count), per_element(domain.hi, count)
    return Range(lo, (hi - lo) // domain.step + 1, domain.step)


def vector_count(program: Program) -> int:
    """How many vectors a program's self-test has."""
    return VECTORS if sum(c.macs for c in program.calls) < LARGE else 1


def vectors(program: Program) -> list[dict[str, Array]]:
    """Samples of inputs by buffer name: the same that the emitted C makes."""
    samples: list[dict[str, Array]] = []
    drawn = 0
    for _ in range(vector_count(program)):
        sample = {}
        for port in program.inputs:
            sample[port.buffer.name] = _fill(port.buffer, input_range(program, port), drawn, program.word_bits)
            drawn += port.buffer.count
        samples.append(sample)
    return samples


def expected(program: Program) -> list[Array]:
    """For each output the integers of all vectors, one after the other."""
    runs = [program.run(sample) for sample in vectors(program)]
    return [np.concatenate([run[port.buffer.name].reshape(-1) for run in runs]) for port in program.outputs]


def _fill(buffer: Buffer, span: Range, drawn: int, word_bits: int) -> Array:
    noise = _noise(np.arange(drawn + 1, drawn + 1 + buffer.count, dtype=np.uint32)).astype(np.int64)
    row = np.arange(buffer.count) % len(span.lo)
    filled: Array = (span.lo[row] + span.step * (noise % span.levels[row])).astype(buffer.dtype(word_bits))
    return filled


def _noise(i: Array) -> Array:
    """``bnn_noise`` for each of ``i`` (uint32)."""
    i = (i ^ (i >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    i = (i ^ (i >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    mixed: Array = i ^ (i >> np.uint32(16))
    return mixed


def text(program: Program, symbols: Symbols, sources: Sources) -> str:
    """The function, its helper and its tables, inside of a guard that leaves them out."""
    ports = (*program.inputs, *program.outputs)
    names = [symbols.ports[p.buffer.name] for p in ports]
    tables: list[Table] = []
    fed, model = _fed(program), symbols.model
    fills = [_fill_loop(program, port, symbols, tables) for port in program.inputs]
    run = [*fills, f"        {model}_run({', '.join([*names, 'arena'])});"]
    if fed is not None:
        feed = f"    {model}_feed({names[0]}, arena);"
        outputs = ", ".join([*names[1:], "arena"])
        run = [
            f"        {model}_start(arena);",
            f"        for (bnn_size row = 0; row < {row_sizes(fed)[0]}; ++row) {{",
            *("\n".join(f"    {line}" for line in text.split("\n")) for text in (*fills, f"    {feed}")),
            "        }",
            f"        {model}_finish({outputs});",
        ]
    compares = [
        _compare_loop(port, symbols, _stored(tables, values, port.buffer.ctype, port.buffer.count))
        for port, values in zip(program.outputs, expected(program), strict=True)
    ]
    body = [
        f"{prototype(program, symbols, 'selftest')}\n{{",
        *(f"    {p.buffer.ctype} {name}[{held(program, p)}];" for p, name in zip(ports, names, strict=True)),
        "    uint32_t draw = 0;",
        f"    for (bnn_size vector = 0; vector < {vector_count(program)}; ++vector) {{",
        *run,
        *compares,
        "    }\n    return 0;\n}\n",
    ]
    guard = f"{symbols.model}_NO_SELFTEST".upper()
    printed = [table(t.name, t, program.word_bits) for t in tables]
    return "\n".join([f"#ifndef {guard}\n", sources.text(["bnn_noise.h"]), *printed, "\n".join(body), "#endif\n"])


def _fed(program: Program) -> RowLoop | None:
    """The loop that gets the input row by row, if the rows are alike; then no more than one is on the stack."""
    loop = streamed(program)
    alike = loop is not None and row_sizes(loop)[1] % len(input_range(program, program.inputs[0]).lo) == 0
    return loop if alike else None


def held(program: Program, port: Port) -> int:
    """How many elements of an input or output the self-test has on the stack."""
    loop = _fed(program)
    return row_sizes(loop)[1] if loop is not None and port in program.inputs else port.buffer.count


def stack_bytes(program: Program) -> int:
    """How many bytes of inputs and outputs the self-test has on the stack."""
    ports = (*program.inputs, *program.outputs)
    return sum(replace(p.buffer, count=held(program, p)).bytes(program.word_bits) for p in ports)


def _stored(tables: list[Table], values: Array, ctype: str, columns: int = 0) -> str:
    """Add a table of ``values``; returns its name."""
    tables.append(Table(f"selftest_{len(tables)}", ctype, values, columns))
    return tables[-1].name


def _fill_loop(program: Program, port: Port, symbols: Symbols, tables: list[Table]) -> str:
    """Statements that draw the elements of an input."""
    span = input_range(program, port)
    rows = len(span.lo)
    lo, levels, lines = str(span.lo[0]), f"{span.levels[0]}u", []
    if rows > 1:
        names = [_stored(tables, values, "int32_t") for values in (span.lo, span.levels)]
        lines = [
            f"const int32_t lo = bnn_rom_s32({names[0]} + i % {rows});",
            f"const uint32_t levels = (uint32_t)bnn_rom_s32({names[1]} + i % {rows});",
        ]
        lo, levels = "lo", "levels"
    value = f"(int32_t)(bnn_noise(++draw) % {levels})"
    value = value if span.step == 1 else f"{span.step} * {value}"
    value = value if lo == "0" else f"{lo} + {value}"
    count = held(program, port)
    return _loop(count, [*lines, f"{symbols.ports[port.buffer.name]}[i] = ({port.buffer.ctype})({value});"])


def _compare_loop(port: Port, symbols: Symbols, stored: str) -> str:
    """Statements that compare an output with the table ``stored``."""
    ctype = port.buffer.ctype
    read = f"bnn_rom_{'u' if ctype[0] == 'u' else 's'}{8 * CTYPES[ctype]}"
    wanted = f"const {ctype} wanted = {read}({stored} + vector * {port.buffer.count} + i);"
    differs = f"if ({symbols.ports[port.buffer.name]}[i] != wanted) {{"
    return _loop(port.buffer.count, [wanted, differs, "    return (int)vector + 1;", "}"])


def _loop(count: int, lines: list[str]) -> str:
    body = "\n".join(f"            {line}" for line in lines)
    return f"        for (bnn_size i = 0; i < {count}; ++i) {{\n{body}\n        }}"
