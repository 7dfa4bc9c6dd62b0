"""Concatenations as kernel calls: what need not exist in one piece is read part by part.

Networks that concatenate all that came before (DenseNet) would copy a growing map for each layer. Where only thresholds
and other concatenations read one, it is nowhere in memory: each part has its own thresholds, and its bits are put side
by side pixel by pixel; another concatenation takes the parts themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bnncompiler import calls, map_calls, move_calls, ops, window_calls
from bnncompiler.ir import Node
from bnncompiler.lower import functions
from bnncompiler.lower.convolutions import put_bits
from bnncompiler.lower.maps import plain
from bnncompiler.lower.storage import Lowering, Stored, bounds_ctype
from bnncompiler.map_calls import Index, PixelLoop
from bnncompiler.program import Buffer, Call, Typed
from bnncompiler.window import Window

Side = tuple[Buffer, int]  # what lies side by side at a pixel: a buffer and how many channels it has


def concat(low: Lowering, node: ops.Concat) -> None:
    """Append a concatenation: as bits where all parts have the same codes; nothing where no reader needs it whole."""
    stored = [low.stored.get(p) for p in node.parts]
    first = stored[0]
    if first is not None and all(s is not None and _alike(first, s) for s in stored):
        _bits(low, node, first)
    elif _is_read_in_parts(low, node):
        low.within.add(node)
    else:
        _integers(low, node)


def _alike(first: Stored, other: Stored) -> bool:
    """Whether both are bits with the same meaning."""
    same = other.planes == first.planes > 0 and not other.signed and other.step == first.step
    return same and other.base.tolist() == first.base.tolist()


def _is_read_in_parts(low: Lowering, node: ops.Concat) -> bool:
    """Whether only thresholds and concatenations read a map of integers."""
    if len(node.type.shape) != 3 or node in low.graph.outputs or not low.users[node]:
        return False
    return all(
        isinstance(user, ops.Concat) or (isinstance(user, ops.Steps) and _is_threshold(user, node))
        for user in low.users[node]
    )


def _is_threshold(steps: ops.Steps, x: ops.Concat) -> bool:
    """Whether thresholds are compared, with rows for all channels or one for all of them."""
    counted = not functions.is_table(steps) and functions.staircase_line(steps) is None
    return counted and functions.crossings(steps) is not None and len(steps.at) in (1, x.type.channels)


def is_in_parts(low: Lowering, node: Node) -> bool:
    """Whether ``node`` is a concatenation that is nowhere in memory."""
    return isinstance(node, ops.Concat) and node in low.within


def _parts(low: Lowering, node: Node) -> list[Node]:
    """The values in memory that make a concatenation."""
    if isinstance(node, ops.Concat) and (node in low.within or node not in low.stored):
        return [leaf for part in node.parts for leaf in (_parts(low, part) if is_in_parts(low, part) else [part])]
    return [node]


def _bits(low: Lowering, node: ops.Concat, first: Stored) -> None:
    """Bits, two parts at a time."""
    pixels = node.type.size // node.type.channels

    def joined(x: Side, z: Side, name: str) -> Buffer:
        y = low.packed(name, pixels * (x[1] + z[1]), first.planes)
        low.call(move_calls.ConcatBits, node, 0, *x, *z, first.planes, pixels, y)
        return y

    y, _ = _together([(low.stored[p].buffer, p.type.channels) for p in node.parts], _named(low, node, joined))
    low.stored[node] = Stored(y, first.planes, False, first.step, first.base)


def _integers(low: Lowering, node: ops.Concat) -> None:
    """Integers: two parts at once, more of them pixel by pixel."""
    parts, ctype = _parts(low, node), bounds_ctype(node)
    sides = [(plain(low, p).buffer, p.type.channels) for p in parts]
    y = Buffer(low.names[node], ctype, node.type.size)
    if len(sides) == 2 or len(node.type.shape) != 3:
        pixels = node.type.size // node.type.channels
        _together(sides, _named(low, node, lambda x, z, name: _pair(low, node, x, z, pixels, name)))
    else:
        scratch: list[Buffer] = []

        def joined(x: Side, z: Side, i: int) -> Buffer:
            scratch.append(_pair(low, node, x, z, 1, low.derived(node, "pixel")))
            return scratch[-1]

        with low.collecting() as body:
            patches = [(_gather(low, node, x, n, scratch), n) for x, n in sides]
            pixel, n = _together(patches, joined)
            where = Index.ROW, Index.COLUMN
            low.call(map_calls.PutIntegers, node, 0, Typed(pixel), n, node.type.shape[1], *where, Typed(y))
        _loop(low, node, body, scratch, [x for x, _ in sides], y)
    low.stored[node] = Stored(y)


def threshold(low: Lowering, node: ops.Steps) -> None:
    """Append the threshold of a concatenation that is nowhere in memory."""
    crossed = functions.crossings(node)
    assert crossed is not None
    parts, scratch, bits, first = _parts(low, node.x), list[Buffer](), list[Side](), 0
    y = low.packed(low.names[node], node.type.size)

    def joined(x: Side, z: Side, i: int) -> Buffer:
        scratch.append(low.packed(low.derived(node, "pixel"), x[1] + z[1]))
        low.call(move_calls.ConcatBits, node, 0, *x, *z, 1, 1, scratch[-1])
        return scratch[-1]

    with low.collecting() as body:
        for part in parts:
            x, n = low.integers(part), part.type.channels
            at = x.on_codes(crossed if len(crossed) == 1 else crossed[first : first + n])
            table = Typed(low.table(node, "at", at, None, at.shape[1]))
            patch = _gather(low, node, x.buffer, n, scratch)
            bits.append((low.packed(low.derived(node, "part"), n), n))
            low.call(calls.Threshold, node, 0, Typed(patch), n, table, *at.shape, bits[-1][0])
            first += n
        scratch += [b for b, _ in bits]
        pixel, n = _together(bits, joined)
        put_bits(low, node, pixel, 1, n, (node.type.shape[0], node.type.shape[1]), y)
    _loop(low, node, body, scratch, [low.integers(p).buffer for p in parts], y)
    low.stored[node] = functions.stored_levels(node, y)


def _together(sides: Sequence[Side], joined: Callable[[Side, Side, int], Buffer]) -> Side:
    """All of ``sides`` in one, by joining neighbours of about equal size; ``joined`` gets how many it joins."""
    if len(sides) == 1:
        return sides[0]
    half = len(sides) // 2
    x, z = _together(sides[:half], joined), _together(sides[half:], joined)
    return joined(x, z, len(sides)), x[1] + z[1]


def _named(low: Lowering, node: ops.Concat, joined: Callable[[Side, Side, str], Buffer]) -> Callable[..., Buffer]:
    """``joined`` with the node's name for the whole, and others for less."""
    total = node.type.channels

    def call(x: Side, z: Side, count: int) -> Buffer:
        return joined(x, z, low.names[node] if x[1] + z[1] == total else low.derived(node, str(count)))

    return call


