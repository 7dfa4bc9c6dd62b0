"""Max-pools, the largest and the smallest along an axis, and explicit padding of maps.

The one idea: both only choose among elements that are there (or one constant), so they work on the map as it lies and
keep its element type; how they see the border is the window's business (`windows`).
"""

from __future__ import annotations

import math

import numpy as np
from onnx import NodeProto

from bnncompiler.errors import ModelError, UnsupportedModel
from bnncompiler.frontend.convolution import reduced_axes, reduced_map
from bnncompiler.frontend.joins import constant, join
from bnncompiler.frontend.maps import (
    LARGEST,
    FeatureMap,
    feature_map,
    mixed_samples,
    placed,
    runs_over_channels,
)
from bnncompiler.frontend.nodes import attribute, label
from bnncompiler.frontend.scope import Scope, Tensor
from bnncompiler.frontend.views import move, per_sample
from bnncompiler.frontend.windows import kernel_shape, window
from bnncompiler.ops import Elementwise, MaxPool, Pad
from bnncompiler.window import Window


def max_pool(scope: Scope, node: NodeProto) -> list[Tensor | None]:
    """Import MaxPool; its second output, the indices, has to be unused."""
    if any(o in scope.wanted for o in node.output[1:]):
        raise UnsupportedModel(f"{label(node)}: the indices of the largest are used, which is not supported")
    x = feature_map(scope, node)
    ceil = bool(attribute(node, "ceil_mode", 0))
    over = window(node, kernel_shape(node), x.sizes, ceil=ceil)
    if not over.valid(x.node.type.shape).any(axis=(2, 3)).all():
        raise ModelError(f"{label(node)}: its window {over} has positions that lie in the padding only")
    return [_largest(scope, node, x, over)]


def global_max_pool(scope: Scope, node: NodeProto) -> list[Tensor]:
    """Import GlobalMaxPool: a window of the map's size."""
    x = feature_map(scope, node)
    height, width, _ = x.node.type.shape
    return [_largest(scope, node, x, Window((height, width)))]


def reduce_max(scope: Scope, node: NodeProto) -> list[Tensor]:
    """Import ReduceMax over any axes of one sample."""
    value = scope.tensor(node)
    axes = reduced_axes(scope, node)
    rank = value.index.ndim
    if rank in (3, 4) and len(axes) <= rank - 2 and not any(runs_over_channels(scope, value, a) for a in axes):
        x, kernel, axes = reduced_map(scope, node)
        y = _largest(scope, node, x, Window(kernel))
        return [y if attribute(node, "keepdims", 1) else Tensor(y.base, y.index.squeeze(axes))]
    return [_across(scope, node, value, axes)]


def reduce_min(scope: Scope, node: NodeProto) -> list[Tensor]:
    """Import ReduceMin: the opposite of the largest of the opposites."""
    x, name = scope.tensor(node), node.output[0]
    opposites = Elementwise(scope.record(node, f"{name}.opposites"), "Neg", (x.base,), x.dtype)
    y = _across(scope, node, Tensor(opposites, x.index), reduced_axes(scope, node), f"{name}.largest")
    return [Tensor(Elementwise(scope.record(node), "Neg", (y.base,), x.dtype), y.index)]


def _across(scope: Scope, node: NodeProto, x: Tensor, axes: tuple[int, ...], name: str | None = None) -> Tensor:
    """The largest along axes that need not be height and width: they become the rows of a map that is one wide."""
    local = per_sample(x.index, x.base.type.size, scope.batch)
    if local is None or 0 in axes:
        raise mixed_samples(node)
    kept = [a for a in range(local.ndim) if a + 1 not in axes]
    order = local.transpose([*(a - 1 for a in axes), *kept]).reshape(-1, 1, math.prod(local.shape[a] for a in kept))
    source = placed(scope, f"{node.output[0]}.rows", order, x, movable=False)
    pool = MaxPool(scope.record(node, name), source, Window((len(order), 1)))
    y = scope.spread(pool, np.arange(order.shape[2]).reshape([local.shape[a] for a in kept]))
    return Tensor(y.base, np.expand_dims(y.index, axes)) if attribute(node, "keepdims", 1) else y


