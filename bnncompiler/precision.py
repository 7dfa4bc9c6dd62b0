"""What other widths of hidden streams would cost, and save: the same network compiled with them, and run.

Nothing here is estimated. For each width the graph is made anew on the ranges that the compilation had, lowered and
planned, so that flash and arena are real, and run on samples, so that the agreement with onnxruntime is, too. The
interpreter stands for the C, which verification has shown to be the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from bnncompiler import compiler, data, grid, interpreter, verification
from bnncompiler.compiler import Compilation
from bnncompiler.errors import CompileError
from bnncompiler.ir import Array, Node
from bnncompiler.ops import IntegerAdd, IntegerMul, Lookup, Requantize
from bnncompiler.reference import Reference
from bnncompiler.widths import COMPACT, PRECISE

BITS = (8, 12, COMPACT, PRECISE)
AFFORDABLE = 1 << 19  # values of a network for which this is done without being asked for
SAMPLES = 64


@dataclass(frozen=True)
class Choice:
    """A width of hidden streams and what comes of it; ``error_bound`` is the stated one, the rest is measured.

    Attributes:
        stream_bits: the width; accumulators have 32 bits up to 16, and sums of 64 bits are allowed above.
        error_bound: on any output, where no rounding decides a hidden value.
        argmax_agreement: in which part of the samples onnxruntime chooses the same class.
        accuracy: on the labels, None without labels.
        flash_bytes: of constant tables.
        arena_bytes: of working memory.
    """

    stream_bits: int
    error_bound: float
    argmax_agreement: float
    accuracy: float | None
    flash_bytes: int
    arena_bytes: int

    def __str__(self) -> str:
        accuracy = "" if self.accuracy is None else f", accuracy {self.accuracy:.2%}"
        return (
            f"--stream-bits {self.stream_bits}: argmax agrees on {self.argmax_agreement:.2%}{accuracy}, stated bound "
            f"{self.error_bound:.3g}, {self.flash_bytes:,} B of flash, {self.arena_bytes:,} B of arena"
        )


def choices(compilation: Compilation, source: data.Source, bits: Sequence[int] | None = None) -> tuple[Choice, ...]:
    """What each of ``bits`` (by default, `BITS`, of networks that are not large) would cost on the first samples.

    A width that changes nothing is left out: one above all streams, where these are narrower than they could be. So is
    one that the network cannot be compiled with.

    Raises:
        UsageError: the samples do not fit the model.
    """
    graph = compilation.graph
    if bits is None:
        bits = BITS if sum(n.type.size for n in graph.nodes()) <= AFFORDABLE else ()
    widest = max((_bits(n) for n in graph.nodes() if n not in graph.outputs), default=0)
    own = compilation.stream_bits
    bits = [b for b in bits if b < min(own, widest) or (own < b and own <= widest)]
    if not bits:
        return ()
    samples = data.load(source, compilation.imported).first(SAMPLES)
    expected = expected_classes(compilation, samples)
    found = []
    for width in bits:
        narrowed = replace(compilation.options, stream_bits=width, verify_each=False, choices=None)
        try:
            other = compiler.remade(compilation, narrowed)
        except CompileError:
            continue
        ours = interpreted_classes(other, samples)
        right = None if samples.labels is None or ours.ndim > 1 else float((ours == samples.labels).mean())
        agreement, program = float(np.mean(ours == expected)), other.program
        found.append(Choice(width, other.error_bound, agreement, right, program.flash_bytes, program.arena_size))
    return tuple(found)


def interpreted_classes(compilation: Compilation, samples: data.Samples) -> Array:
    """The class of each sample that the program chooses, in the interpreter."""
    inputs = {g.name: grid.to_q(g, samples.arrays[g.name]).q for g in compilation.grids}
    output = interpreter.run(compilation.graph, inputs)[compilation.graph.outputs[0]]
    return verification.classes(compilation, output.reshape(len(samples), -1))


def expected_classes(compilation: Compilation, samples: data.Samples) -> Array:
    """The class of each sample, rounded to the input's grid, that onnxruntime chooses."""
    real = {g.name: grid.to_real(g, grid.to_q(g, samples.arrays[g.name]).q) for g in compilation.grids}
    return verification.reference_classes(compilation, Reference(compilation.imported).end_to_end(real)[0])


def _bits(node: Node) -> int:
    """The width of a stream; 0 for what is none."""
    if not isinstance(node, Requantize | Lookup | IntegerAdd | IntegerMul) or node.domain.is_exact:
        return 0
    return max(abs(b) for b in node.domain.bounds).bit_length() + 1
