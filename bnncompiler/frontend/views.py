"""Layout: operators that move elements and compute nothing.

The one idea: run the operator itself on the index tensor. Reshape, Transpose, Slice, Split, Gather with constant
indices, Expand and the rest need no code each, in no opset; a new one is a name in `LAYOUT`. What the index has become
says where every element lies, and whether a value still belongs to one sample.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from bnncompiler.errors import UnsupportedModel
from bnncompiler.frontend.nodes import attribute, label
from bnncompiler.frontend.scope import Scope, Tensor
from bnncompiler.ir import Array

LAYOUT = frozenset({
    "DepthToSpace", "Expand", "Flatten", "Gather", "GatherElements", "GatherND", "Reshape", "Slice",
    "SpaceToDepth", "Split", "Squeeze", "Tile", "Transpose", "Unsqueeze",
})  # fmt: skip
# What onnxruntime moves no int64 with. float64 holds every index that fits into memory, int32 that of any network.
_MOVED_AS = {
    "DepthToSpace": np.float64,
    "Pad": np.float64,
    "Resize": np.int32,
    "SpaceToDepth": np.float64,
    "Upsample": np.int32,
}


def move(scope: Scope, node: NodeProto) -> list[Tensor | None]:
    """Import a layout operator whose variable inputs, where there are several (Concat), are views of one node.

    Raises:
        UnsupportedModel: it moves by indices that are not constant.
    """
    tensors = {name: scope.values[name] for name in node.input if name in scope.values}
    joined = node.input if node.op_type == "Concat" else node.input[:1]
    if tensors.keys() != set(joined):
        raise UnsupportedModel(
            f"{label(node)} moves elements by what the network computes, which is not supported; "
            "make shapes and indices constant"
        )
    first = scope.values[node.input[0]]
    moved = iter(run_on_index(scope, node, {name: t.index for name, t in tensors.items()}))
    origin = tuple(dict.fromkeys([*(o for t in tensors.values() for o in t.origin), scope.origin(node)]))
    return [Tensor(first.base, next(moved), origin, first.softmax) if name else None for name in node.output]


def run_on_index(scope: Scope, node: NodeProto, indices: dict[str, Array]) -> list[Array]:
    """What the layout operator makes of the index tensors, for each output that has a name."""
    kind = _MOVED_AS.get(node.op_type, np.int64)
    indices = {name: i.astype(kind) for name, i in indices.items()}
    results = [moved.astype(np.int64, copy=False) for moved in scope.constants.evaluate(node, indices)]
    for index in results:
        if not index.size:
            raise UnsupportedModel(f"{label(node)} computes an empty tensor of shape {list(index.shape)}")
        index.setflags(write=False)
    return results


def resize(scope: Scope, node: NodeProto) -> list[Tensor | None]:
    """Import Resize or Upsample to the nearest element.

    Raises:
        UnsupportedModel: it interpolates.
    """
    mode = attribute(node, "mode", "nearest")
    outside = attribute(node, "coordinate_transformation_mode", "") == "tf_crop_and_resize"
    if mode != "nearest" or outside:
        how = f"mode={mode}" if mode != "nearest" else "tf_crop_and_resize"
        raise UnsupportedModel(f"{label(node)} has {how}, which is not supported; use mode=nearest")
    return move(scope, node)


def keep(scope: Scope, node: NodeProto) -> list[Tensor]:
    """Import an operator that does nothing: Identity, and Dropout in inference."""
    value = scope.values[node.input[0]]
    if any(name in scope.wanted for name in node.output[1:]):
        raise UnsupportedModel(
            f"{label(node)}: its mask is used, so it is no Dropout of inference; call eval() before export"
        )
    training = scope.operand(node, 2) if node.op_type == "Dropout" else None
    if training is not None and (isinstance(training, Tensor) or training.any()):
        raise UnsupportedModel(f"{label(node)} is in training mode; call eval() before export")
    return [Tensor(value.base, value.index, (*value.origin, scope.origin(node)), value.softmax)]


def per_sample(index: Array, size: int, batch: int) -> Array | None:
    """The index within one sample, without the batch axis; None where the first axis is not the batch axis."""
    if index.ndim == 0 or len(index) != batch:
        return None
    first = index[0]
    steps = np.arange(batch).reshape(-1, *[1] * first.ndim) * size
    return first if (index == first + steps).all() and _within(first, size) else None


def _within(index: Array, size: int) -> bool:
    return bool(index.min() >= 0 and index.max() < size)
