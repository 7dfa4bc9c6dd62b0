"""The program: what a backend prints. A straight list of kernel calls over planned buffers and constant tables.

A call is a dataclass whose fields, in order, are the arguments of the C kernel of the same name (`kernels/*.c`), and whose
``run`` is that kernel's meaning in numpy. Adding a kernel is adding both; tests run them on the same data.

Nothing here knows a graph: by now every value is a buffer of integers or of packed bits (`bnncompiler.packing`).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, fields
from typing import Any, ClassVar

import numpy as np

from bnncompiler.ir import Array, TensorType
from bnncompiler.packing import WORD_DTYPES, pack_bits, pack_planes, unpack_bits, unpack_planes

CTYPES = {"uint8_t": 1, "int8_t": 1, "uint16_t": 2, "int16_t": 2, "int32_t": 4, "int64_t": 8}


@dataclass(frozen=True)
class Buffer:
    """``count`` elements of ``ctype`` ("bnn_word" or a fixed-width C integer).

    ``offset`` is the place in the arena in bytes, None while it is not planned and for the caller's own memory.
    """

    name: str
    ctype: str
    count: int
    offset: int | None = None

    def bytes(self, word_bits: int) -> int:
        """The size in bytes on a target of ``word_bits``."""
        return self.count * (word_bits // 8 if self.ctype == "bnn_word" else CTYPES[self.ctype])

    def dtype(self, word_bits: int) -> Any:
        """The numpy type of one element."""
        return WORD_DTYPES[word_bits] if self.ctype == "bnn_word" else np.dtype(self.ctype.removesuffix("_t"))


@dataclass(frozen=True, eq=False)
class Table:
    """A constant in flash: flat ``values`` of ``ctype``; ``columns`` is how many belong together, for the eye."""

    name: str
    ctype: str
    values: Array
    columns: int = 0

    def bytes(self, word_bits: int) -> int:
        """The size in bytes on a target of ``word_bits``."""
        return len(self.values) * (word_bits // 8 if self.ctype == "bnn_word" else CTYPES[self.ctype])


@dataclass(frozen=True)
class Typed:
    """An argument pair ``pointer, type`` for a kernel that reads any integer type: a buffer or a table."""

    data: Buffer | Table


Memory = dict[str, Array]


@dataclass(frozen=True, eq=False)
class Call:
    """One kernel call. ``layer`` names the graph node, ``origin`` the ONNX nodes, ``macs`` its multiply-accumulates."""

    layer: str
    origin: tuple[str, ...]
    macs: int
    reads: ClassVar[tuple[str, ...]] = ("x",)
    in_place: ClassVar[bool] = False

    @classmethod
    def kernel(cls) -> str:
        """The C function's name."""
        return "bnn_" + re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def arguments(self) -> Iterator[tuple[str, Any]]:
        """Name and value of each argument, in the order of the C kernel's parameters."""
        for f in fields(self)[3:]:
            yield f.name, getattr(self, f.name)

    @property
    def buffers(self) -> dict[str, Buffer]:
        """The buffers by argument name."""
        found = {}
        for name, value in self.arguments():
            data = value.data if isinstance(value, Typed) else value
            if isinstance(data, Buffer):
                found[name] = data
        return found

    @property
    def tables(self) -> list[Table]:
        """The constant tables that this call reads."""
        values = [v.data if isinstance(v, Typed) else v for _, v in self.arguments()]
        return [v for v in values if isinstance(v, Table)]

    def run(self, memory: Memory, word_bits: int) -> None:
        """The kernel's meaning: read ``memory`` by buffer name, and write it."""
        raise NotImplementedError


def _values(x: Typed, memory: Memory) -> Array:
    data = x.data
    return (memory[data.name] if isinstance(data, Buffer) else data.values).astype(np.int64)


def _reached(x: Array, at: Array, rows: int) -> Array:
    """For each element, how many of its row's thresholds it reaches."""
    at = at.reshape(rows, -1)
    reached: Array = (x.reshape(-1, rows, 1) >= at).sum(axis=2).reshape(-1)
    return reached


@dataclass(frozen=True, eq=False)
class Threshold(Call):
    """Bit ``i`` of ``y`` is ``x[i] >= at[i % rows]``."""

    in_place: ClassVar[bool] = True

    x: Typed
    n: int
    at: Typed
    rows: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        bits = _reached(_values(self.x, memory), _values(self.at, memory), self.rows)
        memory[self.y.name] = pack_bits(bits, word_bits)


