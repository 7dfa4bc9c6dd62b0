"""How networks end: Softmax, which keeps the order and is dropped, and the index of the largest value.

The one idea: a dropped Softmax leaves its input's elements behind, marked, so that only outputs and ArgMax may read
them.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from bnncompiler.errors import UnsupportedModel
from bnncompiler.frontend.nodes import attribute, label
from bnncompiler.frontend.scope import Scope, Tensor
from bnncompiler.ops import ArgMax


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
    """Import TopK with k = 1 of which only the index is used: there is no tensor for the value."""
    k = scope.constant(node, 1) if len(node.input) > 1 else np.array(attribute(node, "k", 0))
    if k.size != 1 or k.item() != 1 or not attribute(node, "largest", 1) or node.output[0] in scope.wanted:
        raise UnsupportedModel(
            f"{label(node)}: only the index of the largest value (k = 1) compiles; return the logits instead"
        )
    return [None, _largest(scope, node, attribute(node, "axis", -1), node.output[1])]


def _largest(scope: Scope, node: NodeProto, axis: int, name: str | None = None) -> Tensor:
    """The index of the largest element along ``axis``, which is kept with length 1."""
    x = scope.ranked(node)
    rows = np.moveaxis(x.index, axis, -1)
    count = rows.shape[-1]
    whole_rows = (rows == rows[..., :1] + np.arange(count)).all() and not (rows[..., 0] % count).any()
    if x.base.type.channels != count or not whole_rows:
        raise UnsupportedModel(
            f"{label(node)} does not run over the channels of what it reads, which is not supported yet"
        )
    base = ArgMax(scope.record(node, name), x.base)
    return Tensor(base, np.expand_dims(rows[..., 0] // count, axis))
