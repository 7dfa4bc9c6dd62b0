"""Enclosures: bounds on what an elementwise region can be on a whole interval of accumulators.

Interval arithmetic (Moore, Kearfott and Cloud, "Introduction to Interval Analysis", 2009). Over a box of operands an
operator has its smallest and its largest value at corners of the box, or where it turns: so it is evaluated there, by
the same definitions as everywhere, and what comes out encloses every value between. Two sides of a sum that depend on
each other make that wide, which is why intervals are halved (`bnncompiler.isolation`); and a residue that is added and
taken away again never gets narrow, which is why sums are also taken as linear forms, in which it cancels.

An enclosure is of exact values, or of what the reference may compute: its source is off by the domain's error then,
and each operator rounds. How far onnxruntime's curves are from exact ones no proof says: `CURVE_ROUNDING` is above
all that a sweep shows (tests/test_isolation.py).
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bnncompiler import elementwise
from bnncompiler.accumulator import UNIT_ROUNDOFF, batch_norm_size
from bnncompiler.cancellation import Form, form
from bnncompiler.ir import Array, Node, per_element
from bnncompiler.ops import Constant, Elementwise
from bnncompiler.oracle import ChannelFunction
from bnncompiler.saturation import flat

CURVE_ROUNDING = 8.0  # unit roundoffs, of the largest of 1, the operand and the result
LEAST_NORMAL = 2.0**-126  # below that it is no matter of unit roundoffs
OWN_ROUNDING = 2.0**-48  # relative: what float64 makes of one operator, curves included
MOST_OPERANDS = 4

_EXACT = {
    *("Abs", "And", "Cast", "Ceil", "Clip", "Equal", "Floor", "Greater", "GreaterOrEqual", "Less", "LessOrEqual"),
    *("Max", "Min", "Neg", "Not", "Or", "QuantizeLinear", "Relu", "Round", "Sign", "ThresholdedRelu", "Where", "Xor"),
}
_ROUNDED_ONCE = {
    *("Add", "DequantizeLinear", "Div", "LeakyRelu", "Mean", "Mul", "PRelu", "Reciprocal", "Sqrt", "Sub", "Sum"),
}
_BOUNDED = {"Erf", "HardSigmoid", "Sigmoid", "Softsign", "Tanh"}  # curves whose rounding does not grow with the operand
_CURVES = _BOUNDED | {"Celu", "Elu", "Exp", "Gelu", "HardSwish", "Log", "Mish", "Pow", "Selu", "Softplus"}
# Unit roundoffs of curves that are near in proportion to the result, however small it is.
RELATIVE_ROUNDING = {"Erf": 4.0, "Exp": 4.0, "Mish": 12.0, "Softplus": 8.0, "Tanh": 8.0}
_DIFFERENCES = {"Gelu", "HardSigmoid", "HardSwish"}  # curves that do not even in float64, as we compute them
KNOWN = _EXACT | _ROUNDED_ONCE | _CURVES | {"BatchNormalization"}

# Where an operator of one variable is neither rising nor falling throughout: the places at which it turns.
_TURNS: Mapping[str, tuple[float, ...]] = {
    "Abs": (0.0,),
    "Celu": (0.0,),
    "Elu": (0.0,),
    "Gelu": (-0.7517915247, -0.7524614220),  # with erf, and with tanh
    "HardSwish": (-3.0, -1.5),
    "LeakyRelu": (0.0,),
    "Mish": (-1.1924312145,),
    "PRelu": (0.0,),
    "Pow": (0.0,),
    "Selu": (0.0,),
}


class UnknownOperator(Exception):
    """The region has a node whose values nobody can enclose."""

    def __init__(self, node: Node) -> None:
        super().__init__(node.name)
        self.node = node


@dataclass(frozen=True, eq=False)
class Cells:
    """Intervals of accumulators, ``first`` to ``last``, each of the row ``row`` of a function; all ``[cells]``."""

    row: Array
    first: Array
    last: Array

    def __len__(self) -> int:
        return len(self.row)

    def at(self, which: Array) -> Cells:
        """Some of them, by mask or index."""
        return Cells(self.row[which], self.first[which], self.last[which])


@dataclass(frozen=True, eq=False)
class Enclosure:
    """Between what a value is on each cell; ``noise`` is what rounding alone adds to sums there."""

    least: Array
    most: Array
    noise: Array

    @property
    def size(self) -> Array:
        """The largest magnitude."""
        return np.maximum(np.abs(self.least), np.abs(self.most))


def enclose(function: ChannelFunction, cells: Cells, *, reference: bool) -> Enclosure:
    """Bounds on the values of ``function`` on each cell: exact ones, or those that the ``reference`` may compute.

    Raises:
        UnknownOperator: a node of the region has no enclosure.
    """
    known: dict[Node, Enclosure] = {function.source: _source(function, cells, reference=reference)}
    forms: dict[Node, Form] = {function.source: {function.source: np.ones(1)}}
    for node in function.nodes:
        if node.operator not in KNOWN or len(node.inputs) > MOST_OPERANDS + 1:
            raise UnknownOperator(node)
        for i in node.inputs:
            if isinstance(i, Constant):
                value = per_element(i.value, function.rows)[cells.row]
                value = value.astype(np.float64) if np.issubdtype(value.dtype, np.floating) else value
                known[i] = Enclosure(value, value, np.zeros(len(cells)))
        y = _rounded(node, _at_corners(node, known), known, reference=reference)
        linear = _form(node, forms, function.rows)
        forms[node] = {node: np.ones(1)} if linear is None else linear
        known[node] = y if linear is None else _narrowed(y, _noise(node, y, known), linear, known, cells.row)
    return known[function.sink]


def _source(function: ChannelFunction, cells: Cells, *, reference: bool) -> Enclosure:
    domain = function.source.domain
    scale, offset, error = (
        per_element(a, function.rows)[cells.row] for a in (domain.scale, domain.offset, domain.error)
    )
    ends = [scale * q + offset for q in (cells.first, cells.last)]
    least, most = np.minimum(*ends), np.maximum(*ends)
    size = np.maximum(np.abs(least), np.abs(most))
    unit = 2 * UNIT_ROUNDOFF.get(function.source.type.dtype, 0.0) if reference else 0.0
    more = error + unit * size if reference else np.zeros(len(cells))
    return Enclosure(least - more, most + more, np.zeros(len(cells)))


def _at_corners(node: Elementwise, known: Mapping[Node, Enclosure]) -> Enclosure:
    """The smallest and the largest value at the corners of the operands' box, and where the operator turns."""
    if node.operator == "Equal":
        return _equal(*(known[i] for i in node.inputs))
    ends = [(known[i].least,) if isinstance(i, Constant) else (known[i].least, known[i].most) for i in node.inputs]
    x = known[node.inputs[0]]
    if node.operator in _TURNS:
        ends[0] = (*ends[0], *(np.clip(turn, x.least, x.most) for turn in _TURNS[node.operator]))
    values = [_value(node, corner) for corner in itertools.product(*ends)]
    least, most = np.minimum.reduce(values), np.maximum.reduce(values)
    lost = ~(np.isfinite(least) & np.isfinite(most))
    if node.operator in ("Div", "Reciprocal"):
        divisor = known[node.inputs[-1]]
        lost |= (divisor.least <= 0) & (divisor.most >= 0)
    if lost.any():  # outside of what it is defined for, somewhere on the cell
        least, most = np.where(lost, -np.inf, least), np.where(lost, np.inf, most)
    return Enclosure(least, most, np.zeros(len(least)))


