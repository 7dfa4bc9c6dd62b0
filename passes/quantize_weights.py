"""Quantise weights: real weights, and weights that must take up their input's scales, become integers of bounded error.

First and last layers often keep real weights. Each row gets its own scale and as many bits as ``weight_bits`` and a
32-bit accumulator allow: ``sum_i |q_w[i]| * max |q_x| < 2**31``. Rows that have an integer grid by nature keep it.

Where the input's grid differs from element to element (``x_i = s_i q_i + o_i``), the scales move into the weights and the
offsets into the bias, and the layer reads the integers themselves::

    sum_i w_i x_i + b  =  sum_i (w_i s_i) q_i  +  (b + sum_i w_i o_i)
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler.ir import Array, Graph, Node, per_element
from bnncompiler.ops import Dense, IntegerDense
from bnncompiler.passes.binarize_weights import integer_rows

ACCUMULATOR_LIMIT = 2**31 - 1


@dataclass(frozen=True)
class QuantizeWeights:
    """``dense`` on an integer input, and ``integer_dense`` on an uneven one, to ``integer_dense`` with a known domain.

    Attributes:
        weight_bits: bits of a real weight, sign included, at most 16.
    """

    weight_bits: int = 16
    name: str = "quantize-weights"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with integer weights wherever the input is an integer."""

        def rule(node: Node) -> Node | None:
            match node:
                case Dense(name, x, weight, bias, dtype) if x.type.domain is not None:
                    return self._quantize(name, x, np.asarray(weight, np.float64), 0.0, bias, dtype)
                case IntegerDense(name, x, weight, scale, bias, error, dtype) if (
                    x.type.domain is not None and node.type.domain is None
                ):
                    real = weight * per_element(scale, len(weight))[:, None]
                    return self._quantize(name, x, real, float(error.max()), bias, dtype)
            return None

        return graph.rewrite(rule)

    def _quantize(self, name: str, x: Node, weight: Array, error: float, bias: Array | None, dtype: str) -> IntegerDense:
        ins = weight.shape[1]
        domain = x.domain
        if not domain.is_uniform:
            offset = weight @ per_element(domain.offset, ins)
            bias = offset if bias is None else bias + offset
            weight = weight * per_element(domain.scale, ins)
            error = error * float(np.abs(domain.scale).max())
        q, scale, rounding = self._integers(weight, np.maximum(np.abs(per_element(domain.lo, ins)), np.abs(per_element(domain.hi, ins))))
        return IntegerDense(name, x, q, scale, bias, rounding + error, dtype, unit_input=not domain.is_uniform)

    def _integers(self, weight: Array, x_max: Array) -> tuple[Array, Array, Array]:
        """Integers, scales and errors of the rows of ``weight``, for inputs of at most ``x_max``."""
        rows = integer_rows(weight)
        q, scale, error = rows.q.astype(np.int64), rows.scale.copy(), rows.error.copy()
        todo = ~rows.known
        largest = np.abs(weight[todo]).max(axis=1, initial=1e-30)
        by_sum = (ACCUMULATOR_LIMIT - 0.5 * x_max.sum()) / np.maximum(np.abs(weight[todo]) @ x_max, 1e-30)
        steps = np.floor(np.minimum(2 ** (self.weight_bits - 1) - 1, by_sum * largest))
        unit = largest / np.maximum(steps, 1)
        q[todo] = np.rint(weight[todo] / unit[:, None])
        scale[todo], error[todo] = unit, np.abs(weight[todo] - q[todo] * unit[:, None]).max(axis=1, initial=0)
        return q.astype(np.int16), scale, error