@dataclass(frozen=True, eq=False)
class Steps(Call):
    """Code ``i`` of ``y`` is ``levels[i % rows][k]``, ``k`` the count of the row's thresholds that ``x[i]`` reaches.

    ``levels`` is None where the code is ``k`` itself. Codes are unsigned and stored as ``planes`` bit planes.
    """

    x: Typed
    n: int
    at: Typed
    rows: int
    count: int
    levels: Table | None
    planes: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        codes = _reached(_values(self.x, memory), _values(self.at, memory), self.rows)
        if self.levels is not None:
            table = self.levels.values.reshape(self.rows, self.count + 1)
            codes = table[np.arange(self.n) % self.rows, codes]
        memory[self.y.name] = pack_planes(codes, self.planes, word_bits)


@dataclass(frozen=True, eq=False)
class LoadBits(Call):
    """Packed input bytes (bit ``i`` is bit ``i % 8`` of byte ``i // 8``) into words."""

    x: Buffer
    n: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        memory[self.y.name] = pack_bits(unpack_bits(memory[self.x.name].astype(np.uint8), self.n), word_bits)


@dataclass(frozen=True, eq=False)
class Slice(Call):
    """The ``planes`` low bits of each integer of ``x``, as bit planes."""

    x: Typed
    n: int
    planes: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        memory[self.y.name] = pack_planes(_values(self.x, memory), self.planes, word_bits)


@dataclass(frozen=True, eq=False)
class Unpack(Call):
    """Integers from bit planes: ``y[i] = lo + step * code[i]``."""

    x: Buffer
    n: int
    planes: int
    lo: int
    step: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        codes = unpack_planes(memory[self.x.name], self.planes, self.n, signed=False)
        memory[self.y.name] = (self.lo + self.step * codes).astype(self.y.dtype(word_bits))


@dataclass(frozen=True, eq=False)
class DenseThreshold(Call):
    """Bipolar by bipolar dense layer with its threshold: bit ``o`` of ``y`` is ``n - 2 popcount(x ^ w[o]) >= at[o]``."""

    x: Buffer
    w: Table
    at: Typed
    n: int
    outs: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        acc = _xnor(memory[self.x.name], self.w, self.n, self.outs)
        memory[self.y.name] = pack_bits(acc >= _values(self.at, memory), word_bits)


@dataclass(frozen=True, eq=False)
class DenseXnor(Call):
    """Bipolar by bipolar dense layer: ``y[o] = n - 2 popcount(x ^ w[o])``."""

    x: Buffer
    w: Table
    n: int
    outs: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        memory[self.y.name] = _xnor(memory[self.x.name], self.w, self.n, self.outs).astype(np.int32)


def _xnor(x: Array, w: Table, n: int, outs: int) -> Array:
    differing = unpack_bits(x[None, :] ^ w.values.reshape(outs, -1), n).sum(axis=1, dtype=np.int64)
    acc: Array = n - 2 * differing
    return acc


@dataclass(frozen=True, eq=False)
class DenseBipolar(Call):
    """Dense layer of ``planes`` bit planes by bipolar weights: ``y[o] = bias[o] + sum_i code[i] * (2 w[o][i] - 1)``.

    ``x_signed`` is 1 where the codes are two's complement. ``bias`` is None where it is zero.
    """

    x: Buffer
    planes: int
    x_signed: int
    w: Table
    bias: Table | None
    n: int
    outs: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        codes = unpack_planes(memory[self.x.name], self.planes, self.n, bool(self.x_signed))
        signs = 2 * unpack_bits(self.w.values.reshape(self.outs, -1), self.n).astype(np.int64) - 1
        memory[self.y.name] = _biased(signs @ codes, self.bias)


@dataclass(frozen=True, eq=False)
class DenseTernary(Call):
    """Dense layer of bit planes by ternary weights: ``y[o] = bias[o] + sum_i code[i] * (plus[o][i] - minus[o][i])``."""

    x: Buffer
    planes: int
    x_signed: int
    plus: Table
    minus: Table
    bias: Table | None
    n: int
    outs: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        codes = unpack_planes(memory[self.x.name], self.planes, self.n, bool(self.x_signed))
        plus, minus = (unpack_bits(t.values.reshape(self.outs, -1), self.n).astype(np.int64) for t in (self.plus, self.minus))
        memory[self.y.name] = _biased((plus - minus) @ codes, self.bias)


@dataclass(frozen=True, eq=False)
class DenseSelect(Call):
    """Dense layer of bit planes by integer weights: ``y[o] = bias[o] + sum_i code[i] * w[o][i]``."""

    x: Buffer
    planes: int
    x_signed: int
    w: Typed
    bias: Table | None
    n: int
    outs: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        codes = unpack_planes(memory[self.x.name], self.planes, self.n, bool(self.x_signed))
        memory[self.y.name] = _biased(_values(self.w, memory).reshape(self.outs, -1) @ codes, self.bias)


