"""What the portable kernels cost on a machine with 64-bit registers, in its cycles.

The constants are rounded from `benchmarks/kernels.py` for code without machine-specific instructions; with them every
kernel is faster, by factors that leave the order between them. Narrower words are for machines of which nothing is
known here: they take the kernel with the smallest tables.
"""

from __future__ import annotations

from dataclasses import dataclass

from bnncompiler import calls
from bnncompiler.costs import Cost, Work
from bnncompiler.limb_calls import GROUP, DenseLimbs
from bnncompiler.packing import words
from bnncompiler.program import Call
from bnncompiler.tiled_calls import TILE, DenseTiled, DenseTiledThreshold

OUTPUT = 3.0  # cycles that come with each output

# Cycles for a word of inputs and weights, and how many rows of weights there are for an output.
BY_WORD: dict[type[Call], tuple[float, int]] = {
    calls.DenseXnor: (5, 1),
    calls.DenseThreshold: (5, 1),
    DenseTiled: (3, 1),
    DenseTiledThreshold: (3, 1),
    calls.DenseBipolar: (5, 1),
    calls.DenseTernary: (10, 2),
}
# Cycles for an integer and a weight.
BY_WEIGHT: dict[type[Call], float] = {calls.DenseInteger: 2.5, calls.DenseColumns: 0.6, calls.DenseWide: 2.5}
BY_LIMB = 0.3  # cycles for a product of limbs


@dataclass(frozen=True)
class WideCosts:
    """The cost model of ``--target host`` and ``64``."""

    def of(self, kernel: type[Call], work: Work, word_bits: int) -> Cost | None:
        """Cycles, and bytes of weights."""
        tile = TILE if kernel in (DenseTiled, DenseTiledThreshold) else 1
        outs = -(-work.outs // tile) * tile
        if kernel in BY_WORD:
            cycles, rows = BY_WORD[kernel]
            row_words = words(work.ins, word_bits)
            return Cost(outs * (row_words * work.planes * cycles + OUTPUT), rows * outs * row_words * word_bits // 8)
        if kernel in BY_WEIGHT:
            return Cost(outs * (work.ins * BY_WEIGHT[kernel] + OUTPUT), outs * work.ins)
        if kernel is DenseLimbs and work.limbs:
            outs = -(-work.outs // GROUP) * GROUP
            return Cost(outs * (work.ins * work.limbs * BY_LIMB + OUTPUT), 2 * outs * work.ins * work.limbs)
        return None


WIDE = WideCosts()
