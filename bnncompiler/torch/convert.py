"""From a float network to a binary one: its layers are replaced in place, and it is trained on from its weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from fnmatch import fnmatchcase
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.nn.modules.batchnorm import _BatchNorm

from bnncompiler.torch.layers import Conv1d, Conv2d, Linear

Layer = Linear | Conv1d | Conv2d
REPLACED = (nn.Linear, nn.Conv1d, nn.Conv2d)


def binarize(
    model: nn.Module,
    skip: Iterable[str] = (),
    *,
    layers: Mapping[str, Mapping[str, Any]] | None = None,
    **options: Any,
) -> nn.Module:
    """Replace each ``nn.Linear``, ``nn.Conv1d`` and ``nn.Conv2d`` of ``model`` by its binary namesake, in place.

    The weights and biases are copied; with ``output="scale"``, a channel's scale starts at the mean of its absolute
    weights (Rastegari et al., XNOR-Net, 2016). A layer whose next sibling is a batch normalisation of its channels, in
    the order in which the modules were assigned, gets none of its own (``output="sum"``), unless ``output`` is given.

    Args:
        model: the network; layers of other types, subclasses among them, are left alone.
        skip: the names of layers to leave alone, as in ``model.named_modules()``; ``*`` and ``?`` stand for any.
        layers: more options for the layers of these names, as in ``{"conv1": {"binarize_input": False}}``.
        options: options of all layers: ``estimator``, ``threshold``, ``output``, ... (`Linear`).

    Returns:
        ``model``, or its replacement if it is a single layer.

    Raises:
        ValueError: a name that is no layer's, or a model without layers to replace.
    """
    found = {name: m for name, m in model.named_modules(remove_duplicate=False) if type(m) in REPLACED}
    skipped = tuple(skip)
    for pattern in (*skipped, *(layers or {})):
        if not any(fnmatchcase(name, pattern) for name in found):
            raise ValueError(f"no layer is called {pattern!r}; there are {', '.join(map(repr, found)) or 'none'}")
    found = {name: m for name, m in found.items() if not any(fnmatchcase(name, s) for s in skipped)}
    if not found:
        raise ValueError("the model has no nn.Linear, nn.Conv1d or nn.Conv2d to replace")
    replaced: dict[nn.Module, nn.Module] = {}  # a layer that stands in two places is one layer
    for name, layer in found.items():
        own = dict(options)
        if "output" not in own and _normalised(model, name, layer):
            own["output"] = "sum"
        for pattern, more in (layers or {}).items():
            if fnmatchcase(name, pattern):
                own.update(more)
        if layer not in replaced:
            replaced[layer] = _binary(layer, own)
        if not name:
            return replaced[layer]
        parent, _, child = name.rpartition(".")
        setattr(model.get_submodule(parent), child, replaced[layer])
    return model


def _normalised(model: nn.Module, name: str, layer: nn.Module) -> bool:
    """Whether a batch normalisation of the layer's channels follows it among its siblings."""
    parent, _, child = name.rpartition(".")
    siblings = list(model.get_submodule(parent).named_children())
    names = [n for n, _ in siblings]
    after = siblings[names.index(child) + 1 :] if child in names else []
    return bool(after) and isinstance(after[0][1], _BatchNorm) and after[0][1].num_features == len(layer.weight)  # type: ignore[arg-type]


def _binary(layer: nn.Module, options: Mapping[str, Any]) -> Layer:
    weight = layer.weight
    factory = {"device": weight.device, "dtype": weight.dtype, "bias": layer.bias is not None}
    made: Layer
    if isinstance(layer, nn.Linear):
        made = Linear(layer.in_features, layer.out_features, **factory, **options)  # type: ignore[arg-type]
    elif isinstance(layer, nn.Conv1d | nn.Conv2d):
        kind = Conv1d if isinstance(layer, nn.Conv1d) else Conv2d
        made = kind(
            layer.in_channels,
            layer.out_channels,
            layer.kernel_size,
            layer.stride,
            layer.padding,
            layer.dilation,
            layer.groups,
            padding_mode=layer.padding_mode,
            **factory,  # type: ignore[arg-type]
            **options,
        )
    with torch.no_grad():
        made.load_state_dict(layer.state_dict())
        if made.output == "scale" and made.scale is not None:
            made.scale.copy_(made.weight.abs().flatten(1).mean(1))
    return made.train(layer.training)


def distillation_loss(
    logits: Tensor, teacher_logits: Tensor, target: Tensor, *, weight: float = 0.5, temperature: float = 4.0
) -> Tensor:
    """How far the logits are from the classes and from what the float network says (Hinton et al., 2015).

    Args:
        logits: of the network that learns, ``[N, classes]``.
        teacher_logits: of the float network for the same inputs, computed under ``torch.no_grad()``.
        target: the classes ``[N]``.
        weight: of the teacher, 0 to 1; the classes have the rest.
        temperature: both logits are divided by it before they are compared: more tells more of unlikely classes.
    """
    soft = F.log_softmax(logits / temperature, 1)
    told = F.log_softmax(teacher_logits / temperature, 1)
    apart = F.kl_div(soft, told, reduction="batchmean", log_target=True) * temperature**2
    return (1 - weight) * F.cross_entropy(logits, target) + weight * apart
