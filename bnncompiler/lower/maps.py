"""Maps without weights as kernel calls: pools and padding."""

from __future__ import annotations

import numpy as np

from bnncompiler import map_calls, ops
from bnncompiler.errors import LoweringError
from bnncompiler.lower.convolutions import put_bits
from bnncompiler.lower.storage import Lowering, Stored
from bnncompiler.map_calls import Index
from bnncompiler.program import Buffer, Call, Typed
from bnncompiler.window import Window


def max_pool(low: Lowering, node: ops.MaxPool) -> None:
    """Append a max-pool: an OR of bits, or the largest of integers."""
    stored = low.stored[node.x]
    height, width, channels = node.x.type.shape
    numbers = (height, width, channels, *node.type.shape[:2], *map_calls.geometry(node.window))
    name = low.names[node]
    if stored.planes == 1 and not stored.signed:
        y = low.packed(name, node.type.size)
        low.call(map_calls.MaxPoolBits, node, 0, stored.buffer, *numbers, y)
        low.stored[node] = Stored(y, 1, False, stored.step, stored.base)
        return
    stored = low.integers(node.x)
    y = Buffer(name, stored.buffer.ctype, node.type.size)
    low.call(map_calls.MaxPoolIntegers, node, 0, Typed(stored.buffer), *numbers, Typed(y))
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
        Buffer(f"{name}_patch", stored.buffer.ctype, channels)
        if not stored.planes
        else low.packed(f"{name}_patch", channels, stored.planes)
    )
    y = (
        Buffer(name, stored.buffer.ctype, node.type.size)
        if not stored.planes
        else low.packed(name, node.type.size, stored.planes)
    )
    numbers = (height, width, channels, 0, channels, *map_calls.geometry(window))
    fill = code % (1 << stored.planes) if stored.planes else code
    with low.collecting() as body:
        if stored.planes:
            low.call(
                map_calls.GatherBits,
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
                map_calls.GatherIntegers,
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
