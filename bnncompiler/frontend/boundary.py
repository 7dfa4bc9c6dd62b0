"""Where a model meets its caller: inputs, outputs, and what each value's place is once the batch axis is gone.

The one idea: the first axis of every input is the batch, and nothing behind this module knows of it.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import GraphProto, TensorShapeProto

from bnncompiler.errors import ModelError, UnsupportedModel
from bnncompiler.frontend.imported import Output, View
from bnncompiler.frontend.maps import whole
from bnncompiler.frontend.nodes import label, numpy_dtype
from bnncompiler.frontend.scope import Scope, Tensor
from bnncompiler.frontend.views import per_sample
from bnncompiler.ir import Array, Graph, Node, TensorType
from bnncompiler.ops import Input

ANY_BATCH = 2  # what a symbolic batch is while importing: the least number that shows whether samples are mixed
LARGEST_INPUT = 2**28  # elements; more is a damaged shape


def input_types(graph: GraphProto) -> tuple[dict[str, TensorType], int | None]:
    """The type of each input without its batch axis, and the batch size, None where it is symbolic.

    Raises:
        ModelError: an axis is empty.
        UnsupportedModel: an input has no static shape, is too large, or is no tensor of numbers.
    """
    types: dict[str, TensorType] = {}
    batches: dict[str, int | None] = {}
    for value in graph.input:
        what = f'input "{value.name}"'
        tensor = value.type.tensor_type
        if not value.type.HasField("tensor_type"):
            raise UnsupportedModel(f"{what} is not a tensor")
        dtype = numpy_dtype(tensor.elem_type, what)
        if not tensor.HasField("shape") or not tensor.shape.dim:
            raise UnsupportedModel(f"{what} has no static shape; declare it, with the batch as the first axis")
        dims = [_length(d) for d in tensor.shape.dim]
        shown = "x".join("?" if d is None else str(d) for d in dims)
        if 0 in dims:
            raise ModelError(f"{what} has the shape {shown}: an axis of length 0 holds no data")
        shape = [d for d in dims[1:] if d is not None]
        if len(shape) < len(dims) - 1:
            raise UnsupportedModel(
                f"{what} has the shape {shown}; every axis but the first, the batch, needs a static length"
            )
        kind = TensorType(tuple(shape), str(dtype))
        batches[value.name] = dims[0]
        types[value.name] = kind
        if kind.size * (dims[0] or ANY_BATCH) > LARGEST_INPUT:
            raise UnsupportedModel(f"{what} has the shape {shown}: that is too large to compile")
    if not types:
        raise UnsupportedModel("the model has no input: all that it computes is constant")
    if len(set(batches.values())) > 1:
        shown = ", ".join(f'"{n}": {"?" if b is None else b}' for n, b in batches.items())
        raise UnsupportedModel(
            f"the inputs have different batch sizes ({shown}); their first axis has to be the same batch"
        )
    return types, next(iter(batches.values()))


def _length(dim: TensorShapeProto.Dimension) -> int | None:
    """A declared length; None where it is symbolic, which some exporters write as -1."""
    return dim.dim_value if dim.HasField("dim_value") and dim.dim_value >= 0 else None


def input_value(scope: Scope, name: str, kind: TensorType) -> Input:
    """The node of a graph input, which becomes a value; it lies as in ONNX, or as ``scope.layouts`` wants it."""
    order = scope.layouts.get(name, np.arange(kind.size).reshape(kind.shape))
    node = Input(name, TensorType(order.shape, kind.dtype))
    place = np.empty(kind.size, np.int64)
    place[order.reshape(-1)] = np.arange(kind.size)
    first = np.arange(scope.batch).reshape(-1, *[1] * len(kind.shape)) * kind.size
    scope.values[name] = Tensor(node, first + place.reshape(kind.shape))
    scope.origins[name] = ()
    if (place != np.arange(kind.size)).any():
        scope.notes.append(f'input "{name}" is taken channels last: {_shape(order.shape)}')
    return node


def output(scope: Scope, name: str) -> Output:
    """A graph output, which becomes all of a node as it lies; maps lie channels last.

    Raises:
        UnsupportedModel: it is constant, or samples are mixed or in another order.
    """
    if name not in scope.values:
        raise UnsupportedModel(f'the output "{name}" does not depend on the input; remove it from the model')
    value = scope.values[name]
    if not _lies_as_given(scope, value):
        local = per_sample(value.index, value.base.type.size, scope.batch)
        if local is None:
            raise UnsupportedModel(
                f'the output "{name}" has the samples of "{value.base.name}" in another order; '
                "its first axis has to be the batch"
            )
        base, place = whole(scope, name, value, local)
        value = scope.values[name] = replace(scope.spread(base, place), origin=value.origin, softmax=value.softmax)
    if not _is_whole(scope, value.base, value.index):
        scope.notes.append(f'output "{name}" is given channels last: {_shape(value.base.type.shape)}')
    if value.softmax is None:
        return Output(name, name)
    node, reference = value.softmax
    scope.notes.append(
        f'{label(node)} ends the network and is dropped, which keeps the order; compared is "{reference}"'
    )
    return Output(name, reference)


def _lies_as_given(scope: Scope, value: Tensor) -> bool:
    """Whether the value is all of its base, in order or channels last."""
    is_map = len(value.base.type.shape) == 3 and value.index.ndim in (3, 4)
    return _is_whole(scope, value.base, value.index) or (
        is_map and _is_whole(scope, value.base, np.moveaxis(value.index, 1, -1))
    )


def _is_whole(scope: Scope, base: Node, index: Array) -> bool:
    return np.array_equal(index.reshape(-1), np.arange(scope.batch * base.type.size))


def _shape(shape: tuple[int, ...]) -> str:
    return "x".join(map(str, shape))


def views(scope: Scope, graph: Graph) -> dict[str, View]:
    """Where the variable values are that keep the batch as their first axis, and that ``graph`` computes."""
    views = {}
    nodes = set(graph.nodes())
    for name, value in scope.values.items():
        index = per_sample(value.index, value.base.type.size, scope.batch)
        if index is not None and value.softmax is None and value.base in nodes:
            views[name] = View(value.base, index)
    return views
