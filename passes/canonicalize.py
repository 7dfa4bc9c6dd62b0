"""Canonicalize: say the same thing once, and nothing that has no effect.

Exporters repeat nodes (one ``Clip`` a use) and cast to the type that a value already has. Equal nodes on equal operands
become one, and such casts vanish, so that later passes see each value once.
"""

from __future__ import annotations

from dataclasses import dataclass

from bnncompiler.ir import Graph, Node
from bnncompiler.ops import Constant, Elementwise


@dataclass(frozen=True)
class Canonicalize:
    """``cast(x: float32, float32)`` to ``x``; equal elementwise nodes to one node."""

    name: str = "canonicalize"

    def __call__(self, graph: Graph) -> Graph:
        """The graph without casts to the same type and without equal elementwise nodes."""
        known: dict[object, Node] = {}

        def rule(node: Node) -> Node | None:
            match node:
                case Constant(value=value):
                    return known.setdefault((value.dtype.str, value.shape, value.tobytes()), node)
                case Elementwise(operator="Cast", inputs=(x,), dtype=dtype) if x.type.dtype == dtype:
                    return x
                case Elementwise(operator=operator, inputs=inputs, dtype=dtype, attrs=attrs) if (
                    node not in graph.outputs
                ):
                    return known.setdefault((operator, inputs, dtype, attrs), node)
            return None

        return graph.rewrite(rule)
