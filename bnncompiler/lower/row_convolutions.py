"""Convolutions row by row: the kernels that see a whole row of pixels, and which one a target takes.

A bipolar convolution can be computed a row at a time: its bits, where they come from thresholds
(`convolution_calls.ConvolveRow`), or its sums (`convolution_calls.SumRow`). Each such kernel has a builder at the end
of this module, which makes its tables. The cost model chooses between them and the kernels that
`bnncompiler.lower.convolutions` calls for each pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from bnncompiler import column_calls, dense_calls, nibble_calls, window_calls
from bnncompiler.column_calls import ConvolveColumns
from bnncompiler.convolution_calls import ConvolveRow, RowOfPixels, SumRow
from bnncompiler.ir import Array
from bnncompiler.lower import results, sliced
from bnncompiler.lower.results import Portion
from bnncompiler.lower.sliced import Border
from bnncompiler.lower.storage import SIGNED, Lowering, smallest_ctype
from bnncompiler.lower.windows import Convolution
from bnncompiler.map_calls import Index
from bnncompiler.nibble_calls import STRIDE, ConvolveNibbles, SumNibbles
from bnncompiler.packing import words
from bnncompiler.plane_calls import ConvolvePlanes
from bnncompiler.program import Buffer, Call, Table, Typed
from bnncompiler.sliced_calls import (
    ConvolveRowSliced,
    DenseSliced,
    DenseSlicedBorder,
    DenseSlicedThreshold,
    sliced_digits,
)
from bnncompiler.tiled_calls import DenseTiled, DenseTiledThreshold


def choose(low: Lowering, conv: Convolution) -> type[Call]:
    """The kernel that the target takes for a binary convolution: for all of it, for rows, or for the patch of a pixel.

    `dense_calls.DenseXnor` stands for sums that are compared afterwards.
    """
    by_pixel: list[type[Call]] = [dense_calls.DenseThreshold, DenseTiledThreshold, DenseSlicedThreshold]
    if conv.border is not None:
        by_pixel = [dense_calls.DenseXnor, DenseSlicedBorder]
    fitting = by_pixel if sliced.fits(conv.rows) else by_pixel[:-1]
    whole = [ConvolvePlanes] if ConvolvePlanes.accepts(conv.work, low.word_bits) else []
    return low.choose(conv.node, (*fitting, *_accepting(low, conv, BUILDERS), *whole), conv.work)


def choose_sums(low: Lowering, conv: Convolution) -> type[Call]:
    """The kernel for a convolution's sums: one for rows, or `dense_calls.DenseXnor` for any that works by pixel."""
    if not conv.is_bipolar:
        return dense_calls.DenseXnor
    by_pixel = (dense_calls.DenseXnor, DenseTiled, *([DenseSliced] if sliced.fits(conv.rows) else []))
    chosen = low.choose(conv.node, (*by_pixel, *_accepting(low, conv, SUM_BUILDERS)), conv.work)
    return chosen if issubclass(chosen, SumRow) else dense_calls.DenseXnor


def _accepting(low: Lowering, conv: Convolution, kernels: Iterable[type[RowOfPixels]]) -> list[type[Call]]:
    """Those of ``kernels`` that can compute ``conv``."""
    padding = [k for k in kernels if k.fills or conv.fill == 0]
    return [k for k in padding if k.accepts(conv.work, low.word_bits)]


def loop(low: Lowering, kernel: type[ConvolveRow], conv: Convolution, y: Buffer) -> None:
    """Append the convolution as a loop over rows around ``kernel``, pooled where it is to be, into ``y``."""
    line = low.packed(low.derived(conv.node, "line"), conv.size[1] * conv.outs)
    with low.collecting() as body:
        scratch = [line, *BUILDERS[kernel](low, conv, line)]
        scratch += results.put_bits(low, conv, line, Portion.row(conv), y)
    results.row_loop(low, conv, body, scratch, y)


def window(conv: Convolution) -> tuple[object, ...]:
    """The arguments that all kernels for rows begin with, up to the classes of pixels."""
    return (conv.x.buffer, *conv.shape, *window_calls.geometry(conv.window), Index.ROW, conv.size[1], conv.outs)


def geometry(low: Lowering, conv: Convolution) -> tuple[object, ...]:
    """The arguments that all kernels for rows begin with."""
    if conv.border is not None:
        return (*window(conv), *conv.border.tables(low, conv.node), conv.border.columns)
    return (*window(conv), None, None, 1)


