"""The product of a dense layer in training: both operands' signs and the matrix product as one autograd function.

In a small network a training step takes hardly longer than it takes to call its functions. Three of them whose
derivatives are written in Python cost as much as the matrix product of a small layer itself.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812

from bnncompiler.torch.sign import Derivative, above, identity, sign, signs


def linear(x: Tensor, weight: Tensor, threshold: Tensor | None, derivative: Derivative | None) -> Tensor:
    """``sign(x - threshold) @ sign(weight).T``.

    Args:
        x: ``[N, in]``.
        weight: ``[out, in]``; the gradient of its signs goes to it unchanged.
        threshold: ``[in]``, or None for 0.
        derivative: what stands in for that of the sign of the input; None: the input is used as it is.

    Returns:
        ``[N, out]``.
    """
    if torch.is_autocast_enabled(x.device.type):  # chooses the types of torch's own functions, not of those in here
        return composed(x, weight, threshold, derivative)
    if derivative is not None and not x.requires_grad and (threshold is None or not threshold.requires_grad):
        x, derivative = signs(x, threshold), None
    # torch has no types for what `apply` takes and returns
    product: Tensor = _BinaryLinear.apply(x, weight, threshold, derivative)  # type: ignore[no-untyped-call]
    return product


def composed(x: Tensor, weight: Tensor, threshold: Tensor | None, derivative: Derivative | None) -> Tensor:
    """`linear` in three functions, which exporters can write down."""
    inputs = x if derivative is None else sign(x, threshold, derivative)
    return F.linear(inputs, sign(weight, None, identity))


class _BinaryLinear(torch.autograd.Function):
    """`composed` as one function; without a ``derivative``, ``x`` goes into the product as it is."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, threshold: Tensor | None, derivative: Derivative | None) -> Tensor:
        excess = None if derivative is None else above(x, threshold)
        inputs, weights = x if excess is None else signs(excess), signs(weight)
        ctx.derivative = derivative
        ctx.save_for_backward(inputs, weights, excess)
        return inputs.mm(weights.t())

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor | None, Tensor, Tensor | None, None]:
        inputs, weights, excess = ctx.saved_tensors
        of_x, _, of_threshold, _ = ctx.needs_input_grad
        gradient = gradients[0]
        of_input = opposite = None
        if of_x or of_threshold:
            of_input = gradient.mm(weights)
            if excess is not None:
                of_input = ctx.derivative(of_input, excess)
                opposite = of_input.sum(0).neg_() if of_threshold else None
        return of_input, gradient.t().mm(inputs), opposite, None
