"""The layers that kernels are compared on, and the same ones in ONNX: in float32 for onnxruntime, in bits for us.

For onnxruntime a layer is one node in a network of its own, with weights of -1 and +1 and without the activation that
follows: a convolution that is padded by zero, or a product of matrices. Our kernels compare with thresholds, too, and
pad by -1.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import cache

import numpy as np
import onnxruntime
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

import bnncompiler
from benchmarks import timing
from bnncompiler.costs import Span
from bnncompiler.ir import Array
from bnncompiler.plane_calls import Planes
from bnncompiler.window import Window

OPSET = 17
PADS = (1, 1, 1, 1)


@dataclass(frozen=True)
class Layer:
    """A dense layer, or (``columns`` > 0) a 3x3 convolution of a square map that is padded by one pixel.

    Attributes:
        columns: of the map, and rows.
        n: inputs, or channels.
        outs: outputs.
        bits: whether inputs and weights are bits, and so are outputs; otherwise they are integers of 8 bits.
    """

    columns: int
    n: int
    outs: int
    bits: bool = True

    @property
    def kind(self) -> str:
        """What it is."""
        return "convolution" if self.columns else "dense" if self.bits else "dense, integers"

    @property
    def taps(self) -> int:
        """Inputs of an output."""
        return 9 * self.n if self.columns else self.n

    @property
    def macs(self) -> int:
        """Multiply-accumulates."""
        return max(1, self.columns) ** 2 * self.taps * self.outs

    @property
    def planes(self) -> Planes | None:
        """How planes lie; None for a dense layer."""
        window = Window((3, 3), (1, 1), (1, 1), (1, 1))
        return Planes.of(Span(self.n, window, self.columns, self.columns), self.columns) if self.columns else None

    def __str__(self) -> str:
        shape = f"{self.n} to {self.outs}"
        return f"3x3, {self.columns} pixels, {shape}" if self.columns else shape if self.bits else f"{shape}, integers"


def in_float(layer: Layer) -> ModelProto:
    """The layer alone: ``y [1, outs, ...]`` of ``x [1, n, ...]``."""
    kind = helper.make_node("Conv", ["x", "w"], ["y"], pads=PADS) if layer.columns else _matmul("x", "y")
    return _model(layer, [kind], {"w": _weights(layer)})


def in_bits(layer: Layer) -> ModelProto:
    """The layer and thresholds; a convolution is padded by -1."""
    constants = {"w": _weights(layer), "half": np.array(0.5, np.float32)}
    if layer.columns:
        around = np.array([*(0, 0), *PADS[:2], *(0, 0), *PADS[2:]])
        constants |= {"around": around, "minus_one": np.array(-1, np.float32)}
        nodes = [
            helper.make_node("Pad", ["x", "around", "minus_one"], ["padded"]),
            helper.make_node("Conv", ["padded", "w"], ["sum"]),
        ]
    else:
        nodes = [_matmul("x", "sum")]
    nodes += [helper.make_node("Add", ["sum", "half"], ["shifted"]), helper.make_node("Sign", ["shifted"], ["y"])]
    return _model(layer, nodes, constants)


@cache
def picked(layer: Layer, target: str) -> str:
    """The kernel that the compiler takes for a layer of bits on a target of backend c99."""
    (decision,) = bnncompiler.compile(in_bits(layer), target=target, input="bits").lowered.decisions
    return decision.answers[-1]


def in_onnxruntime(layer: Layer) -> timing.Measure:
    """The layer in onnxruntime, with what a call costs (`call_of_onnxruntime`); operands stay where they are."""
    return _bound(in_float(layer))


def call_of_onnxruntime() -> timing.Measure:
    """A call of onnxruntime from Python, for a network that does next to nothing: it negates one number."""
    return _bound(_model(Layer(0, 1, 1), [helper.make_node("Neg", ["x"], ["y"])], {}))


def _bound(model: ModelProto) -> timing.Measure:
    session, rng = timing.one_thread(model.SerializeToString()), np.random.default_rng(0)
    shapes = [
        [d.dim_value for d in v.type.tensor_type.shape.dim] for v in (model.graph.input[0], model.graph.output[0])
    ]
    x, y = (onnxruntime.OrtValue.ortvalue_from_numpy(_signs(rng, shape)) for shape in shapes)
    binding = session.io_binding()
    binding.bind_ortvalue_input("x", x)
    binding.bind_ortvalue_output("y", y)

    def measure(times: int) -> float:
        begin = time.thread_time()
        for _ in range(times):
            session.run_with_iobinding(binding)
        return (time.thread_time() - begin) / times

    return measure


def _weights(layer: Layer) -> Array:
    shape = (layer.outs, layer.n, 3, 3) if layer.columns else (layer.n, layer.outs)
    return _signs(np.random.default_rng(1), shape)


def _signs(rng: np.random.Generator, shape: tuple[int, ...] | list[int]) -> Array:
    return np.where(rng.random(shape) < 0.5, -1, 1).astype(np.float32)


def _matmul(x: str, y: str) -> NodeProto:
    return helper.make_node("MatMul", [x, "w"], [y])


def _model(layer: Layer, nodes: list[NodeProto], constants: dict[str, Array]) -> ModelProto:
    size = [layer.columns, layer.columns] if layer.columns else []
    x, y = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, channels, *size])
        for name, channels in (("x", layer.n), ("y", layer.outs))
    )
    tensors = [numpy_helper.from_array(value, name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "layer", [x], [y], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=8)
