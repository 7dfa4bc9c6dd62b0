"""Tables of the kernel on planes (`bnncompiler.plane_calls`): lists of taps for groups of outputs, and thresholds.

An output may have its weights inverted, as ``sum >= t`` of some is ``-sum < 1 - t`` of the others. For a group of
outputs that leaves a choice of which taps are not listed at all: those that all have at 1, or at 0, or some at 1 and
the others at 0. Of all pairs in a word those are taken first where most taps are spared, and then the third output
with which most are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from bnncompiler.ir import Array
from bnncompiler.lower.storage import Lowering
from bnncompiler.lower.windows import Convolution
from bnncompiler.plane_calls import EIGHT, GROUP, SHARED, ConvolvePlanes, Planes, plane_digits
from bnncompiler.program import Buffer


def convolve(low: Lowering, conv: Convolution, y: Buffer) -> None:
    """Append the call that computes ``conv`` and its pool into ``y``."""
    span, window, count = conv.work.span, conv.window, conv.thresholds.shape[2]
    assert span is not None
    planes, digits = Planes.of(span, conv.size[0]), plane_digits(conv.rows.ins)
    assert planes is not None, f"{conv.node.name}: a row is too large for {ConvolvePlanes.short_name()}"
    tables = tables_of(conv.rows.weight > 0, conv.thresholds, planes, low.word_bits)
    taps, at = (low.table(conv.node, what, t, "uint16_t", 16) for what, t in zip(("taps", "at"), tables, strict=True))
    border = (None, None, 1) if conv.border is None else (*conv.border.tables(low, conv.node), conv.border.columns)
    pool = (1, 1) if conv.pool is None else conv.pool.window.kernel
    size = planes.scratch_bytes(low.word_bits, digits, span.classes, border[2])
    scratch = Buffer(low.derived(conv.node, "planes"), "uint8_t", size)
    where = (*window.kernel, *window.dilation, *window.before, *conv.size, conv.outs, *pool)
    numbers = (*border, span.classes, conv.fill, planes.band, taps, at, count, digits, scratch)
    low.call(ConvolvePlanes, conv.owner, conv.macs, conv.x.buffer, *conv.shape, *where, *numbers, y)


def tables_of(weights: Array, at: Array, planes: Planes, word_bits: int) -> tuple[Array, Array]:
    """The tables ``taps`` and ``at`` of `ConvolvePlanes`.

    Args:
        weights: as bits, ``[outs, taps]``.
        at: thresholds on sums, ``[classes of pixels, outs, count]``.
        planes: how planes lie.
        word_bits: how many outputs are computed together.
    """
    begins = planes.begins().reshape(-1)
    every = np.arange(planes.kernel[1] * planes.channels) * planes.bytes
    taps: list[Array] = [np.array([-(-len(every) // EIGHT)]), _filled(every, planes.zeros)]
    codes: list[Array] = []
    for first in range(0, len(weights), word_bits):
        word = weights[first : first + word_bits]
        for group in _groups(word):
            lists = [_filled(begins[listed], planes.zeros) for listed in group.lists(word)]
            missing = GROUP - len(group.outs)
            taps += [np.array([*group.outs, *missing * (word_bits,), *(len(x) // EIGHT for x in lists)]), *lists]
            chosen = [first + o for o in group.outs]
            numbers = _codes(weights[chosen], at[:, chosen], np.array(group.inverted))
            codes.append(np.pad(numbers, ((0, missing), (0, 0))))
    return np.concatenate(taps), np.concatenate(codes)


@dataclass(frozen=True)
class _Group:
    """Up to `GROUP` outputs of a word, and which of them have their weights inverted."""

    outs: tuple[int, ...]
    inverted: tuple[bool, ...]

    def lists(self, weights: Array) -> list[Array]:
        """The taps of each list, as masks: those that just the outputs of `SHARED` add."""
        adds = sum((weights[o] ^ self.inverted[i]).astype(np.int64) << i for i, o in enumerate(self.outs))
        return [adds == who for who in SHARED]


def _groups(weights: Array) -> Iterator[_Group]:
    """The outputs of a word in groups, ``weights [outs, taps]``: again and again those that spare most."""
    zeros = np.stack([~weights, weights], axis=1).astype(np.float32)  # [outs, as they are or inverted, taps]
    spared = np.einsum("afn,bgn->abfg", zeros, zeros, optimize=True)
    left = list(range(len(weights)))
    while len(left) > 1:
        best = spared[np.ix_(left, left)].max(axis=(2, 3))
        np.fill_diagonal(best, -1)
        a, b = (left[i] for i in divmod(int(best.argmax()), len(left)))
        others = [o for o in left if o not in (a, b)]
        if len(others) in (0, 2):  # and not one without any other
            first, second = divmod(int(spared[a, b].argmax()), 2)
            yield _Group((a, b), (bool(first), bool(second)))
        else:
            both = (zeros[a][:, None] * zeros[b][None]).reshape(4, -1)
            with_third = np.einsum("pn,cfn->pcf", both, zeros[others], optimize=True)
            signs, c, third = np.unravel_index(int(with_third.argmax()), with_third.shape)
            yield _Group((a, b, others.pop(c)), (bool(signs // 2), bool(signs % 2), bool(third)))
        left = others
    for last in left:
        yield _Group((last,), (2 * int(weights[last].sum()) > weights.shape[1],))


def _filled(begins: Array, zeros: int) -> Array:
    """A list in order, filled up with the plane of zeros."""
    filled = np.full(len(begins) + -len(begins) % EIGHT, zeros)
    filled[: len(begins)] = np.sort(begins)
    return filled


def _codes(weights: Array, at: Array, inverted: Array) -> Array:
    """The codes of outputs: whether each is 1 where thresholds are not reached, and the thresholds' digits.

    ``weights [outs, taps]`` are as they were, ``at [classes, outs, count]`` on sums. With ``n`` taps and ``p`` of the
    weights at 1, a sum is ``2 v - n - 2 p`` (`bnncompiler.sliced_calls.DenseSliced`). Where they are ``inverted``,
    ``n - p`` are 1, and minus the sum is ``2 v - n - 2 (n - p)``: ``sum >= t`` where not ``2 v >= 3 n - 2 p + 1 - t``.

    Returns:
        ``[outs, 1 + count * digits]``
    """
    n, ones = weights.shape[1], 2 * weights.sum(axis=1)[:, None]
    digits = plane_digits(n)
    reached = np.where(inverted[:, None], 3 * n - ones + 1 - at, n + ones + at)
    numbers = np.clip(-(-reached // 2), 0, 2**digits - 1)
    bits = (numbers[..., None] >> np.arange(digits)).reshape(*at.shape[:2], -1) & 1
    otherwise = np.broadcast_to(inverted * at.shape[2] % 2, at.shape[:2])
    both = np.concatenate([otherwise[..., None], bits], axis=2)
    return np.asarray((both << np.arange(len(at))[:, None, None]).sum(axis=0))
