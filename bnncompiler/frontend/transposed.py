"""ConvTranspose as ordinary convolutions.

The one idea: output positions with the same remainder by the strides read the same taps of the kernel, so each such
phase is a convolution of the map with those taps alone, turned round. The phases lie side by side as channels of one
map, as before a depth-to-space, and the index says where each output element is. No zero is ever stuffed between
pixels, and what padding adds is nothing. (ONNX operator specification: ConvTranspose.)
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from onnx import NodeProto

from bnncompiler.errors import ModelError, UnsupportedModel
from bnncompiler.frontend.maps import LARGEST, FeatureMap, feature_map
from bnncompiler.frontend.nodes import attribute, label
from bnncompiler.frontend.scope import Scope, Tensor
from bnncompiler.ir import Array, Node
from bnncompiler.ops import Concat, Conv
from bnncompiler.window import Window

MOST_PHASES = 64  # strides of 8: the convolutions that one ConvTranspose may become


@dataclass(frozen=True)
class Phase:
    """The convolution along one axis of the output positions with one remainder.

    Attributes:
        taps: which taps of the kernel it has, in order; None is a tap of weight 0.
        before: padding before the map.
        after: padding behind it.
        dilation: the distance of its taps.
    """

    taps: tuple[int | None, ...]
    before: int
    after: int
    dilation: int


@dataclass(frozen=True)
class Axis:
    """A ConvTranspose along one axis: lengths of map, kernel and output, and the output's padding before."""

    size: int
    kernel: int
    out: int
    stride: int
    dilation: int
    before: int

    @property
    def positions(self) -> int:
        """How many output positions a phase has: all alike, some may lie behind the output's end."""
        return -(-self.out // self.stride)

    def phase(self, remainder: int) -> Phase:
        """The phase of the output positions ``remainder``, ``remainder + stride``, ...

        Position ``m`` of it reads element ``m + e`` of the map by tap ``k`` where ``stride * e = remainder + before -
        k * dilation``. Taps of weight 0 are added where the window would begin or end within the map.
        """
        offsets = {
            (remainder + self.before - k * self.dilation) // self.stride: k
            for k in range(self.kernel)
            if (remainder + self.before - k * self.dilation) % self.stride == 0
        }
        step = self.dilation // int(np.gcd(self.dilation, self.stride))
        first, last = min(offsets, default=0), max(offsets, default=0)
        first -= step * max(0, -(-first // step))
        last += step * max(0, -(-(self.size - self.positions - last) // step))
        taps = tuple(offsets.get(e) for e in range(first, last + 1, step))
        return Phase(taps, -first, self.positions - 1 + last - (self.size - 1), step)


def conv_transpose(scope: Scope, node: NodeProto) -> list[Tensor]:
    """Import ConvTranspose with constant weights ``[in, out / group, *kernel]``.

    Raises:
        ModelError: weights or attributes do not fit what it reads.
        UnsupportedModel: its bias is not constant, or its strides are very long.
    """
    x = feature_map(scope, node)
    weight, bias = scope.constant(node, 1), scope.operand(node, 2)
    group = attribute(node, "group", 1)
    if isinstance(bias, Tensor):
        raise UnsupportedModel(
            f"{label(node)}: its bias is not constant, which is not supported; write ConvTranspose and Add"
        )
    channels = x.node.type.channels
    if weight.ndim != x.rank or not weight.size or group < 1 or len(weight) != channels or channels % group:
        raise ModelError(
            f"{label(node)} has weights {list(weight.shape)} in {group} groups, but reads {channels} channels: "
            "the shapes do not fit"
        )
    weight = weight if weight.ndim == 4 else weight[:, :, None]
    ins, outs = channels // group, weight.shape[1]
    turned = weight.reshape(group, ins, outs, *weight.shape[2:]).transpose(0, 2, 3, 4, 1)
    turned = turned.reshape(group * outs, *weight.shape[2:], ins)
    if bias is not None and bias.shape != (len(turned),):
        raise ModelError(f"{label(node)}: its bias does not fit its weights {list(weight.shape)}")
    axes = _axes(node, x, weight.shape[4 - len(x.spatial) :])
    return [_in_phases(scope, node, x, turned, bias, axes, group)]


def _in_phases(
    scope: Scope, node: NodeProto, x: FeatureMap, weight: Array, bias: Array | None, axes: Sequence[Axis], group: int
) -> Tensor:
    """The convolutions by ``weight [out, height, width, in / group]``, joined, and the place of each output element."""
    name = scope.record(node)
    strides = [a.stride for a in axes]
    phases: list[Node] = []
    for remainders in product(*(range(s) for s in strides)):
        own = name if strides == [1, 1] else f"{name}.{'.'.join(map(str, remainders))}"
        scope.origins[own] = scope.origins[name]
        rows, columns = (a.phase(r) for a, r in zip(axes, remainders, strict=True))
        window = Window(
            (len(rows.taps), len(columns.taps)),
            (1, 1),
            (rows.before, columns.before),
            (rows.after, columns.after),
            (rows.dilation, columns.dilation),
        )
        part = _chosen(_chosen(weight, rows.taps, 1), columns.taps, 2)
        phases.append(Conv(own, x.node, part, bias, window, group, dtype=x.node.type.dtype))
    base = phases[0] if len(phases) == 1 else Concat(name, tuple(phases))
    outs = len(weight)
    row, column = (np.divmod(np.arange(a.out), a.stride) for a in axes)
    pixel = row[0][:, None] * axes[1].positions + column[0]
    phase = row[1][:, None] * strides[1] + column[1]
    place = (pixel * base.type.channels + phase * outs)[:, :, None] + np.arange(outs)
    return scope.spread(base, np.moveaxis(place if x.rank == 4 else place[0], -1, x.channels - 1))


def _chosen(weight: Array, taps: Sequence[int | None], axis: int) -> Array:
    """The weights of ``taps``, 0 where one is None."""
    chosen = weight.take([0 if t is None else t for t in taps], axis)
    absent = [i for i, t in enumerate(taps) if t is None]
    np.moveaxis(chosen, axis, 0)[absent] = 0
    return np.ascontiguousarray(chosen)


def _axes(node: NodeProto, x: FeatureMap, kernel: Sequence[int]) -> tuple[Axis, Axis]:
    """Height and width; with one spatial axis the height is 1, and nothing happens along it."""
    count = len(kernel)
    strides, dilations = (list(attribute(node, n, [1] * count)) for n in ("strides", "dilations"))
    extra = list(attribute(node, "output_padding", [0] * count))
    pads = list(attribute(node, "pads", [0] * (2 * count)))
    wanted = list(attribute(node, "output_shape", ()))[-count:]
    lengths = {len(strides), len(dilations), len(extra), len(pads) // 2, len(wanted) or count}
    if lengths != {count} or list(attribute(node, "kernel_shape", kernel)) != list(kernel):
        raise ModelError(f"{label(node)}: its attributes do not fit its weights and a map of {x.sizes}")
    if min(*strides, *dilations) < 1 or min(*extra, *pads) < 0 or max(*strides, *dilations, *extra, *pads) > LARGEST:
        raise ModelError(f"{label(node)}: its strides, dilations or pads are out of range")
    if np.prod(strides) > MOST_PHASES:
        raise UnsupportedModel(f"{label(node)} has strides {strides}: at most {MOST_PHASES} in all are supported")
    auto = attribute(node, "auto_pad", "NOTSET")
    axes = []
    for a in range(count):
        full = strides[a] * (x.sizes[a] - 1) + extra[a] + dilations[a] * (kernel[a] - 1) + 1
        before, out = pads[a], full - pads[a] - pads[a + count]
        if wanted or auto.startswith("SAME"):
            out = wanted[a] if wanted else x.sizes[a] * strides[a]
            total = max(0, full - out)
            before = total // 2 if auto == "SAME_UPPER" else total - total // 2
        elif auto == "VALID":
            before, out = 0, full
        axes.append(Axis(x.sizes[a], kernel[a], out, strides[a], dilations[a], before))
    height, width = (Axis(1, 1, 1, 1, 1, 0), *axes)[-2:]
    if min(height.out, width.out) < 1 or height.out * width.out * max(kernel) > LARGEST:
        raise ModelError(f"{label(node)} would compute a map of {height.out}x{width.out}: its shapes are damaged")
    return height, width
