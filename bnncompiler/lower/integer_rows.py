"""Convolutions of integers row by row: all patches of a row are gathered, and one kernel multiplies all of them.

So weights are read once for several pixels (`bnncompiler.limb_calls`). What follows works on the row as it does on a
pixel: its tables repeat by channel.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnncompiler import dense_calls, limb_calls, window_calls
from bnncompiler.limb_calls import DenseLimbs, DenseWideTiled
from bnncompiler.lower import results
from bnncompiler.lower.results import Portion
from bnncompiler.lower.storage import Lowering, Stored
from bnncompiler.lower.windows import Convolution
from bnncompiler.map_calls import Index
from bnncompiler.program import Buffer, Call, Typed

Kernel = type[DenseLimbs] | type[DenseWideTiled]


def chosen(low: Lowering, conv: Convolution) -> Kernel | None:
    """The kernel of a convolution that the target computes row by row; None for others."""
    if conv.rows.groups > 1 or conv.x.planes:
        return None
    own: Kernel | None = DenseWideTiled if limb_calls.is_wide(conv.rows.weight, conv.node.shift) else None
    limbs = limb_calls.limbs(_largest(conv), conv.rows.weight, conv.node.shift)
    if limbs is not None:
        own = DenseLimbs
    if own is None:
        return None
    rivals: tuple[type[Call], ...] = (dense_calls.DenseInteger, dense_calls.DenseColumns)
    planes = low.plane_count(conv.node.x)
    work = replace(conv.plain_work, limbs=0 if limbs is None else limbs.count, planes=planes)
    kernels = (*((dense_calls.DenseWide,) if conv.node.shift else rivals), own)
    return own if low.choose(conv.node, kernels, work) is own else None


def _largest(conv: Convolution) -> int:
    """The largest magnitude that an input has."""
    return max(map(abs, conv.node.x.domain.bounds))


def loop(low: Lowering, conv: Convolution, kernel: Kernel, y: Buffer) -> None:
    """Append the convolution as a loop over rows, with its activation and pool, into ``y``."""
    sums = Buffer(low.derived(conv.node, "sums"), "int32_t", conv.size[1] * conv.outs)
    with low.collecting() as body:
        scratch = [sums, _sums(low, conv, kernel, sums)]
        if conv.border is not None:
            results.add_border(low, conv, Portion.row(conv), sums)
        scratch += results.activate(low, conv, Stored(sums), Portion.row(conv), y)
    results.row_loop(low, conv, body, scratch, y)


def _sums(low: Lowering, conv: Convolution, kernel: Kernel, sums: Buffer) -> Buffer:
    """Append the gathering and the product of a row; returns the scratch that they take."""
    width, ins, weight = conv.size[1], conv.rows.ins, conv.rows.weight.astype(np.int64)
    ctype = "int16_t" if kernel is DenseLimbs else conv.x.buffer.ctype
    patches = Buffer(low.derived(conv.node, "patches"), ctype, width * ins)
    window = *conv.shape, *window_calls.geometry(conv.window), conv.fill
    low.call(window_calls.GatherRow, conv.node, 0, Typed(conv.x.buffer), *window, Index.ROW, width, Typed(patches))
    numbers = ins, conv.outs, width, conv.node.shift
    if kernel is DenseLimbs:
        limbs = limb_calls.limbs(_largest(conv), weight, conv.node.shift)
        assert limbs is not None
        values = limb_calls.weight_limbs(weight, limbs.count)
        table = low.table(conv.node, "weights", values, "int16_t", 2 * limb_calls.GROUP)
        low.call(DenseLimbs, conv.node, 0, Typed(patches), table, limbs.count, limbs.most, *numbers, sums)
    else:
        table = low.table(conv.node, "weights", limb_calls.tiled_weights(weight), "int32_t", limb_calls.GROUP)
        low.call(DenseWideTiled, conv.node, 0, Typed(patches), table, *numbers, sums)
    return patches
