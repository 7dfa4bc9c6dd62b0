"""Inputs that the graph itself rounds: the grid that a model quantises its own input to.

QuantizeLinear and QONNX's Quant (rewritten to Div, Add, Clip and Round) show a chain of affine steps up to a rounding.
If all that the graph ever looks at is ``round(a * x + b)``, clipped, then the points ``x = (k - b) / a`` are all that
it can tell apart. Only such of 7 bits or more count as an input format: fewer levels are an activation, which the
program should compute itself from finer inputs.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bnncompiler.gridfit import Fit, span
from bnncompiler.ir import Graph, Node
from bnncompiler.ops import Constant, Elementwise

FEWEST = 127


@dataclass(frozen=True)
class _Affine:
    """``y = a * x + b``, clipped to ``lo .. hi``."""

    a: float = 1.0
    b: float = 0.0
    lo: float = -np.inf
    hi: float = np.inf

    def then(self, factor: float, term: float) -> _Affine:
        """``factor * y + term``, with a positive factor."""
        return _Affine(self.a * factor, self.b * factor + term, self.lo * factor + term, self.hi * factor + term)

    def clip(self, lo: float, hi: float) -> _Affine:
        return replace(self, lo=max(self.lo, lo), hi=min(self.hi, hi))


def input_grid(graph: Graph, node: Node) -> tuple[Fit, str] | None:
    """The grid that ``graph`` rounds its input ``node`` to and the name of the node that does it; None if none does."""
    users = graph.users()
    before: _Affine | None = _Affine()
    user = node
    while True:
        if len(users[user]) != 1 or user in graph.outputs or not isinstance(users[user][0], Elementwise):
            return None
        last, user = user, users[user][0]
        assert isinstance(user, Elementwise) and before is not None
        if user.operator == "QuantizeLinear":
            return _quantize_linear(user, before, _clip_behind(users, user))
        if user.operator == "Round":
            return _fit(before, _clip_behind(users, user), 0, user.name)
        before = _step(before, user, last)
        if before is None:
            return None


def _step(y: _Affine, node: Elementwise, x: Node) -> _Affine | None:
    """``node``, reading ``x``, as one more affine step; None where it is not one."""
    constants = [i.value for i in node.inputs if isinstance(i, Constant)]
    if any(c.size != 1 for c in constants):
        return None
    numbers = [float(c.reshape(-1)[0]) for c in constants]
    first = node.inputs[0] is x
    match node.operator, numbers:
        case ("Add", [c]):
            return y.then(1, c)
        case ("Sub", [c]) if first:
            return y.then(1, -c)
        case ("Mul", [c]) if c > 0:
            return y.then(c, 0)
        case ("Div", [c]) if first and c > 0:
            return y.then(1 / c, 0)
        case ("Clip", [lo, hi]):
            return y.clip(lo, hi)
        case ("Max", [c]):
            return y.clip(c, np.inf)
        case ("Min", [c]):
            return y.clip(-np.inf, c)
    return None


def _clip_behind(users: dict[Node, list[Node]], rounded: Node) -> tuple[float, float]:
    """The bounds that the nodes right behind a rounding clip its result to."""
    y: _Affine | None = _Affine()
    lo, hi = -np.inf, np.inf
    while y is not None:
        lo, hi = max(lo, (y.lo - y.b) / y.a), min(hi, (y.hi - y.b) / y.a)
        if len(users[rounded]) != 1 or not isinstance(users[rounded][0], Elementwise):
            break
        last, rounded = rounded, users[rounded][0]
        y = _step(y, rounded, last) if isinstance(rounded, Elementwise) else None
    return lo, hi


def _quantize_linear(node: Elementwise, y: _Affine, clip: tuple[float, float]) -> tuple[Fit, str] | None:
    parameters = node.inputs[1:]
    if any(not isinstance(p, Constant) or p.value.size != 1 for p in parameters):
        return None
    scale, zero = (float(p.value.reshape(-1)[0]) for p in parameters if isinstance(p, Constant))
    lo, hi = max(np.iinfo(node.dtype).min, clip[0]), min(np.iinfo(node.dtype).max, clip[1])
    return _fit(y.then(1 / scale, 0), (lo - zero, hi - zero), int(zero), node.name)


def _fit(y: _Affine, bounds: tuple[float, float], zero: int, by: str) -> tuple[Fit, str] | None:
    """The input's grid where ``round(y)`` runs over ``bounds``; the stored integer is ``round(y) + zero``."""
    lo, hi = max(np.rint(y.lo), bounds[0]) + zero, min(np.rint(y.hi), bounds[1]) + zero
    if not FEWEST <= hi - lo + 1 <= 1 << 16:
        return None
    ctype = next((t for t in ("uint8", "int8", "int16") if span(t)[0] <= lo and hi <= span(t)[1]), None)
    if ctype is None:
        return None
    scale, offset = 1 / y.a, -(zero + y.b) / y.a
    text = f"q*{scale:.7g}" + (f" {'-' if offset < 0 else '+'} {abs(offset):.7g}" if offset else "")
    return Fit(ctype, (scale,), (offset,), *span(ctype), text), by
