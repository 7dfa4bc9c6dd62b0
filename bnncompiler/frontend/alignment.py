"""Operands of one elementwise operation that lie differently: all but one are gathered to where that one lies.

The one idea: the operand that is whole, and a map rather than a vector, stays where it is; for each of its elements the
index of the result says which element of every other operand meets it. So a vector that scales a map, a transposed
stream, or a part of a larger map becomes a `Permute` of the map's shape.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from onnx import NodeProto

from bnncompiler.frontend.maps import gathered, is_undecided, is_whole, mixed_samples, placed, whole
from bnncompiler.frontend.scope import Scope, Tensor
from bnncompiler.frontend.views import per_sample
from bnncompiler.ir import Array, Node


def lie_alike(operands: Mapping[int, Tensor], shape: tuple[int, ...]) -> bool:
    """Whether all operands have the same index into bases of one shape, once they are broadcast to ``shape``."""
    first, *others = operands.values()
    index = np.broadcast_to(first.index, shape)
    return all(
        o.base.type.shape == first.base.type.shape
        and (o.index is first.index or np.array_equal(np.broadcast_to(o.index, shape), index))
        for o in others
    )


def align(
    scope: Scope, node: NodeProto, operands: Mapping[int, Tensor], shape: tuple[int, ...]
) -> tuple[dict[int, Node], Array]:
    """Nodes of one shape for the variable operands, and where the ONNX result's elements are in it.

    Each element of the result is at a place of its own.

    Args:
        scope: the import.
        node: the elementwise operation.
        operands: its variable operands by position.
        shape: the shape of its result.

    Raises:
        UnsupportedModel: an operand mixes samples.
        Relayout: an input has to be laid out in another way.
    """
    names = {i: node.input[i] for i in operands}
    spread = {i: Tensor(o.base, np.broadcast_to(o.index, shape), o.origin) for i, o in operands.items()}
    indices = {i: per_sample(o.index, o.base.type.size, scope.batch) for i, o in spread.items()}
    local = {i: index for i, index in indices.items() if index is not None}
    if len(local) < len(spread):
        raise mixed_samples(node)
    in_whole = [i for i, o in spread.items() if is_whole(o.base, local[i])]
    if in_whole:
        lead = max(in_whole, key=lambda i: (not is_undecided(scope, spread[i].base), len(spread[i].base.type.shape)))
        base, place = spread[lead].base, local[lead]
    else:
        lead = max(spread, key=lambda i: operands[i].index.size)
        base, place = whole(scope, gathered(names[lead]), spread[lead], local[lead])
    nodes = {lead: base}
    for i, operand in spread.items():
        if i != lead:
            order = np.empty(base.type.size, np.int64)
            order[place.reshape(-1)] = local[i].reshape(-1)
            same = operand.base is spread[lead].base
            nodes[i] = placed(scope, gathered(names[i]), order.reshape(base.type.shape), operand, movable=not same)
    return nodes, scope.spread(base, place).index
