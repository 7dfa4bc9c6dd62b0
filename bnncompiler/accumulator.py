"""Accumulators: the grid of a sum of integer products, and how far onnxruntime's float32 sum can be from it.

The grid follows from the ranges. The error bound is what decides whether a threshold is exact: sums of small integers
are exact in float32, in any order; everything else is bounded as in Higham, "Accuracy and Stability of Numerical
Algorithms" (2002), chapters 3 and 4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bnncompiler.ir import Array, Domain, per_element, rows

UNIT_ROUNDOFF = {"float16": 2.0**-11, "float32": 2.0**-24, "float64": 2.0**-53}


@dataclass(frozen=True, eq=False)
class Weights:
    """Integer weights ``[out, ...]`` with the real scale, error and bias of each output."""

    q: Array
    scale: Array
    error: Array
    bias: Array | None


def batch_norm_size(x: Array, y: Array, parameters: Sequence[Array], epsilon: float) -> Array:
    """The magnitude of which a BatchNormalization rounds at most a unit: of ``|y|`` where its input is ``|x|``.

    That is ``x * factor + (bias - mean * factor)`` with a rounding of each and several of ``factor``. Where the mean is
    far from 0 it is not small even if ``x`` and ``y`` are.
    """
    scale, bias, mean, var = parameters
    factor = np.abs(scale) / np.sqrt(var + epsilon)
    size: Array = 4 * (y + factor * (x + np.abs(mean)) + np.abs(bias))
    return size


def readable(x: Domain | None, *, unit_input: bool) -> Domain | None:
    """The input's domain as the weights see it: None while its scales differ and are not in the weights yet."""
    if x is None:
        return None
    if unit_input:
        # One real number per q, whatever the input's scales: they are in the weights. So is what its error costs.
        relative = x.error / np.where(x.scale == 0, np.inf, np.abs(x.scale))
        return Domain(rows(1), rows(0), x.lo, x.hi, x.step, relative)
    return x if x.is_uniform else None


def domain(x: Domain, weights: Weights, dtype: str, pad: Padding | None = None, shift: int = 0) -> Domain | None:
    """The domain of ``sum_i x[i] * weights[o, i] >> shift``, by output; None where that can leave 32 bits.

    Args:
        x: domain of the inputs, with one scale and offset.
        weights: weights ``[out, in]``.
        dtype: the reference's element type.
        pad: what may stand in the place of inputs; None where nothing does.
        shift: sums are rounded to multiples of ``2**shift``, and those counted.
    """
    outs, ins = weights.q.shape
    w = weights.q.astype(np.int64)
    lo, hi = per_element(x.lo, ins), per_element(x.hi, ins)
    least, most = np.where(w > 0, w * lo, w * hi), np.where(w > 0, w * hi, w * lo)
    if pad is not None:
        least, most = (
            np.rint(bound(side, w * pad.q)).astype(np.int64)
            for bound, side in ((np.minimum, least), (np.maximum, most))
        )
    low, high = least.sum(axis=1) - (pad is not None), most.sum(axis=1) + (pad is not None)
    if pad is not None and pad.is_integer:
        low, high = low + 1, high - 1
    half = 1 << shift >> 1
    if max(-int(low.min()), int(high.max())) + half >> shift >= 2**31:
        return None
    # All inputs odd (or all even): each moves the sum by an even amount. So must what a padded tap puts in their place.
    step = x.step if x.step == 2 and (pad is None or pad.keeps_parity(w, int(x.bounds[0]))) else 1
    if step == 2:
        low = low + (low - (w * lo).sum(axis=1)) % 2
    scale = per_element(weights.scale, outs)
    bias = np.zeros(outs) if weights.bias is None else np.asarray(weights.bias, np.float64)
    offset = scale * w.sum(axis=1) * x.offset[0] + bias
    error = _error(x, weights, dtype, bias)
    if pad is not None and not pad.is_integer:
        error = error + 0.5 * np.abs(scale * x.scale[0]) * w.any(axis=1)  # what the border adds is rounded
    if shift:
        rounded, unit = (low + half >> shift, high + half >> shift), scale * x.scale[0] * 2.0**shift
        return Domain(unit, offset, *rounded, 1, error + 0.5 * np.abs(unit) * w.any(axis=1))
    return Domain(scale * x.scale[0], offset, low, high, step, error)


