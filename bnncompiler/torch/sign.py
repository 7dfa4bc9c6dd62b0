"""The sign of a real number, +1 or -1, and what stands in for its derivative.

A sign has the derivative 0 wherever it has one, so that a network of signs learns nothing. A straight-through estimator
replaces the derivative in the backward pass by that of a function like the sign. The forward pass stays a sign.

**sign(0) is +1 here**, while ``torch.sign(0)`` is 0. A third value is no bit: the compiler would have to carry a second
one for "is it zero" through the network, and where most values are exactly 0, as in images with a black background, the
network that was trained is none of those that bits can compute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor, nn

Derivative = Callable[[Tensor, Tensor], Tensor]
"""Takes the gradient of the signs and the numbers they are the signs of, and returns the gradient of the numbers."""


_MINUS_ONE = torch.tensor(-1.0, device="cpu")  # a number, at home on every device
_within_one = torch.ops.aten.hardtanh_backward.default


def identity(gradient: Tensor, x: Tensor) -> Tensor:
    """Of ``x``: for weights, which are kept in [-1, 1]; for activations it lets gradients through that mean nothing."""
    return gradient


def hardtanh(gradient: Tensor, x: Tensor) -> Tensor:
    """Of ``x`` clipped to [-1, 1]: 1 within, 0 outside (Courbariaux, Hubara et al., 2016)."""
    clipped: Tensor = _within_one(gradient, x, -1, 1)
    return clipped


def approx_sign(gradient: Tensor, x: Tensor) -> Tensor:
    """Of a parabola on either side of 0: ``2 - 2 |x|`` within [-1, 1], 0 outside (Liu et al., Bi-Real Net, 2018)."""
    return gradient * (2 - 2 * x.abs()).clamp_(min=0)


def swish_sign(gradient: Tensor, x: Tensor, beta: float = 5.0) -> Tensor:
    """Of ``2 sigmoid(b x) (1 + b x (1 - sigmoid(b x))) - 1`` (Darabi et al., Regular Binary Network, 2018)."""
    bx = beta * x
    return gradient * (beta * (2 - bx * torch.tanh(bx / 2)) / (1 + torch.cosh(bx)))


ESTIMATORS: Mapping[str, Derivative] = {f.__name__: f for f in (hardtanh, identity, approx_sign, swish_sign)}


def find_estimator(choice: str | Derivative) -> Derivative:
    """The estimator called ``choice``, or ``choice`` itself if it is a function; ``ValueError`` if there is none."""
    if callable(choice):
        return choice
    if choice not in ESTIMATORS:
        raise ValueError(f"no estimator is called {choice!r}; there are {', '.join(ESTIMATORS)}")
    return ESTIMATORS[choice]


def sign(x: Tensor, threshold: Tensor | None = None, derivative: Derivative = hardtanh) -> Tensor:
    """+1 where ``x >= threshold`` (0 for None), else -1, with ``derivative`` in the backward pass.

    ``threshold`` broadcasts against ``x`` and gets the opposite gradient.
    """
    if torch.onnx.is_in_onnx_export():  # what both exporters write as two nodes
        return torch.where(x >= (0 if threshold is None else threshold), 1.0, -1.0)
    if not (x.requires_grad or (threshold is not None and threshold.requires_grad)):
        return signs(x, threshold)
    if threshold is None and derivative is identity:
        return _SignOfWeight.apply(x)  # type: ignore[no-any-return, no-untyped-call]
    return _Sign.apply(x, threshold, derivative)  # type: ignore[no-any-return, no-untyped-call]


def above(x: Tensor, threshold: Tensor | None) -> Tensor:
    """By how much ``x`` is above the threshold."""
    return x if threshold is None else x - threshold


def signs(x: Tensor, threshold: Tensor | None = None) -> Tensor:
    """+1 where ``x >= threshold`` (0 for None), else -1: no gradient, and several times as fast as ``torch.where``."""
    reached = torch.empty_like(x)  # 1 or 0, of the type of the signs that they become
    torch.ge(x, 0 if threshold is None else threshold, out=reached)
    return torch.add(_MINUS_ONE, reached, alpha=2, out=reached)


class _Sign(torch.autograd.Function):
    """All of it as one function: with ``torch.where``, a training step of a small network takes twice as long."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, threshold: Tensor | None, derivative: Derivative) -> Tensor:
        excess = above(x, threshold)
        ctx.save_for_backward(excess)
        ctx.rest = derivative, None if threshold is None else threshold.shape
        return signs(excess)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor | None, None]:
        derivative, threshold = ctx.rest
        gradient = derivative(gradients[0], ctx.saved_tensors[0])
        return gradient, None if threshold is None else gradient.sum_to_size(threshold).neg(), None


class _SignOfWeight(torch.autograd.Function):
    """The same with the identity for a derivative: there is nothing to save, and nothing to compute."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return signs(x)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0]


class Sign(nn.Module):
    """+1 where the input is at least the threshold, else -1.

    Args:
        channels: number of channels (axis 1 of the input), each of which gets a threshold that is learned (RSign of
            Liu et al., ReActNet, 2020); None: the threshold is 0.
        estimator: what stands in for the derivative: a name from ``ESTIMATORS`` or a function of that kind.
    """

    def __init__(self, channels: int | None = None, estimator: str | Derivative = "hardtanh") -> None:
        super().__init__()
        self.derivative = find_estimator(estimator)
        self.threshold = None if channels is None else nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        """Signs of the shape of ``x``: ``[N, C, ...]``."""
        if self.threshold is None:
            return sign(x, None, self.derivative)
        return sign(x, self.threshold.view(-1, *[1] * (x.dim() - 2)), self.derivative)

    def extra_repr(self) -> str:
        channels = "" if self.threshold is None else f"{len(self.threshold)}, "
        return f"{channels}estimator={self.derivative.__name__}"
