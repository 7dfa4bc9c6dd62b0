"""Convolutions as kernel calls.

A convolution is a `PixelLoop`: gather the taps of a pixel, run a dense kernel on them, apply the activation that
follows, put the pixel. A max-pool of its bits, where pools lie side by side, is part of putting them: the map before
the pool never exists. A dense layer at several positions is a convolution with a 1x1 window.
"""

from __future__ import annotations

import numpy as np

from bnncompiler import map_calls, ops
from bnncompiler.ir import Array, Node, per_element
from bnncompiler.lower import functions, layers
from bnncompiler.lower.rows import Layer, Rows
from bnncompiler.lower.sliced import Border
from bnncompiler.lower.storage import LIMITS, SIGNED, Lowering, Stored, smallest_ctype
from bnncompiler.map_calls import Index
from bnncompiler.packing import words
from bnncompiler.program import Buffer, Typed
from bnncompiler.window import Window


def _geometry(node: Layer) -> tuple[tuple[int, int, int], Window, Rows]:
    """Shape of the input map, window, and rows of weights."""
    if isinstance(node, ops.IntegerConv):
        height, width, channels = node.x.type.shape
        return (height, width, channels), node.window, Rows(node.weight.reshape(len(node.weight), -1), node.group)
    channels = node.x.type.channels
    return (node.x.type.size // channels, 1, channels), Window((1, 1)), Rows(node.weight)


def loop(low: Lowering, node: Layer) -> None:
    """Append a convolution (or a dense layer at several positions) with the activation, if that is its only reader."""
    shape, window, rows = _geometry(node)
    outs = len(rows.weight)
    height, width = window.positions(shape)
    x = layers.operand(low, node, rows)
    act = _activation(low, node)
    pool = _pool(low, act)
    if pool is not None:  # what lies in no pool need not be computed
        height, width = (
            min(n, k * count) for n, k, count in zip((height, width), pool.window.kernel, pool.type.shape, strict=False)
        )
    patch = (
        Buffer(low.derived(node, "patch"), "bnn_word", x.planes * words(rows.ins, low.word_bits))
        if x.planes
        else Buffer(low.derived(node, "patch"), x.buffer.ctype, rows.ins)
    )
    acc = Buffer(low.derived(node, "acc"), "int32_t", outs)
    fill, border = _padding(node, x)
    y, stored = _result(low, node, act, pool, height * width)
    scratch = [patch]
    with low.collecting() as body:
        _gather(low, node, shape, window, rows, x, patch, fill)
        together = (
            rows.groups == 1
            and isinstance(act, ops.Steps)
            and layers.is_xnor(x, rows)
            and functions.crossings(act) is not None
            and (not border or layers.takes_border(low, act, node, rows))
        )
        if not together:
            sums = layers.product(low, node, rows, Stored(patch, x.planes, x.signed, x.step, x.base), acc)
            scratch.append(acc)
    with low.collecting() as tail:
        if together and isinstance(act, ops.Steps):
            pixel = low.packed(low.derived(node, "pixel"), outs)
            if border:
                assert isinstance(node, ops.IntegerConv)
                layers.with_border(low, act, node, rows, patch, _border_of(node, window, shape, x), pixel)
            else:
                layers.with_threshold(low, act, node, rows, patch, pixel)
            put_bits(low, act, pixel, 1, outs, (height, width), y, pool)
            scratch.append(pixel)
        else:
            if border:
                assert isinstance(node, ops.IntegerConv)
                sums = _as_integers(low, node, sums, outs)
                _add_border(low, node, window, shape, x, acc)
            scratch += _activate(low, node, act, sums, (height, width), y, pool)
            stored = stored if act is not None else Stored(y, step=sums.step, base=sums.base)
    macs = rows.weight.size * height * width
    owner = node if act is None else act
    low.calls.append(
        map_calls.PixelLoop(
            low.names[owner],
            low.origin(owner),
            macs,
            height,
            width,
            rows.groups,
            tuple(body),
            tuple(tail),
            tuple(scratch),
            x.buffer,
            y,
        )
    )
    if pool is not None:
        low.within.add(owner)
    low.stored[pool or owner] = stored


def _activation(low: Lowering, node: Layer) -> ops.Steps | ops.Requantize | None:
    """The channel function to compute with each pixel: the layer's only reader, if its rows are channels."""
    reader = layers.only_reader(low, node)
    channels = node.type.channels
    if isinstance(reader, ops.Steps) and len(reader.at) <= channels and not functions.is_table(reader):
        return reader
    if isinstance(reader, ops.Requantize) and len(reader.start) <= channels and not functions.is_identity(reader):
        return reader
    return None


def _pool(low: Lowering, act: Node | None) -> ops.MaxPool | None:
    """The max-pool that alone reads the bits of ``act``, if its windows lie side by side and inside of the map."""
    reader = layers.only_reader(low, act) if isinstance(act, ops.Steps) and functions.code_planes(act) == 1 else None
    if not isinstance(reader, ops.MaxPool) or reader.type.domain is None:
        return None
    window = reader.window
    apart = window.stride == window.kernel and window.before == (0, 0) and window.dilation == (1, 1)
    return reader if apart else None


def _result(
    low: Lowering, node: Layer, act: ops.Steps | ops.Requantize | None, pool: ops.MaxPool | None, pixels: int
) -> tuple[Buffer, Stored]:
    """The map that the loop writes."""
    channels = node.type.channels
    if isinstance(act, ops.Steps) and pool is not None:
        y = low.packed(low.names[pool], pool.type.size)
        return y, functions.stored_levels(act, y)
    if isinstance(act, ops.Steps):
        y = low.packed(low.names[act], pixels * channels, functions.code_planes(act))
        return y, functions.stored_levels(act, y)
    owner = node if act is None else act
    ctype = "int32_t" if act is None else low.output_ctype(act)
    y = Buffer(low.names[owner], ctype, pixels * channels)
    return y, Stored(y)


def _padding(node: Layer, x: Stored) -> tuple[int, bool]:
    """The code of padded taps, and whether what it adds must be taken back because padding adds nothing."""
    if isinstance(node, ops.IntegerDense) or not node.is_padded:
        return 0, False
    if node.pad_code is None:
        return 0, bool(_border(node, x).any())
    code = (node.pad_code - int(x.base[0])) // x.step
    return (code % (1 << x.planes) if x.planes else code), False


def _as_integers(low: Lowering, node: Layer, sums: Stored, outs: int) -> Stored:
    """Sums of codes as the sums themselves, to which what padding adds can be added."""
    if sums.is_plain:
        return sums
    base = per_element(sums.base, outs)[:, None]
    step, start = np.full_like(base, sums.step), np.zeros_like(base)
    functions.affine(
        low, node, "sum_", sums.buffer, outs, start, step, base, 0, LIMITS["int32_t"], sums.buffer, exact=True
    )
    return Stored(sums.buffer)


def _border(node: ops.IntegerConv, x: Stored) -> Array:
    """What padded taps must add to the sums beyond what code 0 (``q = base``), which stands in their place, adds."""
    return np.asarray(node.border - np.rint(node.over_border(x.base[:1])).astype(np.int64))


def _gather(
    low: Lowering,
    node: Layer,
    shape: tuple[int, int, int],
    window: Window,
    rows: Rows,
    x: Stored,
    patch: Buffer,
    fill: int,
) -> None:
    height, width, channels = shape
    group = Index.GROUP if rows.groups > 1 else 0
    numbers = (
        height,
        width,
        channels,
        group,
        channels // rows.groups,
        *map_calls.geometry(window),
        fill,
        Index.ROW,
        Index.COLUMN,
    )
    if x.planes:
        low.call(map_calls.GatherBits, node, 0, x.buffer, x.planes, *numbers, patch)
    else:
        low.call(map_calls.GatherIntegers, node, 0, Typed(x.buffer), *numbers, Typed(patch))


def _add_border(
    low: Lowering, node: ops.IntegerConv, window: Window, shape: tuple[int, int, int], x: Stored, acc: Buffer
) -> None:
    """Append what padded taps add, by class of pixels."""
    border = _border_of(node, window, shape, x)
    values, tables = border.values[1:], border.tables(low, node)
    table = low.table(node, "border", values, smallest_ctype(values, SIGNED), len(node.weight))
    numbers = border.columns, Typed(table), len(node.weight)
    low.call(map_calls.AddBorder, node, 0, *tables, *numbers, Index.ROW, Index.COLUMN, acc)


def _border_of(node: ops.IntegerConv, window: Window, shape: tuple[int, int, int], x: Stored) -> Border:
    """What padded taps add, by class of pixels."""
    border = _border(node, x)
    valid = window.valid(shape)  # [rows, columns, taps down, taps across]
    row_class, column_class = (_classes(np.asarray(valid.any(axis=other))) for other in ((1, 3), (0, 2)))
    count = int(column_class.max()) + 1
    values = np.zeros(((int(row_class.max()) + 1) * count, len(node.weight)), np.int64)
    for r in range(len(row_class)):
        for c in range(len(column_class)):
            values[row_class[r] * count + column_class[c]] = border[r, c]
    return Border(row_class, column_class, values)


def _classes(reached: Array) -> Array:
    """Positions ``[positions, taps]`` with the same taps on the map have the same number; all taps on it is 0."""
    _, number = np.unique(~reached, axis=0, return_inverse=True)
    number = number.reshape(-1)
    if reached.all(axis=1).any():
        inside = number[np.flatnonzero(reached.all(axis=1))[0]]
        assert inside == 0
        return np.asarray(number)
    return np.asarray(number + 1)


def _activate(
    low: Lowering,
    node: Layer,
    act: ops.Steps | ops.Requantize | None,
    sums: Stored,
    size: tuple[int, int],
    y: Buffer,
    pool: ops.MaxPool | None,
) -> list[Buffer]:
    """Append the activation of one pixel and its way into the map; returns the scratch that this takes."""
    outs = node.type.channels
    if isinstance(act, ops.Steps):
        planes = functions.code_planes(act)
        pixel = low.packed(low.derived(node, "pixel"), outs, planes)
        scratch = functions.steps(low, act, sums, outs, pixel)
        put_bits(low, act, pixel, planes, outs, size, y, pool)
        return [pixel, *scratch]
    if act is None:
        low.call(map_calls.PutIntegers, node, 0, Typed(sums.buffer), outs, size[1], Index.ROW, Index.COLUMN, Typed(y))
        return []
    pixel = Buffer(low.derived(node, "pixel"), y.ctype, outs)
    functions.requantize(low, act, sums, outs, pixel)
    low.call(map_calls.PutIntegers, act, 0, Typed(pixel), outs, size[1], Index.ROW, Index.COLUMN, Typed(y))
    return [pixel]


def put_bits(
    low: Lowering,
    node: Node,
    x: Buffer,
    planes: int,
    n: int,
    size: tuple[int, int],
    y: Buffer,
    pool: ops.MaxPool | None = None,
) -> None:
    """Append the call that puts one pixel's bit planes into a map of ``size``, or into a pool of it."""
    if pool is not None:
        numbers = (n, pool.type.shape[1], *pool.window.kernel, Index.ROW, Index.COLUMN)
        low.call(map_calls.PutPooled, node, 0, x, *numbers, y)
        return
    low.call(map_calls.PutBits, node, 0, x, planes, n, size[0] * size[1] * n, size[1], Index.ROW, Index.COLUMN, y)
