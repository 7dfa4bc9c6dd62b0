"""Dense kernels alone, against the popcount loop that everyone writes first, with and without vector instructions."""

from __future__ import annotations

import ctypes
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from benchmarks import timing

KERNELS = Path(__file__).parents[1] / "backends" / "kernels"
SOURCE = Path(__file__).with_name("kernels.c")
BINARY = ("naive popcount loop", "dense_threshold", "dense_tiled_threshold", "dense_sliced_threshold")
INTEGER = ("dense_integer", "dense_columns")
SIZES = ((120, 10), (288, 64), (576, 64), (784, 120), (1152, 128), (2304, 256), (1024, 1024))
FIRST = ((9, 32), (27, 64), (147, 64), (784, 120))
FLAGS = {"-O2": (), "-O2 -mpopcnt": ("-mpopcnt",), "-O3 -march=native": ("-O3", "-march=native")}


def run() -> Iterator[dict[str, object]]:
    """A record for each set of flags, size and kernel: multiplications a nanosecond, and their ratio to the first's."""
    for name, flags in FLAGS.items():
        with tempfile.TemporaryDirectory() as folder:
            library = _library(Path(folder), flags)
            for kernels, first, sizes in ((BINARY, 0, SIZES), (INTEGER, len(BINARY), FIRST)):
                for n, outs in sizes:
                    yield from _one(library, name, kernels, first, n, outs)


def _one(
    library: ctypes.CDLL, flags: str, kernels: tuple[str, ...], first: int, n: int, outs: int
) -> Iterator[dict[str, object]]:
    candidates = {k: partial(library.measure, first + i, n, outs) for i, k in enumerate(kernels)}
    taken = timing.rounds(candidates, count=7)
    for kernel in kernels:
        ratios = [a / b for a, b in zip(taken[kernels[0]], taken[kernel], strict=True)]
        speed = [n * outs / t * 1e-9 for t in taken[kernel]]
        yield {
            "flags": flags,
            "kernel": kernel,
            "ins": n,
            "outs": outs,
            "macs_per_ns": timing.spread(speed),
            "ratio": timing.spread(ratios),
        }


def _library(folder: Path, flags: tuple[str, ...]) -> ctypes.CDLL:
    include = [f"-I{KERNELS}", f"-I{KERNELS / 'c99'}"]
    command = ["gcc", "-O2", *flags, "-w", "-shared", "-fPIC", *include, str(SOURCE), "-o", str(folder / "kernels.so")]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(folder / "kernels.so"))
    library.measure.restype = ctypes.c_double
    return library
