"""Dense layers as kernel calls.

Which dense kernel a layer gets follows from how its input is stored and which values its weights take. Convolutions use
the same kernels, on the taps of one pixel (`bnncompiler.lower.convolutions`).
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from bnncompiler import dense_calls, ops
from bnncompiler.costs import Work
from bnncompiler.ir import Array, Node
from bnncompiler.lower import functions, sliced
from bnncompiler.lower.rows import Layer, Rows
from bnncompiler.lower.storage import SIGNED, Lowering, Stored, smallest_ctype
from bnncompiler.packing import pack_bits, words
from bnncompiler.program import Buffer, Call, Sliced, Table, Typed
from bnncompiler.sliced_calls import (
    DenseSliced,
    DenseSlicedPlanes,
    DenseSlicedThreshold,
    planes_digits,
    sliced_digits,
)
from bnncompiler.tiled_calls import TILE, DenseTiled, DenseTiledThreshold, tiles


def dense(low: Lowering, node: ops.IntegerDense) -> None:
    """Append a dense layer; nothing where the threshold that reads it will compute it (`fused`)."""
    if _fuses(low, node):
        return
    rows = Rows(node.weight)
    y = Buffer(low.names[node], "int32_t", rows.outs)
    low.stored[node] = product(low, node, rows, operand(low, node, rows), y)


def fused(low: Lowering, node: ops.Steps, layer: ops.IntegerDense) -> None:
    """Append a bipolar dense layer together with the threshold ``node``."""
    y = low.packed(low.names[node], node.type.size)
    with_threshold(low, node, layer, Rows(layer.weight), low.stored[layer.x].buffer, y)
    low.stored[node] = functions.stored_levels(node, y)


def operand(low: Lowering, node: Layer, rows: Rows) -> Stored:
    """The layer's input in the form that its kernel reads."""
    if node.shift:
        return low.integers(node.x)
    stored = low.stored[node.x]
    if stored.planes or not rows.wants_planes:
        return stored
    planes, signed = low.plane_count(node.x), node.x.domain.bounds[0] < 0
    on_planes: list[type[Call]] = [dense_calls.DenseBipolar if rows.kinds <= {-1, 1} else dense_calls.DenseTernary]
    on_planes += [DenseSlicedPlanes] if sliced.planes_fit(rows, Stored(stored.buffer, planes, signed)) else []
    work = Work(rows.ins, rows.outs, planes, times=times(node) * rows.groups)
    chosen = low.choose(node, (*on_planes, dense_calls.DenseColumns, *_signs(low, node, rows)), work)
    return low.planes(node.x) if chosen in on_planes else stored


def _signs(low: Lowering, node: Layer, rows: Rows) -> list[type[Call]]:
    """The kernel that adds or takes integers of a byte by a bit, if the layer is one for it."""
    bytes_by_bits = rows.kinds <= {-1, 1} and low.stored[node.x].buffer.ctype in ("uint8_t", "int8_t")
    return [dense_calls.DenseSigns] if bytes_by_bits and rows.groups == 1 else []


def _fuses(low: Lowering, node: Layer) -> bool:
    """Whether the layer's only reader is a threshold that one kernel computes with it."""
    reader = only_reader(low, node)
    return (
        isinstance(reader, ops.Steps)
        and is_xnor(low.stored[node.x], Rows(node.weight.reshape(len(node.weight), -1)))
        and functions.crossings(reader) is not None
        and not functions.is_table(reader)
    )


def only_reader(low: Lowering, node: Node) -> Node | None:
    """The one node that reads ``node``; None where there are more, or where it is an output."""
    users = low.users[node]
    return users[0] if len(users) == 1 and node not in low.graph.outputs else None


def is_xnor(x: Stored, rows: Rows) -> bool:
    """Whether input and weights are both bipolar."""
    return x.is_bipolar and rows.kinds <= {-1, 1}


def times(node: Layer) -> int:
    """How often a layer's weights are multiplied for one sample: once for each pixel."""
    return node.type.size // len(node.weight)


def _part(data: Table | Buffer, stride: int, groups: int) -> Table | Buffer | Sliced:
    """The current group's part of ``data``."""
    return data if groups == 1 else Sliced(data, stride)


