"""Split joins: an operator that joins several values becomes additions of two, which `quantize_joins` takes.

::

    sum(a, b, c)  ->  add(add(a, b), c)              as onnxruntime adds them
    mean(a, b)    ->  div(add(a, b), 2)
    max(a, b)     ->  add(b, relu(sub(a, b)))
    min(a, b)     ->  sub(a, relu(sub(a, b)))

The last two are exact in integers. An operator whose operands come from one value is a channel function of that and
stays what it is, and so does one of a value and constants.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import reduce

import numpy as np

from bnncompiler.ir import Graph, Node
from bnncompiler.ops import Constant, Elementwise
from bnncompiler.oracle import sources

_TWO = {"Sum": 2, "Max": 1, "Mean": 1, "Min": 1}  # with more operands than these an operator is split


@dataclass(frozen=True)
class SplitJoins:
    """``Sum`` of three or more, ``Mean``, ``Max`` and ``Min`` of different values to sums of two."""

    name: str = "split-joins"

    def __call__(self, graph: Graph) -> Graph:
        """The graph whose joins are all of two values."""
        return graph.rewrite(_rule)


def _rule(node: Node) -> Node | None:
    if not isinstance(node, Elementwise) or len(node.inputs) <= _TWO.get(node.operator, len(node.inputs)):
        return None
    if len(sources(node)) < 2:
        return None
    parts = iter(range(1, len(node.inputs)))

    def step(a: Node, b: Node) -> Node:
        """The operator on two operands, the last of which has its name."""
        i = next(parts)
        return _of_two(node, node.name if i == len(node.inputs) - 1 else f"{node.name}.{i}", a, b)

    if node.operator != "Mean":
        return reduce(step, node.inputs)
    total = Elementwise(f"{node.name}.sum", "Sum", node.inputs, node.dtype)
    count = Constant(f"{node.name}.count", np.asarray([len(node.inputs)], node.dtype))
    return Elementwise(node.name, "Div", (_rule(total) or total, count), node.dtype)


def _of_two(node: Elementwise, name: str, a: Node, b: Node) -> Node:
    """``node.operator`` on ``a`` and ``b``."""
    if node.operator == "Sum":
        return Elementwise(name, "Add", (a, b), node.dtype)
    beyond = Elementwise(f"{name}.beyond", "Sub", (a, b), node.dtype)
    excess = Elementwise(f"{name}.excess", "Relu", (beyond,), node.dtype)
    if node.operator == "Max":
        return Elementwise(name, "Add", (b, excess), node.dtype)
    return Elementwise(name, "Sub", (a, excess), node.dtype)
