"""From a trained network to C, for every backend that is installed, verified on each one's own machine.

On the host or on the simulated chip, the C is compared with onnxruntime value by value, and what it takes is measured.
"""

from __future__ import annotations

import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import bnncompiler
from bnncompiler import backends, report
from bnncompiler.compiler import Compilation
from bnncompiler.errors import DoesNotFit, ToolError
from bnncompiler.verification import Verification

# By backend, the targets that are tried until one is large enough; otherwise the backend's default.
TARGETS: Mapping[str, tuple[str, ...]] = {"avr": ("atmega328p", "atmega1284p"), "cmsis": ("cortex-m4",)}
NAME = "network"  # what the model is called in C
ON_HOST, ON_SIMULATOR = 1000, 100  # test images that verification runs
TIMED = 64  # images


def deploy(folder: Path) -> list[dict[str, Any]]:
    """Compile and verify ``network.onnx`` of ``folder`` with its ``test.npz``, by every backend; the C is left there.

    Returns:
        A row for each backend and target that was tried; see `row`.

    Raises:
        CompileError: the network does not compile, or its C computes something else.
    """
    rows = []
    for backend in backends.available():
        for target in TARGETS.get(backend, (None,)):
            rows.append(row(folder, backend, target))
            if rows[-1]["fits"]:
                break
    return rows


def row(folder: Path, backend: str, target: str | None) -> dict[str, Any]:
    """What one backend makes of it: bytes of flash and RAM, microseconds an image, accuracy on those that were run.

    Where the target measures nothing, flash is that of the tables and RAM that of the arena. If it is too small for the
    network, that is all.
    """
    compilation = bnncompiler.compile(folder / "network.onnx", backend=backend, target=target, name=NAME)
    output = folder.resolve() / backend
    shutil.rmtree(output, ignore_errors=True)
    output.mkdir()
    for name, text in compilation.files.items():
        (output / name).write_text(text)
    facts = report.build(compilation).memory
    sizes = {"flash": facts.flash_bytes, "ram": facts.arena_bytes}
    limits = {"flash": compilation.target.flash, "ram": compilation.target.ram}
    found: dict[str, Any] = {
        "backend": backend,
        "target": compilation.target.name,
        **sizes,
        "fits": all(limit is None or sizes[what] <= limit for what, limit in limits.items()),
    }
    if not found["fits"]:
        return found
    try:
        verification = _verified(compilation, folder)
    except DoesNotFit:  # tables and arena do, but not with code, input, outputs and stack
        return {**found, "fits": False}
    memory = report.build(compilation, verification).memory
    return {
        **found,
        "flash": memory.linked_bytes or facts.flash_bytes,
        "ram": memory.ram_bytes or facts.arena_bytes,
        "microseconds": _microseconds(verification, output, folder / "test.npz"),
        "instructions": verification.instructions,
        "images": verification.given,
        "accuracy": 100 * (verification.accuracy or 0),
        "bits_compared": verification.bits_compared,
        "bits_differing": verification.bits_differing,
    }


def _verified(compilation: Compilation, folder: Path) -> Verification:
    simulated = compilation.backend.machine(compilation.target).name != "host"
    images = ON_SIMULATOR if simulated else ON_HOST
    verification = bnncompiler.verify(compilation, folder / "test.npz", samples=images)
    verification.raise_if_failed()
    return verification


def _microseconds(verification: Verification, output: Path, data: Path) -> float | None:
    """By the simulator's cycles and its clock, or by the host's own clock."""
    measured = verification.measured
    if measured is not None:
        return None if measured.hertz is None else measured.typical / measured.hertz * 1e6
    return on_host(output, data) / 1e3 if verification.ran_on == "host" else None


def on_host(output: Path, data: Path) -> float:
    """Nanoseconds that an image takes here, with the C of ``output`` and images of ``data``."""
    compiler = next((c for c in ("cc", "gcc", "clang") if shutil.which(c)), None)
    if compiler is None:
        raise ToolError("no C compiler: install gcc or clang")
    with tempfile.TemporaryDirectory() as name, np.load(data) as arrays:
        folder = Path(name)
        images = np.moveaxis(arrays["input"][:TIMED], 1, -1)  # channels last, as the C takes them
        (folder / "images.bin").write_bytes(np.ascontiguousarray(images).tobytes())
        sources = [str(Path(__file__).with_name("timing.c")), str(output / f"{NAME}.c")]
        command = [compiler, "-O2", f"-I{output}", *sources, "-o", "timing"]
        subprocess.run(command, cwd=folder, check=True)
        timed = subprocess.run(["./timing", "images.bin"], cwd=folder, check=True, capture_output=True, text=True)
    return float(timed.stdout)
