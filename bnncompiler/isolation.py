"""Isolation: where a function with few values changes, on a range too wide to look at every accumulator.

Branch and bound. On an interval where the region's enclosure (`bnncompiler.enclosure`) is one value, the function does
not change: that is proven, whatever curves are on the way. Any other interval is halved. What is left in the end are
the few single accumulators around each change, and these are looked at.

It is done for exact values and for those that the reference may compute. Where only the latter can be more than one,
rounding decides: such intervals are halved as long as they are few, and then taken as they are, which is on the safe
side. Where the reference's values count (its source is exact), these intervals are looked at everywhere instead.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler.enclosure import Cells, Enclosure, UnknownOperator, enclose
from bnncompiler.ir import Array, Node, per_element
from bnncompiler.oracle import ChannelFunction

NOISE = 2e-6  # relative: values closer than this are one level (a residue's last bits)
PARTS = 64  # a range begins as so many intervals
MANY = 1024  # intervals with a change, on average of the rows: it is no function with few values
CLOSE = 256  # intervals in which rounding may decide, on average of the rows: they are not halved any more
SHORT = 256  # accumulators that are looked at one by one where the reference's values count
MOST_POINTS = 1 << 22


class TooManyChanges(Exception):
    """There are more changes than can be isolated, or ``node`` is in the way of a proof."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.name)
        self.node = node


@dataclass(frozen=True, eq=False)
class Isolated:
    """What is known of a function everywhere.

    Attributes:
        q: accumulators ``[points, rows]``, ascending, around all changes and between; a column repeats its last.
        undecided: intervals in which the reference's rounding may make another value of it; their rows are columns.
    """

    q: Array
    undecided: Cells


def isolate(function: ChannelFunction, row: Array, *, exactly: bool) -> Isolated:
    """Isolate the changes of ``function`` on the rows ``row``.

    Args:
        function: a channel function whose source has a domain.
        row: the rows in question, one for each column of the result.
        exactly: whether exact values count; else the reference's.

    Raises:
        TooManyChanges: there are too many, or no enclosure of some node.
    """
    step = function.source.domain.step
    lo, hi = (per_element(a, function.rows)[row] for a in (function.source.domain.lo, function.source.domain.hi))
    columns = _parts(lo, hi, step)
    done: list[Cells] = []
    undecided: list[Cells] = []
    look: list[Cells] = []
    while len(columns):
        sure, certain = _decided(function, row, columns)
        if not exactly:
            certain = np.zeros_like(certain)
        width = (columns.last - columns.first) // step + 1
        single = width <= (1 if exactly else SHORT)
        open_, close = ~sure & ~certain, ~sure & certain
        if open_.sum() > MANY * len(row):
            raise TooManyChanges(function.sink)
        stays = single | (close & (int(close.sum()) > CLOSE * len(row)))
        done.append(columns.at(sure | (close & stays)))
        look.append(columns.at(open_ & stays))
        undecided.append(columns.at(~sure & stays))
        columns = _halves(columns.at(~sure & ~stays), step)
    look_at = _joined(look)
    if ((look_at.last - look_at.first) // step + 1).sum() > MOST_POINTS:
        raise TooManyChanges(function.sink)
    return Isolated(_points(_joined(done), look_at, hi, step), _joined(undecided))


def _parts(lo: Array, hi: Array, step: int) -> Cells:
    """Each row's range in `PARTS` intervals, or as many as it has accumulators."""
    count = (hi - lo) // step + 1
    edge = count[:, None] * np.arange(PARTS + 1) // PARTS
    column = np.repeat(np.arange(len(lo)), PARTS)
    cells = Cells(column, *((lo[:, None] + step * e).reshape(-1) for e in (edge[:, :-1], edge[:, 1:] - 1)))
    return cells.at(cells.first <= cells.last)


def _halves(cells: Cells, step: int) -> Cells:
    middle = cells.first + (cells.last - cells.first) // (2 * step) * step
    return _joined([Cells(cells.row, cells.first, middle), Cells(cells.row, middle + step, cells.last)])


def _joined(parts: list[Cells]) -> Cells:
    return Cells(*(np.concatenate([getattr(p, name) for p in parts]) for name in ("row", "first", "last")))


def _decided(function: ChannelFunction, row: Array, columns: Cells) -> tuple[Array, Array]:
    """On which cells the reference has one value, whatever it rounds, and on which exact arithmetic has."""
    cells = Cells(row[columns.row], columns.first, columns.last)
    try:
        sure = _is_one(enclose(function, cells, reference=True))
        exact = sure.copy()
        exact[~sure] = _is_one(enclose(function, cells.at(~sure), reference=False))
    except UnknownOperator as reason:
        raise TooManyChanges(reason.node) from None
    return sure, exact


def _is_one(y: Enclosure) -> Array:
    width = y.most.astype(np.float64) - y.least.astype(np.float64)
    return np.asarray(np.isfinite(width) & (width <= 2 * y.noise + NOISE * y.size))


def _points(done: Cells, look: Cells, hi: Array, step: int) -> Array:
    """The ends of all intervals that are ``done``, and everything in those to ``look`` at, as columns."""
    length = (look.last - look.first) // step + 1
    inner = np.arange(length.sum()) - np.repeat(np.cumsum(length) - length, length)
    column = np.concatenate([done.row, done.row, np.repeat(look.row, length)])
    q = np.concatenate([done.first, done.last, np.repeat(look.first, length) + step * inner])
    order = np.lexsort((q, column))
    column, q = column[order], q[order]
    place = np.arange(len(q)) - np.searchsorted(column, column)
    points = np.repeat(hi[None, :], int(place.max()) + 1, axis=0)
    points[place, column] = q
    return points
