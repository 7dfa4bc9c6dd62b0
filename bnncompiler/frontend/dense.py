"""Gemm and MatMul with constant weights: dense layers.

The one idea: the weights go through the input's index. Whatever flattened, transposed or sliced the input in ONNX has
become an index into its base, so column ``k`` of the weights moves to the element that index ``k`` names, and the layer
reads the base as it lies.
"""

from __future__ import annotations

import numpy as np
from onnx import NodeProto

from bnncompiler.errors import ModelError, UnsupportedModel
from bnncompiler.frontend.maps import gathered, mixed_samples, placed
from bnncompiler.frontend.nodes import attribute, label
from bnncompiler.frontend.scope import Operand, Scope, Tensor
from bnncompiler.ir import Array
from bnncompiler.ops import Dense


def gemm(scope: Scope, node: NodeProto) -> list[Tensor]:
    """Import ``alpha * A' @ B' + beta * C`` with one of A and B constant, and C constant."""
    a = _factor(scope, node, 0, attribute(node, "transA", 0))
    b = _factor(scope, node, 1, attribute(node, "transB", 0))
    c = scope.operand(node, 2)
    if isinstance(c, Tensor):
        raise UnsupportedModel(f"{label(node)}: its bias is not constant, which is not supported; write MatMul and Add")
    alpha, beta = attribute(node, "alpha", 1.0), attribute(node, "beta", 1.0)
    if c is not None and beta != 1:
        c = None if beta == 0 else c * c.dtype.type(beta)
        scope.notes.append(f"{label(node)}: beta = {beta:g} is folded into the bias")
    if alpha != 1:
        scope.notes.append(f"{label(node)}: alpha = {alpha:g} is folded into the weights")
    if isinstance(a, Tensor) and isinstance(b, np.ndarray):
        return [dense(scope, node, a, _scaled(b.T, alpha), c)]
    if isinstance(b, Tensor) and isinstance(a, np.ndarray):
        bias = None if c is None else np.broadcast_to(c, (len(a), b.index.shape[-1])).T
        return [_swapped(dense(scope, node, _swapped(b), _scaled(a, alpha), bias))]
    raise both_variable(node)


def matmul(scope: Scope, node: NodeProto) -> list[Tensor]:
    """Import a product with one constant factor; as in numpy, one-dimensional factors lose their axis."""
    a, b = scope.operand(node, 0), scope.operand(node, 1)
    if isinstance(a, Tensor) and isinstance(b, np.ndarray):
        weight = _matrix(node, b if b.ndim > 1 else b[:, None])
        y = dense(scope, node, a, weight.T, None)
        shape = y.index.shape if b.ndim > 1 else y.index.shape[:-1]
        return [Tensor(y.base, y.index.reshape((1,) * (b.ndim - a.index.ndim) + shape))]
    if isinstance(b, Tensor) and isinstance(a, np.ndarray):
        weight = _matrix(node, a if a.ndim > 1 else a[None, :])
        column = b.index.ndim == 1
        moved = b if column else _swapped(b)
        y = dense(scope, node, moved, weight, None)
        index = y.index if column else y.index.swapaxes(-1, -2)
        index = index if a.ndim > 1 else index[..., 0, :]
        return [Tensor(y.base, index.reshape((1,) * (a.ndim - b.index.ndim) + index.shape))]
    raise both_variable(node)


def dense(
    scope: Scope, node: NodeProto, x: Tensor, weight: Array, bias: Array | None, name: str | None = None
) -> Tensor:
    """The layer ``x @ weight.T + bias`` along the last axis of ``x``, called ``name`` or what ``node`` computes."""
    outs, ins = weight.shape
    if x.index.shape[-1] != ins:
        raise ModelError(
            f"{label(node)} has weights for {ins} inputs, but reads {x.index.shape[-1]}: the shapes do not fit"
        )
    if not outs or not ins:
        raise ModelError(f"{label(node)} has weights of the empty shape {list(weight.shape)}")
    if weight.dtype.kind != "f":
        raise UnsupportedModel(f"{label(node)} multiplies {weight.dtype} integers; export the model with float weights")
    places, local, sample = _places(scope, node, x)
    size = x.base.type.size
    source = x.base
    row = _row_layout(local, size, x.base.type.channels)
    if row is not None:
        position, order = row
        columns = weight if (order == np.arange(ins)).all() else weight[:, np.argsort(order)]
        per_row = size // ins
    elif len(local) == 1:
        position, per_row = np.zeros(1, np.int64), 1
        columns = _scattered(weight, local[0], size)
    else:
        read = next(n for n in node.input if n in scope.values)
        source = placed(scope, gathered(read), local, x, movable=False)
        position, per_row, columns = np.arange(len(local)), len(local), weight
    base = Dense(scope.record(node, name), source, np.ascontiguousarray(columns), _bias(node, bias, x, outs), x.dtype)
    first = sample * (per_row * outs) + np.tile(position, scope.batch)[places] * outs
    index = first[:, None] + np.arange(outs)
    return Tensor(base, index.reshape(*x.index.shape[:-1], outs))


