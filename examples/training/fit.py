"""Training: networks side by side on the same batches, so that their losses and their times compare.

They take turns every hundred batches. What a turn costs is measured in seconds of processor time on one thread, which
is the time on the clock where nothing else runs, and nearly the same where something does.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn, update_bn

from examples.training.datasets import Array, Dataset

CHOSEN_BY = 1 / 12  # of the training images, 5,000 of MNIST's, to choose recipes by
CURVES = 1 / 60  # what is set aside when all is chosen, for the curves of the run that counts
TURN = 100  # batches
AVERAGED = 50  # batches from one state that goes into the moving average to the next: between them little changes
EVALUATED = 1000  # images at a time


@dataclass(frozen=True)
class Recipe:
    """How a network is made and trained, with Adam on the cross entropy.

    Attributes:
        network: makes it, with random weights.
        rate: the learning rate.
        cosine: let it fall to 0 along a cosine, turn by turn; otherwise it stays.
        average: keep a moving average of the weights, with this decay every 50 batches, and use that in the end.
    """

    network: Callable[[], nn.Module]
    rate: float = 1e-3
    cosine: bool = False
    average: float | None = None


@dataclass
class Curves:
    """What happened, epoch by epoch: losses, accuracy in percent, and seconds of processor time spent on training."""

    train_loss: list[float] = field(default_factory=list)
    validation_loss: list[float] = field(default_factory=list)
    validation_accuracy: list[float] = field(default_factory=list)
    seconds: list[float] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class Trained:
    """A trained network. ``averaged`` is its moving average, where the recipe asks for one."""

    network: nn.Module
    curves: Curves
    averaged: nn.Module | None = None


@dataclass(frozen=True, eq=False)
class Images:
    """Normalised images ``[N, 1, height, width]`` and their classes ``[N]``."""

    x: Tensor
    y: Tensor

    def batches(self, size: int, order: Tensor | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Batches in this order."""
        for chosen in torch.split(torch.arange(len(self.x)) if order is None else order, size):
            yield self.x[chosen], self.y[chosen]


def images(data: Dataset, part: tuple[Array, Array]) -> Images:
    """A part of a data set as a network sees it."""
    x = torch.tensor(part[0], dtype=torch.float32).unsqueeze(1)
    return Images((x / data.largest - data.mean) / data.std, torch.tensor(part[1]))


def split(data: Dataset, share: float = CHOSEN_BY) -> tuple[Images, Images]:
    """The training images less a share of them, and these: always the same ones, a smaller share among a larger."""
    whole = images(data, data.train)
    order = torch.randperm(len(whole.x), generator=torch.Generator().manual_seed(0))
    held = round(len(order) * share)
    train, validation = order[held:], order[:held]
    return Images(whole.x[train], whole.y[train]), Images(whole.x[validation], whole.y[validation])


def fit(
    recipes: Mapping[str, Recipe],
    train: Images,
    validation: Images,
    *,
    epochs: int,
    batch: int = 64,
    seed: int = 0,
    progress: Callable[[str], object] | None = None,
) -> dict[str, Trained]:
    """Train a network by each of ``recipes``, all on the same batches; one thread."""
    torch.set_num_threads(1)
    turns = epochs * -(-len(train.x) // (TURN * batch))
    all_of = {name: _Training(recipe, turns, seed) for name, recipe in recipes.items()}
    shuffle = torch.Generator().manual_seed(seed)
    for epoch in range(1, epochs + 1):
        for turn in torch.split(torch.randperm(len(train.x), generator=shuffle), TURN * batch):
            for one in all_of.values():
                one.turn(train, turn, batch)
        for one in all_of.values():
            one.finish_epoch(validation)
        if progress is not None:
            told = (f"{name} {one.told()}" for name, one in all_of.items())
            progress(f"seed {seed}, epoch {epoch}: " + ", ".join(told))
    return {name: Trained(one.network, one.curves, one.average(train)) for name, one in all_of.items()}


class _Training:
    """One network on its way."""

    def __init__(self, recipe: Recipe, turns: int, seed: int) -> None:
        torch.manual_seed(seed)
        self.network = recipe.network().train()
        self.optimizer = torch.optim.Adam(self.network.parameters(), recipe.rate)
        cosine = partial(torch.optim.lr_scheduler.CosineAnnealingLR, T_max=turns)
        self.schedule = cosine(self.optimizer) if recipe.cosine else None
        self.averaged: AveragedModel | None = None
        if recipe.average is not None:
            self.averaged = AveragedModel(self.network, multi_avg_fn=get_ema_multi_avg_fn(recipe.average))  # type: ignore[no-untyped-call]
        self.curves = Curves()
        self.batches = 0
        self.loss, self.seconds = [0.0, 0], 0.0

    def turn(self, train: Images, order: Tensor, batch: int) -> None:
        """Train on some batches."""
        start = time.process_time()
        for x, y in train.batches(batch, order):
            self.optimizer.zero_grad()
            loss = F.cross_entropy(self.network(x), y)
            loss.backward()  # type: ignore[no-untyped-call]
            self.optimizer.step()
            self.loss = [self.loss[0] + loss.item() * len(y), self.loss[1] + len(y)]
            self.batches += 1
            if self.averaged is not None and self.batches % AVERAGED == 0:
                self.averaged.update_parameters(self.network)
        if self.schedule is not None:
            self.schedule.step()
        self.seconds += time.process_time() - start

    def finish_epoch(self, validation: Images) -> None:
        """Write down how the epoch went."""
        loss, accuracy = evaluate(self.network, validation)
        self.curves.train_loss.append(self.loss[0] / self.loss[1])
        self.curves.validation_loss.append(loss)
        self.curves.validation_accuracy.append(accuracy)
        self.curves.seconds.append(self.seconds)
        self.loss, self.seconds = [0.0, 0], 0.0

    def told(self) -> str:
        """How the last epoch went, in a few words."""
        return f"{self.curves.validation_accuracy[-1]:.2f} % ({self.curves.seconds[-1]:.1f} s)"

    def average(self, train: Images) -> nn.Module | None:
        """The moving average of the weights, with the statistics of its own signs, which are others than before."""
        if self.averaged is None:
            return None
        update_bn((x for x, _ in train.batches(EVALUATED)), self.averaged)
        return self.averaged.module.eval()


@torch.no_grad()
def evaluate(network: nn.Module, data: Images) -> tuple[float, float]:
    """The mean cross entropy, and the accuracy in percent."""
    training = network.training
    network.eval()
    loss, right = 0.0, 0
    for x, y in data.batches(EVALUATED):
        logits = network(x)
        loss += float(F.cross_entropy(logits, y, reduction="sum"))
        right += int((logits.argmax(1) == y).sum())
    network.train(training)
    return loss / len(data.y), 100 * right / len(data.y)
