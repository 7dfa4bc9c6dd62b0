"""What goes into and comes out of the main program `harness.c`, as bytes, and the part of it that knows the model.

A sample goes in as the input buffers, one after the other, and comes out as the output buffers. The trace has, for
every call of a sample, its number and its size (``uint32_t`` each, in the machine's byte order) and what it wrote.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib.resources import files as package_files
from typing import Literal

import numpy as np

from bnncompiler import memory
from bnncompiler.errors import VerificationError
from bnncompiler.ir import Array
from bnncompiler.packing import pack_bits
from bnncompiler.program import Buffer, Port, Program
from bnncompiler.row_calls import row_sizes, streamed

Order = Literal["<", ">"]

CHUNK_BYTES = 1 << 26  # of inputs, outputs and traces held at a time
MAIN = "bnn_harness.c"
MODEL = "bnn_harness_model.h"
IO = "bnn_io.h"


def sources(program: Program, files: Mapping[str, str], io: str) -> dict[str, str]:
    """The main program for ``program`` as files by name, those of the model included.

    Args:
        program: what ``files`` were printed from.
        files: the generated files.
        io: the machine's ``bnn_io.h``, a text.
    """
    return {**files, MAIN: read("harness.c"), MODEL: model(program, stem(files)), IO: io}


def read(*path: str) -> str:
    """A file of this package, as text."""
    return package_files("bnncompiler.machines").joinpath(*path).read_text(encoding="utf-8")


def stem(files: Mapping[str, str]) -> str:
    """What all of the model's external names begin with: the name of its one C file."""
    (source,) = (f for f in files if f.endswith(".c"))
    return source.removesuffix(".c")


def model(program: Program, name: str) -> str:
    """The part of the main program that knows the model: sizes, and the call.

    A program that takes its input row by row gets it so: the whole may not fit into the machine.
    """
    ports, loop = [*program.inputs, *program.outputs], streamed(program)
    const = ["const "] * len(program.inputs) + [""] * len(program.outputs)
    pointers = [f"({c}{p.buffer.ctype} *)(void *)port[{i}]" for i, (c, p) in enumerate(zip(const, ports, strict=True))]
    sizes = [_bytes(program, p.buffer) for p in ports]
    run = [f"{name}_run({', '.join([*pointers, 'arena'])})"]
    if loop is not None:
        rows, _ = row_sizes(loop)
        sizes[0] //= rows
        run = [
            "do {",
            "    size_t row;",
            f"    {name}_start(arena);",
            f"    for (row = 0; row < {rows}u; row++) {{",
            f"        if (row > 0 && !bnn_io_read(port[0], {sizes[0]}))",
            "            bnn_io_fail(bnn_harness_cut);",
            f"        {name}_feed({pointers[0]}, arena);",
            "    }",
            f"    {name}_finish({', '.join([*pointers[1:], 'arena'])});",
            "} while (0)",
        ]
    blocks = [
        f"static unsigned char bnn_harness_port{i}[BNN_HARNESS_BLOCK({size}, BNN_IO_PORT_ALIGN)];"
        for i, size in enumerate(sizes)
    ]
    named = ", ".join(f"bnn_harness_port{i}" for i in range(len(ports)))
    return "\n".join(
        [
            f'#include "{name}.c"',
            f"#define BNN_HARNESS_INPUTS {len(program.inputs)}u",
            f"#define BNN_HARNESS_PORTS {len(ports)}u",
            f"#define BNN_HARNESS_ARENA {name.upper()}_ARENA_SIZE",
            f"#define BNN_HARNESS_ALIGN {name.upper()}_ARENA_ALIGN",
            f"#define BNN_HARNESS_SELFTEST {name}_selftest",
            " \\\n    ".join(["#define BNN_HARNESS_RUN", *run]),
            "#ifndef BNN_HARNESS_ONLY_SELFTEST",
            *blocks,
            f"static unsigned char *const bnn_harness_block[] = {{{named}}};",
            f"static const size_t bnn_harness_size[] = {{{', '.join(map(str, sizes))}}};",
            "#endif",
            "",
        ]
    )


