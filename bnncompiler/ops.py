"""The vocabulary: every operation that a graph can hold.

Three groups. What the frontend writes is real and keeps ONNX's meaning: `Input`, `Constant`, `Elementwise`, `Dense`,
`ArgMax`. What the passes put in their place works on integer grids: `IntegerDense`, `Steps`, `Requantize`, `Lookup`.
Lowering accepts only the second group, so whatever is left of the first is what could not be compiled, by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from bnncompiler.errors import IRError
from bnncompiler.ir import Array, Domain, Node, TensorType, per_element, rows

UNIT_ROUNDOFF = {"float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}


@dataclass(frozen=True, eq=False)
class Input(Node):
    """A graph input; its domain is the declared input grid."""

    declared: TensorType

    @cached_property
    def type(self) -> TensorType:
        return self.declared


@dataclass(frozen=True, eq=False)
class Constant(Node):
    """A constant operand of an elementwise node, by rows."""

    value: Array

    @cached_property
    def type(self) -> TensorType:
        return TensorType(self.value.shape, str(self.value.dtype))

    def attributes(self) -> dict[str, object]:
        return {"value": np.array2string(self.value, threshold=4, edgeitems=2, separator=",")}


@dataclass(frozen=True, eq=False)
class Elementwise(Node):
    """An ONNX operator that works element by element, with ONNX's meaning (opset `oracle.OPSET`).

    Operands are values of one shape or `Constant` rows. ``BatchNormalization`` is one of them: its parameters are rows.
    """

    operator: str
    inputs: tuple[Node, ...]
    dtype: str = "float32"
    attrs: tuple[tuple[str, int | float], ...] = ()

    @cached_property
    def type(self) -> TensorType:
        shapes = {i.type.shape for i in self.inputs if not isinstance(i, Constant)}
        if len(shapes) != 1:
            raise IRError(f"{self.name}: {self.operator} wants values of one shape, not {sorted(shapes)}")
        kind = TensorType(shapes.pop(), self.dtype)
        for i in self.inputs:
            if isinstance(i, Constant) and kind.size % i.value.size:
                raise IRError(f"{self.name}: {self.operator} cannot spread {i.value.size} constants over {kind.shape}")
        return kind

    @property
    def op(self) -> str:
        return self.operator

    def attributes(self) -> dict[str, object]:
        return dict(self.attrs)


def dense_shape(name: str, x: TensorType, weight: Array) -> tuple[int, ...]:
    """The shape of ``x @ weight.T``: over the whole of ``x``, or over its last axis at each position."""
    outs, ins = weight.shape
    if x.size == ins:
        return (outs,)
    if x.channels == ins:
        return (*x.shape[:-1], outs)
    raise IRError(f"{name}: a dense layer of {ins} inputs cannot read {x}")


@dataclass(frozen=True, eq=False)
class Dense(Node):
    """``y = x @ weight.T + bias`` with real weights ``[out, in]``; ``in`` runs over all of ``x`` or over its last axis."""

    x: Node
    weight: Array
    bias: Array | None = None
    dtype: str = "float32"

    @cached_property
    def type(self) -> TensorType:
        return TensorType(dense_shape(self.name, self.x.type, self.weight), self.dtype)


@dataclass(frozen=True, eq=False)
class ArgMax(Node):
    """The index of the largest channel, the first of equals."""

    x: Node

    @cached_property
    def type(self) -> TensorType:
        count = self.x.type.channels
        index = Domain(rows(1), rows(0), rows(0), rows(count - 1))
        return TensorType((*self.x.type.shape[:-1], 1), "int64", index)


@dataclass(frozen=True, eq=False)
class IntegerDense(Node):
    """A dense layer whose weights are integers: ``q_y = q_x @ weight.T``.

    The real weights are ``scale[o] * weight[o]``, within ``weight_error[o]`` each. ``bias`` is real and stays in the
    domain: it moves thresholds, not accumulators. Where the input's grid differs from element to element the value
    stays real, until `passes.quantize_weights` has moved the input's scales into the weights (``unit_input``: the real
    weights multiply ``q_x`` itself).
    """

    x: Node
    weight: Array
    scale: Array
    bias: Array | None = None
    weight_error: Array = field(default_factory=lambda: rows(0.0))
    dtype: str = "float32"
    unit_input: bool = False

    @cached_property
    def type(self) -> TensorType:
        shape = dense_shape(self.name, self.x.type, self.weight)
        x = self.x.type.domain
        if x is not None and self.unit_input:
            # One real number per q, whatever the input's scales: they are in the weights. So is what its error costs.
            relative = x.error / np.where(x.scale == 0, np.inf, np.abs(x.scale))
            x = Domain(rows(1), rows(0), x.lo, x.hi, x.step, relative)
        known = None if x is None or not x.is_uniform else self._accumulator(x)
        return TensorType(shape, self.dtype, known)

    def _accumulator(self, x: Domain) -> Domain:
        """The grid of the accumulators and what float32 makes of them (Higham, Accuracy and Stability, ch. 3 and 4)."""
        outs, ins = self.weight.shape
        w = self.weight.astype(np.int64)
        lo, hi = per_element(x.lo, ins), per_element(x.hi, ins)
        low = np.where(w > 0, w * lo, w * hi).sum(axis=1)
        high = np.where(w > 0, w * hi, w * lo).sum(axis=1)
        if max(-int(low.min()), int(high.max())) >= 2**31:
            raise IRError(f"{self.name}: accumulators of {ins} inputs leave 32 bits")
        scale = per_element(self.scale, outs) * x.scale[0]
        shift = per_element(self.scale, outs) * w.sum(axis=1) * x.offset[0]
        bias = np.zeros(outs) if self.bias is None else np.asarray(self.bias, np.float64)
        return Domain(scale, shift + bias, low, high, step=self._step(x), error=self._error(x, low, high))

    def _step(self, x: Domain) -> int:
        """2 where the accumulator's parity is known: all inputs odd (or even), so each moves the sum by an even amount."""
        return 2 if x.step == 2 else 1

    def _error(self, x: Domain, low: Array, high: Array) -> Array:
        """How far the reference's float32 sum can be from the accumulator's real value."""
        outs, ins = self.weight.shape
        unit = UNIT_ROUNDOFF[self.dtype]
        s_w, s_x, o_x = np.abs(per_element(self.scale, outs)), x.scale[0], x.offset[0]
        w = np.abs(self.weight.astype(np.float64))
        x_max = np.maximum(np.abs(s_x * per_element(x.lo, ins) + o_x), np.abs(s_x * per_element(x.hi, ins) + o_x))
        total = s_w * (w @ x_max)
        from_operands = (w @ per_element(x.error, ins)) * s_w + per_element(self.weight_error, outs) * x_max.sum()
        largest = np.maximum(np.abs(low), np.abs(high)).max()
        dyadic = all(_is_dyadic(v, unit) for v in (*np.unique(s_w), s_x)) and o_x == 0
        bias = np.zeros(outs) if self.bias is None else np.abs(np.asarray(self.bias, np.float64))
        if dyadic and not from_operands.any() and largest < 1 / unit:
            # Integer sums are exact. Adding integers to a bias rounds only when the exponent grows, in whatever order
            # they are added: the errors are a geometric series, at most one unit in the last place of the largest sum,
            # and half a unit more for float32(real(q)), which the error is measured from.
            fraction = np.zeros(outs) if self.bias is None else bias % np.abs(s_w * s_x) != 0
            ulp = 2 * unit * 2.0 ** np.ceil(np.log2(np.maximum(total + bias, 1e-30)))
            return np.where(fraction, 1.5 * ulp, 0.0)
        # Any order of summation of n terms errs by at most n u sum|t|; the operands themselves are rounded once, too.
        return from_operands + unit * ((ins + 3) * (total + bias))

    def attributes(self) -> dict[str, object]:
        values = sorted(set(np.unique(self.weight).tolist()))
        kind = str(values) if len(values) <= 4 else f"{values[0]}..{values[-1]}"
        return {"weight": f"{kind}{list(self.weight.shape)}"}


