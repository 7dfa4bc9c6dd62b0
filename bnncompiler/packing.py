"""Bits into words and back: the one place that knows how a packed tensor lies in memory.

A tensor of ``n`` small integers is stored as ``planes`` bit planes of ``ceil(n / word_bits)`` words each, plane after
plane. Element ``i`` of a plane is bit ``i % word_bits`` of word ``i // word_bits``; the bits behind the last element
are 0. Plane ``p`` weighs ``2**p``, and the topmost plane of a signed tensor weighs ``-2**p`` (two's complement).

Rows of weights may have what is left of each behind its whole words, its *tail*, in a table of its own with smaller
elements: 9 bits are two bytes then, and not a word of four or eight.
"""

from __future__ import annotations

import numpy as np

from bnncompiler.ir import Array

WORD_DTYPES = {8: np.uint8, 16: np.uint16, 32: np.uint32, 64: np.uint64}
TAIL_CODE = 64  # bytes that tails add to a kernel
TAIL_DTYPES = {8: np.uint8, 16: np.uint16, 32: np.int32}  # the types of tables that kernels read any of


def words(count: int, word_bits: int) -> int:
    """How many words hold ``count`` bits."""
    return -(-count // word_bits)


def pack_bits(bits: Array, word_bits: int) -> Array:
    """Pack the last axis: boolean ``[..., n]`` to words ``[..., ceil(n / word_bits)]``."""
    n = bits.shape[-1]
    padded = np.zeros((*bits.shape[:-1], words(n, word_bits) * word_bits), np.uint8)
    padded[..., :n] = bits
    packed = np.packbits(padded, axis=-1, bitorder="little")
    little = np.ascontiguousarray(packed).view(np.dtype(WORD_DTYPES[word_bits]).newbyteorder("<"))
    return little.astype(WORD_DTYPES[word_bits])


def tail_bits(count: int, word_bits: int) -> int:
    """The bits of the element that has the tail of a row of ``count`` bits; 0 where no element is below a word."""
    left = count % word_bits
    return next((size for size in TAIL_DTYPES if left and left <= size < word_bits), 0)


def tails_save(rows: int, count: int, word_bits: int) -> int:
    """How many bytes ``rows`` rows of ``count`` bits save with tails; 0 where it is less than the code for them."""
    tail = tail_bits(count, word_bits)
    saved = rows * (word_bits - tail) // 8 if tail else 0
    return saved if saved >= TAIL_CODE else 0


def pack_rows(bits: Array, word_bits: int) -> tuple[Array, Array]:
    """Pack boolean rows ``[rows, n]``: words ``[rows, words]``, and tails ``[rows]``, which are empty without any."""
    rows, n = bits.shape
    tail = tail_bits(n, word_bits)
    if not tail:
        return pack_bits(bits, word_bits), np.zeros(0, np.uint8)
    whole = n // word_bits * word_bits
    return pack_bits(bits[:, :whole], word_bits), pack_bits(bits[:, whole:], tail).reshape(rows).view(TAIL_DTYPES[tail])


def unpack_rows(packed: Array, tail: Array, count: int, word_bits: int) -> Array:
    """The bits ``[rows, count]`` behind words ``[rows, words]`` and tails: the inverse of `pack_rows`."""
    if not len(tail):
        return unpack_bits(packed, count)
    whole = count // word_bits * word_bits
    left = tail.astype(np.int64)[:, None] >> np.arange(count - whole) & 1
    return np.concatenate([unpack_bits(packed, whole), left], axis=1)


def unpack_bits(packed: Array, count: int) -> Array:
    """The first ``count`` bits of each row of words, as 0 and 1: the inverse of `pack_bits`."""
    little = packed.astype(packed.dtype.newbyteorder("<"))
    bits: Array = np.unpackbits(np.ascontiguousarray(little).view(np.uint8), axis=-1, bitorder="little")
    return bits[..., :count]


def pack_planes(codes: Array, planes: int, word_bits: int) -> Array:
    """Pack integer codes ``[..., n]`` into ``planes`` bit planes: words ``[..., planes * ceil(n / word_bits)]``."""
    bits = (codes.astype(np.int64)[..., None, :] >> np.arange(planes)[:, None]) & 1
    return pack_bits(bits, word_bits).reshape(*codes.shape[:-1], -1)


def unpack_planes(packed: Array, planes: int, count: int, signed: bool) -> Array:
    """The integer codes ``[..., count]`` held in ``planes`` bit planes: the inverse of `pack_planes`."""
    bits = unpack_bits(packed.reshape(*packed.shape[:-1], planes, -1), count)
    codes: Array = np.zeros((*bits.shape[:-2], count), np.int64)
    for p in range(planes):
        plane = bits[..., p, :].astype(np.int64) << p
        codes += -plane if signed and p == planes - 1 else plane
    return codes
