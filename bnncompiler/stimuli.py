"""Generated inputs for verification: random ones, and ones directed at the places where rounding and ties would show.

Random inputs hardly ever put an accumulator exactly on its threshold, and a wrong ``>=`` goes unseen. Two kinds of
directed samples do: every element of an input next to one of its own thresholds, and inputs changed element by element
until an accumulator of the first layer equals one of its thresholds, or the last value below.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnncompiler import interpreter
from bnncompiler.ir import Array, Graph, Node, per_element
from bnncompiler.ops import IntegerDense, Requantize, Steps

LONGEST_WALK = 4096  # elements tried to bring one accumulator to its target


def generate(graph: Graph, count: int, rng: np.random.Generator) -> dict[str, Array]:
    """``count`` random samples in grid units, ``[samples, *shape]`` by input name; the first two are constant."""
    return {node.name: _random(node, count, rng) for node in graph.inputs}


def directed(graph: Graph, start: Mapping[str, Array], rng: np.random.Generator) -> dict[str, Array]:
    """The samples ``start``, each changed so that a threshold is met exactly or missed by one step."""
    samples = {name: q.copy() for name, q in start.items()}
    for node in graph.inputs:
        q = samples[node.name].reshape(len(samples[node.name]), -1)
        own = [n for n in graph.nodes() if isinstance(n, Steps) and n.x is node and n.at.size]
        first = [n for n in graph.nodes() if isinstance(n, Steps) and n.at.size and _reads(n, node)]
        for i in range(len(q)):
            if own and (i % 4 == 0 or not first):
                q[i] = _on_thresholds(own[i // 4 % len(own)], rng)
            elif first:
                target = first[i % len(first)]
                assert isinstance(target.x, IntegerDense)
                q[i] = _walk(target, target.x, q[i], rng)
        samples[node.name] = q.reshape(start[node.name].shape)
    return samples


def _random(node: Node, count: int, rng: np.random.Generator) -> Array:
    """Uniform samples; a third of them with only the extremes, as saturated pixels have."""
    lo, hi = (per_element(a, node.type.size) for a in (node.domain.lo, node.domain.hi))
    step = node.domain.step
    q = lo + step * rng.integers(0, (hi - lo) // step + 1, (count, node.type.size))
    extreme = np.where(rng.random(q.shape) < rng.random((count, 1)), lo, hi)
    q = np.where((np.arange(count) % 3 == 0)[:, None], extreme, q)
    q[:1], q[1:2] = lo, hi
    return np.asarray(q.reshape(count, *node.type.shape))


def _reads(node: Steps, source: Node) -> bool:
    """Whether ``node`` is a threshold on a layer that reads ``source`` itself or its thresholds."""
    if not isinstance(node.x, IntegerDense) or node.x.x.type.size != node.x.weight.shape[1]:
        return False
    x = node.x.x
    return _input(x) is source or (isinstance(x, Steps) and x.x is source)


def _input(x: Node) -> Node:
    """The input whose integers ``x`` has: scaling an input makes other numbers of the same integers."""
    if isinstance(x, Requantize) and x.shift == 0 and (x.multiplier == 1).all() and not x.bias.any():
        return _input(x.x)
    return x


def _on_thresholds(node: Steps, rng: np.random.Generator) -> Array:
    """Values of the input such that each is one of its thresholds or the last one below."""
    domain, size = node.x.domain, node.x.type.size
    row = np.arange(size) % len(node.at)
    at = node.at[row, rng.integers(0, node.at.shape[1], size)]
    return _clipped(node.x, at - domain.step * rng.integers(0, 2, size))


def _clipped(node: Node, q: Array) -> Array:
    """``q`` moved to the nearest points of the node's grid that are not above it, or to its ends."""
    lo, hi = (per_element(a, q.size) for a in (node.domain.lo, node.domain.hi))
    step = node.domain.step
    return np.asarray(np.clip(lo + (q - lo) // step * step, lo, hi))


def _walk(node: Steps, dense: IntegerDense, q: Array, rng: np.random.Generator) -> Array:
    """``q [elements]`` changed until an accumulator of ``dense`` meets one of its thresholds in ``node``, or nearly."""
    out = int(rng.integers(len(dense.weight)))
    weight = dense.weight[out].astype(np.int64)
    target = int(rng.choice(node.at[out % len(node.at)])) - int(rng.integers(0, 2)) * dense.domain.step
    choices = _choices(dense.x, q)
    values = dense.x if isinstance(dense.x, Steps) else None
    read = q if values is None else interpreter.steps(q[None], values.at, values.levels)[0]
    missing = target - int(weight @ read)
    for i in rng.permutation(np.flatnonzero(weight))[:LONGEST_WALK]:
        if not missing:
            break
        if choices is None:
            change = _change(_input(dense.x), int(q[i]), missing, int(weight[i]), i)
            q[i] += change
            missing -= int(weight[i]) * change
        else:
            left = missing - weight[i] * (choices[1][i] - read[i])
            best = int(np.argmin(np.abs(left)))
            if abs(int(left[best])) < abs(missing):
                q[i], missing = choices[0][i, best], int(left[best])
    return q


def _choices(x: Node, q: Array) -> tuple[Array, Array] | None:
    """For thresholds on an input: input values ``[elements, choices]`` and their levels; None for the input itself."""
    if not isinstance(x, Steps):
        return None
    at = x.at[np.arange(q.size) % len(x.at)]
    values = np.concatenate([at[:, :1] - x.x.domain.step, at], axis=1)
    values = np.stack([_clipped(x.x, column) for column in values.T])
    return values.T, interpreter.steps(values, x.at, x.levels).T


def _change(source: Node, q: int, missing: int, weight: int, element: int) -> int:
    """How far to move ``q`` so that ``weight`` times that comes nearest to ``missing`` without passing it."""
    domain = source.domain
    lo, hi = (int(a[element % len(a)]) for a in (domain.lo, domain.hi))
    wanted = int(missing / weight)
    return (max(lo, min(hi, q + wanted)) - q) // domain.step * domain.step
