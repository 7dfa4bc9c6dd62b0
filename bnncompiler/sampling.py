"""Where to look: the accumulators at which a channel function must be evaluated to know it everywhere.

Up to `FULL` points all of them are taken (up to `AFFORDABLE` where nothing better is known). A wider range (first
layers read pixels, not signs) is cut at the operators' own breakpoints: between two of them every value on the way is
affine in the accumulator, so a comparison can change only where its two sides cross, which bisection finds exactly.
By induction along the nodes, the function is affine between the breakpoints so found, and a window around each shows
what rounding does there. Where there are curves, enclosures prove on which intervals the function is one value
(`bnncompiler.isolation`), and what is between them is evaluated everywhere; if that is too much, they are refused.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from bnncompiler.cancellation import Form, form
from bnncompiler.enclosure import Cells
from bnncompiler.ir import Array, Domain, Node, per_element
from bnncompiler.isolation import TooManyChanges, isolate
from bnncompiler.ops import Constant, Elementwise
from bnncompiler.oracle import ChannelFunction

FULL = 1 << 21
AFFORDABLE = 1 << 22
WIDEST_WINDOW = 512
MARGIN = 4
SWEEP = 256
STAIRS_LIMIT = 300
BISECTED = 1 << 18  # points evaluated together: more would not be faster, and take memory

Values = Mapping[Node, Array]

_AT_ZERO = {"Abs", "LeakyRelu", "PRelu", "Relu", "Sign"}
_COMPARE = {"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Max", "Min"}
_AFFINE = {
    "Add",
    "And",
    "BatchNormalization",
    "Cast",
    "DequantizeLinear",
    "Mean",
    "Neg",
    "Not",
    "Or",
    "Sub",
    "Sum",
    "Where",
    "Xor",
}
_STAIRS = {"Ceil", "Floor", "QuantizeLinear", "Round"}


class NotPiecewiseError(Exception):
    """The function is not known to be piecewise affine, because of ``node``, so it can only be evaluated everywhere."""

    def __init__(self, node: Node, reason: str) -> None:
        super().__init__(f"{node.name}: {node.op} {reason}")
        self.node = node


@dataclass(frozen=True, eq=False)
class Samples:
    """Points at which to evaluate.

    Attributes:
        q: accumulators ``[points, rows]``, ascending in each column; a column repeats its last value to fill up.
        row: which row of the function each column is.
        reach: how many accumulators around a change of the value the source's error blurs, where that is more than
            the points show; 0 where evaluating at the points shows it.
        undecided: intervals in which rounding may make another value of it, by column, where they are proven to be all;
            None where evaluating at the points, or ``reach``, shows it.
    """

    q: Array
    row: Array
    reach: int = 0
    undecided: Cells | None = None


def bounds(domain: Domain, row: Array, rows: int) -> tuple[Array, Array]:
    """The smallest and the largest accumulator of each row."""
    return per_element(domain.lo, rows)[row], per_element(domain.hi, rows)[row]


def everywhere(domain: Domain, row: Array, rows: int) -> Array:
    """Every accumulator of each row: ``[points, rows]``."""
    lo, hi = bounds(domain, row, rows)
    count = int((hi - lo).max()) // domain.step + 1
    return np.asarray(np.minimum(lo[None, :] + domain.step * np.arange(count)[:, None], hi[None, :]))


def size(domain: Domain) -> int:
    """How many accumulators there are, at most, in a row."""
    return int((domain.hi - domain.lo).max()) // domain.step + 1


def sample(function: ChannelFunction, row: Array, *, full: int = FULL, exactly: bool = False) -> Samples:
    """The points that decide ``function`` on ``row``.

    Args:
        function: a channel function whose source has a domain.
        row: the rows in question.
        full: up to so many points, all are taken.
        exactly: whether exact values decide even where the reference's accumulator is exact.

    Raises:
        NotPiecewiseError: more than `AFFORDABLE` points, and no proof for fewer.
    """
    domain = function.source.domain
    points = size(domain) * len(row)
    if points <= full:
        return Samples(everywhere(domain, row, function.rows), row)
    try:
        starts = pieces(function, row)
    except NotPiecewiseError:
        if points > AFFORDABLE:
            return _isolated(function, row, exactly=exactly or not domain.is_exact)
        return Samples(everywhere(domain, row, function.rows), row)
    lo, hi = bounds(domain, row, function.rows)
    reach = int(reaches(function, row).max(initial=0))
    radius = MARGIN + (reach if reach <= WIDEST_WINDOW else 0)
    window = domain.step * np.arange(-radius, radius + 1)
    q = (starts[:, :, None] + window).reshape(len(row), -1)
    # An even sweep as well: it proves nothing, but shows how much a residue's rounding differs from place to place.
    sweep = lo[:, None] + (hi - lo)[:, None] // domain.step * np.arange(SWEEP + 1) // SWEEP * domain.step
    q = np.sort(np.clip(np.concatenate([q, sweep], axis=1), lo[:, None], hi[:, None]), axis=1)
    return Samples(q.T, row, 0 if reach <= WIDEST_WINDOW else reach)


def _isolated(function: ChannelFunction, row: Array, *, exactly: bool) -> Samples:
    try:
        found = isolate(function, row, exactly=exactly)
    except TooManyChanges as reason:
        raise NotPiecewiseError(reason.node, "changes at too many places to look at all of them") from None
    return Samples(found.q, row, undecided=found.undecided)


def reaches(function: ChannelFunction, row: Array) -> Array:
    """How many accumulators of each row the source's error spans, float32's rounding of the source included."""
    domain = function.source.domain
    scale, offset, error = (
        np.abs(per_element(a, function.rows)[row]) for a in (domain.scale, domain.offset, domain.error)
    )
    lo, hi = bounds(domain, row, function.rows)
    rounding = 2.0**-22 * (scale * np.maximum(np.abs(lo), np.abs(hi)) + offset)
    spanned = (error + rounding) / np.where(scale == 0, np.inf, scale) / domain.step  # a constant row spans nothing
    return np.minimum(np.ceil(spanned), size(domain)).astype(np.int64)


def pieces(function: ChannelFunction, row: Array) -> Array:
    """The first accumulator of each affine piece: ``[rows, pieces]``, ascending, filled up with the largest one."""
    domain = function.source.domain
    lo, hi = bounds(domain, row, function.rows)
    starts = lo[:, None]
    forms: dict[Node, Form] = {}
    for node in function.nodes:
        if any(forms.get(i) for i in node.inputs):
            linear = form(node, forms, function.rows)
            forms[node] = {node: np.ones(1)} if linear is None else linear
            continue
        try:
            crossings = _crossings(function, node, starts, hi)
        except NotPiecewiseError:
            forms[node] = {node: np.ones(1)}  # a curve: it may cancel
            continue
        for crossing in crossings:
            found = [_bisect(function, node, part, row, starts, hi) for part in crossing.split(starts.size)]
            starts = _compact(np.concatenate([starts, *found], axis=1), hi)
    for curve in forms.get(function.sink, {}):
        raise NotPiecewiseError(curve, "is not piecewise affine")
    return starts


@dataclass(frozen=True, eq=False)
class Crossing:
    """An expression in a node's operands, affine on each piece, and the levels at which the node's formula changes."""

    value: Callable[[Values], Array]
    levels: Array = field(default_factory=lambda: np.zeros(1))

    def split(self, points: int) -> list[Crossing]:
        """Crossings with as many of the levels each as bisection on ``points`` at a time should take."""
        at_once = max(1, BISECTED // points)
        return [replace(self, levels=self.levels[i : i + at_once]) for i in range(0, len(self.levels), at_once)]


def _crossings(function: ChannelFunction, node: Elementwise, starts: Array, hi: Array) -> list[Crossing]:
    """Where ``node``'s formula changes."""
    op, x, attrs = node.operator, node.inputs[0], dict(node.attrs)
    if op in _AT_ZERO:
        return [Crossing(lambda v: v[x])]
    if op == "Clip":
        return [_difference(x, node.inputs[1]), _difference(x, node.inputs[2])]
    if op in _COMPARE:
        return [_difference(a, b) for i, a in enumerate(node.inputs) for b in node.inputs[:i]]
    if op == "HardSigmoid":
        alpha, beta = float(attrs["alpha"]), float(attrs["beta"])
        return [Crossing(lambda v: alpha * v[x] + beta, np.array([0.0, 1.0]))]
    if op == "ThresholdedRelu":
        return [Crossing(lambda v: v[x], np.array([attrs["alpha"]]))]
    if op in _STAIRS:
        return [_stairs(function, node, starts, hi)]
    variable = [not isinstance(i, Constant) for i in node.inputs]
    if op in _AFFINE or (op == "Mul" and sum(variable) == 1) or (op == "Div" and variable == [True, False]):
        return []
    raise NotPiecewiseError(node, "is not piecewise affine")


