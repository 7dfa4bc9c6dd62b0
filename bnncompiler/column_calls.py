"""A kernel call on columns: a bipolar convolution's row, whose window slides over what lies under the row.

Under a row of output pixels lie ``kernel_h`` rows of the map. Column by column, each as many words as hold its bits,
they become one line in which the taps of a pixel are neighbours, and those of the next pixel lie ``stride_w`` columns
further on. Whatever the window's shape, a pixel is then a stretch of the line, and nothing is gathered twice.

Two outputs share what is read: where ``x ^ w[o]`` is known, ``x ^ w[o + 1]`` takes one operation more, an exclusive or
with ``w[o] ^ w[o + 1]``. So that is what is stored of every other output.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler.convolution_calls import ConvolveRow
from bnncompiler.costs import Span, Work
from bnncompiler.ir import Array
from bnncompiler.packing import pack_bits, unpack_bits, words
from bnncompiler.program import Buffer, Table, Typed

SUMS = 40  # bits of working memory for each pixel of a row: two sums of 16, and eight outputs


@dataclass(frozen=True, eq=False)
class ConvolveColumns(ConvolveRow):
    """One row of a bipolar convolution: bit ``o`` of a pixel is 1 where fewer than ``limit`` taps differ from ``w[o]``.

    A sum of ``n`` taps, ``d`` of which differ, is ``n - 2 d``: it reaches a threshold ``t`` where ``d`` is less than
    ``floor((n - t) / 2) + 1``.

    ``w`` has the words ``[outputs / 2, kernel_w, words of a column, 2]`` (`column_weights`), ``limit`` numbers
    ``[row classes, outputs / 2, column classes, 2]`` (`limits`); an odd number of outputs has one more that is 0. The
    bits of a column are those of its ``kernel_h * channels`` taps.
    """

    w: Table
    limit: Typed
    scratch: Buffer
    y: Buffer

    @classmethod
    def accepts(cls, work: Work, word_bits: int) -> bool:
        """Where columns are neighbours, and each output has one threshold."""
        return work.thresholds == 1 and work.span is not None and work.span.window.dilation[1] == 1

    @classmethod
    def scratch_words(cls, span: Span, word_bits: int) -> int:
        """How many words of working memory a row takes: the line, and sums of pixels (`SUMS`)."""
        columns = (span.columns - 1) * span.window.stride[1] + span.window.kernel[1]
        return columns * _words(span.window.kernel[0], span.channels, word_bits) + span.columns * words(SUMS, word_bits)

    def weights(self) -> Array:
        """The weights as bits ``[outs, taps]``."""
        column = self.kernel_h * self.channels
        pairs = self.w.values.reshape(-(-self.outs // 2), self.kernel_w, -1, 2)
        rows = np.stack([pairs[..., 0], pairs[..., 0] ^ pairs[..., 1]], axis=1)
        bits = unpack_bits(rows.reshape(-1, self.kernel_w, pairs.shape[2]), column)[: self.outs]
        taps = bits.reshape(self.outs, self.kernel_w, self.kernel_h, self.channels).swapaxes(1, 2)
        return np.asarray(taps.reshape(self.outs, self.taps))

    def thresholds(self) -> Array:
        """The thresholds on the sums, ``[classes of pixels, outs, 1]``."""
        assert isinstance(self.limit.data, Table)
        limit = self.limit.data.values.astype(np.int64).reshape(-1, -(-self.outs // 2), self.classes, 2)
        by_class = limit.swapaxes(1, 2).reshape(-1, 2 * limit.shape[1], 1)[:, : self.outs]
        return np.asarray(self.taps - 2 * (by_class - 1))


def _words(kernel_h: int, channels: int, word_bits: int) -> int:
    return words(kernel_h * channels, word_bits)


def column_weights(bits: Array, word_bits: int) -> Array:
    """The weights ``bits [outs, kernel_h, kernel_w, channels]`` as `ConvolveColumns` has them."""
    outs, _, kernel_w, _ = bits.shape
    padded = np.pad(bits, ((0, outs % 2), (0, 0), (0, 0), (0, 0)))
    packed = pack_bits(padded.swapaxes(1, 2).reshape(len(padded), kernel_w, -1), word_bits)
    pairs = packed.reshape(-1, 2, *packed.shape[1:])
    return np.stack([pairs[:, 0], pairs[:, 0] ^ pairs[:, 1]], axis=-1)


def limits(at: Array, taps: int, classes: int) -> Array:
    """Thresholds ``at [classes of pixels, outs]`` on sums as the limits that `ConvolveColumns` has."""
    outs = at.shape[1]
    limit = np.clip((taps - at) // 2 + 1, 0, taps + 1)
    padded = np.pad(limit, ((0, 0), (0, outs % 2)))
    return np.asarray(padded.reshape(-1, classes, padded.shape[1] // 2, 2).swapaxes(1, 2))
