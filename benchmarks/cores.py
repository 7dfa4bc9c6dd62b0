"""The core that runs a benchmark: how fast it is at the moment, and whether it runs nothing else.

What a processor of a cloud is called is often one of two threads of a core, and the other one belongs to somebody else.
While that one works, additions, table look-ups and caches are shared, and all code takes up to 1.5 times as many
cycles, for milliseconds or for minutes; nothing tells so but the time of what is known. So before and after whatever is
measured, additions are timed that wait for each other, which gives the cycle, and additions that do not, which are as
many in a cycle as there are adders, unless they are shared (`benchmarks/cores.c`). What was measured beside somebody
else is measured again, as long as there is patience, and counts where there is nothing better. That decides when to
measure, not which result to keep: it does not look at the result.
"""

from __future__ import annotations

import ctypes
import platform
import subprocess
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from benchmarks.timing import Measure

SOURCE = Path(__file__).with_name("cores.c")
THOUSANDS = 100  # of additions that wait for each other in a look, which takes 0.15 ms
LEARNING = 6.0  # seconds of looks that it takes to learn how many adders there are
NEAR, OFTEN = 0.015, 0.02  # how near to a whole number additions are in how many looks, if there are so many adders
ALONE = 0.96  # of the additions of a core that runs nothing else
ENOUGH = 1 / 3  # of the turns, to leave out those that were disturbed


@dataclass(frozen=True)
class Look:
    """How fast the core is, in hertz, and how many additions it does in a cycle."""

    hertz: float
    additions: float


@dataclass(frozen=True)
class Timed:
    """What a run took: seconds, cycles where they are known, and whether the core ran nothing else meanwhile."""

    seconds: float
    cycles: float | None = None
    alone: bool = True

    def __float__(self) -> float:
        return self.seconds


def undisturbed(*runs: Sequence[Timed]) -> list[tuple[Timed, ...]]:
    """The rounds in which the core ran nothing else during any of these ``runs``; all where they are too few."""
    every = list(zip(*runs, strict=True))
    alone = [turns for turns in every if all(turn.alone for turn in turns)]
    return alone if len(alone) >= ENOUGH * len(every) else every


def without(runs: Sequence[Timed], others: Sequence[Timed]) -> list[Timed]:
    """What ``runs`` took beyond ``others`` in the same round."""
    return [Timed(a.seconds - b.seconds, alone=a.alone and b.alone) for a, b in zip(runs, others, strict=True)]


def adders(additions: Sequence[float]) -> int:
    """How many adders a core has that does so many ``additions`` in a cycle, in looks of which it was alone in some.

    Where it was not, they are any number below; a few are any number above, as something interrupted the look.
    """
    numbers = np.asarray(additions)
    often = [k for k in range(1, 17) if np.mean(np.abs(numbers - k) <= NEAR * k) >= OFTEN]
    return max(often, default=round(float(np.max(numbers))))


class Core:
    """The core that this process is pinned to, if it is of x86-64.

    Attributes:
        adders: how many additions it does in a cycle where it runs nothing else.
    """

    def __init__(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            library = Path(folder) / "cores.so"
            subprocess.run(["gcc", "-O2", "-shared", "-fPIC", str(SOURCE), "-o", str(library)], check=True)
            functions = ctypes.CDLL(str(library))
        self._waiting, self._independent = functions.waiting, functions.independent
        for function in (self._waiting, self._independent):
            function.argtypes, function.restype = [ctypes.c_long], ctypes.c_double
        self.adders = adders(self._looks(LEARNING))

    def look(self) -> Look:
        """Look at it now; what interrupts one of two looks does not count."""
        waiting = min(self._waiting(THOUSANDS) for _ in range(2))
        independent = min(self._independent(4 * THOUSANDS) for _ in range(2))
        return Look(1e3 * THOUSANDS / waiting, 4 * waiting / independent)

    def _looks(self, seconds: float) -> list[float]:
        """The additions in a cycle, again and again."""
        end, looks = time.monotonic() + seconds, [self.look().additions]
        while time.monotonic() < end:
            looks.append(self.look().additions)
        return looks

    def is_alone(self, look: Look) -> bool:
        """Whether nothing else ran on the core at that look."""
        return look.additions >= ALONE * self.adders


def here() -> Core | None:
    """The core that this process is pinned to; None where it is not of x86-64."""
    return Core() if platform.machine() == "x86_64" else None


class Watch:
    """Times runs while the core runs nothing else; without a core it just times them.

    Attributes:
        core: the core, None where nothing is known of it.
        patience: for how many seconds runs may yet be waited for, or repeated, in all; then they are taken as they are.
    """

    def __init__(self, core: Core | None, patience: float) -> None:
        self.core = core
        self.patience = patience

    def over(self, measure: Measure) -> Callable[[int], Timed]:
        """``measure``, watched."""
        return partial(self._timed, measure)

    def _timed(self, measure: Measure, times: int) -> Timed:
        if self.core is None:
            measure(1)
            return Timed(measure(times))
        while True:
            start = time.perf_counter()
            before = self.core.look()
            if self.core.is_alone(before) or self.patience <= 0:
                measure(1)  # for caches to have what it needs, and not what others left there
                seconds = measure(times)
                after = self.core.look()
                alone = self.core.is_alone(before) and self.core.is_alone(after)
                if alone or self.patience <= 0:
                    return Timed(seconds, seconds * (before.hertz + after.hertz) / 2, alone)
            self.patience -= time.perf_counter() - start