def _pair(low: Lowering, node: ops.Concat, x: Side, z: Side, pixels: int, name: str) -> Buffer:
    """Append the call that puts integers side by side."""
    y = Buffer(name, bounds_ctype(node), pixels * (x[1] + z[1]))
    low.call(move_calls.ConcatIntegers, node, 0, Typed(x[0]), x[1], Typed(z[0]), z[1], pixels, Typed(y))
    return y


def _gather(low: Lowering, node: Node, x: Buffer, channels: int, scratch: list[Buffer]) -> Buffer:
    """Append the call that takes a pixel of the map ``x``."""
    height, width, _ = node.type.shape
    scratch.append(Buffer(low.derived(node, "patch"), x.ctype, channels))
    size = height, width, channels, 0, channels
    where = *window_calls.geometry(Window((1, 1))), 0, Index.ROW, Index.COLUMN
    low.call(window_calls.GatherIntegers, node, 0, Typed(x), *size, *where, Typed(scratch[-1]))
    return scratch[-1]


def _loop(
    low: Lowering, node: Node, body: Sequence[Call], scratch: Sequence[Buffer], sources: Sequence[Buffer], y: Buffer
) -> None:
    """Append the loop over pixels around these calls."""
    x, *more = dict.fromkeys(sources)
    about, (rows, columns, _) = (low.names[node], low.origin(node), 0), node.type.shape
    low.calls.append(PixelLoop(*about, rows, columns, 1, tuple(body), (), tuple(scratch), x, y, tuple(more)))
