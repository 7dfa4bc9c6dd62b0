"""Whole layers by each kernel that can compute them: against the loop that everyone writes first, and onnxruntime.

All that computes a layer is measured in the same rounds: each kernel in each build, the loop over popcounts among them,
and the layer in onnxruntime (`benchmarks.layers`), from which the time of an empty call is taken off. The loop that
others are compared with is that of the build in which it is fastest. Turns are short and taken while the core runs
nothing else (`benchmarks.cores`). Inputs and weights are random bits, half of them 1; time is that of the thread. Sizes
are constants, as in generated code.
"""

from __future__ import annotations

import ctypes
import platform
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks import cores, timing
from benchmarks.cores import Timed, Watch
from benchmarks.layers import Layer, call_of_onnxruntime, in_onnxruntime, picked
from bnncompiler.lower.planes import tables_of
from bnncompiler.plane_calls import plane_digits

KERNELS = Path(__file__).parents[1] / "backends" / "kernels"
SOURCE = Path(__file__).with_name("kernels.c")
LOOP = "popcount loop"
BITS = (LOOP, "dense_threshold", "dense_tiled_threshold", "dense_sliced_threshold")
INTEGERS = ("dense_integer", "dense_columns")
MAP = (LOOP, "dense_tiled_threshold", "convolve_nibbles", "convolve_row_sliced", "sum_nibbles", "convolve_planes")
SIZES = ((120, 10), (288, 64), (576, 64), (784, 120), (1152, 128), (2304, 256), (1024, 1024))  # inputs, outputs
MAPS = ((56, 64), (28, 128), (14, 256), (7, 512), (16, 64), (16, 128), (8, 256), (56, 32))  # pixels, channels
FIRST = ((9, 32), (27, 64), (147, 64), (784, 120))
LAYERS = (
    *(Layer(0, n, outs) for n, outs in SIZES),
    *(Layer(columns, channels, channels) for columns, channels in MAPS),
    *(Layer(0, n, outs, bits=False) for n, outs in FIRST),
)
ROUNDS = 25
SECONDS = 0.001  # of a kernel in a round
PATIENCE = 20.0  # seconds for which the runs of a layer may be waited for, or repeated


@dataclass(frozen=True)
class Build:
    """How kernels are compiled.

    Attributes:
        name: what the page calls it.
        target: of backend c99, whose kernels are those that the compiler takes.
        flags: of the C compiler.
    """

    name: str
    target: str
    flags: tuple[str, ...]

    @property
    def runs_here(self) -> bool:
        """Whether this machine has all instructions that it uses."""
        machine = (f for f in self.flags if f.startswith("-m"))
        return _macros(*machine) - _macros() <= _macros("-march=native")


# Words of 64 bits and nothing else: no vectors of GNU C, none that the C compiler makes of loops, no popcount.
SCALAR = Build("u64", "host", ("-O2", "-DBNN_SLICE_WORDS=1", "-U__SSE2__", "-U__ARM_NEON", "-fno-tree-vectorize"))
PLAIN = Build("-O2", "host", ("-O2",))
POPCNT = Build("-mpopcnt", "host", ("-O2", "-mpopcnt"))
AVX2 = Build("x86-64-v3", "x86-64-v3", ("-O3", "-march=x86-64-v3"))
AVX512 = Build("x86-64-v4", "x86-64-v4", ("-O3", "-march=x86-64-v4"))
BUILDS = (SCALAR, PLAIN, POPCNT, AVX2, AVX512) if platform.machine() == "x86_64" else (SCALAR, PLAIN)


class Candidate(NamedTuple):
    """What computes a layer: a kernel in a build, or onnxruntime, which has none."""

    build: str
    kernel: str


ONNXRUNTIME, CALL = Candidate("", "onnxruntime"), Candidate("", "call of onnxruntime")


def run() -> Iterator[dict[str, object]]:
    """The records of all layers."""
    builds = [b for b in BUILDS if b.runs_here]
    core = cores.here()
    if core is not None:
        print(f"kernels are measured on a core of {core.adders} adders", file=sys.stderr)
    for layer in LAYERS:
        yield from measure(layer, builds, Watch(core, PATIENCE))


