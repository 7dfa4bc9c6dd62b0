"""Feature maps: where height, width and channels of an ONNX value are, and the node that has them channels last.

The one idea: whether a value already lies channels last is read off its index, whatever Transposes and Reshapes have
made of it. Where it does not, and only a graph input and elementwise operators stand behind it, the input itself is
laid out that way and the import begins again (`Relayout`); else a `Permute` moves the elements.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

import numpy as np
from onnx import NodeProto

from bnncompiler.errors import ModelError, UnsupportedModel
from bnncompiler.frontend.nodes import label
from bnncompiler.frontend.scope import Scope, Tensor
from bnncompiler.frontend.views import per_sample
from bnncompiler.ir import Array, Node
from bnncompiler.ops import Input, Permute
from bnncompiler.oracle import sources

LARGEST = 2**28  # elements of a map; more is a damaged shape


class Relayout(Exception):
    """The import has to begin again with other layouts of inputs.

    Attributes:
        orders: by input, which element in ONNX's order stands where: ``[height, width, channels]``.
    """

    def __init__(self, orders: Mapping[str, Array]) -> None:
        super().__init__(*orders)
        self.orders = orders


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """An ONNX value as a map.

    Attributes:
        node: its elements ``[height, width, channels]``; height is 1 where ONNX has one spatial axis.
        channels: the channel axis of the ONNX value, which has the batch as axis 0.
        rank: how many axes the ONNX value has.
    """

    node: Node
    channels: int
    rank: int

    @property
    def spatial(self) -> tuple[int, ...]:
        """The ONNX value's spatial axes, in order."""
        return tuple(a for a in range(1, self.rank) if a != self.channels)

    @property
    def sizes(self) -> list[int]:
        """The lengths of the spatial axes."""
        return list(self.node.type.shape[2 - len(self.spatial) : 2])

    def like(self, scope: Scope, base: Node) -> Tensor:
        """All of another map ``base`` as an ONNX value with the axes of this one.

        Raises:
            ModelError: that is too large to be a network.
        """
        if base.type.size > LARGEST:
            raise ModelError(f'"{base.name}" would have the shape {base.type.shape}; the model\'s shapes are damaged')
        index = scope.whole(base)
        index = index if self.rank == 4 else index[:, 0]
        return Tensor(base, np.moveaxis(index, -1, self.channels))


def feature_map(scope: Scope, node: NodeProto, among: Collection[int] | None = None) -> FeatureMap:
    """The first input of ``node`` as a map.

    Args:
        scope: the import.
        node: an operator on maps.
        among: the axes over which it runs, for an operator that would also take channels; by default the channels are
            axis 1, as Conv and the pools have it.

    Raises:
        UnsupportedModel: the value is no map, it mixes samples, or ``among`` has its channels.
        Relayout: an input has to be laid out in another way.
    """
    x = scope.tensor(node)
    rank = x.index.ndim
    if rank not in (3, 4):
        raise UnsupportedModel(
            f"{label(node)} reads a value of {rank} axes; maps have a batch, channels, and one or two spatial axes"
        )
    local = per_sample(x.index, x.base.type.size, scope.batch)
    if local is None:
        raise mixed_samples(node)
    candidates = [1] if among is None else sorted((1, rank - 1), key=lambda axis: axis in among)
    channels = candidates[0]
    found = channel_axes(local, x.base.type.channels)
    seen = next((c for c in candidates if c in found), channels)
    inputs = _inputs(x.base)
    if not inputs or (set(inputs) & scope.layouts.keys() and seen not in (among or ())):
        channels = seen  # an input alone says nothing about its axes
    if among is not None and (channels in among or 0 in among):
        raise UnsupportedModel(
            f"{label(node)} runs over the {'channels' if channels in among else 'batch'}; "
            "only the height and width of a map are supported"
        )
    return FeatureMap(placed(scope, gathered(node.input[0]), channels_last(local, channels), x), channels, rank)


def mixed_samples(node: NodeProto) -> UnsupportedModel:
    """The refusal of a value that is not computed sample by sample."""
    return UnsupportedModel(
        f"{label(node)} mixes the samples of a batch; the first axis of every input is taken for the batch, "
        "and each sample has to be computed alone"
    )


def channels_last(local: Array, channels: int) -> Array:
    """The index of one sample as ``[height, width, channels]``; ``channels`` counts the batch axis."""
    moved = np.moveaxis(local, channels - 1, -1)
    return moved if moved.ndim == 3 else moved[None]


