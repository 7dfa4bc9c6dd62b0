"""What every node means, in numpy: run a graph, or the part of it between two values.

Values with a domain are computed as their integers ``q``, real ones as numbers of the reference's element type. A graph
means the same before and after a pass; `passes.base` runs this on both to prove it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from bnncompiler import elementwise, ops
from bnncompiler.errors import IRError
from bnncompiler.ir import Array, Graph, Node, per_element
from bnncompiler.window import Window


def run(graph: Graph, inputs: Mapping[str, Array]) -> dict[Node, Array]:
    """The values of all nodes for a batch of inputs.

    Args:
        graph: any graph, at any stage.
        inputs: by input name, ``[samples, *shape]``: grid units ``q`` where the input has a domain, else real values.

    Returns:
        ``[samples, *shape]`` by node; int64 ``q`` for nodes with a domain.
    """
    values: dict[Node, Array] = {}
    for node in graph.nodes():
        if isinstance(node, ops.Input):
            values[node] = np.asarray(inputs[node.name])
        elif not isinstance(node, ops.Constant):
            values[node] = evaluate(node, values)
    return values


def real(node: Node, value: Array) -> Array:
    """The real numbers behind a value of `run`: ``[samples, *shape]`` in float64; as computed without a domain."""
    domain = node.type.domain
    if domain is None:
        return value
    return domain.real(value.reshape(len(value), -1)).reshape(value.shape)


def evaluate(node: Node, values: Mapping[Node, Array]) -> Array:
    """One node's value from those of its operands."""
    match node:
        case ops.Elementwise():
            operands = [_operand(i, node, values) for i in node.inputs]
            return elementwise.apply(node.operator, dict(node.attrs), operands, node.dtype)
        case ops.Dense(x=x, weight=weight, bias=bias):
            y = _vectors(_reference(x, values), weight) @ weight.T.astype(node.dtype)
            return _shaped(y if bias is None else y + bias.astype(node.dtype), node)
        case ops.IntegerDense(x=x, weight=weight):
            # float64 holds every 32-bit accumulator and is what numpy multiplies fast.
            y = _vectors(values[x], weight).astype(np.float64) @ weight.T.astype(np.float64)
            return _shaped(y.astype(np.int64) if node.type.domain is not None else _real_dense(node, values), node)
        case ops.Conv(x=x, weight=weight, bias=bias):
            y = convolve(_reference(x, values), weight.astype(node.dtype), node.window, node.group, node.pad_value)
            return y if bias is None else y + bias.astype(node.dtype)
        case ops.IntegerConv(x=x, weight=weight):
            if node.type.domain is None:
                return _real_conv(node, values)
            exact = (values[x].astype(np.float64), weight.astype(np.float64), node.window, node.group)
            if not node.is_padded or node.pad_code is not None:
                return convolve(*exact, node.pad_code or 0 if node.is_padded else 0).astype(np.int64)
            return np.asarray(convolve(*exact, 0).astype(np.int64) + node.border)
        case ops.IntegerAdd(x=x, y=other):
            return np.asarray(values[x] + values[other])
        case ops.IntegerMul(x=x, y=other):
            return np.asarray(values[x] * values[other])
        case ops.MaxPool(x=x, window=window):
            pooled = values[x] if node.type.domain is not None else _reference(x, values)
            lowest = -np.inf if pooled.dtype.kind == "f" else np.iinfo(pooled.dtype).min
            return np.asarray(window.patches(pooled, lowest).max(axis=(3, 4)))
        case ops.Pad(x=x):
            return _padded(node, values[x] if node.type.domain is not None else _reference(x, values))
        case ops.Permute(x=x, index=index):
            return np.asarray(values[x].reshape(len(values[x]), -1)[:, index.reshape(-1)].reshape(-1, *index.shape))
        case ops.Concat(parts=parts):
            joined = [values[p] if node.type.domain is not None else _reference(p, values) for p in parts]
            return np.concatenate(joined, axis=-1)
        case ops.Steps(x=x, at=at, levels=levels):
            return _rowwise(values[x], lambda q: steps(q, at, levels))
        case ops.Requantize(x=x):
            return _rowwise(values[x], lambda q: requantize(q, node))
        case ops.Lookup(x=x, table=table):
            lo, step = x.domain.bounds[0], x.domain.step
            return _rowwise(values[x], lambda q: table[np.arange(q.shape[1]) % len(table), (q - lo) // step])
        case ops.ArgMax(x=x):
            return np.asarray(np.argmax(real(x, values[x]), axis=-1, keepdims=True))
    raise IRError(f"{node.name}: {node.op} has no meaning in the interpreter")


def convolve(x: Array, weight: Array, window: Window, group: int, fill: float) -> Array:
    """``x [samples, height, width, channels]`` by ``weight [out, height, width, in / group]``, sample by sample."""
    by_group = weight.reshape(group, len(weight) // group, -1).transpose(0, 2, 1)
    out = []
    for sample in x:
        patches = window.patches(sample[None], fill)[0]
        rows, columns = patches.shape[:2]
        taps = patches.reshape(rows * columns, -1, group, weight.shape[3]).transpose(2, 0, 1, 3)
        sums = taps.reshape(group, rows * columns, -1) @ by_group
        out.append(sums.transpose(1, 0, 2).reshape(rows, columns, -1))
    return np.stack(out)


def steps(q: Array, at: Array, levels: Array) -> Array:
    """`ops.Steps` on ``q [samples, elements]``."""
    row = np.arange(q.shape[1]) % len(at)
    count = np.zeros(q.shape, np.int64)
    for k in range(at.shape[1]):
        count += q >= at[row, k]
    return np.asarray(levels[row, count])


def requantize(q: Array, node: ops.Requantize) -> Array:
    """`ops.Requantize` on ``q [samples, elements]``."""
    row = np.arange(q.shape[1]) % len(node.start)
    piece = np.zeros(q.shape, np.int64)
    for k in range(1, node.start.shape[1]):
        piece += q >= node.start[row, k]
    y = (q * node.multiplier[row, piece] + node.bias[row, piece]) >> node.shift
    return np.asarray(np.clip(y, per_element(node.out.lo, len(row)), per_element(node.out.hi, len(row))))


def _padded(node: ops.Pad, x: Array) -> Array:
    """`ops.Pad` on ``x [samples, height, width, channels]``."""
    fill = node.codes if node.codes is not None else np.asarray([node.value])
    y = np.empty((len(x), *node.type.shape), x.dtype)
    y[:] = per_element(fill, node.type.channels)
    (top, left), (height, width) = node.before, x.shape[1:3]
    y[:, top : top + height, left : left + width] = x
    return y


def _rowwise(q: Array, function: Callable[[Array], Array]) -> Array:
    return function(q.reshape(len(q), -1)).reshape(q.shape)


def _operand(operand: Node, user: ops.Elementwise, values: Mapping[Node, Array]) -> Array:
    """An elementwise operand, constants spread over the elements."""
    if isinstance(operand, ops.Constant):
        return per_element(operand.value, user.type.size).reshape(user.type.shape)
    return _reference(operand, values)


def _reference(node: Node, values: Mapping[Node, Array]) -> Array:
    """A value as the reference holds it: real numbers in the node's element type."""
    return real(node, values[node]).astype(node.type.dtype)


def _vectors(x: Array, weight: Array) -> Array:
    """All positions of all samples as the rows of one matrix."""
    return x.reshape(-1, weight.shape[1])


def _shaped(y: Array, node: Node) -> Array:
    return y.reshape(-1, *node.type.shape)


def _real_conv(node: ops.IntegerConv, values: Mapping[Node, Array]) -> Array:
    """As `_real_dense`."""
    weight = node.weight * per_element(node.scale, len(node.weight))[:, None, None, None]
    fill = float(np.asarray(node.pad_value).reshape(-1)[0])
    y = convolve(real(node.x, values[node.x]).astype(np.float64), weight, node.window, node.group, fill)
    return np.asarray(y if node.bias is None else y + node.bias, node.dtype)


def _real_dense(node: ops.IntegerDense, values: Mapping[Node, Array]) -> Array:
    """An integer layer whose input grid differs by element: real, until its weights take up the input's scales."""
    y = (
        _vectors(real(node.x, values[node.x]), node.weight)
        @ (node.weight * per_element(node.scale, len(node.weight))[:, None]).T
    )
    return np.asarray(y if node.bias is None else y + node.bias, node.dtype)
