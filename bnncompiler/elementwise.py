"""What ONNX's elementwise operators compute, in numpy: for exact (float64) evaluation and for the interpreter.

Onnxruntime is the judge of what float32 makes of an operator (`bnncompiler.oracle`); this is the operator's definition
(https://onnx.ai/onnx/operators, opset 20) in whatever precision the operands have. Adding an operator is adding a line.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from bnncompiler.errors import UnsupportedModel
from bnncompiler.ir import Array
from bnncompiler.saturation import NOWHERE, flat

Attrs = Mapping[str, Any]


def _sigmoid(x: Array) -> Array:
    y: Array = 1 / (1 + np.exp(-x))
    return y


def _batch_norm(x: Array, scale: Array, bias: Array, mean: Array, var: Array, epsilon: float) -> Array:
    """In onnxruntime's order of operations, to the last bit: one multiply and one add by folded constants."""
    factor = scale * (1 / np.sqrt(var + np.asarray(epsilon, var.dtype)))
    y: Array = x * factor + (bias - mean * factor)
    return y


def _elu(x: Array, alpha: float) -> Array:
    return np.where(x < 0, alpha * np.expm1(x), x)


def _erf(x: Array) -> Array:
    y: Array = np.vectorize(math.erf, otypes=[x.dtype])(x)
    return y


def _gelu(x: Array, a: Attrs) -> Array:
    if a["approximate"] == "tanh":
        y: Array = 0.5 * x * (1 + np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))
        return y
    return np.asarray(0.5 * x * (1 + _erf(x / math.sqrt(2))))


def _divide(x: Array, y: Array) -> Array:
    """Floats divide; integers truncate towards zero, as in C."""
    if np.issubdtype(x.dtype, np.floating):
        return np.asarray(x / y)
    return np.asarray(np.trunc(x / y).astype(x.dtype))


def _mod(x: Array, y: Array, a: Attrs) -> Array:
    return np.asarray(np.fmod(x, y) if a.get("fmod") else np.mod(x, y))


def _quantize(x: Array, scale: Array, zero: Array) -> Array:
    info = np.iinfo(zero.dtype)
    return np.asarray(np.clip(np.rint(x / scale) + zero, info.min, info.max), zero.dtype)


def _fold(op: Callable[[Array, Array], Array]) -> Callable[..., Array]:
    def apply(first: Array, *rest: Array) -> Array:
        for other in rest:
            first = op(first, other)
        return first

    return apply