def with_threshold(low: Lowering, node: ops.Steps, layer: Layer, rows: Rows, x: Buffer, y: Buffer) -> None:
    """Append the kernel that multiplies bipolar ``rows`` with ``x`` and compares with ``node``'s thresholds."""
    crossed = functions.crossings(node)
    assert crossed is not None
    at = np.repeat(crossed, rows.outs // len(crossed), axis=0)
    macs = rows.weight.size if isinstance(layer, ops.IntegerDense) else 0
    work = Work(rows.ins, rows.outs, thresholds=at.shape[1], times=times(layer))
    kernels = (dense_calls.DenseThreshold, DenseTiledThreshold, *([DenseSlicedThreshold] if sliced.fits(rows) else []))
    kernel = low.choose(layer, kernels, work)
    if kernel is DenseSlicedThreshold:
        tables = sliced.weights(low, layer, rows), sliced.thresholds(low, node, rows, at)
        numbers = at.shape[1], sliced_digits(rows.ins), rows.ins, rows.outs
        low.call(kernel, node, macs, x, *tables, *numbers, low.scratch(node, kernel, work), y)
    else:
        table = Typed(low.table(node, "at", at, None, at.shape[1]))
        w = (_tiles(low, layer, rows),) if kernel is DenseTiledThreshold else _rows(low, layer, rows)
        low.call(kernel, node, macs, x, *w, table, at.shape[1], rows.ins, rows.outs, y)


def product(low: Lowering, node: Layer, rows: Rows, x: Stored, y: Buffer) -> Stored:
    """Append the kernel that multiplies ``rows`` with ``x`` (the input, or a patch of it) into ``y``."""
    macs = rows.weight.size if isinstance(node, ops.IntegerDense) else 0
    ins, outs, groups, kept = rows.ins, rows.outs, rows.groups, rows.kept
    sums = _part(y, outs, groups)

    def part(table: Table, stride: int) -> Table | Buffer | Sliced:
        return _part(table, stride, kept.groups)

    def bits(what: str, values: Array) -> Iterator[object]:
        """Words and tails of rows of bits."""
        w, tail = low.row_tables(node, what, values)
        yield part(w, len(w.values) // kept.groups) if len(w.values) else w
        yield Typed(part(tail, outs) if len(tail.values) else tail)

    if is_xnor(x, rows):
        work = Work(ins, outs, times=times(node) * groups)
        others: list[type[Call]] = [DenseTiled] if groups == 1 or outs % TILE == 0 else []
        others += [DenseSliced] if sliced.fits(rows) else []
        kernel = low.choose(node, (dense_calls.DenseXnor, *others), work)
        if kernel is DenseSliced:
            by_input = part(sliced.weights(low, node, kept), (ins + 1) * words(outs, low.word_bits))
            offset = Typed(part(sliced.offsets(low, node, kept), outs))
            numbers = sliced_digits(ins), ins, outs
            low.call(kernel, node, macs, x.buffer, by_input, offset, *numbers, low.scratch(node, kernel, work), sums)
            return Stored(y)
        if kernel is DenseTiled:
            tiled = _tiles(low, node, kept)
            low.call(kernel, node, macs, x.buffer, part(tiled, len(tiled.values) // kept.groups), ins, outs, sums)
            return Stored(y)
        low.call(kernel, node, macs, x.buffer, *bits("weights", kept.weight > 0), ins, outs, sums)
        return Stored(y)
    if node.shift:
        wide = Typed(part(_weights(low, node, kept), outs * ins))
        low.call(dense_calls.DenseWide, node, macs, Typed(x.buffer), wide, ins, outs, node.shift, sums)
        return Stored(y)
    if not x.planes:
        work = Work(ins, outs, low.plane_count(node.x), times=times(node) * groups)
        kernel = low.choose(node, (dense_calls.DenseInteger, dense_calls.DenseColumns, *_signs(low, node, rows)), work)
        if kernel is dense_calls.DenseSigns:
            signs = low.bit_table(node, "weights", rows.weight.T > 0)
            low.call(kernel, node, macs, Typed(x.buffer), signs, ins, outs, y)
            return Stored(y)
        weights = _weights(low, node, kept, by_input=kernel is dense_calls.DenseColumns)
        low.call(kernel, node, macs, Typed(x.buffer), Typed(part(weights, outs * ins)), ins, outs, sums)
        return Stored(y)
    plane = (x.buffer, x.planes, int(x.signed))
    work = Work(ins, outs, x.planes, times=times(node) * groups)
    on_bits = (dense_calls.DenseBipolar, *([DenseSlicedPlanes] if sliced.planes_fit(rows, x) else []))
    if rows.kinds <= {-1, 1} and low.choose(node, on_bits, work) is DenseSlicedPlanes:
        by_input = part(sliced.weights(low, node, kept), (ins + 1) * words(outs, low.word_bits))
        numbers = planes_digits(ins, x.planes), ins, outs
        scratch = low.scratch(node, DenseSlicedPlanes, work)
        low.call(DenseSlicedPlanes, node, macs, x.buffer, x.planes, by_input, *numbers, scratch, sums)
    elif rows.kinds <= {-1, 1}:
        low.call(dense_calls.DenseBipolar, node, macs, *plane, *bits("weights", kept.weight > 0), None, ins, outs, sums)
    elif rows.wants_planes:
        plus, minus = bits("plus", kept.weight > 0), bits("minus", kept.weight < 0)
        low.call(dense_calls.DenseTernary, node, macs, *plane, *plus, *minus, None, ins, outs, sums)
    else:
        integers = Typed(part(_weights(low, node, kept), outs * ins))
        low.call(dense_calls.DenseSelect, node, macs, *plane, integers, None, ins, outs, sums)
    total = rows.weight.astype(np.int64).sum(axis=1)
    base = int(x.base[0])
    return Stored(y, step=x.step, base=base * total if base else np.zeros(1, np.int64))


def _rows(low: Lowering, node: Layer, rows: Rows) -> tuple[Table, Typed]:
    """Bipolar weights, packed row by row: words and tails."""
    w, tail = low.row_tables(node, "weights", rows.weight > 0)
    return w, Typed(tail)


def _tiles(low: Lowering, node: Layer, rows: Rows) -> Table:
    """Bipolar weights, the words of a few rows side by side."""
    return low.table(node, "weights", tiles(pack_bits(rows.weight > 0, low.word_bits)), "bnn_word", TILE)


def _weights(low: Lowering, node: Layer, rows: Rows, by_input: bool = False) -> Table:
    """The weights as a table of integers, a row for each output, or (group after group) for each input."""
    ctype = smallest_ctype(rows.weight, SIGNED)
    if by_input:
        turned = rows.weight.reshape(rows.groups, rows.outs, rows.ins).swapaxes(1, 2)
        return low.table(node, "weights", turned, ctype, rows.outs)
    return low.table(node, "weights", rows.weight, ctype, rows.ins)
