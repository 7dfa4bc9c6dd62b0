"""Calls that join and move elements: sums and products of two values, concatenations, and gathers in any order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bnncompiler.ir import Array
from bnncompiler.packing import pack_planes, unpack_planes
from bnncompiler.program import Buffer, Call, Memory, Typed, store, values_of


@dataclass(frozen=True, eq=False)
class AddIntegers(Call):
    """``y[i] = x[i] + z[i]``."""

    in_place: ClassVar[bool] = True

    x: Typed
    z: Typed
    n: int
    y: Typed

    def run(self, memory: Memory, word_bits: int) -> None:
        store(self.y, values_of(self.x, memory) + values_of(self.z, memory), memory, word_bits)


@dataclass(frozen=True, eq=False)
class MulIntegers(Call):
    """``y[i] = x[i] * z[i]``."""

    in_place: ClassVar[bool] = True

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
            unpack_planes(memory[b.name], self.planes, self.pixels * channels, signed=False).reshape(
                self.pixels, channels
            )
            for b, channels in ((self.x, self.x_channels), (self.z, self.z_channels))
        ]
        memory[self.y.name] = pack_planes(np.concatenate(parts, axis=1).reshape(-1), self.planes, word_bits)


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
        x = values_of(self.x, memory).reshape(self.pixels, self.x_channels)
        z = values_of(self.z, memory).reshape(self.pixels, self.z_channels)
        store(self.y, np.concatenate([x, z], axis=1).reshape(-1), memory, word_bits)


@dataclass(frozen=True, eq=False)
class PermuteBits(Call):
    """Code ``i`` of ``y`` is code ``i / period * stride + index[i % period]`` of ``x``, in ``planes`` bit planes.

    ``x`` has ``x_n`` codes and ``y`` has ``n``.
    """

    x: Buffer
    x_n: int
    planes: int
    index: Typed
    period: int
    stride: int
    n: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        codes = unpack_planes(memory[self.x.name], self.planes, self.x_n, signed=False)
        memory[self.y.name] = pack_planes(codes[_sources(self, memory)], self.planes, word_bits)


@dataclass(frozen=True, eq=False)
class PermuteIntegers(Call):
    """``y[i] = x[i / period * stride + index[i % period]]``."""

    x: Typed
    index: Typed
    period: int
    stride: int
    n: int
    y: Typed

    def run(self, memory: Memory, word_bits: int) -> None:
        store(self.y, values_of(self.x, memory)[_sources(self, memory)], memory, word_bits)


def _sources(call: PermuteBits | PermuteIntegers, memory: Memory) -> Array:
    i = np.arange(call.n)
    return np.asarray(i // call.period * call.stride + values_of(call.index, memory)[i % call.period])


def periodic(index: Array) -> tuple[Array, int, int]:
    """The shortest ``(table, period, stride)`` for which ``index[i] == i // period * stride + table[i % period]``."""
    n = len(index)
    for period in (p for p in range(1, n) if n % p == 0):
        blocks = index.reshape(-1, period)
        steps = np.diff(blocks, axis=0)
        if (steps == steps[0, 0]).all() and steps[0, 0] >= 0:
            return blocks[0], period, int(steps[0, 0])
    return index, n, 0
