"""``python -m benchmarks profile MODEL``: where a network's time goes, kernel call by kernel call, on this machine.

A call is what one function call or one loop over pixels or rows computes, activation included. Times are medians over
runs of the whole network, so that each call finds the caches as the one before it leaves them.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import bnncompiler
from benchmarks.networks import NETWORKS, Network
from bnncompiler import summary, tuning
from bnncompiler.compiler import Compilation
from bnncompiler.data import Source
from bnncompiler.machines import clock

HEAD = ("us", "share", "MACs", "MAC/ns", "kernels", "layer")
LEFT = ("kernels", "layer")  # columns of text


@dataclass(frozen=True)
class Step:
    """What a call, or all calls with the same kernels, took: microseconds, and multiply-accumulates."""

    kernels: str
    layer: str
    us: float
    macs: int


def main(arguments: Sequence[str]) -> int:
    """Print the profile of the network that ``arguments`` name."""
    names = ", ".join(n.name for n in NETWORKS)
    p = argparse.ArgumentParser(prog="python -m benchmarks profile", description=__doc__)
    p.add_argument("model", metavar="MODEL", help=f"an ONNX file, or one of the networks of the benchmark: {names}")
    p.add_argument("--samples", type=Path, metavar="FILE.npz", help="calibrates, and the first of them is run")
    p.add_argument("--target", default="native", help="of backend c99 (default: native)")
    p.add_argument("--seconds", type=float, default=3.0, help="of measuring (default: 3)")
    p.add_argument("--top", type=int, default=20, help="how many calls to show (default: 20)")
    options = p.parse_args(arguments)
    known = {n.name: n for n in NETWORKS}
    network = known.get(options.model) or Network(options.model, Path(options.model), options.samples)
    samples = options.samples or network.samples
    compilation = bnncompiler.compile(
        network.onnx(), name="net", calibrate=samples, target=options.target, **network.input
    )
    steps = measure(compilation, samples, options.seconds)
    print("\n".join([*table(steps, options.top), "", *table(by_kernels(steps), options.top)]))
    return 0


def measure(compilation: Compilation, samples: Source | None, seconds: float) -> list[Step]:
    """Each call of ``compilation`` on the first of ``samples``, or on a random one.

    Raises:
        UsageError: it is for another machine.
        ToolError: there is no C compiler.
    """
    flags, sample = tuning.host_flags(compilation), tuning.one_sample(compilation, samples)
    with clock.pinned(), clock.build(compilation.program, compilation.files, sample, flags) as clocked:
        taken = np.median(clocked.run(seconds), axis=0) / 1e3
    calls = compilation.program.calls
    return [
        Step(summary.computing(c.kernels()), c.layer, float(us), c.macs) for c, us in zip(calls, taken, strict=True)
    ]


def by_kernels(steps: Sequence[Step]) -> list[Step]:
    """One step for all that have the same kernels; its layer is how many they are."""
    counts = Counter(s.kernels for s in steps)
    return [
        Step(k, f"{count} call{'s' if count > 1 else ''}", sum(s.us for s in same), sum(s.macs for s in same))
        for k, count in counts.items()
        for same in [[s for s in steps if s.kernels == k]]
    ]


def table(steps: Sequence[Step], top: int) -> list[str]:
    """The ``top`` slowest of ``steps`` and their total, as aligned text."""
    total = sum(s.us for s in steps)
    shown = sorted(steps, key=lambda s: -s.us)[:top]
    rows = [HEAD, *(_row(s, total) for s in (*shown, Step("", "total", total, sum(s.macs for s in steps))))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_aligned(*cell) for cell in zip(row, widths, HEAD, strict=True)).rstrip() for row in rows]


def _row(step: Step, total: float) -> tuple[str, ...]:
    macs = (f"{step.macs:,}", f"{step.macs / step.us / 1e3:.2f}") if step.macs else ("", "")
    return f"{step.us:,.1f}", f"{step.us / total:.1%}", *macs, step.kernels, step.layer


def _aligned(cell: str, width: int, column: str) -> str:
    return cell.ljust(width) if column in LEFT else cell.rjust(width)
