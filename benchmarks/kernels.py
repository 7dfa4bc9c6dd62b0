"""Kernels alone, against the popcount loop that everyone writes first, with and without vector instructions.

Inputs and weights are random bits, half of them 1, and time is that of the thread. Rows of 3x3 convolutions are
compared with that loop on the patch of each pixel; a kernel that computes the whole map has a row's share of its time.
Where the machine is known, its cycles are counted by additions that wait for each other, in the same rounds.
"""

from __future__ import annotations

import ctypes
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks import timing
from bnncompiler.costs import Span
from bnncompiler.lower.planes import tables_of
from bnncompiler.plane_calls import Planes, plane_digits
from bnncompiler.window import Window

KERNELS = Path(__file__).parents[1] / "backends" / "kernels"
SOURCE = Path(__file__).with_name("kernels.c")
BINARY = ("naive popcount loop", "dense_threshold", "dense_tiled_threshold", "dense_sliced_threshold")
INTEGER = ("dense_integer", "dense_columns")
SIZES = ((120, 10), (288, 64), (576, 64), (784, 120), (1152, 128), (2304, 256), (1024, 1024))
FIRST = ((9, 32), (27, 64), (147, 64), (784, 120))
ROWS = (
    "naive popcount loop",
    "gather_bits, dense_tiled_threshold",
    "convolve_nibbles",
    "convolve_row_sliced",
    "sum_nibbles",
)
WHOLE = "convolve_planes"
MAPS = (
    (56, 64, 64),
    (28, 128, 128),
    (14, 256, 256),
    (7, 512, 512),
    (16, 64, 64),
    (56, 32, 32),
)  # columns, channels, outputs
FLAGS = {"-O2": (), "-O2 -mpopcnt": ("-mpopcnt",), "-O3 -march=native": ("-O3", "-march=native")}


def run() -> Iterator[dict[str, object]]:
    """A record for each set of flags, layer and kernel: multiplications a nanosecond, and the ratio to the first's."""
    for name, flags in FLAGS.items():
        with tempfile.TemporaryDirectory() as folder:
            library = _library(Path(folder), flags)
            for kernels, first, sizes in ((BINARY, 0, SIZES), (INTEGER, len(BINARY), FIRST)):
                for n, outs in sizes:
                    for record in _one(library, kernels, first, (0, n, outs), n * outs):
                        yield {"flags": name, "layer": f"{n} to {outs}", **record}
            for columns, channels, outs in MAPS:
                layer = f"3x3, {columns} pixels, {channels} to {outs}"
                kept = _use_tables(library, columns, channels, outs)
                for record in _one(library, ROWS, 0, (columns, channels, outs), columns * channels * 9 * outs):
                    yield {"flags": name, "layer": layer, **record}
                del kept


def _one(
    library: ctypes.CDLL, kernels: tuple[str, ...], first: int, layer: tuple[int, int, int], macs: int
) -> Iterator[dict[str, object]]:
    candidates = {k: partial(library.measure, first + i, *layer) for i, k in enumerate(kernels)}
    shares = {}
    if kernels == ROWS:  # what a row takes of a map
        candidates[WHOLE] = partial(library.measure, -1, *layer)
        shares[WHOLE] = layer[0]
    clock = {"clock": partial(library.measure, 0, -1, 0, 0)} if platform.machine() == "x86_64" else {}
    taken = timing.rounds(candidates | clock, count=7)
    taken |= {k: [t / share for t in taken[k]] for k, share in shares.items()}
    for kernel in candidates:
        ratios = [a / b for a, b in zip(taken[kernels[0]], taken[kernel], strict=True)]
        record = {"kernel": kernel, "macs_per_ns": timing.spread([macs / t * 1e-9 for t in taken[kernel]])}
        if clock:
            by_cycle = [macs / t * c / 1000 for t, c in zip(taken[kernel], taken["clock"], strict=True)]
            record["macs_per_cycle"] = timing.spread(by_cycle)
        yield {**record, "ratio": timing.spread(ratios)}


def _use_tables(library: ctypes.CDLL, size: int, channels: int, outs: int) -> tuple[np.ndarray, ...]:
    """Let the kernel on planes have tables of random weights; returns them, as they must stay where they are."""
    rng, taps = np.random.default_rng(0), 9 * channels
    planes = Planes.of(Span(channels, Window((3, 3), (1, 1), (1, 1), (1, 1)), size, size), size)
    assert planes is not None
    at = rng.integers(-9, 10, (1, outs, 1))
    tables = tuple(t.astype(np.uint16) for t in tables_of(rng.random((outs, taps)) < 0.5, at, planes, 64))
    pointers = (t.ctypes.data_as(ctypes.c_void_p) for t in tables)
    library.use_tables(*pointers, planes.band, plane_digits(taps))
    return tables


def _library(folder: Path, flags: tuple[str, ...]) -> ctypes.CDLL:
    include = [f"-I{KERNELS}", f"-I{KERNELS / 'c99'}"]
    command = ["gcc", "-O2", *flags, "-w", "-shared", "-fPIC", *include, str(SOURCE), "-o", str(folder / "kernels.so")]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(folder / "kernels.so"))
    library.measure.restype = ctypes.c_double
    return library
