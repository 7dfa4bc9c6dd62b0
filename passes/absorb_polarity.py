"""Absorb polarity: a threshold that falls becomes one that rises, by negating the weights that feed it.

A negative batch norm factor makes ``y = +1`` where ``acc < t``. With the row's weights and scale negated the
accumulator is ``-acc``, and the comparison is the one that kernels have, ``-acc >= 1 - t``; no flip bits remain.
Applies to rows whose levels fall from first to last, where nothing else reads the accumulator.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bnncompiler.ir import Array, Domain, Graph, Node, per_element
from bnncompiler.ops import IntegerConv, IntegerDense, Steps
from bnncompiler.passes.linear import Integer, negated


@dataclass(frozen=True)
class AbsorbPolarity:
    """``steps(integer_dense(x, w))`` (or of a convolution) with falling rows to one with rising rows only."""

    name: str = "absorb-polarity"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with the polarity of its thresholds in the weights."""
        users = graph.users()
        single = {
            n.name
            for n in users
            if isinstance(n, IntegerDense | IntegerConv) and len(users[n]) == 1 and n not in graph.outputs
        }

        def rule(node: Node) -> Node | None:
            match node:
                case Steps(x=IntegerDense() | IntegerConv() as layer) if (
                    layer.name in single
                    and len(node.at) in (1, len(layer.weight))
                    and layer.domain.rows <= len(layer.weight)
                ):
                    return absorb(node, layer)
            return None

        return graph.rewrite(rule)


def absorb(node: Steps, layer: Integer) -> Steps | None:
    """``node`` on a layer with the falling rows negated; None where no row falls."""
    outs = len(layer.weight)
    at, levels = (np.repeat(a, outs // len(a), axis=0) for a in (node.at, node.levels))
    falls = levels[:, 0] > levels[:, -1]
    if not falls.any():
        return None
    sign = np.where(falls, -1, 1)
    turned = negated(layer, sign)
    at, levels = mirrored(at, levels, falls, layer.domain, turned.domain)
    return replace(node, x=turned, at=at, levels=levels)


def mirrored(at: Array, levels: Array, which: Array, old: Domain, new: Domain) -> tuple[Array, Array]:
    """Thresholds and levels on ``q`` of the domain ``old`` as those on ``-q`` of the domain ``new``, for some rows."""
    at, levels, outs = at.copy(), levels.copy(), len(at)
    old_end, new_end = (per_element(d.hi, max(outs, d.rows))[:outs] + 1 for d in (old, new))
    for r in np.flatnonzero(which):
        used = int((at[r] < old_end[r]).sum())
        at[r] = _mirror(at[r], used, old.step, int(new_end[r]))
        levels[r] = np.concatenate([levels[r, : used + 1][::-1], np.repeat(levels[r, 0], at.shape[1] - used)])
    return at, levels


def _mirror(at: Array, used: int, step: int, end: int) -> Array:
    """The thresholds of ``-q``: ``q >= t`` is ``not (-q >= step - t)``; the unused ones stand at ``end``."""
    return np.concatenate([step - at[:used][::-1], np.full(len(at) - used, end)])