def _value(node: Elementwise, operands: tuple[Array, ...]) -> Array:
    y = elementwise.apply(node.operator, dict(node.attrs), list(operands), node.dtype, exact=True)
    return np.broadcast_to(y, operands[0].shape)


def _equal(a: Enclosure, b: Enclosure) -> Enclosure:
    apart = (a.most < b.least) | (b.most < a.least)
    same = (a.least == a.most) & (b.least == b.most) & (a.least == b.least)
    return Enclosure(same, ~apart, np.zeros(len(same)))


def _rounded(node: Elementwise, y: Enclosure, known: Mapping[Node, Enclosure], *, reference: bool) -> Enclosure:
    """``y`` with the rounding of one operator, as noise and in the bounds."""
    if node.operator in _EXACT:
        return y
    x = known[node.inputs[0]]
    constant = flat(node.operator, dict(node.attrs), node.dtype).reaches(x.least, x.most)
    unit = UNIT_ROUNDOFF.get(node.type.dtype, 0.0) if reference else OWN_ROUNDING
    size = y.size
    if node.operator == "BatchNormalization":
        parameters = [known[i].least for i in node.inputs[1:]]
        size = batch_norm_size(x.size, size, parameters, float(dict(node.attrs)["epsilon"]))
    elif node.operator in _CURVES:
        size = _curve_size(node.operator, x, size, reference=reference)
    more = np.where(np.isfinite(size) & ~constant, unit * size, 0.0)
    return Enclosure(y.least - more, y.most + more, more)


def _curve_size(operator: str, x: Enclosure, size: Array, *, reference: bool) -> Array:
    """The magnitude of which a curve with values up to ``size`` rounds at most a unit."""
    if operator in RELATIVE_ROUNDING or not (reference or operator in _DIFFERENCES):
        return RELATIVE_ROUNDING.get(operator, CURVE_ROUNDING) * size + LEAST_NORMAL / UNIT_ROUNDOFF["float32"]
    return CURVE_ROUNDING * np.maximum(1.0, size if operator in _BOUNDED else np.maximum(size, x.size))


def _form(node: Elementwise, forms: Mapping[Node, Form], rows: int) -> Form | None:
    """``node`` as a linear form over what is not linear, constants that are added included."""
    if node.operator in ("Add", "Sub", "Sum"):
        forms = {**forms, **{i: {i: np.ones(1)} for i in node.inputs if isinstance(i, Constant)}}
    return form(node, forms, rows)


def _noise(node: Elementwise, y: Enclosure, known: Mapping[Node, Enclosure]) -> Array:
    """What rounding makes of a linear form: the node's own, and that of its operands."""
    operands = [known[i] for i in node.inputs if not isinstance(i, Constant)]
    constant = next((np.abs(known[i].least) for i in node.inputs if isinstance(i, Constant)), None)
    noise: Array = np.sum([o.noise for o in operands], axis=0)
    if node.operator in ("Mul", "Div") and constant is not None:
        noise = noise * constant if node.operator == "Mul" else noise / constant
    return y.noise + noise


def _narrowed(y: Enclosure, noise: Array, linear: Form, known: Mapping[Node, Enclosure], row: Array) -> Enclosure:
    """``y`` within what its linear form says."""
    least, most = np.zeros(len(row)), np.zeros(len(row))
    for atom, amount in linear.items():
        factor = amount[row] if len(amount) > 1 else amount
        ends = [np.asarray(factor * end, np.float64) for end in (known[atom].least, known[atom].most)]
        least, most = least + np.minimum(*ends), most + np.maximum(*ends)
    return Enclosure(np.maximum(y.least, least - noise), np.minimum(y.most, most + noise), noise)
