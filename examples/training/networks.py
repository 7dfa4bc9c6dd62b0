"""The networks of the examples, each with its float twin.

What makes a network binary is one argument: where ``Linear`` and ``Conv2d`` come from, ``torch.nn`` or
``bnncompiler.torch``.
"""

from __future__ import annotations

from itertools import pairwise

from torch import nn

from bnncompiler import torch as binary


def dense(sizes: tuple[int, ...]) -> nn.Module:
    """Linear layers with a PReLU between them: an ordinary float network."""
    layers: list[nn.Module] = [nn.Flatten()]
    for ins, outs in pairwise(sizes):
        layers += [nn.Linear(ins, outs), nn.PReLU()]
    return nn.Sequential(*layers[:-1])


def dropped_in(sizes: tuple[int, ...]) -> nn.Module:
    """`dense` with ``nn.Linear`` replaced and nothing else."""
    layers: list[nn.Module] = [nn.Flatten()]
    for ins, outs in pairwise(sizes):
        layers += [binary.Linear(ins, outs), nn.PReLU()]
    return nn.Sequential(*layers[:-1])


def by_recipe(sizes: tuple[int, ...], pixels: bool = False) -> nn.Module:
    """`dropped_in` as it is trained best: a slope for each channel, and weights that start larger.

    Args:
        sizes: inputs, hidden sizes, outputs.
        pixels: the first layer takes the pixels as they are, 8 bits each, not their signs.
    """
    layers: list[nn.Module] = [nn.Flatten()]
    for i, (ins, outs) in enumerate(pairwise(sizes)):
        layers += [binary.Linear(ins, outs, binarize_input=i > 0 or not pixels), nn.PReLU(outs)]
    return started(nn.Sequential(*layers[:-1]))


def convolutional() -> nn.Module:
    """The MNIST network of Larq's tutorial as a float network: three convolutions, two pools, two dense layers."""
    return nn.Sequential(
        *(nn.Conv2d(1, 32, 3), nn.BatchNorm2d(32), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(64, 64, 3), nn.BatchNorm2d(64), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(576, 64), nn.BatchNorm1d(64), nn.ReLU()),
        nn.Linear(64, 10),
    )


def binary_convolutional() -> nn.Module:
    """The same in bits; the first layer takes the pixels as they are. A layer has its own batch normalisation."""
    return started(
        nn.Sequential(
            *(binary.Conv2d(1, 32, 3, binarize_input=False), nn.MaxPool2d(2)),
            *(binary.Conv2d(32, 64, 3), nn.MaxPool2d(2)),
            *(binary.Conv2d(64, 64, 3), nn.Flatten()),
            binary.Linear(576, 64),
            binary.Linear(64, 10),
        )
    )


def started(network: nn.Module) -> nn.Module:
    """``network`` with weights that start uniform after Glorot and Bengio (2010): for a learning rate above 1e-3."""
    for module in network.modules():
        if isinstance(module, binary.Linear | binary.Conv1d | binary.Conv2d):
            nn.init.xavier_uniform_(module.weight)
    return network
