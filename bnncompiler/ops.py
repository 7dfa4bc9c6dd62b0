"""The vocabulary: every operation that a graph can hold.

What the frontend writes is real and keeps ONNX's meaning; it is here. What the passes put in its place works on integer
grids (`bnncompiler.integer_ops`); both are to be had from this module. Lowering accepts only values with a domain, so
whatever is left real is what could not be compiled, by name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bnncompiler.errors import IRError
from bnncompiler.integer_ops import (
    IntegerAdd,
    IntegerConv,
    IntegerDense,
    IntegerMul,
    Lookup,
    Requantize,
    Steps,
    conv_shape,
    dense_shape,
)
from bnncompiler.ir import Array, Domain, Node, TensorType, per_element, rows
from bnncompiler.window import Window

__all__ = [
    "ArgMax",
    "Concat",
    "Constant",
    "Conv",
    "Dense",
    "Elementwise",
    "Input",
    "IntegerAdd",
    "IntegerConv",
    "IntegerDense",
    "IntegerMul",
    "Largest",
    "Lookup",
    "MaxPool",
    "Pad",
    "Permute",
    "Requantize",
    "Steps",
]


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
    """The index of the largest channel, the first of equals; or of the ``count`` largest, in this order."""

    x: Node
    count: int = 1

    @cached_property
    def type(self) -> TensorType:
        index = Domain(rows(1), rows(0), rows(0), rows(self.x.type.channels - 1))
        return TensorType((*self.x.type.shape[:-1], self.count), "int64", index)

    def attributes(self) -> dict[str, object]:
        return {"count": self.count} if self.count > 1 else {}


@dataclass(frozen=True, eq=False, repr=False)
class Largest(Node):
    """The ``count`` largest channels in falling order; an integer once all channels have one scale."""

    x: Node
    count: int

    @cached_property
    def type(self) -> TensorType:
        x, shape = self.x.type.domain, (*self.x.type.shape[:-1], self.count)
        if x is None or not x.is_uniform or x.scale[0] <= 0:
            return TensorType(shape, self.x.type.dtype)
        lo, hi = x.bounds
        sorted_ = Domain(x.scale, x.offset, rows(lo), rows(hi), x.step, rows(x.error.max()))
        return TensorType(shape, self.x.type.dtype, sorted_)

    def attributes(self) -> dict[str, object]:
        return {"count": self.count}


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

    On a value with a domain this is the largest ``q``: the same thing where no scale is negative. With ``on_codes`` it
    is also meant where some are (`passes.sink_max_pool` turns those rows round).
    """

    x: Node
    window: Window
    on_codes: bool = False

    @cached_property
    def type(self) -> TensorType:
        if len(self.x.type.shape) != 3:
            raise IRError(f"{self.name}: MaxPool wants a map, {self.x.name} is {self.x.type}")
        domain = self.x.type.domain
        ordered = domain is not None and (self.on_codes or (domain.scale >= 0).all())
        known = domain.by_channel(self.x.type.channels) if domain is not None and ordered else None
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
        return TensorType(shape, self.x.type.dtype, None if self.codes is None else self._domain)

    @cached_property
    def _domain(self) -> Domain | None:
        domain = self.x.type.domain
        return None if domain is None else domain.by_channel(self.x.type.channels)

    @cached_property
    def codes(self) -> Array | None:
        """The ``q`` of the value, by row; None where the map is real or some row does not have the value."""
        domain = self._domain
        if domain is None:
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
            row = self.index.reshape(-1) % domain.rows
            by_pixel = row.reshape(-1, self.index.shape[-1])
            domain = domain.at(by_pixel[0] if (by_pixel == by_pixel[0]).all() else row)
        return TensorType(self.index.shape, self.x.type.dtype, domain)


@dataclass(frozen=True, eq=False, repr=False)
class Concat(Node):
    """Maps of one height and width, or vectors, side by side: the channels of the first, then those of the next."""

    parts: tuple[Node, ...]

    @cached_property
    def type(self) -> TensorType:
        first = self.parts[0].type
        if any(p.type.shape[:-1] != first.shape[:-1] or p.type.dtype != first.dtype for p in self.parts):
            raise IRError(f"{self.name}: Concat of {', '.join(str(p.type) for p in self.parts)}")
        shape = (*first.shape[:-1], sum(p.type.channels for p in self.parts))
        domains = [None if p.type.domain is None else p.type.domain.by_channel(p.type.channels) for p in self.parts]
        known = [d for d in domains if d is not None]
        if len(known) < len(self.parts):
            return TensorType(shape, first.dtype)
        return TensorType(shape, first.dtype, Domain.concatenate(known, [p.type.channels for p in self.parts]))
