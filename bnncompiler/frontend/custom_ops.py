"""Operators of other domains in terms of standard ones: QONNX, FINN, Brevitas, and what onnxruntime's optimizer fuses.

The one idea: each is rewritten into the standard operators that define it, step by step as the reference
implementation computes it (https://github.com/fastmachinelearning/qonnx, src/qonnx/custom_op/general), so that
onnxruntime stays the judge. Adding an operator is adding a function here and a line in `_QUANTIZATION` or `_FUSED`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from onnx import NodeProto, TensorProto, helper, numpy_helper

from bnncompiler.errors import UnsupportedModel
from bnncompiler.frontend.nodes import attribute, label
from bnncompiler.ir import Array

Shapes = Mapping[str, tuple[int | None, ...]]

QUANTIZATION_DOMAINS = ("qonnx", "onnx.brevitas", "finn")
FUSION_DOMAIN = "com.microsoft"
BLOCKED_DOMAIN = "com.microsoft.nchwc"


@dataclass
class Rewrite:
    """The standard nodes that take the place of ``node``.

    Attributes:
        node: the node of another domain.
        constants: the constant values of the model by name.
        shapes: the shapes of the model's values by name, as far as they are known.
        nodes: what has been written so far.
        initializers: constants that were needed for it.
    """

    node: NodeProto
    constants: Mapping[str, Array]
    shapes: Shapes
    nodes: list[NodeProto] = field(default_factory=list)
    initializers: list[TensorProto] = field(default_factory=list)

    def __call__(self, op: str, *inputs: str, **attributes: Any) -> str:
        """Write a node; returns its value's name."""
        value = f"{self.node.output[0]}.{len(self.nodes)}"
        name = f"{self.node.name or self.node.output[0]}.{len(self.nodes)}.{op}"
        self.nodes.append(helper.make_node(op, inputs, [value], name, **attributes))
        return value

    def number(self, value: object) -> str:
        """Write a float32 constant; returns its name."""
        name = f"{self.node.output[0]}.c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value, np.float32), name))
        return name

    def integers(self, values: list[int]) -> str:
        """Write an int64 constant; returns its name."""
        name = f"{self.node.output[0]}.c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(values, np.int64), name))
        return name

    def input(self, position: int) -> str:
        """The name of an input, "" where it is left out."""
        return self.node.input[position] if position < len(self.node.input) else ""

    def known(self, position: int) -> Array:
        """The value of an input that has to be constant."""
        name = self.input(position)
        if name not in self.constants:
            raise UnsupportedModel(f'{label(self.node)}: "{name}" is not constant; export it as an initializer')
        return self.constants[name]

    def rank(self, position: int) -> int:
        """The number of axes of an input."""
        name = self.input(position)
        if name not in self.shapes:
            raise UnsupportedModel(
                f'{label(self.node)}: the shape of "{name}" is not known; infer shapes before export'
            )
        return len(self.shapes[name])

    def finish(self) -> None:
        """Let the last node compute what the replaced one did."""
        self.nodes[-1].output[0] = self.node.output[0]


def _bipolar_quant(to: Rewrite) -> None:
    """``where(x >= 0, 1, -1) * scale``."""
    sign = to("Where", to("GreaterOrEqual", to.input(0), to.number(0)), to.number(1), to.number(-1))
    _times(to, sign, to.known(1))


def _quant(to: Rewrite) -> None:
    """``(round(clip(x / scale + zero, lo, hi)) - zero) * scale``; one signed bit is bipolar."""
    scale, zero, bits = to.known(1), to.known(2), to.known(3)
    signed, narrow = bool(attribute(to.node, "signed", 1)), bool(attribute(to.node, "narrow", 0))
    if bits.size != 1:
        raise UnsupportedModel(f"{label(to.node)} has a bit width of its own for each channel, which is not supported")
    y = to.input(0)
    y = to("Div", y, to.number(scale)) if (scale != 1).any() else y
    y = to("Add", y, to.number(zero)) if zero.any() else y
    if signed and bits.item() == 1:
        y = to("Where", to("GreaterOrEqual", y, to.number(0)), to.number(1), to.number(-1))
    else:
        lo, hi = _integer_range(float(bits.item()), signed, narrow)
        y = _round(to, to("Clip", y, to.number(lo), to.number(hi)))
    y = to("Sub", y, to.number(zero)) if zero.any() else y
    _times(to, y, scale)


