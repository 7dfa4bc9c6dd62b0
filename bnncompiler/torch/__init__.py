"""Binary layers for PyTorch: take a network, replace its layers, train it, compile it.

    from bnncompiler.torch import Linear          # instead of torch.nn.Linear
    ...                                           # the training script stays as it is
    compilation = bnncompiler.torch.compile(model, example_input, scale="1/255")

Needs PyTorch: ``pip install bnncompiler[torch]``. Nothing else in the package does.
"""

from __future__ import annotations

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("bnncompiler.torch needs PyTorch: pip install bnncompiler[torch]") from error

from bnncompiler.torch.activations import RPReLU, Thermometer
from bnncompiler.torch.convert import binarize, distillation_loss
from bnncompiler.torch.export import compile, export
from bnncompiler.torch.layers import Conv1d, Conv2d, Linear
from bnncompiler.torch.sign import ESTIMATORS, Sign, sign

__all__ = [
    "ESTIMATORS",
    "Conv1d",
    "Conv2d",
    "Linear",
    "RPReLU",
    "Sign",
    "Thermometer",
    "binarize",
    "compile",
    "distillation_loss",
    "export",
    "sign",
]
