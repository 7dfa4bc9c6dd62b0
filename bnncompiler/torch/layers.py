"""`Linear`, `Conv1d` and `Conv2d`: those of ``torch.nn`` with weights and inputs of one bit.

    y = normalise(sign(x - threshold) @ sign(weight).T)

They take the arguments of their namesakes, and more behind these by keyword; ``weight`` and ``bias`` have the names and
shapes of theirs, and the state of a float layer loads into a binary one. What is behind the product makes a sum of
several hundred signs a number that a sign or a PReLU can work on; in the compiled network it costs nothing, as it
becomes part of the next layer's thresholds.

**Weights** are real numbers in training, kept in [-1, 1], whose signs are used: the gradient of the sign goes to the
number unchanged. **Thresholds** start at the mean of the first batch: with 0, what comes out of a ReLU would be +1
throughout. From there they are learned, where the input has a gradient. Where it has none it is data, and the threshold
is the mean of the first hundred batches: to learn it would take a matrix product more.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812  (what everyone calls it)
from torch.nn.modules.batchnorm import _BatchNorm

from bnncompiler.torch.product import composed, linear
from bnncompiler.torch.sign import Derivative, find_estimator, hardtanh, identity, sign

Output = Literal["batch_norm", "scale", "sum"]
SETTLED = 100  # batches, after which the mean of the data is taken to be known
CLAMPED = 16  # every so many batches: an optimizer's step is small, and a pass over the weights costs as much as a sign
OUTPUTS: tuple[Output, ...] = ("batch_norm", "scale", "sum")


class Normalisation(_BatchNorm):
    """Batch normalisation whose scale and shift are the layer's own ``scale`` and ``bias``.

    To ``torch.optim.swa_utils.update_bn``, and whatever else looks for one, it is a batch normalisation.
    """

    def __init__(self, channels: int, **factory: Any) -> None:
        super().__init__(channels, affine=False, **factory)

    def forward(self, sums: Tensor, scale: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        """``sums`` ``[N, C, ...]``, normalised over all but the channels, times ``scale``, plus ``bias``."""
        if not self.training and torch.onnx.is_in_onnx_export():
            return self._as_operators(sums, scale, bias)
        average = self.momentum
        if average is None:  # the mean of all batches, as `update_bn` wants it
            assert self.num_batches_tracked is not None
            self.num_batches_tracked.add_(self.training)
            average = 1 / max(int(self.num_batches_tracked), 1)
        mean, var, cudnn = self.running_mean, self.running_var, torch.backends.cudnn.enabled
        return torch.batch_norm(sums, scale, bias, mean, var, self.training, average, self.eps, cudnn)

    def _as_operators(self, sums: Tensor, scale: Tensor | None, bias: Tensor | None) -> Tensor:
        """The same as a product and a sum: exporters multiply a batch normalisation into the weights before it.

        The sums would then no longer be integers, and where they are near a threshold, float32 rounding would decide.
        """
        assert self.running_mean is not None and self.running_var is not None
        spread = (-1, *[1] * (sums.dim() - 2))
        slope = (self.running_var + self.eps).rsqrt() * (1 if scale is None else scale)
        shift = (0 if bias is None else bias) - self.running_mean * slope
        return sums * slope.view(spread) + shift.view(spread)


class _Binary(nn.Module):
    """What the layers have in common: everything but the product itself."""

    in_channels: int
    out_channels: int
    weight: Tensor
    bias: Any  # a parameter, or None; the layers of torch.nn disagree on its type
    derivative: Derivative
    binarize_input: bool
    output: Output
    batches: Tensor

    def _setup(
        self,
        channels: tuple[int, int],
        spatial: int,
        options: tuple[bool, bool, str | Derivative, Output],
        factory: Mapping[str, Any],
    ) -> None:
        """Add parameters and buffers; ``spatial`` is the number of axes behind the channels."""
        self.binarize_input, threshold, estimator, self.output = options
        if self.output not in OUTPUTS:
            raise ValueError(f"no output is called {self.output!r}; there are {', '.join(OUTPUTS)}")
        self.derivative = find_estimator(estimator)
        ins, outs = channels
        learned = self.binarize_input and threshold
        self.threshold = nn.Parameter(torch.zeros(ins, *[1] * spatial, **factory)) if learned else None
        self.register_buffer("batches", torch.zeros((), dtype=torch.long, device=factory["device"]))
        self._settled = 0  # as far as ``batches`` is known to have come: to read a tensor takes as long as a small sum
        self._turn = [0]  # forward passes in training, in this process; a module is slow to assign to
        self.scale = None if self.output == "sum" else nn.Parameter(torch.ones(outs, **factory))
        self.norm = Normalisation(outs, **factory) if self.output == "batch_norm" else None
        if self.output == "scale" and self.scale is not None:
            nn.init.constant_(self.scale, 1 / math.sqrt(self.weight[0].numel()))

    def threshold_for(self, x: Tensor, axes: tuple[int, ...]) -> Tensor | None:
        """The threshold of ``x``; it starts from the mean of ``x``, into which go all ``axes`` but the channels'."""
        threshold: Tensor | None = self.threshold
        if threshold is None or not self.training or not torch.is_grad_enabled():
            return threshold
        data = not x.requires_grad
        enough = SETTLED if data else 1
        if self._settled < enough:
            self._settle(threshold, x, axes, enough)
        return threshold.detach() if data else threshold

    @torch.no_grad()
    def _settle(self, threshold: Tensor, x: Tensor, axes: tuple[int, ...], enough: int) -> None:
        """Let the mean of this batch into the threshold, unless ``enough`` have gone into it."""
        if int(self.batches) < enough:
            self.batches += 1
            threshold.lerp_(x.mean(axes, dtype=threshold.dtype).view_as(threshold), 1 / int(self.batches))
        self._settled = int(self.batches)

    def clamped_weight(self) -> Tensor:
        """The weights whose signs the product takes; in training, each is kept where it can still change its sign."""
        weight = self.weight
        if self.training and torch.is_grad_enabled():
            if self._turn[0] % CLAMPED == 0:
                weight.data.clamp_(-1, 1)
            self._turn[0] += 1
        return weight

    def normalise(self, sums: Tensor) -> Tensor:
        """The layer's output from the sums ``[N, C, ...]``."""
        norm = self.norm
        if norm is not None:
            return norm.forward(sums, self.scale, self.bias)  # as a module it would take twice as long to call
        spread = (-1, *[1] * (sums.dim() - 2))
        if self.scale is not None:
            sums = sums * self.scale.view(spread)
        return sums if self.bias is None else sums + self.bias.view(spread)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take the state of a float layer, too: what it has not stays as it is."""
        self._settled = 0
        if prefix + "batches" not in state_dict:
            for name, own in self.state_dict().items():
                if name not in ("weight", "bias"):
                    state_dict.setdefault(prefix + name, own.clone())
        super()._load_from_state_dict(state_dict, prefix, *rest)

    def extra_repr(self) -> str:
        own = [f"output={self.output}"]
        if not self.binarize_input:
            own.append("binarize_input=False")
        elif self.threshold is None:
            own.append("threshold=False")
        if self.derivative is not hardtanh:
            own.append(f"estimator={self.derivative.__name__}")
        return ", ".join([super().extra_repr(), *own])


class Linear(_Binary, nn.Linear):
    """``torch.nn.Linear`` with weights and inputs of one bit.

    Args:
        in_features: as in ``torch.nn.Linear``.
        out_features: as in ``torch.nn.Linear``.
        bias: add a learned number to each output.
        device: where the parameters are.
        dtype: their type.
        binarize_input: take the sign of the input. Without, the input is used as it is: pixels in a first layer, or
            what is made of signs already.
        threshold: give each input feature a threshold, otherwise 0.
        estimator: what stands in for the derivative of the sign of the input: a name from ``ESTIMATORS`` or a function.
        output: "batch_norm" normalises the sums and scales each, "scale" multiplies each by a learned number (in a last
            layer as good), "sum" leaves them alone.
    """

    def __init__(
        self,
        in_features: int,
        out_features: int,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        binarize_input: bool = True,
        threshold: bool = True,
        estimator: str | Derivative = "hardtanh",
        output: Output = "batch_norm",
    ) -> None:
        factory = {"device": device, "dtype": dtype}
        super().__init__(in_features, out_features, bias, **factory)
        self._setup((in_features, out_features), 0, (binarize_input, threshold, estimator, output), factory)

    def forward(self, input: Tensor) -> Tensor:
        """``[..., in_features]`` to ``[..., out_features]``."""
        x = input if input.dim() == 2 else input.reshape(-1, self.in_features)
        derivative = self.derivative if self.binarize_input else None
        product = linear if self.training else composed
        y = self.normalise(product(x, self.clamped_weight(), self.threshold_for(x, (0,)), derivative))
        return y if input.dim() == 2 else y.view(*input.shape[:-1], self.out_features)


class _BinaryConv(_Binary):
    """What `Conv1d` and `Conv2d` have in common: arguments, padding, and the axes."""

    kernel_size: Any
    stride: Any
    padding: Any
    dilation: Any
    groups: Any
    padding_mode: Any
    padding_value: float
    _reversed_padding_repeated_twice: Any

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Any,
        stride: Any = 1,
        padding: Any = 0,
        dilation: Any = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
        *,
        binarize_input: bool = True,
        threshold: bool = True,
        estimator: str | Derivative = "hardtanh",
        output: Output = "batch_norm",
        padding_value: float | None = None,
    ) -> None:
        factory = {"device": device, "dtype": dtype}
        channels, window = (in_channels, out_channels), (stride, padding, dilation)
        super().__init__(*channels, kernel_size, *window, groups, bias, padding_mode, **factory)
        options = (binarize_input, threshold, estimator, output)
        self._setup(channels, len(self.kernel_size), options, factory)
        self.padding_value = (-1.0 if binarize_input else 0.0) if padding_value is None else padding_value

    def forward(self, input: Tensor) -> Tensor:
        """``[N, C, ...]`` or ``[C, ...]``, as in ``torch.nn``."""
        unbatched = input.dim() == 1 + len(self.kernel_size)
        x = input.unsqueeze(0) if unbatched else input
        if self.binarize_input:
            x = sign(x, self.threshold_for(x, (0, *range(2, x.dim()))), self.derivative)
        y = self.normalise(self._convolve(x, sign(self.clamped_weight(), None, identity)))
        return y.squeeze(0) if unbatched else y

    def _convolve(self, x: Tensor, weight: Tensor) -> Tensor:
        convolution = F.conv1d if len(self.kernel_size) == 1 else F.conv2d
        padding = self.padding
        border = self._reversed_padding_repeated_twice  # of all axes, the last one's first
        if any(border) and self.padding_mode != "zeros":
            x, padding = F.pad(x, border, self.padding_mode), 0
        elif any(border) and self.padding_value != 0:
            x, padding = F.pad(x, border, value=self.padding_value), 0
        return convolution(x, weight, None, self.stride, padding, self.dilation, self.groups)

    def extra_repr(self) -> str:
        shown = f", padding_value={self.padding_value:g}" if any(self._reversed_padding_repeated_twice) else ""
        return super().extra_repr() + shown


class Conv1d(_BinaryConv, nn.Conv1d):
    """``torch.nn.Conv1d`` with weights and inputs of one bit.

    Args as there, and by keyword ``binarize_input``, ``threshold`` (one a channel), ``estimator`` and ``output`` as in
    `Linear`, and ``padding_value``: what stands around the signs where they are padded. -1 (the default) and +1 cost
    nothing; 0 is neither, and takes the compiled network corrections along the border.
    """


class Conv2d(_BinaryConv, nn.Conv2d):
    """``torch.nn.Conv2d`` with weights and inputs of one bit; the arguments are those of `Conv1d`."""
