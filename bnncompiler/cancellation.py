"""Curves that cancel: which curved values are left in a sum, and which were only added and taken away again.

Straight-through estimators leave ``(sign(x) - f(x)) + f(x)`` behind, with a polynomial or a tanh for ``f``. In exact
arithmetic that is ``sign(x)``, whatever ``f`` is. Each value is followed as a linear form: so much of each *curve* (a
value that is not piecewise affine) plus something piecewise affine. A value whose form has no curve in it is
piecewise affine itself.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from bnncompiler.ir import Array, Node, per_element
from bnncompiler.ops import Constant, Elementwise

Form = Mapping[Node, Array]  # how much of each curve, by row


def form(node: Elementwise, forms: Mapping[Node, Form], rows: int) -> Form | None:
    """The linear form of ``node`` over the curves in its operands' forms; None where it is none of them.

    Args:
        node: a node of which some operand's form has a curve in it.
        forms: the forms of the operands that are no constants.
        rows: how many rows coefficients have.
    """
    parts = [forms.get(i, {}) for i in node.inputs]
    constants = [per_element(i.value.astype(np.float64), rows) for i in node.inputs if isinstance(i, Constant)]
    match node.operator:
        case "Add" | "Sum":
            return _sum(parts, [1.0] * len(parts))
        case "Sub":
            return _sum(parts, [1.0, -1.0])
        case "Neg":
            return _sum(parts, [-1.0])
        case "Mul" if len(constants) == 1:
            return _sum(parts, [constants[0]] * 2)
        case "Div" if isinstance(node.inputs[1], Constant) and constants[0].all():
            return _sum(parts, [1 / constants[0]] * 2)
    return None


def _sum(parts: list[Form], factors: list[Array] | list[float]) -> Form:
    total: dict[Node, Array] = {}
    for part, factor in zip(parts, factors, strict=True):
        for curve, amount in part.items():
            total[curve] = total.get(curve, np.zeros(1)) + amount * factor
    return {curve: amount for curve, amount in total.items() if amount.any()}
