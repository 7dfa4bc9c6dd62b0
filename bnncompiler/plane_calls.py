"""A kernel call on planes: a whole bipolar convolution with its thresholds, in which pixels are the lanes of counters.

As weights are the same for all pixels, it is known beforehand which taps are added to an output's counter: the table
`taps` lists where their planes begin, which takes 16 bits for each of them. The inputs that are 1 in all planes
together are counted once for all outputs; so it is enough to list the taps whose weights are 1, or those whose weights
are 0, and three outputs share the lists of those that all have, or two of them. On random weights that is seven adders
for 24 taps of an output, where one of them alone would take twelve. (`backends/kernels/bnn_convolve_planes.c` has the
layout in full.)
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bnncompiler.costs import Span, Work
from bnncompiler.dense_calls import product
from bnncompiler.ir import Array
from bnncompiler.packing import pack_bits, unpack_bits
from bnncompiler.program import Buffer, Call, Memory, Table
from bnncompiler.sliced_calls import DIGITS, sliced_digits
from bnncompiler.window import Window

GROUP = 3  # outputs that share lists
SHARED = (7, 3, 5, 6, 1, 2, 4)  # their lists: bit i is 1 where output i of the group adds what is listed
EIGHT = 8  # planes of a list are added so many at a time: lists are as long as a multiple of it
CLASSES = 9  # of pixels, at most: a threshold's digit is chosen from 2^classes
REACH = 128  # columns beside a pixel that its window may see: bits of BNN_MARGIN, less a word of 64 and the next one
FURTHEST = 2**16 - 1  # byte at which a plane can begin: lists are of 16-bit numbers
UNIT = 64  # BNN_UNIT of the kernel
MARGIN = 32  # BNN_MARGIN
CACHE = 28 * 2**10  # bytes of planes that stay in a first-level cache, beside what else is needed
UNCACHED = 1.5  # how much more a block of lanes costs where they do not
LANES = (256, 512)  # lanes that are computed at a time, for which bands are made


def plane_digits(n: int) -> int:
    """How many digits the counters have: those that hold ``v``, and those that lists are added to in any case."""
    return max(6, sliced_digits(n))


@dataclass(frozen=True)
class Planes:
    """How the planes of a band of rows lie: one for each channel and each column of the window, and one of zeros.

    Attributes:
        kernel: the window's height and width.
        dilation: between rows of the window.
        channels: of the map.
        pitch: bytes of a row.
        band: rows of pixels that are computed from the planes.
    """

    kernel: tuple[int, int]
    dilation: int
    channels: int
    pitch: int
    band: int

    @property
    def bytes(self) -> int:
        """Bytes of a plane."""
        return (self.band + (self.kernel[0] - 1) * self.dilation) * self.pitch

    @property
    def zeros(self) -> int:
        """Where the plane of zeros begins."""
        return self.kernel[1] * self.channels * self.bytes

    def begins(self) -> Array:
        """Where what pixels see of each tap begins, ``[kernel height, kernel width, channels]``."""
        i, j, c = np.indices((*self.kernel, self.channels))
        return np.asarray((c * self.kernel[1] + j) * self.bytes + i * self.dilation * self.pitch)

    def blocks(self, rows: int, lanes: int) -> int:
        """How often ``lanes`` lanes are computed for ``rows`` rows of pixels."""
        whole, rest = divmod(rows, self.band)
        return whole * -(-8 * self.band * self.pitch // lanes) + -(-8 * rest * self.pitch // lanes)

    def scratch_bytes(self, word_bits: int, digits: int, borders: int, classes: int) -> int:
        """How much working memory the kernel takes (``bnn_lay_out``)."""
        apart = _units(self.bytes + MARGIN)
        arrays = word_bits + digits + self.kernel[1] + borders
        return _units(self.zeros + self.bytes) + arrays * apart + classes * self.pitch + (1 << borders) * UNIT

    @classmethod
    def of(cls, span: Span, rows: int) -> Planes | None:
        """Those with the band that costs the least; None where one row is too much.

        A band should leave few lanes empty in its last block, and its planes should stay in a cache.
        """
        window, pitch = span.window, -(-max(span.width, span.columns) // 8)
        sizes = (cls(window.kernel, window.dilation[0], span.channels, pitch, band) for band in range(1, rows + 1))
        fitting = [p for p in sizes if p.zeros <= FURTHEST]

        def cost(p: Planes) -> tuple[float, int]:
            blocks = sum(lanes * p.blocks(rows, lanes) for lanes in LANES)
            return blocks * (UNCACHED if p.zeros > CACHE else 1), -p.band

        return min(fitting, key=cost, default=None)


def _units(size: int) -> int:
    """``bnn_units`` of the kernel."""
    return (size // UNIT + 2) * UNIT


@dataclass(frozen=True, eq=False)
class ConvolvePlanes(Call):
    """A bipolar convolution of a whole map, and the OR of pools: bit ``o`` of a pixel is a parity of thresholds.

    It is the parity of how many thresholds of ``o`` are reached by ``v = n - ones + 2 common``, or its opposite: ``n``
    taps, ``ones`` of which are 1, and ``common`` of these are listed for ``o`` in ``taps``. Table ``at`` has which of
    the two it is, and ``count`` thresholds of ``digits`` digits, for each of ``borders`` classes of pixels; they are
    those of `convolution_calls.RowOfPixels`. Taps outside of the map are the bit ``fill``. Pools of ``pool_h`` by
    ``pool_w`` pixels lie side by side. Planes are made for ``band`` rows of pixels at a time.
    """

    x: Buffer
    height: int
    width: int
    channels: int
    kernel_h: int
    kernel_w: int
    dilation_h: int
    dilation_w: int
    before_h: int
    before_w: int
    rows: int
    columns: int
    outs: int
    pool_h: int
    pool_w: int
    row_class: Table | None
    column_class: Table | None
    classes: int
    borders: int
    fill: int
    band: int
    taps: Table
    at: Table
    count: int
    digits: int
    scratch: Buffer
    y: Buffer

    @classmethod
    def accepts(cls, work: Work, word_bits: int) -> bool:
        """Windows that move by a pixel, with few classes of pixels; numbers and planes must not be too large."""
        span = work.span
        if span is None or span.window.stride != (1, 1) or span.classes > CLASSES:
            return False
        reach = (span.window.kernel[1] - 1) * span.window.dilation[1]
        fits = max(reach, span.window.before[1]) <= REACH and plane_digits(work.ins) <= DIGITS
        return fits and Planes.of(span, work.times // span.columns) is not None

    @property
    def planes(self) -> Planes:
        """How planes lie."""
        pitch = -(-max(self.width, self.columns) // 8)
        return Planes((self.kernel_h, self.kernel_w), self.dilation_h, self.channels, pitch, self.band)

    def run(self, memory: Memory, word_bits: int) -> None:
        x = unpack_bits(memory[self.x.name], self.height * self.width * self.channels).astype(np.int64)
        taps = self._taps(x.reshape(1, self.height, self.width, self.channels))
        order, listed, at, otherwise = _decoded(self, word_bits)
        v = taps.shape[-1] - taps.sum(axis=-1, keepdims=True) + 2 * product(taps, listed.astype(np.int64))
        border = self._class_of()
        bits = np.zeros((self.rows, self.columns, self.outs), bool)
        bits[..., order] = (v[..., None] >= at[border]).sum(axis=-1) % 2 != otherwise[border]
        for axis, size in ((0, self.pool_h), (1, self.pool_w)):
            bits = np.logical_or.reduceat(bits, np.arange(0, bits.shape[axis], size), axis=axis)
        memory[self.y.name] = pack_bits(bits.reshape(-1), word_bits)

    def _taps(self, x: Array) -> Array:
        """The taps of each pixel, ``[rows, columns, taps]``."""
        after = [
            n - 1 + dilation * (kernel - 1) + 1 - before - size
            for n, dilation, kernel, before, size in (
                (self.rows, self.dilation_h, self.kernel_h, self.before_h, self.height),
                (self.columns, self.dilation_w, self.kernel_w, self.before_w, self.width),
            )
        ]
        window = Window(
            self.planes.kernel,
            before=(self.before_h, self.before_w),
            after=(after[0], after[1]),
            dilation=(self.dilation_h, self.dilation_w),
        )
        return np.asarray(window.patches(x, self.fill).reshape(self.rows, self.columns, -1))

    def _class_of(self) -> Array:
        """The class of each pixel, ``[rows, columns]``."""
        if self.row_class is None or self.column_class is None:
            return np.zeros((self.rows, self.columns), np.int64)
        down = self.row_class.values[: self.rows].astype(np.int64)[:, None]
        return np.asarray(down * self.classes + self.column_class.values[: self.columns])


@lru_cache(maxsize=16)
def _decoded(call: ConvolvePlanes, word_bits: int) -> tuple[Array, Array, Array, Array]:
    """What the tables say: the order of outputs; and in this order, listed taps, thresholds, and whether not reaching.

    Returns:
        ``[outs]``, ``[outs, taps]``, ``[borders, outs, count]``, ``[borders, outs]``
    """
    groups = list(_groups(call, word_bits))
    order = np.concatenate([outs for outs, _ in groups])
    there = order < call.outs
    listed = np.concatenate([lists for _, lists in groups])[there]
    codes = call.at.values.astype(np.int64).reshape(-1, 1 + call.count * call.digits)[there]
    bits = (codes >> np.arange(call.borders)[:, None, None]) & 1
    digits = bits[..., 1:].reshape(call.borders, len(listed), call.count, call.digits)
    return order[there], listed, (digits << np.arange(call.digits)).sum(axis=-1), bits[..., 0]


def _groups(call: ConvolvePlanes, word_bits: int) -> Iterator[tuple[Array, Array]]:
    """The numbers of grouped outputs (``outs`` where one is missing), and their listed taps ``[GROUP, taps]``."""
    table, begins = call.taps.values.astype(np.int64), call.planes.begins().reshape(-1)
    at = 1 + EIGHT * int(table[0])
    for word in range(0, call.outs, word_bits):
        for _ in range(0, min(word_bits, call.outs - word), GROUP):
            outs, eights = np.split(table[at : at + GROUP + len(SHARED)], [GROUP])
            at += GROUP + len(SHARED)
            ends = at + EIGHT * np.cumsum(eights)
            listed = np.array([np.isin(begins, part) for part in np.split(table[at : ends[-1]], ends[:-1] - at)])
            at = int(ends[-1])
            adds = [listed[[who >> i & 1 == 1 for who in SHARED]].any(axis=0) for i in range(GROUP)]
            yield np.where(outs < word_bits, word + outs, call.outs), np.array(adds)
