"""Kernel calls for dense layers whose sums have more than 32 bits, at several pixels that read weights together.

Inputs of 16 bits are multiplied by limbs of the weights, the digits of long multiplication. Sums of these products have
32 bits, with bits above moved away now and then, which vector instructions do for twice as many outputs at a time as
they do products of 32 bits (`backends/kernels/bnn_pairs.h`). Wider inputs are multiplied as they are, in 64 bits: all
products of limbs would take as long. Both give the same integers.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler.dense_calls import rounded_shift, wide_product
from bnncompiler.ir import Array
from bnncompiler.program import Buffer, Call, Memory, Table, Typed, values_of

GROUP = 8  # BNN_GROUP of bnn_pairs.h and BNN_WIDE_TILE of bnn_dense_wide_tiled.c: outputs whose weights lie together
LIMBS = 2  # the most limbs of a weight
W_LIMB = 12  # bits of a limb of a weight but the last: BNN_W_LIMB of bnn_dense_limbs.c
CARRY = 16  # bits of a sum that stay when the others are moved: BNN_CARRY of bnn_pairs.h
MOST_SHIFT = 32


@dataclass(frozen=True, eq=False)
class DenseLimbs(Call):
    """Dense layer of 16-bit integers at several pixels: ``y[p][o] = (sum_i x[p][i] * w[o][i] + half) >> shift``.

    Sums are taken in 64 bits; ``half`` is half of ``2**shift``, and ``>>`` floors. ``w`` is what `weight_limbs` makes;
    ``most`` is how many pairs of products of limbs are added without a carry.
    """

    x: Typed
    w: Table
    limbs: int
    most: int
    n: int
    outs: int
    pixels: int
    shift: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        pairs = -(-self.n // 2)
        limbs = self.w.values.astype(np.int64).reshape(-1, pairs, self.limbs, GROUP, 2)
        weights = (limbs << W_LIMB * np.arange(self.limbs)[:, None, None]).sum(axis=2)
        _at_pixels(self, weights.swapaxes(1, 2).reshape(-1, 2 * pairs)[:, -self.n :], memory)


@dataclass(frozen=True, eq=False)
class DenseWideTiled(Call):
    """Dense layer of integers at several pixels: ``y[p][o] = (sum_i x[p][i] * w[o][i] + half) >> shift``.

    As `DenseLimbs`, for inputs of any type; ``w`` is what `tiled_weights` makes.
    """

    x: Typed
    w: Table
    n: int
    outs: int
    pixels: int
    shift: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        _at_pixels(self, self.w.values.reshape(-1, self.n, GROUP).swapaxes(1, 2).reshape(-1, self.n), memory)


def _at_pixels(call: DenseLimbs | DenseWideTiled, weights: Array, memory: Memory) -> None:
    """Multiply each pixel by the rows of ``weights``, of which there may be more than outputs."""
    x = values_of(call.x, memory)
    x = x.reshape(*x.shape[:-1], call.pixels, call.n)
    sums = rounded_shift(wide_product(x, weights[: call.outs].astype(np.int64)), call.shift)
    memory[call.y.name] = sums.reshape(*sums.shape[:-2], -1).astype(np.int32)


@dataclass(frozen=True)
class Limbs:
    """How the weights of a layer are taken apart: into how many limbs, and pairs of products without a carry."""

    count: int
    most: int


def limbs(largest: int, weight: Array, shift: int) -> Limbs | None:
    """The fewest limbs for inputs of at most ``largest`` in magnitude and ``weight [outs, ins]``; None for none.

    There are none where inputs have more than 16 bits, weights more than two limbs, or the kernel has no such shift.
    """
    if largest >= 2**15 or shift > MOST_SHIFT:
        return None
    for count in range(1, LIMBS + 1):
        digits = np.abs(weight_limbs(weight.astype(np.int64), count))
        fits = digits.max() < 2**15 and digits.sum(axis=(1, 4)).max() * largest < 2 ** (30 + CARRY)
        most = _pairs_without_carry(digits.sum(axis=-1), largest) if fits else 0
        if most >= min(4, digits.shape[1]):
            return Limbs(count, most)
    return None


def _pairs_without_carry(digits: Array, largest: int) -> int:
    """How many pairs of inputs can be added until a carry: by the weights that there are; 0 where not even one.

    ``digits`` is ``[groups, pairs, count, GROUP]``, magnitudes of the limbs of both weights of a pair together.
    """
    pairs, room = digits.shape[1], (2**31 - 2**CARRY) // max(1, largest)
    for carries in range(pairs):
        most = -(-pairs // (carries + 1))
        if np.add.reduceat(digits, np.arange(0, pairs, most), axis=1).max() <= room:
            return int(most)
    return 0


def is_wide(weight: Array, shift: int) -> bool:
    """Whether `DenseWideTiled` multiplies by ``weight`` and has such a shift."""
    return int(np.abs(weight).max()) < 2**31 and shift <= MOST_SHIFT


def weight_limbs(weight: Array, count: int) -> Array:
    """Weights ``[outs, ins]`` as limbs ``[groups, pairs, count, GROUP, 2]``, filled up with zeros.

    Where ``ins`` is odd the first input is the second of a pair.
    """
    padded = _padded(np.pad(weight, ((0, 0), (weight.shape[1] % 2, 0))))
    parts, half = [], 1 << (W_LIMB - 1)
    for _ in range(count - 1):
        low = (padded + half) % (2 * half) - half
        parts.append(low)
        padded = (padded - low) >> W_LIMB
    stacked = np.stack([*parts, padded], axis=1).reshape(-1, GROUP, count, padded.shape[1] // 2, 2)
    return np.ascontiguousarray(stacked.transpose(0, 3, 2, 1, 4))


def tiled_weights(weight: Array) -> Array:
    """Weights ``[outs, ins]`` as tiles ``[groups, ins, GROUP]``, filled up with zeros."""
    return np.ascontiguousarray(_padded(weight).reshape(-1, GROUP, weight.shape[1]).swapaxes(1, 2))


def _padded(weight: Array) -> Array:
    """``weight [outs, ins]`` with rows of zeros that fill up groups."""
    return np.pad(weight, ((0, -len(weight) % GROUP), (0, 0)))
