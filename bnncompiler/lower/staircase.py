"""Staircases as multiplications: many even thresholds are ``(q * multiplier + bias) >> shift``, if that is the same.

A ``b``-bit activation has ``2**b - 1`` thresholds a channel. Where they came from rounding a linear function they lie
evenly, and two numbers stand for all of them. Nothing is assumed about where they came from: which multipliers and
biases give every level follows from the accumulators at both ends of each tread, by integer arithmetic.

A tread from ``first`` to ``last`` with code ``c`` (the results are clamped to the smallest and the largest code)::

    first m + b >= c 2**s    where c is not the smallest
    last m + b < (c + 1) 2**s    where c is not the largest

There is a ``b`` for all of them where each lower bound on it is below each upper bound, and that bounds ``m``.
"""

from __future__ import annotations

import bisect
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from bnncompiler import ops
from bnncompiler.ir import Array, per_element

LARGEST_SHIFT = 30
LARGEST = 2**31 - 1


@dataclass(frozen=True, eq=False)
class Line:
    """``code = clamp((q * multiplier + bias) >> shift, 0, largest code)``, by row ``[rows, 1]``."""

    multiplier: Array
    bias: Array
    shift: int


@dataclass(frozen=True, eq=False)
class _Bounds:
    """For one row: accumulators ``at`` with the codes that they must ``reach``, and ones that must stay ``below``."""

    at_least: Array
    reach: Array
    at_most: Array
    below: Array


@lru_cache(maxsize=256)
def line(node: ops.Steps) -> Line | None:
    """The line that has the codes of ``node``, from 0 on; None where there is none."""
    domain, rows = node.x.domain, len(node.at)
    if 1 < rows < domain.rows:
        return None
    lo, hi = (
        per_element(a, rows) if rows > 1 else np.array([b])
        for a, b in zip((domain.lo, domain.hi), domain.bounds, strict=True)
    )
    least, most = node.out.bounds
    codes, largest = (node.levels - least) // node.out.step, (most - least) // node.out.step
    bounds = [_bounds(node.at[r], codes[r], int(lo[r]), int(hi[r]), domain.step, largest) for r in range(rows)]
    if _rows(bounds, LARGEST_SHIFT) is None:
        return None
    # What one shift can, the next can, too: with twice the multipliers and biases. Small shifts make small numbers.
    shift = bisect.bisect_left(range(LARGEST_SHIFT), True, key=lambda s: _rows(bounds, s) is not None)
    numbers = _rows(bounds, shift)
    return None if numbers is None else Line(numbers[:, :1], numbers[:, 1:], shift)


def _bounds(at: Array, codes: Array, lo: int, hi: int, step: int, largest: int) -> _Bounds:
    """What one row demands: its thresholds ``at``, the codes between them, and the accumulators that there are."""
    first = np.maximum(lo, lo + -(-(at.astype(np.int64) - lo) // step) * step)
    starts, ends = np.append(lo, first), np.append(first - step, lo + (hi - lo) // step * step)
    there = (starts <= ends) & (starts <= hi)
    ends = np.minimum(ends, hi)
    lower, upper = there & (codes > 0), there & (codes < largest)
    return _Bounds(starts[lower], codes[lower], ends[upper], codes[upper] + 1)


def _rows(bounds: list[_Bounds], shift: int) -> Array | None:
    """Multiplier and bias of each row ``[rows, 2]``; None where some row has none."""
    found = []
    for one in bounds:
        pair = _row(one, shift)
        if pair is None:
            return None
        found.append(pair)
    return np.array(found, np.int64)


def _row(bounds: _Bounds, shift: int) -> tuple[int, int] | None:
    """The multiplier and the bias of one row with a given shift; None where there are none."""
    reach, below = (codes.astype(np.int64) << shift for codes in (bounds.reach, bounds.below))
    if not len(reach) or not len(below):  # the smallest code everywhere, or the largest
        return 0, int(reach.max(initial=0))
    # reach[i] - at_least[i] m <= below[j] - 1 - at_most[j] m for each i and j.
    distance = bounds.at_most - bounds.at_least[:, None]
    room = below - 1 - reach[:, None]
    if (room[distance == 0] < 0).any():
        return None
    further, nearer = distance > 0, distance < 0
    most = min(LARGEST, int((room[further] // distance[further]).min(initial=LARGEST)))
    multiplier = max(0, int((-(room[nearer] // -distance[nearer])).max(initial=0)))
    if multiplier > most:
        return None
    return multiplier, int((reach - bounds.at_least * multiplier).max())
