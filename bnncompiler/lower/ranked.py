"""The largest channels, and where they are: of a vector in one call, of a map or a sequence pixel by pixel."""

from __future__ import annotations

import math

from bnncompiler import calls, map_calls, ops
from bnncompiler.lower import maps
from bnncompiler.lower.storage import Lowering, Stored
from bnncompiler.map_calls import Index, PixelLoop
from bnncompiler.program import Buffer, Call, Typed
from bnncompiler.window import Window
from bnncompiler.window_calls import GatherIntegers, geometry

Ranked = ops.ArgMax | ops.Largest


def ranked(low: Lowering, node: Ranked) -> None:
    """Append the calls that compute ``node``."""
    x, channels = node.x, node.x.type.channels
    # Integers of one scale: they compare across channels.
    source = low.integers(x) if len(low.stored[x].base) == 1 else maps.plain(low, x)
    ctype = "int32_t" if isinstance(node, ops.ArgMax) else low.output_ctype(node)
    y = Buffer(low.names[node], ctype, node.type.size)
    about = low.names[node], low.origin(node)
    if x.type.size == channels:
        low.calls.append(_one(node, about, source.buffer, y))
    else:
        columns = x.type.shape[-2]
        rows = math.prod(x.type.shape[:-2])
        pixel = Buffer(low.derived(node, "patch"), source.buffer.ctype, channels)
        best = Buffer(low.derived(node, "pixel"), ctype, node.count)
        place = Index.ROW, Index.COLUMN
        size = rows, columns, channels, 0, channels
        point = *geometry(Window((1, 1))), 0
        gather = GatherIntegers(*about, 0, Typed(source.buffer), *size, *point, *place, Typed(pixel))
        put = map_calls.PutIntegers(*about, 0, Typed(best), node.count, columns, *place, Typed(y))
        body = gather, _one(node, about, pixel, best), put
        low.calls.append(PixelLoop(*about, 0, rows, columns, 1, body, (), (pixel, best), source.buffer, y))
    low.stored[node] = Stored(y)


def _one(node: Ranked, about: tuple[str, tuple[str, ...]], x: Buffer, y: Buffer) -> Call:
    """The call for one vector."""
    channels = node.x.type.channels
    if isinstance(node, ops.Largest):
        return calls.TopValues(*about, 0, Typed(x), channels, node.count, Typed(y))
    if node.count == 1:
        return calls.Argmax(*about, 0, Typed(x), channels, y)
    return calls.TopIndices(*about, 0, Typed(x), channels, node.count, y)
