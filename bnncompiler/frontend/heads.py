"""How networks end: Softmax, which keeps the order and is dropped, and the largest values and their indices.

The one idea: a dropped Softmax leaves its input's elements behind, marked, so that only outputs and ArgMax may read
them.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from onnx import NodeProto

from bnncompiler.errors import UnsupportedModel
from bnncompiler.frontend.maps import gathered, mixed_samples, placed
from bnncompiler.frontend.nodes import attribute, label
from bnncompiler.frontend.scope import Scope, Tensor
from bnncompiler.frontend.views import per_sample
from bnncompiler.ir import Array, Node
from bnncompiler.ops import ArgMax, Largest, MaxPool
from bnncompiler.window import Window


def softmax(scope: Scope, node: NodeProto) -> list[Tensor]:
    """Drop a Softmax or LogSoftmax over the classes."""
    x = scope.tensor(node)
    axis = attribute(node, "axis", -1 if scope.opset >= 13 else 1)
    if axis % max(1, x.index.ndim) == 0:
        raise UnsupportedModel(f"{label(node)} runs over the batch; apply it to the class axis")
    return [Tensor(x.base, x.index, (*x.origin, scope.origin(node)), (node, node.input[0]))]


def argmax(scope: Scope, node: NodeProto) -> list[Tensor]:
    """Import ArgMax over the channels."""
    if attribute(node, "select_last_index", 0):
        raise UnsupportedModel(f"{label(node)}: select_last_index=1 is not supported; the first of equals is taken")
    index = _largest(scope, node, attribute(node, "axis", 0))
    keep = attribute(node, "keepdims", 1)
    return [Tensor(index.base, index.index if keep else index.index.squeeze(attribute(node, "axis", 0)))]


def topk(scope: Scope, node: NodeProto) -> list[Tensor | None]:
    """Import TopK: its indices are those of ArgMax; a single value is a max-pool; what is unused has no tensor."""
    k = scope.constant(node, 1) if len(node.input) > 1 else np.array(attribute(node, "k", 0))
    if k.size != 1 or not attribute(node, "largest", 1):
        raise UnsupportedModel(f"{label(node)}: only the largest values compile; negate its input for the smallest")
    count, axis, (value, index) = int(k.item()), attribute(node, "axis", -1), node.output

    def values(name: str, source: Node) -> Node:
        return Largest(name, source, count)

    largest = None
    if value in scope.wanted:
        largest = _maximum(scope, node, axis) if count == 1 else _ranked(scope, node, axis, values, count, value)
    return [largest, _largest(scope, node, axis, index, count) if index in scope.wanted else None]


def _largest(scope: Scope, node: NodeProto, axis: int, name: str | None = None, count: int = 1) -> Tensor:
    """The indices of the ``count`` largest elements along ``axis``, which is kept with that length."""
    return _ranked(scope, node, axis, lambda value, source: ArgMax(value, source, count), count, name)


def _ranked(
    scope: Scope,
    node: NodeProto,
    axis: int,
    make: Callable[[str, Node], Node],
    count: int,
    name: str | None,
) -> Tensor:
    """What ``make`` makes of the elements along ``axis``, ``count`` of them in their place, as the value ``name``."""
    x = scope.ranked(node)
    rows = np.moveaxis(x.index, axis, -1)
    length = rows.shape[-1]
    if not 0 < count <= length:
        raise UnsupportedModel(f"{label(node)} wants the {count} largest of {length}")
    whole_rows = (rows == rows[..., :1] + np.arange(length)).all() and not (rows[..., 0] % length).any()
    if x.base.type.channels == length and whole_rows:
        base = make(scope.record(node, name), x.base)
        return Tensor(base, np.moveaxis(rows[..., :1] // length * count + np.arange(count), -1, axis))
    source = placed(scope, gathered(node.input[0]), _one_sample(scope, node, x, axis), x, movable=False)
    base = make(scope.record(node, name), source)
    return Tensor(base, np.moveaxis(scope.whole(base), -1, axis))


def _maximum(scope: Scope, node: NodeProto, axis: int) -> Tensor:
    """The largest element along ``axis``, which is kept with length 1: the rows are a map of one channel."""
    x = scope.tensor(node)
    rows = _one_sample(scope, node, x, axis)
    count = rows.shape[-1]
    source = placed(scope, gathered(node.input[0]), rows.reshape(-1, count, 1), x, movable=False)
    base = MaxPool(scope.record(node), source, Window((1, count)))
    place = np.arange(base.type.size).reshape(rows.shape[:-1])
    return Tensor(base, np.expand_dims(scope.spread(base, place).index, axis))


def _one_sample(scope: Scope, node: NodeProto, x: Tensor, axis: int) -> Array:
    """The index in one sample, ``axis`` last."""
    local = per_sample(np.moveaxis(x.index, axis, -1), x.base.type.size, scope.batch)
    if local is None or axis % x.index.ndim == 0:
        raise mixed_samples(node)
    return local
