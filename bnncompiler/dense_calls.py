"""Kernel calls for dense layers: a row of inputs by a matrix of weights, of every kind that these come in.

Convolutions call them on the patch of each pixel. Weights lie output by output or input by input, as the class says;
rows of bits have their whole words in ``w`` and their tails (`bnncompiler.packing`), if any, in ``tail``;
`bnncompiler.tiled_calls`, `bnncompiler.sliced_calls` and `bnncompiler.limb_calls` have layouts of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bnncompiler.calls import reached
from bnncompiler.ir import Array
from bnncompiler.packing import pack_bits, unpack_bits, unpack_planes, unpack_rows
from bnncompiler.program import Buffer, Call, Memory, Table, Typed, values_of

NO_TAIL = Table("no_tail", "uint8_t", np.zeros(0, np.uint8))  # of rows that are whole words, or short of one by little
LOW_BITS = 12  # of an input, which floats multiply apart from those above: each product is exact


@dataclass(frozen=True, eq=False)
class DenseThreshold(Call):
    """Bit ``o`` of ``y`` is the parity of how many of ``at[o]`` a bipolar sum ``n - 2 popcount(x ^ w[o])`` reaches.

    There are ``count`` thresholds for each output; one is a comparison.
    """

    x: Buffer
    w: Table
    tail: Typed
    at: Typed
    count: int
    n: int
    outs: int
    y: Buffer

    @property
    def meaning(self) -> str:
        """Plainer for the usual single threshold."""
        one = "Bipolar dense layer with its threshold: bit `o` of `y` is `n - 2 popcount(x ^ w[o]) >= at[o]`."
        return one if self.count == 1 else super().meaning

    def run(self, memory: Memory, word_bits: int) -> None:
        signs = bipolar(memory[self.x.name], self.n)
        acc = product(signs, row_signs(self.w, self.tail, self.n, self.outs, word_bits))
        memory[self.y.name] = pack_bits(reached(acc, values_of(self.at, memory), self.outs) & 1, word_bits)


@dataclass(frozen=True, eq=False)
class DenseXnor(Call):
    """Bipolar by bipolar dense layer: ``y[o] = n - 2 popcount(x ^ w[o])``."""

    x: Buffer
    w: Table
    tail: Typed
    n: int
    outs: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        signs = bipolar(memory[self.x.name], self.n)
        memory[self.y.name] = product(signs, row_signs(self.w, self.tail, self.n, self.outs, word_bits)).astype(
            np.int32
        )


def bipolar(x: Array, n: int) -> Array:
    """Packed ``x [..., words]`` as ``n`` numbers -1 and +1."""
    return np.asarray(2 * unpack_bits(x, n).astype(np.int64) - 1)


def xnor(x: Array, w: Array, n: int) -> Array:
    """The bipolar sums ``[..., outs]`` of packed ``x [..., words]`` and rows ``w [outs, words]``."""
    return product(bipolar(x, n), bipolar(w, n))


@lru_cache(maxsize=64)
def row_signs(w: Table, tail: Typed, n: int, outs: int, word_bits: int) -> Array:
    """Bipolar weights ``[outs, n]``; loops over rows ask for the same ones again and again."""
    return np.asarray(2.0 * _row_bits(w, tail, n, outs, word_bits) - 1)


def _row_bits(w: Table, tail: Typed, n: int, outs: int, word_bits: int) -> Array:
    assert isinstance(tail.data, Table)
    return unpack_rows(w.values.reshape(outs, -1), tail.data.values, n, word_bits)


def product(x: Array, w: Array) -> Array:
    """``x [..., n]`` times each row of ``w [outs, n]``, modulo 2**64; in floats, which is faster, where exact."""
    largest = int(np.abs(x).max(initial=0)) * int(np.abs(w).max(initial=0)) * x.shape[-1]
    dtype = np.float64 if largest < 2**53 else np.int64
    product: Array = x.astype(dtype) @ w.astype(dtype, copy=False).T
    return product.astype(np.int64)


@dataclass(frozen=True, eq=False)
class DenseBipolar(Call):
    """Dense layer of ``planes`` bit planes by bipolar weights: ``y[o] = bias[o] + sum_i code[i] * (2 w[o][i] - 1)``.

    ``x_signed`` is 1 where the codes are two's complement. ``bias`` is None where it is zero.
    """

    x: Buffer
    planes: int
    x_signed: int
    w: Table
    tail: Typed
    bias: Table | None
    n: int
    outs: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        codes = unpack_planes(memory[self.x.name], self.planes, self.n, bool(self.x_signed))
        memory[self.y.name] = _biased(
            product(codes, row_signs(self.w, self.tail, self.n, self.outs, word_bits)), self.bias
        )


@dataclass(frozen=True, eq=False)
class DenseTernary(Call):
    """Dense layer of bit planes by ternary weights: ``y[o] = bias[o] + sum_i code[i] * (plus[o][i] - minus[o][i])``."""

    x: Buffer
    planes: int
    x_signed: int
    plus: Table
    plus_tail: Typed
    minus: Table
    minus_tail: Typed
    bias: Table | None
    n: int
    outs: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        codes = unpack_planes(memory[self.x.name], self.planes, self.n, bool(self.x_signed))
        pairs = (self.plus, self.plus_tail), (self.minus, self.minus_tail)
        plus, minus = (_row_bits(*pair, self.n, self.outs, word_bits) for pair in pairs)
        memory[self.y.name] = _biased(product(codes, plus.astype(np.int64) - minus), self.bias)


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
        memory[self.y.name] = _biased(product(codes, values_of(self.w, memory).reshape(self.outs, -1)), self.bias)


@dataclass(frozen=True, eq=False)
class DenseInteger(Call):
    """Dense layer of integers by integer weights: ``y[o] = sum_i x[i] * w[o][i]``."""

    x: Typed
    w: Typed
    n: int
    outs: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        w = values_of(self.w, memory).reshape(self.outs, -1)
        memory[self.y.name] = product(values_of(self.x, memory), w).astype(np.int32)


@dataclass(frozen=True, eq=False)
class DenseColumns(Call):
    """Dense layer of integers by integer weights stored by input: ``y[o] = sum_i x[i] * w[i][o]``."""

    x: Typed
    w: Typed
    n: int
    outs: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        w = values_of(self.w, memory).reshape(self.n, -1)
        memory[self.y.name] = product(values_of(self.x, memory), w.T).astype(np.int32)


@dataclass(frozen=True, eq=False)
class DenseWide(Call):
    """Dense layer of integers by integer weights, rounded: ``y[o] = (sum_i x[i] * w[o][i] + half) >> shift``.

    Sums are taken in 64 bits; ``half`` is half of ``2**shift``, and ``>>`` floors.
    """

    x: Typed
    w: Typed
    n: int
    outs: int
    shift: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        w = values_of(self.w, memory).reshape(self.outs, -1)
        sums = wide_product(values_of(self.x, memory), w)
        memory[self.y.name] = rounded_shift(sums, self.shift).astype(np.int32)


def wide_product(x: Array, w: Array) -> Array:
    """``x [..., n]`` times each row of ``w [outs, n]`` in 64 bits: upper and lower bits of ``x`` in floats each."""
    return (product(x >> LOW_BITS, w) << LOW_BITS) + product(x & ((1 << LOW_BITS) - 1), w)


def rounded_shift(sums: Array, shift: int) -> Array:
    """``sums / 2**shift``, to the nearest integer, the upper one of two."""
    return np.asarray((sums + (1 << shift >> 1)) >> shift)


@dataclass(frozen=True, eq=False)
class DenseSigns(Call):
    """Dense layer of integers by bipolar weights stored by input: ``y[o] = sum_i x[i] * (2 w[i][o] - 1)``.

    Row ``i`` of ``w`` has the bits of all outputs for input ``i``.
    """

    x: Typed
    w: Table
    n: int
    outs: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        signs = 2 * unpack_bits(self.w.values.reshape(self.n, -1), self.outs).astype(np.int64) - 1
        memory[self.y.name] = product(values_of(self.x, memory), signs.T).astype(np.int32)


def _biased(acc: Array, bias: Table | None) -> Array:
    return (acc if bias is None else acc + bias.values.astype(np.int64)).astype(np.int32)
