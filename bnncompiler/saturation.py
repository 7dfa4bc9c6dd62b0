"""Saturation: where a curve is flat in float32, long before its definition is.

``1 + erf(x)`` is above 0 for every ``x``, and exactly 0 in float32 below -3.92; so is what a GELU makes of it, and a
sign behind it decides otherwise than the definition does, on half of all inputs. That is no rounding that goes this
way on one machine and that way on another: implementations clamp there, or exponentials vanish. So where onnxruntime's
float32 curve stays at one value up to the end, that value is what the curve *is* to this compiler, in "exact"
arithmetic, too. The ends are onnxruntime's, a little on the safe side; tests/test_isolation.py sweeps them.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bnncompiler.ir import Array

_ERF = 3.92  # 1 - exp(...) rounds to 1
_LOGISTIC = 18.0  # MLAS clamps the operand
_TANH = 9.0  # here, too
_VANISHES = 104.0  # exp(-x) is 0, with denormals
_LOST = 17.5  # exp(-x) is below half a unit of 1
_SURE = 1 + 2.0**-18  # relative: behind an end that is computed


@dataclass(frozen=True)
class Flat:
    """What a curve is up to ``left`` and from ``right`` on; an end at infinity is none."""

    left: float = -math.inf
    low: float = 0.0
    right: float = math.inf
    high: float = 0.0

    def on(self, x: Array, y: Array) -> Array:
        """The curve's values ``y`` at ``x`` with the flat ends in their place."""
        return np.where(x <= self.left, self.low, np.where(x >= self.right, self.high, y))

    def reaches(self, least: Array, most: Array) -> Array:
        """Whether all that lies between ``least`` and ``most`` is on one flat end."""
        return np.asarray((most <= self.left) | (least >= self.right))


NOWHERE = Flat()


def _hard_sigmoid(a: Mapping[str, Any]) -> Flat:
    """Piecewise linear as it is; its ends are where rounding no longer matters."""
    slope, middle = float(a["alpha"]), float(a["beta"])
    if slope == 0:
        return NOWHERE
    ends = sorted(((0 - middle) / slope, (1 - middle) / slope))
    margin = (_SURE - 1) * (1 + abs(middle)) / abs(slope)
    low, high = (0.0, 1.0) if slope > 0 else (1.0, 0.0)
    return Flat(ends[0] - margin, low, ends[1] + margin, high)


def _elu(alpha: float, width: float) -> Flat:
    """``alpha (exp(x / width) - 1)``."""
    return Flat(-_LOST * width, -alpha)


def _gelu(a: Mapping[str, Any]) -> Flat:
    """``0.5 x (1 + erf(x / sqrt(2)))``, or with ``tanh(sqrt(2 / pi) (x + 0.044715 x^3))``."""
    if a["approximate"] == "tanh":
        return Flat(-5.16)
    return Flat(-_ERF * math.sqrt(2) * _SURE)


_CURVES: Mapping[str, Callable[[Mapping[str, Any]], Flat]] = {
    "Celu": lambda a: _elu(a["alpha"], a["alpha"]),
    "Elu": lambda a: _elu(a["alpha"], 1.0),
    "Erf": lambda a: Flat(-_ERF, -1.0, _ERF, 1.0),
    "Exp": lambda a: Flat(-_VANISHES),
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": lambda a: Flat(-3 * _SURE),
    "Mish": lambda a: Flat(-_VANISHES),
    "Sigmoid": lambda a: Flat(-_LOGISTIC, 0.0, _LOGISTIC, 1.0),
    "Softplus": lambda a: Flat(-_VANISHES),
    "Tanh": lambda a: Flat(-_TANH, -1.0, _TANH, 1.0),
}


def flat(operator: str, attrs: Mapping[str, Any], dtype: str) -> Flat:
    """Where the curve ``operator`` is flat in ``dtype``; nowhere, but in float32."""
    curve = _CURVES.get(operator)
    return NOWHERE if curve is None or dtype != "float32" else curve(attrs)
