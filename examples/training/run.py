"""Runs an experiment: trains, tests, draws, exports. What ``results/`` has came from here.

The test images are used here and nowhere else, once, on networks whose training is over.
"""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from bnncompiler import torch as binary
from examples.training import datasets
from examples.training.datasets import Dataset
from examples.training.experiments import EXPERIMENTS, FLOAT, Experiment
from examples.training.fit import CURVES, Trained, evaluate, fit, images, split

DIGITS = 4  # decimals that are written


def run(
    name: str, results: Path, build: Path, seeds: int | None = None, validation_share: float = CURVES
) -> dict[str, Any]:
    """Run the experiment ``name``.

    Args:
        name: of ``EXPERIMENTS``.
        results: where ``NAME.json`` and ``NAME.svg`` go.
        build: where the exported network and the test images go, in a folder called as the experiment.
        seeds: how many runs; by default as many as the experiment says.
        validation_share: of the training images, how many are set aside.

    Returns:
        What was written to ``NAME.json``.
    """
    from examples.training import plot

    experiment = EXPERIMENTS[name]
    data = datasets.load(experiment.data)
    train, validation = split(data, validation_share)
    tell = partial(print, flush=True)
    size = {"epochs": experiment.epochs, "batch": experiment.batch}
    runs = [
        fit(experiment.recipes, train, validation, **size, seed=seed, progress=tell)
        for seed in range(experiment.seeds if seeds is None else seeds)
    ]
    found = summary(name, experiment, data, runs)
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{name}.json").write_text(json.dumps(found, indent=1) + "\n")
    plot.curves(found, results / f"{name}.svg")
    export(runs[0][experiment.deployed], data, build / name)
    return found


def summary(name: str, experiment: Experiment, data: Dataset, runs: Sequence[Mapping[str, Trained]]) -> dict[str, Any]:
    """The results as plain data; test accuracies in percent, a number for each seed."""
    test = images(data, data.test)
    networks: dict[str, dict[str, Any]] = {}
    for which in experiment.recipes:
        trained = [run[which] for run in runs]
        one: dict[str, Any] = {"test_accuracy": [evaluate(t.network, test)[1] for t in trained]}
        if trained[0].averaged is not None:
            one["test_accuracy_averaged"] = [evaluate(t.averaged, test)[1] for t in trained if t.averaged is not None]
        if which != FLOAT:
            one["time_to_float"] = float(np.median(_ratios(runs, which)))
        one["parameters"] = sum(p.numel() for p in trained[0].network.parameters())
        one["curves"] = [vars(t.curves) for t in trained]
        networks[which] = one
    return {
        "experiment": name,
        "data": {"name": data.name, "train": len(data.train[0]), "test": len(data.test[0])},
        "epochs": experiment.epochs,
        "batch": experiment.batch,
        "seeds": len(runs),
        "made_with": {"torch": torch.__version__, "python": platform.python_version(), "threads": 1},
        "networks": _rounded(networks),
    }


def export(trained: Trained, data: Dataset, folder: Path) -> None:
    """Write ``network.onnx`` and ``test.npz``, the test images by input name with their labels."""
    folder.mkdir(parents=True, exist_ok=True)
    binary.export(
        trained.network,
        images(data, (data.test[0][:2], data.test[1][:2])).x,
        folder / "network.onnx",
        input="uint8",
        scale=f"1/{data.largest}",
        mean=data.mean,
        std=data.std,
    )
    np.savez_compressed(folder / "test.npz", input=data.test[0][:, None], labels=data.test[1])


def _ratios(runs: Sequence[Mapping[str, Trained]], which: str) -> list[float]:
    """The time of each epoch as a multiple of the float twin's, which was trained in turns with it."""
    pairs = ((run[which].curves.seconds, run[FLOAT].curves.seconds) for run in runs)
    return [own / twin for seconds, others in pairs for own, twin in zip(seconds, others, strict=True)]


def _rounded(value: Any) -> Any:
    match value:
        case float():
            return round(value, DIGITS)
        case dict():
            return {k: _rounded(v) for k, v in value.items()}
        case list():
            return [_rounded(v) for v in value]
    return value
