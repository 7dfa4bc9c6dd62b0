"""Kernel calls on bit-sliced counters: layers whose outputs are the lanes of words.

Weights are stored by input. Only inputs that are 1 are looked at, each by adding a row of bits to counters that have a
binary digit in each word (`backends/kernels/bnn_sliced.h`), so that there is no popcount, and outputs come out packed.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler.convolution_calls import ConvolveRow
from bnncompiler.costs import Work
from bnncompiler.dense_calls import product
from bnncompiler.ir import Array
from bnncompiler.map_calls import Index
from bnncompiler.packing import pack_bits, unpack_bits, unpack_planes, words
from bnncompiler.program import Buffer, Call, Memory, Table, Typed, values_of
from bnncompiler.window import Window

DIGITS = 20  # of a bit-sliced counter: BNN_DIGITS of bnn_sliced.h
PLANES = 8  # bit planes that are added to one counter
TILE = 4  # pixels that bnn_convolve_row_sliced.c computes at a time on 64-bit machines: BNN_TILE


def sliced_digits(n: int) -> int:
    """How many digits hold ``v`` (0 to ``2 n``, see `DenseSliced`) and one number above, for a threshold out of reach.

    There are at least 4, since eight inputs are added at a time.
    """
    return max(4, (2 * n + 1).bit_length())


@dataclass(frozen=True, eq=False)
class DenseSliced(Call):
    """Bipolar by bipolar dense layer, bit-sliced: ``y[o] = 2 v - offset[o]``, ``v = n - ones(x) + 2 popcount(x & w)``.

    Row ``i`` of ``w`` has the bits of all outputs for input ``i``, row ``n`` is 0, and ``offset[o]`` is
    ``n + 2 popcount(w[:, o])``. Counters have ``digits`` binary digits (`sliced_digits`). Here and below,
    ``scratch`` is for ports whose kernels want working memory in the arena (`bnncompiler.costs.Cost`).
    """

    x: Buffer
    w: Table
    offset: Typed
    digits: int
    n: int
    outs: int
    scratch: Buffer | None
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
    scratch: Buffer | None
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        v = _sliced(memory[self.x.name], self.w, self.n, self.outs)
        (at,) = _numbers(self.at, self.count, self.digits, self.outs)
        reached = (v[..., None, :] >= at).sum(axis=-2)
        memory[self.y.name] = pack_bits(reached & 1, word_bits)


@dataclass(frozen=True, eq=False)
class DenseSlicedBorder(Call):
    """`DenseSlicedThreshold` at pixel ``(row, column)``, with thresholds of its own for each class of pixels.

    Pixels over which the window reaches out of the map in the same way are one class, as in `map_calls.AddBorder`:
    ``row_class[row] * classes + column_class[column]``. What padded taps would have added is in their thresholds.
    """

    x: Buffer
    w: Table
    at: Table
    count: int
    digits: int
    n: int
    outs: int
    row_class: Table
    column_class: Table
    classes: int
    row: int | Index
    column: int | Index
    scratch: Buffer | None
    y: Buffer

    def kernels(self) -> list[str]:
        """The kernel and the one that it calls."""
        return [DenseSlicedThreshold.kernel(), self.kernel()]

    def run(self, memory: Memory, word_bits: int) -> None:
        v = _sliced(memory[self.x.name], self.w, self.n, self.outs)
        at = _numbers(self.at, self.count, self.digits, self.outs)
        row, column = np.asarray(self.row), np.asarray(self.column)
        border = self.row_class.values[row].astype(np.int64) * self.classes + self.column_class.values[column]
        memory[self.y.name] = pack_bits((v[..., None, :] >= at[border]).sum(axis=-2) & 1, word_bits)


@dataclass(frozen=True, eq=False)
class ConvolveRowSliced(ConvolveRow):
    """One row of a bipolar convolution, bit-sliced: bit ``o`` of a pixel is the parity of the thresholds ``v`` reaches.

    ``v`` is that of `DenseSliced`. The inputs that are 1 under a column of the window are listed once, for all windows
    that have the column. Weights are stored by column: for each column of the window a row of bits for each of its
    ``kernel_h * channels`` inputs, and a row of zeros. Class after class of pixels, ``at`` is that of
    `DenseSlicedThreshold`. ``scratch`` has the lists, and what kernels add up from them.
    """

    w: Table
    at: Table
    count: int
    digits: int
    scratch: Buffer
    y: Buffer

    @classmethod
    def accepts(cls, work: Work, word_bits: int) -> bool:
        """Columns of a window must be neighbours, and counters and entries of lists hold the inputs."""
        span = work.span
        return (
            span is not None
            and span.window.dilation[1] == 1
            and sliced_digits(work.ins) <= DIGITS
            and work.ins // span.window.kernel[1] < 2**16
        )

    @classmethod
    def scratch_bytes(cls, ins: int, window: Window, word_bits: int) -> int:
        """How large ``scratch`` is, for ``ins`` inputs of an output.

        On 64-bit machines it has lists for the columns under `TILE` windows, with room for 64 more numbers
        (``BNN_LIST_SLACK``); what the kernels for Cortex-M need is enough for a window's.
        """
        (_, kernel_w), (_, stride_w) = window.kernel, window.stride
        by_column = ins // kernel_w
        if word_bits == 64:
            return 4 * (kernel_w + (TILE - 1) * stride_w) * (by_column // 2 + 33)
        return cls.windows_bytes(by_column, kernel_w, sliced_digits(ins))

    @staticmethod
    def windows_bytes(ins: int, kernel_w: int, digits: int) -> int:
        """``arm_bnn_windows_size``, for a window of ``kernel_w`` columns of ``ins`` inputs each.

        For each column a list of 16-bit numbers, room for 32 more of them, and a carry of 32 bits for every 8; words of
        32 bits for each of the counters' digits.
        """
        lists = 2 * kernel_w * (ins // 2 * 2 + 10 + 32) + 64
        return lists + 4 * (kernel_w * 4 * (ins // 32 + 1) + 12) + 32 * max(digits, 8)

    @property
    def by_column(self) -> int:
        """How many inputs there are under a column of the window."""
        return self.kernel_h * self.channels

    def weights(self) -> Array:
        by_column = self.w.values.reshape(self.kernel_w, self.by_column + 1, -1)[:, :-1]
        shape = self.kernel_w, self.kernel_h, self.channels, self.outs
        return unpack_bits(by_column, self.outs).reshape(shape).transpose(3, 1, 0, 2).reshape(self.outs, -1)

    def thresholds(self) -> Array:
        """``v >= at`` as ``sum >= 2 at - taps - 2 ones of the weights``."""
        on_v = _numbers(self.at, self.count, self.digits, self.outs).swapaxes(1, 2)
        ones = self.weights().astype(np.int64).sum(axis=1)
        return np.asarray(2 * on_v - self.taps - 2 * ones[:, None])


def planes_digits(n: int, planes: int) -> int:
    """How many digits hold the sum of ``n`` codes of ``planes`` bits; eight inputs are added at a time to each."""
    return max(4 + planes, int(n * (2**planes - 1)).bit_length())


@dataclass(frozen=True, eq=False)
class DenseSlicedPlanes(Call):
    """Dense layer of unsigned bit planes by bipolar weights, bit-sliced: ``y[o] = sum_i code[i] * (2 w[i][o] - 1)``.

    ``w`` is that of `DenseSliced`. The ones of plane ``p`` are added to counters of ``digits`` digits
    (`planes_digits`) from digit ``p`` on.
    """

    x: Buffer
    planes: int
    w: Table
    digits: int
    n: int
    outs: int
    scratch: Buffer | None
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        codes = unpack_planes(memory[self.x.name], self.planes, self.n, signed=False)
        signs = 2 * unpack_bits(self.w.values.reshape(self.n + 1, -1)[: self.n], self.outs).astype(np.int64) - 1
        memory[self.y.name] = product(codes, signs.T).astype(np.int32)


def _numbers(at: Table, count: int, digits: int, outs: int) -> Array:
    """Bit-sliced thresholds as numbers: ``[classes, count, outs]``."""
    lanes = 8 * at.values.dtype.itemsize
    packed = at.values.reshape(-1, count, digits, words(outs, lanes))
    return np.asarray((unpack_bits(packed, outs).astype(np.int64) << np.arange(digits)[:, None]).sum(axis=2))


def _sliced(x: Array, w: Table, n: int, outs: int) -> Array:
    """``v [..., outs]`` of the bit-sliced kernels."""
    rows = w.values.reshape(n + 1, -1)[:n]
    ones, weights = unpack_bits(x, n).astype(np.int64), unpack_bits(rows, outs).astype(np.int64)
    return np.asarray(n - ones.sum(axis=-1, keepdims=True) + 2 * product(ones, weights.T))
