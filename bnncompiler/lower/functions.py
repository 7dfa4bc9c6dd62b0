"""Channel functions as kernel calls: thresholds and levels, requantisation, tables.

Each function here appends the calls that turn one stored value into another, ``n`` elements of it; convolutions use
them for one pixel, everything else for the whole value.
"""

from __future__ import annotations

import math

import numpy as np

from bnncompiler import calls, interpreter, ops
from bnncompiler.ir import Array, Domain, Node, per_element
from bnncompiler.lower import staircase
from bnncompiler.lower.staircase import Line
from bnncompiler.lower.storage import LIMITS, WIDE, Lowering, Stored, smallest_ctype
from bnncompiler.program import Buffer, Typed

FEW_STEPS = 8  # no more thresholds than this are counted fast, and their tables are small
WIDE_STEPS = 16  # more thresholds than this are slower to count than a table is to read
WIDEST_TABLE = 1 << 12


def points(node: Node) -> int:
    """How many values a node can take, over all rows."""
    lo, hi = node.domain.bounds
    return (hi - lo) // node.domain.step + 1


def crossings(node: ops.Steps) -> Array | None:
    """For two levels: thresholds ``[rows, count]`` of which an odd number is reached where the bit is 1.

    A row that begins with 1 has the smallest ``q`` as an additional first threshold; unused ones stand above the
    largest. None where there are more levels than two.
    """
    lo, hi = node.out.bounds
    if hi - lo > node.out.step:
        return None
    least, most = node.x.domain.bounds
    bits = node.levels > lo if node.out.rows == 1 else node.levels > per_element(node.out.lo, len(node.levels))[:, None]
    rows = []
    for at, bit in zip(node.at.tolist(), bits.tolist(), strict=True):
        found = [least] if bit[0] else []
        rows.append(
            found + [t for t, before, now in zip(at, bit, bit[1:], strict=False) if now != before and t <= most]
        )
    count = max(1, max(map(len, rows)))
    return np.array([r + [most + 1] * (count - len(r)) for r in rows], np.int64)


