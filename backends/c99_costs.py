"""What the portable kernels cost on a machine with 64-bit registers, in its cycles.

The constants are rounded from `benchmarks/kernels.py` for code without machine-specific instructions; bipolar products
have figures of their own for AVX2, with which popcounts and rows that are looked up are several times as fast. A model
gives those for AVX-512, counts of instructions those for AArch64. Narrower words are for machines of which nothing is
known here: they take the kernel with the smallest tables. What integers cost with AVX2, by limbs and in 64 bits is
measured at 1 to 147 inputs of 8 to 64 outputs at 28 pixels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from bnncompiler import dense_calls
from bnncompiler.costs import Cost, Span, Work
from bnncompiler.limb_calls import GROUP, DenseLimbs, DenseWideTiled
from bnncompiler.nibble_calls import OUTS, STRIDE, ConvolveNibbles, SumNibbles, groups, scratch_count
from bnncompiler.packing import tails_save, words
from bnncompiler.plane_calls import ConvolvePlanes, Planes, plane_digits
from bnncompiler.program import Call
from bnncompiler.sliced_calls import (
    ConvolveRowSliced,
    DenseSliced,
    DenseSlicedBorder,
    DenseSlicedThreshold,
    sliced_digits,
)
from bnncompiler.tiled_calls import TILE, DenseTiled, DenseTiledThreshold

OUTPUT, OUTPUT_VECTORS = 3.0, 1.0  # cycles that come with each output

# Cycles for a word of inputs and weights, and how many rows of weights there are for an output.
BY_WORD: dict[type[Call], tuple[float, int]] = {
    dense_calls.DenseXnor: (5, 1),
    dense_calls.DenseThreshold: (5, 1),
    DenseTiled: (3, 1),
    DenseTiledThreshold: (3, 1),
    dense_calls.DenseBipolar: (5, 1),
    dense_calls.DenseTernary: (10, 2),
}
# The same, where AVX2 instructions may be used.
BY_WORD_VECTORS: dict[type[Call], tuple[float, int]] = BY_WORD | {
    dense_calls.DenseXnor: (1.1, 1),
    dense_calls.DenseThreshold: (1.1, 1),
    DenseTiled: (0.77, 1),
    DenseTiledThreshold: (0.77, 1),
}
# The same for AArch64, whose instructions QEMU counts: three in a cycle.
BY_WORD_NEON: dict[type[Call], tuple[float, int]] = BY_WORD | {
    dense_calls.DenseXnor: (3.3, 1),
    dense_calls.DenseThreshold: (3.3, 1),
    DenseTiled: (3, 1),
    DenseTiledThreshold: (3, 1),
    dense_calls.DenseBipolar: (3.3, 1),
    dense_calls.DenseTernary: (6.6, 2),
}
# Cycles for a pixel and a group of four inputs: to find its code, and to look it up for a tile of outputs.
LOOKED_UP, LOOKED_UP_VECTORS = (0.8, 6.0), (0.2, 0.6)
LOOKED_UP_OUTPUT = 0.3
GATHERED = 10.0  # cycles for a tap of a patch
LISTED_LIMIT = 2**16  # inputs of which the bit-sliced kernels can make lists
# Cycles for an output, and for each of its weights.
BY_WEIGHT: dict[type[Call], tuple[float, float]] = {
    dense_calls.DenseInteger: (OUTPUT, 2.5),
    dense_calls.DenseColumns: (OUTPUT, 0.6),
    dense_calls.DenseWide: (OUTPUT, 2.5),
    DenseLimbs: (1.0, 0.15),  # for each limb
    DenseWideTiled: (2.0, 1.5),
}
BY_WEIGHT_VECTORS: dict[type[Call], tuple[float, float]] = {
    dense_calls.DenseInteger: (5.0, 0.33),
    dense_calls.DenseColumns: (0.4, 0.25),
    dense_calls.DenseWide: (OUTPUT, 0.55),
    DenseLimbs: (0.5, 0.055),
    DenseWideTiled: (0.7, 0.25),
}


@dataclass(frozen=True)
class Slices:
    """What bit-sliced counters cost (`backends/kernels/bnn_slices.h`).

    Attributes:
        words: words of outputs in a digit, a register.
        row: cycles for adding the row of an input that is 1 to such counters.
        split: how much longer it takes to add several rows of few outputs, side by side in a register.
        joined: cycles for adding up half of the counters that come of it.
        listed: for an input that is to be listed.
        filled: rows of zeros that fill up a list, on average.
        compared: cycles for a digit and a threshold.
        taken: for a digit of a sum.
    """

    words: int
    row: float
    split: float = 1.4
    joined: float = 100.0
    listed: float = 0.6
    filled: float = 8.0
    compared: float = 2.0
    taken: float = 4.0

    def of(self, kernel: type[Call], work: Work, word_bits: int) -> Cost:
        """At one input in two being 1."""
        out_words, digits, lists = words(work.outs, word_bits), sliced_digits(work.ins), 1
        slices = -(-out_words // self.words)
        by_column, patch, scratch = work.ins, 0.0, 0
        if kernel is ConvolveRowSliced and work.span is not None:
            lists = work.span.window.kernel[1]
            by_column = work.ins // lists * min(lists, work.span.window.stride[1])
            scratch = ConvolveRowSliced.scratch_bytes(work.ins, work.span.window, word_bits)
        elif work.span is not None:
            patch = GATHERED * work.ins / work.span.channels
        cycles = self.listed * by_column + slices * digits * work.thresholds * self.compared + patch
        cycles += out_words // self.words * self._added(work.ins, lists, 1)
        if out_words % self.words:
            cycles += self._added(work.ins, lists, self._parts(out_words % self.words))
        cycles += 0 if work.thresholds else work.outs * digits * self.taken
        classes = 1 if work.span is None else work.span.classes
        numbers = work.thresholds * digits * classes
        flash = (work.ins + lists + numbers) * out_words * word_bits // 8
        return Cost(cycles, flash, scratch, constant_time=False, scratch=scratch)

    def _parts(self, out_words: int) -> int:
        """How many rows of ``out_words`` words are side by side in a register: ``bnn_parts``."""
        return next(parts for parts in (4, 2, 1) if parts == 1 or parts * out_words <= self.words)

    def _added(self, ins: int, lists: int, parts: int) -> float:
        """Cycles for adding the rows of a slice."""
        rows = ins / 2 / parts + self.filled * lists
        return rows * self.row * (self.split if parts > 1 else 1) + self.joined * (parts.bit_length() - 1)


SLICED = (DenseSliced, DenseSlicedBorder, DenseSlicedThreshold, ConvolveRowSliced)
SLICES, SLICES_VECTORS = Slices(words=2, row=1.9), Slices(words=4, row=1.7, listed=0.25)
SLICES_AVX512 = Slices(words=8, row=1.1, listed=0.25)  # by llvm-mca's model of Zen 4 (`python -m benchmarks cycles`)
SLICES_NEON = Slices(words=2, row=2.4, listed=0.8, compared=1.3)


@dataclass(frozen=True)
class Lanes:
    """What a convolution costs whose pixels are lanes of counters (`backends/kernels/bnn_convolve_planes.c`).

    Attributes:
        lanes: pixels that are computed at a time.
        listed: how many taps of an output are listed, on random weights.
        filled: and how often the plane of zeros, which fills up lists.
        plane: cycles for adding a plane.
        output: for an output beside that.
        compared: for a digit and a threshold.
        channel: for what is done once for all outputs, for each channel.
        word: for turning a word of channels into planes, or planes into a word of outputs.
        uncached: how much longer adding takes where planes are in a second-level cache.
    """

    lanes: int
    listed: float = 0.285
    filled: float = 9.3
    plane: float = 1.8
    output: float = 58.0
    compared: float = 2.0
    channel: float = 20.0
    word: float = 1250.0
    uncached: float = 1.25

    def of(self, work: Work, span: Span, word_bits: int) -> Cost | None:
        """Per pixel, also where lanes have none."""
        rows, digits = work.times // span.columns, plane_digits(work.ins)
        planes = Planes.of(span, rows)
        if planes is None:
            return None
        listed = self.listed * work.ins + self.filled
        added = listed * self.plane * (self.uncached if planes.zeros > CACHE else 1)
        block = work.outs * (added + self.output + digits * work.thresholds * self.compared)
        block += self.channel * span.channels
        block += self.word * (words(work.outs, word_bits) + words(span.channels, word_bits))
        cycles = planes.blocks(rows, self.lanes) * block / work.times
        numbers = work.outs * (listed + digits * work.thresholds + 4) + span.channels * 3
        scratch = planes.scratch_bytes(word_bits, digits, span.classes, span.classes)
        return Cost(cycles, 2 * round(numbers), scratch, scratch=scratch)


CACHE = 32 * 2**10  # bytes
LANES, LANES_VECTORS = Lanes(128), Lanes(256)
LANES_AVX512 = Lanes(512, plane=1.1)  # by that model, too
LANES_NEON = Lanes(
    128, plane=6, output=230, compared=7, channel=65, word=4100
)  # not measured: as SLICES_NEON to SLICES


@dataclass(frozen=True)
class WideCosts:
    """The cost model of targets with 64-bit words.

    Attributes:
        vectors: whether the C compiler may use AVX2 instructions.
        slices: what bit-sliced counters cost.
        lanes: what it costs where pixels are their lanes.
        by_word: what is counted by the word (see `BY_WORD`).
        output: cycles that then come with each output.
    """

    vectors: bool = False
    slices: Slices = SLICES
    lanes: Lanes = LANES
    by_word: Mapping[type[Call], tuple[float, int]] = field(default_factory=lambda: BY_WORD)
    output: float = OUTPUT

    def of(self, kernel: type[Call], work: Work, word_bits: int) -> Cost | None:
        """Cycles, and bytes of weights."""
        tile = TILE if kernel in (DenseTiled, DenseTiledThreshold) else 1
        outs = -(-work.outs // tile) * tile
        if kernel in self.by_word:
            cycles, rows = self.by_word[kernel]
            row_words = words(work.ins, word_bits)
            table = outs * row_words * word_bits // 8 - (tails_save(outs, work.ins, word_bits) if tile == 1 else 0)
            return Cost(outs * (row_words * work.planes * cycles + self.output), rows * table)
        if kernel in BY_WEIGHT:
            return self._multiplied(kernel, work)
        if kernel in SLICED:
            return self.slices.of(kernel, work, word_bits) if work.ins < LISTED_LIMIT else None
        if kernel in (ConvolveNibbles, SumNibbles) and work.span is not None:
            return self._looked_up(work, work.span)
        if kernel is ConvolvePlanes and work.span is not None:
            return self.lanes.of(work, work.span, word_bits)
        return None

    def _multiplied(self, kernel: type[Call], work: Work) -> Cost | None:
        """Integers by integers; groups of outputs and pairs of inputs are filled up."""
        output, weight = (BY_WEIGHT_VECTORS if self.vectors else BY_WEIGHT)[kernel]
        grouped = -(-work.outs // GROUP) * GROUP
        if kernel is DenseLimbs:
            if not work.limbs:
                return None
            width, ins = GROUP * (3 - work.limbs), work.ins + work.ins % 2
            outs = -(-work.outs // width) * width
            return Cost(outs * work.limbs * (output + ins * weight), 2 * grouped * ins * work.limbs)
        if kernel is DenseWideTiled:
            return Cost(grouped * (output + work.ins * weight), 4 * grouped * work.ins)
        return Cost(work.outs * (output + work.ins * weight), work.outs * work.ins)

    def _looked_up(self, work: Work, span: Span) -> Cost:
        """Per pixel: the cost of finding codes, and of each group of four inputs for each tile; pixels go in pairs."""
        taps, tiles = work.ins // span.channels, -(-work.outs // OUTS)
        count, pairs = groups(taps, span.channels), -(-span.columns // 2)
        code, group = LOOKED_UP_VECTORS if self.vectors else LOOKED_UP
        cycles = 2 * pairs / span.columns * count * (code + tiles * group) + work.outs * LOOKED_UP_OUTPUT
        limits = 2 * span.classes * -(-work.outs // STRIDE) * STRIDE * work.thresholds
        scratch = 2 * scratch_count(span.columns, taps, span.channels)
        return Cost(cycles, tiles * OUTS * count + limits, scratch)


WIDE = WideCosts()
WIDE_VECTORS = WideCosts(True, SLICES_VECTORS, LANES_VECTORS, BY_WORD_VECTORS, OUTPUT_VECTORS)
WIDE_AVX512 = WideCosts(True, SLICES_AVX512, LANES_AVX512, BY_WORD_VECTORS, OUTPUT_VECTORS)
WIDE_NEON = WideCosts(slices=SLICES_NEON, lanes=LANES_NEON, by_word=BY_WORD_NEON)