def _is_dyadic(value: float, unit: float) -> bool:
    """Whether ``value`` is an odd number below 2**8 times a power of two: such grids are exact in binary floating point."""
    mantissa, _ = np.frexp(value)
    return bool(value != 0 and (mantissa * 2**8) % 1 == 0)


@dataclass(frozen=True, eq=False)
class Steps(Node):
    """A channel function with few values: thresholds and the levels between them.

    ``y = levels[r, k]`` where ``k`` counts the thresholds ``at[r, :]`` (ascending) that ``q_x`` reaches (``q_x >= at``).
    One threshold between -1 and +1 is the usual binary activation; none is a constant; two are a window or a ternary
    value; ``2**b - 1`` a ``b``-bit activation. Unused thresholds stand above the largest ``q_x``.

    Attributes:
        at: thresholds ``[rows, count]``.
        levels: levels ``[rows, count + 1]`` on the grid ``out``.
        out: the domain of the result.
        undecided: ``[rows, count, 2]``: the accumulators ``first <= q_x < last`` at which the reference's own float32
            rounding decides; empty (first == last) everywhere when the accumulator is exact.
        function: the elementwise nodes that this came from, to check against (an `oracle.ChannelFunction`).
    """

    x: Node
    at: Array
    levels: Array
    out: Domain
    undecided: Array
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


@dataclass(frozen=True, eq=False)
class Requantize(Node):
    """A piecewise linear channel function: ``y = (q_x * multiplier + bias) >> shift``, clamped to ``out``.

    ``multiplier`` and ``bias`` (``[rows, pieces]``) are those of the piece whose ``start`` (``[rows, pieces]``,
    ascending, the first below every ``q_x``) is the last that ``q_x`` reaches. ``>>`` floors.
    """

    x: Node
    start: Array
    multiplier: Array
    bias: Array
    shift: int
    out: Domain
    function: object = None
    dtype: str = "float32"

    @cached_property
    def type(self) -> TensorType:
        if not self.start.shape == self.multiplier.shape == self.bias.shape:
            raise IRError(f"{self.name}: pieces of different counts")
        return TensorType(self.x.type.shape, self.dtype, self.out)

    def attributes(self) -> dict[str, object]:
        return {"pieces": list(self.start.shape), "shift": self.shift}


@dataclass(frozen=True, eq=False)
class Lookup(Node):
    """A channel function as a table: ``y = table[r, (q_x - lo) / step]`` with ``lo`` and ``step`` of ``x``'s domain."""

    x: Node
    table: Array
    out: Domain
    function: object = None
    dtype: str = "float32"

    @cached_property
    def type(self) -> TensorType:
        lo, hi = self.x.domain.bounds
        if self.table.shape[1] != (hi - lo) // self.x.domain.step + 1:
            raise IRError(f"{self.name}: a table of {self.table.shape[1]} entries for {self.x.type}")
        return TensorType(self.x.type.shape, self.dtype, self.out)

    def attributes(self) -> dict[str, object]:
        return {"table": list(self.table.shape)}
