"""Activations that a binary network gains from, and a way to give pixels more than one bit.

All of them compile to thresholds, per channel, and cost no arithmetic of their own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from bnncompiler.torch.sign import sign


class RPReLU(nn.Module):
    """A PReLU whose kink may lie anywhere: ``prelu(x - shift) + rise`` (Liu et al., ReActNet, 2020).

    Shift, slope and rise are learned for each channel, axis 1 of the input. A slope may become negative; the compiled
    network then has two thresholds in place of one.

    Args:
        channels: number of channels.
        slope: of the negative side, to begin with.
    """

    def __init__(self, channels: int, slope: float = 0.25) -> None:
        super().__init__()
        self.shift = nn.Parameter(torch.zeros(channels))
        self.slope = nn.Parameter(torch.full((channels,), slope))
        self.rise = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, ...]``, of the same shape."""
        spread = (-1, *[1] * (x.dim() - 2))
        return F.prelu(x - self.shift.view(spread), self.slope) + self.rise.view(spread)

    def extra_repr(self) -> str:
        return str(len(self.slope))


class Thermometer(nn.Module):
    """Several signs for each element, against thresholds in even steps: how pixels of 8 bits enter a binary layer.

    Channel ``k * C + c`` of the output is the sign of channel ``c`` against threshold ``k``. The layer behind it takes
    them as they are: ``Linear(levels * features, ..., binarize_input=False)``.

    Args:
        levels: how many signs there are for an element.
        low: the smallest value of the input.
        high: its largest value; the thresholds divide the range into ``levels + 1`` equal parts.
    """

    thresholds: Tensor

    def __init__(self, levels: int, low: float = 0.0, high: float = 1.0) -> None:
        super().__init__()
        if levels < 1 or not low < high:
            raise ValueError(f"a thermometer needs levels >= 1 and low < high, not {levels}, {low:g} and {high:g}")
        self.levels, self.low, self.high = levels, low, high
        self.register_buffer("thresholds", torch.linspace(low, high, levels + 2)[1:-1], persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        """``[N, C, ...]`` to ``[N, levels * C, ...]``, -1 and +1."""
        return torch.cat([sign(x, threshold) for threshold in self.thresholds], 1)

    def extra_repr(self) -> str:
        return f"{self.levels}, low={self.low:g}, high={self.high:g}"
