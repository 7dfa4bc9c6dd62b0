"""How cost grows with width, depth and image size: time, tables and compile time of made-up binary networks."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

import bnncompiler
from benchmarks import timing

WIDTHS = (128, 256, 512, 1024, 2048, 4096)
DEPTHS = (1, 2, 4, 8, 16, 32)
SIZES = (8, 16, 32, 64, 128)


class Network:
    """Writes an ONNX graph of signs and bipolar layers."""

    def __init__(self, shape: tuple[int, ...]) -> None:
        self.rng = np.random.default_rng(0)
        self.nodes: list[onnx.NodeProto] = []
        self.weights: list[onnx.TensorProto] = []
        self.input = helper.make_tensor_value_info("x", TensorProto.FLOAT, [1, *shape])
        self.last = "x"

    def _constant(self, value: np.ndarray) -> str:
        name = f"c{len(self.weights)}"
        self.weights.append(numpy_helper.from_array(value.astype(np.float32), name))
        return name

    def append(self, op: str, *inputs: str, pads: Sequence[int] = ()) -> None:
        """A node that reads the last value; ``pads`` where it pads."""
        name = f"{op.lower()}{len(self.nodes)}"
        node = helper.make_node(op, [self.last, *inputs], [name], name=name)
        if pads:
            node.attribute.append(helper.make_attribute("pads", pads))
        self.nodes.append(node)
        self.last = name

    def sign(self, shift: float = 0.5) -> None:
        """Bits: a shift by half of a step, so that 0 cannot occur, and the sign."""
        self.append("Add", self._constant(np.array(shift)))
        self.append("Sign")

    def dense(self, ins: int, outs: int) -> None:
        """A bipolar dense layer."""
        self.append("MatMul", self._constant(self.rng.choice([-1, 1], (ins, outs))))

    def conv(self, ins: int, outs: int) -> None:
        """A bipolar 3x3 convolution with padding."""
        self.append("Conv", self._constant(self.rng.choice([-1, 1], (outs, ins, 3, 3))), pads=[1, 1, 1, 1])

    def model(self) -> bytes:
        """The network as a file."""
        output = helper.make_tensor_value_info(self.last, TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "net", [self.input], [output], self.weights)
        opset = [helper.make_opsetid("", 17)]
        return bytes(helper.make_model(graph, opset_imports=opset, ir_version=9).SerializeToString())


def wide(width: int) -> bytes:
    """A dense network with two layers of ``width``."""
    net = Network((width,))
    net.sign(-0.501)
    net.dense(width, width)
    net.sign()
    net.dense(width, 10)
    return net.model()


def deep(depth: int) -> bytes:
    """A dense network with ``depth`` hidden layers of 256."""
    net = Network((256,))
    net.sign(-0.501)
    for _ in range(depth):
        net.dense(256, 256)
        net.sign()
    net.dense(256, 10)
    return net.model()


def large(size: int) -> bytes:
    """Two convolutions of 64 channels over an image of ``size`` by ``size``, and their means."""
    net = Network((1, size, size))
    net.sign(-0.501)
    net.conv(1, 64)
    net.sign()
    net.conv(64, 64)
    net.sign()
    net.append("GlobalAveragePool")
    net.append("Flatten")
    net.dense(64, 10)
    return net.model()


SERIES = {"width": (wide, WIDTHS), "depth": (deep, DEPTHS), "image size": (large, SIZES)}


def run() -> Iterator[dict[str, object]]:
    """A record for each network of each series."""
    for series, (make, values) in SERIES.items():
        for value in values:
            start = time.perf_counter()
            compilation = bnncompiler.compile(make(value), name="net")
            seconds = time.perf_counter() - start
            with tempfile.TemporaryDirectory() as folder:
                taken = timing.rounds({"ours": timing.c_program(compilation, Path(folder))}, count=7)["ours"]
            yield {
                "series": series,
                "value": value,
                "macs": sum(c.macs for c in compilation.program.calls),
                "us": timing.spread([1e6 * t for t in taken]),
                "tables_bytes": compilation.program.flash_bytes,
                "arena_bytes": compilation.program.arena_size,
                "compile_seconds": seconds,
            }
