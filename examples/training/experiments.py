"""The experiments: which data, which networks, and how they are trained.

What is in here was chosen by the validation images. The test images were used once, for what is in ``results/``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial

from examples.training.fit import Recipe
from examples.training.networks import binary_convolutional, by_recipe, convolutional, dense, dropped_in

FLOAT = "float"  # the name of the twin in every experiment


@dataclass(frozen=True)
class Experiment:
    """Networks that are trained side by side; the first is the float twin.

    Attributes:
        data: the data set.
        recipes: the networks, by name.
        deployed: which of them is compiled, from the first seed.
        epochs: how long.
        batch: images in a batch.
        seeds: how many times all of it is done.
    """

    data: str
    recipes: Mapping[str, Recipe]
    deployed: str = "recipe"
    epochs: int = 10
    batch: int = 64
    seeds: int = 1


PIXELS = "recipe, 8-bit pixels"


def _by_recipe(*sizes: int, pixels: bool = False) -> Recipe:
    return Recipe(partial(by_recipe, sizes, pixels), rate=3e-3, cosine=True)


_BLOG, _WIDE, _WIDER = (784, 120, 10), (784, 512, 10), (784, 1024, 10)

EXPERIMENTS: Mapping[str, Experiment] = {
    "mnist-120": Experiment(
        "mnist",
        {
            FLOAT: Recipe(partial(dense, _BLOG)),
            "drop-in": Recipe(partial(dropped_in, _BLOG), average=0.8),
            "recipe": _by_recipe(*_BLOG),
            PIXELS: _by_recipe(*_BLOG, pixels=True),
        },
        seeds=3,
    ),
    "mnist-512": Experiment("mnist", {FLOAT: Recipe(partial(dense, _WIDE)), "recipe": _by_recipe(*_WIDE)}, batch=128),
    "mnist-1024": Experiment(
        "mnist", {FLOAT: Recipe(partial(dense, _WIDER)), "recipe": _by_recipe(*_WIDER)}, batch=128
    ),
    "mnist-cnn": Experiment(
        "mnist",
        {FLOAT: Recipe(convolutional), "binary": Recipe(binary_convolutional, rate=3e-3, cosine=True)},
        deployed="binary",
        epochs=5,
    ),
    "fashion-120": Experiment(
        "fashion",
        {
            FLOAT: Recipe(partial(dense, _BLOG)),
            "recipe": _by_recipe(*_BLOG),
            PIXELS: _by_recipe(*_BLOG, pixels=True),
        },
        deployed=PIXELS,
    ),
    "fashion-512": Experiment(
        "fashion",
        {FLOAT: Recipe(partial(dense, _WIDE)), PIXELS: _by_recipe(*_WIDE, pixels=True)},
        deployed=PIXELS,
        batch=128,
    ),
    "digits-128": Experiment(
        "digits",
        {
            FLOAT: Recipe(partial(dense, (64, 128, 10))),
            PIXELS: Recipe(partial(by_recipe, (64, 128, 10), pixels=True), rate=1e-2, cosine=True),
        },
        deployed=PIXELS,
        epochs=30,
        batch=32,
    ),
}
