"""Calls that read a map through windows: what lies under one is gathered for a layer, or its largest is taken.

A window begins ``before`` taps outside of the map (`map_calls.Dropped` where the map is a line buffer); the order of
the taps is that of the weights.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from bnncompiler.ir import Array
from bnncompiler.map_calls import Dropped, Index
from bnncompiler.packing import pack_bits, pack_planes, unpack_bits, unpack_planes
from bnncompiler.program import Buffer, Call, Memory, Typed, store, values_of
from bnncompiler.window import Window

if TYPE_CHECKING:
    from bnncompiler.convolution_calls import RowOfPixels


@dataclass(frozen=True, eq=False)
class GatherBits(Call):
    """The taps under the window at pixel ``(row, column)``: the codes of one group's ``count`` channels of each.

    The group's first channel is ``group * count``. ``x`` is a map of ``planes`` bit planes; taps outside of it get the
    code ``fill``.
    """

    x: Buffer
    planes: int
    height: int
    width: int
    channels: int
    group: int | Index
    count: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    before_h: int | Dropped
    before_w: int
    fill: int
    row: int | Index
    column: int | Index
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        codes = unpack_planes(memory[self.x.name], self.planes, self.height * self.width * self.channels, signed=False)
        memory[self.y.name] = pack_planes(_patch(self, codes), self.planes, word_bits)


@dataclass(frozen=True, eq=False)
class GatherIntegers(Call):
    """The taps under the window at pixel ``(row, column)``: one group's ``count`` channels of each.

    As `GatherBits`, on a map of integers.
    """

    x: Typed
    height: int
    width: int
    channels: int
    group: int | Index
    count: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    before_h: int | Dropped
    before_w: int
    fill: int
    row: int | Index
    column: int | Index
    y: Typed

    def run(self, memory: Memory, word_bits: int) -> None:
        store(self.y, _patch(self, values_of(self.x, memory)), memory, word_bits)


@dataclass(frozen=True, eq=False)
class GatherRow(Call):
    """The taps under the windows of all ``columns`` pixels of a row of a map of integers, pixel by pixel.

    What `GatherIntegers` takes for each of them, of all channels.
    """

    x: Typed
    height: int
    width: int
    channels: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    before_h: int | Dropped
    before_w: int
    fill: int
    row: int | Index
    columns: int
    y: Typed

    def run(self, memory: Memory, word_bits: int) -> None:
        x = values_of(self.x, memory).reshape(self.height, self.width, self.channels)
        row, column = np.broadcast_arrays(np.asarray(self.row)[..., None], np.arange(self.columns))
        taps = taps_at(self, x, row, column, self.fill)
        store(self.y, taps.reshape(*taps.shape[:-2], -1), memory, word_bits)


def _patch(call: GatherBits | GatherIntegers, codes: Array) -> Array:
    """The taps of each pixel ``[..., taps * count]``, in the order of the weights."""
    first = np.asarray(call.group) * call.count
    x = codes.reshape(call.height, call.width, call.channels)[..., first : first + call.count]
    row, column = np.broadcast_arrays(np.asarray(call.row), np.asarray(call.column))
    return taps_at(call, x, row, column, call.fill)


def taps_at(
    call: GatherBits | GatherIntegers | GatherRow | RowOfPixels, x: Array, row: Array, column: Array, fill: int
) -> Array:
    """What lies under the windows of the pixels ``(row, column)``, in the order of the weights.

    Args:
        call: says where the windows of a pixel begin, and which taps they have.
        x: the map ``[height, width, channels]``.
        row: of each pixel, ``[...]``.
        column: of each pixel.
        fill: what taps outside of the map are.

    Returns:
        ``[..., taps * channels]``
    """
    height, width = x.shape[:2]
    rows = row[..., None] * call.stride_h - np.asarray(call.before_h) + np.arange(call.kernel_h) * call.dilation_h
    columns = column[..., None] * call.stride_w - call.before_w + np.arange(call.kernel_w) * call.dilation_w
    down, across = (rows >= 0) & (rows < height), (columns >= 0) & (columns < width)
    inside = down[..., :, None] & across[..., None, :]
    picked = x[np.clip(rows, 0, height - 1)[..., :, None], np.clip(columns, 0, width - 1)[..., None, :]]
    return np.where(inside[..., None], picked, fill).reshape(*row.shape, -1)


@dataclass(frozen=True, eq=False)
class MaxPoolBits(Call):
    """The OR of the bits under each window; taps outside of the map do not count."""

    x: Buffer
    height: int
    width: int
    channels: int
    rows: int
    columns: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    before_h: int
    before_w: int
    y: Buffer

    def run(self, memory: Memory, word_bits: int) -> None:
        bits = unpack_bits(memory[self.x.name], self.height * self.width * self.channels)
        memory[self.y.name] = pack_bits(_pooled(self, bits, 0), word_bits)


@dataclass(frozen=True, eq=False)
class MaxPoolIntegers(Call):
    """The largest integer under each window; taps outside of the map do not count."""

    x: Typed
    height: int
    width: int
    channels: int
    rows: int
    columns: int
    kernel_h: int
    kernel_w: int
    stride_h: int
    stride_w: int
    dilation_h: int
    dilation_w: int
    before_h: int
    before_w: int
    y: Typed

    def run(self, memory: Memory, word_bits: int) -> None:
        store(self.y, _pooled(self, values_of(self.x, memory), -(2**31)), memory, word_bits)


def _pooled(call: MaxPoolBits | MaxPoolIntegers, x: Array, lowest: int) -> Array:
    shape = (-1, call.height, call.width, call.channels)
    after = tuple(
        (n - 1) * stride + dilation * (kernel - 1) + 1 - before - size
        for n, stride, dilation, kernel, before, size in (
            (call.rows, call.stride_h, call.dilation_h, call.kernel_h, call.before_h, call.height),
            (call.columns, call.stride_w, call.dilation_w, call.kernel_w, call.before_w, call.width),
        )
    )
    window = Window(
        (call.kernel_h, call.kernel_w),
        (call.stride_h, call.stride_w),
        (call.before_h, call.before_w),
        (after[0], after[1]),
        (call.dilation_h, call.dilation_w),
    )
    pooled = window.patches(x.astype(np.int64).reshape(shape), lowest).max(axis=(3, 4))
    return np.asarray(pooled.reshape(*x.shape[:-1], -1))


def geometry(window: Window) -> tuple[int, int, int, int, int, int, int, int]:
    """Kernel, stride, dilation and padding before, as the kernels take them: height first, then width."""
    return (*window.kernel, *window.stride, *window.dilation, *window.before)
