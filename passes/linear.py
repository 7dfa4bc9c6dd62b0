"""What dense layers and convolutions have in common for the passes: rows of weights over a flat run of inputs.

A convolution's weights ``[out, height, width, in]`` are rows ``[out, height * width * in]``, and its input's channels
repeat once a tap. Passes that look at rows work on both through these few functions.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from bnncompiler.ir import Array, Domain, Node, per_element
from bnncompiler.ops import (
    Concat,
    Conv,
    Dense,
    IntegerAdd,
    IntegerConv,
    IntegerDense,
    IntegerMul,
    MaxPool,
    Pad,
    Permute,
)
from bnncompiler.widths import COMPACT, PRECISE

WIDEST_STREAM = 2**19  # integers below this leave a 32-bit accumulator room for thousands of inputs
WORTH_NARROWING = 2  # bits
UNEVEN = 2**6  # scales side by side that are this far apart, for their ranges, cost weights too many bits

Real = Dense | Conv
Integer = IntegerDense | IntegerConv


def weight_rows(node: Real | Integer) -> Array:
    """The weights as ``[out, inputs of one output]``."""
    return np.asarray(node.weight.reshape(len(node.weight), -1))


def input_rows(node: Real | Integer, values: Array) -> Array:
    """Row values of the input, spread over the inputs of each output: ``[out or 1, inputs of one output]``."""
    if isinstance(node, Dense | IntegerDense):
        return per_element(values, node.weight.shape[1])[None, :]
    group = node.group
    channels, taps = node.weight.shape[3], node.weight.shape[1] * node.weight.shape[2]
    by_group = per_element(values, channels * group).reshape(group, channels)
    return np.asarray(np.repeat(np.tile(by_group, taps), len(node.weight) // group, axis=0))


def integer(
    node: Real | Integer,
    weight: Array,
    scale: Array,
    error: Array,
    bias: Array | None,
    *,
    unit_input: bool = False,
    shift: int = 0,
) -> Integer:
    """The layer with integer weights (rows, as from `weight_rows`) in place of its own."""
    shaped = weight.reshape(node.weight.shape)
    if isinstance(node, Dense | IntegerDense):
        return IntegerDense(node.name, node.x, shaped, scale, bias, error, node.dtype, unit_input, shift)
    return IntegerConv(
        node.name,
        node.x,
        shaped,
        scale,
        bias,
        node.window,
        node.group,
        node.pad_value,
        error,
        node.dtype,
        unit_input,
        shift,
    )


def negated(node: Integer, sign: Array) -> Integer:
    """The layer with the outputs where ``sign`` is -1 negated, in weights and scale alike: the same real values."""
    shape = (-1,) + (1,) * (node.weight.ndim - 1)
    return replace(
        node,
        weight=(node.weight * sign.reshape(shape)).astype(node.weight.dtype),
        scale=per_element(node.scale, len(node.weight)) * sign,
    )


def stream_width(bits: int, readers: list[Node]) -> int:
    """The width of a stream: ``bits``, or fewer where a reader's accumulators could not hold its sums.

    A reader with real weights takes half of the room of 32 bits for them, or adds streams of more than 16 bits in 64.
    """
    for reader in readers:
        if isinstance(reader, Dense | Conv) and not (bits > COMPACT and may_be_wide(reader)):
            bits = min(bits, (30 - max(0, reader.weight[0].size - 1).bit_length()) // 2 + 1)
        elif isinstance(reader, IntegerDense | IntegerConv):
            bits = min(bits, 31 - int(np.abs(weight_rows(reader)).sum(axis=1, dtype=np.int64).max()).bit_length())
    return max(4, bits)


def may_be_wide(node: Real | Integer) -> bool:
    """Whether the layer may add in 64 bits: what stands in the place of padded taps, if any, is 0 on the grid."""
    if isinstance(node, Dense | IntegerDense) or not node.window.reaches_out(node.x.type.shape):
        return True
    domain = node.x.type.domain
    return not np.any(node.pad_value) and (domain is None or not domain.offset.any())


def is_real(node: Node) -> bool:
    """Whether the node is a layer or a pool without a domain."""
    return isinstance(node, Dense | Conv | IntegerDense | IntegerConv | MaxPool) and node.type.domain is None


def is_wide(node: Node) -> bool:
    """Whether no layer reads the node as it is: sums with scales of their own, or wider than a stream, wherever moved.

    So are values side by side whose scales are so far apart that weights that took them up would lose the small ones.
    """
    domain = node.type.domain
    if domain is None:
        return False
    if _spread(domain) >= UNEVEN:
        return True
    if isinstance(node, Permute | Pad | Concat):
        return any(is_wide(operand) for operand in node.operands)
    if not isinstance(node, IntegerDense | IntegerConv | IntegerAdd | IntegerMul):
        return False
    return not domain.is_uniform or max(abs(b) for b in domain.bounds) >= WIDEST_STREAM


def crowds(node: Node, *, wide: bool) -> bool:
    """Whether the stream that a layer reads takes bits of a sum that its weights need.

    Real weights need half of them, integer ones as many as they are long: fewer would be another filter.

    Args:
        node: any node.
        wide: whether sums may have 64 bits.
    """
    if not isinstance(node, Dense | Conv | IntegerDense | IntegerConv):
        return False
    domain = node.x.type.domain
    if domain is None or domain.is_exact:
        return False
    bits = max(abs(b) for b in domain.bounds).bit_length() + 1
    if isinstance(node, IntegerDense | IntegerConv):
        overflows = node.type.domain is None and domain.is_uniform
        return overflows and not (wide and may_be_wide(node)) and bits > stream_width(bits, [node])
    return bits >= stream_width(PRECISE if wide else COMPACT, [node]) + WORTH_NARROWING


def _spread(domain: Domain) -> float:
    """By how much weights that take up the scales of ``domain`` are coarser than ones on an even grid of its range."""
    scale, largest = np.abs(domain.scale), np.maximum(np.abs(domain.lo), np.abs(domain.hi))
    size = max(len(scale), len(largest))
    reach = float((per_element(scale, size) * per_element(largest, size)).max())
    return float(scale.max() * largest.max()) / reach if reach else 1.0
