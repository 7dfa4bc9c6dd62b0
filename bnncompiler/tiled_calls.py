"""Kernel calls on tiles: dense layers whose weights lie side by side for a few outputs.

A word of inputs meets the words of `TILE` outputs at once, which a vector instruction does as fast as one
(`backends/kernels/bnn_tile.h`).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler.calls import reached
from bnncompiler.dense_calls import xnor
from bnncompiler.ir import Array
from bnncompiler.packing import pack_bits, words
from bnncompiler.program import Buffer, Call, Memory, Table, Typed, values_of

TILE = 4  # BNN_TILE of bnn_tile.h


@dataclass(frozen=True, eq=False)
class DenseTiled(Call):
    """Bipolar by bipolar dense layer on tiles: ``y[o] = n - 2 popcount(x ^ w[o])``.

    Word ``i`` of output ``o`` is word ``(o / TILE * words + i) * TILE + o % TILE`` of ``w``; outputs that are not there
    have no ones.
    """

    x: Buffer
    w: Table
    n: int
    outs: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        memory[self.y.name] = _sums(self, memory, word_bits).astype(np.int32)


@dataclass(frozen=True, eq=False)
class DenseTiledThreshold(Call):
    """Bit ``o`` of ``y`` is the parity of how many of ``at[o]`` the sum of a `DenseTiled` reaches."""

    x: Buffer
    w: Table
    at: Typed
    count: int
    n: int
    outs: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        count = reached(_sums(self, memory, word_bits), values_of(self.at, memory), self.outs)
        memory[self.y.name] = pack_bits(count & 1, word_bits)


def tiles(rows: Array) -> Array:
    """Rows of words ``[outs, words]`` as tiles ``[tiles, words, TILE]``; the last tile is filled up with zeros."""
    padded = np.zeros((-(-len(rows) // TILE) * TILE, rows.shape[1]), rows.dtype)
    padded[: len(rows)] = rows
    return np.ascontiguousarray(padded.reshape(-1, TILE, rows.shape[1]).swapaxes(1, 2))


def _sums(call: DenseTiled | DenseTiledThreshold, memory: Memory, word_bits: int) -> Array:
    rows = call.w.values.reshape(-1, words(call.n, word_bits), TILE).swapaxes(1, 2)
    return xnor(memory[call.x.name], rows.reshape(-1, words(call.n, word_bits))[: call.outs], call.n)
