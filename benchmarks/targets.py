"""One network on every machine: the example's MNIST network, with what its simulator counts."""

from __future__ import annotations

from collections.abc import Iterator

import bnncompiler
from benchmarks.networks import ROOT
from bnncompiler import backends
from bnncompiler.errors import CompileError

MODEL = ROOT / "examples/mnist_mlp/mnist_mlp.onnx"
SAMPLES = ROOT / "examples/mnist_mlp/test_images.npz"
GRID = {"input": "uint8", "scale": "1/255", "mean": "0.1307", "std": "0.3081"}
COUNT = 64  # samples that are run


def run() -> Iterator[dict[str, object]]:
    """A record for each machine that measures, by its first target: what does not fit or lacks a tool says so."""
    seen = set()
    for name in backends.available():
        backend = backends.find(name)
        for target in backend.targets():
            machine = backend.machine(backend.target(target))
            if not machine.measures or machine.name in seen:
                continue
            seen.add(machine.name)
            record: dict[str, object] = {"backend": name, "target": target}
            try:
                compilation = bnncompiler.compile(MODEL, backend=name, target=target, **GRID)  # type: ignore[arg-type]
                measured = bnncompiler.verify(compilation, SAMPLES, samples=COUNT).measured
            except CompileError as error:
                yield {**record, "missing": str(error)}
                continue
            assert measured is not None
            yield {
                **record,
                "unit": measured.unit,
                "typical": measured.typical,
                "most": max(measured.counts),
                "hertz": measured.hertz,
                "flash_bytes": measured.flash_bytes,
                "ram_bytes": measured.ram_bytes,
                "stack_bytes": measured.stack_bytes,
            }
