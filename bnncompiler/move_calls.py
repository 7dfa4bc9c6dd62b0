"""Calls that join and move elements: sums and products of two values, concatenations, and gathers in any order."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler.ir import Array
from bnncompiler.packing import pack_planes, unpack_planes
from bnncompiler.program import Buffer, Call, Memory, Typed, store, values_of


@dataclass(frozen=True, eq=False)
class AddIntegers(Call):
    """``y[i] = x[i] + z[i]``."""

    x: Typed
    z: Typed
    n: int
    y: Typed

    def run(self, memory: Memory, word_bits: int) -> None:
        store(self.y, values_of(self.x, memory) + values_of(self.z, memory), memory, word_bits)


@dataclass(frozen=True, eq=False)
class MulIntegers(Call):
    """``y[i] = x[i] * z[i]``."""

    x: Typed
    z: Typed
    n: int
    y: Typed

    def run(self, memory: Memory, word_bits: int) -> None:
        store(self.y, values_of(self.x, memory) * values_of(self.z, memory), memory, word_bits)


@dataclass(frozen=True, eq=False)
class ConcatBits(Call):
    """At each of ``pixels``, the codes of ``x`` and then those of ``z``, in ``planes`` bit planes."""

    x: Buffer
    x_channels: int
    z: Buffer
    z_channels: int
    planes: int
    pixels: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        parts = [
            unpack_planes(memory[b.name], self.planes, self.pixels * channels, signed=False)
            for b, channels in ((self.x, self.x_channels), (self.z, self.z_channels))
        ]
        memory[self.y.name] = pack_planes(_side_by_side(parts, self.pixels), self.planes, word_bits)


@dataclass(frozen=True, eq=False)
class ConcatIntegers(Call):
    """At each of ``pixels``, the integers of ``x`` and then those of ``z``."""

    x: Typed
    x_channels: int
    z: Typed
    z_channels: int
    pixels: int
    y: Typed

    def run(self, memory: Memory, word_bits: int) -> None:
        parts = [values_of(self.x, memory), values_of(self.z, memory)]
        store(self.y, _side_by_side(parts, self.pixels), memory, word_bits)


def _side_by_side(parts: list[Array], pixels: int) -> Array:
    """Elements ``[..., pixels * channels]`` of several maps, pixel by pixel."""
    rows = [p.reshape(*p.shape[:-1], pixels, -1) for p in parts]
    return np.concatenate(rows, axis=-1).reshape(*parts[0].shape[:-1], -1)


@dataclass(frozen=True, eq=False)
class PermuteBits(Call):
    """Code ``i`` of ``y`` is code ``index[i % period] + start[b % blocks] + b / blocks * stride`` of ``x``.

    ``b = i / period`` is the block that ``i`` is in. ``x`` has ``x_n`` codes and ``y`` has ``n``, in ``planes`` bit
    planes.
    """

    x: Buffer
    x_n: int
    planes: int
    index: Typed
    period: int
    start: Typed
    blocks: int
    stride: int
    n: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        codes = unpack_planes(memory[self.x.name], self.planes, self.x_n, signed=False)
        memory[self.y.name] = pack_planes(codes[..., _sources(self, memory)], self.planes, word_bits)


@dataclass(frozen=True, eq=False)
class PermuteIntegers(Call):
    """``y[i] = x[index[i % period] + start[b % blocks] + b / blocks * stride]`` with ``b = i / period``."""

    x: Typed
    index: Typed
    period: int
    start: Typed
    blocks: int
    stride: int
    n: int
    y: Typed

    def run(self, memory: Memory, word_bits: int) -> None:
        store(self.y, values_of(self.x, memory)[..., _sources(self, memory)], memory, word_bits)


def _sources(call: PermuteBits | PermuteIntegers, memory: Memory) -> Array:
    i = np.arange(call.n)
    block = i // call.period
    first = values_of(call.start, memory)[block % call.blocks] + block // call.blocks * call.stride
    return np.asarray(first + values_of(call.index, memory)[i % call.period])


def nested(index: Array) -> tuple[Array, Array, int]:
    """The smallest tables ``(index, start, stride)`` for an order, as `PermuteIntegers` takes them.

    A map whose rows and columns are picked independently of each other (a part of it, reflected borders, other
    channels) takes a table of pixels and one of channels; one with a pattern that repeats takes less.
    """
    best = index, np.zeros(1, index.dtype), 0
    for period in (p for p in range(1, len(index)) if len(index) % p == 0):
        blocks = index.reshape(-1, period)
        inner = blocks[0] - blocks[0, 0]
        if period >= len(best[0]) + len(best[1]) or (blocks - blocks[:, :1] != inner).any():
            continue
        start, stride = _periodic(blocks[:, 0])
        if period + len(start) < len(best[0]) + len(best[1]):
            best = inner, start, stride
    return best


def _periodic(start: Array) -> tuple[Array, int]:
    """The shortest table and the stride for which ``start[i] == table[i % length] + i / length * stride``."""
    for length in (p for p in range(1, len(start)) if len(start) % p == 0):
        rows = start.reshape(-1, length)
        steps = np.diff(rows, axis=0)
        if (steps == steps[0, 0]).all() and steps[0, 0] >= 0:
            return rows[0], int(steps[0, 0])
    return start, 0
