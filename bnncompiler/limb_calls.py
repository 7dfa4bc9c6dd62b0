"""Kernel calls on limbs: dense layers of wide integers whose products are products of 16-bit integers.

Numbers of many bits are taken apart into limbs, the digits of long multiplication; sums of products of limbs are then
put together. Each of these has 32 bits, with bits above moved away now and then, which vector instructions do for many
outputs at a time where a sum of 64 bits is slow (`backends/kernels/bnn_pairs.h`). The result is the same integer.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler.dense_calls import rounded_shift, wide_product
from bnncompiler.ir import Array
from bnncompiler.program import Buffer, Call, Memory, Table, Typed, values_of

ROWS = 4  # BNN_ROWS of bnn_pairs.h: rows of inputs that are multiplied together
GROUP = 16  # BNN_GROUP of bnn_pairs.h: outputs whose weights lie together
X_LIMB = 14  # bits of a limb of an input but the last: BNN_X_LIMB of bnn_dense_limbs.c
W_LIMB = 12  # bits of a limb of a weight but the last: BNN_W_LIMB of bnn_dense_limbs.c
CARRY = 16  # bits of a sum that stay when the others are moved: BNN_CARRY of bnn_pairs.h
MOST_SHIFT = 32


@dataclass(frozen=True, eq=False)
class DenseLimbs(Call):
    """Dense layer of integers in limbs at several pixels: ``y[p][o] = (sum_i x[p][i] * w[o][i] + half) >> shift``.

    Sums are taken in 64 bits; ``half`` is half of ``2**shift``, and ``>>`` floors. ``w`` is what `weight_limbs` makes;
    ``most`` is how many pairs of products of limbs are added without a carry. ``scratch`` has room for `ROWS` rows.
    """

    x: Typed
    w: Table
    x_limbs: int
    w_limbs: int
    most: int
    n: int
    outs: int
    pixels: int
    shift: int
    scratch: Buffer
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        x = values_of(self.x, memory)
        x = x.reshape(*x.shape[:-1], self.pixels, self.n)
        pairs = -(-self.n // 2)
        limbs = self.w.values.astype(np.int64).reshape(-1, self.w_limbs, pairs, GROUP, 2)
        weights = (limbs << W_LIMB * np.arange(self.w_limbs)[:, None, None, None]).sum(axis=1)
        weights = weights.swapaxes(1, 2).reshape(-1, 2 * pairs)[: self.outs, : self.n]
        sums = rounded_shift(wide_product(x, weights), self.shift)
        memory[self.y.name] = sums.reshape(*sums.shape[:-2], -1).astype(np.int32)


@dataclass(frozen=True)
class Limbs:
    """How numbers of a layer are taken apart: limbs of an input and of a weight, and pairs of products without a carry.

    Both are the fewest that work, see `limbs`.
    """

    x: int
    w: int
    most: int


def limbs(largest: int, weight: Array, shift: int) -> Limbs | None:
    """The limbs for inputs of at most ``largest`` in magnitude and ``weight [outs, ins]``; None where there are none.

    There are none where the kernel would need more than two limbs of an input, or has no such shift.
    """
    found = []
    for x_limbs, w_limbs in ((1, 1), (1, 2), (2, 1), (2, 2)):
        x_digit, w_digit = _digit(largest, X_LIMB, x_limbs), _digit(int(np.abs(weight).max()), W_LIMB, w_limbs)
        most = (2**31 - 2**CARRY) // max(1, 2 * x_digit * w_digit)
        if max(x_digit, w_digit) < 2**15 and most >= 4:
            found.append(Limbs(x_limbs, w_limbs, min(most, -(-weight.shape[1] // 2))))
    return found[0] if found and shift <= MOST_SHIFT else None


def _digit(largest: int, bits: int, count: int) -> int:
    """The largest magnitude of ``count`` limbs of numbers up to ``largest``, the last of which is what is left."""
    if count == 1:
        return largest
    return max(1 << (bits - 1), (largest + (1 << (bits - 1))) >> bits * (count - 1))


def weight_limbs(weight: Array, count: int) -> Array:
    """Weights ``[outs, ins]`` as limbs ``[groups, count, pairs, GROUP, 2]``, filled up with zeros."""
    outs, ins = weight.shape
    padded = np.zeros((-(-outs // GROUP) * GROUP, -(-ins // 2) * 2), np.int64)
    padded[:outs, :ins] = weight
    parts, half = [], 1 << (W_LIMB - 1)
    for _ in range(count - 1):
        low = (padded + half) % (2 * half) - half
        parts.append(low)
        padded = (padded - low) >> W_LIMB
    stacked = np.stack([*parts, padded], axis=1).reshape(-1, GROUP, count, padded.shape[1] // 2, 2)
    return np.ascontiguousarray(stacked.transpose(0, 2, 3, 1, 4))