def pad(scope: Scope, node: NodeProto) -> list[Tensor] | list[Tensor | None]:
    """Import Pad: with a constant around the height and width of a map, or along one other axis.

    What only repeats or drops elements moves them.

    Raises:
        UnsupportedModel: a constant around several other axes, or pads of both signs.
    """
    if attribute(node, "mode", "constant") != "constant":
        return move(scope, node)
    rank = scope.tensor(node).index.ndim
    before, after = _pads(scope, node, rank)
    if max(*before, *after) <= 0 and min(*before, *after) < 0:
        return move(scope, node)
    if min(*before, *after) < 0:
        raise UnsupportedModel(f"{label(node)} has negative pads {before}, {after}; use a Slice instead")
    axes = [a for a in range(rank) if before[a] or after[a]]
    if not axes:
        value = scope.tensor(node)
        return [Tensor(value.base, value.index, (*value.origin, scope.origin(node)))]
    value = scope.tensor(node)
    if len(axes) == 1 and (rank not in (3, 4) or runs_over_channels(scope, value, axes[0])):
        return [_surrounded(scope, node, value, axes[0], (before[axes[0]], after[axes[0]]))]
    x = feature_map(scope, node, axes)
    top, left = (0, *(before[a] for a in x.spatial))[-2:]
    bottom, right = (0, *(after[a] for a in x.spatial))[-2:]
    return [x.like(scope, Pad(scope.record(node), x.node, (top, left), (bottom, right), _value(scope, node)))]


def _surrounded(scope: Scope, node: NodeProto, x: Tensor, axis: int, pads: tuple[int, int]) -> Tensor:
    """``x`` with constants before and behind it along an axis that a window cannot reach: they are joined to it."""
    shape = list(x.index.shape)
    parts, names = [x], [node.input[0]]
    for where, count in enumerate(pads):
        if count:
            shape[axis] = count
            if math.prod(shape) > LARGEST:
                raise ModelError(f"{label(node)} would pad by {shape}; the model's shapes are damaged")
            name = f"{node.output[0]}.{where}"
            border = constant(scope, node, name, np.full(shape, _value(scope, node), x.dtype), x, axis)
            parts.insert(where * len(parts), border)
            names.insert(where * len(names), name)
    return join(scope, node, parts, names, axis)


def _pads(scope: Scope, node: NodeProto, rank: int) -> tuple[list[int], list[int]]:
    """The padding before and after each axis of the value, the batch axis included."""
    listed = attribute(node, "pads")
    pads = scope.constant(node, 1).reshape(-1).tolist() if listed is None else list(listed)
    given = scope.constant(node, 3).reshape(-1).tolist() if len(node.input) > 3 and node.input[3] else range(rank)
    axes = [a % rank for a in given]
    if len(pads) != 2 * len(axes):
        raise ModelError(f"{label(node)}: pads {pads} do not fit a value of {rank} axes")
    before, after = [0] * rank, [0] * rank
    for i, axis in enumerate(axes):
        before[axis], after[axis] = pads[i], pads[i + len(axes)]
    return before, after


def _value(scope: Scope, node: NodeProto) -> float:
    given = len(node.input) > 2 and node.input[2]
    value = float(scope.constant(node, 2).item()) if given else float(attribute(node, "value", 0.0))
    if not np.isfinite(value):
        raise UnsupportedModel(f"{label(node)} pads with {value}; use the pads of the MaxPool behind it instead")
    return value


def _largest(scope: Scope, node: NodeProto, x: FeatureMap, over: Window) -> Tensor:
    return x.like(scope, MaxPool(scope.record(node), x.node, over))
