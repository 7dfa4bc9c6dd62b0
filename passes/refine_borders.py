"""Refine borders: sums that padding moves by fractions of a step are counted in finer steps.

Where pixels are ``real = scale * q + offset``, a padded tap, 0, is seldom a whole ``q``. What such taps add to a sum is
rounded to one, and a sum that is half a step off falls on the wrong side of a threshold now and then. With weights and
steps multiplied, by as much as 16-bit weights and 32-bit sums allow, the fraction that is lost no longer matters::

    integer_conv(x, w) of step s  ->  integer_conv(x, 2**k w) of step s / 2**k

Bits are left alone: the kernels for them are worth more, and 0 lies in the middle between their levels.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bnncompiler.ir import Graph, Node
from bnncompiler.ops import IntegerConv

WIDEST_WEIGHT, WIDEST_SUM = 2**14, 2**30


@dataclass(frozen=True)
class RefineBorders:
    """A convolution with ternary weights whose border adds fractions to one with larger weights and smaller steps."""

    name: str = "refine-borders"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with fine sums wherever padding needs them."""

        def rule(node: Node) -> Node | None:
            if not isinstance(node, IntegerConv) or node.type.domain is None or not node.is_padded or node.shift:
                return None
            whole = node.pad_code is not None or bool((node.pad_q == np.rint(node.pad_q)).all())
            if whole or node.x.domain.is_bipolar or np.abs(node.weight).max(initial=0) > 1:
                return None
            factor = min(WIDEST_WEIGHT, WIDEST_SUM // max(1, *(abs(b) for b in node.domain.bounds)))
            if factor < 2:
                return None
            factor = 1 << factor.bit_length() - 1
            return replace(node, weight=node.weight * np.int16(factor), scale=node.scale / factor)

        return graph.rewrite(rule)
