"""Elementwise operators: one canonical form whatever the opset, with constants brought into the order of the base.

The one idea: an elementwise result lies where its operands lie, so it is computed on their base and has their index;
operands that lie differently are gathered first (`alignment`), and so is one whose elements meet several constants.
A constant follows the index back: broadcast to the ONNX shape, and scattered into rows of the base.

Canonical means the form of opset 20 with nothing left out: Clip has both bounds, (De)QuantizeLinear its zero point,
attributes are spelled out, CastLike is Cast. To add an operator, give it a meaning in
`bnncompiler.elementwise.OPERATORS`; one whose inputs or attributes need work has a function in `_FORMS` here, too.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from onnx import NodeProto, TensorProto, helper

from bnncompiler.elementwise import OPERATORS
from bnncompiler.errors import ModelError, UnsupportedModel
from bnncompiler.frontend.alignment import align, lie_alike
from bnncompiler.frontend.nodes import attribute, label, numpy_dtype
from bnncompiler.frontend.scope import Operand, Scope, Tensor
from bnncompiler.ir import Array, Node
from bnncompiler.ops import Constant, Elementwise

ELEMENTWISE = frozenset(OPERATORS) | {"Cast", "CastLike"}
_BOOLEAN = frozenset({"And", "Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Not", "Or", "Xor"})
_DEFAULTS: Mapping[str, Mapping[str, int | float | str]] = {
    "Celu": {"alpha": 1.0},
    "Elu": {"alpha": 1.0},
    "Gelu": {"approximate": "none"},
    "HardSigmoid": {"alpha": 0.2, "beta": 0.5},
    "LeakyRelu": {"alpha": 0.01},
    "Mod": {"fmod": 0},
    "Selu": {"alpha": 1.67326319217681884765625, "gamma": 1.05070102214813232421875},
    "ThresholdedRelu": {"alpha": 1.0},
}


@dataclass(frozen=True)
class Form:
    """An elementwise operation in canonical form; ``operands`` broadcast against each other as in numpy."""

    operator: str
    operands: list[Operand]
    dtype: str
    attrs: dict[str, int | float | str] = field(default_factory=dict)


def elementwise(scope: Scope, node: NodeProto) -> list[Tensor]:
    """Import an elementwise operator.

    Raises:
        ModelError: shapes do not go together.
        UnsupportedModel: an operand mixes samples, or a constant differs from sample to sample.
    """
    form = _FORMS.get(node.op_type, _plain)(scope, node)
    variables = {i: o for i, o in enumerate(form.operands) if isinstance(o, Tensor)}
    constants = {i: o for i, o in enumerate(form.operands) if not isinstance(o, Tensor)}
    shapes = [o.index.shape if isinstance(o, Tensor) else o.shape for o in form.operands]
    try:
        shape = np.broadcast_shapes(*shapes)
    except ValueError as e:
        raise ModelError(f"{label(node)}: the shapes {', '.join(map(str, shapes))} do not go together") from e
    bases: dict[int, Node] = {i: o.base for i, o in variables.items()}
    first = next(iter(variables.values()))
    index = first.index if first.index.shape == shape else np.broadcast_to(first.index, shape)
    rows = _rows(constants, index, first.base, scope.batch) if lie_alike(variables, shape) else None
    if rows is None:
        bases, index = align(scope, node, variables, shape)
        rows = _rows(constants, index, next(iter(bases.values())), scope.batch)
    if rows is None:
        raise UnsupportedModel(f"{label(node)} has a constant that differs between samples; export with batch size 1")
    inputs: list[Node] = []
    for position in range(len(form.operands)):
        if position in bases:
            inputs.append(bases[position])
        else:
            given = node.input[position] if position < len(node.input) else ""
            inputs.append(Constant(given or f"{node.output[0]}.{position}", rows[position]))
    result = Elementwise(scope.record(node), form.operator, tuple(inputs), form.dtype, tuple(form.attrs.items()))
    return [Tensor(result, index)]


def _rows(constants: Mapping[int, Array], index: Array, base: Node, batch: int) -> dict[int, Array] | None:
    found = {i: constant_rows(c, index, base.type.size, base.type.channels, batch) for i, c in constants.items()}
    known = {i: rows for i, rows in found.items() if rows is not None}
    return known if len(known) == len(found) else None


def constant_rows(value: Array, index: Array, size: int, channels: int, batch: int) -> Array | None:
    """A constant operand as rows of the base: one for all, one a channel, or one an element.

    Args:
        value: the constant, which broadcasts to the shape of ``index``.
        index: where the ONNX value's elements are in the base, over the batch.
        size: elements of the base in one sample.
        channels: length of the base's last axis.
        batch: samples that ``index`` covers.

    Returns:
        The rows; None where an element of the base would meet several constants.
    """
    if value.size == 1:
        return value.reshape(1)
    spread = np.broadcast_to(value, index.shape).reshape(-1)
    place = index.reshape(-1)
    for count in dict.fromkeys((1, channels, size)):
        rows = np.full(count, spread[0])  # elements that nobody reads may meet any constant
        rows[place % count] = spread
        if _same(rows[place % count], spread):
            return rows
    return None


def _same(a: Array, b: Array) -> bool:
    """Equal bit for bit, as far as arithmetic can tell: -0.0 is not 0.0."""
    equal = np.array_equal(a, b)
    return equal and (a.dtype.kind != "f" or np.array_equal(np.signbit(a), np.signbit(b)))


def _plain(scope: Scope, node: NodeProto) -> Form:
    """An operator whose inputs are its operands; attributes are spelled out."""
    operands = _operands(scope, node)
    kind = operands[1] if node.op_type == "Where" else operands[0]
    dtype = "bool" if node.op_type in _BOOLEAN else str(kind.dtype)
    attrs = {
        name: _float32(attribute(node, name, default)) if isinstance(default, float) else attribute(node, name, default)
        for name, default in _DEFAULTS.get(node.op_type, {}).items()
    }
    return Form(node.op_type, operands, dtype, attrs)


def _operands(scope: Scope, node: NodeProto) -> list[Operand]:
    found = [scope.operand(node, i) for i in range(len(node.input))]
    if any(o is None for o in found):
        raise UnsupportedModel(f"{label(node)}: an input is left out that the operator needs")
    return [o for o in found if o is not None]


def _float32(value: float) -> float:
    return float(np.float32(value))


def _cast(scope: Scope, node: NodeProto) -> Form:
    x = scope.tensor(node)
    if node.op_type == "CastLike":
        like = scope.operand(node, 1)
        to = int(helper.np_dtype_to_tensor_dtype(np.dtype(x.dtype if like is None else like.dtype)))
    else:
        to = attribute(node, "to")
    return Form("Cast", [x], str(numpy_dtype(to, label(node))), {"to": int(to)})


def _clip(scope: Scope, node: NodeProto) -> Form:
    x = scope.tensor(node)
    kind = np.dtype(x.dtype)
    info = np.finfo(kind) if kind.kind == "f" else np.iinfo(kind)
    bounds: list[Operand] = []
    for position, (name, unbounded) in enumerate((("min", info.min), ("max", info.max)), start=1):
        given = scope.operand(node, position)
        bounds.append(np.array(attribute(node, name, unbounded), kind) if given is None else given)
    return Form("Clip", [x, *bounds], x.dtype)


def _batch_normalization(scope: Scope, node: NodeProto) -> Form:
    x = scope.tensor(node)
    if attribute(node, "training_mode", 0) or any(o in scope.wanted for o in node.output[1:]):
        raise UnsupportedModel(f"{label(node)} is in training mode; call eval() before export")
    if not attribute(node, "spatial", 1):
        raise UnsupportedModel(
            f"{label(node)} has statistics for each element (spatial=0); export with opset 9 or newer"
        )
    along = _along(x, 1)
    parameters = [scope.constant(node, i).reshape(along) for i in range(1, 5)]
    return Form(
        "BatchNormalization", [x, *parameters], x.dtype, {"epsilon": attribute(node, "epsilon", _float32(1e-5))}
    )


def _quantize(scope: Scope, node: NodeProto) -> Form:
    x, scale = scope.tensor(node), scope.constant(node, 1)
    if attribute(node, "block_size", 0):
        raise UnsupportedModel(f"{label(node)} quantises by blocks; quantise per tensor or per channel")
    zero = scope.operand(node, 2)
    if zero is None:
        to = attribute(node, "output_dtype", 0) or TensorProto.UINT8
        zero_dtype = x.dtype if node.op_type == "DequantizeLinear" else numpy_dtype(to, label(node))
        zero = np.zeros(scale.shape, zero_dtype)
    if isinstance(zero, Tensor):
        raise UnsupportedModel(f"{label(node)}: the zero point is not constant; export with static quantisation")
    along = _along(x, attribute(node, "axis", 1)) if scale.size > 1 else ()
    dtype = scale.dtype if node.op_type == "DequantizeLinear" else zero.dtype
    return Form(node.op_type, [x, scale.reshape(along), zero.reshape(along)], str(dtype))


def _along(x: Tensor, axis: int) -> list[int]:
    """The shape in which one parameter per position of ``axis`` broadcasts against ``x``."""
    rank = x.index.ndim
    shape = [1] * rank
    shape[axis] = -1
    return shape


_FORMS: Mapping[str, Callable[[Scope, NodeProto], Form]] = {
    "BatchNormalization": _batch_normalization,
    "Cast": _cast,
    "CastLike": _cast,
    "Clip": _clip,
    "DequantizeLinear": _quantize,
    "QuantizeLinear": _quantize,
}
