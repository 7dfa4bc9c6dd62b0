"""Calls on maps: a convolution is a loop over pixels around the kernels of dense layers.

At each output pixel the taps under the window are gathered into a patch, a dense kernel multiplies it, the activation
follows at once, and the pixel's result is put behind those before it. So every dense kernel serves convolutions, a map
of accumulators never exists, and a map is packed without gaps: element ``i`` of it is channel ``i % channels`` of
pixel ``i / channels``, whatever the number of channels.

In numpy a loop runs all pixels at once: the contents of its scratch are ``[pixels, elements]``.
"""

from __future__ import annotations

import enum
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from bnncompiler.ir import Array
from bnncompiler.packing import pack_bits, pack_planes, unpack_bits, unpack_planes
from bnncompiler.program import Buffer, Call, Memory, Sliced, Table, Typed, data_of, values_of


class Index(enum.Enum):
    """A variable of a loop; its value is its name in C. ``PLACE`` is the row of a line buffer that is written."""

    ROW = "row"
    COLUMN = "column"
    GROUP = "group"
    PLACE = "place"


@dataclass(frozen=True)
class Dropped:
    """``before`` and the rows that a line buffer no longer holds: a window that begins ``before`` rows above the map.

    ``stage`` is the stage of a `row_calls.RowLoop` that writes the line buffer. Kernels see the buffer as a map that
    begins with its first row; to begin the window so many rows before it is all that it takes.
    """

    stage: int
    before: int

    def __str__(self) -> str:
        return f"{self.before}+dropped{self.stage}"


@dataclass(frozen=True, eq=False)
class PixelLoop(Call):
    """For each pixel of a map: ``body`` for each group, then ``tail``.

    ``scratch`` are the buffers that live within one pixel. ``x`` and ``more`` are what the loop reads, ``y`` what it
    writes. In place of a number the calls can have an `Index`, and in place of a buffer or table a `Sliced`.
    """

    rows: int
    columns: int
    groups: int
    body: tuple[Call, ...]
    tail: tuple[Call, ...]
    scratch: tuple[Buffer, ...]
    x: Buffer
    y: Buffer
    more: tuple[Buffer, ...] = ()

    @property
    def inner(self) -> tuple[Call, ...]:
        """The calls in the loop."""
        return (*self.body, *self.tail)

    def kernels(self) -> list[str]:
        """The kernels that the loop calls."""
        return [k for c in self.inner for k in c.kernels()]

    def arguments(self) -> Iterator[tuple[str, Any]]:
        """What the loop reads and writes; its numbers are in the calls."""
        yield "x", self.x
        yield from ((f"x{i}", b) for i, b in enumerate(self.more, 1))
        yield from ((f"scratch{i}", b) for i, b in enumerate(self.scratch))
        yield "y", self.y

    @property
    def tables(self) -> list[Table]:
        """The tables of the inner calls."""
        return [t for c in self.inner for t in c.tables]

    def with_buffers(self, placed: Mapping[Buffer, Buffer]) -> PixelLoop:
        """The loop on planned buffers."""
        body, tail = (tuple(c.with_buffers(placed) for c in calls) for calls in (self.body, self.tail))
        scratch, more = (tuple(placed.get(b, b) for b in buffers) for buffers in (self.scratch, self.more))
        x, y = placed.get(self.x, self.x), placed.get(self.y, self.y)
        return replace(self, body=body, tail=tail, scratch=scratch, x=x, y=y, more=more)

    def run(self, memory: Memory, word_bits: int) -> None:
        """All pixels at once; scratch is gone afterwards."""
        row, column = np.indices((self.rows, self.columns)).reshape(2, -1)
        self.run_at({Index.ROW: row, Index.COLUMN: column}, memory, word_bits)

    def run_at(self, pixel: Mapping[object, Any], memory: Memory, word_bits: int) -> None:
        """The pixels at which the loop's variables have the values ``pixel``, all at once."""
        for group in range(self.groups):
            for call in self.body:
                _run(call, {**pixel, Index.GROUP: group}, memory, word_bits)
        for call in self.tail:
            _run(call, {**pixel, Index.GROUP: 0}, memory, word_bits)
        for buffer in self.scratch:
            memory.pop(buffer.name, None)


