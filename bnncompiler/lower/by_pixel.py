"""Calls on whole maps as loops over pixels: the form in which layers can be computed row by row.

What works element by element, joins two maps or takes the largest of a window is, for one pixel, the same call on what
was gathered there. So a `map_calls.PixelLoop` with no kernel of its own stands for each of them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from bnncompiler.calls import Lookup, Requantize, Scale, Slice, Steps, Threshold, Unpack
from bnncompiler.lower.storage import LIMITS
from bnncompiler.map_calls import Index, PixelLoop, PutBits, PutIntegers
from bnncompiler.move_calls import (
    AddIntegers,
    ConcatBits,
    ConcatIntegers,
    MulIntegers,
    PermuteBits,
    PermuteIntegers,
)
from bnncompiler.packing import words
from bnncompiler.program import Buffer, Call, Typed, data_of
from bnncompiler.window import Window
from bnncompiler.window_calls import GatherBits, GatherIntegers, MaxPoolBits, MaxPoolIntegers, geometry

Shape = tuple[int, int, int]
Elementwise = Threshold | Steps | Requantize | Scale | Lookup | Slice | Unpack
Join = AddIntegers | MulIntegers | ConcatBits | ConcatIntegers
POINT = Window((1, 1))


def as_loop(call: Call, shape: Shape, word_bits: int, fresh: Callable[[str], str]) -> PixelLoop | None:
    """``call`` as a loop over pixels; None where it is no function of a window.

    Args:
        call: any call; its first operand is a map of ``shape`` (height, width, channels).
        shape: see there.
        word_bits: packing width.
        fresh: makes a new name for a buffer.
    """
    one = _Pixel(call, shape, word_bits, fresh)
    match call:
        case PixelLoop():
            return call
        case MaxPoolBits() | MaxPoolIntegers():
            return one.pool(call)
        case Threshold() | Steps() | Requantize() | Scale() | Lookup() if shape[2] % call.rows == 0:
            return one.elementwise(call)
        case Slice() | Unpack():
            return one.elementwise(call)
        case AddIntegers() | MulIntegers():
            return one.joined(call, shape[2], shape[2])
        case ConcatBits() | ConcatIntegers():
            return one.joined(call, call.x_channels, call.z_channels)
        case PermuteBits() | PermuteIntegers() if call.stride == shape[2]:
            return one.reordered(call)
    return None


class _Pixel:
    """Builds the loop for one call."""

    def __init__(self, call: Call, shape: Shape, word_bits: int, fresh: Callable[[str], str]) -> None:
        self.call = call
        self.height, self.width, self.channels = shape
        self.word_bits = word_bits
        self.fresh = fresh
        self.scratch: list[Buffer] = []

    def elementwise(self, call: Elementwise) -> PixelLoop:
        """A function of each element, with rows by channel."""
        planes = call.planes if isinstance(call, Unpack) else 0
        body, x = self._gather(call.buffers["x"], planes, self.channels)
        y = self._scratch("pixel", call.buffers["y"], _planes(call), self.channels)
        function = _changed(call, x=_as(call.x, x), n=self.channels, y=_as(call.y, y))
        return self._loop([body, function], self._put(y, _planes(call), self.channels), call.buffers["x"])

    def joined(self, call: Join, first: int, second: int) -> PixelLoop:
        """Two maps, pixel by pixel."""
        planes, sources = _planes(call), (call.buffers["x"], call.buffers["z"])
        (from_x, x), (from_z, z) = (self._gather(b, planes, n) for b, n in zip(sources, (first, second), strict=True))
        total = first + second if isinstance(call, ConcatBits | ConcatIntegers) else first
        y = self._scratch("pixel", call.buffers["y"], planes, total)
        size = {"pixels": 1} if isinstance(call, ConcatBits | ConcatIntegers) else {"n": total}
        function = _changed(call, x=_as(call.x, x), z=_as(call.z, z), y=_as(call.y, y), **size)
        return self._loop([from_x, from_z, function], self._put(y, planes, total), *dict.fromkeys(sources))

    def reordered(self, call: PermuteBits | PermuteIntegers) -> PixelLoop | None:
        """The channels of each pixel in another order."""
        planes, total = call.planes if isinstance(call, PermuteBits) else 0, call.period * call.blocks
        tables = [t.values.astype(int) for t in call.tables]
        if call.n != self.height * self.width * total or sum(t.max() for t in tables) >= self.channels:
            return None  # a pattern that is not one of the channels of a pixel
        body, x = self._gather(call.buffers["x"], planes, self.channels)
        y = self._scratch("pixel", call.buffers["y"], planes, total)
        size = {"x_n": self.channels} if planes else {}
        order = _changed(call, x=_as(call.x, x), y=_as(call.y, y), n=total, **size)
        return self._loop([body, order], self._put(y, planes, total), call.buffers["x"])

    def pool(self, call: MaxPoolBits | MaxPoolIntegers) -> PixelLoop:
        """The largest of what was gathered, which is a map as large as the window."""
        window = Window(
            (call.kernel_h, call.kernel_w),
            (call.stride_h, call.stride_w),
            (call.before_h, call.before_w),
            dilation=(call.dilation_h, call.dilation_w),
        )
        bits = isinstance(call, MaxPoolBits)
        fill = 0 if bits else LIMITS[call.buffers["x"].ctype][0]
        body, x = self._gather(call.buffers["x"], int(bits), self.channels, window, fill)
        y = self._scratch("pixel", call.buffers["y"], int(bits), self.channels)
        pool = _changed(
            call, x=_as(call.x, x), y=_as(call.y, y), height=call.kernel_h, width=call.kernel_w, rows=1, columns=1,
            stride_h=1, stride_w=1, dilation_h=1, dilation_w=1, before_h=0, before_w=0
        )  # fmt: skip
        put = self._put(y, int(bits), self.channels, call.rows, call.columns)
        return self._loop([body, pool], put, call.buffers["x"], size=(call.rows, call.columns))

    def _scratch(self, what: str, like: Buffer, planes: int, count: int) -> Buffer:
        """A buffer for one pixel: ``planes`` of bits, or integers of the type of ``like`` where that is 0."""
        name = self.fresh(f"{self.call.buffers['y'].name}_{what}")
        size = planes * words(count, self.word_bits) if planes else count
        self.scratch.append(Buffer(name, "bnn_word" if planes else like.ctype, size))
        return self.scratch[-1]

    def _gather(
        self, x: Buffer, planes: int, channels: int, window: Window = POINT, fill: int = 0
    ) -> tuple[GatherBits | GatherIntegers, Buffer]:
        y = self._scratch("patch", x, planes, channels * window.kernel[0] * window.kernel[1])
        about = (self.call.layer, self.call.origin, 0)
        size, place = (self.height, self.width, channels, 0, channels), (Index.ROW, Index.COLUMN)
        if planes:
            return GatherBits(*about, x, planes, *size, *geometry(window), fill, *place, y), y
        return GatherIntegers(*about, Typed(x), *size, *geometry(window), fill, *place, Typed(y)), y

    def _put(self, x: Buffer, planes: int, n: int, rows: int = 0, columns: int = 0) -> PutBits | PutIntegers:
        rows, columns = rows or self.height, columns or self.width
        about, y = (self.call.layer, self.call.origin, 0), self.call.buffers["y"]
        if planes:
            return PutBits(*about, x, planes, n, rows * columns * n, columns, Index.ROW, Index.COLUMN, y)
        return PutIntegers(*about, Typed(x), n, columns, Index.ROW, Index.COLUMN, Typed(y))

    def _loop(self, body: list[Call], put: Call, x: Buffer, *more: Buffer, size: tuple[int, int] = (0, 0)) -> PixelLoop:
        rows, columns = size[0] or self.height, size[1] or self.width
        about = (self.call.layer, self.call.origin, self.call.macs)
        y = self.call.buffers["y"]
        return PixelLoop(*about, rows, columns, 1, (*body, put), (), tuple(self.scratch), x, y, tuple(more))


def _planes(call: Call) -> int:
    """In how many bit planes the call writes; 0 for integers."""
    match call:
        case Threshold():
            return 1
        case Steps() | Slice() | ConcatBits():
            return call.planes
    return 0


def _changed(call: Call, **arguments: object) -> Call:
    """The call with other arguments, and without its multiply-accumulates, which are the loop's."""
    return replace(call, macs=0, **arguments)  # type: ignore[arg-type]


def _as(was: object, y: Buffer) -> Buffer | Typed:
    """``y`` in the form of the argument that it replaces."""
    assert data_of(was) is not None
    return Typed(y) if isinstance(was, Typed) else y
