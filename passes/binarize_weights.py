"""Binarize weights: real weights that are really integers become integers, whatever idiom made them.

The pattern is a set of values, not a chain of nodes: by now the frontend has evaluated ``Sign(W)``, ``alpha *
Sign(W)``, ``Where(W >= 0, 1, -1)``, unpacked bytes and folded batch norms into plain numbers. A row (output channel)
whose values are ``{-a, a}`` is ``a`` times bipolar weights, ``{-a, 0, a}`` ternary, and ``{±a, ±3a}`` a 2-bit one,
with its own ``a``. So is one of 8 bits, as files with quantised weights have them::

    dense(x, W)  ->  integer_dense(x, Q, scale)        W[o, i] = scale[o] * Q[o, i]

A row of zeros takes no part in that: beside bipolar rows it is any of them with a scale of 0, so that a channel that
training has switched off does not make a layer ternary.

Values that differ by less than `TOLERANCE` are one value: residues such as ``s - c + c`` leave an ulp of noise, which
the new node carries as its weight error.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler.ir import Array, Graph, Node
from bnncompiler.ops import Conv, Dense
from bnncompiler.passes.linear import integer, weight_rows

TOLERANCE = 2e-6
LARGEST = 255
FEW = 3  # a row's smallest weight is up to so many steps where training made the levels, with an idiom's residue
EXACT = 2.0**-22  # up to `LARGEST` where a quantiser did: then they are multiples but for rounding


@dataclass(frozen=True)
class IntegerRows:
    """Weights as integers: ``weight[o, i] = scale[o] * q[o, i]`` within ``error[o]``, where ``known``."""

    q: Array
    scale: Array
    error: Array
    known: Array


def integer_rows(weight: Array) -> IntegerRows:
    """Find the integer grid of each row of ``weight [out, in]``; a row without one is not ``known`` and is left 0."""
    w = np.asarray(weight, np.float64)
    size = np.abs(w)
    largest = size.max(axis=1, initial=0)
    nonzero = size > TOLERANCE * largest[:, None]
    smallest = np.where(nonzero, size, np.inf).min(axis=1, initial=np.inf)
    smallest = np.where(np.isfinite(smallest), smallest, 1.0)
    q, scale = np.zeros(w.shape, np.int16), np.ones(len(w))
    error, known = np.zeros(len(w)), largest == 0
    for divisor in range(1, LARGEST + 1):
        todo = np.flatnonzero(~known & (largest * divisor <= (LARGEST + 0.5) * smallest))
        if not len(todo):
            continue
        unit = smallest[todo] / divisor
        codes = np.rint(w[todo] / unit[:, None])
        tolerance = (TOLERANCE if divisor <= FEW else EXACT) * largest[todo]
        fits = np.abs(w[todo] - codes * unit[:, None]).max(axis=1) <= tolerance
        rows = todo[fits]
        q[rows] = codes[fits]
        scale[rows] = unit[fits] if divisor == 1 else largest[rows] / np.abs(q[rows]).max(axis=1)
        error[rows] = np.abs(w[rows] - q[rows] * scale[rows, None]).max(axis=1)
        known[rows] = True
    zero = largest == 0
    if zero.any() and not zero.all() and np.isin(q[~zero], (-1, 1)).all():
        q[zero], scale[zero] = 1, 0
    return IntegerRows(q, scale, error, known)


@dataclass(frozen=True)
class BinarizeWeights:
    """``dense`` and ``conv`` whose rows all have an integer grid to ``integer_dense`` and ``integer_conv``."""

    name: str = "binarize-weights"

    def __call__(self, graph: Graph) -> Graph:
        """The graph with bipolar, ternary and few-bit weights as integers."""

        def rule(node: Node) -> Node | None:
            match node:
                case Dense() | Conv():
                    rows = integer_rows(weight_rows(node))
                    if rows.known.all():
                        return integer(node, rows.q, rows.scale, rows.error, node.bias)
            return None

        return graph.rewrite(rule)
