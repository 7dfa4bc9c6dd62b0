"""The vocabulary: every operation that a graph can hold.

Two groups. What the frontend writes is real and keeps ONNX's meaning: `Input`, `Constant`, `Elementwise`, `Dense`,
`Conv`, `MaxPool`, `Pad`, `Permute`, `ArgMax`. What the passes put in their place works on integer grids:
`IntegerDense`, `IntegerConv`, `Steps`, `Requantize`, `Lookup`. Lowering accepts only values with a domain, so
whatever is left real is what could not be compiled, by name.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np

from bnncompiler import accumulator
from bnncompiler.errors import IRError
from bnncompiler.ir import Array, Domain, Node, TensorType, per_element, rows
from bnncompiler.window import Window


@dataclass(frozen=True, eq=False, repr=False)
class Input(Node):
    """A graph input; its domain is the declared input grid."""

    declared: TensorType

    @cached_property
    def type(self) -> TensorType:
        return self.declared


@dataclass(frozen=True, eq=False, repr=False)
class Constant(Node):
    """A constant operand of an elementwise node, by rows."""

    value: Array

    @cached_property
    def type(self) -> TensorType:
        return TensorType(self.value.shape, str(self.value.dtype))

    def attributes(self) -> dict[str, object]:
        return {"value": np.array2string(self.value, threshold=4, edgeitems=2, separator=",")}


@dataclass(frozen=True, eq=False, repr=False)
class Elementwise(Node):
    """An ONNX operator that works element by element, with ONNX's meaning (opset `oracle.OPSET`).

    Operands are values of one shape or `Constant` rows. ``BatchNormalization`` is one of them: its parameters are rows.
    """

    operator: str
    inputs: tuple[Node, ...]
    dtype: str = "float32"
    attrs: tuple[tuple[str, int | float | str], ...] = ()

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


@dataclass(frozen=True, eq=False, repr=False)
class Dense(Node):
    """``y = x @ weight.T + bias`` with real weights ``[out, in]``; ``in`` is all of ``x`` or its last axis."""

    x: Node
    weight: Array
    bias: Array | None = None
    dtype: str = "float32"

    @cached_property
    def type(self) -> TensorType:
        return TensorType(dense_shape(self.name, self.x.type, self.weight), self.dtype)


@dataclass(frozen=True, eq=False, repr=False)
class ArgMax(Node):
    """The index of the largest channel, the first of equals."""

    x: Node

    @cached_property
    def type(self) -> TensorType:
        count = self.x.type.channels
        index = Domain(rows(1), rows(0), rows(0), rows(count - 1))
        return TensorType((*self.x.type.shape[:-1], 1), "int64", index)


@dataclass(frozen=True, eq=False, repr=False)
class Conv(Node):
    """A 2-D convolution with real weights ``[out, height, width, in / group]`` of a map ``[height, width, channels]``.

    Padded taps have the value ``pad_value``. 1-D convolutions have height 1.
    """

    x: Node
    weight: Array
    bias: Array | None
    window: Window
    group: int = 1
    pad_value: float = 0.0
    dtype: str = "float32"

    @cached_property
    def type(self) -> TensorType:
        return TensorType(conv_shape(self.name, self.x.type, self.weight, self.window, self.group), self.dtype)

    def attributes(self) -> dict[str, object]:
        return {"window": self.window}


@dataclass(frozen=True, eq=False, repr=False)
class MaxPool(Node):
    """The largest value in each window; padded taps do not count.

    On a value with a domain this is the largest ``q``: the same thing where all scales are positive. With
    ``on_codes`` it is also meant where some are negative (`passes.sink_max_pool` turns those rows round).
    """

    x: Node
    window: Window
    on_codes: bool = False

    @cached_property
    def type(self) -> TensorType:
        if len(self.x.type.shape) != 3:
            raise IRError(f"{self.name}: MaxPool wants a map, {self.x.name} is {self.x.type}")
        domain = self.x.type.domain
        known = domain if domain is not None and (self.on_codes or (domain.scale > 0).all()) else None
        if known is not None and known.rows > self.x.type.channels:
            known = None
        return TensorType((*self.window.positions(self.x.type.shape), self.x.type.channels), self.x.type.dtype, known)

    def attributes(self) -> dict[str, object]:
        return {"window": self.window}


@dataclass(frozen=True, eq=False, repr=False)
class Pad(Node):
    """A map with ``before`` and ``after`` (height, width) rows and columns around it that hold ``value``.

    The result has the map's domain where that has the value in every row, and is real elsewhere.
    """

    x: Node
    before: tuple[int, int]
    after: tuple[int, int]
    value: float = 0.0

    @cached_property
    def type(self) -> TensorType:
        if len(self.x.type.shape) != 3:
            raise IRError(f"{self.name}: Pad wants a map, {self.x.name} is {self.x.type}")
        height, width, channels = self.x.type.shape
        shape = (height + self.before[0] + self.after[0], width + self.before[1] + self.after[1], channels)
        return TensorType(shape, self.x.type.dtype, None if self.codes is None else self.x.type.domain)

    @cached_property
    def codes(self) -> Array | None:
        """The ``q`` of the value, by row; None where the map is real or some row does not have the value."""
        domain = self.x.type.domain
        if domain is None or domain.rows > self.x.type.channels:
            return None
        all_rows = (per_element(a, domain.rows) for a in (domain.scale, domain.offset, domain.lo, domain.hi))
        scale, offset, lo, hi = all_rows
        q = np.rint((self.value - offset) / np.where(scale == 0, np.inf, scale))
        held = (scale * q + offset == self.value) & (lo <= q) & (q <= hi) & ((q - lo) % domain.step == 0)
        return q.astype(np.int64) if held.all() else None

    def attributes(self) -> dict[str, object]:
        return {"before": self.before, "after": self.after, "value": self.value}


@dataclass(frozen=True, eq=False, repr=False)
class Permute(Node):
    """The same elements in another order: ``y.flat[i] = x.flat[index.flat[i]]``, in the shape of ``index``."""

    x: Node
    index: Array

    @cached_property
    def type(self) -> TensorType:
        domain = self.x.type.domain
        if domain is not None and domain.rows > 1:
            size = self.x.type.size
            scale, offset, lo, hi, error = (
                per_element(a, size)[self.index.reshape(-1)]
                for a in (domain.scale, domain.offset, domain.lo, domain.hi, domain.error)
            )
            domain = Domain(scale, offset, lo, hi, domain.step, error)
        return TensorType(self.index.shape, self.x.type.dtype, domain)


@dataclass(frozen=True, eq=False, repr=False)
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
        x = accumulator.readable(self.x.type.domain, unit_input=self.unit_input)
        if x is None:
            return TensorType(shape, self.dtype)
        weights = accumulator.Weights(self.weight, self.scale, self.weight_error, self.bias)
        return TensorType(shape, self.dtype, accumulator.domain(self.name, x, weights, self.dtype))

    def attributes(self) -> dict[str, object]:
        return {"weight": _kinds(self.weight)}


@dataclass(frozen=True, eq=False, repr=False)
class IntegerConv(Node):
    """A convolution whose weights are integers, as `IntegerDense` is a dense layer.

    ``pad_code`` is the ``q`` of padded taps. Where it is None they add nothing: a real 0 that the input's grid lacks.
    """

    x: Node
    weight: Array
    scale: Array
    bias: Array | None
    window: Window
    group: int = 1
    pad_value: float = 0.0
    weight_error: Array = field(default_factory=lambda: rows(0.0))
    dtype: str = "float32"
    unit_input: bool = False

    @cached_property
    def type(self) -> TensorType:
        shape = conv_shape(self.name, self.x.type, self.weight, self.window, self.group)
        x = accumulator.readable(self.x.type.domain, unit_input=self.unit_input)
        if x is None or x.rows > self.x.type.channels:
            return TensorType(shape, self.dtype)
        if self.is_padded and self.pad_code is None and self.pad_value != 0:
            raise IRError(f"{self.name}: padding with {self.pad_value:g}, which is not on the input's grid {x}")
        weights = accumulator.Weights(self.weight, self.scale, self.weight_error, self.bias)
        absent = ~self.window.valid(self.x.type.shape) if self.is_padded and self.pad_code is None else None
        known = accumulator.conv_domain(self.name, x, weights, self.dtype, self.group, absent)
        return TensorType(shape, self.dtype, known)

    @cached_property
    def is_padded(self) -> bool:
        """Whether any window reaches over the border."""
        return self.window.reaches_out(self.x.type.shape)

    @cached_property
    def pad_code(self) -> int | None:
        """The ``q`` of padded taps; None where they add nothing."""
        x = accumulator.readable(self.x.domain, unit_input=self.unit_input)
        if x is None or not self.is_padded:
            return None
        q = (self.pad_value - float(x.offset[0])) / float(x.scale[0]) if x.scale[0] else 0.5
        lo, hi = x.bounds
        return int(q) if q == int(q) and lo <= q <= hi and (int(q) - lo) % x.step == 0 else None

    def attributes(self) -> dict[str, object]:
        return {"weight": _kinds(self.weight), "window": self.window}


def conv_shape(name: str, x: TensorType, weight: Array, window: Window, group: int) -> tuple[int, ...]:
    """The shape ``[height, width, out]`` of a convolution of ``x``."""
    if len(x.shape) != 3 or x.channels != weight.shape[3] * group or len(weight) % group:
        raise IRError(f"{name}: a convolution with weights {weight.shape} in {group} groups cannot read {x}")
    return (*window.positions(x.shape), len(weight))


def _kinds(weight: Array) -> str:
    """Which values integer weights take, for printed graphs."""
    values = sorted(set(np.unique(weight).tolist()))
    kind = str(values) if len(values) <= 4 else f"{values[0]}..{values[-1]}"
    return f"{kind}{list(weight.shape)}"


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


@dataclass(frozen=True, eq=False, repr=False)
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


@dataclass(frozen=True, eq=False, repr=False)
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
