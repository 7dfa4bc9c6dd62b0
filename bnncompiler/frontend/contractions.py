"""Contractions: Einsum, stacks of matrices, CumSum, and sums over axes that no window covers.

The one idea: each is ``einsum("...", x, w)`` with a constant ``w``, and that is a dense layer. What ``x`` alone has of
the result are the layer's positions, what ``w`` alone has are its outputs, and what is not in the result is summed.
Axes that are in all three choose a matrix: there is a layer for each, and the results are joined. Where axes lie does
not matter, as everything is read through its index.
"""

from __future__ import annotations

import itertools
import string
from collections.abc import Mapping, Sequence

import numpy as np
from onnx import NodeProto

from bnncompiler.errors import ModelError, UnsupportedModel
from bnncompiler.frontend.convolution import reduce_linear as pooled
from bnncompiler.frontend.convolution import reduced_axes
from bnncompiler.frontend.dense import both_variable, dense
from bnncompiler.frontend.dense import matmul as dense_matmul
from bnncompiler.frontend.joins import join
from bnncompiler.frontend.maps import runs_over_channels
from bnncompiler.frontend.nodes import attribute, label
from bnncompiler.frontend.scope import Operand, Scope, Tensor
from bnncompiler.ir import Array


def einsum(scope: Scope, node: NodeProto) -> list[Tensor]:
    """Import Einsum with one variable operand.

    Raises:
        UnsupportedModel: with more of them, or with a diagonal.
    """
    operands = [scope.operand(node, i) for i in range(len(node.input))]
    terms, out = _terms(node, operands)
    (place, x), *others = [(i, o) for i, o in enumerate(operands) if isinstance(o, Tensor)]
    if others:
        raise both_variable(node)
    axes = terms.pop(place)
    if any(len(set(t)) < len(t) for t in (axes, *terms)):
        raise UnsupportedModel(f"{label(node)}: a letter twice in one operand is a diagonal; use Gather before it")
    constants = [o for o in operands if isinstance(o, np.ndarray)]
    kept = "".join(dict.fromkeys(c for t in terms for c in t if c in axes or c in out))
    weight = np.einsum(f"{','.join(terms)}->{kept}", *constants) if terms else np.ones((), x.dtype)
    return [contract(scope, node, x, axes, weight, kept, out)]


def _terms(node: NodeProto, operands: Sequence[Operand | None]) -> tuple[list[str], str]:
    """The letters of each operand's axes, and the result's; an ellipsis becomes capital letters."""
    left, arrow, out = attribute(node, "equation", "").replace(" ", "").partition("->")
    terms = left.split(",")
    if len(terms) != len(operands) or not left:
        raise ModelError(f'{label(node)}: the equation "{left}" does not fit {len(operands)} operands')
    if not arrow:
        letters = sorted(c for c in set(left) if c.isalpha() and left.count(c) == 1)
        out = ("..." if "..." in left else "") + "".join(letters)
    if any(c.isupper() for c in left) and "..." in left:
        raise UnsupportedModel(f"{label(node)}: capital letters beside an ellipsis; write the equation in small ones")
    ranks = [o.index.ndim if isinstance(o, Tensor) else np.ndim(np.asarray(o)) for o in operands]
    hidden = [r - len(t.replace("...", "")) for t, r in zip(terms, ranks, strict=True)]
    widest = string.ascii_uppercase[: max((h for t, h in zip(terms, hidden, strict=True) if "..." in t), default=0)]
    spelled = [t.replace("...", widest[max(0, len(widest) - h) :]) for t, h in zip(terms, hidden, strict=True)]
    if any(len(t) != r for t, r in zip(spelled, ranks, strict=True)):
        raise ModelError(f'{label(node)}: the equation "{left}" does not fit operands of {ranks} axes')
    return spelled, out.replace("...", widest)


def cum_sum(scope: Scope, node: NodeProto) -> list[Tensor]:
    """Import CumSum: a product with a triangular matrix of ones."""
    x = scope.tensor(node)
    rank = x.index.ndim
    axis = int(scope.constant(node, 1).item()) % rank
    count = x.index.shape[axis]
    earlier = np.arange(count)[:, None] - np.arange(count)  # how far output j is behind input i, turned round
    if attribute(node, "reverse", 0):
        earlier = -earlier
    ones = (earlier < 0 if attribute(node, "exclusive", 0) else earlier <= 0).astype(x.dtype)
    axes = string.ascii_lowercase[:rank]
    return [contract(scope, node, x, axes, ones, f"{axes[axis]}z", axes.replace(axes[axis], "z"))]


def reduce_linear(scope: Scope, node: NodeProto) -> list[Tensor]:
    """Import ReduceSum or ReduceMean: a pool where it is one, else a dense layer with one output, of equal weights."""
    axes = reduced_axes(scope, node)
    x = scope.tensor(node)
    among_channels = len(axes) > 1 and any(runs_over_channels(scope, x, a) for a in axes)
    if x.index.ndim in (3, 4) and len(axes) <= x.index.ndim - 2 and not among_channels:
        return pooled(scope, node)
    kind = np.dtype(x.dtype)
    weight = kind.type(1)
    if node.op_type == "ReduceMean":
        weight = weight / kind.type(np.prod([x.index.shape[a] for a in axes]))
    letters = string.ascii_lowercase[: x.index.ndim]
    out = "".join(c for i, c in enumerate(letters) if i not in axes)
    y = contract(scope, node, x, letters, np.asarray(weight, kind), "", out)
    return [Tensor(y.base, np.expand_dims(y.index, axes)) if attribute(node, "keepdims", 1) else y]


