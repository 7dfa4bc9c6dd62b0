"""Whole networks against onnxruntime on the same ONNX file: one thread, one sample at a time."""

from __future__ import annotations

import lzma
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import bnncompiler
from benchmarks import timing

ROOT = Path(__file__).parents[1]
CORPUS = ROOT.parent / "shared" / "corpus"


@dataclass(frozen=True)
class Network:
    """A model, samples for its input grid, and what Larq Compute Engine is known to reach.

    Attributes:
        larq: how many times faster than onnxruntime Larq Compute Engine (indirect BGEMM) is on this network; measured
            once on a Zen 4 core, not in these runs.
    """

    name: str
    model: Path
    samples: Path
    larq: float | None = None


NETWORKS = (
    Network(
        "MNIST 784-120-10", ROOT / "examples/mnist_mlp/mnist_mlp.onnx", ROOT / "examples/mnist_mlp/test_images.npz"
    ),
    Network(
        "larq MNIST CNN",
        ROOT / "tests/models/trained/cnn_larq_mnist.onnx.xz",
        ROOT / "tests/models/trained/cnn_larq_mnist.input.npz",
        1.11,
    ),
    Network(
        "larq CIFAR-10 CNN",
        CORPUS / "larq_doc/cifar10_cnn_full.onnx.xz",
        CORPUS / "larq_doc/cifar10_cnn_full.input.npz",
        1.74,
    ),
    *(
        Network(name, CORPUS / f"larq_zoo_full/{name}.onnx.xz", CORPUS / f"larq_zoo_full/{name}.input.npz", larq)
        for name, larq in (("QuickNetSmall", 1.86), ("BiRealNet", 1.53), ("BinaryDenseNet28", 1.72))
    ),
)


def run() -> Iterator[dict[str, object]]:
    """A record for each network that is there."""
    for network in NETWORKS:
        if not network.model.exists():
            continue
        data = network.model.read_bytes()
        model = lzma.decompress(data) if network.model.suffix == ".xz" else data
        start = time.perf_counter()
        compilation = bnncompiler.compile(model, name="net", calibrate=network.samples, target="native")
        compile_seconds = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as folder:
            ours = timing.c_program(compilation, Path(folder))
            taken = timing.rounds({"onnxruntime": timing.onnxruntime_session(model), "bnncompiler": ours})
        ratios = [a / b for a, b in zip(taken["onnxruntime"], taken["bnncompiler"], strict=True)]
        yield {
            "name": network.name,
            "onnxruntime_us": timing.spread([1e6 * t for t in taken["onnxruntime"]]),
            "bnncompiler_us": timing.spread([1e6 * t for t in taken["bnncompiler"]]),
            "ratio": timing.spread(ratios),
            "larq_ratio": network.larq,
            "tables_bytes": compilation.program.flash_bytes,
            "arena_bytes": compilation.program.arena_size,
            "compile_seconds": compile_seconds,
        }
