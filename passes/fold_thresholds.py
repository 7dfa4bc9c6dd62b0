"""Fold thresholds: an elementwise region with few values becomes the accumulators at which its value changes.

Nothing is matched. The region behind a value (batch norm, scales, PReLU, the sign idiom, residues of a straight-through
estimator, ...) is a channel function of one integer, and onnxruntime evaluates it on every integer that can occur
(`bnncompiler.sampling` says which must be looked at). What comes out is read off::

    sign(prelu(batch_norm(acc)))   ->  steps(acc, at, levels)

One change is a threshold, two make a window or a ternary value, none a constant. Two levels of any size are a bipolar
value; more levels must lie on one grid.

Where the accumulator is exact in float32, onnxruntime's float32 values decide. Where it is not (weights with a scale,
pixels / 255), exact arithmetic decides; near a threshold float32 rounding may decide otherwise, and `bnncompiler.blur`
says where.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bnncompiler.errors import UnsupportedModel
from bnncompiler.ir import Array, Domain, Graph, Node, bipolar, per_element, rows
from bnncompiler.isolation import NOISE
from bnncompiler.ops import Elementwise, Steps
from bnncompiler.oracle import ChannelFunction, sources
from bnncompiler.passes.base import rewrite_sinks
from bnncompiler.sampling import FULL, NotPiecewiseError, bounds, sample, size

MAX_STEPS = 16  # thresholds of any region: more is a continuous function of a narrow accumulator, most likely
MAX_STAIRS = 255  # thresholds of a region whose levels all lie on one grid: an 8-bit activation
ROUNDING = {"Ceil", "Floor", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "QuantizeLinear", "Round"}
ROWS_AT_ONCE = 1 << 24  # points evaluated together


@dataclass(frozen=True)
class FoldThresholds:
    """An elementwise region of one integer with few changes, or with few evenly spaced levels, to ``steps``."""

    name: str = "fold-thresholds"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with its discrete regions folded."""

        def rule(node: Node, was: Node) -> Node | None:
            if not isinstance(node, Elementwise):
                return None
            found = sources(node)
            if len(found) != 1 or found[0].type.domain is None:
                return None
            return fold(ChannelFunction(found[0], node), uniform=was in graph.outputs)

        return rewrite_sinks(graph, rule)


@dataclass(frozen=True, eq=False)
class _Runs:
    """What sampling found in each row: the values in order of the accumulator, and where each run of them begins.

    ``begin [rows, count]`` is filled up with the end of the range, ``value [rows, count + 1]`` with the last value.
    """

    begin: Array
    value: Array
    noise: float = 0.0  # how much the values of one run differ


def fold(function: ChannelFunction, *, uniform: bool = False) -> Steps | None:
    """The ``steps`` that ``function`` is, or None where it has too many values (``uniform``: or no common grid)."""
    runs = _runs(function)
    if runs is None:
        return None
    grid = _grid(runs.value, uniform=uniform)
    if grid is None:
        return None
    out, levels = grid
    out = replace(out, error=out.error + runs.noise)
    at = runs.begin
    if len(at) > 1 and (at == at[:1]).all() and (levels == levels[:1]).all():
        at, levels = at[:1], levels[:1]
    return Steps(function.sink.name, function.source, at, levels, out, function, function.sink.type.dtype)


