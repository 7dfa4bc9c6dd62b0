"""Quantise joins: the two sides of a residual connection or of a gate become integers, and so do sum and product.

An elementwise node that joins two different values is no function of one integer. Each side is one, though, and becomes
a stream (`quantize_activations`)::

    add(f(a), g(b))  ->  integer_add(requantize(a), requantize(b))
    mul(f(a), g(b))  ->  integer_mul(requantize(a), requantize(b))

The sides of a sum need a common scale. Where both lie on one grid by nature (sums of signs), that is kept, and the
sum is exact. Otherwise a side that is a stream already keeps its scale while that is fine enough and the sum fits the
integer type of ``stream_bits``: the stream through a residual network is rounded once, when it is first quantised. Else
``stream_bits`` bits hold the sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from bnncompiler.ir import Domain, Graph, Node
from bnncompiler.ops import Concat, Constant, Elementwise, IntegerAdd, IntegerMul, Lookup, Requantize
from bnncompiler.oracle import ChannelFunction, sources
from bnncompiler.passes.quantize_activations import Precision, is_ready, quantize, real_range
from bnncompiler.ranges import UNKNOWN, Ranges
from bnncompiler.widths import PRECISE

OPERATORS = ("Add", "Mul", "Sub", "Sum")
FINEST = 2.0**-14  # of the scale that the sum needs: a stream this fine is kept as it is
WIDEST = 2**30
FACTOR_BITS = 16  # of the sides of a product, which has 32


@dataclass(frozen=True)
class QuantizeJoins:
    """``Add``, ``Sub``, ``Sum`` or ``Mul`` of two different values with known domains to their integer form.

    Attributes:
        stream_bits: bits of a sum, and of the sides of a product.
        ranges: what samples showed of the sides.
    """

    stream_bits: int = PRECISE
    ranges: Ranges = UNKNOWN
    name: str = "quantize-joins"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with its residual connections and gates on integer grids."""
        joins = [isinstance(n, Elementwise) and _joins(n) for n in graph.nodes()]
        joined = iter(joins)

        def rule(node: Node) -> Node | None:
            return self._join(node) if next(joined) and isinstance(node, Elementwise) else None

        return graph.rewrite(rule)

    def _join(self, node: Elementwise) -> Node:
        left, right = node.inputs
        if node.operator == "Sub":
            right = Elementwise(f"{node.name}.negated", "Neg", (right,), node.dtype)
        functions = [ChannelFunction(sources(side)[0], side) for side in (left, right)]
        product = node.operator == "Mul"
        bits = min(self.stream_bits, FACTOR_BITS) if product else self.stream_bits
        scale = None if product else self._scale(functions)
        precision = Precision(bits, scale=scale, uniform=True, ranges=self.ranges)
        sides = [quantize(f, precision) for f in functions]
        if not all(isinstance(s, Requantize | Lookup | Concat) for s in sides):
            # A curve was cut: the rest of it comes next time.
            return replace(node, operator="Mul" if product else "Add", inputs=tuple(sides))
        return (IntegerMul if product else IntegerAdd)(node.name, sides[0], sides[1], node.dtype)

    def _scale(self, functions: list[ChannelFunction]) -> float:
        """The scale on which both sides are added."""
        precision = Precision(self.stream_bits, ranges=self.ranges)
        found = [real_range(f, precision.interval(f)) for f in functions]
        (low, high, natural), (other_low, other_high, other_natural) = found
        largest = max(abs(low + other_low), abs(high + other_high))
        if natural is not None and natural == other_natural and largest / natural < WIDEST:
            return natural
        needed = precision.scale_for(largest)
        own = [f.source.domain for f in functions if not f.nodes and f.source.domain.is_uniform]
        widest = next((w for w in (2**7, 2**15) if self.stream_bits <= w.bit_length()), WIDEST)
        kept = [
            float(d.scale[0]) for d in own if FINEST * needed <= d.scale[0] <= needed and self._reach(d, found) < widest
        ]
        return max(kept, default=needed)

    @staticmethod
    def _reach(kept: Domain, sides: Sequence[tuple[float, float, float | None]]) -> float:
        """The largest integer of the sum on the scale of ``kept``, a side that keeps all of its values."""
        own = max(abs(b) for b in kept.bounds)
        return own + max(max(abs(low), abs(high)) for low, high, _ in sides) / abs(float(kept.scale[0]))


def _joins(node: Elementwise) -> bool:
    """Whether the node joins two values that are each a function of one integer, and not of the same one."""
    return (
        node.operator in OPERATORS
        and len(node.inputs) == 2
        and not any(isinstance(i, Constant) for i in node.inputs)
        and all(is_ready(i) for i in node.inputs)
        and len(sources(node)) == 2
    )