@dataclass(frozen=True, eq=False)
class DenseInteger(Call):
    """Dense layer of integers by integer weights: ``y[o] = sum_i x[i] * w[o][i]``."""

    x: Typed
    w: Typed
    n: int
    outs: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        w = _values(self.w, memory).reshape(self.outs, -1)
        memory[self.y.name] = (w @ _values(self.x, memory)).astype(np.int32)


def _biased(acc: Array, bias: Table | None) -> Array:
    return (acc if bias is None else acc + bias.values.astype(np.int64)).astype(np.int32)


@dataclass(frozen=True, eq=False)
class Requantize(Call):
    """``y[i] = clamp((x[i] * multiplier + bias) >> shift, lo, hi)`` with the row's piece that ``x[i]`` falls into.

    Piece ``k`` of row ``r`` (``r = i % rows``) is entry ``r * pieces + k`` of the tables and begins at ``start``; the
    first one's ``start`` is not read. The product is taken in 64 bits, and ``>>`` floors.
    """

    in_place: ClassVar[bool] = True

    x: Typed
    n: int
    start: Table
    multiplier: Table
    bias: Table
    rows: int
    pieces: int
    shift: int
    lo: int
    hi: int
    y: Typed

    def run(self, memory: Memory, word_bits: int) -> None:
        x = _values(self.x, memory)
        row = np.arange(self.n) % self.rows
        start, multiplier, bias = (
            t.values.astype(np.int64).reshape(self.rows, self.pieces)[row] for t in (self.start, self.multiplier, self.bias))
        k = (x[:, None] >= start[:, 1:]).sum(axis=1)[:, None]
        product = x * np.take_along_axis(multiplier, k, 1)[:, 0] + np.take_along_axis(bias, k, 1)[:, 0]
        y = self.y.data
        assert isinstance(y, Buffer)
        memory[y.name] = np.clip(product >> self.shift, self.lo, self.hi).astype(y.dtype(word_bits))


@dataclass(frozen=True, eq=False)
class Lookup(Call):
    """``y[i] = table[(i % rows) * entries + (x[i] - lo) / step]``."""

    in_place: ClassVar[bool] = True

    x: Typed
    n: int
    lo: int
    step: int
    table: Typed
    rows: int
    entries: int
    y: Typed

    def run(self, memory: Memory, word_bits: int) -> None:
        index = (np.arange(self.n) % self.rows) * self.entries + (_values(self.x, memory) - self.lo) // self.step
        y = self.y.data
        assert isinstance(y, Buffer)
        memory[y.name] = _values(self.table, memory)[index].astype(y.dtype(word_bits))


@dataclass(frozen=True, eq=False)
class Argmax(Call):
    """``y[0]`` is the index of the first of the largest of ``x[0..n-1]``."""

    in_place: ClassVar[bool] = True

    x: Typed
    n: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        memory[self.y.name] = np.array([np.argmax(_values(self.x, memory))], np.int32)


@dataclass(frozen=True)
class Port:
    """A way in or out: the caller's buffer, the ONNX value's name, and what the integers in it mean."""

    name: str
    buffer: Buffer
    type: TensorType
    source: str = ""


@dataclass(frozen=True)
class Program:
    """A network for one target: ports, calls in order, and the arena that the caller provides.

    ``word_bits`` is the target's packing width, ``align`` what the arena must be aligned to in bytes.
    """

    name: str
    word_bits: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    calls: tuple[Call, ...]
    arena_size: int = 0
    align: int = 1

    @property
    def tables(self) -> list[Table]:
        """Every constant table once, in order of first use."""
        return list({t.name: t for c in self.calls for t in c.tables}.values())

    @property
    def flash_bytes(self) -> int:
        """The size of all constant tables."""
        return sum(t.bytes(self.word_bits) for t in self.tables)

    def run(self, inputs: dict[str, Array]) -> Memory:
        """Every buffer's last content, by name, for one sample of ``inputs`` by buffer name.

        Buffers that share a place in the arena are kept apart here; `memory.check` proves that this makes no difference.
        """
        memory: Memory = dict(inputs)
        for call in self.calls:
            call.run(memory, self.word_bits)
        return memory

    def __str__(self) -> str:
        def show(value: Any) -> str:
            if isinstance(value, Typed):
                return show(value.data)
            if isinstance(value, Buffer):
                where = "" if value.offset is None else f"@{value.offset}"
                return f"{value.name}{where}:{value.ctype}[{value.count}]"
            if isinstance(value, Table):
                return f"{value.name}:{value.ctype}[{len(value.values)}]"
            return str(value)

        head = f"program {self.name}: {self.word_bits}-bit words, {self.arena_size} B of arena, {self.flash_bytes} B of tables"
        body = [f"  {c.kernel()}({', '.join(f'{k}={show(v)}' for k, v in c.arguments())})" for c in self.calls]
        return "\n".join([head, *body])
