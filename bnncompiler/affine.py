"""A channel function as affine pieces: slopes and intercepts by row, and bounds on what float32 makes of them.

The pieces are those of `bnncompiler.sampling`. A bound is for one evaluation by the operators of the graph: one
rounding for each of them, times the slope from there to the result.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from bnncompiler.accumulator import UNIT_ROUNDOFF, batch_norm_size
from bnncompiler.errors import UnsupportedModel
from bnncompiler.ir import Array, Node, per_element
from bnncompiler.oracle import ChannelFunction
from bnncompiler.ranges import Interval
from bnncompiler.sampling import bounds

EVERYTHING: Interval = (-math.inf, math.inf)


@dataclass(frozen=True, eq=False)
class AffinePieces:
    """The function as ``y = slope * q + intercept`` on pieces ``[rows, pieces]``.

    ``range`` is that of the values, ``error`` (by row) what float32 makes of an exact source, ``gain`` and ``jump`` are
    those of `ops.Requantize`, and ``span`` is how far ``q`` goes.
    """

    start: Array
    last: Array
    slope: Array
    intercept: Array
    range: tuple[float, float]
    error: Array
    gain: Array
    jump: Array
    span: int

    @property
    def largest(self) -> float:
        """The largest magnitude."""
        return max(abs(v) for v in self.range)


def affine(function: ChannelFunction, start: Array, valid: Interval = EVERYTHING) -> AffinePieces:
    """The affine form of ``function`` on its pieces; ranges and errors are those within ``valid``."""
    domain, row = function.source.domain, np.arange(function.rows)
    _, hi = bounds(domain, row, function.rows)
    scale, offset = (per_element(a, function.rows) for a in (domain.scale, domain.offset))
    last = np.maximum(start, np.concatenate([start[:, 1:] - domain.step, hi[:, None]], axis=1))
    ends = [function.values64((q * scale[:, None] + offset[:, None]).T) for q in (start, last)]
    run = np.where(last > start, last - start, 1)
    slope = (ends[1][function.sink].T.astype(np.float64) - ends[0][function.sink].T) / run
    first = ends[0][function.sink].T.astype(np.float64)
    if not (np.isfinite(slope).all() and np.isfinite(first).all()):
        raise UnsupportedModel(
            f"{function.sink.name}: {function.sink.op} is not a finite number for some input of its range"
        )
    within = [inside - start for inside in _inside(start, last, slope, first, valid)]

    def line(node: Node) -> tuple[Array, Array, Array]:
        """Slope of ``node``'s value, and its values at the ends of what is valid of each piece."""
        y0, y1 = (v[node].T.astype(np.float64) for v in ends)
        own = (y1 - y0) / run
        return own, y0 + own * within[0], y0 + own * within[1]

    _, y0, y1 = line(function.sink)
    jumps = _jumps(slope, ends[0][function.sink].T, ends[1][function.sink].T, domain.step)
    error = np.zeros(slope.shape)
    for node in function.nodes:
        own, v0, v1 = line(node)
        through = np.where(own != 0, np.abs(slope / np.where(own == 0, 1, own)), 0.0)
        magnitude = np.maximum(np.abs(v0), np.abs(v1))
        if node.operator == "BatchNormalization":
            _, x0, x1 = line(node.inputs[0])
            parameters = [ends[0][i].T for i in node.inputs[1:]]
            x = np.maximum(np.abs(x0), np.abs(x1))
            magnitude = batch_norm_size(x, magnitude, parameters, float(dict(node.attrs)["epsilon"]))
        error += _unit(node) * magnitude * through
    gain = np.abs(slope / np.where(scale == 0, np.inf, scale)[:, None])
    least, most = (float(np.clip(end, *valid)) for end in (min(y0.min(), y1.min()), max(y0.max(), y1.max())))
    largest = max(abs(least), abs(most))
    unit = max(_unit(function.source), _unit(function.sink))
    rounds_off = np.zeros(slope.shape, bool)
    for q, y in ((start + within[0], y0), (start + within[1], y1)):
        y32 = function.evaluate32((q * scale[:, None] + offset[:, None]).T).T
        rounds_off |= np.abs(y32 - y) > error + 2 * unit * largest
    error += jumps * rounds_off + unit * largest  # the error is measured from float32(real(q))
    invalid = ((y0 < valid[0]) & (y1 < valid[0])) | ((y0 > valid[1]) & (y1 > valid[1]))
    for of_piece in (error, gain, jumps):
        of_piece[invalid] = 0
    error, gain, jumps = (of_piece.max(axis=1) for of_piece in (error, gain, jumps))
    span = domain.bounds[1] - domain.bounds[0]
    return AffinePieces(start, last, slope, first - slope * start, (least, most), error, gain, jumps, span)


def _unit(node: Node) -> float:
    """What a node rounds off by, relative to its value: as much as its own type does, float16 in a float32 file too."""
    return UNIT_ROUNDOFF.get(node.type.dtype, UNIT_ROUNDOFF["float32"])


def _inside(start: Array, last: Array, slope: Array, first: Array, valid: Interval) -> tuple[Array, Array]:
    """The ends of the part of each piece on which the value is within ``valid``; where that is none, its nearer end."""
    if valid == EVERYTHING:
        return start, last
    steep = np.where(slope == 0, 1.0, slope)
    low, high = ((edge - first) / steep for edge in valid)
    low, high = np.minimum(low, high), np.maximum(low, high)
    flat = slope == 0
    begin = np.clip(np.where(flat, 0, np.floor(low)), 0, last - start).astype(np.int64)
    end = np.clip(np.where(flat, last - start, np.ceil(high)), begin, last - start).astype(np.int64)
    return start + begin, start + end


def _jumps(slope: Array, y0: Array, y1: Array, step: int) -> Array:
    """How far the value jumps at the ends of each piece, beyond its slope."""
    gap = np.abs(y0[:, 1:] - y1[:, :-1])
    jump = np.where(gap > 1.01 * step * np.maximum(np.abs(slope[:, 1:]), np.abs(slope[:, :-1])), gap, 0.0)
    none = np.zeros((len(slope), 1))
    return np.asarray(np.maximum(np.concatenate([none, jump], axis=1), np.concatenate([jump, none], axis=1)))