def _trunc(to: Rewrite) -> None:
    """Drop low bits: ``round_mode(clip(round(x / scale + zero) / 2**k, lo, hi))`` in real numbers; both versions."""
    scale, zero = to.known(1), to.known(2)
    newer = len(to.node.input) > 5
    if newer:
        out_scale, bits = to.known(4), to.known(6)
        step = 2.0 ** np.round(np.log2(out_scale / scale))
    else:
        step = 2.0 ** np.asarray(to.known(3) - to.known(4), np.float64)
    y = to("Round", to("Add", to("Div", to.input(0), to.number(scale)), to.number(zero)))
    y = to("Div", y, to.number(step))
    if newer:
        signed, narrow = bool(attribute(to.node, "signed", 1)), bool(attribute(to.node, "narrow", 0))
        lo, hi = _integer_range(float(bits.item()), signed, narrow)
        y = to("Clip", y, to.number(lo), to.number(hi))
    y = _round(to, y, "FLOOR")
    y = to("Sub", y, to.number(zero / step if newer else zero))
    to("Mul", y, to.number(out_scale if newer else scale))


def _multi_threshold(to: Rewrite) -> None:
    """``out_scale * #{t : x >= t} + out_bias``, thresholds by channel: the last axis, but the second of NCHW maps."""
    thresholds = to.known(1)
    layout = attribute(to.node, "data_layout", "NCHW")
    shape: tuple[int, ...] = ()
    if len(thresholds) > 1:
        shape = (-1, 1, 1) if layout == "NCHW" and to.rank(0) == 4 else (-1,)
    reached = [
        to("Cast", to("GreaterOrEqual", to.input(0), to.number(column.reshape(shape))), to=TensorProto.FLOAT)
        for column in thresholds.T
    ]
    y = to("Sum", *reached) if len(reached) > 1 else reached[0]
    scale, bias = attribute(to.node, "out_scale", 1.0), attribute(to.node, "out_bias", 0.0)
    y = to("Mul", y, to.number(scale)) if scale != 1 else y
    if bias != 0:
        to("Add", y, to.number(bias))


def _xnor_popcount_matmul(to: Rewrite) -> None:
    """The count of equal bits of {0, 1} operands: ``((2a - 1) @ (2w - 1) + k) / 2``."""
    k = to.known(1).shape[0]
    signs = [to("Sub", to("Mul", to.input(i), to.number(2)), to.number(1)) for i in (0, 1)]
    to("Mul", to("Add", to("MatMul", *signs), to.number(k)), to.number(0.5))


def _fused_gemm(to: Rewrite) -> None:
    names = ("alpha", "beta", "transA", "transB")
    attributes = {a.name: helper.get_attribute_value(a) for a in to.node.attribute if a.name in names}
    _activation(to, to("Gemm", *to.node.input, **attributes))


def _fused_matmul(to: Rewrite) -> None:
    if attribute(to.node, "transBatchA", 0) or attribute(to.node, "transBatchB", 0):
        raise UnsupportedModel(
            f"{label(to.node)} transposes its batch; export without onnxruntime's extended optimisation"
        )
    factors = []
    for position, name in enumerate(("transA", "transB")):
        factor = to.input(position)
        if attribute(to.node, name, 0):
            axes = list(range(to.rank(position)))
            factor = to("Transpose", factor, perm=[*axes[:-2], axes[-1], axes[-2]])
        factors.append(factor)
    y = to("MatMul", *factors)
    alpha = attribute(to.node, "alpha", 1.0)
    if alpha != 1:
        to("Mul", y, to.number(alpha))


def _fused_conv(to: Rewrite) -> None:
    own = [a for a in to.node.attribute if not a.name.startswith("activation")]
    attributes = {a.name: helper.get_attribute_value(a) for a in own}
    y = to("Conv", *filter(None, to.node.input[:3]), **attributes)
    y = to("Add", y, to.input(3)) if to.input(3) else y
    _activation(to, y)