def _runs(function: ChannelFunction) -> _Runs | None:
    """Sample each distinct row once, and spread what was found over all rows."""
    first, kind = function.distinct
    domain = function.source.domain
    at_once = max(1, ROWS_AT_ONCE // size(domain)) if size(domain) <= FULL else len(first)
    parts: list[_Runs] = []
    for i in range(0, len(first), at_once):
        part = _runs_of(function, first[i : i + at_once])
        if part is None:
            return None
        parts.append(part)
    count = max(p.begin.shape[1] for p in parts)
    begin = np.concatenate([_widen(p.begin, count) for p in parts])[kind]
    value = np.concatenate([_widen(p.value, count + 1) for p in parts])[kind]
    return _Runs(begin, value, max(p.noise for p in parts))


def _is_staircase(function: ChannelFunction) -> bool:
    """Whether the function rounds: many even levels are then its nature, and not a slope on a narrow accumulator."""
    return any(n.operator in ROUNDING for n in function.nodes)


def _widen(a: Array, columns: int) -> Array:
    return np.concatenate([a, np.repeat(a[:, -1:], columns - a.shape[1], axis=1)], axis=1)


def _runs_of(function: ChannelFunction, row: Array) -> _Runs | None:
    domain = function.source.domain
    try:
        q = sample(function, row).q
    except NotPiecewiseError:
        return None
    scale, offset = (per_element(a, function.rows)[row] for a in (domain.scale, domain.offset))
    x = q * scale + offset
    y = (function.evaluate32(x, row) if domain.is_exact else function.evaluate64(x, row)).astype(np.float64)
    if not np.isfinite(y).all():
        where = np.argwhere(~np.isfinite(y))[0]
        raise UnsupportedModel(
            f"{function.sink.name}: {function.sink.op} is not a finite number where {function.source.name} is "
            f"{x[tuple(where)]:g}; a division by zero or an overflow in the model, or a norm by each sample's own "
            "statistics, which does not compile: use BatchNormalization"
        )
    tolerance = NOISE * max(1e-30, float(np.abs(y).max()))
    changed = np.abs(np.diff(y, axis=0)) > tolerance
    count = int(changed.sum(axis=0).max(initial=0))
    if count > MAX_STAIRS or (count > MAX_STEPS and not _is_staircase(function)):
        return None
    if (np.diff(q, axis=0)[changed] > domain.step).any():
        return None  # the value changes where nobody looked: not a step function
    begin, value = _run_lengths(q, y, changed, max(1, count), bounds(domain, row, function.rows)[1] + 1)
    run = np.concatenate([np.zeros((1, len(row)), np.int64), np.cumsum(changed, axis=0)])
    noise = float(np.abs(np.take_along_axis(value, run.T, axis=1).T - y).max())
    return _Runs(begin, value, noise)


def _run_lengths(q: Array, y: Array, changed: Array, count: int, end: Array) -> tuple[Array, Array]:
    """First accumulators and values of the runs of equal values in each column."""
    begin = np.repeat(end[:, None], count, axis=1)
    column, point = np.nonzero(changed.T)
    ordinal = np.arange(len(column)) - np.searchsorted(column, column)
    begin[column, ordinal] = q[point + 1, column]
    value = np.repeat(y[0][:, None], count + 1, axis=1)
    for k in range(1, count + 1):
        mine = column[ordinal == k - 1]
        value[mine, k:] = y[point[ordinal == k - 1] + 1, mine][:, None]
    return begin, value


def _grid(value: Array, *, uniform: bool) -> tuple[Domain, Array] | None:
    """The grid that the values ``[rows, count]`` lie on, and their integers on it."""
    levels = _distinct(value)
    if len(levels) <= 2:
        low, high = levels[0], levels[-1]
        if low == high:
            low, high = (-abs(low), abs(low)) if low else (-1.0, 1.0)
            if not value.any():
                return Domain(rows(1), rows(0), rows(0), rows(0)), np.zeros(value.shape, np.int64)
        return bipolar(low, high, np.abs(np.where(value > (low + high) / 2, high, low) - value).max()), _signs(
            value, low, high
        )
    common = _common_grid(levels, value)
    if common is not None or value.shape[1] > MAX_STEPS + 1:
        return common
    low, high = value.min(axis=1), value.max(axis=1)
    off = np.minimum(np.abs(value - low[:, None]), np.abs(value - high[:, None])).max(axis=1)
    if uniform or (off > NOISE * np.abs(value).max()).any():
        return None
    return bipolar(low, high, off), _signs(value, low[:, None], high[:, None])


def _signs(value: Array, low: object, high: object) -> Array:
    return np.where(np.abs(value - np.asarray(high)) < np.abs(value - np.asarray(low)), 1, -1)


def _distinct(value: Array) -> Array:
    """The different values, in order; values within the noise of each other are one."""
    ordered = np.unique(value)
    gap = np.diff(ordered) > NOISE * max(1e-30, float(np.abs(ordered).max()))
    starts = np.concatenate([[0], np.flatnonzero(gap) + 1])
    return np.asarray(ordered[starts])


def _common_grid(levels: Array, value: Array) -> tuple[Domain, Array] | None:
    """One grid for all rows, as fine as the smallest gap; None where the levels are not evenly spaced."""
    gap = float(np.diff(levels).min())
    span = levels[-1] - levels[0]
    count = int(np.rint(span / gap))
    if count > 255:
        return None
    scale = span / count
    offset = 0.0 if abs(levels[0] / scale - np.rint(levels[0] / scale)) < 1e-4 else float(levels[0])
    if offset == 0.0 and np.rint(levels[-1] / scale) != 0:
        end = levels[-1] if abs(levels[-1]) >= abs(levels[0]) else levels[0]
        scale = float(end / np.rint(end / scale))
    q = np.rint((value - offset) / scale)
    off = np.abs(value - (q * scale + offset))
    if off.max() > 1e-4 * scale:
        return None
    as_float = np.abs(value - (q * scale + offset).astype(np.float32)).max()
    out = Domain(rows(scale), rows(offset), rows(q.min()), rows(q.max()), 1, rows(as_float))
    return out, q.astype(np.int64)
