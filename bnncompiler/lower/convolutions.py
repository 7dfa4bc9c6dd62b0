"""Convolutions as kernel calls.

A convolution is a `PixelLoop`: gather the taps of a pixel, run a dense kernel on them, apply the activation that
follows, put the pixel. A max-pool of its bits, where pools lie side by side, is part of putting them: the map before
the pool never exists. A dense layer at several positions is a convolution with a 1x1 window. Where a target has a
kernel that computes a whole row of pixels for less, the loop is one over rows (`bnncompiler.lower.row_convolutions`);
where all pixels at once are the cheapest, there is no loop (`bnncompiler.lower.planes`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bnncompiler import dense_calls, map_calls, ops, window_calls
from bnncompiler.convolution_calls import ConvolveRow, SumRow
from bnncompiler.ir import Node, per_element
from bnncompiler.lower import functions, integer_rows, layers, planes, results, row_convolutions, sliced
from bnncompiler.lower.results import Portion
from bnncompiler.lower.rows import Layer
from bnncompiler.lower.storage import LIMITS, Lowering, Stored
from bnncompiler.lower.windows import Convolution, convolution
from bnncompiler.map_calls import Index
from bnncompiler.packing import words
from bnncompiler.plane_calls import ConvolvePlanes
from bnncompiler.program import Buffer, Call, Typed
from bnncompiler.sliced_calls import DenseSlicedBorder, sliced_digits


def loop(low: Lowering, node: Layer) -> None:
    """Append a convolution (or a dense layer at several positions) with the activation, if that is its only reader."""
    conv = convolution(low, node)
    y, stored = _result(low, conv)
    kernel = row_convolutions.choose(low, conv) if conv.is_binary else row_convolutions.choose_sums(low, conv)
    if kernel is ConvolvePlanes:
        planes.convolve(low, conv, y)
    elif issubclass(kernel, ConvolveRow):
        row_convolutions.loop(low, kernel, conv, y)
    elif issubclass(kernel, SumRow):
        _row_sum_loop(low, kernel, conv, y)
    elif kernel is not dense_calls.DenseXnor:
        _threshold_loop(low, conv, y)
    elif (by_row := integer_rows.chosen(low, conv)) is not None:
        integer_rows.loop(low, conv, by_row, y)
    else:
        stored = _sum_loop(low, conv, y, stored)
    if conv.pool is not None:
        low.within.add(conv.owner)
    low.stored[conv.pool or conv.owner] = stored


def _threshold_loop(low: Lowering, conv: Convolution, y: Buffer) -> None:
    """Append the loop whose kernel computes the bits of a pixel from its patch."""
    assert isinstance(conv.act, ops.Steps)
    pixel = low.packed(low.derived(conv.node, "pixel"), conv.outs)
    with low.collecting() as body:
        patch = _gather(low, conv)
        if conv.border is None:
            layers.with_threshold(low, conv.act, conv.node, conv.rows, patch, pixel)
        else:
            _with_border(low, conv, conv.border, patch, pixel)
        results.put_bits(low, conv, pixel, Portion.pixel(conv), y)
    _append_loop(low, conv, body, [], [patch, pixel], y)


def _with_border(low: Lowering, conv: Convolution, border: sliced.Border, patch: Buffer, pixel: Buffer) -> None:
    """Append the kernel that compares with thresholds of its own for each class of pixels."""
    at, rows = conv.thresholds, conv.rows
    tables = sliced.weights(low, conv.node, rows), sliced.thresholds(low, conv.owner, rows, at)
    numbers = at.shape[2], sliced_digits(rows.ins), rows.ins, rows.outs
    where = (*border.tables(low, conv.node), border.columns, Index.ROW, Index.COLUMN)
    scratch = low.scratch(conv.owner, DenseSlicedBorder, conv.work)
    low.call(DenseSlicedBorder, conv.owner, 0, patch, *tables, *numbers, *where, scratch, pixel)


def _sum_loop(low: Lowering, conv: Convolution, y: Buffer, stored: Stored) -> Stored:
    """Append the loop that computes the sums of a pixel and then its activation; returns how the result is stored."""
    acc = Buffer(low.derived(conv.node, "acc"), "int32_t", conv.outs)
    with low.collecting() as body:
        patch = _gather(low, conv)
        x = conv.x
        sums = layers.product(low, conv.node, conv.rows, Stored(patch, x.planes, x.signed, x.step, x.base), acc)
    with low.collecting() as tail:
        if conv.border is not None:
            sums = _as_integers(low, conv, sums)
            results.add_border(low, conv, Portion.pixel(conv), acc)
        scratch = results.activate(low, conv, sums, Portion.pixel(conv), y)
    _append_loop(low, conv, body, tail, [patch, acc, *scratch], y)
    return stored if conv.act is not None else Stored(y, step=sums.step, base=sums.base)


def _row_sum_loop(low: Lowering, kernel: type[SumRow], conv: Convolution, y: Buffer) -> None:
    """Append the loop whose kernel computes the sums of a row of pixels, on which the activation follows."""
    acc = Buffer(low.derived(conv.node, "acc"), "int32_t", conv.size[1] * conv.outs)
    with low.collecting() as body:
        scratch = [acc, *row_convolutions.SUM_BUILDERS[kernel](low, conv, acc)]
        scratch += results.activate(low, conv, Stored(acc), Portion.row(conv), y)
    results.row_loop(low, conv, body, scratch, y)


def _append_loop(
    low: Lowering, conv: Convolution, body: Sequence[Call], tail: Sequence[Call], scratch: Sequence[Buffer], y: Buffer
) -> None:
    within = [c.buffers["scratch"] for c in (*body, *tail) if "scratch" in c.buffers]
    results.loop(low, conv, body, tail, [*scratch, *within], y)


def _result(low: Lowering, conv: Convolution) -> tuple[Buffer, Stored]:
    """The map that the loop writes."""
    count = conv.size[0] * conv.size[1] * conv.node.type.channels
    if isinstance(conv.act, ops.Steps) and conv.pool is not None:
        y = low.packed(low.names[conv.pool], conv.pool.type.size)
        return y, functions.stored_levels(conv.act, y)
    if isinstance(conv.act, ops.Steps):
        y = low.packed(low.names[conv.act], count, functions.code_planes(conv.act))
        return y, functions.stored_levels(conv.act, y)
    ctype = "int32_t" if conv.act is None else low.output_ctype(conv.act)
    y = Buffer(low.names[conv.owner], ctype, count)
    return y, Stored(y)


def _gather(low: Lowering, conv: Convolution) -> Buffer:
    """Append the call that gathers the taps of a pixel; returns where they are."""
    (height, width, channels), x, groups = conv.shape, conv.x, conv.rows.groups
    group = Index.GROUP if groups > 1 else 0
    numbers = (height, width, channels, group, channels // groups, *window_calls.geometry(conv.window), conv.fill)
    name = low.derived(conv.node, "patch")
    if x.planes:
        patch = Buffer(name, "bnn_word", x.planes * words(conv.rows.ins, low.word_bits))
        low.call(window_calls.GatherBits, conv.node, 0, x.buffer, x.planes, *numbers, Index.ROW, Index.COLUMN, patch)
    else:
        patch = Buffer(name, x.buffer.ctype, conv.rows.ins)
        here = Index.ROW, Index.COLUMN, Typed(patch)
        low.call(window_calls.GatherIntegers, conv.node, 0, Typed(x.buffer), *numbers, *here)
    return patch


def _as_integers(low: Lowering, conv: Convolution, sums: Stored) -> Stored:
    """Sums of codes as the sums themselves, to which what padding adds can be added."""
    if sums.is_plain:
        return sums
    base = per_element(sums.base, conv.outs)[:, None]
    step, start = np.full_like(base, sums.step), np.zeros_like(base)
    limits = LIMITS["int32_t"]
    functions.affine(
        low, conv.node, "sum_", sums.buffer, conv.outs, start, step, base, 0, limits, sums.buffer, exact=True
    )
    return Stored(sums.buffer)


def put_bits(low: Lowering, node: Node, x: Buffer, planes: int, n: int, size: tuple[int, int], y: Buffer) -> None:
    """Append the call that puts one pixel's bit planes into a map of ``size``."""
    low.call(map_calls.PutBits, node, 0, x, planes, n, size[0] * size[1] * n, size[1], Index.ROW, Index.COLUMN, y)
