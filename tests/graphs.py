"""Small graphs for the tests of passes, lowering and memory: random networks as the frontend would write them."""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from bnncompiler import ops
from bnncompiler.ir import Array, Domain, Graph, Node, TensorType, bipolar, rows

PIXELS = Domain(rows(1 / 255), rows(0), rows(0), rows(255))
SIGNS = bipolar()


def source(size: int, domain: Domain | None = PIXELS, dtype: str = "float32") -> ops.Input:
    return ops.Input("x", TensorType((size,), dtype, domain))


def constant(value: object, dtype: type = np.float32) -> ops.Constant:
    return ops.Constant("c", np.atleast_1d(np.asarray(value, dtype)))


def chain(x: Node, *steps: tuple[str, tuple[object, ...]], name: str = "f") -> Node:
    """Elementwise operators one after the other, ``(operator, constant operands)``."""
    for i, (operator, constants) in enumerate(steps):
        operands = (x, *(constant(c) for c in constants))
        attrs = (("epsilon", 1e-5),) if operator == "BatchNormalization" else ()
        x = ops.Elementwise(f"{name}{i}", operator, operands, attrs=attrs)
    return x


def signs(rng: np.random.Generator, *shape: int) -> Array:
    return rng.choice([-1.0, 1.0], size=shape).astype(np.float32)


def batch_norm(rng: np.random.Generator, channels: int, fan_in: int) -> tuple[str, tuple[object, ...]]:
    """Statistics as training leaves them, with factors of both signs and one that is zero."""
    gamma = rng.normal(size=channels)
    gamma[rng.integers(channels)] = 0
    spread = fan_in**0.5
    return "BatchNormalization", (
        gamma,
        rng.normal(size=channels),
        rng.normal(size=channels) * spread,
        rng.uniform(0.5, 2, size=channels) * fan_in,
    )


def mlp(
    rng: np.random.Generator, *sizes: int, scaled: bool = False, activation: str = "Sign", prelu: bool = True
) -> Graph:
    """A binary MLP: input thresholds, dense layers with batch norm, PReLU (slopes of both signs) and an activation."""
    x = source(sizes[0])
    h = chain(x, ("Sub", (rng.uniform(0, 1, sizes[0]),)), ("Sign", ()), name="in")
    for i, (ins, outs) in enumerate(pairwise(sizes)):
        weight = signs(rng, outs, ins)
        if scaled:
            weight = weight * rng.uniform(0.1, 1, size=(outs, 1)).astype(np.float32)
        h = ops.Dense(f"fc{i}", h, weight)
        h = chain(h, batch_norm(rng, outs, ins), name=f"bn{i}_")
        if i < len(sizes) - 2:
            if prelu:
                h = chain(h, ("PRelu", (rng.normal(size=outs) * 0.3,)), name=f"prelu{i}_")
            h = chain(h, ("Add", (rng.normal(size=outs) * 0.1,)), (activation, ()), name=f"act{i}_")
    return Graph("net", (x,), (h,))
