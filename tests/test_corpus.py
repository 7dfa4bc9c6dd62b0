"""Every exported model compiles and verifies, or is refused for the reason that is written down for it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnncompiler
from tests.corpus import CORPUS, TRAINED, Exported, corpus, selection
from tests.corpus_refused import reason

pytestmark = pytest.mark.usefixtures("cc")


def parameters(models: Iterable[Exported]) -> list[Any]:
    return [pytest.param(m, id=m.name) for m in models]


def check(model: Exported, folder: Path) -> None:
    path = model.unpack(folder)
    why_not = reason(model.name)
    if why_not is None:
        compilation = bnncompiler.compile(path, calibrate=model.samples)
        bnncompiler.verify(compilation, model.samples).raise_if_failed()
        return
    with pytest.raises(bnncompiler.CompileError) as error:
        compilation = bnncompiler.compile(path, calibrate=model.samples)
        bnncompiler.verify(compilation, model.samples)
    assert why_not in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("model", parameters(selection()))
def test_selection(model: Exported, tmp_path: Path) -> None:
    check(model, tmp_path)


@pytest.mark.skipif(not CORPUS.exists(), reason="no corpus beside the repository")
@pytest.mark.parametrize("model", parameters(corpus()) or [pytest.param(None, id="none")])
def test_corpus(model: Exported, tmp_path: Path) -> None:
    check(model, tmp_path)


TESTED = {
    "mlp120_bn_recipe": 96.4,
    "mlp120_bn_recipe_ts": 96.4,
    "mlp120_prelu_dropin": 94.9,
    "mlp120_unitinput_sign": 97.0,
    "mlp120_blog_sign0_TRAP": 85.2,
    "mlp512_bn": 97.3,
}


@pytest.mark.skipif(not TRAINED.exists(), reason="no trained networks beside the repository")
@pytest.mark.parametrize("name", TESTED)
def test_trained_network_keeps_its_accuracy(name: str) -> None:
    data = TRAINED / f"{name}.test.npz"
    compilation = bnncompiler.compile(TRAINED / f"{name}.onnx", calibrate=data)
    verification = bnncompiler.verify(compilation, data)
    verification.raise_if_failed()
    assert verification.accuracy == pytest.approx(TESTED[name] / 100, abs=1e-9)


@pytest.mark.skipif(not TRAINED.exists(), reason="no trained networks beside the repository")
def test_trained_qonnx_network_keeps_its_accuracy() -> None:
    with np.load(TRAINED / "mnist_test1000.npz") as mnist:
        data = {"0": mnist["images"].reshape(-1, 1, 28, 28), "labels": mnist["labels"]}
    with np.load(TRAINED / "external" / "TFC_1W1A_ref1000.npz") as reference:
        expected = float((reference["logits"].argmax(axis=1) == data["labels"]).mean())
    compilation = bnncompiler.compile(TRAINED / "external" / "TFC_1W1A.onnx", input="uint8", scale="1/255")
    verification = bnncompiler.verify(compilation, data)
    verification.raise_if_failed()
    assert verification.accuracy == pytest.approx(expected, abs=1e-9)


@pytest.mark.skipif(not TRAINED.exists(), reason="no trained networks beside the repository")
def test_network_with_real_valued_inputs_keeps_its_accuracy() -> None:
    with np.load(TRAINED / "digits_test450.npz") as digits:
        data = {"input": (digits["images"] / 8 - 1).astype(np.float32), "labels": digits["labels"]}
    compilation = bnncompiler.compile(TRAINED / "digits_mlp512_realin.onnx", calibrate=data)
    verification = bnncompiler.verify(compilation, data)
    verification.raise_if_failed()
    assert verification.accuracy == pytest.approx(0.9644, abs=1e-4)
