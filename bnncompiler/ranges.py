"""Ranges: how far the real values of a network go on samples, by the reference's own account.

Worst cases multiply: behind three real layers a bound is hundreds of times what ever occurs, and fixed point that must
hold it has few bits left for what does. So onnxruntime runs the model on samples, and each value's smallest and largest
element is noted. A stream holds twice that width (and never more than its worst case) and saturates outside. That is
its domain of validity: `bnncompiler.verification` counts the values that leave it, and compares everything else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from bnncompiler import grid
from bnncompiler.ir import Array
from bnncompiler.reference import Reference

if TYPE_CHECKING:
    from bnncompiler.data import Samples
    from bnncompiler.frontend import Imported

Interval = tuple[float, float]

MARGIN = 2.0  # what a stream holds, as a multiple of the width that samples showed
AT_ONCE = 1 << 26  # elements of all values of a batch
AT_MOST = 1 << 31  # elements of all values of all samples: a minute or so


@dataclass(frozen=True)
class Ranges:
    """The smallest and the largest element of ONNX values by name, on ``count`` samples from ``source``."""

    observed: Mapping[str, Interval] = field(default_factory=dict)
    source: str = ""
    count: int = 0

    def of(self, name: str) -> Interval | None:
        """What a stream with the ONNX value ``name`` must hold; None where nothing was observed, or nothing varies."""
        if name not in self.observed:
            return None
        low, high = self.observed[name]
        more = (MARGIN - 1) / 2 * (high - low)
        return (low - more, high + more) if high > low else None


UNKNOWN = Ranges()


def observe(imported: Imported, grids: Sequence[grid.InputGrid], samples: Samples) -> Ranges:
    """The ranges of all float values of the model on ``samples``, which are moved to the input grids first.

    The first samples are taken, as many as `AT_MOST` allows.
    """
    names = [n for n, v in imported.views.items() if v.base.name == n and v.base.type.dtype.startswith("float")]
    names = [n for n in names if n not in {i.name for i in imported.graph.inputs}]
    size = sum(imported.views[n].base.type.size for n in names) or 1
    count = max(1, min(len(samples), AT_MOST // size))
    step = max(1, min(count, AT_ONCE // size))
    inputs = {g.name: grid.to_real(g, grid.to_q(g, samples.arrays[g.name][:count]).q) for g in grids}
    reference = Reference(imported, tuple(names))
    found: dict[str, Interval] = {}
    for start in range(0, count, step):
        values = reference.values({name: x[start : start + step] for name, x in inputs.items()})
        for name, value in values.items():
            _widen(found, name, value)
    return Ranges(found, samples.source, count)


def _widen(found: dict[str, Interval], name: str, values: Array) -> None:
    finite = values[np.isfinite(values)]
    if finite.size:
        low, high = found.get(name, (np.inf, -np.inf))
        found[name] = min(low, float(finite.min())), max(high, float(finite.max()))
