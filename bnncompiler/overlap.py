"""When a call reads each byte of its input for the last time, and when it first writes each byte of its output.

With that an output may lie over the input that it is made from. Times are counted in what a kernel does at once: an
element, a word, a pixel. At one time reading comes before writing. What is here is a promise of the C kernels, and
their tests hold them to it: they are run with output and input as near to each other as a `Timeline` allows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bnncompiler.calls import Argmax, Lookup, Requantize, Scale, Slice, Threshold, Unpack
from bnncompiler.convolution_calls import OfRow, Windowed
from bnncompiler.ir import Array
from bnncompiler.map_calls import PixelLoop, PutBits, PutPooled
from bnncompiler.move_calls import AddIntegers, ConcatIntegers, MulIntegers
from bnncompiler.program import Buffer, Call
from bnncompiler.window import Window
from bnncompiler.window_calls import GatherBits, GatherIntegers, MaxPoolBits, MaxPoolIntegers

NEVER = -1


@dataclass(frozen=True, eq=False)
class Timeline:
    """By byte: when each of ``x`` is read for the last time, and when each of ``y`` is written first (ascending)."""

    last_read: Array
    first_write: Array

    def distance(self) -> int:
        """How many bytes before ``x`` the output must begin at least."""
        # Byte i of x may be overwritten by byte j of y where first_write[j] >= last_read[i]: by all from a j on.
        j = np.searchsorted(self.first_write, self.last_read, side="left")
        return int(np.max(j - np.arange(len(j)), initial=0))

    def allows(self, distance: int) -> bool:
        """Whether ``y`` may begin ``distance`` bytes before ``x`` (after it where that is negative)."""
        shift = max(0, -distance)
        read, write = self.last_read[shift:], self.first_write[max(0, distance) :]
        both = min(len(read), len(write))
        return bool((write[:both] >= read[:both]).all())


def timeline(call: Call, word_bits: int) -> Timeline | None:
    """The times of a call; None where its output must not touch its input."""
    x, y = call.buffers.get("x"), call.buffers["y"]
    if x is None:
        return None
    byte_x, byte_y = (np.arange(b.bytes(word_bits)) for b in (x, y))
    size_x, size_y = (b.bytes(word_bits) // max(1, b.count) for b in (x, y))
    match call:
        case Requantize() | Scale() | Lookup() | AddIntegers() | MulIntegers():
            return Timeline(byte_x // size_x, byte_y // size_y)
        case ConcatIntegers(z=z) if z.data != x:
            pixel, channel = np.divmod(byte_x // size_x, call.x_channels)
            return Timeline(pixel * (call.x_channels + call.z_channels) + channel, byte_y // size_y)
        case Threshold() | Slice(planes=1):
            return Timeline(byte_x // size_x // word_bits, byte_y // size_y)
        case Unpack(planes=planes):
            word = byte_x % (len(byte_x) // planes) // size_x
            return Timeline(np.minimum((word + 1) * word_bits, call.n) - 1, byte_y // size_y)
        case Argmax():
            return Timeline(np.zeros_like(byte_x), np.ones_like(byte_y))
        case MaxPoolBits() | MaxPoolIntegers():
            return _pool(call, x, y, word_bits)
        case PixelLoop(more=()):
            return _loop(call, word_bits)
    return None


def _pool(call: MaxPoolBits | MaxPoolIntegers, x: Buffer, y: Buffer, word_bits: int) -> Timeline:
    """A time is a run of channels of a pixel: as many as a word has bits, or one of integers."""
    lanes = word_bits if isinstance(call, MaxPoolBits) else 1
    runs = -(-call.channels // lanes)
    channel = np.arange(call.channels) // lanes
    pixel = _last_pixels(call, call.rows, call.columns)
    read = np.where(pixel[:, None] == NEVER, NEVER, pixel[:, None] * runs + channel)
    first = _first_elements(y, word_bits)
    return Timeline(
        _by_byte(read.reshape(-1), x, word_bits), first // call.channels * runs + first % call.channels // lanes
    )


def _loop(loop: PixelLoop, word_bits: int) -> Timeline | None:
    """A time is a pixel, or a row where a call computes all of it: all that is read for it is read before it is put."""
    gathers = [c for c in loop.inner if isinstance(c, Windowed)]
    put, (gather, *others) = loop.inner[-1], gathers
    planes = {c.planes for c in (gather, put) if isinstance(c, GatherBits | PutBits)} | {1}
    if others or planes != {1}:
        return None
    if isinstance(gather, OfRow):
        row = _last(_window(gather), 0, gather.height, loop.rows)
        read = np.repeat(row, gather.width * gather.channels)
    else:
        read = np.repeat(_last_pixels(gather, loop.rows, loop.columns), gather.channels)
    pixel = _first_elements(loop.y, word_bits) // {k: v for k, v in put.arguments()}["n"]
    if isinstance(put, PutPooled):
        pixel = pixel // put.columns * put.pool_h * loop.columns + pixel % put.columns * put.pool_w
    return Timeline(_by_byte(read, loop.x, word_bits), pixel)


def _last_pixels(call: GatherBits | GatherIntegers | MaxPoolBits | MaxPoolIntegers, rows: int, columns: int) -> Array:
    """For each pixel of the map that is read, the last output pixel whose window has it; ``NEVER`` where none has."""
    window = _window(call)
    down, across = (
        _last(window, axis, size, count) for axis, size, count in ((0, call.height, rows), (1, call.width, columns))
    )
    last = down[:, None] * columns + across
    return np.asarray(np.where((down[:, None] == NEVER) | (across == NEVER), NEVER, last)).reshape(-1)


def _window(call: Windowed | MaxPoolBits | MaxPoolIntegers) -> Window:
    before = (int(np.asarray(call.before_h)), call.before_w)
    return Window((call.kernel_h, call.kernel_w), (call.stride_h, call.stride_w), before, (0, 0),
                  (call.dilation_h, call.dilation_w))  # fmt: skip


def _last(window: Window, axis: int, size: int, count: int) -> Array:
    """The last of ``count`` positions along an axis whose window has each of ``size`` coordinates."""
    last = np.full(size, NEVER)
    taps = np.arange(count)[:, None] * window.stride[axis] - window.before[axis]
    taps = taps + np.arange(window.kernel[axis]) * window.dilation[axis]
    for position, tap in enumerate(taps):
        last[tap[(tap >= 0) & (tap < size)]] = position
    return last


def _by_byte(times: Array, x: Buffer, word_bits: int) -> Array:
    """The times of elements as those of the bytes that they lie in."""
    size = x.bytes(word_bits)
    if x.ctype != "bnn_word":
        return np.repeat(times, size // x.count)
    padded = np.full(size * 8, NEVER)
    padded[: len(times)] = times
    return np.asarray(padded.reshape(size, 8).max(axis=1))


def _first_elements(y: Buffer, word_bits: int) -> Array:
    """For each byte of ``y`` the first element of what is written with it: a word, or an integer."""
    size = y.bytes(word_bits) // max(1, y.count)
    unit = np.arange(y.bytes(word_bits)) // size
    return unit * (word_bits if y.ctype == "bnn_word" else 1)
