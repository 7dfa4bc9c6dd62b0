"""The self-test of an emitted program: made-up inputs, and the outputs that the program's numpy meaning gives for them.

The inputs are computed on the target (`kernels/bnn_noise.h`), so that only the outputs take flash. They are spread
evenly over what the input's domain allows; packed bits are any bytes, those behind the last bit included.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler.ir import Array, per_element
from bnncompiler.program import Buffer, LoadBits, Port, Program

VECTORS = 4


@dataclass(frozen=True)
class Range:
    """What the elements of an input can be: ``lo + step * k`` with ``k < levels``, ``lo`` and ``levels`` by row."""

    lo: Array
    levels: Array
    step: int


def input_range(program: Program, port: Port) -> Range:
    """What the self-test feeds into ``port``."""
    if any(isinstance(c, LoadBits) and c.x.name == port.buffer.name for c in program.calls):
        return Range(np.zeros(1, np.int64), np.full(1, 256), 1)
    domain = port.type.domain
    assert domain is not None, f"the input {port.name} has no domain"
    count = max(len(domain.lo), len(domain.hi))
    lo, hi = per_element(domain.lo, count), per_element(domain.hi, count)
    return Range(lo, (hi - lo) // domain.step + 1, domain.step)


def vectors(program: Program) -> list[dict[str, Array]]:
    """``VECTORS`` samples of inputs by buffer name: the same that the emitted C makes."""
    samples: list[dict[str, Array]] = []
    drawn = 0
    for _ in range(VECTORS):
        sample = {}
        for port in program.inputs:
            sample[port.buffer.name] = _fill(port.buffer, input_range(program, port), drawn, program.word_bits)
            drawn += port.buffer.count
        samples.append(sample)
    return samples


def expected(program: Program) -> list[Array]:
    """For each output the integers of all vectors, one after the other."""
    runs = [program.run(sample) for sample in vectors(program)]
    return [np.concatenate([run[port.buffer.name].reshape(-1) for run in runs]) for port in program.outputs]


def _fill(buffer: Buffer, span: Range, drawn: int, word_bits: int) -> Array:
    noise = _noise(np.arange(drawn + 1, drawn + 1 + buffer.count, dtype=np.uint32)).astype(np.int64)
    row = np.arange(buffer.count) % len(span.lo)
    filled: Array = (span.lo[row] + span.step * (noise % span.levels[row])).astype(buffer.dtype(word_bits))
    return filled


def _noise(i: Array) -> Array:
    """``bnn_noise`` for each of ``i`` (uint32)."""
    i = (i ^ (i >> np.uint32(16))) * np.uint32(0x85EBCA6B)
    i = (i ^ (i >> np.uint32(13))) * np.uint32(0xC2B2AE35)
    return i ^ (i >> np.uint32(16))