def measure(layer: Layer, builds: Sequence[Build], watch: Watch) -> Iterator[dict[str, object]]:
    """The records of a layer, one for each kernel in each of ``builds``, and one for onnxruntime."""
    with _candidates(layer, builds) as candidates:
        taken = timing.rounds({c: watch.over(m) for c, m in candidates.items()}, ROUNDS, SECONDS)
    first = _kernels(layer)[0]
    peers = {"first": min((runs for c, runs in taken.items() if c.kernel == first), key=_median)}
    if layer.bits:
        peers["onnxruntime"] = cores.without(taken[ONNXRUNTIME], taken[CALL])
        yield {**_figures(layer, ONNXRUNTIME, peers["onnxruntime"], {}), "call_us": timing.spread(_us(taken[CALL]))}
    for build in builds:
        choice = picked(layer, build.target) if layer.bits else None
        for kernel in _kernels(layer):
            candidate = Candidate(build.name, kernel)
            figures = _figures(layer, candidate, taken[candidate], peers)
            yield {**figures, "flags": " ".join(build.flags), "picked": kernel == choice}


def _figures(
    layer: Layer, candidate: Candidate, runs: Sequence[Timed], peers: Mapping[str, Sequence[Timed]]
) -> dict[str, object]:
    """What a candidate's ``runs`` say, and how many times faster they are than those of each peer."""
    sizes = {"macs": layer.macs, "weights": layer.taps * layer.outs, "channels": layer.n if layer.columns else 0}
    times = {"us": timing.spread(_us(runs))}
    by_cycle = [layer.macs / run.cycles for (run,) in cores.undisturbed(runs) if run.cycles is not None]
    if by_cycle:
        times["macs_per_cycle"] = timing.spread(by_cycle)
    for peer, theirs in peers.items():
        both = cores.undisturbed(runs, theirs)
        times[f"times_{peer}"] = timing.spread([b.seconds / a.seconds for a, b in both])
    turns = {"turns": len(runs), "alone": sum(run.alone for run in runs)}
    return {"layer": str(layer), "kind": layer.kind, **sizes, **candidate._asdict(), **times, **turns}


def _us(runs: Sequence[Timed]) -> list[float]:
    return [1e6 * run.seconds for (run,) in cores.undisturbed(runs)]


def _median(runs: Sequence[Timed]) -> float:
    return float(np.median(_us(runs)))


def _kernels(layer: Layer) -> tuple[str, ...]:
    return MAP if layer.columns else BITS if layer.bits else INTEGERS


@contextmanager
def _candidates(layer: Layer, builds: Iterable[Build]) -> Iterator[Mapping[Candidate, timing.Measure]]:
    """All that computes the layer, in the order in which it is measured; kernels' tables live as long as this."""
    candidates: dict[Candidate, timing.Measure] = {}
    if layer.bits:
        candidates = {ONNXRUNTIME: in_onnxruntime(layer), CALL: call_of_onnxruntime()}
    every = MAP if layer.columns else BITS + INTEGERS  # as they are numbered in kernels.c
    tables = _tables(layer)
    with tempfile.TemporaryDirectory() as folder:
        for build in builds:
            library = _library(Path(folder) / f"{build.name}.so", layer, build.flags)
            library.use_tables(*(t.ctypes.data_as(ctypes.c_void_p) for t in tables))
            for kernel in _kernels(layer):
                candidates[Candidate(build.name, kernel)] = partial(library.measure, every.index(kernel))
        yield candidates


def _tables(layer: Layer) -> tuple[np.ndarray, np.ndarray]:
    """What the kernel on planes reads, for random weights; nothing for a dense layer."""
    if layer.planes is None:
        return np.zeros(0, np.uint16), np.zeros(0, np.uint16)
    rng = np.random.default_rng(0)
    at = rng.integers(-9, 10, (1, layer.outs, 1))
    taps, codes = tables_of(rng.random((layer.outs, layer.taps)) < 0.5, at, layer.planes, 64)
    return taps.astype(np.uint16), codes.astype(np.uint16)


def _library(path: Path, layer: Layer, flags: tuple[str, ...]) -> ctypes.CDLL:
    sizes = {
        "COLUMNS": layer.columns,
        "N": layer.n,
        "BITS": int(layer.bits),
        "OUTS": layer.outs,
        "DIGITS": plane_digits(layer.taps),
        "BAND": 0 if layer.planes is None else layer.planes.band,
    }
    options = [*flags, *(f"-DLAYER_{k}={v}u" for k, v in sizes.items()), f"-I{KERNELS}", f"-I{KERNELS / 'c99'}"]
    subprocess.run(["gcc", *options, "-w", "-shared", "-fPIC", str(SOURCE), "-o", str(path)], check=True)
    library = ctypes.CDLL(str(path))
    library.measure.restype = ctypes.c_double
    return library


@cache
def _macros(*flags: str) -> frozenset[str]:
    """The macros that the C compiler defines with these flags."""
    command = ["gcc", "-O2", *flags, "-dM", "-E", "-x", "c", "/dev/null"]
    lines = subprocess.run(command, capture_output=True, text=True, check=True).stdout.splitlines()
    return frozenset(line.split()[1] for line in lines)