def _activation(to: Rewrite, y: str) -> None:
    """What onnxruntime has fused behind a product."""
    kind = attribute(to.node, "activation", "")
    parameters = list(attribute(to.node, "activation_params", []))
    if not parameters:
        parameters = [v for n in ("alpha", "beta", "gamma") if (v := attribute(to.node, f"activation_{n}")) is not None]
    if kind == "Clip":
        to("Clip", y, to.number(parameters[0]), to.number(parameters[1]))
    elif kind in ("LeakyRelu", "HardSigmoid"):
        to(kind, y, **dict(zip(("alpha", "beta"), parameters, strict=False)))
    elif kind in ("Relu", "Sigmoid", "Tanh", "Softplus", "Softsign"):
        to(kind, y)
    elif kind:
        raise UnsupportedModel(
            f"{label(to.node)} has the unknown activation {kind}; export without onnxruntime's extended optimisation"
        )


def _times(to: Rewrite, y: str, scale: Array) -> None:
    if (scale != 1).any():
        to("Mul", y, to.number(scale))


def _round(to: Rewrite, y: str, default: str = "ROUND") -> str:
    """Round by QONNX's ``rounding_mode``."""
    mode = str(attribute(to.node, "rounding_mode", default)).upper()
    if mode in ("ROUND", "HALF_EVEN"):
        return to("Round", y)
    if mode in ("CEIL", "FLOOR"):
        return to(mode.title(), y)
    magnitude, sign = to("Abs", y), to("Sign", y)
    if mode == "UP":
        magnitude = to("Ceil", magnitude)
    elif mode in ("DOWN", "ROUND_TO_ZERO"):
        magnitude = to("Floor", magnitude)
    elif mode == "HALF_UP":
        magnitude = to("Floor", to("Add", magnitude, to.number(0.5)))
    elif mode == "HALF_DOWN":
        magnitude = to("Ceil", to("Sub", magnitude, to.number(0.5)))
    else:
        raise UnsupportedModel(f'{label(to.node)} has the unknown rounding mode "{mode}"')
    return to("Mul", sign, magnitude)


def _integer_range(bits: float, signed: bool, narrow: bool) -> tuple[float, float]:
    if signed:
        return -(2.0 ** (bits - 1)) + narrow, 2.0 ** (bits - 1) - 1
    return 0.0, 2.0**bits - 1 - narrow


_QUANTIZATION: Mapping[str, Callable[[Rewrite], None]] = {
    "BipolarQuant": _bipolar_quant,
    "IntQuant": _quant,
    "MultiThreshold": _multi_threshold,
    "Quant": _quant,
    "Trunc": _trunc,
    "XnorPopcountMatMul": _xnor_popcount_matmul,
}
_FUSED: Mapping[str, Callable[[Rewrite], None]] = {
    "FusedConv": _fused_conv,
    "FusedGemm": _fused_gemm,
    "FusedMatMul": _fused_matmul,
}
SKELETON = {  # a standard operator with the same result shape
    "BipolarQuant": "Identity",
    "FusedConv": "Conv",
    "FusedGemm": "Gemm",
    "IntQuant": "Identity",
    "MultiThreshold": "Identity",
    "Quant": "Identity",
    "Trunc": "Identity",
    "XnorPopcountMatMul": "MatMul",
}


def rewrite(node: NodeProto, constants: Mapping[str, Array], shapes: Shapes) -> Rewrite:
    """The standard nodes for ``node``, which is of another domain.

    Raises:
        UnsupportedModel: the operator has no standard form here.
    """
    if node.domain == BLOCKED_DOMAIN:
        raise UnsupportedModel(
            f"{label(node)} has onnxruntime's blocked layout, which fits one processor only; "
            "compile the model as it was before, or optimise it with ORT_ENABLE_EXTENDED at most"
        )
    known = node.domain == FUSION_DOMAIN or node.domain.startswith(QUANTIZATION_DOMAINS)
    table = _FUSED if node.domain == FUSION_DOMAIN else _QUANTIZATION
    if not known or node.op_type not in table:
        quantized = node.domain == FUSION_DOMAIN and node.op_type.startswith("Q")
        way_out = "quantise in QDQ format (QuantFormat.QDQ)" if quantized else "export with standard operators"
        raise UnsupportedModel(f"{label(node)} is no standard ONNX operator and not known; {way_out}")
    to = Rewrite(node, constants, shapes)
    table[node.op_type](to)
    to.finish()
    return to
