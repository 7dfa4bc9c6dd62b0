"""Small ONNX models for tests: a builder that writes one node a line, and random binary networks made with it.

b = Builder()
x = b.input("x", ["N", 4])
model = b.model(b("MatMul", b("Sign", x), np.ones((4, 3), np.float32)))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, ValueInfoProto, helper, numpy_helper

Array = npt.NDArray[Any]
Operand = str | Array | np.generic  # the name of a value, or a constant


class Builder:
    """Collects nodes and constants; arrays may stand where a value's name does."""

    def __init__(self, opset: int = 17, domains: Mapping[str, int] | None = None) -> None:
        self.opsets = [helper.make_opsetid("", opset), *(helper.make_opsetid(d, v) for d, v in (domains or {}).items())]
        self.nodes: list[NodeProto] = []
        self.inputs: list[ValueInfoProto] = []
        self.initializers: list[TensorProto] = []

    def input(self, name: str, shape: Sequence[int | str], dtype: Any = np.float32) -> str:
        kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
        self.inputs.append(helper.make_tensor_value_info(name, kind, list(shape)))
        return name

    def constant(self, value: Any, name: str | None = None) -> str:
        name = name or f"c{len(self.initializers)}"
        self.initializers.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def __call__(self, op: str, *inputs: Operand, name: str | None = None, domain: str = "", **attrs: Any) -> str:
        """Add a node with one output, whose name is returned."""
        return self.many(op, *inputs, outputs=[name or f"v{len(self.nodes)}"], domain=domain, **attrs)[0]

    def many(self, op: str, *inputs: Operand, outputs: Sequence[str], domain: str = "", **attrs: Any) -> Sequence[str]:
        """Add a node with the ``outputs``."""
        names = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        self.nodes.append(helper.make_node(op, names, list(outputs), f"node_{len(self.nodes)}", domain=domain, **attrs))
        return outputs

    def model(self, *outputs: str) -> ModelProto:
        results = [ValueInfoProto(name=o) for o in outputs]
        graph = helper.make_graph(self.nodes, "test", self.inputs, results, self.initializers)
        return helper.make_model(graph, opset_imports=self.opsets, ir_version=8)


def _where_ge(b: Builder, x: str) -> str:
    return b("Where", b("GreaterOrEqual", x, np.float32(0)), np.float32(1), np.float32(-1))


def _detach(b: Builder, x: str) -> str:
    """``sign(x) - clip(x) + clip(x)``, as a straight-through estimator leaves it."""
    clipped = b("Clip", x, np.float32(-1), np.float32(1))
    return b("Add", b("Sub", b("Sign", x), clipped), clipped)


SIGNS: Mapping[str, Callable[[Builder, str], str]] = {
    "sign": lambda b, x: b("Sign", x),
    "where_ge": _where_ge,
    "larq": lambda b, x: b("Sign", b("Add", b("Sign", x), np.float32(0.1))),
    "detach": _detach,
    "step": lambda b, x: b("Cast", b("Greater", x, np.float32(0)), to=TensorProto.FLOAT),
}


def mlp(
    sizes: Sequence[int],
    *,
    sign: str = "where_ge",
    weights: str = "sign",
    batch_norm: bool = True,
    prelu: bool = False,
    batch: int | str = "N",
    opset: int = 17,
    seed: int = 0,
) -> ModelProto:
    """A random MLP with binary weights and activations; input "x", output "logits".

    Args:
        sizes: inputs, hidden sizes, outputs.
        sign: a key of `SIGNS`: how activations are made binary.
        weights: "sign" (``Sign(W)`` in the graph, MatMul) or "baked" (±1 initializers, Gemm).
        batch_norm: a BatchNormalization with negative scales, too, behind each layer.
        prelu: a PRelu behind that, with negative slopes, too.
        batch: the batch axis, a number or a name.
        opset: version of the standard operators.
        seed: of all random numbers.
    """
    rng = np.random.default_rng(seed)
    b = Builder(opset)
    x = b.input("x", [batch, sizes[0]])
    for i, (ins, outs) in enumerate(pairwise(sizes)):
        last = i == len(sizes) - 2
        w = rng.standard_normal((outs, ins)).astype(np.float32)
        x = SIGNS[sign](b, x)
        if weights == "baked":
            x = b("Gemm", x, np.where(w < 0, -1, 1).astype(np.float32), transB=1, name="logits" if last else None)
        else:
            x = b("MatMul", x, b("Transpose", b("Sign", w), perm=[1, 0]), name="logits" if last else None)
        if batch_norm and not last:
            scale, bias = rng.standard_normal((2, outs)).astype(np.float32)
            mean, var = rng.standard_normal(outs).astype(np.float32), rng.uniform(1, ins, outs).astype(np.float32)
            x = b("BatchNormalization", x, scale, bias, mean, var)
        if prelu and not last:
            x = b("PRelu", x, rng.standard_normal(outs).astype(np.float32))
    return b.model("logits")


