"""Quantise weights: real weights, and weights that must take up their input's scales, become integers of bounded error.

First and last layers often keep real weights. Each row gets its own scale and as many bits as are wanted and a 32-bit
accumulator allows: ``sum_i |q_w[i]| * max |q_x| < 2**30``. Rows that have an integer grid by nature keep it. Where that
would cost them more than `WORTH_64` bits, or those with a grid of their own any, sums are taken in 64 bits and rounded
to 32 by a shift.

Wanted are 24 bits, as many as float32 has, because errors grow: a sign that falls the other way changes all sums of the
next layer by 2. Behind the last layer nothing grows, and 16 bits are enough. So are they, in sums of 32 bits, where
streams of at most 16 bits were asked for: then precision is not what counts.

Where the input's grid differs from element to element (``x_i = s_i q_i + o_i``), the scales move into the weights and
the offsets into the bias, and the layer reads the integers themselves::

    sum_i w_i x_i + b  =  sum_i (w_i s_i) q_i  +  (b + sum_i w_i o_i)
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from bnncompiler.ir import Array, Domain, Graph, Node, per_element
from bnncompiler.ops import Conv, Dense, IntegerConv, IntegerDense
from bnncompiler.passes.binarize_weights import integer_rows
from bnncompiler.passes.linear import (
    Integer,
    Real,
    crowds,
    input_rows,
    integer,
    is_real,
    is_wide,
    may_be_wide,
    weight_rows,
)

# Of sums of 32 bits. Kernels add codes, which begin at 0 where the integers do not: they are up to twice as large.
ACCUMULATOR_LIMIT = 2**30 - 1
WIDE_LIMIT = 2**62
WORTH_64 = 1  # bits
USUAL, FINEST = 16, 24  # bits of a weight
SUM_BITS = 30  # of a sum of 64 bits that are kept, its sign not counted


@dataclass(frozen=True)
class QuantizeWeights:
    """Layers with real weights on an integer input, and integer ones on an uneven input, to integer ones with a domain.

    Attributes:
        weight_bits: bits of a real weight, sign included, at most 24; None for as many as are worth it.
        wide: whether sums of 64 bits are wanted where they are worth it.
    """

    weight_bits: int | None = None
    wide: bool = True
    name: str = "quantize-weights"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with integer weights wherever the input is an integer."""
        inner = _inner(graph)
        originals = iter(graph.nodes())

        def rule(node: Node) -> Node | None:
            finest = FINEST if next(originals) in inner else USUAL
            match node:
                case Dense() | Conv() if _is_ready(node) and not crowds(node, wide=self.wide):
                    return self._quantize(node, np.asarray(weight_rows(node), np.float64), 0.0, finest)
                case IntegerDense() | IntegerConv() if (
                    is_real(node) and _is_ready(node) and not crowds(node, wide=self.wide)
                ):
                    real = weight_rows(node) * per_element(node.scale, len(node.weight))[:, None]
                    layer = self._quantize(node, real, float(node.weight_error.max()), finest)
                    return None if is_real(layer) else layer
            return None

        return graph.rewrite(rule)

    def _quantize(self, node: Real | Integer, weight: Array, error: float, finest: int) -> Integer:
        domain, bias = _input(node), node.bias
        assert domain is not None
        if not domain.is_uniform:
            offset = (weight * input_rows(node, domain.offset)).sum(axis=1)
            bias = offset if bias is None else bias + offset
            weight = weight * input_rows(node, domain.scale)
            error = error * float(np.abs(domain.scale).max())
        x_max = np.maximum(np.abs(input_rows(node, domain.lo)), np.abs(input_rows(node, domain.hi)))
        x_max = np.broadcast_to(x_max, weight.shape)
        bits, shift, uneven = self.weight_bits or (finest if self.wide else USUAL), 0, not domain.is_uniform
        largest = _largest_sum(_integers(weight, x_max, WIDE_LIMIT, bits)[0], x_max)
        by_nature = bool(integer_rows(weight).known.any())  # one bit less would be another filter
        if self.wide and largest >> (0 if by_nature else WORTH_64) > ACCUMULATOR_LIMIT and may_be_wide(node):
            q, scale, rounding = _integers(weight, x_max, WIDE_LIMIT, bits)
            shift = max(0, _largest_sum(q, x_max).bit_length() - SUM_BITS)
        else:
            q, scale, rounding = _integers(weight, x_max, ACCUMULATOR_LIMIT, bits)
        layer = integer(node, q, scale, rounding + error, bias, unit_input=uneven, shift=shift)
        if isinstance(layer, IntegerConv) and not domain.is_uniform:
            # The weights multiply q itself, and so padded taps are given in its units, too.
            pad_q = (layer.pad_value - domain.offset) / np.where(domain.scale == 0, np.inf, domain.scale)
            layer = replace(layer, pad_value=pad_q)
        return layer


def _input(node: Real | Integer) -> Domain | None:
    """The domain of the layer's input by element or channel; None where there is none that weights can take up."""
    known = node.x.type.domain
    return known if known is None or isinstance(node, Dense | IntegerDense) else known.by_channel(node.x.type.channels)


def _is_ready(node: Real | Integer) -> bool:
    """Whether the layer reads integers that leave room for sums."""
    return _input(node) is not None and not is_wide(node.x)


def _inner(graph: Graph) -> set[Node]:
    """The nodes behind which there is another layer."""
    inner: set[Node] = set()
    for node in reversed(graph.nodes()):
        if node in inner or isinstance(node, Dense | Conv | IntegerDense | IntegerConv):
            inner.update(node.operands)
    return inner


def _largest_sum(q: Array, x_max: Array) -> int:
    """The largest sum that integer weights and inputs of at most ``x_max`` can have."""
    return int((np.abs(q.astype(np.int64)) * x_max).sum(axis=1).max())


def _integers(weight: Array, x_max: Array, limit: int, bits: int) -> tuple[Array, Array, Array]:
    """Integers of ``bits``, scales and errors of the rows of ``weight``, for inputs to ``x_max``, sums to ``limit``."""
    rows = integer_rows(weight)
    q, scale, error = rows.q.astype(np.int64), rows.scale.copy(), rows.error.copy()
    todo = ~rows.known | ((np.abs(q) * x_max).sum(axis=1) > limit)  # too long for the sum: fewer bits, as real ones
    largest = np.abs(weight[todo]).max(axis=1, initial=1e-30)
    reach = (np.abs(weight[todo]) * x_max[todo]).sum(axis=1)
    by_sum = (limit - 0.5 * x_max[todo].sum(axis=1)) / np.maximum(reach, 1e-30)
    steps = np.floor(np.minimum(2 ** (bits - 1) - 1, by_sum * largest))
    unit = largest / np.maximum(steps, 1)
    q[todo] = np.rint(weight[todo] / unit[:, None])
    scale[todo], error[todo] = unit, np.abs(weight[todo] - q[todo] * unit[:, None]).max(axis=1, initial=0)
    return q.astype(np.int16 if bits <= 16 else np.int32), scale, error
