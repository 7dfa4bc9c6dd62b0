"""What a node of the finished graph became and why, in the words of the field, for the report."""

from __future__ import annotations

import numpy as np

from bnncompiler import blur, ops
from bnncompiler.ir import Domain, Node

Layer = ops.IntegerDense | ops.IntegerConv
Words = tuple[str, str]  # the kind in a few words, and the reason


def is_exact(node: Node) -> bool:
    """Whether the node's value equals the reference's for every input that reaches it."""
    return node.domain.is_exact and not (isinstance(node, ops.Steps) and blur.count(node))


def node(node: Node, *, with_layer: bool = False) -> Words:
    """What ``node`` became, and why; ``with_layer``: together with the layer before it, in one loop."""
    match node:
        case ops.Steps(x=x) | ops.Requantize(x=x) if with_layer and isinstance(x, Layer):
            (layer, of), (kind, why) = _layer(x), _function(node)
            if isinstance(node, ops.Steps) and kind == "binary activation":
                kind = "threshold"
            return f"{layer}, {kind}", f"{of}; {why}"
        case ops.Steps() | ops.Requantize() | ops.Lookup():
            return _function(node)
        case ops.IntegerDense() | ops.IntegerConv():
            return _layer(node)
        case ops.MaxPool():
            taps = int(np.prod(node.window.kernel))
            how = "an OR" if node.domain.is_bipolar else "compared as integers"
            return f"max pool {_size(node.window.kernel)}", f"{node.window}: the largest of {taps}, {how}"
        case ops.IntegerAdd():
            return "sum", "both operands are on one grid, so that their integers are added" + _within(node)
        case ops.IntegerMul():
            return "product", "the product of the operands' integers" + _within(node)
        case _:
            return OTHERS.get(type(node), (node.op, "no arithmetic"))


OTHERS: dict[type[Node], Words] = {
    ops.ArgMax: ("argmax", "the index of the largest, the first of equals"),
    ops.Largest: ("largest", "the largest values in falling order"),
    ops.Concat: ("concat", "the channels of one operand after those of the other"),
    ops.Input: ("input", "the caller's elements become words of bits"),
    ops.Pad: ("pad", "a border of one value"),
    ops.Permute: ("reorder", "the same elements in another order"),
}


def levels(domain: Domain) -> str:
    """How many values a domain has, in the field's words: binary, ternary, or so many bits."""
    lo, hi = domain.bounds
    count = (hi - lo) // domain.step + 1
    return {1: "constant", 2: "binary", 3: "ternary"}.get(count, f"{max(1, (count - 1).bit_length())}-bit")


def _size(kernel: tuple[int, int]) -> str:
    return f"{kernel[0]}x{kernel[1]}"


def _weights(node: Layer) -> str:
    values = set(np.unique(node.weight).tolist())
    if values <= {-1, 1}:
        return "binary"
    if values <= {-1, 0, 1}:
        return "ternary"
    largest = int(np.abs(node.weight).max())
    return f"{largest.bit_length() + 1}-bit"


def _layer(node: Layer) -> Words:
    weights, taps = _weights(node), node.weight[0].size
    lo, hi = node.domain.bounds
    error = float(node.weight_error.max())
    how = f"real weights on a {weights} grid, within {error:.2g} each" if error else f"{weights} weights"
    rounding = f"float32 rounds it by up to {node.domain.error.max():.2g}"
    why = f"the sum of {taps} products is {lo}..{hi}, {'exact in float32' if node.domain.is_exact else rounding}"
    if isinstance(node, ops.IntegerDense):
        return f"{levels(node.x.domain)} x {weights} dense", f"{how}; {why}"
    if _is_mean(node):
        return f"average pool {_size(node.window.kernel)}", f"{node.window}: the sum of {taps}; its scale divides"
    conv = f"{_groups(node)}conv {_size(node.window.kernel)}"
    return f"{levels(node.x.domain)} x {weights} {conv}", f"{node.window}; {how}; {why}"


def _groups(node: ops.IntegerConv) -> str:
    if node.group == 1:
        return ""
    return "depthwise " if node.group == node.x.type.channels else f"{node.group}-group "


def _is_mean(node: ops.IntegerConv) -> bool:
    """Whether this adds up each channel by itself."""
    return node.group == len(node.weight) == node.x.type.channels and bool((node.weight == 1).all())


def _function(node: ops.Steps | ops.Requantize | ops.Lookup) -> Words:
    if isinstance(node, ops.Lookup):
        return "lookup", f"a curve of {node.table.shape[1]} possible accumulators, tabulated" + _within(node)
    return _activation(node) if isinstance(node, ops.Steps) else _fixed_point(node)


def _activation(node: ops.Steps) -> Words:
    rows, count = node.at.shape
    each = "each" if rows > 1 else "all"
    thresholds = {0: "no threshold", 1: "one threshold"}.get(count, f"{count} thresholds")
    where = f"{rows} channels, {thresholds} {each}" if count else "the same for every accumulator"
    open_points = blur.count(node)
    rounding = f"; float32 rounding decides at {open_points} accumulators" if open_points else ""
    why = f"{len(np.unique(node.levels))} values on {node.x.type.domain}: {where}{rounding}"
    return f"{levels(node.out)} activation", why


def _fixed_point(node: ops.Requantize) -> Words:
    pieces = node.start.shape[1]
    if node.shift == 0 and node.start.shape == (1, 1) and node.multiplier[0, 0] == 1 and node.bias[0, 0] == 0:
        return "scale", "the same integers on another grid: no code" + _within(node)
    lines = "linear" if pieces == 1 else f"linear in {pieces} pieces"
    shift = f", shift by {node.shift}" if node.shift else ""
    lo, hi = node.out.bounds
    kind = "fixed point" if hi - lo >= 1 << 16 else f"{levels(node.out)} fixed point"
    low, high = (float(node.out.scale[0]) * end for end in (lo, hi))
    clipped = f"; saturates outside of {low:.3g}..{high:.3g}" if node.saturates else ""
    return kind, f"{lines}: multiply, add{shift}{_within(node)}{clipped}"


def _within(node: Node) -> str:
    return "" if node.domain.is_exact else f", within {node.domain.error.max():.2g}"
