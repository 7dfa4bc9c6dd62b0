"""Whole networks against other engines, one thread, one sample at a time.

onnxruntime runs the same ONNX file. TensorFlow Lite and Larq Compute Engine, where they are installed
(`benchmarks.peers`), run the same network as Keras has it: all in one run, turn by turn.
"""

from __future__ import annotations

import lzma
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import bnncompiler
from benchmarks import peers, timing

ROOT = Path(__file__).parents[1]
CORPUS = ROOT.parent / "shared" / "corpus"


PIXELS = {"input": "uint8", "scale": "1/127.5", "offset": -1}  # of an image, as Larq's zoo is trained on them


@dataclass(frozen=True)
class Network:
    """A model, samples for its ranges and its input grid, and what it is called in the other engines.

    Attributes:
        input: what its input is, where the samples do not tell.
        peer: the network's name in `benchmarks.peer`, None where it has none.
        larq: how many times faster than onnxruntime Larq Compute Engine (indirect BGEMM) is on this network, as
            measured once on a Zen 4 core: what stands where it is not installed.
    """

    name: str
    model: Path
    samples: Path | None
    input: Mapping[str, Any] = field(default_factory=dict)
    peer: str | None = None
    larq: float | None = None

    def onnx(self) -> bytes:
        """The model, which may be compressed."""
        data = self.model.read_bytes()
        return lzma.decompress(data) if self.model.suffix == ".xz" else data


NETWORKS = (
    Network(
        "MNIST 784-120-10", ROOT / "examples/mnist_mlp/mnist_mlp.onnx", ROOT / "examples/mnist_mlp/test_images.npz"
    ),
    Network(
        "larq MNIST CNN",
        ROOT / "tests/models/trained/cnn_larq_mnist.onnx.xz",
        ROOT / "tests/models/trained/cnn_larq_mnist.input.npz",
        peer="mnist",
        larq=1.11,
    ),
    Network(
        "larq CIFAR-10 CNN",
        CORPUS / "larq_doc/cifar10_cnn_full.onnx.xz",
        CORPUS / "larq_doc/cifar10_cnn_full.input.npz",
        peer="cifar10",
        larq=1.74,
    ),
    *(
        Network(
            name,
            CORPUS / f"larq_zoo_full/{name}.onnx.xz",
            CORPUS / f"larq_zoo_full/{name}.input.npz",
            PIXELS,
            peer=name,
            larq=larq,
        )
        for name, larq in (("QuickNetSmall", 1.86), ("BiRealNet", 1.53), ("BinaryDenseNet28", 1.72))
    ),
)


def run() -> Iterator[dict[str, object]]:
    """A record for each network that is there."""
    for network in NETWORKS:
        if not network.model.exists():
            continue
        model = network.onnx()
        start = time.perf_counter()
        options = {"name": "net", "target": "native", **network.input}
        compilation = bnncompiler.compile(model, calibrate=network.samples, **options)
        compile_seconds = time.perf_counter() - start
        with tempfile.TemporaryDirectory() as folder:
            ours = timing.c_program(compilation, Path(folder))
            candidates = {"onnxruntime": timing.onnxruntime_session(model), "bnncompiler": ours}
            with peers.measures(network.peer) as others:
                taken = timing.rounds({**candidates, **others})
        yield {
            "name": network.name,
            **{f"{engine}_us": timing.spread([1e6 * t for t in times]) for engine, times in taken.items()},
            "ratio": _times_faster(taken["bnncompiler"], taken["onnxruntime"]),
            **{f"{peer}_ratio": _times_faster(taken["bnncompiler"], taken[peer]) for peer in others},
            "larq_known": network.larq,
            "tables_bytes": compilation.program.flash_bytes,
            "arena_bytes": compilation.program.arena_size,
            "compile_seconds": compile_seconds,
        }


def _times_faster(ours: Sequence[float], theirs: Sequence[float]) -> timing.Spread:
    return timing.spread([b / a for a, b in zip(ours, theirs, strict=True)])