def _run(call: Call, here: Mapping[object, Any], memory: Memory, word_bits: int) -> None:
    """Run ``call`` with the loop's variables in place, and on shares of what is sliced."""
    shares: dict[Buffer, tuple[Buffer, slice]] = {}

    def share(s: Sliced) -> Buffer | Table:
        number = int(np.min(here[Index(s.index)]))
        span = slice(number * s.stride, (number + 1) * s.stride)
        if isinstance(s.data, Table):
            return replace(s.data, values=s.data.values[span])
        part = replace(s.data, name=f"{s.data.name}[{span.start}]", count=s.stride)
        shares[part] = s.data, span
        return part

    def value(v: Any) -> Any:
        if isinstance(v, Typed):
            return Typed(value(v.data))
        return share(v) if isinstance(v, Sliced) else here[v] if isinstance(v, Index | Dropped) else v

    fixed = replace(call, **{name: value(v) for name, v in call.arguments()})
    for part, (whole, span) in shares.items():
        if whole.name in memory:
            memory[part.name] = memory[whole.name][..., span]
    fixed.run(memory, word_bits)
    for part, (whole, span) in shares.items():
        content = memory.pop(part.name)
        if part == fixed.buffers["y"]:
            empty = np.zeros((*content.shape[:-1], whole.count), content.dtype)
            memory.setdefault(whole.name, empty)[..., span] = content


def _elements(call: PutBits | PutIntegers | PutPooled) -> Array:
    """Which elements of the map the pixels are: ``[..., n]``."""
    down, across = (call.pool_h, call.pool_w) if isinstance(call, PutPooled) else (1, 1)
    pixel = np.asarray(call.row) // down * call.columns + np.asarray(call.column) // across
    return np.asarray(pixel[..., None] * call.n + np.arange(call.n))


@dataclass(frozen=True, eq=False)
class PutBits(Call):
    """``n`` codes in ``planes`` bit planes, as pixel ``row * columns + column`` of a map of ``total`` codes.

    Pixels must come in order: bits behind the last one put are written as 0.
    """

    x: Buffer
    planes: int
    n: int
    total: int
    columns: int
    row: int | Index
    column: int | Index
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        elements = _elements(self)
        codes = np.zeros(self.total, np.int64)
        if kept := int(elements.min()):
            codes[:kept] = unpack_planes(memory[self.y.name], self.planes, self.total, signed=False)[:kept]
        codes[elements] = unpack_planes(memory[self.x.name], self.planes, self.n, signed=False)
        memory[self.y.name] = pack_planes(codes, self.planes, word_bits)


@dataclass(frozen=True, eq=False)
class PutIntegers(Call):
    """``n`` integers as pixel ``row * columns + column`` of a map."""

    x: Typed
    n: int
    columns: int
    row: int | Index
    column: int | Index
    y: Typed

    def run(self, memory: Memory, word_bits: int) -> None:
        y = data_of(self.y)
        assert isinstance(y, Buffer)
        target = memory.setdefault(y.name, np.zeros(y.count, y.dtype(word_bits)))
        target[_elements(self)] = values_of(self.x, memory)


@dataclass(frozen=True, eq=False)
class PutPooled(Call):
    """``n`` bits OR-ed into the pixel of a pooled map to which ``(row, column)`` belongs.

    Pools of ``pool_h`` by ``pool_w`` pixels lie side by side. Pixels must come in order; the first one of a pool begins
    the pooled pixel, and writes bits behind it as 0.
    """

    x: Buffer
    n: int
    columns: int
    pool_h: int
    pool_w: int
    row: int | Index
    column: int | Index
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        elements = _elements(self)
        begins = (np.asarray(self.row) % self.pool_h == 0) & (np.asarray(self.column) % self.pool_w == 0)
        codes = np.zeros(self.y.count * word_bits, bool)
        if self.y.name in memory:
            codes |= unpack_bits(memory[self.y.name], codes.size).astype(bool)
        if begins.any():
            codes[int(elements[begins].min()) :] = False
        np.logical_or.at(codes, elements, unpack_bits(memory[self.x.name], self.n).astype(bool))
        memory[self.y.name] = pack_bits(codes, word_bits)


@dataclass(frozen=True, eq=False)
class AddBorder(Call):
    """What padded taps would have added is taken back: ``y[p][o] += values[class][o]``, for a pixel or several.

    They are ``pixels`` of row ``row`` from ``column`` on. Those over which the window reaches out of the map in the
    same way are one class: ``row_class[row] * classes + column_class[column]``. Class 0 is the inside, for which
    ``values`` has no entries.
    """

    row_class: Table
    column_class: Table
    classes: int
    values: Typed
    n: int
    row: int | Index
    column: int | Index
    pixels: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        values = values_of(self.values, memory).reshape(-1, self.n)
        by_class = np.concatenate([np.zeros((1, self.n), np.int64), values])
        columns = np.asarray(self.column)[..., None] + np.arange(self.pixels)
        down, across = self.row_class.values[np.asarray(self.row)][..., None], self.column_class.values[columns]
        added = by_class[down.astype(np.int64) * self.classes + across]
        added = added.reshape(*added.shape[:-2], -1)
        memory[self.y.name] = (memory[self.y.name] + added).astype(np.int32)
