"""What follows the sums of a convolution: the activation, and the way into the map, by pixel or by row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from bnncompiler import map_calls, ops
from bnncompiler.convolution_calls import PoolRow
from bnncompiler.lower import functions
from bnncompiler.lower.storage import SIGNED, Lowering, Stored, smallest_ctype
from bnncompiler.lower.windows import Convolution
from bnncompiler.map_calls import Index, PixelLoop
from bnncompiler.packing import words
from bnncompiler.program import Buffer, Call, Typed


@dataclass(frozen=True)
class Portion:
    """What is computed at a time: the outputs of a pixel, or of a row of pixels.

    Attributes:
        n: how many they are.
        columns: how many portions make a row of the map.
        column: which of them this is.
    """

    n: int
    columns: int
    column: Index | int

    @classmethod
    def pixel(cls, conv: Convolution) -> Portion:
        """One pixel of ``conv``."""
        return cls(conv.outs, conv.size[1], Index.COLUMN)

    @classmethod
    def row(cls, conv: Convolution) -> Portion:
        """A row of pixels."""
        return cls(conv.outs * conv.size[1], 1, 0)


def activate(low: Lowering, conv: Convolution, sums: Stored, portion: Portion, y: Buffer) -> list[Buffer]:
    """Append the activation of a portion and what puts it into the map; returns the scratch that this takes."""
    act, n = conv.act, portion.n
    where = n, portion.columns, Index.ROW, portion.column, Typed(y)
    if isinstance(act, ops.Steps):
        planes = functions.code_planes(act)
        bits = low.packed(low.derived(conv.node, "pixel"), n, planes)
        scratch = functions.steps(low, act, sums, n, bits)
        return [bits, *scratch, *put_bits(low, conv, bits, portion, y)]
    if act is None:
        low.call(map_calls.PutIntegers, conv.node, 0, Typed(sums.buffer), *where)
        return []
    values = Buffer(low.derived(conv.node, "pixel"), y.ctype, n)
    functions.requantize(low, act, sums, n, values)
    low.call(map_calls.PutIntegers, act, 0, Typed(values), *where)
    return [values]


def add_border(low: Lowering, conv: Convolution, portion: Portion, sums: Buffer) -> None:
    """Append what padded taps add to the sums of a portion, by class of pixels."""
    assert conv.border is not None
    values, tables = conv.border.values[1:], conv.border.tables(low, conv.node)
    table = low.table(conv.node, "border", values, smallest_ctype(values, SIGNED), conv.outs)
    where = Index.ROW, portion.column, portion.n // conv.outs
    low.call(map_calls.AddBorder, conv.node, 0, *tables, conv.border.columns, Typed(table), conv.outs, *where, sums)


def put_bits(low: Lowering, conv: Convolution, bits: Buffer, portion: Portion, y: Buffer) -> list[Buffer]:
    """Append what puts the activation's bits into the map, or into a map of pools; returns the scratch it takes."""
    assert isinstance(conv.act, ops.Steps)
    n, columns, where = portion.n, portion.columns, (Index.ROW, portion.column)
    if conv.pool is None:
        planes, total = functions.code_planes(conv.act), conv.size[0] * columns * n
        low.call(map_calls.PutBits, conv.owner, 0, bits, planes, n, total, columns, *where, y)
        return []
    (down, across), pools = conv.pool.window.kernel, conv.pool.type.shape[1]
    if portion == Portion.pixel(conv):
        low.call(map_calls.PutPooled, conv.owner, 0, bits, n, pools, down, across, *where, y)
        return []
    pooled = Buffer(low.derived(conv.node, "pooled"), "bnn_word", words(pools * conv.outs, low.word_bits))
    low.call(PoolRow, conv.owner, 0, bits, conv.size[1], conv.outs, across, pooled)
    low.call(map_calls.PutPooled, conv.owner, 0, pooled, pools * conv.outs, 1, down, 1, *where, y)
    return [pooled]


def loop(
    low: Lowering, conv: Convolution, body: Sequence[Call], tail: Sequence[Call], scratch: Sequence[Buffer], y: Buffer
) -> None:
    """Append the loop over pixels around these calls."""
    about = low.names[conv.owner], low.origin(conv.owner), conv.macs
    size = *conv.size, conv.rows.groups
    low.calls.append(PixelLoop(*about, *size, tuple(body), tuple(tail), tuple(scratch), conv.x.buffer, y))


def row_loop(low: Lowering, conv: Convolution, body: Sequence[Call], scratch: Sequence[Buffer], y: Buffer) -> None:
    """Append the loop over rows around calls that compute a whole one."""
    about = low.names[conv.owner], low.origin(conv.owner), conv.macs
    low.calls.append(PixelLoop(*about, conv.size[0], 1, 1, tuple(body), (), tuple(scratch), conv.x.buffer, y))
