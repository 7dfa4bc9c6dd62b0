"""Blur: the accumulators at which the reference's own rounding decides what a threshold makes of them.

What onnxruntime computes in float32 differs from an inexact accumulator's ``real(q)`` by up to the domain's error, so
on accumulators near a threshold it may be on either side. Which those are follows from the region of elementwise nodes
that the threshold came from: it is evaluated at both ends of the error, in float32 and exactly, and where that is
another value than the table's, the accumulator is undecided. An error of more accumulators than that can show is taken
as it is, on both sides of each threshold.

The same threshold has more than one blur: that of the error since the network's inputs, and that of the error since the
last value that onnxruntime was given (`bnncompiler.forcing`).
"""

from __future__ import annotations

from dataclasses import replace
from weakref import WeakKeyDictionary

import numpy as np

from bnncompiler.enclosure import Cells
from bnncompiler.ir import Array, Domain, Graph, Node, per_element
from bnncompiler.isolation import NOISE
from bnncompiler.ops import Constant, Input, Steps
from bnncompiler.oracle import ChannelFunction
from bnncompiler.sampling import FULL, reaches, sample, size

AT_ONCE = 1 << 24  # points evaluated together

_of_inputs: WeakKeyDictionary[Node, Array] = WeakKeyDictionary()


def undecided(node: Steps) -> Array:
    """The accumulators ``first <= q_x < last`` at which rounding since the network's inputs decides.

    ``[rows, count, 2]``, an interval for each threshold; empty where ``first == last``.
    """
    if node not in _of_inputs:
        _of_inputs[node] = within(node, node.x.domain.error)
    return _of_inputs[node]


def count(node: Steps) -> int:
    """At how many accumulators, over all channels, rounding decides."""
    found = undecided(node)
    points = int(np.maximum(found[..., 1] - found[..., 0], 0).sum()) // node.x.domain.step
    return points * max(1, node.type.channels // len(found))


def total(graph: Graph) -> int:
    """`count` over all thresholds of ``graph``."""
    return sum(count(n) for n in graph.nodes() if isinstance(n, Steps))


def reached(found: Array, q: Array) -> Array:
    """Which of ``q [samples, elements]`` are in one of the intervals ``found``."""
    row = np.arange(q.shape[1]) % len(found)
    inside = np.zeros(q.shape, bool)
    for k in range(found.shape[1]):
        first, last = found[:, k, 0], found[:, k, 1]
        if (first < last).any():
            inside |= (q >= first[row]) & (q < last[row])
    return inside


def within(node: Steps, error: Array) -> Array:
    """As `undecided`, for another ``error`` (by row) of the accumulator."""
    exact = node.x.domain.is_exact or not isinstance(node.function, ChannelFunction)
    if exact or not node.at.shape[1]:
        return np.repeat(node.at[:1, :, None], 2, axis=2)
    assert isinstance(node.function, ChannelFunction)
    function = _on(node.function, node.x, replace(node.x.domain, error=error))
    rows = max(function.rows, len(node.at))
    columns = [*node.at.T, function.distinct[1], function.source.domain.error]
    table = np.stack([per_element(np.asarray(c), rows) for c in columns])
    _, first, kind = np.unique(table, axis=1, return_index=True, return_inverse=True)
    at = np.repeat(node.at, rows // len(node.at), axis=0) if len(node.at) > 1 else np.repeat(node.at, rows, axis=0)
    points = size(function.source.domain)
    at_once = max(1, AT_ONCE // points) if points <= FULL else len(first)
    parts = [_of(function, r % function.rows, at[r]) for r in np.split(first, range(at_once, len(first), at_once))]
    return np.asarray(np.concatenate(parts)[kind.reshape(-1)])


def _on(function: ChannelFunction, x: Node, domain: Domain) -> ChannelFunction:
    """``function`` on a value like ``x``, with ``domain``."""
    source = Input(x.name, replace(x.type, domain=domain))
    moved: dict[Node, Node] = {function.source: source}
    for inner in function.nodes:
        moved[inner] = replace(inner, inputs=tuple(i if isinstance(i, Constant) else moved[i] for i in inner.inputs))
    return ChannelFunction(source, moved[function.sink])


def _of(function: ChannelFunction, row: Array, at: Array) -> Array:
    """The undecided intervals ``[rows, count, 2]`` of the rows ``row`` with thresholds ``at``."""
    domain = function.source.domain
    samples = sample(function, row, exactly=True)
    if samples.undecided is not None:
        return _at_nearest(at, samples.undecided, domain.step)
    if samples.reach:
        return np.asarray(at[:, :, None] + domain.step * reaches(function, row)[:, None, None] * np.array([-1, 1]))
    q = samples.q
    scale, offset, error = (per_element(a, function.rows)[row] for a in (domain.scale, domain.offset, domain.error))
    x = q * scale + offset
    y = function.evaluate64(x, row).astype(np.float64)
    tolerance = NOISE * max(1e-30, float(np.abs(y).max()))
    ulp = np.abs(x) * 2.0**-23
    differs = np.zeros(x.shape, bool)
    for shifted in (x - error - ulp, x, x + error + ulp):
        for evaluate in (function.evaluate64, function.evaluate32):
            differs |= ~(np.abs(evaluate(shifted, row).astype(np.float64) - y) <= tolerance)
    return _at_nearest(at, _runs(q, differs, domain.step), domain.step)


def _runs(q: Array, differs: Array, step: int) -> Cells:
    """Runs of blurred points as intervals."""
    apart = np.concatenate([np.ones((1, q.shape[1]), bool), np.diff(q, axis=0) > step])
    before = np.concatenate([np.zeros((1, q.shape[1]), bool), differs[:-1]])
    starts = differs & (apart | ~before)
    row, point = np.nonzero(starts.T)  # in the order of rows, then of accumulators
    last = np.nonzero(_ends(differs, apart).T)[1]
    return Cells(row, q[point, row], q[last, row])


def _at_nearest(at: Array, blurred: Cells, step: int) -> Array:
    """Blurred intervals as those of the thresholds ``at`` that are nearest to them: ``[rows, count, 2]``."""
    undecided = np.repeat(at[:, :, None], 2, axis=2)
    cells = zip(blurred.row.tolist(), blurred.first.tolist(), (blurred.last + step).tolist(), strict=True)
    for r, lo, hi in cells:
        k = int(np.argmin(np.minimum(np.abs(at[r] - lo), np.abs(at[r] - hi))))
        old_lo, old_hi = undecided[r, k]
        undecided[r, k] = (lo, hi) if old_lo == old_hi else (min(lo, old_lo), max(hi, old_hi))
    return undecided


def _ends(differs: Array, apart: Array) -> Array:
    """The last point of each run of blurred points."""
    nothing = np.zeros((1, differs.shape[1]), bool)
    return np.asarray(differs & (np.concatenate([apart[1:], ~nothing]) | ~np.concatenate([differs[1:], nothing])))
