"""Sink max-pooling: a pool in the middle of a channel function moves behind it, where it works on levels, not on sums.

``f(max(x)) = max(f(x))`` where ``f`` never falls, and ``f(max(x)) = min(f(x))`` where it never rises; which of them
holds for a row is seen by evaluating (negative batch norm factors make rows that fall). With ``g`` before the pool
and ``h`` behind it::

    h(max_pool(g(acc)))  ->  max_pool(steps(acc, h . g))

Rows that fall are stored turned round, with a negative scale, so that the pool takes the largest ``q`` everywhere;
the next layer's weights take up the sign, and thresholds that were folded behind it already are turned with it. Bits
are pooled by OR, and the map between is bits instead of accumulators.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bnncompiler.enclosure import Cells, UnknownOperator, enclose
from bnncompiler.ir import Array, Domain, Graph, Node, per_element, rows
from bnncompiler.ops import Constant, Elementwise, Input, IntegerConv, IntegerDense, MaxPool, Permute, Steps
from bnncompiler.oracle import ChannelFunction, sources
from bnncompiler.passes.absorb_polarity import mirrored
from bnncompiler.passes.base import rewrite_sinks
from bnncompiler.passes.fold_thresholds import fold
from bnncompiler.passes.linear import Integer, negated
from bnncompiler.sampling import bounds, everywhere, size

AFFORDABLE = 1 << 22
FINE = 1 << 30  # points of a grid that is finer than float32 over its range


@dataclass(frozen=True)
class SinkMaxPool:
    """A discrete region behind a pool to a pool of ``steps``, where each row of it rises or falls throughout."""

    name: str = "sink-max-pool"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with its pools behind the thresholds."""

        def rule(node: Node, was: Node) -> Node | None:
            if was in graph.outputs:
                return None
            if isinstance(node, IntegerConv | IntegerDense):
                return _kept(node, was)
            if isinstance(node, Steps) and isinstance(was, Steps):
                upright = _upright(node.x)
                followed = replace(node, x=upright) if upright else _followed(node, was.x)
                sunk = sink_folded(followed, followed.x) if isinstance(followed.x, MaxPool) else None
                return followed if sunk is None and followed is not node else sunk
            if not isinstance(node, Elementwise):
                return None
            found = sources(node)
            if len(found) != 1 or not isinstance(found[0], MaxPool):
                return None
            return sink(node, found[0])

        return rewrite_sinks(graph.rewrite(_upright), rule)


def sink(node: Elementwise, pool: MaxPool) -> Node | None:
    """``node``, a channel function of ``pool``, as a pool of a channel function; None where that is not the same."""
    found = sources(pool.x) if isinstance(pool.x, Elementwise) else (pool.x,)
    if len(found) != 1 or found[0].type.domain is None or (found[0].domain.scale <= 0).any():
        return None
    source = found[0]
    behind = ChannelFunction(pool, node)
    if max(behind.rows, source.domain.rows) > source.type.channels:
        return None
    composed = ChannelFunction(source, _on(pool.x, behind))
    falls = _falls(ChannelFunction(source, pool.x), behind, composed)
    folded = None if falls is None else fold(composed)
    if folded is None or falls is None:
        return None
    before = replace(_turned(folded, falls), name=f"{node.name}.before_pool")
    return MaxPool(node.name, before, pool.window, on_codes=True)


def sink_folded(node: Steps, pool: MaxPool) -> Node | None:
    """Thresholds of pooled sums, folded as soon as the sums got a domain, as a pool of the thresholds; or None."""
    source, change = pool.x, np.diff(node.levels, axis=1)
    falls, rises = np.asarray((change < 0).any(axis=1)), np.asarray((change > 0).any(axis=1))
    if pool.on_codes or isinstance(source, Steps) or (falls & rises).any() or len(falls) > source.type.channels:
        return None
    function = node.function
    if isinstance(function, ChannelFunction):
        function = ChannelFunction(source, _on(source, function))
    moved = replace(node, name=f"{node.name}.before_pool", x=source, function=function)
    return MaxPool(node.name, _turned(moved, falls), pool.window, on_codes=True)


def _on(source: Node, function: ChannelFunction) -> Node:
    """The elementwise nodes of ``function``, rebuilt on another source."""
    moved: dict[Node, Node] = {function.source: source}
    for inner in function.nodes:
        moved[inner] = replace(inner, inputs=tuple(i if isinstance(i, Constant) else moved[i] for i in inner.inputs))
    return moved[function.sink]


