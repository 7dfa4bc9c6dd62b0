"""Calls that convolve a row: all output pixels of one row of a bipolar convolution, with their thresholds, or as sums.

A loop that gathers a patch for each pixel and multiplies it serves every convolution. A kernel that sees the whole row
does less: what it finds out about a pixel of the input serves all windows over it, and weights that it has loaded serve
several pixels. How weights and thresholds are stored is the kernel's own affair, a subclass of `ConvolveRow` or
`SumRow`; what is computed is the same.

In a `map_calls.PixelLoop` such a call is the only one of its row: the loop has one column.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from bnncompiler.costs import Work
from bnncompiler.dense_calls import product
from bnncompiler.ir import Array
from bnncompiler.limb_calls import DenseLimbs, DenseWideTiled
from bnncompiler.map_calls import Dropped, Index, PixelLoop, PutBits, PutIntegers, PutPooled
from bnncompiler.packing import pack_bits, unpack_bits
from bnncompiler.program import Buffer, Call, Memory, Table
from bnncompiler.window_calls import GatherBits, GatherIntegers, GatherRow, taps_at


@dataclass(frozen=True, eq=False)
class RowOfPixels(Call, ABC):
    """One row of output pixels of a bipolar convolution.

    ``x`` is a packed map ``[height, width, channels]``; taps outside of it are -1, unless ``fill`` is 1. Pixels over
    which the window reaches out of the map in the same way are one class, ``row_class[row] * classes +
    column_class[column]``; class 0 is the inside. Without class tables all pixels are class 0.
    """

    x: Buffer
    height: int
    width: int
    channels: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    before_h: int | Dropped
    before_w: int
    row: int | Index
    columns: int
    outs: int
    row_class: Table | None
    column_class: Table | None
    classes: int

    fills: ClassVar[bool] = False  # whether taps outside of the map can be +1

    @classmethod
    @abstractmethod
    def accepts(cls, work: Work, word_bits: int) -> bool:
        """Whether the kernel can compute ``work``, whose ``span`` is given."""

    @property
    def taps(self) -> int:
        """How many inputs an output has."""
        return self.kernel_h * self.kernel_w * self.channels

    @property
    def padded(self) -> int:
        """The bit that stands for taps outside of the map."""
        return 0

    @abstractmethod
    def weights(self) -> Array:
        """The weights as bits ``[outs, taps]``."""

    def sums(self, memory: Memory) -> tuple[Array, Array]:
        """The sums ``[..., columns, outs]`` of the row's pixels, and the pixels' classes ``[..., columns]``."""
        x = unpack_bits(memory[self.x.name], self.height * self.width * self.channels).astype(np.int64)
        rows, columns = np.broadcast_arrays(np.asarray(self.row)[..., None], np.arange(self.columns))
        patches = taps_at(self, x.reshape(self.height, self.width, self.channels), rows, columns, self.padded)
        sums = product(2 * patches - 1, 2 * self.weights().astype(np.int64) - 1)
        return sums, self._class_of(rows, columns)

    def _class_of(self, row: Array, column: Array) -> Array:
        if self.row_class is None or self.column_class is None:
            return np.zeros(row.shape, np.int64)
        classes = self.row_class.values[row].astype(np.int64) * self.classes + self.column_class.values[column]
        return np.asarray(classes)


@dataclass(frozen=True, eq=False)
class ConvolveRow(RowOfPixels):
    """One row of a bipolar convolution: bit ``o`` of a pixel is the parity of the thresholds that sum ``o`` reaches.

    Each class of pixels has thresholds of its own. ``y`` holds the bits ``[columns, outs]`` without gaps, and zeros
    behind them.
    """

    @abstractmethod
    def thresholds(self) -> Array:
        """The thresholds on the sums, ``[classes of pixels, outs, count]``."""

    def run(self, memory: Memory, word_bits: int) -> None:
        sums, class_of = self.sums(memory)
        reached = (sums[..., None] >= self.thresholds()[class_of]).sum(axis=-1)
        bits = (reached & 1).reshape(*reached.shape[:-2], -1)
        memory[self.buffers["y"].name] = pack_bits(bits, word_bits)


@dataclass(frozen=True, eq=False)
class SumRow(RowOfPixels):
    """One row of a bipolar convolution: the sums ``[columns, outs]``, to each of which its class of pixels adds."""

    @abstractmethod
    def added(self) -> Array:
        """What is added for padding, ``[classes of pixels, outs]``."""

    def run(self, memory: Memory, word_bits: int) -> None:
        sums, class_of = self.sums(memory)
        total = sums + self.added()[class_of]
        memory[self.buffers["y"].name] = total.reshape(*total.shape[:-2], -1).astype(np.int32)


@dataclass(frozen=True, eq=False)
class PoolRow(Call):
    """The OR of each ``pool_w`` neighbouring pixels of a row of ``columns`` pixels of ``n`` bits.

    The last pool has the pixels that are left.
    """

    x: Buffer
    columns: int
    n: int
    pool_w: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        bits = unpack_bits(memory[self.x.name], self.columns * self.n)
        bits = bits.reshape(*bits.shape[:-1], self.columns, self.n)
        first = np.arange(0, self.columns, self.pool_w)
        pooled = np.logical_or.reduceat(bits, first, axis=-2)
        memory[self.y.name] = pack_bits(pooled.reshape(*pooled.shape[:-2], -1), word_bits)


Windowed = GatherBits | GatherIntegers | GatherRow | RowOfPixels  # calls that read a map through windows
OfRow = GatherRow | RowOfPixels  # those that do so for a row of pixels at once


def written_shape(loop: PixelLoop) -> tuple[int, int, int]:
    """Height, width and channels of the map that a loop over pixels, or over rows at once, writes."""
    put = loop.inner[-1]
    assert isinstance(put, PutBits | PutIntegers | PutPooled), f"{loop.layer}: a loop over pixels ends with putting one"
    height = -(-loop.rows // put.pool_h) if isinstance(put, PutPooled) else loop.rows
    channels = next((c.outs for c in loop.inner if isinstance(c, RowOfPixels | DenseLimbs | DenseWideTiled)), put.n)
    return height, put.columns * put.n // channels, channels
