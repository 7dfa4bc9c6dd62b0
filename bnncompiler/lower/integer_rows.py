"""Convolutions of integers row by row: all patches of a row are gathered, and one kernel multiplies all of them.

So weights are read once for several pixels (`limb_calls.DenseLimbs`). What follows works on the row as it does on a
pixel: its tables repeat by channel.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnncompiler import dense_calls, limb_calls, window_calls
from bnncompiler.limb_calls import DenseLimbs, Limbs
from bnncompiler.lower import results
from bnncompiler.lower.results import Portion
from bnncompiler.lower.storage import Lowering, Stored
from bnncompiler.lower.windows import Convolution
from bnncompiler.map_calls import Index
from bnncompiler.program import Buffer, Call, Typed


def chosen(low: Lowering, conv: Convolution) -> Limbs | None:
    """The limbs of a convolution that the target computes row by row; None for others."""
    if conv.rows.groups > 1 or conv.x.planes or conv.border is not None:
        return None
    largest = max(map(abs, conv.node.x.domain.bounds))
    limbs = limb_calls.limbs(largest, conv.rows.weight, conv.node.shift)
    if limbs is None:
        return None
    rivals: tuple[type[Call], ...] = (dense_calls.DenseInteger, dense_calls.DenseColumns)
    work = replace(conv.plain_work, limbs=limbs.x * limbs.w, planes=low.plane_count(conv.node.x))
    kernels = (*((dense_calls.DenseWide,) if conv.node.shift else rivals), DenseLimbs)
    return limbs if low.choose(conv.node, kernels, work) is DenseLimbs else None


def loop(low: Lowering, conv: Convolution, limbs: Limbs, y: Buffer) -> None:
    """Append the convolution as a loop over rows, with its activation and pool, into ``y``."""
    sums = Buffer(low.derived(conv.node, "sums"), "int32_t", conv.size[1] * conv.outs)
    with low.collecting() as body:
        scratch = [sums, *_sums(low, conv, limbs, sums)]
        scratch += results.activate(low, conv, Stored(sums), Portion.row(conv), y)
    results.row_loop(low, conv, body, scratch, y)


def _sums(low: Lowering, conv: Convolution, limbs: Limbs, sums: Buffer) -> list[Buffer]:
    """Append the gathering and the product of a row; returns the scratch that they take."""
    width, ins, outs = conv.size[1], conv.rows.ins, conv.outs
    patches = Buffer(low.derived(conv.node, "patches"), conv.x.buffer.ctype, width * ins)
    split = Buffer(low.derived(conv.node, "limbs"), "int16_t", limb_calls.ROWS * (ins + ins % 2))
    window = *conv.shape, *window_calls.geometry(conv.window), conv.fill
    low.call(window_calls.GatherRow, conv.node, 0, Typed(conv.x.buffer), *window, Index.ROW, width, Typed(patches))
    values = limb_calls.weight_limbs(conv.rows.weight.astype(np.int64), limbs.w)
    table = low.table(conv.node, "weights", values, "int16_t", 2 * limb_calls.GROUP)
    numbers = limbs.x, limbs.w, limbs.most, ins, outs, width, conv.node.shift
    low.call(DenseLimbs, conv.node, 0, Typed(patches), table, *numbers, split, sums)
    return [patches, split]