def cnn(
    channels: Sequence[int],
    size: tuple[int, int] = (8, 8),
    *,
    classes: int = 10,
    kernel: int = 3,
    pads: int = 1,
    pad_value: float | None = None,
    stride: int = 1,
    pool: str | None = None,
    batch_norm: bool = True,
    sign: str = "where_ge",
    weights: str = "sign",
    head: str = "dense",
    batch: int | str = "N",
    opset: int = 17,
    seed: int = 0,
) -> ModelProto:
    """A random CNN with binary weights and activations; input "x" ``[batch, channels, *size]``, output "logits".

    Each layer is a sign and a convolution of it, and what stands between that and the next sign.

    Args:
        channels: of the input and of each convolution.
        size: height and width of the input.
        classes: how many logits there are.
        kernel: kernel height and width.
        pads: padding on all sides.
        pad_value: pad by a Pad node with this value in place of the convolution's own zeros.
        stride: of all convolutions.
        pool: where a 2x2 max-pool stands in each layer: "before_bn", "before_sign", "after_sign" or nowhere.
        batch_norm: a BatchNormalization with negative scales, too, behind each convolution.
        sign: a key of `SIGNS`: how activations are made binary.
        weights: "sign" (``Sign(W)`` in the graph) or "baked" (±1 initializers).
        head: "dense" (Flatten, MatMul with binary weights) or "mean" (a binary 1x1 convolution, GlobalAveragePool).
        batch: the batch axis, a number or a name.
        opset: version of the standard operators, 13 or newer.
        seed: of all random numbers.
    """
    rng = np.random.default_rng(seed)
    b = Builder(opset)

    def binary(*shape: int) -> Operand:
        w = rng.standard_normal(shape).astype(np.float32)
        return np.where(w < 0, -1, 1).astype(np.float32) if weights == "baked" else b("Sign", w)

    def pooled(x: str, here: str) -> str:
        return b("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]) if pool == here else x

    x = b.input("x", [batch, channels[0], *size])
    height, width = size
    for ins, outs in pairwise(channels):
        x = SIGNS[sign](b, x)
        border = [pads] * 4
        if pads and pad_value is not None:
            x = b("Pad", x, np.array([0, 0, pads, pads, 0, 0, pads, pads], np.int64), np.float32(pad_value))
            border = [0] * 4
        x = b("Conv", x, binary(outs, ins, kernel, kernel), pads=border, strides=[stride, stride])
        x = pooled(x, "before_bn")
        if batch_norm:
            scale, bias, mean = rng.standard_normal((3, outs)).astype(np.float32)
            variance = rng.uniform(1, ins * kernel**2, outs).astype(np.float32)
            x = b("BatchNormalization", x, scale, bias, mean, variance)
        x = pooled(x, "before_sign")
        if pool == "after_sign":
            x = pooled(SIGNS[sign](b, x), pool)
        height, width = (((n + 2 * pads - kernel) // stride + 1) // (2 if pool else 1) for n in (height, width))
    x = SIGNS[sign](b, x)
    if head == "mean":
        x = b("Conv", x, binary(classes, channels[-1], 1, 1))
        b("Flatten", b("GlobalAveragePool", x), name="logits")
    else:
        b("MatMul", b("Flatten", x), binary(channels[-1] * height * width, classes), name="logits")
    return b.model("logits")


def run(model: ModelProto, feeds: Mapping[str, Array], outputs: Sequence[str] | None = None) -> dict[str, Array]:
    """What onnxruntime computes for any values ``outputs`` (by default, the model's own), node by node as written."""
    names = list(outputs or [o.name for o in model.graph.output])
    wanted = ModelProto()
    wanted.CopyFrom(model)
    del wanted.graph.output[:]
    wanted.graph.output.extend(ValueInfoProto(name=n) for n in names)
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(wanted.SerializeToString(), options, providers=["CPUExecutionProvider"])
    return dict(zip(names, session.run(names, dict(feeds)), strict=True))