def matmul(scope: Scope, node: NodeProto) -> list[Tensor]:
    """Import MatMul: a dense layer, or one for each matrix of a stack."""
    a, b = scope.operand(node, 0), scope.operand(node, 1)
    x, weight = (a, b) if isinstance(a, Tensor) else (b, a)
    if not isinstance(x, Tensor) or not isinstance(weight, np.ndarray) or min(x.index.ndim, weight.ndim - 1) < 2:
        return dense_matmul(scope, node)
    ranks = x.index.ndim, weight.ndim
    stack = string.ascii_lowercase[: max(ranks) - 2]
    of_x, of_weight = (list(stack[max(ranks) - r :]) for r in ranks)
    index = x.index
    for c in stack:
        if c not in of_weight:
            continue
        axis, place = of_weight.index(c), of_x.index(c) if c in of_x else None
        length = 1 if place is None else index.shape[place]
        if (weight == weight.take([0], axis)).all() and weight.shape[axis] in (1, length):  # the same matrix for all
            weight = weight.take(0, axis)
            del of_weight[axis]
        elif place is not None and length == 1:  # the same input for all
            index = index.squeeze(place)
            del of_x[place]
    rows, columns = ("xy", "yz") if isinstance(a, Tensor) else ("yz", "xy")
    x = Tensor(x.base, index, x.origin)
    return [contract(scope, node, x, "".join(of_x) + rows, weight, "".join(of_weight) + columns, f"{stack}xz")]


def contract(scope: Scope, node: NodeProto, x: Tensor, x_axes: str, weight: Array, w_axes: str, out: str) -> Tensor:
    """``einsum(x_axes, w_axes -> out)`` of ``x`` and ``weight``; letters that only the result has are axes of length 1.

    Raises:
        ModelError: the shapes do not go together.
        UnsupportedModel: it only multiplies elements, a factor each, or it chooses matrices by the batch.
    """
    lengths = dict(zip(x_axes, x.index.shape, strict=True))
    if x_axes[0] in w_axes or x_axes[0] not in out:
        raise UnsupportedModel(
            f"{label(node)} sums over the batch, or has other weights for each sample of it; "
            "the first axis of every input is taken for the batch, and each sample has to be computed alone"
        )
    for c, n in zip(w_axes, weight.shape, strict=True):
        if lengths.setdefault(c, n) != n:
            raise ModelError(f"{label(node)}: an axis has {lengths[c]} elements in the input and {n} in the weights")
    shared = [c for c in x_axes if c in w_axes and c in out]
    summed = [c for c in x_axes if c not in out]
    kept = [c for c in x_axes if c in out and c not in w_axes]
    free = [c for c in w_axes if c not in x_axes]
    if shared and not summed and not free:
        raise UnsupportedModel(f"{label(node)} multiplies elements by constants and sums nothing; write it as Mul")
    index = x.index.transpose([x_axes.index(c) for c in (*shared, *kept, *summed)])
    index = index.reshape(*index.shape[: len(shared) + len(kept)], -1)
    matrix = _matrices(weight, w_axes, (shared, free, summed), lengths)
    y = _layers(scope, node, x, index, matrix, len(shared))
    axes = [*kept[:1], *shared, *kept[1:], *free]
    shape = [lengths[c] for c in axes]
    moved = y.index.reshape(shape).transpose([axes.index(c) for c in out if c in axes])
    return Tensor(y.base, np.expand_dims(moved, tuple(i for i, c in enumerate(out) if c not in axes)))


def _matrices(weight: Array, axes: str, order: tuple[Sequence[str], ...], lengths: Mapping[str, int]) -> Array:
    """``weight`` as ``[*shared, free, summed]``; what it does not have of the summed axes it has the same for all."""
    shared, free, summed = order
    known = [c for c in (*shared, *free, *summed) if c in axes]
    moved = weight.transpose([axes.index(c) for c in known])
    spread = [*(lengths[c] for c in (*shared, *free)), *(lengths[c] if c in axes else 1 for c in summed)]
    full = np.broadcast_to(moved.reshape(spread), [lengths[c] for c in (*shared, *free, *summed)])
    return full.reshape(*full.shape[: len(shared)], -1, int(np.prod([lengths[c] for c in summed])))


def _layers(scope: Scope, node: NodeProto, x: Tensor, index: Array, matrix: Array, shared: int) -> Tensor:
    """A dense layer for each of the ``shared`` axes' positions, joined behind the batch axis of the result."""
    places = list(itertools.product(*(range(n) for n in index.shape[:shared])))
    if len(places) == 1:
        return dense(scope, node, Tensor(x.base, index[places[0]], x.origin), matrix[places[0]], None)
    names = [f"{node.output[0]}.{k}" for k in range(len(places))]
    parts = []
    for place, name in zip(places, names, strict=True):
        y = dense(scope, node, Tensor(x.base, index[place], x.origin), matrix[place], None, name)
        parts.append(Tensor(y.base, np.expand_dims(y.index, 1)))
    return join(scope, node, parts, names, 1)
