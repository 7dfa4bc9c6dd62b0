"""Concat of different values, constants among them.

The one idea: what lies channels last is joined there. Joining along the channels puts maps side by side; along any
other axis, or where nothing is a map, the parts are laid one after the other as vectors, and the index says which
element of the ONNX value each one is. Joining parts of one value makes no node at all (`views.move`).
"""

from __future__ import annotations

from collections.abc import Sequence

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
from bnncompiler.ops import Concat, Constant, Elementwise, Permute


def concat(scope: Scope, node: NodeProto) -> list[Tensor | None]:
    """Import Concat.

    Raises:
        UnsupportedModel: it joins samples, or constants that differ between samples.
    """
    given = [scope.operand(node, i) for i in range(len(node.input))]
    variable = [p for p in given if isinstance(p, Tensor)]
    if len(variable) == len(given) and len({p.base for p in variable}) == 1:
        return move(scope, node)
    axis = attribute(node, "axis", 1) % variable[0].index.ndim
    parts = [
        p if isinstance(p, Tensor) else constant(scope, node, f"{node.output[0]}.{i}", np.asarray(p), variable[0], axis)
        for i, p in enumerate(given)
    ]
    return [join(scope, node, parts, list(node.input), axis)]


def join(scope: Scope, node: NodeProto, parts: Sequence[Tensor], names: Sequence[str], axis: int) -> Tensor:
    """The value that has ``parts`` one behind the other along ``axis``; ``names`` are theirs in ONNX.

    Raises:
        UnsupportedModel: ``axis`` is that of the batch, or a part mixes samples.
        Relayout: an input has to be laid out in another way.
    """
    places = [per_sample(p.index, p.base.type.size, scope.batch) for p in parts]
    known = [p for p in places if p is not None]
    if len(known) < len(parts) or axis == 0:
        raise mixed_samples(node)
    if not _joins_channels(scope, parts, known, axis):
        return _joined_vectors(scope, node, parts, names, known, axis - 1)
    nodes = [
        placed(scope, gathered(name), channels_last(local, axis), p)
        for name, p, local in zip(names, parts, known, strict=True)
    ]
    whole = FeatureMap(nodes[0], axis, parts[0].index.ndim)
    return whole.like(scope, Concat(scope.record(node), tuple(nodes)))


def constant(scope: Scope, node: NodeProto, name: str, value: Array, source: Tensor, axis: int) -> Tensor:
    """A constant as a value of the graph, where every value comes from an input: ``max(min(x, value), value)``.

    Args:
        scope: the import.
        node: what reads it.
        name: what to call it.
        value: the constant, with its batch axis.
        source: any value of its element type: ``x`` is its first element.
        axis: the axis along which it will be joined, which has the channels of maps.

    Raises:
        UnsupportedModel: the constant differs between samples.
    """
    if (value != value[:1]).any():
        raise UnsupportedModel(f"{label(node)} has a constant that differs between samples; export with batch size 1")
    is_map = value.ndim in (3, 4) and axis in (1, value.ndim - 1)
    order = channels_last(value[0], axis) if is_map else value[0]
    rows = _rows(order)
    x: Node = Permute(f"{name}.x", source.base, np.zeros(order.shape, np.int64))
    for operator, own in (("Min", f"{name}.min"), ("Max", name)):
        x = Elementwise(own, operator, (x, Constant(f"{own}.value", rows)), source.dtype)
        scope.origins[own] = (scope.origin(node),)
    scope.origins[f"{name}.x"] = (scope.origin(node),)
    place = np.arange(value[0].size)
    if not is_map:
        return scope.spread(x, place.reshape(value[0].shape))
    place = place.reshape(order.shape)
    return scope.spread(x, np.moveaxis(place if value.ndim == 4 else place[0], -1, axis - 1))


def _rows(value: Array) -> Array:
    """One number where all are alike, else one an element."""
    flat = value.reshape(-1)
    return flat[:1] if (flat == flat[0]).all() else flat


def _joins_channels(scope: Scope, parts: Sequence[Tensor], places: Sequence[Array], axis: int) -> bool:
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


def _joined_vectors(
    scope: Scope, node: NodeProto, parts: Sequence[Tensor], names: Sequence[str], places: Sequence[Array], axis: int
) -> Tensor:
    """The parts one after the other; ``axis`` does not count the batch axis."""
    nodes: list[Node] = []
    indices: list[Array] = []
    start = 0
    for name, part, local in zip(names, parts, places, strict=True):
        size = part.base.type.size
        whole = is_whole(part.base, local)
        order = np.arange(size) if whole else local.reshape(-1)
        nodes.append(placed(scope, gathered(name), order, part, movable=False))
        indices.append(start + (local if whole else np.arange(local.size).reshape(local.shape)))
        start += order.size
    return scope.spread(Concat(scope.record(node), tuple(nodes)), np.concatenate(indices, axis))