# --- samples


def chunks(program: Program, inputs: Mapping[str, Array], trace: bool) -> Iterator[dict[str, Array]]:
    """The samples, as many at a time as fit into memory with all that comes of them; at least one chunk."""
    samples = len(next(iter(inputs.values())))
    ports = (*program.inputs, *program.outputs)
    width = sum(_bytes(program, p.buffer) for p in ports) + (sum(8 + n for n in _traced(program)) if trace else 0)
    step = max(1, CHUNK_BYTES // max(1, width))
    for i in range(0, max(1, samples), step):
        yield {k: v[i : i + step] for k, v in inputs.items()}


def fed(program: Program, inputs: Mapping[str, Array]) -> list[Array]:
    """What the input buffers hold, ``[samples, elements]`` each, for grid units by port name."""
    return [_fed(program, port, inputs[port.name].reshape(len(inputs[port.name]), -1)) for port in program.inputs]


def encode(program: Program, inputs: Mapping[str, Array], order: Order = "<") -> bytes:
    """The samples as the main program reads them, on a machine of byte order ``order`` ("<" or ">")."""
    rows = [np.ascontiguousarray(x.astype(x.dtype.newbyteorder(order))).view(np.uint8) for x in fed(program, inputs)]
    return np.concatenate(rows, axis=1).tobytes()


def decode_outputs(program: Program, raw: bytes, count: int, order: Order = "<") -> tuple[Array, ...]:
    """Each output port of ``count`` samples, ``[samples, elements]``.

    Raises:
        VerificationError: there are not as many bytes as these samples have.
    """
    fields = [_bytes(program, p.buffer) for p in program.outputs]
    parts = _split(raw, count, fields, "the program writes other outputs than it should")
    return tuple(_typed(program, p.buffer, part, order) for p, part in zip(program.outputs, parts, strict=True))


def decode_trace(program: Program, raw: bytes, count: int, order: Order = "<") -> tuple[Array, ...]:
    """What each call of the program wrote, ``[samples, elements of the buffer]``.

    Raises:
        VerificationError: the source makes other calls than the program.
    """
    sizes, wrong = _traced(program), "the calls in the source are not those of the program"
    parts = _split(raw, count, [n for size in sizes for n in (8, size)], wrong)
    for i, (head, size) in enumerate(zip(parts[::2], sizes, strict=True)):
        if (np.ascontiguousarray(head).view(f"{order}u4") != (i, size)).any():
            raise VerificationError(wrong)
    written = [memory.written(call) for call in program.calls]
    return tuple(_typed(program, buffer, part, order) for buffer, part in zip(written, parts[1::2], strict=True))


def _typed(program: Program, buffer: Buffer, raw: Array, order: Order) -> Array:
    dtype = np.dtype(buffer.dtype(program.word_bits))
    return np.asarray(raw.view(dtype.newbyteorder(order)).astype(dtype))


def _split(raw: bytes, count: int, sizes: list[int], wrong: str) -> list[Array]:
    """The columns of ``count`` records with fields of these sizes, each ``[count, bytes]``."""
    if len(raw) != count * sum(sizes):
        raise VerificationError(wrong)
    records = np.frombuffer(raw, np.uint8).reshape(count, sum(sizes))
    ends = np.cumsum(sizes)
    return [np.ascontiguousarray(records[:, end - size : end]) for end, size in zip(ends, sizes, strict=True)]


def _bytes(program: Program, buffer: Buffer) -> int:
    return buffer.bytes(program.word_bits)


def _traced(program: Program) -> list[int]:
    """How many bytes each call's trace has."""
    return [_bytes(program, memory.written(call)) for call in program.calls]


def _fed(program: Program, port: Port, q: Array) -> Array:
    if port.type.domain is not None and port.type.domain.is_bipolar:
        return pack_bits(q > 0, 8)
    return q.astype(port.buffer.dtype(program.word_bits))