@dataclass(frozen=True, eq=False)
class Padding:
    """What stands in the place of padded taps that is not on the input's grid: ``q [in]``, by runs of channels."""

    q: Array
    run: int

    @property
    def is_integer(self) -> bool:
        """Whether sums over padded taps are integers."""
        return bool((self.q == np.rint(self.q)).all())

    def keeps_parity(self, weight: Array, lo: int) -> bool:
        """Whether padding moves the sums ``weight [out, in]`` of odd (or even) inputs by an even amount."""
        moves = (weight * (self.q - lo)).reshape(len(weight), -1, self.run).sum(axis=2)
        return self.is_integer and not (moves % 2).any()


def conv_domain(
    x: Domain, weights: Weights, dtype: str, group: int, pad: Array | None, shift: int = 0
) -> Domain | None:
    """The domain of a convolution's sums; None where they can leave 32 bits.

    Args:
        x: domain of the input map, by channel.
        weights: weights ``[out, height, width, in / group]``.
        dtype: the reference's element type.
        group: number of groups.
        pad: the ``q`` of padded taps, by channel, where it is not on the grid; None where it is, or nothing is padded.
        shift: as for `domain`.
    """
    w = weights.q
    outs, channels = len(w) // group, w.shape[3]
    bias = None if weights.bias is None else np.asarray(weights.bias)
    parts: list[Domain] = []
    for g in range(group):
        block = slice(g * outs, (g + 1) * outs)
        mine = x if x.rows == 1 else x.at(np.arange(g * channels, (g + 1) * channels))
        scale, error = (per_element(a, len(w))[block] for a in (weights.scale, weights.error))
        flat = Weights(w[block].reshape(outs, -1), scale, error, None if bias is None else bias[block])
        inputs = mine.repeated(w.shape[1] * w.shape[2])
        padding = None if pad is None else _padding(pad, channels, g, w.shape[1] * w.shape[2])
        part = domain(inputs, flat, dtype, padding, shift)
        if part is None:
            return None
        parts.append(part)
    return Domain.concatenate(parts, [outs] * group)


def _padding(q: Array, channels: int, group: int, taps: int) -> Padding:
    """The padding of one group's inputs."""
    mine = q if len(q) == 1 else q[group * channels : (group + 1) * channels]
    return Padding(np.tile(per_element(mine, channels), taps), channels)


def _error(x: Domain, weights: Weights, dtype: str, bias: Array) -> Array:
    """How far the reference's sum can be from ``float32(real(q))``, by output."""
    outs, ins = weights.q.shape
    unit = UNIT_ROUNDOFF[dtype]
    s_w, s_x, o_x = np.abs(per_element(weights.scale, outs)), x.scale[0], x.offset[0]
    grid = power_of_two(s_w) * min(power_of_two(s_x), power_of_two(o_x))
    w = np.abs(weights.q.astype(np.float64))
    x_max = np.maximum(np.abs(s_x * per_element(x.lo, ins) + o_x), np.abs(s_x * per_element(x.hi, ins) + o_x))
    total = s_w * (w @ x_max)
    from_operands = (w @ per_element(x.error, ins)) * s_w + per_element(weights.error, outs) * x_max.sum()
    reach = total + np.abs(bias)
    # Floats hold every multiple of the grid below grid / unit. Sums of such multiples are exact, and adding them to a
    # bias between two rounds only when the exponent grows, in whatever order they are added: the errors are a geometric
    # series, at most one unit in the last place of the largest sum, and half a unit more for float32(real(q)), which
    # the error is measured from.
    ulp = 2 * unit * 2.0 ** np.ceil(np.log2(np.maximum(reach, 1e-30)))
    between = np.where(np.abs(bias) % grid != 0, 1.5 * ulp, 0.0)
    # Any order of summation of n terms errs by at most n u sum|t|; the operands themselves are rounded once, too.
    any_order = from_operands + unit * ((ins + 3) * reach)
    return np.where((from_operands == 0) & (reach < grid / unit), between, any_order)


def power_of_two(value: Array | float) -> Array:
    """The largest power of two that each value is a multiple of; infinity for 0."""
    mantissa, exponent = np.frexp(np.abs(value))
    whole = np.ldexp(mantissa, 53).astype(np.int64)
    return np.where(whole == 0, np.inf, np.ldexp((whole & -whole).astype(np.float64), exponent - 53))
