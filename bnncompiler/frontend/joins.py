"""Concat of different values.

The one idea: what lies channels last is joined there. Joining along the channels puts maps side by side; along any
other axis, or where nothing is a map, the parts are laid one after the other as vectors, and the index says which
element of the ONNX value each one is. Joining parts of one value makes no node at all (`views.move`).
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from bnncompiler.errors import UnsupportedModel
from bnncompiler.frontend.maps import (
    FeatureMap,
    channel_axes,
    channels_last,
    gathered,
    is_undecided,
    is_whole,
    mixed_samples,
    placed,
)
from bnncompiler.frontend.nodes import attribute, label
from bnncompiler.frontend.scope import Scope, Tensor
from bnncompiler.frontend.views import move, per_sample
from bnncompiler.ir import Array, Node
from bnncompiler.ops import Concat


def concat(scope: Scope, node: NodeProto) -> list[Tensor | None]:
    """Import Concat of variable values.

    Raises:
        UnsupportedModel: it joins constants or samples.
    """
    constants = [name for name in node.input if name not in scope.values]
    if constants:
        raise UnsupportedModel(
            f'{label(node)} joins the constant "{constants[0]}" to what the network computes, which is not supported; '
            "use Pad for a border"
        )
    if len({scope.values[name].base for name in node.input}) == 1:
        return move(scope, node)
    parts = [scope.tensor(node, i) for i in range(len(node.input))]
    rank = parts[0].index.ndim
    axis = attribute(node, "axis", 1) % rank
    places = [per_sample(p.index, p.base.type.size, scope.batch) for p in parts]
    known = [p for p in places if p is not None]
    if len(known) < len(parts) or axis == 0:
        raise mixed_samples(node)
    if _joins_channels(scope, parts, known, axis):
        nodes = [
            placed(scope, gathered(name), channels_last(local, axis), p)
            for name, p, local in zip(node.input, parts, known, strict=True)
        ]
        return [FeatureMap(nodes[0], axis, rank).like(scope, Concat(scope.record(node), tuple(nodes)))]
    return [_joined_vectors(scope, node, parts, known, axis - 1)]


def _joins_channels(scope: Scope, parts: list[Tensor], places: list[Array], axis: int) -> bool:
    """Whether the parts are maps whose channels are on ``axis``, as far as they tell."""
    rank = parts[0].index.ndim
    if rank not in (3, 4) or axis not in (1, rank - 1):
        return False
    found = [
        channel_axes(i, p.base.type.channels)
        for p, i in zip(parts, places, strict=True)
        if not is_undecided(scope, p.base)
    ]
    return all(axis in axes for axes in found if axes)


def _joined_vectors(scope: Scope, node: NodeProto, parts: list[Tensor], places: list[Array], axis: int) -> Tensor:
    """The parts one after the other; ``axis`` does not count the batch axis."""
    nodes: list[Node] = []
    indices: list[Array] = []
    start = 0
    for name, part, local in zip(node.input, parts, places, strict=True):
        size = part.base.type.size
        whole = is_whole(part.base, local)
        order = np.arange(size) if whole else local.reshape(-1)
        nodes.append(placed(scope, gathered(name), order, part, movable=False))
        indices.append(start + (local if whole else np.arange(local.size).reshape(local.shape)))
        start += order.size
    return scope.spread(Concat(scope.record(node), tuple(nodes)), np.concatenate(indices, axis))
