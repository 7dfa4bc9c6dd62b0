"""Values without weights as kernel calls: pools, padding, sums, other orders of elements."""

from __future__ import annotations

import numpy as np

from bnncompiler import map_calls, move_calls, ops, window_calls
from bnncompiler.errors import LoweringError
from bnncompiler.ir import Node
from bnncompiler.lower import functions
from bnncompiler.lower.convolutions import put_bits
from bnncompiler.lower.storage import Lowering, Stored, bounds_ctype
from bnncompiler.map_calls import Index
from bnncompiler.program import Buffer, Call, Typed
from bnncompiler.window import Window


def max_pool(low: Lowering, node: ops.MaxPool) -> None:
    """Append a max-pool: an OR of bits, or the largest of integers."""
    stored = low.stored[node.x]
    height, width, channels = node.x.type.shape
    numbers = (height, width, channels, *node.type.shape[:2], *window_calls.geometry(node.window))
    name = low.names[node]
    if stored.planes == 1 and not stored.signed:
        y = low.packed(name, node.type.size)
        low.call(window_calls.MaxPoolBits, node, 0, stored.buffer, *numbers, y)
        low.stored[node] = Stored(y, 1, False, stored.step, stored.base)
        return
    stored = low.integers(node.x)
    y = Buffer(name, stored.buffer.ctype, node.type.size)
    low.call(window_calls.MaxPoolIntegers, node, 0, Typed(stored.buffer), *numbers, Typed(y))
    low.stored[node] = Stored(y, step=stored.step, base=stored.base)


def pad(low: Lowering, node: ops.Pad) -> None:
    """Append a padded copy of a map: a loop over 1x1 windows that begin outside of it."""
    stored = low.stored[node.x]
    height, width, channels = node.x.type.shape
    rows, columns = node.type.shape[:2]
    window = Window((1, 1), before=node.before)
    assert node.codes is not None
    if len(np.unique(node.codes)) > 1:
        raise LoweringError(
            f"{node.name}: Pad of a map whose levels differ by channel has no kernel; pad before the pool"
        )
    code = (int(node.codes[0]) - int(stored.base[0])) // stored.step
    name = low.names[node]
    patch = (
        Buffer(low.derived(node, "patch"), stored.buffer.ctype, channels)
        if not stored.planes
        else low.packed(low.derived(node, "patch"), channels, stored.planes)
    )
    y = (
        Buffer(name, stored.buffer.ctype, node.type.size)
        if not stored.planes
        else low.packed(name, node.type.size, stored.planes)
    )
    numbers = (height, width, channels, 0, channels, *window_calls.geometry(window))
    fill = code % (1 << stored.planes) if stored.planes else code
    with low.collecting() as body:
        if stored.planes:
            low.call(
                window_calls.GatherBits,
                node,
                0,
                stored.buffer,
                stored.planes,
                *numbers,
                fill,
                Index.ROW,
                Index.COLUMN,
                patch,
            )
            put_bits(low, node, patch, stored.planes, channels, (rows, columns), y)
        else:
            low.call(
                window_calls.GatherIntegers,
                node,
                0,
                Typed(stored.buffer),
                *numbers,
                fill,
                Index.ROW,
                Index.COLUMN,
                Typed(patch),
            )
            low.call(map_calls.PutIntegers, node, 0, Typed(patch), channels, columns, Index.ROW, Index.COLUMN, Typed(y))
    loop: Call = map_calls.PixelLoop(
        name, low.origin(node), 0, rows, columns, 1, tuple(body), (), (patch,), stored.buffer, y
    )
    low.calls.append(loop)
    low.stored[node] = Stored(y, stored.planes, stored.signed, stored.step, stored.base)


def join(low: Lowering, node: ops.IntegerAdd | ops.IntegerMul) -> None:
    """Append a sum or a product of two values."""
    kernel = move_calls.AddIntegers if isinstance(node, ops.IntegerAdd) else move_calls.MulIntegers
    x, z = (plain(low, side) for side in (node.x, node.y))
    y = Buffer(low.names[node], low.output_ctype(node), node.type.size)
    low.call(kernel, node, 0, Typed(x.buffer), Typed(z.buffer), node.type.size, Typed(y))
    low.stored[node] = Stored(y)


def plain(low: Lowering, node: Node) -> Stored:
    """The value as the graph's integers themselves."""
    stored = low.integers(node)
    if stored.is_plain:
        return stored
    y = Buffer(low.derived(node, "plain"), bounds_ctype(node), node.type.size)
    base, step = stored.base[:, None], np.full((len(stored.base), 1), stored.step)
    functions.affine(
        low,
        node,
        "plain_",
        stored.buffer,
        node.type.size,
        np.zeros(base.shape),
        step,
        base,
        0,
        node.domain.bounds,
        y,
        exact=True,
    )
    return Stored(y)


def permute(low: Lowering, node: ops.Permute) -> None:
    """Append a gather in another order; nothing where the order is the same."""
    stored = low.stored[node.x]
    index = node.index.reshape(-1)
    if np.array_equal(index, np.arange(node.x.type.size)):
        low.stored[node] = stored
        return
    if len(stored.base) > 1:
        stored = plain(low, node.x)
    within, start, stride = move_calls.nested(index)
    picked, first = (Typed(low.table(node, what, t)) for what, t in (("index", within), ("start", start)))
    order = (picked, len(within), first, len(start), stride, len(index))
    if stored.planes:
        y = low.packed(low.names[node], len(index), stored.planes)
        low.call(move_calls.PermuteBits, node, 0, stored.buffer, node.x.type.size, stored.planes, *order, y)
    else:
        y = Buffer(low.names[node], stored.buffer.ctype, len(index))
        low.call(move_calls.PermuteIntegers, node, 0, Typed(stored.buffer), *order, Typed(y))
    low.stored[node] = Stored(y, stored.planes, stored.signed, stored.step, stored.base)