def channel_axes(local: Array, channels: int) -> list[int]:
    """The axes of an ONNX map (the second or the last) that run over the channels of its base, and nothing else does.

    Args:
        local: the index of one sample, two or three axes; the axes returned count the batch axis, too.
        channels: how many the base has.
    """
    pixel, channel = np.divmod(local, channels)
    found = []
    for axis in dict.fromkeys((0, local.ndim - 1)):
        along = tuple(slice(None) if a == axis else slice(1) for a in range(local.ndim))
        if (pixel == pixel.take([0], axis)).all() and (channel == channel[along]).all():
            found.append(axis + 1)
    return found


def is_undecided(scope: Scope, base: Node) -> bool:
    """Whether ``base`` comes from inputs alone whose layout nothing has asked for yet."""
    inputs = _inputs(base)
    return bool(inputs) and scope.layouts.keys().isdisjoint(inputs)


def runs_over_channels(scope: Scope, x: Tensor, axis: int) -> bool:
    """Whether ``axis`` of the ONNX value is known to be the channels of a map."""
    local = per_sample(x.index, x.base.type.size, scope.batch)
    if local is None or is_undecided(scope, x.base):
        return False
    return axis in channel_axes(local, x.base.type.channels)


def _in_place(base: Node, order: Array) -> bool:
    return base.type.shape == order.shape and bool((order.reshape(-1) == np.arange(order.size)).all())


def _inputs(base: Node) -> list[str]:
    """The names of the inputs behind ``base`` where it is elementwise of nothing else."""
    behind = sources(base)
    names = [s.name for s in behind if isinstance(s, Input)]
    return names if len(names) == len(behind) else []


def placed(scope: Scope, name: str, order: Array, x: Tensor, *, movable: bool = True) -> Node:
    """A node whose element ``i`` is element ``order.flat[i]`` of ``x``'s base.

    Args:
        scope: the import.
        name: what to call it, should it be a node of its own.
        order: index into one sample of the base, in the shape that the node shall have.
        x: the value.
        movable: whether an input may be laid out in this order.

    Raises:
        Relayout: an input has to be laid out in another way.
    """
    undecided = _inputs(x.base) if movable and is_undecided(scope, x.base) else []
    if _in_place(x.base, order):
        scope.layouts.update(dict.fromkeys(undecided, order))
        return x.base
    wanted = _wanted_layout(x.base, order) if undecided else None
    if wanted is not None:
        raise Relayout(dict.fromkeys(undecided, wanted))
    known = next((p for p in scope.permuted.get(name, ()) if _same_index(p.index, order)), None)
    if known is None:
        known = Permute(name, x.base, np.ascontiguousarray(order))
        scope.permuted.setdefault(name, []).append(known)
        scope.origins[name] = x.origin or scope.origins.get(x.base.name, ())
    return known


def _wanted_layout(base: Node, order: Array) -> Array | None:
    """The layout that an input should have where its elements are read in ``order``; None where it has it.

    It is the order itself where that has all elements once. Where they are parts of a map or repeated, in rows or
    columns or channels, the input should lie channels last as the result does.
    """
    if is_whole(base, order):
        return order
    shape = base.type.shape
    if len(shape) not in (2, 3) or order.ndim != 3 or order.ndim in channel_axes(order, base.type.channels):
        return None
    turned = channels_last(np.arange(base.type.size).reshape(shape), 1)
    place = np.empty(base.type.size, np.int64)
    place[turned.reshape(-1)] = np.arange(base.type.size)
    return turned if order.ndim in channel_axes(place[order], shape[0]) else None


def is_whole(base: Node, local: Array) -> bool:
    """Whether every element of the base is there once."""
    return local.size == base.type.size and np.array_equal(np.sort(local, axis=None), np.arange(local.size))


def gathered(name: str) -> str:
    """What a node is called that has the elements of the ONNX value ``name`` in an order of its own."""
    return f"{name}.gathered"


def whole(scope: Scope, name: str, x: Tensor, local: Array) -> tuple[Node, Array]:
    """A node that has the elements of ``x`` alone, each once, channels last where they can be told.

    Args:
        scope: the import.
        name: what to call it.
        x: the value.
        local: its index in one sample.

    Returns:
        The node, and where the elements of ``local`` are in it.
    """
    channels = next(iter(channel_axes(local, x.base.type.channels)), None) if local.ndim in (2, 3) else None
    is_map = channels is not None and (local.ndim == 3 or len(x.base.type.shape) == 3)
    order = channels_last(local, channels) if is_map and channels is not None else local
    numbers = np.arange(order.size)
    place = numbers.reshape(order.shape)
    if is_map and channels is not None:
        place = np.moveaxis(place if local.ndim == 3 else place[0], -1, channels - 1)
    return placed(scope, name, order, x, movable=False), place


def _same_index(a: Array, b: Array) -> bool:
    return a.shape == b.shape and np.array_equal(a, b)
