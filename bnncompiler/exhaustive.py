"""Tables against the chains that they were folded from: on every accumulator, not on samples.

Thresholds, requantisations and lookup tables keep the elementwise chain they stand for. Both are evaluated here, the
chain by onnxruntime, at every integer that the accumulator can take. Ranges too wide for that (a first layer that reads
pixels with 16-bit weights has millions of accumulators a channel) are checked in a window around each place where the
table changes, and by an even sweep between; how many points that was is part of the result.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler import blur, interpreter
from bnncompiler.compare import NOISE, Count, difference
from bnncompiler.ir import Array, Graph, per_element
from bnncompiler.ir import rows as rows_of
from bnncompiler.ops import Lookup, Requantize, Steps
from bnncompiler.oracle import ChannelFunction

FULL = 1 << 25  # points of one node: a second or two
AT_ONCE = 1 << 21
WINDOW = 8
SWEEP = 1024


@dataclass(frozen=True)
class Checked:
    """What became of one table: ``count`` over the points, which were ``every`` accumulator or a part of them."""

    count: Count
    every: bool


def check(graph: Graph) -> tuple[Checked, ...]:
    """Every table of ``graph`` that knows what it came from."""
    nodes = (n for n in graph.nodes() if isinstance(n, Steps | Requantize | Lookup))
    return tuple(check_node(n, n.function) for n in nodes if isinstance(n.function, ChannelFunction))


def check_node(node: Steps | Requantize | Lookup, function: ChannelFunction) -> Checked:
    """One table against its chain."""
    domain = node.x.domain
    rows = max(len(_changes(node)), function.rows, domain.rows)
    lo, hi = per_element(domain.lo, rows), per_element(domain.hi, rows)
    size = int((hi - lo).max()) // domain.step + 1
    every = size * rows <= FULL
    count = Count(node.name)
    # The chain is evaluated at float32(real(q)) itself: what rounding before that does is not in question here.
    undecided = blur.within(node, rows_of(0.0)) if isinstance(node, Steps) else None
    points = max(1, AT_ONCE // rows)
    q = lo + domain.step * np.arange(0)[:, None] if every else _selected(node, lo, hi)
    for start in range(0, size if every else len(q), points):
        if every:
            some = np.minimum(lo + domain.step * np.arange(start, min(size, start + points))[:, None], hi)
        else:
            some = q[start : start + points]
        count += _compare(node, function, undecided, some)
    return Checked(count, every)


def _changes(node: Steps | Requantize | Lookup) -> Array:
    """Where the table changes, ``[rows, places]``."""
    if isinstance(node, Steps):
        return node.at
    return node.start if isinstance(node, Requantize) else np.zeros((len(node.table), 0), np.int64)


def _selected(node: Steps | Requantize | Lookup, lo: Array, hi: Array) -> Array:
    """Accumulators ``[points, rows]`` around all changes, and evenly between the ends."""
    step = node.x.domain.step
    around = step * np.arange(-WINDOW, WINDOW + 1)
    changes = np.resize(_changes(node), (len(lo), _changes(node).shape[1]))
    windows = (changes[:, :, None] + around).reshape(len(lo), -1)
    sweep = lo[:, None] + (hi - lo)[:, None] // step * np.arange(SWEEP + 1) // SWEEP * step
    return np.asarray(np.clip(np.concatenate([windows, sweep], axis=1), lo[:, None], hi[:, None]).T)


def _compare(node: Steps | Requantize | Lookup, function: ChannelFunction, undecided: Array | None, q: Array) -> Count:
    """Table and chain at the accumulators ``q [points, rows]``."""
    rows = q.shape[1]
    domain = node.x.domain
    x = per_element(domain.scale, rows) * q + per_element(domain.offset, rows)
    chain = function.evaluate32(x, np.arange(rows) % function.rows)
    table = node.out.real(_table(node, q))
    noise = NOISE * float(np.abs(table).max(initial=0)) if isinstance(node, Steps) else 0.0
    bound = per_element(node.out.error, rows) + noise
    if isinstance(node, Requantize):  # as in forcing, the chain reads real(q) rounded to float32
        bound = bound + per_element(node.gain, rows) * np.abs(x.astype(np.float32) - x)
    off = difference(table, chain, bound)
    decided = np.ones(q.shape, bool) if undecided is None else ~blur.reached(undecided, q)
    if isinstance(node, Requantize) and node.saturates:
        decided &= ~interpreter.saturated(q, node)
    differs = decided & (off > bound)
    where = np.argwhere(differs)[:1]
    first = ""
    if len(where):
        at = tuple(where[0])
        first = f"at accumulator {q[at]} of row {at[1]} the table has {table[at]:.9g}, onnxruntime {chain[at]:.9g}"
    worst = float(np.max(off, where=decided, initial=0.0))
    return Count(node.name, int(decided.sum()), int(differs.sum()), int((~decided).sum()), worst, first)


def _table(node: Steps | Requantize | Lookup, q: Array) -> Array:
    if isinstance(node, Steps):
        return interpreter.steps(q, node.at, node.levels)
    if isinstance(node, Requantize):
        return interpreter.requantize(q, node)
    domain = node.x.domain
    return np.asarray(node.table[np.arange(q.shape[1]) % len(node.table), (q - domain.bounds[0]) // domain.step])
