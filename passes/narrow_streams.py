"""Narrow streams: sums that a layer or a pool reads directly are requantised first.

An accumulator has a scale for each channel and up to 32 bits. A threshold or an activation behind it takes that as it
is, but a layer needs inputs on one grid that leave room for its own sums::

    conv(integer_conv(x))  ->  conv(requantize(integer_conv(x)))

A layer with real weights shares the bits of its sums with its input. A stream that leaves weights fewer bits than it
has itself, a sum or an average pool of wide ones, is requantised, too, to as many as the weights get: else more bits
for streams would make networks less precise.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from bnncompiler.ir import Graph, Node
from bnncompiler.ops import Conv, Dense, IntegerConv, IntegerDense, MaxPool
from bnncompiler.oracle import ChannelFunction
from bnncompiler.passes.linear import crowds, is_real, is_wide, stream_width
from bnncompiler.passes.quantize_activations import Precision, quantize
from bnncompiler.ranges import UNKNOWN, Ranges
from bnncompiler.widths import COMPACT, PRECISE

READERS = Dense | Conv | IntegerDense | IntegerConv | MaxPool


@dataclass(frozen=True)
class NarrowStreams:
    """A layer or pool on wide sums to the same on a stream of them.

    Attributes:
        stream_bits: the stream's width; fewer where the reader's accumulator could not hold its sums.
        ranges: what samples showed of the streams.
    """

    stream_bits: int = PRECISE
    ranges: Ranges = UNKNOWN
    name: str = "narrow-streams"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with streams between layers."""
        wide = self.stream_bits > COMPACT
        stuck = {n for n in graph.nodes() if is_real(n) and (is_wide(n.operands[0]) or crowds(n, wide=wide))}
        originals = iter(graph.nodes())

        def rule(node: Node) -> Node | None:
            if next(originals) not in stuck or not isinstance(node, READERS):
                return None
            precision = Precision(stream_width(self.stream_bits, [node]), ranges=self.ranges)
            return replace(node, x=quantize(ChannelFunction(node.x, node.x), precision))

        return graph.rewrite(rule)
