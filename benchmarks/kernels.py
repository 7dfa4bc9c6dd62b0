"""Kernels alone, against the popcount loop that everyone writes first, with and without vector instructions.

Inputs and weights are random bits, half of them 1, and time is that of the thread. Rows of 3x3 convolutions are
compared with that loop on the patch of each pixel; a kernel that computes the whole map has a row's share of its time.
Sizes are constants, as in generated code. Where the machine is known, its cycles are counted by additions that wait for
each other, in the same rounds.
"""

from __future__ import annotations

import ctypes
import platform
import subprocess
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Layer:
    """A dense layer, or (``columns`` > 0) a 3x3 convolution of a square map that is padded by -1."""

    columns: int
    n: int
    outs: int

    @property
    def taps(self) -> int:
        """Inputs of an output."""
        return 9 * self.n if self.columns else self.n

    @property
    def macs(self) -> int:
        """Multiply-accumulates of the layer, or of a row of pixels."""
        return max(1, self.columns) * self.taps * self.outs

    @property
    def planes(self) -> Planes | None:
        """How planes lie; None for a dense layer."""
        window = Window((3, 3), (1, 1), (1, 1), (1, 1))
        return Planes.of(Span(self.n, window, self.columns, self.columns), self.columns) if self.columns else None

    def __str__(self) -> str:
        return f"{f'3x3, {self.columns} pixels, ' if self.columns else ''}{self.n} to {self.outs}"


def run() -> Iterator[dict[str, object]]:
    """A record for each set of flags, layer and kernel: multiplications a nanosecond, and the ratio to the first's."""
    binary, integer = ([Layer(0, *size) for size in sizes] for sizes in (SIZES, FIRST))
    rows = [Layer(*size) for size in MAPS]
    for name, flags in FLAGS.items():
        for kernels, first, layers in ((BINARY, 0, binary), (INTEGER, len(BINARY), integer), (ROWS, 0, rows)):
            for layer in layers:
                with tempfile.TemporaryDirectory() as folder:
                    library = _library(Path(folder), layer, flags)
                    kept = _use_tables(library, layer)
                    for record in _one(library, kernels, first, layer):
                        yield {"flags": name, "layer": str(layer), **record}
                    del kept


def _one(library: ctypes.CDLL, kernels: tuple[str, ...], first: int, layer: Layer) -> Iterator[dict[str, object]]:
    candidates = {k: partial(library.measure, first + i) for i, k in enumerate(kernels)}
    if layer.columns:
        candidates[WHOLE] = partial(library.measure, -1)
    clock = {"clock": partial(library.measure, -2)} if platform.machine() == "x86_64" else {}
    taken = timing.rounds(candidates | clock, count=7)
    if layer.columns:  # what a row takes of a map
        taken[WHOLE] = [t / layer.columns for t in taken[WHOLE]]
    for kernel in candidates:
        ratios = [a / b for a, b in zip(taken[kernels[0]], taken[kernel], strict=True)]
        record = {"kernel": kernel, "macs_per_ns": timing.spread([layer.macs / t * 1e-9 for t in taken[kernel]])}
        if clock:
            by_cycle = [layer.macs / t * c / 1000 for t, c in zip(taken[kernel], taken["clock"], strict=True)]
            record["macs_per_cycle"] = timing.spread(by_cycle)
        yield {**record, "ratio": timing.spread(ratios)}


def _use_tables(library: ctypes.CDLL, layer: Layer) -> tuple[np.ndarray, ...]:
    """Let the kernel on planes have tables of random weights; returns them, as they must stay where they are."""
    if layer.planes is None:
        return ()
    rng = np.random.default_rng(0)
    at = rng.integers(-9, 10, (1, layer.outs, 1))
    tables = tables_of(rng.random((layer.outs, layer.taps)) < 0.5, at, layer.planes, 64)
    kept = tuple(t.astype(np.uint16) for t in tables)
    library.use_tables(*(t.ctypes.data_as(ctypes.c_void_p) for t in kept))
    return kept


def _library(folder: Path, layer: Layer, flags: tuple[str, ...]) -> ctypes.CDLL:
    band = 0 if layer.planes is None else layer.planes.band
    sizes = {
        "COLUMNS": layer.columns,
        "N": layer.n,
        "OUTS": layer.outs,
        "DIGITS": plane_digits(layer.taps),
        "BAND": band,
    }
    options = [*flags, *(f"-DLAYER_{k}={v}u" for k, v in sizes.items()), f"-I{KERNELS}", f"-I{KERNELS / 'c99'}"]
    command = ["gcc", "-O2", *options, "-w", "-shared", "-fPIC", str(SOURCE), "-o", str(folder / "kernels.so")]
    subprocess.run(command, check=True)
    library = ctypes.CDLL(str(folder / "kernels.so"))
    library.measure.restype = ctypes.c_double
    return library
