"""Convolutions row by row: the kernels that see a whole row of pixels, and which one a target takes.

A bipolar convolution whose bits come from thresholds can be computed a row at a time (`convolution_calls.ConvolveRow`).
Each such kernel has a builder at the end of this module, which makes its tables. The cost model chooses between them
and the kernels that `bnncompiler.lower.convolutions` calls for each pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from bnncompiler import calls, map_calls, ops
from bnncompiler.convolution_calls import ConvolveRow, PoolRow
from bnncompiler.lower import functions, sliced
from bnncompiler.lower.storage import Lowering
from bnncompiler.lower.windows import Convolution
from bnncompiler.map_calls import Index, PixelLoop
from bnncompiler.packing import words
from bnncompiler.program import Buffer, Call
from bnncompiler.sliced_calls import ConvolveRowSliced, DenseSlicedBorder, DenseSlicedThreshold, sliced_digits
from bnncompiler.tiled_calls import DenseTiledThreshold


def choose(low: Lowering, conv: Convolution) -> type[Call]:
    """The kernel that the target takes for a binary convolution: one for rows, or one for the patch of a pixel.

    `calls.DenseXnor` stands for sums that are compared afterwards.
    """
    by_pixel: list[type[Call]] = [calls.DenseThreshold, DenseTiledThreshold, DenseSlicedThreshold]
    if conv.border is not None:
        by_pixel = [calls.DenseXnor, DenseSlicedBorder]
    fitting = by_pixel if sliced.fits(conv.rows) else by_pixel[:-1]
    return low.choose((*fitting, *(k for k in BUILDERS if k.accepts(conv.work, low.word_bits))), conv.work)


def loop(low: Lowering, kernel: type[ConvolveRow], conv: Convolution, y: Buffer) -> None:
    """Append the convolution as a loop over rows around ``kernel``, pooled where it is to be, into ``y``."""
    line = low.packed(low.derived(conv.node, "line"), conv.size[1] * conv.outs)
    with low.collecting() as body:
        scratch = [line, *BUILDERS[kernel](low, conv, line), *put(low, conv, line, y)]
    about = low.names[conv.owner], low.origin(conv.owner), conv.macs
    low.calls.append(PixelLoop(*about, conv.size[0], 1, 1, tuple(body), (), tuple(scratch), conv.x.buffer, y))


def put(low: Lowering, conv: Convolution, line: Buffer, y: Buffer) -> list[Buffer]:
    """Append what puts a row of bits into the map, or into a map of pools; returns the scratch that it takes."""
    assert isinstance(conv.act, ops.Steps)
    n = conv.size[1] * conv.outs
    if conv.pool is None:
        planes = functions.code_planes(conv.act)
        low.call(map_calls.PutBits, conv.owner, 0, line, planes, n, conv.size[0] * n, 1, Index.ROW, 0, y)
        return []
    down, across = conv.pool.window.kernel
    n = conv.pool.type.shape[1] * conv.outs
    pooled = Buffer(low.derived(conv.node, "pooled"), "bnn_word", words(n, low.word_bits))
    low.call(PoolRow, conv.owner, 0, line, conv.size[1], conv.outs, across, pooled)
    low.call(map_calls.PutPooled, conv.owner, 0, pooled, n, 1, down, 1, Index.ROW, 0, y)
    return [pooled]


def geometry(low: Lowering, conv: Convolution) -> tuple[object, ...]:
    """The arguments that all kernels for rows begin with."""
    window = (*conv.shape, *map_calls.geometry(conv.window), Index.ROW, conv.size[1], conv.outs)
    if conv.border is not None:
        return (conv.x.buffer, *window, *conv.border.tables(low, conv.node), conv.border.columns)
    return (conv.x.buffer, *window, None, None, 1)


def _sliced(low: Lowering, conv: Convolution, line: Buffer) -> list[Buffer]:
    weights = sliced.weights_by_column(low, conv.node, conv.rows, conv.window.kernel)
    tables = weights, sliced.thresholds(low, conv.owner, conv.rows, conv.thresholds)
    count, digits, columns = conv.thresholds.shape[2], sliced_digits(conv.rows.ins), conv.window.kernel[1]
    size = ConvolveRowSliced.scratch_bytes(conv.rows.ins // columns, columns, digits)
    scratch = Buffer(low.derived(conv.node, "scratch"), "int32_t", size // 4)
    low.call(ConvolveRowSliced, conv.owner, 0, *geometry(low, conv), *tables, count, digits, scratch, line)
    return [scratch]


# Append a kernel's call on the input and the line of output bits, and return the scratch that it takes.
Builder = Callable[[Lowering, Convolution, Buffer], list[Buffer]]
BUILDERS: Mapping[type[ConvolveRow], Builder] = {ConvolveRowSliced: _sliced}