def _difference(a: Node, b: Node) -> Crossing:
    return Crossing(lambda v: v[a] - v[b])


def _stairs(function: ChannelFunction, node: Elementwise, starts: Array, hi: Array) -> Crossing:
    """The crossing of a rounding operator: the places where it jumps, as many as its operand's range holds."""
    x = node.inputs[0]
    half = 0.0 if node.operator in ("Ceil", "Floor") else 0.5

    def operand(v: Values) -> Array:
        return np.asarray(v[x] / v[node.inputs[1]] if node.operator == "QuantizeLinear" else v[x])

    row = np.arange(len(starts))
    ends = np.concatenate([starts, hi[:, None]], axis=1)
    if len(row) != function.rows:
        raise NotPiecewiseError(node, "has a range too wide to be enumerated")
    values = operand(function.values64(function.source.domain.real(ends.T), row, node))
    first, last = np.floor(values.min()) - 1, np.ceil(values.max()) + 1
    if node.operator == "QuantizeLinear":
        info = np.iinfo(node.dtype)
        zero = int(node.inputs[2].value.reshape(-1)[0]) if isinstance(node.inputs[2], Constant) else 0
        first, last = max(first, info.min - zero - 1), min(last, info.max - zero + 1)
    if last - first > STAIRS_LIMIT:
        raise NotPiecewiseError(node, f"takes more than {STAIRS_LIMIT} values")
    return Crossing(operand, np.arange(first, last) + half)