def code_planes(node: ops.Steps) -> int:
    """How many bit planes the codes of the levels take."""
    lo, hi = node.out.bounds
    return max(1, ((hi - lo) // node.out.step).bit_length())


def stored_levels(node: ops.Steps, y: Buffer) -> Stored:
    """The levels of ``node`` as bit planes in ``y``."""
    return Stored(y, code_planes(node), False, node.out.step, np.array([node.out.bounds[0]]))


def is_table(node: ops.Steps) -> bool:
    """Whether levels are better read from a table than counted."""
    wide = node.at.shape[1] > WIDE_STEPS and len(node.at) == 1 and points(node.x) <= WIDEST_TABLE
    return wide and staircase_line(node) is None


def staircase_line(node: ops.Steps) -> Line | None:
    """The line that stands for many even thresholds; None where they are few, or no line has their levels."""
    return staircase.line(node) if node.at.shape[1] > FEW_STEPS else None


def steps(low: Lowering, node: ops.Steps, x: Stored, n: int, y: Buffer) -> list[Buffer]:
    """Append the calls that write the levels of ``n`` elements of ``x`` to ``y``, as bit planes; returns scratch."""
    found = staircase_line(node)
    if found is not None:
        largest = (node.out.bounds[1] - node.out.bounds[0]) // node.out.step
        codes = Buffer(low.derived(node, "codes"), smallest_ctype(np.array([0, largest])), n)
        _on_line(low, node, x, n, found, (0, largest), codes)
        low.call(calls.Slice, node, 0, Typed(codes), n, code_planes(node), y)
        return [codes]
    _count(low, node, x, n, y)
    return []


def _on_line(low: Lowering, node: ops.Steps, x: Stored, n: int, line: Line, bounds: tuple[int, int], y: Buffer) -> None:
    """Append the call that computes levels from ``bounds[0]`` to ``bounds[1]`` by multiplication."""
    rows = max(len(line.multiplier), len(x.base))
    multiplier, bias = (np.repeat(a, rows // len(a), axis=0) for a in (line.multiplier, line.bias))
    bias = bias + multiplier * per_element(x.base, rows)[:, None] + (bounds[0] << line.shift)
    start = np.zeros_like(bias)
    affine(low, node, "", x.buffer, n, start, multiplier * x.step, bias, line.shift, bounds, y, exact=False)


def as_integers(low: Lowering, node: ops.Steps, line: Line, x: Stored, n: int, y: Buffer) -> None:
    """Append the call that writes levels of ``x``, which are on a line and have steps of 1, as integers to ``y``."""
    _on_line(low, node, x, n, line, node.out.bounds, y)


def _count(low: Lowering, node: ops.Steps, x: Stored, n: int, y: Buffer) -> None:
    """Append the call that counts thresholds."""
    crossed = crossings(node)
    at = x.on_codes(node.at if crossed is None else crossed)
    table = Typed(low.table(node, "at", at, None, at.shape[1]))
    if crossed is not None:
        low.call(calls.Threshold, node, 0, Typed(x.buffer), n, table, *at.shape, y)
        return
    codes = (node.levels - node.out.bounds[0]) // node.out.step
    codes = np.repeat(codes, len(at) // len(codes), axis=0)
    counted = (codes == np.arange(codes.shape[1])).all()
    levels = None if counted else low.table(node, "levels", codes, "uint8_t", codes.shape[1])
    low.call(calls.Steps, node, 0, Typed(x.buffer), n, table, *at.shape, levels, code_planes(node), y)


def requantize(low: Lowering, node: ops.Requantize, x: Stored, n: int, y: Buffer) -> None:
    """Append the call that requantises ``n`` elements of ``x`` into ``y``."""
    rows = max(len(node.start), len(x.base))
    multiplier, bias = (np.repeat(a, rows // len(a), axis=0) for a in (node.multiplier, node.bias))
    base = per_element(x.base, rows)[:, None]
    affine(
        low,
        node,
        "",
        x.buffer,
        n,
        x.on_codes(node.start),
        multiplier * x.step,
        bias + multiplier * base,
        node.shift,
        node.out.bounds,
        y,
        _is_exact(node),
    )


def _is_exact(node: ops.Requantize) -> bool:
    """Whether products are results as they are: one piece, nothing shifted, nothing clamped."""
    domain, (lo, hi) = node.x.domain, node.out.bounds
    count = max(len(node.multiplier), len(domain.lo), len(domain.hi))
    multiplier, bias = (per_element(a[:, 0], count) for a in (node.multiplier, node.bias))
    ends = [multiplier * per_element(end, count) + bias for end in (domain.lo, domain.hi)]
    return node.start.shape[1] == 1 and node.shift == 0 and lo <= int(np.min(ends)) and int(np.max(ends)) <= hi


def affine(
    low: Lowering,
    node: Node,
    what: str,
    x: Buffer,
    n: int,
    start: Array,
    multiplier: Array,
    bias: Array,
    shift: int,
    bounds: tuple[int, int],
    y: Buffer,
    exact: bool,
) -> None:
    """Append ``y = clamp((x * multiplier + bias) >> shift)`` by pieces ``[rows, pieces]``.

    Where it is ``exact``, there is one piece, no shift and nothing to clamp.
    """
    rows, pieces = start.shape
    if exact and all(LIMITS["int32_t"][0] <= a.min() and a.max() <= LIMITS["int32_t"][1] for a in (multiplier, bias)):
        factors = (Typed(low.table(node, f"{what}{k}", a)) for k, a in (("multiplier", multiplier), ("bias", bias)))
        low.call(calls.Scale, node, 0, Typed(x), n, *factors, rows, Typed(y))
        return
    start = np.clip(start[:, 1:], *LIMITS["int32_t"])
    parts = (("start", start), ("multiplier", multiplier), ("bias", bias))
    tables = (Typed(low.table(node, f"{what}{k}", a.T, smallest_ctype(a, WIDE), rows)) for k, a in parts)
    low.call(calls.Requantize, node, 0, Typed(x), n, *tables, rows, pieces, shift, *bounds, Typed(y))


def is_identity(node: ops.Requantize) -> bool:
    """Whether the integers stay what they are, and only their meaning changes."""
    return node.shift == 0 and node.start.shape == (1, 1) and node.multiplier[0, 0] == 1 and node.bias[0, 0] == 0


def lookup(low: Lowering, node: ops.Lookup | ops.Steps, x: Stored, n: int, y: Buffer) -> None:
    """Append the call that reads ``n`` elements from a table over all that ``node.x`` can be."""
    lo, step = node.x.domain.bounds[0], node.x.domain.step
    if isinstance(node, ops.Steps):
        values = interpreter.steps(lo + step * np.arange(points(node.x))[:, None], node.at, node.levels).T
    else:
        values = node.table
    start, stride, values = _by_code(x, node.x.domain, values)
    table = low.table(node, "table", values, smallest_ctype(values), values.shape[1])
    low.call(calls.Lookup, node, 0, Typed(x.buffer), n, start, stride, Typed(table), *values.shape, Typed(y))


def _by_code(x: Stored, domain: Domain, values: Array) -> tuple[int, int, Array]:
    """A table by the codes of ``x``, with its first code and their distance, for one over ``domain``.

    Rows whose codes have different bases have their entries in different places.
    """
    rows = len(values) if len(x.base) == 1 else max(domain.rows, len(x.base), len(values))
    base = per_element(x.base, rows)
    lo, hi = domain.bounds if len(x.base) == 1 else (per_element(a, rows) for a in (domain.lo, domain.hi))
    first, last = (lo - base) // x.step, (hi - base) // x.step
    start = int(first.min())
    stride = math.gcd(domain.step // x.step, *map(int, first - start))
    codes = np.arange(start, int(last.max()) + 1, stride)
    entry = (base[:, None] + codes * x.step - domain.bounds[0]) // domain.step
    row = np.arange(rows) % len(values)
    return start, stride, values[row[:, None], np.clip(entry, 0, values.shape[1] - 1)]
