"""A layer as windows on a map: what must be known of a convolution to choose kernels for it and to call them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler import ops
from bnncompiler.costs import Span, Work
from bnncompiler.ir import Array, Node
from bnncompiler.lower import functions, layers
from bnncompiler.lower.rows import Layer, Rows
from bnncompiler.lower.sliced import Border
from bnncompiler.lower.storage import Lowering, Stored
from bnncompiler.window import Window


@dataclass(frozen=True, eq=False)
class Convolution:
    """A convolution with what is computed together with it; a dense layer at several positions is one, too.

    Attributes:
        node: the layer.
        act: the channel function that alone reads it, if it is computed pixel by pixel.
        pool: the max-pool that alone reads the bits of ``act``, if pools lie side by side.
        rows: the weights.
        shape: height, width and channels of the map that is read.
        window: the window.
        size: height and width of the map of pixels, before they are pooled.
        x: the map that is read.
        fill: the code that stands for padded taps.
        border: what padded taps must add beyond that, by class of pixels; None where it is nothing.
    """

    node: Layer
    act: ops.Steps | ops.Requantize | None
    pool: ops.MaxPool | None
    rows: Rows
    shape: tuple[int, int, int]
    window: Window
    size: tuple[int, int]
    x: Stored
    fill: int
    border: Border | None

    @property
    def outs(self) -> int:
        """Output channels, those of all groups."""
        return len(self.rows.weight)

    @property
    def owner(self) -> Node:
        """The node whose values each pixel has."""
        return self.node if self.act is None else self.act

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the whole layer."""
        return self.rows.weight.size * self.size[0] * self.size[1]

    @property
    def is_bipolar(self) -> bool:
        """Whether both of its operands are bipolar, and all outputs see all channels."""
        return self.rows.groups == 1 and layers.is_xnor(self.x, self.rows)

    @property
    def is_binary(self) -> bool:
        """Whether it is bipolar by bipolar and its sums are wanted for their thresholds alone."""
        return self.is_bipolar and isinstance(self.act, ops.Steps) and functions.crossings(self.act) is not None

    @property
    def thresholds(self) -> Array:
        """The thresholds of a binary one on its sums of codes, ``[classes of pixels, outs, count]``."""
        assert isinstance(self.act, ops.Steps)
        crossed = functions.crossings(self.act)
        assert crossed is not None
        at = np.repeat(crossed, self.outs // len(crossed), axis=0)[None]
        return at if self.border is None else at - self.border.values[:, :, None]

    @property
    def plain_work(self) -> Work:
        """What a kernel that leaves the sums has to do for each pixel."""
        return Work(self.rows.ins, self.outs, times=self.size[0] * self.size[1])

    @property
    def work(self) -> Work:
        """What a kernel for a bipolar one has to do for each pixel."""
        count = self.thresholds.shape[2] if self.is_binary else 0
        classes = 1 if self.border is None else len(self.border.values)
        span = Span(self.shape[2], self.window, self.size[1], self.shape[1], classes)
        return Work(self.rows.ins, self.outs, thresholds=count, times=self.size[0] * self.size[1], span=span)


def convolution(low: Lowering, node: Layer) -> Convolution:
    """The convolution that ``node`` is the beginning of; brings its input into the form that its kernel reads."""
    shape, window, rows = _geometry(node)
    x = layers.operand(low, node, rows)
    act = _activation(low, node)
    pool = _pool(low, act)
    height, width = window.positions(shape)
    if pool is not None:  # what lies in no pool need not be computed
        (down, across), (pooled_h, pooled_w) = pool.window.kernel, pool.type.shape[:2]
        height, width = min(height, down * pooled_h), min(width, across * pooled_w)
    fill, border = _padding(node, window, shape, x)
    return Convolution(node, act, pool, rows, shape, window, (height, width), x, fill, border)


def _geometry(node: Layer) -> tuple[tuple[int, int, int], Window, Rows]:
    """Shape of the input map, window, and rows of weights."""
    if isinstance(node, ops.IntegerConv):
        height, width, channels = node.x.type.shape
        return (height, width, channels), node.window, Rows(node.weight.reshape(len(node.weight), -1), node.group)
    channels = node.x.type.channels
    return (node.x.type.size // channels, 1, channels), Window((1, 1)), Rows(node.weight)


def _activation(low: Lowering, node: Layer) -> ops.Steps | ops.Requantize | None:
    """The channel function to compute with each pixel: the layer's only reader, if its rows are channels."""
    reader = layers.only_reader(low, node)
    channels = node.type.channels
    if isinstance(reader, ops.Steps) and len(reader.at) <= channels and not functions.is_table(reader):
        return reader
    if isinstance(reader, ops.Requantize) and len(reader.start) <= channels and not functions.is_identity(reader):
        return reader
    return None


def _pool(low: Lowering, act: Node | None) -> ops.MaxPool | None:
    """The max-pool that alone reads the bits of ``act``, if its windows lie side by side and inside of the map."""
    reader = layers.only_reader(low, act) if isinstance(act, ops.Steps) and functions.code_planes(act) == 1 else None
    if not isinstance(reader, ops.MaxPool) or reader.type.domain is None:
        return None
    window = reader.window
    apart = window.stride == window.kernel and window.before == (0, 0) and window.dilation == (1, 1)
    return reader if apart else None


def _padding(node: Layer, window: Window, shape: tuple[int, int, int], x: Stored) -> tuple[int, Border | None]:
    """The code of padded taps, and what they add beyond it."""
    if isinstance(node, ops.IntegerDense) or not node.is_padded:
        return 0, None
    if node.pad_code is not None:
        code = (node.pad_code - int(x.base[0])) // x.step
        return (code % (1 << x.planes) if x.planes else code), None
    beyond = np.asarray(node.border - np.rint(node.over_border(x.base[:1])).astype(np.int64))
    return 0, _by_class(beyond, window, shape) if beyond.any() else None


def _by_class(border: Array, window: Window, shape: tuple[int, int, int]) -> Border:
    """What padded taps add, ``[height, width, outs]``, by class of pixels."""
    valid = window.valid(shape)  # [rows, columns, taps down, taps across]
    row_class, column_class = (_classes(np.asarray(valid.any(axis=other))) for other in ((1, 3), (0, 2)))
    count = int(column_class.max()) + 1
    values = np.zeros(((int(row_class.max()) + 1) * count, border.shape[2]), np.int64)
    for r in range(len(row_class)):
        for c in range(len(column_class)):
            values[row_class[r] * count + column_class[c]] = border[r, c]
    return Border(row_class, column_class, values)


def _classes(reached: Array) -> Array:
    """Positions ``[positions, taps]`` with the same taps on the map have the same number; all taps on it is 0."""
    _, number = np.unique(~reached, axis=0, return_inverse=True)
    number = number.reshape(-1)
    if reached.all(axis=1).any():
        inside = number[np.flatnonzero(reached.all(axis=1))[0]]
        assert inside == 0
        return np.asarray(number)
    return np.asarray(number + 1)
