"""Kernel calls on bit-sliced counters: dense layers whose outputs are the lanes of words.

Weights are stored by input. Only inputs that are 1 are looked at, each by adding a row of bits to counters that have a
binary digit in each word (`backends/kernels/bnn_sliced.h`), so that there is no popcount, and outputs come out packed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler.calls import product
from bnncompiler.ir import Array
from bnncompiler.packing import pack_bits, unpack_bits
from bnncompiler.program import Buffer, Call, Memory, Table, Typed, values_of

DIGITS = 20  # of a bit-sliced counter: BNN_DIGITS of bnn_sliced.h


def sliced_digits(n: int) -> int:
    """How many digits hold ``v`` (0 to ``2 n``, see `DenseSliced`) and one number above, for a threshold out of reach.

    There are at least 4, since eight inputs are added at a time.
    """
    return max(4, (2 * n + 1).bit_length())


@dataclass(frozen=True, eq=False)
class DenseSliced(Call):
    """Bipolar by bipolar dense layer, bit-sliced: ``y[o] = 2 v - offset[o]``, ``v = n - ones(x) + 2 popcount(x & w)``.

    Row ``i`` of ``w`` has the bits of all outputs for input ``i``, and ``offset[o]`` is ``n + 2 popcount(w[:, o])``.
    Counters have ``digits`` binary digits (`sliced_digits`).
    """

    x: Buffer
    w: Table
    offset: Typed
    digits: int
    n: int
    outs: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        v = _sliced(memory[self.x.name], self.w, self.n, self.outs)
        memory[self.y.name] = (2 * v - values_of(self.offset, memory)).astype(np.int32)


@dataclass(frozen=True, eq=False)
class DenseSlicedThreshold(Call):
    """Bipolar dense layer, bit-sliced: bit ``o`` of ``y`` is the parity of how many thresholds of ``o`` ``v`` reaches.

    ``v`` and ``w`` are those of `DenseSliced`. Digit ``d`` of the ``k``-th threshold of all outputs is row
    ``k * digits + d`` of ``at``; outputs that are not there have thresholds that no ``v`` reaches.
    """

    x: Buffer
    w: Table
    at: Table
    count: int
    digits: int
    n: int
    outs: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        v = _sliced(memory[self.x.name], self.w, self.n, self.outs)
        digits = unpack_bits(self.at.values.reshape(self.count, self.digits, -1), self.outs).astype(np.int64)
        at = (digits << np.arange(self.digits)[:, None]).sum(axis=1)
        reached = (v[..., None, :] >= at).sum(axis=-2)
        memory[self.y.name] = pack_bits(reached & 1, word_bits)


def _sliced(x: Array, w: Table, n: int, outs: int) -> Array:
    """``v [..., outs]`` of the bit-sliced kernels."""
    ones, weights = unpack_bits(x, n).astype(np.int64), unpack_bits(w.values.reshape(n, -1), outs).astype(np.int64)
    return np.asarray(n - ones.sum(axis=-1, keepdims=True) + 2 * product(ones, weights.T))
