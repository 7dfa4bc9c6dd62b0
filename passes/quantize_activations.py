"""Quantise activations: a region with many values becomes fixed point, with a bound on what that costs.

What `fold_thresholds` leaves is continuous: logits, ReLU activations of BinaryConnect, the input of a last real
layer. The region is still a channel function of one integer. Cut at its breakpoints (`bnncompiler.sampling`) it is
affine piece by piece, so it is a multiplication, an addition and a shift on each::

    y = a_k x + b_k  for x in piece k   ->   q_y = (q_x * multiplier_k + bias_k) >> shift

A region that is no such thing (a sigmoid) becomes a table over the accumulator's range; where that is too wide, what
leads up to the curve becomes a stream of `CURVE_BITS` bits first, and the curve a table over those.

The grid: a function that is affine and the same for all channels keeps its integers, and only their meaning changes.
Otherwise outputs get one 32-bit scale for all channels, so that logits compare as integers; where all of them already
lie on one grid (equal scales, no bias) that is kept and the result is exact. Hidden streams get up to ``stream_bits``
bits.

A map whose scales differ from pixel to pixel (the phases of a transposed convolution have each its own) gets one scale
where its reader could not have them.

Where samples showed how far a value really goes (`bnncompiler.ranges`), its stream holds that and saturates outside.

The bound is the grid's rounding, the multiplier's rounding over the widest accumulator, the accumulator's own error
times the steepest slope, and one float32 rounding for each operator on the way times the slope from there. It holds
where nothing saturates.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bnncompiler.accumulator import UNIT_ROUNDOFF
from bnncompiler.affine import EVERYTHING, AffinePieces, affine
from bnncompiler.errors import UnsupportedModel
from bnncompiler.ir import Array, Domain, Graph, Node, per_element, rows
from bnncompiler.ops import (
    ArgMax,
    Concat,
    Constant,
    Conv,
    Elementwise,
    IntegerConv,
    Largest,
    Lookup,
    MaxPool,
    Permute,
    Requantize,
)
from bnncompiler.oracle import ChannelFunction, sources
from bnncompiler.passes.base import rewrite_sinks
from bnncompiler.passes.linear import stream_width
from bnncompiler.ranges import UNKNOWN, Interval, Ranges
from bnncompiler.sampling import NotPiecewiseError, bounds, pieces, size
from bnncompiler.widths import PRECISE

LOOKUP_LIMIT = 1 << 14
CURVE_BITS = 12
SWEEP = 4096
OUTPUT_LIMIT = 2**30  # logits stay below this, so that sums and differences of two of them fit 32 bits


@dataclass(frozen=True)
class QuantizeActivations:
    """A continuous region of one integer to ``requantize`` or ``lookup``; outputs on one scale.

    Attributes:
        stream_bits: bits of hidden fixed-point values; fewer where real weights need room in a 32-bit accumulator.
        ranges: what samples showed of them.
    """

    stream_bits: int = PRECISE
    ranges: Ranges = UNKNOWN
    name: str = "quantize-activations"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with its continuous values on integer grids."""
        users = graph.users()
        uneven = {n for n in graph.nodes() if isinstance(n, Permute) and _is_uneven(n, users[n])}

        def rule(node: Node, was: Node) -> Node | None:
            is_output = was in graph.outputs
            match node:
                case Elementwise() if is_ready(was):
                    bits = stream_width(self.stream_bits, users[was])
                    precision = OUTPUT if is_output else Precision(bits, ranges=self.ranges)
                    return quantize(ChannelFunction(sources(node)[0], node), precision)
                case Permute(x=x) if was in uneven:
                    return replace(node, x=quantize(ChannelFunction(x, x), Precision(self.stream_bits)))
                case ArgMax(x=x) | Largest(x=x) if x.type.domain is not None and not _is_ordered(x):
                    return replace(node, x=quantize(ChannelFunction(x, x), OUTPUT))
            if is_output and is_ready(was) and not node.domain.is_uniform:
                return quantize(ChannelFunction(node, node), OUTPUT)
            return None

        return rewrite_sinks(graph, rule)


