"""Kernel calls on flat values: thresholds, changes of form, requantisation, tables, the largest of many.

Adding a kernel is adding a class here (or in a module ``*_calls`` beside it) and a C file in `kernels/`; tests run both
on the same data. Contents of buffers are ``[..., elements]``: each ``run`` works on any axes before the elements.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler.ir import Array
from bnncompiler.packing import pack_bits, pack_planes, unpack_bits, unpack_planes
from bnncompiler.program import Buffer, Call, Memory, Table, Typed, store, values_of


def reached(x: Array, at: Array, rows: int) -> Array:
    """For each element of ``x [..., n]``, how many of its row's thresholds it reaches."""
    by_row = x.reshape(*x.shape[:-1], -1, rows, 1)
    count: Array = (by_row >= at.reshape(rows, -1)).sum(axis=-1).reshape(x.shape)
    return count


@dataclass(frozen=True, eq=False)
class Threshold(Call):
    """Bit ``i`` of ``y`` is the parity of how many of the ``count`` thresholds ``at[i % rows]`` ``x[i]`` reaches.

    One threshold is a comparison, two are a window, and so on.
    """

    x: Typed
    n: int
    at: Typed
    rows: int
    count: int
    y: Buffer

    @property
    def meaning(self) -> str:
        """Plainer for the usual single threshold."""
        return "Bit `i` of `y` is `x[i] >= at[i % rows]`." if self.count == 1 else super().meaning

    def run(self, memory: Memory, word_bits: int) -> None:
        count = reached(values_of(self.x, memory), values_of(self.at, memory), self.rows)
        memory[self.y.name] = pack_bits(count & 1, word_bits)


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
        codes = reached(values_of(self.x, memory), values_of(self.at, memory), self.rows)
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
        memory[self.y.name] = pack_planes(values_of(self.x, memory), self.planes, word_bits)


@dataclass(frozen=True, eq=False)
class Unpack(Call):
    """Integers from bit planes: ``y[i] = lo + step * code[i]``."""

    x: Buffer
    n: int
    planes: int
    lo: int
    step: int
    y: Typed

    def run(self, memory: Memory, word_bits: int) -> None:
        codes = unpack_planes(memory[self.x.name], self.planes, self.n, signed=False)
        store(self.y, self.lo + self.step * codes, memory, word_bits)


@dataclass(frozen=True, eq=False)
class Requantize(Call):
    """``y[i] = clamp((x[i] * multiplier + bias) >> shift, lo, hi)`` with the row's piece that ``x[i]`` falls into.

    Piece ``k`` of row ``r`` (``r = i % rows``) is entry ``k * rows + r`` of ``multiplier`` and ``bias``; all but the
    first begin at an entry of ``start``, which has those of the second piece first. The product is taken in 64 bits,
    and ``>>`` floors.
    """

    x: Typed
    n: int
    start: Typed
    multiplier: Typed
    bias: Typed
    rows: int
    pieces: int
    shift: int
    lo: int
    hi: int
    y: Typed

    def run(self, memory: Memory, word_bits: int) -> None:
        x = values_of(self.x, memory)
        row = np.arange(self.n) % self.rows
        multiplier, bias = (values_of(t, memory).reshape(-1, self.rows).T for t in (self.multiplier, self.bias))
        start = values_of(self.start, memory).reshape(self.pieces - 1, self.rows).T
        piece = (x[..., None] >= start[row]).sum(axis=-1)
        product = x * multiplier[row, piece] + bias[row, piece]
        store(self.y, np.clip(product >> self.shift, self.lo, self.hi), memory, word_bits)


@dataclass(frozen=True, eq=False)
class Scale(Call):
    """``y[i] = x[i] * multiplier[i % rows] + bias[i % rows]``, modulo 2**32: what fits is exact."""

    x: Typed
    n: int
    multiplier: Typed
    bias: Typed
    rows: int
    y: Typed

    def run(self, memory: Memory, word_bits: int) -> None:
        row = np.arange(self.n) % self.rows
        multiplier, bias = (values_of(t, memory)[row] for t in (self.multiplier, self.bias))
        store(self.y, values_of(self.x, memory) * multiplier + bias, memory, word_bits)


@dataclass(frozen=True, eq=False)
class Lookup(Call):
    """``y[i] = table[(i % rows) * entries + (x[i] - lo) / step]``."""

    x: Typed
    n: int
    lo: int
    step: int
    table: Typed
    rows: int
    entries: int
    y: Typed

    def run(self, memory: Memory, word_bits: int) -> None:
        index = (np.arange(self.n) % self.rows) * self.entries + (values_of(self.x, memory) - self.lo) // self.step
        store(self.y, values_of(self.table, memory)[index], memory, word_bits)


@dataclass(frozen=True, eq=False)
class Argmax(Call):
    """``y[0]`` is the index of the first of the largest of ``x[0..n-1]``."""

    x: Typed
    n: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        memory[self.y.name] = np.argmax(values_of(self.x, memory), axis=-1)[..., None].astype(np.int32)


@dataclass(frozen=True, eq=False)
class TopIndices(Call):
    """``y`` is the indices of the ``k`` largest of ``x[0..n-1]``, the largest first; of equals the first."""

    x: Typed
    n: int
    k: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        memory[self.y.name] = top(values_of(self.x, memory), self.k).astype(np.int32)


@dataclass(frozen=True, eq=False)
class TopValues(Call):
    """``y`` is the ``k`` largest of ``x[0..n-1]``, the largest first."""

    x: Typed
    n: int
    k: int
    y: Typed

    def run(self, memory: Memory, word_bits: int) -> None:
        x = values_of(self.x, memory)
        store(self.y, np.take_along_axis(x, top(x, self.k), axis=-1), memory, word_bits)


def top(x: Array, k: int) -> Array:
    """The indices of the ``k`` largest along the last axis, the largest first; among equals the first comes first."""
    return np.asarray(np.argsort(-x.astype(np.int64), axis=-1, kind="stable")[..., :k])
