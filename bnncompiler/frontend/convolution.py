"""Convolutions, and what is one in disguise: average pools, and means and sums over height and width.

The one idea: a mean is a linear map, so AveragePool, GlobalAveragePool, ReduceMean and ReduceSum over a map are
depthwise convolutions with equal weights, 1 / (number of taps) or 1, and nothing behind the frontend has to know them.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from onnx import NodeProto

from bnncompiler.errors import ModelError, UnsupportedModel
from bnncompiler.frontend.maps import FeatureMap, feature_map, runs_over_channels
from bnncompiler.frontend.nodes import attribute, label
from bnncompiler.frontend.scope import Scope, Tensor
from bnncompiler.frontend.windows import kernel_shape, window
from bnncompiler.ir import Array, Node
from bnncompiler.ops import Constant, Conv, Elementwise, Pad
from bnncompiler.window import Window


def conv(scope: Scope, node: NodeProto) -> list[Tensor]:
    """Import a convolution with constant weights ``[out, in / group, *kernel]``."""
    x = feature_map(scope, node)
    weight, bias = scope.constant(node, 1), scope.operand(node, 2)
    group = attribute(node, "group", 1)
    if isinstance(bias, Tensor):
        raise UnsupportedModel(f"{label(node)}: its bias is not constant, which is not supported; write Conv and Add")
    kernel = list(weight.shape[2:])
    channels = x.node.type.channels
    fits = weight.ndim == x.rank and group > 0 and weight.shape[1] * group == channels and len(weight) % group == 0
    if not fits or not weight.size:
        raise ModelError(
            f"{label(node)} has weights {list(weight.shape)} in {group} groups, but reads {channels} channels: "
            "the shapes do not fit"
        )
    if list(attribute(node, "kernel_shape", kernel)) != kernel or (bias is not None and bias.shape != weight.shape[:1]):
        raise ModelError(f"{label(node)}: kernel_shape or bias do not fit its weights {list(weight.shape)}")
    maps = weight if weight.ndim == 4 else weight[:, :, None]
    return [_convolved(scope, node, x, maps, bias, window(node, kernel, x.sizes), group)]


def average_pool(scope: Scope, node: NodeProto) -> list[Tensor]:
    """Import AveragePool as a depthwise convolution.

    Where padding does not count, the divisor depends on the position: the convolution is a sum, and a Div follows it.
    """
    x = feature_map(scope, node)
    over = window(node, kernel_shape(node), x.sizes, ceil=bool(attribute(node, "ceil_mode", 0)))
    divisor = _divisors(scope, node, x, over)
    if (divisor == divisor[0, 0]).all():
        return [_pooled(scope, node, x, over, int(divisor[0, 0]))]
    name = scope.record(node)
    total = _pooled(scope, node, x, over, 1, f"{name}.sum").base
    scope.origins[name] = scope.origins[total.name]
    count = Constant(f"{name}.count", np.repeat(divisor.reshape(-1), total.type.channels).astype(total.type.dtype))
    return [x.like(scope, Elementwise(name, "Div", (total, count), total.type.dtype))]


def _divisors(scope: Scope, node: NodeProto, x: FeatureMap, over: Window) -> Array:
    """By what an average pool divides at each position: what onnxruntime makes of a map of ones tells."""
    taps: Array = over.valid(x.node.type.shape).sum(axis=(2, 3))
    if not over.reaches_out(x.node.type.shape):
        return taps
    (means,) = scope.constants.evaluate(node, {node.input[0]: np.ones((1, 1, *x.sizes), x.node.type.dtype)})
    if means.size != taps.size or not (means > 0).all():
        raise ModelError(f"{label(node)}: its window {over} has positions that lie in the padding only")
    divisors: Array = np.rint(taps / means.reshape(taps.shape).astype(np.float64)).astype(np.int64)
    return divisors


def global_average_pool(scope: Scope, node: NodeProto) -> list[Tensor]:
    """Import GlobalAveragePool as a depthwise convolution with a kernel of the map's size."""
    x = feature_map(scope, node)
    height, width, _ = x.node.type.shape
    return [_pooled(scope, node, x, Window((height, width)), height * width)]


