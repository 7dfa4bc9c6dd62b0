"""Kernel calls that convolve a row four inputs and two pixels at a time (`backends/kernels/bnn_nibbles.h`).

The four weights of an output and the four inputs under them choose an entry of a small table, which with vector
instructions is 32 outputs at once. Weights are in tiles of `OUTS` outputs for this: a tile has, for each group of four
inputs, a byte for each output, whose low half is its weights. Groups do not go beyond a tap.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bnncompiler.convolution_calls import ConvolveRow, RowOfPixels, SumRow
from bnncompiler.costs import Work
from bnncompiler.ir import Array
from bnncompiler.packing import pack_bits, unpack_bits
from bnncompiler.program import Buffer, Table, Typed, values_of

OUTS = 32  # outputs of a tile: BNN_NIBBLE_OUTS of bnn_nibbles.h
STRIDE = 64  # sums that are held of a pixel: BNN_NIBBLE_STRIDE
SLACK = 16  # codes that may be written behind the last one: BNN_NIBBLE_SLACK
LARGEST = 2**15 - 2  # inputs of an output: sums of differing bits, and a number above, are in 16 bits with a sign


def groups(taps: int, channels: int) -> int:
    """How many groups of four inputs ``taps`` pixels of ``channels`` have."""
    return taps * -(-channels // 4)


def scratch_count(columns: int, taps: int, channels: int) -> int:
    """How many integers the kernels need to work: codes of the pixels of a row, and their sums."""
    pairs = -(-columns // 2)
    return pairs * groups(taps, channels) + SLACK + 2 * pairs * STRIDE


def tiled_weights(bits: Array, channels: int, word_bits: int) -> Array:
    """Weights ``[outs, taps * channels]`` as words: ``[tiles, groups, OUTS]`` bytes; absent outputs have zeros."""
    by_tap = bits.reshape(len(bits), -1, channels)
    padded = np.pad(by_tap, ((0, -len(bits) % OUTS), (0, 0), (0, -channels % 4))).astype(bool)
    halves = padded.reshape(-1, OUTS, padded.shape[1] * padded.shape[2] // 4, 4).swapaxes(1, 2)
    return pack_bits(np.pad(halves, ((0, 0), (0, 0), (0, 0), (0, 4))).reshape(-1), word_bits)


@lru_cache(maxsize=64)
def _weights(w: Table, outs: int, taps: int, channels: int) -> Array:
    """The weights ``[outs, taps * channels]`` again: the inverse of `tiled_weights`."""
    count = groups(taps, channels)
    tiles = -(-outs // OUTS)
    halves = unpack_bits(w.values, tiles * count * OUTS * 8).reshape(tiles, count, OUTS, 8)[..., :4]
    by_tap = halves.swapaxes(1, 2).reshape(tiles * OUTS, taps, -1)
    return np.asarray(by_tap[:outs, :, :channels].reshape(outs, -1))


def limits(at: Array, n: int) -> Array:
    """Thresholds ``[classes, outs, count]`` on sums over ``n`` inputs as limits ``[classes, count, outs, padded]``.

    ``n - 2 differing >= at`` is ``differing < (n - at) // 2 + 1``. Outputs are padded to whole pairs of tiles with
    limits that no number is below.
    """
    below = np.clip((n - at) // 2 + 1, 0, n + 1)
    return np.pad(below.swapaxes(1, 2), ((0, 0), (0, 0), (0, -at.shape[1] % STRIDE)))


class _Nibbles(RowOfPixels):
    """What the kernels of this module have in common: how their fields ``fill`` and ``w`` are to be read."""

    fill: int
    w: Table
    fills = True

    @classmethod
    def accepts(cls, work: Work, word_bits: int) -> bool:
        """Any window, as long as sums fit."""
        return work.ins <= LARGEST

    @property
    def padded(self) -> int:
        """The bit that stands for taps outside of the map."""
        return self.fill

    def weights(self) -> Array:
        """The weights as bits ``[outs, taps]``."""
        return _weights(self.w, self.outs, self.kernel_h * self.kernel_w, self.channels)


@dataclass(frozen=True, eq=False)
class ConvolveNibbles(ConvolveRow, _Nibbles):
    """One row of a bipolar convolution with its thresholds, looked up: bit ``o`` of a pixel is a parity.

    Taps outside of the map are the bit ``fill``. ``w`` is that of `tiled_weights`, ``at`` that of `limits`, with
    ``count`` limits for each output: the parity of how many of them are above the number of bits that differ.
    """

    fill: int
    w: Table
    at: Table
    count: int
    scratch: Buffer
    y: Buffer

    def thresholds(self) -> Array:
        """The thresholds on the sums, ``[classes of pixels, outs, count]``: ``differing < limit``, in sums."""
        below = self.at.values.astype(np.int64).reshape(-1, self.count, self.outs + -self.outs % STRIDE)
        return self.taps - 2 * (below[:, :, : self.outs].swapaxes(1, 2) - 1)


@dataclass(frozen=True, eq=False)
class SumNibbles(SumRow, _Nibbles):
    """One row of a bipolar convolution, looked up: ``y[column][o] = sum + border[class][o]``.

    Taps outside of the map are the bit ``fill``. ``w`` is that of `tiled_weights`; ``border`` has ``[classes - 1,
    outs]`` integers, as nothing is added to pixels of class 0.
    """

    fill: int
    w: Table
    border: Typed
    scratch: Buffer
    y: Buffer

    def added(self) -> Array:
        """What is added for padding, ``[classes of pixels, outs]``."""
        if self.row_class is None:
            return np.zeros((1, self.outs), np.int64)
        return np.pad(values_of(self.border, {}).reshape(-1, self.outs), ((1, 0), (0, 0)))