@dataclass(frozen=True)
class Precision:
    """How finely a stream is quantised.

    Attributes:
        bits: its width, sign included.
        is_output: whether it leaves the program: then the width is 32 and equal scales are kept as they are.
        scale: the scale, where that is given and not to be chosen by range and width.
        uniform: whether the result must be without offset.
        ranges: what samples showed; a stream saturates outside of it.
    """

    bits: int = 16
    is_output: bool = False
    scale: float | None = None
    uniform: bool = False
    ranges: Ranges = UNKNOWN

    def interval(self, function: ChannelFunction) -> Interval:
        """What the value of ``function`` must stay in to be represented: everything, or what its stream holds."""
        return self.ranges.of(function.sink.name) or EVERYTHING

    def scale_for(self, largest: float) -> float:
        """The scale of a stream whose largest magnitude is ``largest``."""
        if self.scale is not None:
            return self.scale
        if self.is_output:  # a power of two: the caller gets the real value by a shift
            return math.ldexp(1.0, math.ceil(math.log2(max(largest, 1e-30) / OUTPUT_LIMIT)))
        return max(largest, 1e-30) / float(2 ** (self.bits - 1) - 1)


OUTPUT = Precision(32, is_output=True)


def _is_ordered(node: Node) -> bool:
    """Whether integers are in the order of the real values, across all channels."""
    return node.domain.is_uniform and bool(node.domain.scale[0] > 0)


def _is_uneven(node: Permute, readers: Sequence[Node]) -> bool:
    """Whether scales that differ from channel to channel lie in a map side by side, where a reader cannot have them.

    So the phases of a transposed convolution do, whose rows have each its own.
    """
    domain = node.type.domain
    if domain is None or domain.by_channel(node.type.channels) is not None or not is_ready(node.x):
        return False
    return any(isinstance(r, Concat | Conv | IntegerConv | MaxPool) and r.type.domain is None for r in readers)


def is_ready(node: Node) -> bool:
    """Whether the region behind ``node`` starts from one value that had a domain before this pass.

    Values that get one now may lead up to a threshold, which is not ours to quantise.
    """
    found = sources(node)
    return len(found) == 1 and found[0].type.domain is not None


def quantize(function: ChannelFunction, precision: Precision) -> Node:
    """The fixed-point form of ``function``, or its elementwise nodes on a narrower source where it must be cut.

    Raises:
        UnsupportedModel: it is not a finite function of one integer.
    """
    try:
        start = pieces(function, np.arange(function.rows))
        if isinstance(function.source, Concat) and not precision.is_output and not function.source.domain.is_uniform:
            return _by_part(function, function.source, start, precision)
        return _requantize(function, start, precision)
    except NotPiecewiseError as reason:
        if size(function.source.domain) * len(function.distinct[0]) <= LOOKUP_LIMIT:
            return _lookup(function, precision)
        return _cut(function, reason.node, precision)


def _by_part(function: ChannelFunction, whole: Concat, start: Array, precision: Precision) -> Node:
    """``function`` on each part of ``whole``, and the results side by side, on one scale.

    Slopes differ by orders of magnitude between sums of signs and streams: one shift for all would leave the flat ones
    few bits.
    """
    if function.rows > whole.type.channels:
        return _requantize(function, start, precision)
    scale = precision.scale or precision.scale_for(affine(function, start, precision.interval(function)).largest)
    parts, first = [], 0
    for part in whole.parts:
        mine = slice(first, first + part.type.channels)
        first = mine.stop
        moved: dict[Node, Node] = {whole: part}
        for node in function.nodes:
            for i in node.inputs:
                if isinstance(i, Constant):
                    moved[i] = Constant(i.name, per_element(i.value, whole.type.channels)[mine])
            moved[node] = node.with_operands(moved)
        parts.append(quantize(ChannelFunction(part, moved[function.sink]), replace(precision, scale=scale)))
    return Concat(function.sink.name, tuple(parts))


def _cut(function: ChannelFunction, curve: Node, precision: Precision) -> Node:
    """The region with a stream before the curve that is in the way, or in its place where there is one."""
    operand = _gate(function, curve)
    if operand is function.source and size(operand.domain) <= 1 << CURVE_BITS:
        if curve is function.sink or curve is function.source:
            raise UnsupportedModel(
                f"{curve.name}: {curve.op} differs from channel to channel over {size(operand.domain)} values each, "
                "which is too large a table; use one slope for all channels, or a piecewise linear function"
            )
        operand = curve
    bits = 16 if operand is curve else CURVE_BITS
    narrow = Precision(bits, ranges=precision.ranges)
    moved: dict[Node, Node] = {operand: quantize(ChannelFunction(function.source, operand), narrow)}
    for node in function.nodes:
        if node not in moved:
            moved[node] = node.with_operands(moved)
    return moved[function.sink]


