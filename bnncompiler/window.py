"""Windows over a map: which taps a convolution or a pool reads at each output position.

Everything is (height, width). Output position ``p`` reads the taps ``p * stride - before + t * dilation`` for
``t = 0..kernel-1``; a tap outside of the map is padding. (ONNX operator specification: Conv, MaxPool.)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler.ir import Array

Pair = tuple[int, int]


@dataclass(frozen=True)
class Window:
    """Kernel size, strides, dilations, and the padding before and after."""

    kernel: Pair
    stride: Pair = (1, 1)
    before: Pair = (0, 0)
    after: Pair = (0, 0)
    dilation: Pair = (1, 1)

    def positions(self, shape: tuple[int, ...]) -> Pair:
        """How many output rows and columns a map of ``shape`` (height, width, ...) has."""
        height, width = (self._count(axis, shape[axis]) for axis in (0, 1))
        return height, width

    def _count(self, axis: int, size: int) -> int:
        reach = self.dilation[axis] * (self.kernel[axis] - 1) + 1
        return max(0, (size + self.before[axis] + self.after[axis] - reach) // self.stride[axis] + 1)

    def taps(self, axis: int, size: int) -> Array:
        """The input coordinate of each tap at each output position along ``axis``: ``[positions, kernel]``."""
        first = np.arange(self._count(axis, size)) * self.stride[axis] - self.before[axis]
        return np.asarray(first[:, None] + np.arange(self.kernel[axis]) * self.dilation[axis])

    def valid(self, shape: tuple[int, ...]) -> Array:
        """Which taps lie on the map: boolean ``[rows, columns, kernel height, kernel width]``."""
        inside = [
            (t >= 0) & (t < size)
            for t, size in zip((self.taps(0, shape[0]), self.taps(1, shape[1])), shape, strict=False)
        ]
        return np.asarray(inside[0][:, None, :, None] & inside[1][None, :, None, :])

    def reaches_out(self, shape: tuple[int, ...]) -> bool:
        """Whether any tap is padding."""
        return not bool(self.valid(shape).all())

    def patches(self, x: Array, fill: object) -> Array:
        """The taps of ``x [n, height, width, channels]``: ``[n, rows, columns, kernel h, kernel w, channels]``."""
        height, width = x.shape[1:3]
        rows, columns = self.taps(0, height), self.taps(1, width)
        picked = x[:, np.clip(rows, 0, height - 1)][:, :, :, np.clip(columns, 0, width - 1)]
        picked = np.moveaxis(picked, 2, 3)
        return np.where(self.valid(x.shape[1:])[None, ..., None], picked, np.asarray(fill, x.dtype))

    def __str__(self) -> str:
        pads = "" if self.before == self.after == (0, 0) else f" pad {self.before}{self.after}"
        dilation = "" if self.dilation == (1, 1) else f" dilation {self.dilation}"
        stride = "" if self.stride == (1, 1) else f" stride {self.stride}"
        return f"{self.kernel[0]}x{self.kernel[1]}{stride}{pads}{dilation}"
