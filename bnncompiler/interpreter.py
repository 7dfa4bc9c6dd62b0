"""What every node means, in numpy: run a graph, or the part of it between two values.

Values with a domain are computed as their integers ``q``, real ones as numbers of the reference's element type. A graph
means the same before and after a pass; `passes.base` runs this on both to prove it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from bnncompiler import elementwise, ops
from bnncompiler.dense_calls import LOW_BITS, rounded_shift, wide_product
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
            if node.shift:
                return _shaped(rounded_shift(wide_product(_vectors(values[x], weight), weight), node.shift), node)
            # float64 holds every 32-bit accumulator and is what numpy multiplies fast.
            y = _vectors(values[x], weight).astype(np.float64) @ weight.T.astype(np.float64)
            return _shaped(y.astype(np.int64) if node.type.domain is not None else _real_dense(node, values), node)
        case ops.Conv(x=x, weight=weight, bias=bias):
            y = convolve(_reference(x, values), weight.astype(node.dtype), node.window, node.group, node.pad_value)
            return y if bias is None else y + bias.astype(node.dtype)
        case ops.IntegerConv(x=x, weight=weight):
            if node.type.domain is None:
                return _real_conv(node, values)
            if node.shift:
                return _wide_conv(node, values[x])
            dtype = _exact(values[x], weight)
            exact = (values[x].astype(dtype), weight.astype(dtype), node.window, node.group)
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
        case ops.ArgMax(x=x, count=count):
            return _top(real(x, values[x]), count)
        case ops.Largest(x=x, count=count):
            all_values = values[x] if node.type.domain is not None else _reference(x, values)
            return np.take_along_axis(all_values, _top(real(x, values[x]), count), axis=-1)
    raise IRError(f"{node.name}: {node.op} has no meaning in the interpreter")


def convolve(x: Array, weight: Array, window: Window, group: int, fill: float) -> Array:
    """``x [samples, height, width, channels]`` by ``weight [out, height, width, in / group]``, sample by sample.

    Tap by tap: each is a matrix product of the pixels under it, so that the patches are never all in memory. A map of
    few channels makes such products too thin; there one product takes the taps of all pixels together.
    """
    rows, columns = window.positions(x.shape[1:])
    y = np.empty((len(x), rows, columns, len(weight)), x.dtype)
    thin = weight.shape[3] < THIN and group == 1
    for sample, out in zip(x, y, strict=True):
        if thin:
            patches = window.patches(sample[None], fill).reshape(rows * columns, -1)
            out[:] = (patches @ weight.reshape(len(weight), -1).T).reshape(out.shape)
            continue
        out[:] = 0
        for (i, j), pixels in _taps(sample, window, rows, columns, fill):
            _multiply(pixels, weight[:, i, j], group, out)
    return y


THIN = 8


def _taps(
    sample: Array, window: Window, rows: int, columns: int, fill: float
) -> Iterator[tuple[tuple[int, int], Array]]:
    """Each tap of the window and the pixels ``[rows, columns, channels]`` under it."""
    size = [
        (count - 1) * stride + dilation * (kernel - 1) + 1
        for count, stride, dilation, kernel in zip(
            (rows, columns), window.stride, window.dilation, window.kernel, strict=True
        )
    ]
    padded = np.full((*size, sample.shape[2]), fill, sample.dtype)
    (top, left), (height, width) = window.before, sample.shape[:2]
    inside = sample[: max(0, size[0] - top), : max(0, size[1] - left)]
    padded[top : top + height, left : left + width] = inside
    for i in range(window.kernel[0]):
        for j in range(window.kernel[1]):
            down, across = i * window.dilation[0], j * window.dilation[1]
            yield (i, j), padded[down :: window.stride[0], across :: window.stride[1]][:rows, :columns]


def _multiply(pixels: Array, weight: Array, group: int, out: Array) -> None:
    """Add ``pixels [rows, columns, channels]`` times ``weight [out, channels / group]`` to ``out``."""
    outs, ins = len(weight) // group, weight.shape[1]
    if ins == 1:
        out += np.repeat(pixels, outs, axis=2) * weight[:, 0] if outs > 1 else pixels * weight[:, 0]
        return
    flat = pixels.reshape(-1, pixels.shape[2])
    for g in range(group):
        mine = slice(g * outs, (g + 1) * outs)
        product = flat[:, g * ins : (g + 1) * ins] @ weight[mine].T
        out[:, :, mine] += product.reshape(*out.shape[:2], outs)


def _wide_conv(node: ops.IntegerConv, x: Array) -> Array:
    """Sums of 64 bits: the upper and the lower bits of ``x`` in floats each."""
    pad = (node.pad_code if node.is_padded else None) or 0
    low = (1 << LOW_BITS) - 1

    def sums(part: Array, fill: int) -> Array:
        weight = node.weight.astype(np.float64)
        return convolve(part.astype(np.float64), weight, node.window, node.group, fill).astype(np.int64)

    return rounded_shift((sums(x >> LOW_BITS, pad >> LOW_BITS) << LOW_BITS) + sums(x & low, pad & low), node.shift)


def _exact(x: Array, weight: Array) -> str:
    """The float type that holds all sums of integers ``x`` times integer ``weight [out, ...]``, whatever the order."""
    most = int(np.abs(weight.astype(np.int64)).reshape(len(weight), -1).sum(axis=1).max(initial=0))
    return "float32" if int(np.abs(x).max(initial=0)) * most < 1 << 24 else "float64"


def steps(q: Array, at: Array, levels: Array) -> Array:
    """`ops.Steps` on ``q [samples, elements]``."""
    row = np.arange(q.shape[1]) % len(at)
    count = np.zeros(q.shape, np.int64)
    for k in range(at.shape[1]):
        count += q >= at[row, k]
    return np.asarray(levels[row, count])


def requantize(q: Array, node: ops.Requantize) -> Array:
    """`ops.Requantize` on ``q [samples, elements]``."""
    return np.asarray(np.clip(_pieces(q, node), *_limits(q, node)))


def saturated(q: Array, node: ops.Requantize) -> Array:
    """Where ``node`` leaves its range on ``q [samples, elements]``."""
    y, (lo, hi) = _pieces(q, node), _limits(q, node)
    return np.asarray((y < lo) | (y > hi))


def _pieces(q: Array, node: ops.Requantize) -> Array:
    row = np.arange(q.shape[1]) % len(node.start)
    if node.start.shape[1] == 1:
        return np.asarray((q * node.multiplier[row, 0] + node.bias[row, 0]) >> node.shift)
    piece = np.zeros(q.shape, np.int64)
    for k in range(1, node.start.shape[1]):
        piece += q >= node.start[row, k]
    return np.asarray((q * node.multiplier[row, piece] + node.bias[row, piece]) >> node.shift)


def _limits(q: Array, node: ops.Requantize) -> tuple[Array, Array]:
    return per_element(node.out.lo, q.shape[1]), per_element(node.out.hi, q.shape[1])


def _padded(node: ops.Pad, x: Array) -> Array:
    """`ops.Pad` on ``x [samples, height, width, channels]``."""
    fill = node.codes if node.codes is not None else np.asarray([node.value])
    y = np.empty((len(x), *node.type.shape), x.dtype)
    y[:] = per_element(fill, node.type.channels)
    (top, left), (height, width) = node.before, x.shape[1:3]
    y[:, top : top + height, left : left + width] = x
    return y


def _top(x: Array, count: int) -> Array:
    """The indices of the ``count`` largest channels, the largest first; among equals the first comes first."""
    return np.asarray(np.argsort(-x, axis=-1, kind="stable")[..., :count])


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