def _falls(inner: ChannelFunction, behind: ChannelFunction, composed: ChannelFunction) -> Array | None:
    """Which rows never rise as the pooled value grows; None where a row does both."""
    domain, count = composed.source.domain, composed.rows
    if size(domain) * count > AFFORDABLE:
        return _falls_anywhere(inner, behind, count)
    row = np.arange(count)
    x = domain.real(everywhere(domain, row, count))
    pooled = inner.evaluate64(x, row % inner.rows)
    order = np.argsort(pooled, axis=0, kind="stable")
    value = np.take_along_axis(composed.evaluate64(x).astype(np.float64), order, axis=0)
    change = np.diff(value, axis=0)
    tolerance = 1e-6 * float(np.abs(value).max())
    rises, falls = (change > tolerance).any(axis=0), (change < -tolerance).any(axis=0)
    return None if (rises & falls).any() else np.asarray(falls)


def _falls_anywhere(inner: ChannelFunction, behind: ChannelFunction, count: int) -> Array | None:
    """As `_falls` where accumulators are too many: ``behind`` on a fine grid over all that the pooled value can be."""
    row = np.arange(inner.rows)
    try:
        y = enclose(inner, Cells(row, *bounds(inner.source.domain, row, inner.rows)), reference=True)
    except UnknownOperator:
        return None
    low, high = float(y.least.min()), float(y.most.max())
    if not low < high < np.inf:
        return None
    grid = Domain(rows((high - low) / FINE), rows((low + high) / 2), rows(-FINE // 2), rows(FINE // 2), 1, rows(1e-30))
    pooled = Input(behind.source.name, replace(behind.source.type, domain=grid))
    folded = fold(ChannelFunction(pooled, _on(pooled, behind)))
    if folded is None:
        return None
    change = np.diff(folded.levels, axis=1)
    falls, rises = np.asarray((change < 0).any(axis=1)), np.asarray((change > 0).any(axis=1))
    return None if (rises & falls).any() else per_element(falls, count)


def _upright(pool: Node) -> MaxPool | None:
    """A pool of what another one turned round, with that turned back; None for any other node."""
    if (
        not isinstance(pool, MaxPool)
        or pool.x.type.domain is None
        or pool.type.domain is not None
        or not isinstance(pool.x, Steps | MaxPool | Permute)
    ):
        return None
    levels = fold(ChannelFunction(pool.x, pool.x))
    return None if levels is None else replace(pool, x=replace(levels, name=f"{pool.name}.upright"))


def _kept(layer: Integer, was: Node) -> Integer | None:
    """A layer that reads what a pool turned round, with weights that leave its sums what they were."""
    turned = _are_turned(layer, was)
    return negated(layer, np.where(np.resize(turned, len(layer.weight)), -1, 1)) if turned.any() else None


def _followed(node: Steps, was: Node) -> Steps:
    """``node``, whose thresholds are for the value ``was``, on what a pool turned round of it."""
    turned = _are_turned(node.x, was)
    if not turned.any():
        return node
    at, levels = (np.repeat(a, len(turned), axis=0) if len(a) == 1 else a for a in (node.at, node.levels))
    at, levels = mirrored(at, levels, np.resize(turned, len(at)), was.domain, node.x.domain)
    return replace(node, at=at, levels=levels)


def _are_turned(node: Node, was: Node) -> Array:
    """In which rows ``node`` has the integers of ``was`` with the other sign."""
    now, before = node.type.domain, was.type.domain
    if now is None or before is None:  # weights take up signs that differ, when they are read
        return np.zeros(1, bool)
    count = max(now.rows, before.rows)
    return np.asarray(per_element(now.scale, count) * per_element(before.scale, count) < 0)


def _turned(node: Steps, falls: Array) -> Steps:
    """``node`` with the levels of the falling rows negated, and their scale with them."""
    if not falls.any():
        return node
    count = len(falls)
    at, levels = (np.repeat(a, count // len(a), axis=0) for a in (node.at, node.levels))
    sign = np.where(falls, -1, 1)
    out = node.out
    lo, hi = per_element(out.lo, count), per_element(out.hi, count)
    turned = Domain(
        per_element(out.scale, count) * sign,
        out.offset,
        np.where(falls, -hi, lo),
        np.where(falls, -lo, hi),
        out.step,
        out.error,
    )
    return replace(node, at=at, levels=levels * sign[:, None], out=turned)
