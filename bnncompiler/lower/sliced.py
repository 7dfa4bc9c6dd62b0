"""Tables of the bit-sliced kernels (`bnncompiler.sliced_calls`): weights by input, thresholds and offsets on ``v``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler.ir import Array, Node
from bnncompiler.lower.rows import Layer, Rows
from bnncompiler.lower.storage import Lowering, Stored
from bnncompiler.packing import pack_bits, words
from bnncompiler.program import Table
from bnncompiler.sliced_calls import DIGITS, PLANES, planes_digits, sliced_digits


def planes_fit(rows: Rows, x: Stored) -> bool:
    """Whether ``x`` is unsigned bit planes, of at most a byte, whose sums counters hold; all weights are bipolar."""
    small = not x.signed and x.planes <= PLANES and planes_digits(rows.ins, x.planes) <= DIGITS
    return rows.kinds <= {-1, 1} and small


@dataclass(frozen=True, eq=False)
class Border:
    """What padded taps add to sums, by class of pixels: those whose windows reach out of the map in the same way.

    Attributes:
        row_class: for each row of pixels, its class; 0 is the inside.
        column_class: for each column.
        values: what is added, ``[row classes * column classes, outs]``.
    """

    row_class: Array
    column_class: Array
    values: Array

    @property
    def columns(self) -> int:
        """How many classes of columns there are."""
        return int(self.column_class.max()) + 1

    def tables(self, low: Lowering, node: Node) -> tuple[Table, Table]:
        """The classes of rows and of columns as tables."""
        named = (("row_class", self.row_class), ("column_class", self.column_class))
        rows, columns = (low.table(node, what, values, "uint8_t") for what, values in named)
        return rows, columns


def fits(rows: Rows) -> bool:
    """Whether the counters are wide enough for ``rows``."""
    return sliced_digits(rows.ins) <= DIGITS


def weights(low: Lowering, node: Layer, rows: Rows) -> Table:
    """The weights by input, group after group: row ``i`` of a group has the bits of its outputs for input ``i``.

    A row of zeros follows: kernels that add several rows at a time fill up with it.
    """
    by_input = (rows.weight > 0).reshape(rows.groups, rows.outs, rows.ins).swapaxes(1, 2)
    return low.bit_table(node, "weights", np.pad(by_input, ((0, 0), (0, 1), (0, 0))))


def weights_by_column(low: Lowering, node: Layer, rows: Rows, kernel: tuple[int, int]) -> Table:
    """The weights by column of the window: a row of bits for each of its inputs, from the top, and a row of zeros.

    ``kernel`` is the window's height and width.
    """
    by_tap = (rows.weight > 0).reshape(rows.outs, *kernel, -1)
    by_column = by_tap.transpose(2, 1, 3, 0).reshape(kernel[1], -1, rows.outs)
    return low.bit_table(node, "weights", np.pad(by_column, ((0, 0), (0, 1), (0, 0))))


def offsets(low: Lowering, node: Layer, rows: Rows) -> Table:
    """What is taken from ``2 v`` for the sum of each output."""
    return low.table(node, "offset", rows.ins + 2 * _ones(rows))


def thresholds(low: Lowering, node: Node, rows: Rows, at: Array) -> Table:
    """Thresholds ``at [..., outs, count]`` on sums as those on ``v``, bit-sliced.

    ``sum >= at`` is ``2 v - offset >= at``, that is ``v >= ceil((at + offset) / 2)``.
    """
    digits = sliced_digits(rows.ins)
    on_v = -(-(at + rows.ins + 2 * _ones(rows)[:, None]) // 2)
    lanes = words(rows.outs, low.word_bits) * low.word_bits
    padded = np.full((*at.shape[:-2], lanes, at.shape[-1]), 2**digits - 1)
    padded[..., : rows.outs, :] = np.clip(on_v, 0, 2**digits - 1)
    bits = (padded.swapaxes(-1, -2)[..., None, :] >> np.arange(digits)[:, None]) & 1
    packed = pack_bits(bits, low.word_bits)
    return low.table(node, "at", packed, "bnn_word", packed.shape[-1])


def _ones(rows: Rows) -> Array:
    """How many weights of each output are +1."""
    return np.asarray((rows.weight > 0).sum(axis=1))
