"""How large an input's integers may be, so that the first layer's accumulators come out as exact as they can.

Data on no grid of their own can be given any number of bits, and more are not always better. Where thresholds read the
input, 16 bits are free. Where a layer of binary or ternary weights adds it up, float32, in which the reference adds, is
exact only below 2^24. Where real weights multiply it, input and weights share the 31 bits of an accumulator, and half
for each loses least.
"""

from __future__ import annotations

import numpy as np

from bnncompiler.ir import Array, Graph, Node
from bnncompiler.ops import Dense, Elementwise

LARGEST = 32767
_COMPARISONS = frozenset({"Equal", "Greater", "GreaterOrEqual", "Less", "LessOrEqual", "Sign"})
_STEPS = _COMPARISONS | {"Ceil", "Floor", "QuantizeLinear", "Round"}


def limit(graph: Graph, source: Node) -> int:
    """The largest ``|q|`` that ``source``, an input of ``graph``, should have."""
    return min((_limit(layer.weight) for layer in _layers(graph, source)), default=LARGEST)


def _layers(graph: Graph, source: Node) -> list[Dense]:
    """The dense layers that read ``source``, or something that is not yet made discrete out of it."""
    users, found = graph.users(), []
    seen, todo = {source}, [source]
    while todo:
        for user in users[todo.pop()]:
            if isinstance(user, Dense):
                found.append(user)
            elif isinstance(user, Elementwise) and user.operator not in _STEPS and user not in seen:
                seen.add(user)
                todo.append(user)
    return found


def _limit(weight: Array) -> int:
    fan_in = weight.shape[1]
    size = np.abs(weight.astype(np.float64))
    largest = size.max(axis=1, keepdims=True, initial=1e-30)
    one_size = bool(((size < 1e-5 * largest) | (size > (1 - 1e-5) * largest)).all())
    most = 2.0**24 / fan_in if one_size else (2.0**31 / fan_in) ** 0.5
    return int(np.clip(2 ** np.floor(np.log2(most)) - 1, 1, LARGEST))