def _bisect(
    function: ChannelFunction, node: Elementwise, crossing: Crossing, row: Array, starts: Array, hi: Array
) -> Array:
    """In each piece, the first accumulator behind each level; the row's largest where the piece does not cross it.

    ``[rows, levels * pieces]``.
    """
    domain = function.source.domain
    scale, offset = (per_element(a, function.rows)[row] for a in (domain.scale, domain.offset))

    def sign(q: Array) -> Array:
        """On which side of each level the value is at ``q [rows, levels, pieces]``."""
        points = q.reshape(len(row), -1)
        value = crossing.value(function.values64((points * scale[:, None] + offset[:, None]).T, row, node))
        above = np.broadcast_to(value, points.T.shape).T.reshape(q.shape) - crossing.levels[:, None]
        return np.asarray(np.sign(above))

    step = domain.step
    shape = len(row), len(crossing.levels), starts.shape[1]
    left = np.broadcast_to(starts[:, None], shape)
    right = np.concatenate([starts[:, 1:] - step, hi[:, None]], axis=1)
    right = np.broadcast_to(np.maximum(starts, right)[:, None], shape)
    before = sign(left)
    changes = sign(right) != before
    low, high = left, right  # invariant where it changes: sign(low) is the old one, sign(high) is not
    while (wide := changes & (high - low > step)).any():
        middle = low + (high - low) // (2 * step) * step
        same = sign(middle) == before
        low = np.where(wide & same, middle, low)
        high = np.where(wide & ~same, middle, high)
    return np.where(changes, high, hi[:, None, None]).reshape(len(row), -1)


def _compact(starts: Array, hi: Array) -> Array:
    """Sorted, without duplicates; short rows are filled up with their largest accumulator."""
    starts = np.sort(starts, axis=1)
    starts[:, 1:][starts[:, 1:] == starts[:, :-1]] = np.iinfo(np.int64).max
    starts = np.sort(starts, axis=1)
    used = int((starts != np.iinfo(np.int64).max).sum(axis=1).max())
    return np.minimum(starts[:, :used], hi[:, None])
