"""How networks end: Softmax, which keeps the order and is dropped, and the index of the largest value.

The one idea: a dropped Softmax leaves its input's elements behind, marked, so that only outputs and ArgMax may read
them.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from bnncompiler.errors import UnsupportedModel
from bnncompiler.frontend.maps import gathered, mixed_samples, placed
from bnncompiler.frontend.nodes import attribute, label
from bnncompiler.frontend.scope import Scope, Tensor
from bnncompiler.frontend.views import per_sample
from bnncompiler.ir import Array
from bnncompiler.ops import ArgMax, MaxPool
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
    """Import TopK with k = 1: its index is ArgMax, its value a max-pool; what is unused has no tensor."""
    k = scope.constant(node, 1) if len(node.input) > 1 else np.array(attribute(node, "k", 0))
    if k.size != 1 or k.item() != 1 or not attribute(node, "largest", 1):
        raise UnsupportedModel(f"{label(node)}: only the largest value (k = 1) compiles; return the logits instead")
    axis, (value, index) = attribute(node, "axis", -1), node.output
    return [
        _maximum(scope, node, axis) if value in scope.wanted else None,
        _largest(scope, node, axis, index) if index in scope.wanted else None,
    ]


def _largest(scope: Scope, node: NodeProto, axis: int, name: str | None = None) -> Tensor:
    """The index of the largest element along ``axis``, which is kept with length 1."""
    x = scope.ranked(node)
    rows = np.moveaxis(x.index, axis, -1)
    count = rows.shape[-1]
    whole_rows = (rows == rows[..., :1] + np.arange(count)).all() and not (rows[..., 0] % count).any()
    if x.base.type.channels == count and whole_rows:
        base = ArgMax(scope.record(node, name), x.base)
        return Tensor(base, np.expand_dims(rows[..., 0] // count, axis))
    source = placed(scope, gathered(node.input[0]), _one_sample(scope, node, x, axis), x, movable=False)
    base = ArgMax(scope.record(node, name), source)
    return Tensor(base, np.expand_dims(scope.whole(base)[..., 0], axis))


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