OPERATORS: Mapping[str, Callable[[Attrs, list[Array]], Array]] = {
    "Abs": lambda a, v: np.abs(v[0]),
    "Add": lambda a, v: v[0] + v[1],
    "And": lambda a, v: v[0] & v[1],
    "BatchNormalization": lambda a, v: _batch_norm(v[0], v[1], v[2], v[3], v[4], a["epsilon"]),
    "BitwiseAnd": lambda a, v: v[0] & v[1],
    "BitwiseNot": lambda a, v: ~v[0],
    "BitwiseOr": lambda a, v: v[0] | v[1],
    "BitwiseXor": lambda a, v: v[0] ^ v[1],
    "Ceil": lambda a, v: np.ceil(v[0]),
    "Celu": lambda a, v: np.maximum(v[0], 0) + np.minimum(0, a["alpha"] * np.expm1(v[0] / a["alpha"])),
    "Clip": lambda a, v: np.minimum(np.maximum(v[0], v[1]), v[2]),
    "DequantizeLinear": lambda a, v: (v[0].astype(np.int64) - v[2].astype(np.int64)).astype(v[1].dtype) * v[1],
    "Div": lambda a, v: _divide(v[0], v[1]),
    "Elu": lambda a, v: _elu(v[0], a["alpha"]),
    "Equal": lambda a, v: v[0] == v[1],
    "Erf": lambda a, v: _erf(v[0]),
    "Exp": lambda a, v: np.exp(v[0]),
    "Floor": lambda a, v: np.floor(v[0]),
    "Gelu": lambda a, v: _gelu(v[0], a),
    "Greater": lambda a, v: v[0] > v[1],
    "GreaterOrEqual": lambda a, v: v[0] >= v[1],
    "HardSigmoid": lambda a, v: np.clip(a["alpha"] * v[0] + a["beta"], 0, 1),
    "HardSwish": lambda a, v: v[0] * np.clip(v[0] / 6 + 0.5, 0, 1),
    "LeakyRelu": lambda a, v: np.where(v[0] < 0, a["alpha"] * v[0], v[0]),
    "Less": lambda a, v: v[0] < v[1],
    "LessOrEqual": lambda a, v: v[0] <= v[1],
    "Log": lambda a, v: np.log(v[0]),
    "Max": lambda a, v: _fold(np.maximum)(*v),
    "Mean": lambda a, v: _fold(np.add)(*v) / len(v),
    "Min": lambda a, v: _fold(np.minimum)(*v),
    "Mish": lambda a, v: v[0] * np.tanh(np.logaddexp(0, v[0])),
    "Mod": lambda a, v: _mod(v[0], v[1], a),
    "Mul": lambda a, v: v[0] * v[1],
    "Neg": lambda a, v: -v[0],
    "Not": lambda a, v: ~v[0],
    "Or": lambda a, v: v[0] | v[1],
    "PRelu": lambda a, v: np.where(v[0] < 0, v[0] * v[1], v[0]),
    "Pow": lambda a, v: np.power(v[0], v[1].astype(v[0].dtype)),
    "QuantizeLinear": lambda a, v: _quantize(v[0], v[1], v[2]),
    "Reciprocal": lambda a, v: 1 / v[0],
    "Relu": lambda a, v: np.maximum(v[0], 0),
    "Round": lambda a, v: np.rint(v[0]),
    "Selu": lambda a, v: a["gamma"] * _elu(v[0], a["alpha"]),
    "Sigmoid": lambda a, v: _sigmoid(v[0]),
    "Sign": lambda a, v: np.sign(v[0]),
    "Softplus": lambda a, v: np.logaddexp(0, v[0]),
    "Softsign": lambda a, v: v[0] / (1 + np.abs(v[0])),
    "Sqrt": lambda a, v: np.sqrt(v[0]),
    "Sub": lambda a, v: v[0] - v[1],
    "Sum": lambda a, v: _fold(np.add)(*v),
    "Tanh": lambda a, v: np.tanh(v[0]),
    "ThresholdedRelu": lambda a, v: np.where(v[0] > a["alpha"], v[0], 0),
    "Where": lambda a, v: np.where(v[0], v[1], v[2]),
    "Xor": lambda a, v: v[0] ^ v[1],
}


def apply(operator: str, attrs: Attrs, operands: list[Array], dtype: str, *, exact: bool = False) -> Array:
    """``operator`` on numpy operands that broadcast against each other.

    Args:
        operator: ONNX operator name.
        attrs: its attributes, all spelled out.
        operands: arrays; elements along the last axis.
        dtype: the element type that ONNX gives the result.
        exact: compute floats in float64 instead of ``dtype``, and let casts between float types be exact; a curve is
            still as flat as it is in ``dtype`` (`bnncompiler.saturation`).

    Raises:
        UnsupportedModel: the operator has no meaning here.
    """
    ends = flat(operator, attrs, dtype) if exact else NOWHERE
    if exact:
        dtype = "float64" if dtype.startswith("float") else dtype
        operands = [o.astype(np.float64) if np.issubdtype(o.dtype, np.floating) else o for o in operands]
    with np.errstate(all="ignore"):  # an infinity on an unreached branch is not an error; a final one is found later
        if operator == "Cast":
            return operands[0].astype(dtype)
        if operator not in OPERATORS:
            raise UnsupportedModel(
                f"{operator}: the compiler does not know this elementwise operator; replace it in the model"
            )
        y = np.asarray(OPERATORS[operator](attrs, operands)).astype(dtype, copy=False)
    return y if ends is NOWHERE else ends.on(operands[0], y)