def _places(scope: Scope, node: NodeProto, x: Tensor) -> tuple[Array, Array, Array]:
    """What the layer reads where.

    Returns:
        For each position of ``x``, its number among all samples' positions; ``[positions, ins]`` the elements that
        one sample's positions read; and for each position of ``x`` its sample.

    Raises:
        UnsupportedModel: a position reads several samples, or samples are not read alike.
    """
    size = x.base.type.size
    flat = x.index.reshape(-1, x.index.shape[-1])
    sample, local = flat[:, 0] // size, flat % size
    order = np.argsort(sample, kind="stable")
    count = len(flat) // scope.batch
    grouped = local[order].reshape(scope.batch, -1, flat.shape[1]) if count * scope.batch == len(flat) else None
    if (
        grouped is None
        or (flat // size != sample[:, None]).any()
        or (sample[order].reshape(scope.batch, -1) != np.arange(scope.batch)[:, None]).any()
        or (grouped != grouped[0]).any()
    ):
        raise mixed_samples(node)
    places = np.empty(len(flat), np.int64)
    places[order] = np.arange(len(flat))
    return places, grouped[0], sample


def _row_layout(local: Array, size: int, channels: int) -> tuple[Array, Array] | None:
    """Which row of the base each position reads, and in which order; None where positions are not whole rows."""
    ins = local.shape[1]
    if ins not in (size, channels):
        return None
    row, order = local[:, 0] // ins, local[0] % ins
    if (np.sort(order) != np.arange(ins)).any() or (local != row[:, None] * ins + order).any():
        return None
    return row, order


def _scattered(weight: Array, index: Array, size: int) -> Array:
    """The weights over all elements of the base: zero where nothing is read, summed where an element is read twice."""
    columns = np.zeros((len(weight), size), weight.dtype)
    if len(np.unique(index)) == len(index):
        columns[:, index] = weight
    else:
        np.add.at(columns.T, index, weight.T)
    return columns


def _bias(node: NodeProto, bias: Array | None, x: Tensor, outs: int) -> Array | None:
    if bias is None:
        return None
    spread = np.broadcast_to(bias, (x.index.size // x.index.shape[-1], outs))
    if (spread != spread[0]).any():
        raise UnsupportedModel(f"{label(node)}: its bias differs from row to row; write MatMul and Add")
    row: Array = spread[0].copy()
    return row


def _scaled(weight: Array, alpha: float) -> Array:
    return weight if alpha == 1 else weight * weight.dtype.type(alpha)


def _factor(scope: Scope, node: NodeProto, position: int, transposed: int) -> Operand | None:
    value = scope.operand(node, position)
    if not transposed or value is None:
        return value
    return _swapped(value) if isinstance(value, Tensor) else value.T


def _swapped(x: Tensor) -> Tensor:
    return Tensor(x.base, x.index.swapaxes(-1, -2), x.origin)


def _matrix(node: NodeProto, weight: Array) -> Array:
    if weight.size != weight.shape[-1] * weight.shape[-2]:
        raise UnsupportedModel(
            f"{label(node)} multiplies a vector by a stack of matrices {list(weight.shape)}; "
            "give the vector an axis for rows, or concatenate the matrices"
        )
    return weight.reshape(weight.shape[-2:])


def both_variable(node: NodeProto) -> UnsupportedModel:
    """The refusal of a product of two values that both depend on the input."""
    return UnsupportedModel(
        f"{label(node)} multiplies two variable values; only constant weights compile: "
        "make one factor constant, or gate by Mul, element by element, instead of attention"
    )
