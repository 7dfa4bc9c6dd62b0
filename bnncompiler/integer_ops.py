"""The vocabulary of integer graphs: layers with integer weights, and channel functions of integers.

These are what the passes put in the place of real operations. Every node here has a domain, or gets one as soon as its
input has: the integers that it computes, and the real numbers that they stand for.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from bnncompiler import accumulator
from bnncompiler.errors import IRError
from bnncompiler.ir import Array, Domain, Node, TensorType, per_element, rows
from bnncompiler.window import Window


def dense_shape(name: str, x: TensorType, weight: Array) -> tuple[int, ...]:
    """The shape of ``x @ weight.T``: over the whole of ``x``, or over its last axis at each position."""
    outs, ins = weight.shape
    if x.size == ins:
        return (outs,)
    if x.channels == ins:
        return (*x.shape[:-1], outs)
    raise IRError(f"{name}: a dense layer of {ins} inputs cannot read {x}")


def conv_shape(name: str, x: TensorType, weight: Array, window: Window, group: int) -> tuple[int, ...]:
    """The shape ``[height, width, out]`` of a convolution of ``x``."""
    if len(x.shape) != 3 or x.channels != weight.shape[3] * group or len(weight) % group:
        raise IRError(f"{name}: a convolution with weights {weight.shape} in {group} groups cannot read {x}")
    return (*window.positions(x.shape), len(weight))


@dataclass(frozen=True, eq=False, repr=False)
class IntegerDense(Node):
    """A dense layer whose weights are integers: ``q_y = q_x @ weight.T``.

    The real weights are ``scale[o] * weight[o]``, within ``weight_error[o]`` each. ``bias`` is real and stays in the
    domain: it moves thresholds, not accumulators. Where the input's grid differs from element to element the value
    stays real (as it does where the sums can leave 32 bits), until `passes.quantize_weights` has moved the input's
    scales into the weights (``unit_input``: the real weights multiply ``q_x`` itself). With ``shift``, sums are taken
    in 64 bits and rounded to multiples of ``2**shift``: ``q_y = (q_x @ weight.T + 2**shift / 2) >> shift``.
    """

    x: Node
    weight: Array
    scale: Array
    bias: Array | None = None
    weight_error: Array = field(default_factory=lambda: rows(0.0))
    dtype: str = "float32"
    unit_input: bool = False
    shift: int = 0

    @cached_property
    def type(self) -> TensorType:
        shape = dense_shape(self.name, self.x.type, self.weight)
        x = accumulator.readable(self.x.type.domain, unit_input=self.unit_input)
        if x is None:
            return TensorType(shape, self.dtype)
        weights = accumulator.Weights(self.weight, self.scale, self.weight_error, self.bias)
        return TensorType(shape, self.dtype, accumulator.domain(x, weights, self.dtype, shift=self.shift))

    def attributes(self) -> dict[str, object]:
        return {"weight": _kinds(self.weight)} | ({"shift": self.shift} if self.shift else {})


@dataclass(frozen=True, eq=False, repr=False)
class IntegerConv(Node):
    """A convolution whose weights are integers, as `IntegerDense` is a dense layer.

    Padded taps have the real value ``pad_value``. Often that is no value of the input's grid (0 where that is -1 and
    +1); what they add is then known by position, `border`. With ``unit_input``, ``pad_value`` is in units of ``q``, by
    channel.
    """

    x: Node
    weight: Array
    scale: Array
    bias: Array | None
    window: Window
    group: int = 1
    pad_value: float | Array = 0.0
    weight_error: Array = field(default_factory=lambda: rows(0.0))
    dtype: str = "float32"
    unit_input: bool = False
    shift: int = 0

    @cached_property
    def type(self) -> TensorType:
        shape = conv_shape(self.name, self.x.type, self.weight, self.window, self.group)
        x = accumulator.readable(self.x.type.domain, unit_input=self.unit_input)
        x = None if x is None else x.by_channel(self.x.type.channels)
        if x is None:
            return TensorType(shape, self.dtype)
        weights = accumulator.Weights(self.weight, self.scale, self.weight_error, self.bias)
        pad = self.pad_q if self.is_padded and self.pad_code is None else None
        if pad is not None and self.shift:
            raise IRError(f"{self.name}: sums of 64 bits want padding with a value of the input's grid")
        sums = accumulator.conv_domain(x, weights, self.dtype, self.group, pad, self.shift)
        return TensorType(shape, self.dtype, sums)

    @cached_property
    def is_padded(self) -> bool:
        """Whether any window reaches over the border."""
        return self.window.reaches_out(self.x.type.shape)

    @cached_property
    def pad_q(self) -> Array:
        """What padded taps are on the input's scale, by channel: ``(pad_value - offset) / scale``, integers or not."""
        x = accumulator.readable(self.x.domain, unit_input=self.unit_input)
        if x is None or x.scale[0] == 0:
            raise IRError(f"{self.name}: padding of a map without a scale, {self.x.name} is {self.x.type}")
        q = rows((self.pad_value - x.offset[0]) / x.scale[0])
        return np.where(np.abs(q - np.rint(q)) < 1e-9, np.rint(q), q)

    @cached_property
    def pad_code(self) -> int | None:
        """The ``q`` of padded taps where it is on the input's grid; None where it is not."""
        lo, hi = self.x.domain.bounds
        q = float(self.pad_q[0])
        on_grid = len(self.pad_q) == 1 and q == int(q) and lo <= q <= hi and (int(q) - lo) % self.x.domain.step == 0
        return int(q) if on_grid else None

    @cached_property
    def border(self) -> Array:
        """What padded taps add to the sums, rounded: ``[height, width, out]``; 0 where they are in the input's grid."""
        return np.rint(self.over_border(self.pad_q)).astype(np.int64)

    def over_border(self, q: Array) -> Array:
        """The sums ``[height, width, out]`` over padded taps alone, if those were ``q`` (by channel)."""
        absent = (~self.window.valid(self.x.type.shape)).astype(np.float64)
        channels = self.weight.shape[3]
        by_group = per_element(q, self.x.type.channels).reshape(self.group, channels)
        by_out = np.repeat(by_group, len(self.weight) // self.group, axis=0)
        by_tap = (self.weight * by_out[:, None, None, :]).sum(axis=3)
        return np.asarray(np.tensordot(absent, by_tap, axes=((2, 3), (1, 2))))

    def attributes(self) -> dict[str, object]:
        shift = {"shift": self.shift} if self.shift else {}
        return {"weight": _kinds(self.weight), "window": self.window} | shift


@dataclass(frozen=True, eq=False, repr=False)
class IntegerAdd(Node):
    """The sum of two values on grids of one scale: ``q = q_x + q_y``, a residual connection."""

    x: Node
    y: Node
    dtype: str = "float32"

    @cached_property
    def type(self) -> TensorType:
        a, b = self.x.domain, self.y.domain
        if self.x.type.shape != self.y.type.shape or not (a.is_uniform and b.is_uniform) or a.scale[0] != b.scale[0]:
            raise IRError(f"{self.name}: cannot add {self.x.type} and {self.y.type}")
        n = max(a.rows, b.rows)
        lo, hi, error = (
            per_element(p, n) + per_element(q, n) for p, q in ((a.lo, b.lo), (a.hi, b.hi), (a.error, b.error))
        )
        largest = np.abs(a.scale[0]) * np.maximum(np.abs(lo), np.abs(hi)).max() + abs(a.offset[0] + b.offset[0])
        rounding = accumulator.UNIT_ROUNDOFF[self.dtype] * largest
        domain = Domain(a.scale, a.offset + b.offset, lo, hi, min(a.step, b.step), error + 2 * rounding)
        return TensorType(self.x.type.shape, self.dtype, domain)


@dataclass(frozen=True, eq=False, repr=False)
class IntegerMul(Node):
    """The product of two values on grids without offset: ``q = q_x * q_y``, a gate."""

    x: Node
    y: Node
    dtype: str = "float32"

    @cached_property
    def type(self) -> TensorType:
        a, b = self.x.domain, self.y.domain
        if self.x.type.shape != self.y.type.shape or not (a.is_uniform and b.is_uniform) or a.offset[0] or b.offset[0]:
            raise IRError(f"{self.name}: cannot multiply {self.x.type} by {self.y.type}")
        corners = [int(p) * int(q) for p in a.bounds for q in b.bounds]
        if max(abs(c) for c in corners) >= 2**31:
            raise IRError(f"{self.name}: the product of {self.x.type} and {self.y.type} leaves 32 bits")
        largest = [abs(float(d.scale[0])) * max(abs(v) for v in d.bounds) for d in (a, b)]
        error = [float(d.error.max()) for d in (a, b)]
        rounding = accumulator.UNIT_ROUNDOFF[self.dtype] * largest[0] * largest[1]
        total = error[0] * largest[1] + error[1] * largest[0] + error[0] * error[1] + 4 * rounding
        domain = Domain(a.scale * b.scale, rows(0), rows(min(corners)), rows(max(corners)), 1, rows(total))
        return TensorType(self.x.type.shape, self.dtype, domain)


@dataclass(frozen=True, eq=False, repr=False)
class Steps(Node):
    """A channel function with few values: thresholds and the levels between them.

    ``y = levels[r, k]`` where ``k`` counts the thresholds ``at[r, :]`` (ascending) that ``q_x`` reaches (``q_x >=
    at``). One threshold between -1 and +1 is the usual binary activation; none is a constant; two are a window or a
    ternary value; ``2**b - 1`` a ``b``-bit activation. Unused thresholds stand above the largest ``q_x``.

    Attributes:
        at: thresholds ``[rows, count]``.
        levels: levels ``[rows, count + 1]`` on the grid ``out``.
        out: the domain of the result.
        function: the elementwise nodes that this came from, to check against (an `oracle.ChannelFunction`).

    Where ``q_x`` is not exact in float32, the reference's own rounding decides near the thresholds (`blur`).
    """

    x: Node
    at: Array
    levels: Array
    out: Domain
    function: object = None
    dtype: str = "float32"

    @cached_property
    def type(self) -> TensorType:
        if self.levels.shape != (len(self.at), self.at.shape[1] + 1):
            raise IRError(f"{self.name}: {self.at.shape} thresholds do not go with {self.levels.shape} levels")
        if self.x.type.size % len(self.at):
            raise IRError(f"{self.name}: {len(self.at)} rows of thresholds over {self.x.type}")
        return TensorType(self.x.type.shape, self.dtype, self.out)

    def attributes(self) -> dict[str, object]:
        return {"at": list(self.at.shape), "levels": np.unique(self.levels).tolist()}


def carried(out: Domain, x: Domain, gain: Array, jump: Array) -> Domain:
    """``out`` with what comes of the error of ``x``: ``gain`` times that, and ``jump`` wherever there is any."""
    if x.is_exact:
        return out
    n = max(len(a) for a in (out.error, x.error, gain, jump))
    own, of_x, gains, jumps = (per_element(a, n) for a in (out.error, x.error, gain, jump))
    return replace(out, error=own + gains * of_x + jumps * (of_x > 0))


@dataclass(frozen=True, eq=False, repr=False)
class Requantize(Node):
    """A piecewise linear channel function: ``y = (q_x * multiplier + bias) >> shift``, clamped to ``out``.

    ``multiplier`` and ``bias`` (``[rows, pieces]``) are those of the piece whose ``start`` (``[rows, pieces]``,
    ascending, the first below every ``q_x``) is the last that ``q_x`` reaches. ``>>`` floors.

    Attributes:
        out: the domain of the result; its error is the node's own, as if ``q_x`` were exact.
        gain: the steepest real slope, by row: what an error of the input is multiplied by.
        jump: how far the result jumps at most where an error of the input decides on the piece, by row.
        saturates: whether ``out`` is narrower than what the input could lead to.
    """

    x: Node
    start: Array
    multiplier: Array
    bias: Array
    shift: int
    out: Domain
    function: object = None
    dtype: str = "float32"
    gain: Array = field(default_factory=lambda: rows(1.0))
    jump: Array = field(default_factory=lambda: rows(0.0))
    saturates: bool = False

    @cached_property
    def type(self) -> TensorType:
        if not self.start.shape == self.multiplier.shape == self.bias.shape:
            raise IRError(f"{self.name}: pieces of different counts")
        return TensorType(self.x.type.shape, self.dtype, carried(self.out, self.x.domain, self.gain, self.jump))

    def attributes(self) -> dict[str, object]:
        return {"pieces": list(self.start.shape), "shift": self.shift}


@dataclass(frozen=True, eq=False, repr=False)
class Lookup(Node):
    """A channel function as a table: ``y = table[r, (q_x - lo) / step]`` with ``lo`` and ``step`` of ``x``'s domain.

    Attributes:
        out: the domain of the result; its error is the node's own, as if ``q_x`` were exact.
        jump: how far an error of the input moves the result at most, by row.
    """

    x: Node
    table: Array
    out: Domain
    function: object = None
    dtype: str = "float32"
    jump: Array = field(default_factory=lambda: rows(0.0))

    @cached_property
    def type(self) -> TensorType:
        lo, hi = self.x.domain.bounds
        if self.table.shape[1] != (hi - lo) // self.x.domain.step + 1:
            raise IRError(f"{self.name}: a table of {self.table.shape[1]} entries for {self.x.type}")
        return TensorType(self.x.type.shape, self.dtype, carried(self.out, self.x.domain, rows(0.0), self.jump))

    def attributes(self) -> dict[str, object]:
        return {"table": list(self.table.shape)}


def _kinds(weight: Array) -> str:
    """Which values integer weights take, for printed graphs."""
    values = sorted(set(np.unique(weight).tolist()))
    kind = str(values) if len(values) <= 4 else f"{values[0]}..{values[-1]}"
    return f"{kind}{list(weight.shape)}"
