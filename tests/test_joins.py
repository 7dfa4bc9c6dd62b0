"""Networks whose branches meet in ways that are rarer than a sum of two maps, end to end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

import bnncompiler
from bnncompiler import passes
from bnncompiler.errors import IRError
from bnncompiler.ir import Graph
from bnncompiler.ops import Concat, Permute
from tests import graphs
from tests.networks import Array, Builder

pytestmark = pytest.mark.usefixtures("cc")
HEIGHT, WIDTH, CHANNELS = 6, 5, 8


class Network(Builder):
    """A network on colour images: a real first layer, then binary ones."""

    def __init__(self) -> None:
        super().__init__()
        self.rng = np.random.default_rng(0)
        self.first = self.input("x", ["N", 3, HEIGHT, WIDTH])
        real = self.rng.normal(size=(CHANNELS, 3, 3, 3)).astype(np.float32)
        self.stream = self.norm(self("Conv", self.first, real, pads=[1] * 4), CHANNELS)

    def norm(self, x: str, channels: int) -> str:
        _, parameters = graphs.batch_norm(self.rng, channels, 9 * channels)
        return self("BatchNormalization", x, *(np.asarray(p, np.float32) for p in parameters))

    def binary(self, x: str, ins: int, outs: int, **attrs: Any) -> str:
        weight = graphs.signs(self.rng, outs, ins, 3, 3)
        return self("Conv", self("Sign", x), weight, **{"pads": [1] * 4} | attrs)

    def block(self, x: str, ins: int = CHANNELS, outs: int = CHANNELS, **attrs: Any) -> str:
        return self.norm(self.binary(x, ins, outs, **attrs), outs)

    def classified(self, x: str, channels: int) -> ModelProto:
        weight = self.rng.normal(size=(channels, 4)).astype(np.float32)
        return self.model(self("MatMul", self("Flatten", self("GlobalAveragePool", x)), weight))


def doubled() -> ModelProto:
    """More channels by a map beside itself."""
    net = Network()
    twice = net("Concat", net.stream, net.stream, axis=1)
    return net.classified(net("Add", net.block(net.stream, CHANNELS, 16), twice), 16)


def doubled_and_padded() -> ModelProto:
    net = Network()
    twice = net("Sign", net("Concat", net.stream, net.stream, axis=1))
    padded = net("Pad", twice, np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.float32(1))
    return net.classified(net("Conv", padded, graphs.signs(net.rng, 8, 16, 3, 3)), 8)


def zero_channels() -> ModelProto:
    """The shortcut without weights of the first residual networks: a coarser map, and zeros for the new channels."""
    net = Network()
    coarse = net("AveragePool", net.stream, kernel_shape=[2, 2], strides=[2, 2], ceil_mode=1)
    shortcut = net("Pad", coarse, np.array([0, 4, 0, 0, 0, 4, 0, 0]))
    return net.classified(net("Add", net.block(net.stream, CHANNELS, 16, strides=[2, 2]), shortcut), 16)


def three_branches() -> ModelProto:
    net = Network()
    return net.classified(net("Sum", net.block(net.stream), net.block(net.stream), net.stream), CHANNELS)


def largest_and_smallest() -> ModelProto:
    net = Network()
    largest = net("Max", net.block(net.stream), net.stream)
    return net.classified(net("Min", net.block(largest), largest, np.float32(1)), CHANNELS)


def gated_by_channel_mean() -> ModelProto:
    """XNOR-Net's scale of an input map: the mean magnitude over the channels, smoothed."""
    net = Network()
    mean = net("ReduceMean", net("Abs", net.stream), axes=[1], keepdims=1)
    smooth = net("Conv", mean, np.full((1, 1, 3, 3), 1 / 9, np.float32), pads=[1] * 4)
    return net.classified(net("Mul", net.binary(net.stream, CHANNELS, CHANNELS), smooth), CHANNELS)


MODELS = (doubled, doubled_and_padded, zero_channels, three_branches, largest_and_smallest, gated_by_channel_mean)


def samples(count: int) -> dict[str, Array]:
    return {"x": np.random.default_rng(1).normal(size=(count, 3, HEIGHT, WIDTH)).astype(np.float32)}


@pytest.mark.parametrize("model", MODELS)
def test_branches_meet(model: Callable[[], ModelProto]) -> None:
    compilation = bnncompiler.compile(model(), name="net", calibrate=samples(8))
    result = bnncompiler.verify(compilation, samples(8))
    assert result.passed, result.failures
    assert result.argmax_agreement == 1


def test_a_permuted_map_has_rows_by_channel_where_it_can() -> None:
    compilation = bnncompiler.compile(doubled(), name="net", calibrate=samples(8))
    moved = [n for n in compilation.graph.nodes() if isinstance(n, Permute)]
    assert moved and all(n.domain.rows <= n.type.channels for n in moved)


def test_joined_maps_have_rows_by_channel() -> None:
    compilation = bnncompiler.compile(zero_channels(), name="net", calibrate=samples(8))
    (joined,) = (n for n in compilation.graph.nodes() if isinstance(n, Concat))
    assert joined.parts[1].domain.rows > joined.parts[1].type.channels  # fewer pixels at the border, other errors
    assert joined.domain.rows <= joined.type.channels


def test_passes_that_come_to_no_end_are_an_error() -> None:
    class Restless:
        name = "restless"

        def __call__(self, graph: Graph) -> Graph:
            return Graph(graph.name, graph.inputs, graph.outputs)

    x = graphs.source(4, None)
    graph = Graph("g", (x,), (graphs.chain(x, ("Relu", ())),))
    with pytest.raises(IRError, match="come to no end; not compiled to integers are x, f0"):
        passes.run_pipeline(graph, ((Restless(),),))


@pytest.mark.parametrize("reader", ["concat", "conv", "pool"])
def test_a_transposed_convolution_whose_phases_have_scales_of_their_own(reader: str) -> None:
    """What reads a map needs one scale a channel; the rows of the phases, which are quantised, have one each."""
    net = Network()
    weight = net.rng.normal(size=(CHANNELS, 6, 2, 2)).astype(np.float32)
    half = net("MaxPool", net.binary(net.stream, CHANNELS, CHANNELS), kernel_shape=[2, 1], strides=[2, 1])
    up = net("ConvTranspose", half, weight, strides=[2, 1], pads=[0, 0, 0, 1])
    if reader == "concat":
        y = net.binary(net("Concat", up, net.stream, axis=1), 6 + CHANNELS, 4)
    elif reader == "conv":
        y = net("Conv", up, net.rng.normal(size=(4, 6, 3, 3)).astype(np.float32), pads=[1] * 4)
    else:
        y = net.binary(net("MaxPool", up, kernel_shape=[3, 3], pads=[1] * 4), 6, 4)
    compilation = bnncompiler.compile(net.model(net.norm(y, 4)), name="net")
    result = bnncompiler.verify(compilation, samples=16)
    assert result.passed, result.failures
    assert result.max_abs_error < 0.01  # of up to a thousand
