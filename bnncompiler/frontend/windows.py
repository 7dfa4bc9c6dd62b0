"""Windows from ONNX attributes: kernel, strides, dilations, pads and auto_pad to a `Window`.

The one idea: whatever the attributes leave to be computed, SAME padding and rounding up, is computed here from the
map's size, so that a window says by itself what it reads. (ONNX operator specification: Conv, MaxPool, AveragePool.)
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from onnx import NodeProto

from bnncompiler.errors import ModelError, UnsupportedModel
from bnncompiler.frontend.nodes import attribute, label
from bnncompiler.window import Pair, Window

LARGEST = 2**31  # taps over all positions; more than that is a damaged shape, not a network


def kernel_shape(node: NodeProto) -> list[int]:
    """The kernel of a pool.

    Raises:
        ModelError: it has none.
    """
    kernel = list(attribute(node, "kernel_shape", ()))
    if not kernel:
        raise ModelError(f"{label(node)} has no kernel_shape: the file is damaged")
    return kernel


def window(node: NodeProto, kernel: Sequence[int], sizes: Sequence[int], *, ceil: bool = False) -> Window:
    """The window of ``node`` on a map.

    Args:
        node: a convolution or a pool.
        kernel: the kernel's size along the spatial axes.
        sizes: the map's.
        ceil: round the number of positions up: the last window may reach over the padding, but begins before it.

    Raises:
        ModelError: attributes that do not go together, or no window fits.
        UnsupportedModel: negative padding, or SAME padding of a dilated kernel.
    """
    count = len(sizes)
    strides, dilations = (_numbers(node, name, [1] * count) for name in ("strides", "dilations"))
    if len(kernel) != count or min(*kernel, *strides, *dilations) < 1:
        raise ModelError(f"{label(node)}: its kernel, strides and dilations do not fit a map of {list(sizes)}")
    reach = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    before, after = _padding(node, sizes, strides, reach)
    if ceil:
        for axis, stride in enumerate(strides):
            room = sizes[axis] + before[axis] + after[axis] - reach[axis]
            last = -(-room // stride) * stride
            if last < sizes[axis] + before[axis]:
                after[axis] = max(after[axis], last + reach[axis] - sizes[axis] - before[axis])
    found = Window(_pair(kernel, 1), _pair(strides, 1), _pair(before, 0), _pair(after, 0), _pair(dilations, 1))
    positions = found.positions((1, *sizes) if count == 1 else tuple(sizes))
    if math.prod((*positions, *found.kernel)) > LARGEST:
        raise ModelError(f"{label(node)}: its window {found} has {positions} positions; the model's shapes are damaged")
    if 0 in positions:
        raise ModelError(f"{label(node)}: its window {found} is larger than the map of {list(sizes)}")
    return found


def _padding(
    node: NodeProto, sizes: Sequence[int], strides: Sequence[int], reach: Sequence[int]
) -> tuple[list[int], list[int]]:
    """The padding before and after each spatial axis."""
    count = len(sizes)
    auto = attribute(node, "auto_pad", "NOTSET")
    if auto == "VALID":
        return [0] * count, [0] * count
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        if max(attribute(node, "dilations", [1])) > 1:
            raise UnsupportedModel(
                f"{label(node)} has auto_pad={auto} with dilations, which onnxruntime does not run; write pads instead"
            )
        total = [max(0, (-(-n // s) - 1) * s + r - n) for n, s, r in zip(sizes, strides, reach, strict=True)]
        less, more = [t // 2 for t in total], [t - t // 2 for t in total]
        return (less, more) if auto == "SAME_UPPER" else (more, less)
    if auto not in ("NOTSET", ""):
        raise ModelError(f'{label(node)} has the unknown auto_pad "{auto}"')
    pads = _numbers(node, "pads", [0] * (2 * count))
    if min(pads) < 0:
        raise UnsupportedModel(f"{label(node)} has negative pads {pads}; slice the map before it instead")
    return pads[:count], pads[count:]


def _numbers(node: NodeProto, name: str, default: list[int]) -> list[int]:
    """An attribute that has a number for each spatial axis (pads: two)."""
    found = list(attribute(node, name, default)) or default
    if len(found) != len(default):
        raise ModelError(f"{label(node)}: {name} {found} do not fit {len(default)} numbers: check the attribute")
    return found


def _pair(values: Sequence[int], fill: int) -> Pair:
    """(height, width): with one spatial axis the height is 1, and nothing happens along it."""
    height, width = (fill, *values)[-2:]
    return height, width
