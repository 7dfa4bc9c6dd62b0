"""Every exported model compiles and verifies, or is refused for the reason that is written down for it."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnncompiler
from bnncompiler import data, oracle, precision, widths
from bnncompiler.frontend import Imported
from tests import corpus_refused
from tests.corpus import CORPUS, SELECTION, TRAINED, Exported, corpus, full_size, selection, tied

pytestmark = pytest.mark.usefixtures("cc")
needs_corpus = pytest.mark.skipif(not CORPUS.exists(), reason="no corpus beside the repository")

# What the program computes from one sample is not what was stored for a batch of six: an If on the batch's size.
BATCH_DECIDES = ("scripted_if.ts", "scripted_if.ts.onnxopt", "scripted_if.ts.onnxsim", "scripted_if.ts.ortall")


def parameters(models: Iterable[Exported]) -> list[Any]:
    return [pytest.param(m, id=m.name) for m in models] or [pytest.param(None, id="none")]


def check(model: Exported, folder: Path) -> None:
    """Compile and verify ``model``, or see it refused, as the list of the refused says."""
    path, samples, why_not = model.unpack(folder), model.samples, corpus_refused.reason(model.name)
    try:
        compilation = bnncompiler.compile(path, calibrate=samples)
    except bnncompiler.CompileError as error:
        if why_not is None:
            raise
        assert why_not in str(error)
        assert "\n" not in str(error)
        return
    assert why_not is None, f"{model.name} compiles now: remove it from tests/corpus_refused.py"
    check_reference(compilation.imported, model)
    verification = bnncompiler.verify(compilation, samples)
    verification.raise_if_failed()
    assert verification.accuracy == verification.accuracy_reference


def check_reference(imported: Imported, model: Exported) -> None:
    """The model that onnxruntime runs computes what the exported one did: custom operators mean what they should."""
    if model.samples is None or model.expected is None or model.name.endswith(BATCH_DECIDES):
        return
    session = oracle.session(imported.model)
    with np.load(model.samples) as given, np.load(model.expected) as expected:
        feeds = {i.name: given[i.name] for i in session.get_inputs()}
        step = imported.batch or len(next(iter(feeds.values())))
        for name in expected.files:
            for start in range(0, len(expected[name]), step):
                (computed,) = session.run([name], {k: v[start : start + step] for k, v in feeds.items()})
                wanted = expected[name][start : start + step]
                np.testing.assert_allclose(computed, wanted, rtol=1e-4, atol=1e-4, err_msg=name)


@pytest.mark.parametrize("model", parameters(selection()))
def test_selection(model: Exported, tmp_path: Path) -> None:
    check(model, tmp_path)


@needs_corpus
@pytest.mark.parametrize("model", parameters(corpus()))
def test_corpus(model: Exported, tmp_path: Path) -> None:
    check(model, tmp_path)


@needs_corpus
@pytest.mark.slow
@pytest.mark.parametrize("model", parameters(full_size()))
def test_full_size(model: Exported, tmp_path: Path) -> None:
    check(model, tmp_path)


@needs_corpus
@pytest.mark.slow
@pytest.mark.parametrize("stream_bits", [widths.PRECISE, widths.COMPACT])
def test_the_class_is_onnxruntimes(stream_bits: int, tmp_path: Path) -> None:
    """At either usual width of streams at least 99 % of the samples get the class that onnxruntime chooses.

    The interpreter stands for the C, which the other tests hold to it.
    """
    ties = tied()
    chosen = [m for m in corpus() if m.samples and m.name not in ties and corpus_refused.reason(m.name) is None]
    agree = total = 0
    for model in chosen:
        compilation = bnncompiler.compile(model.unpack(tmp_path), calibrate=model.samples, stream_bits=stream_bits)
        samples = data.load(str(model.samples), compilation.imported)
        same = precision.interpreted_classes(compilation, samples) == precision.expected_classes(compilation, samples)
        agree, total = agree + int(same.sum()), total + len(same)
    assert len(chosen) > 200
    assert agree >= 0.99 * total


@needs_corpus
def test_all_that_is_refused_is_there() -> None:
    refused = corpus_refused.names()
    assert len(refused) == len(set(refused))
    assert set(refused) <= {m.name for m in (*corpus(), *full_size())}


def test_the_selection_has_all_that_is_refused_for_good() -> None:
    """So that every clone sees each reason at least once."""
    chosen = {m.name for m in selection()}
    assert [why for why, models in corpus_refused.NEVER.items() if not chosen & set(models)] == []


def test_the_selection_is_small() -> None:
    assert sum(f.stat().st_size for f in SELECTION.rglob("*") if f.is_file()) < 5_000_000


TESTED = {
    "mlp120_bn_recipe": 96.4,
    "mlp120_bn_recipe_ts": 96.4,
    "mlp120_prelu_dropin": 94.9,
    "mlp120_unitinput_sign": 97.0,
    "mlp120_blog_sign0_TRAP": 85.2,
    "mlp512_bn": 97.3,
    "cnn_larq_mnist": 98.7,
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
