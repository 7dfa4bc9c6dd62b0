"""Timing C and onnxruntime fairly: one pinned thread, both in one process, turn by turn, medians of ratios.

A round measures every candidate once, for about `ROUND` seconds each, so that whatever slows the machine down slows
all of them. What is reported is the median of the rounds and, of ratios, the median of the ratios within rounds, with
the quartiles around it.
"""

from __future__ import annotations

import ctypes
import os
import platform
import subprocess
import time
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import SupportsFloat, TypeVar

import numpy as np
import onnxruntime

from bnncompiler import Compilation
from bnncompiler.machines import records
from bnncompiler.version import VERSION

ROUND = 0.1  # seconds of a candidate in a round
FLAGS = ("-std=c99", "-O3", "-march=native", "-shared", "-fPIC")

_MAIN = """
#define _POSIX_C_SOURCE 199309L
#include <string.h>
#include <time.h>
#include "{name}.c"
static uint64_t arena[({upper}_ARENA_SIZE + 7) / 8 + 1];
{ports}
static double seconds(void)
{{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}}
double measure(int times, const unsigned char *sample)
{{
    double begin;
{fill}
    begin = seconds();
    for (int i = 0; i < times; i++)
        {name}_run({arguments}, arena);
    return (seconds() - begin) / times;
}}
"""

Measure = Callable[[int], float]  # seconds of one run, from so many
Name = TypeVar("Name", bound=Hashable)
Took = TypeVar("Took", bound=SupportsFloat)  # seconds, and maybe more


@dataclass(frozen=True)
class Spread:
    """A median with its quartiles."""

    median: float
    lower: float
    upper: float


def spread(values: Sequence[float]) -> Spread:
    """The median and the quartiles of ``values``."""
    lower, median, upper = np.quantile(values, [0.25, 0.5, 0.75])
    return Spread(float(median), float(lower), float(upper))


def pin() -> None:
    """Keep this process on one processor, where the system can."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})


def rounds(
    candidates: Mapping[Name, Callable[[int], Took]], count: int = 15, seconds: float = ROUND
) -> dict[Name, list[Took]]:
    """What one run of each candidate took, ``count`` times, turn by turn after a warm-up, ``seconds`` for a turn."""
    times = {name: max(1, int(seconds / float(measure(1)))) for name, measure in candidates.items()}
    times = {n: max(1, int(seconds / float(measure(min(times[n], 10))))) for n, measure in candidates.items()}
    taken: dict[Name, list[Took]] = {name: [] for name in candidates}
    for _ in range(count):
        for name, measure in candidates.items():
            taken[name].append(measure(times[name]))
    return taken


def c_program(compilation: Compilation, folder: Path, flags: Sequence[str] = FLAGS) -> Measure:
    """The generated C as a shared library that runs one made-up sample."""
    program, name = compilation.program, compilation.name
    ports = [*program.inputs, *program.outputs]
    sizes = [p.buffer.bytes(program.word_bits) for p in ports]
    starts = np.concatenate([[0], np.cumsum(sizes)])
    text = _MAIN.format(
        name=name,
        upper=name.upper(),
        ports="\n".join(f"static uint64_t port{i}[{-(-size // 8)}];" for i, size in enumerate(sizes)),
        fill="\n".join(f"    memcpy(port{i}, sample + {starts[i]}, {sizes[i]});" for i in range(len(program.inputs))),
        arguments=", ".join(f"(void *)port{i}" for i in range(len(ports))),
    )
    for file, content in {**compilation.files, "timed.c": text}.items():
        (folder / file).write_text(content, encoding="utf-8")
    subprocess.run(["gcc", *flags, "timed.c", "-o", "timed.so"], cwd=folder, check=True)
    library = ctypes.CDLL(str(folder / "timed.so"))
    library.measure.restype = ctypes.c_double
    rng = np.random.default_rng(0)
    sample = records.encode(program, {p.name: _any(rng, compilation, p.name) for p in program.inputs})
    return lambda times: float(library.measure(times, sample))


def _any(rng: np.random.Generator, compilation: Compilation, name: str) -> np.ndarray:
    node = next(i for i in compilation.graph.inputs if i.name == name)
    lo, hi = node.domain.bounds
    return np.asarray(lo + node.domain.step * rng.integers(0, (hi - lo) // node.domain.step + 1, (1, *node.type.shape)))


def one_thread(model: bytes) -> onnxruntime.InferenceSession:
    """A session with the usual optimisations, on one thread."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def onnxruntime_session(model: bytes) -> Measure:
    """Onnxruntime on one thread and one made-up sample."""
    session = one_thread(model)
    rng = np.random.default_rng(0)
    feeds = {
        i.name: rng.random([d if isinstance(d, int) else 1 for d in i.shape]).astype(np.float32)
        for i in session.get_inputs()
    }

    def measure(times: int) -> float:
        begin = time.perf_counter()
        for _ in range(times):
            session.run(None, feeds)
        return (time.perf_counter() - begin) / times

    return measure


def machine() -> dict[str, str]:
    """What the figures were measured on, and with."""
    model = "unknown"
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), model)
    gcc = subprocess.run(["gcc", "--version"], capture_output=True, text=True, check=True).stdout.splitlines()[0]
    return {
        "processor": model,
        "architecture": platform.machine(),
        "compiler": gcc,
        "flags": " ".join(FLAGS[:3]),
        "onnxruntime": onnxruntime.__version__,
        "bnncompiler": VERSION,
    }


def plain(value: object) -> object:
    """``value`` as JSON has it, times and ratios with six digits."""
    return {k: float(f"{v:.6g}") for k, v in asdict(value).items()} if isinstance(value, Spread) else value