def reduce_linear(scope: Scope, node: NodeProto) -> list[Tensor]:
    """Import ReduceMean or ReduceSum over height, width or both as a depthwise convolution, over channels as 1x1."""
    across = _over_channels(scope, node)
    if across is not None:
        return [across]
    x, kernel, axes = reduced_map(scope, node)
    y = _pooled(scope, node, x, Window(kernel), kernel[0] * kernel[1] if node.op_type == "ReduceMean" else 1)
    return [y if attribute(node, "keepdims", 1) else Tensor(y.base, y.index.squeeze(axes))]


def _over_channels(scope: Scope, node: NodeProto) -> Tensor | None:
    """A reduction over the channels of a map alone; None for any other."""
    axes = reduced_axes(scope, node)
    value = scope.tensor(node)
    if len(axes) != 1 or not runs_over_channels(scope, value, axes[0]):
        return None
    x = feature_map(scope, node, set(range(1, value.index.ndim)) - set(axes))
    channels, kind = x.node.type.channels, np.dtype(x.node.type.dtype)
    divisor = channels if node.op_type == "ReduceMean" else 1
    weight = np.full((1, channels, 1, 1), kind.type(1) / kind.type(divisor), kind)
    y = _convolved(scope, node, x, weight, None, Window((1, 1)), 1)
    return y if attribute(node, "keepdims", 1) else Tensor(y.base, y.index.squeeze(axes))


def reduced_axes(scope: Scope, node: NodeProto) -> tuple[int, ...]:
    """The axes that a reduction runs over, ascending; all where none are given."""
    given = scope.operand(node, 1)
    if isinstance(given, Tensor):
        raise UnsupportedModel(f"{label(node)}: its axes are not constant; export with constant axes")
    rank = scope.tensor(node).index.ndim
    listed = attribute(node, "axes", ()) if given is None else given.tolist()
    return tuple(sorted({a % rank for a in listed})) or tuple(range(rank))


def reduced_map(scope: Scope, node: NodeProto) -> tuple[FeatureMap, tuple[int, int], tuple[int, ...]]:
    """What a reduction over spatial axes reads, the kernel (height, width) that covers them, and those axes.

    Raises:
        UnsupportedModel: it runs over the channels or the batch.
    """
    axes = reduced_axes(scope, node)
    x = feature_map(scope, node, axes)
    lengths = [n if a in axes else 1 for a, n in zip(x.spatial, x.sizes, strict=True)]
    height, width = (1, *lengths)[-2:]
    return x, (height, width), axes


def _pooled(
    scope: Scope, node: NodeProto, x: FeatureMap, over: Window, divisor: int, name: str | None = None
) -> Tensor:
    """The sum in each window, divided by the same number everywhere."""
    channels = x.node.type.channels
    kind = np.dtype(x.node.type.dtype)
    if kind.kind != "f":
        raise UnsupportedModel(f"{label(node)} sums {kind} integers; cast to float32 before it")
    weight = np.full((channels, 1, *over.kernel), kind.type(1) / kind.type(divisor), kind)
    return _convolved(scope, node, x, weight, None, over, channels, name)


def _convolved(
    scope: Scope,
    node: NodeProto,
    x: FeatureMap,
    weight: Array,
    bias: Array | None,
    over: Window,
    group: int,
    name: str | None = None,
) -> Tensor:
    """The convolution of ``x`` by ``weight [out, in / group, height, width]``; a Pad before it becomes its padding."""
    if weight.dtype.kind != "f":
        raise UnsupportedModel(f"{label(node)} multiplies {weight.dtype} integers; export the model with float weights")
    name = scope.record(node, name)
    source, over, value = _without_pad(x.node, over)
    if source is not x.node:
        scope.origins[name] = tuple(dict.fromkeys([*scope.origins[x.node.name], *scope.origins[name]]))
    last = np.ascontiguousarray(np.moveaxis(weight, 1, -1))
    return x.like(scope, Conv(name, source, last, bias, over, group, value, source.type.dtype))


def _without_pad(x: Node, over: Window) -> tuple[Node, Window, float]:
    """What a window on ``x`` reads before the Pad that ``x`` may be, the window there, and the padding's value."""
    padded = any((*over.before, *over.after))
    if not isinstance(x, Pad) or (padded and x.value != 0):
        return x, over, 0.0
    before, after = ((a[0] + b[0], a[1] + b[1]) for a, b in ((x.before, over.before), (x.after, over.after)))
    return x.x, replace(over, before=before, after=after), x.value