def _columns(low: Lowering, conv: Convolution, line: Buffer) -> list[Buffer]:
    """The kernel that slides windows over the columns under a row; its classes of columns are those that a row has."""
    at, span = conv.thresholds[:, :, 0], conv.work.span
    assert span is not None
    tables: tuple[Table | None, Table | None] = (None, None)
    count = 1
    if conv.border is not None:
        first, across = _in_order(conv.border.column_class[: conv.size[1]])
        at = at.reshape(-1, conv.border.columns, conv.outs)[:, first].reshape(-1, conv.outs)
        tables = Border(conv.border.row_class, across, conv.border.values).tables(low, conv.node)
        count = len(first)
    bits = conv.rows.weight.reshape(conv.outs, *conv.window.kernel, span.channels) > 0
    packed = column_calls.column_weights(bits, low.word_bits)
    w = low.table(conv.node, "weights", packed, "bnn_word", 2 * packed.shape[1] * packed.shape[2])
    ctype = "uint8_t" if conv.rows.ins < 255 else "int16_t"
    limit = low.table(conv.owner, "limit", column_calls.limits(at, conv.rows.ins, count), ctype, 2)
    scratch = Buffer(low.derived(conv.node, "columns"), "bnn_word", ConvolveColumns.scratch_words(span, low.word_bits))
    low.call(ConvolveColumns, conv.owner, 0, *window(conv), *tables, count, w, Typed(limit), scratch, line)
    return [scratch]


def _in_order(classes: Array) -> tuple[Array, Array]:
    """The classes in the order in which they come, and for each column where its class is in that order."""
    _, start = np.unique(classes, return_index=True)
    first = classes[np.sort(start)]
    return first, np.searchsorted(np.sort(start), np.arange(len(classes)), side="right") - 1


def _sliced(low: Lowering, conv: Convolution, line: Buffer) -> list[Buffer]:
    weights = sliced.weights_by_column(low, conv.node, conv.rows, conv.window.kernel)
    tables = weights, sliced.thresholds(low, conv.owner, conv.rows, conv.thresholds)
    count, digits = conv.thresholds.shape[2], sliced_digits(conv.rows.ins)
    size = ConvolveRowSliced.scratch_bytes(conv.rows.ins, conv.window, low.word_bits)
    scratch = Buffer(low.derived(conv.node, "scratch"), "int32_t", size // 4)
    low.call(ConvolveRowSliced, conv.owner, 0, *geometry(low, conv), *tables, count, digits, scratch, line)
    return [scratch]


def _convolve_nibbles(low: Lowering, conv: Convolution, line: Buffer) -> list[Buffer]:
    w, scratch = _nibbles(low, conv)
    at = low.table(conv.owner, "limits", nibble_calls.limits(conv.thresholds, conv.rows.ins), "uint16_t", STRIDE)
    numbers = conv.thresholds.shape[2], scratch, line
    low.call(ConvolveNibbles, conv.owner, 0, *geometry(low, conv), conv.fill, w, at, *numbers)
    return [scratch]


def _sum_nibbles(low: Lowering, conv: Convolution, acc: Buffer) -> list[Buffer]:
    w, scratch = _nibbles(low, conv)
    added = np.zeros((0, conv.outs), np.int64) if conv.border is None else conv.border.values[1:]
    border = low.table(conv.node, "border", added, smallest_ctype(added, SIGNED), conv.outs)
    low.call(SumNibbles, conv.node, 0, *geometry(low, conv), conv.fill, w, Typed(border), scratch, acc)
    return [scratch]


def _nibbles(low: Lowering, conv: Convolution) -> tuple[Table, Buffer]:
    """The table of weights of the kernels that look up, and what they work in."""
    channels = conv.shape[2]
    packed = nibble_calls.tiled_weights(conv.rows.weight > 0, channels, low.word_bits)
    table = low.table(conv.node, "weights", packed, "bnn_word", words(8 * nibble_calls.OUTS, low.word_bits))
    count = nibble_calls.scratch_count(conv.size[1], conv.rows.ins // channels, channels)
    return table, Buffer(low.derived(conv.node, "scratch"), "uint16_t", count)


# Append a kernel's call on the input and the line of output bits, or of sums, and return the scratch that it takes.
Builder = Callable[[Lowering, Convolution, Buffer], list[Buffer]]
BUILDERS: Mapping[type[ConvolveRow], Builder] = {
    ConvolveColumns: _columns,
    ConvolveRowSliced: _sliced,
    ConvolveNibbles: _convolve_nibbles,
}
SUM_BUILDERS: Mapping[type[SumRow], Builder] = {SumNibbles: _sum_nibbles}