def _gate(function: ChannelFunction, curve: Node) -> Node:
    """The last value before ``curve`` that all ways from the source to it pass: its immediate dominator."""
    ways: dict[Node, tuple[Node, ...]] = {function.source: (function.source,)}
    for node in function.nodes:
        to_inputs = [ways[i] for i in node.inputs if i in ways]
        shared = itertools.takewhile(lambda at_depth: len(set(at_depth)) == 1, zip(*to_inputs, strict=False))
        ways[node] = (*(at_depth[0] for at_depth in shared), node)
    return ways[curve][-2]


def _lookup(function: ChannelFunction, precision: Precision) -> Lookup:
    domain = function.source.domain
    row = np.arange(function.rows)
    lo, hi = domain.bounds
    q = np.repeat((lo + domain.step * np.arange((hi - lo) // domain.step + 1))[:, None], len(row), axis=1)
    scale, offset, error = (per_element(a, len(row)) for a in (domain.scale, domain.offset, domain.error))
    x = q * scale + offset
    y = function.evaluate64(x)
    ulp = np.abs(x) * UNIT_ROUNDOFF["float32"]

    def spread(by: Array) -> Array:
        """How far the value is from ``y`` at most where the source is off by ``by``, by row."""
        off = [np.abs(function.evaluate32(x + d) - y).max(axis=0) for d in (-by, 0 * by, by)]
        return np.asarray(np.max(off, axis=0))

    step = precision.scale_for(float(np.abs(y).max()))
    table = np.rint(y / step).astype(np.int64)
    out = Domain(rows(step), rows(0), rows(table.min()), rows(table.max()), 1, rows(step / 2 + spread(ulp)))
    jump = rows(0.0) if domain.is_exact else rows(spread(error + ulp))
    name, dtype = function.sink.name, function.sink.type.dtype
    return Lookup(name, function.source, _common_rows(table.T), out, function, dtype, jump)


def _requantize(function: ChannelFunction, start: Array, precision: Precision) -> Requantize:
    valid = precision.interval(function)
    f = affine(function, start, valid)
    if _is_regrid(f, precision):
        return _regrid(function, affine(function, start))
    natural = _natural_scale(f) if precision.scale is None and precision.is_output else precision.scale
    if natural is not None and not _is_natural(f, natural):
        natural = None
    if natural and valid != EVERYTHING and (whole := affine(function, start)).largest < natural * OUTPUT_LIMIT:
        f, valid = whole, EVERYTHING  # where it costs no precision, nothing saturates
    scale = natural or precision.scale_for(f.largest)
    q_max = max(abs(b) for b in function.source.domain.bounds)
    slope, intercept = f.slope / scale, f.intercept / scale
    shift = 0 if natural else _shift(slope, q_max, precision.is_output)
    multiplier = np.rint(slope * 2.0**shift).astype(np.int64)
    bias = np.rint(intercept * 2.0**shift).astype(np.int64) + (1 << shift >> 1)
    if np.abs(bias).max(initial=0) >= 2**62:
        raise UnsupportedModel(
            f"{function.sink.name}: {function.sink.op} has a constant far outside of its input's range"
        )
    lo, hi = _ends(f, multiplier, bias, shift, [edge / scale for edge in valid])
    saturates = (lo, hi) != _ends(f, multiplier, bias, shift, [*EVERYTHING])
    lo, hi = (lo, hi) if precision.is_output else (min(lo, 0), max(hi, 0))  # padding with 0 is on the grid
    reach = np.minimum(q_max, (max(-lo, hi) + 1 + np.abs(intercept)) / np.where(slope == 0, np.inf, np.abs(slope)))
    rounding = 0.0 if natural else (0.5 * (reach.max() + 1) * 2.0**-shift + (0.5 if shift else 0.0)) * abs(scale)
    if natural is not None and not function.nodes:
        own = rows(_off_grid(function.source.domain, scale, np.rint(intercept) * scale))
    else:
        own = rows(f.error + rounding)
    out = Domain(rows(scale), rows(0), rows(lo), rows(hi), 1, own)
    start, multiplier, bias = _common_pieces(start, multiplier, bias)
    return _node(function, f, start, multiplier, bias, shift, out, saturates=saturates)


def _node(
    function: ChannelFunction,
    f: AffinePieces,
    start: Array,
    multiplier: Array,
    bias: Array,
    shift: int,
    out: Domain,
    *,
    saturates: bool = False,
) -> Requantize:
    """``function`` as a node, with what becomes of its source's error."""
    name, dtype = function.sink.name, function.sink.type.dtype
    gain, jump = rows(f.gain), rows(f.jump)
    return Requantize(
        name, function.source, start, multiplier, bias, shift, out, function, dtype, gain, jump, saturates
    )


def _ends(f: AffinePieces, multiplier: Array, bias: Array, shift: int, valid: list[float]) -> tuple[int, int]:
    """The smallest and the largest result, or those of what is ``valid`` (in steps of the grid)."""
    ends = [(q * multiplier + bias) >> shift for q in (f.start, f.last)]
    lo, hi = min(int(e.min()) for e in ends), max(int(e.max()) for e in ends)
    if np.isfinite(valid).all():
        lo, hi = max(lo, math.floor(valid[0])), min(hi, math.ceil(valid[1]))
    return lo, max(lo, hi)


def _is_regrid(f: AffinePieces, precision: Precision) -> bool:
    """Whether the function is affine and the same for all rows (and has the scale that is asked for)."""
    same = f.start.shape[1] == 1 and all((a == a[:1]).all() for a in (f.slope, f.intercept)) and f.slope[0, 0] != 0
    if not same or (precision.uniform and f.intercept[0, 0] != 0):
        return False
    if not precision.is_output and precision.scale is None and f.span >= 2**precision.bits:
        return False
    return precision.scale is None or bool(f.slope[0, 0] == precision.scale)


def _regrid(function: ChannelFunction, f: AffinePieces) -> Requantize:
    """An affine function that is the same for all rows: the same integers mean other numbers; no kernel computes it."""
    x = function.source.domain
    own = rows(f.error) if function.nodes else rows(_off_grid(x, f.slope[0, 0], f.intercept))
    out = Domain(rows(f.slope[0, 0]), rows(f.intercept[0, 0]), x.lo, x.hi, x.step, own)
    one = np.ones((1, 1), np.int64)
    return _node(function, f, one * x.bounds[0], one, 0 * one, 0, out)


def _off_grid(domain: Domain, scale: float, offset: Array) -> float:
    """How far the values of ``domain`` are from multiples of ``scale`` with ``offset``: some last bits, or nothing."""
    own, lo, hi = (per_element(a, domain.rows) for a in (domain.scale, domain.lo, domain.hi))
    off = np.maximum(np.abs(lo), np.abs(hi)) * np.abs(own - np.rint(own / scale) * scale)
    return float(off.max() + np.abs(domain.offset - offset.reshape(-1)).max())


def _natural_scale(f: AffinePieces) -> float | None:
    """The step of a grid on which all values lie by nature, if there is one: the steepest slope."""
    return float(np.abs(f.slope).max()) or None


def _is_natural(f: AffinePieces, scale: float) -> bool:
    """Whether slopes and biases are small multiples of ``scale``."""
    multiples = [values / scale for values in (f.slope, f.intercept)]
    return all(np.abs(m - np.rint(m)).max() <= 1e-7 and np.abs(m).max() <= 2**20 for m in multiples)


def real_range(function: ChannelFunction, valid: Interval) -> tuple[float, float, float | None]:
    """The smallest and the largest real value of ``function`` that is ``valid``, and its natural scale, if any."""
    domain, row = function.source.domain, np.arange(function.rows)
    try:
        f = affine(function, pieces(function, row), valid)
    except NotPiecewiseError:
        # A curve: its ends and an even sweep between them; what lies outside is clipped, and its bound says so.
        lo, hi = bounds(domain, row, function.rows)
        x = np.linspace(0, 1, SWEEP)[:, None] * (hi - lo) + lo
        y = function.evaluate64(per_element(domain.scale, len(row)) * x + per_element(domain.offset, len(row)))
        low, high = np.clip([y.min(), y.max()], *valid)
        return float(low), float(high), None
    scale = _natural_scale(f)
    return *f.range, scale if scale is not None and _is_natural(f, scale) else None


def _shift(slope: Array, q_max: int, is_output: bool) -> int:
    """The largest shift whose multipliers fit 31 bits and whose products fit 62; none for outputs that fit without."""
    steepest = max(float(np.abs(slope).max()), 2.0**-60)
    if is_output and steepest * q_max <= 2 * OUTPUT_LIMIT and q_max <= 2**12:
        return 0
    by_multiplier = 30 - int(np.ceil(np.log2(steepest)))
    by_product = 60 - int(np.ceil(np.log2(max(steepest * q_max, 1))))
    return int(np.clip(min(by_multiplier, by_product), 0, 31))


def _common_rows(table: Array) -> Array:
    return table[:1] if (table == table[:1]).all() else table


def _common_pieces(start: Array, multiplier: Array, bias: Array) -> tuple[Array, Array, Array]:
    same = all((a == a[:1]).all() for a in (start, multiplier, bias))
    return (start[:1], multiplier[:1], bias[:1]) if same else (start, multiplier, bias)
