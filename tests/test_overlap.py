"""Outputs that lie over inputs: as near as they may, and the checker sees when they are nearer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import bnncompiler
from bnncompiler import calls, memory, overlap
from bnncompiler.errors import CompileError
from bnncompiler.ir import Domain, TensorType, rows
from bnncompiler.map_calls import Index, PixelLoop, PutIntegers
from bnncompiler.move_calls import ConcatIntegers
from bnncompiler.program import Buffer, Call, Port, Program, Table, Typed
from bnncompiler.window import Window
from bnncompiler.window_calls import GatherIntegers, MaxPoolBits, geometry
from tests import networks

PLAIN = Domain(rows(1), rows(0), rows(-128), rows(127))


def conv(x: Buffer, y: Buffer, size: int, window: Window, name: str) -> PixelLoop:
    """A loop that gathers a window and puts its first element: a convolution as far as memory goes."""
    patch = Buffer(f"{name}_patch", "int8_t", window.kernel[0] * window.kernel[1])
    here = (Index.ROW, Index.COLUMN)
    gather = GatherIntegers(name, (), 0, Typed(x), size, size, 1, 0, 1, *geometry(window), 0, *here, Typed(patch))
    put = PutIntegers(name, (), 0, Typed(patch), 1, size, *here, Typed(y))
    return PixelLoop(name, (), 0, size, size, 1, (gather,), (put,), (patch,), x, y)


def program(*chain: Call) -> Program:
    """A program around calls from a buffer "a" on; the first copies the input, the last writes the output."""
    x, first = Buffer("in", "int8_t", chain[0].buffers["x"].count), chain[0].buffers["x"]
    last = chain[-1].buffers["y"]
    out = Buffer("out", "int32_t", last.count)
    one, zero = (Typed(Table("factor", "int8_t", np.array([v]))) for v in (1, 0))
    load = calls.Scale("load", (), 0, Typed(x), x.count, one, zero, 1, Typed(first))
    store = replace(load, layer="store", x=Typed(last), n=last.count, y=Typed(out))
    ports = [Port(b.name, b, TensorType((b.count,), "float32", PLAIN)) for b in (x, out)]
    return Program("net", 8, (ports[0],), (ports[1],), (load, *chain, store), 0, 4)


def test_rows_of_a_convolution_overwrite_those_that_no_window_needs() -> None:
    a, b, c = (Buffer(n, "int8_t", 16 * 16) for n in "abc")
    window = Window((3, 3), before=(1, 1), after=(1, 1))
    planned = memory.plan(program(conv(a, b, 16, window, "first"), conv(b, c, 16, window, "second")))
    # Each begins a row and two pixels before the other: the pixel in work, and one more row and pixel that it needs.
    assert planned.arena_size <= 256 + 2 * 18 + 9 + 3


def test_the_checker_sees_rows_that_are_overwritten_too_soon() -> None:
    a, b = (Buffer(n, "int8_t", 16 * 16) for n in "ab")
    loop = conv(a, b, 16, Window((3, 3), before=(1, 1), after=(1, 1)), "first")
    times = overlap.timeline(loop, 8)
    assert times is not None
    near = times.distance()
    assert 16 < near <= 18

    def at(distance: int) -> Program:
        placed = {a: replace(a, offset=distance), b: replace(b, offset=0)}
        placed[loop.scratch[0]] = replace(loop.scratch[0], offset=600)
        return replace(program(loop), calls=tuple(c.with_buffers(placed) for c in program(loop).calls), arena_size=640)

    memory.check(at(near))
    with pytest.raises(CompileError, match="first writes b over a while it reads it"):
        memory.check(at(near - 1))


def test_a_pool_lies_where_its_map_lay() -> None:
    x, y = Buffer("x", "bnn_word", 8 * 8), Buffer("y", "bnn_word", 4 * 4)
    pool = MaxPoolBits("pool", (), 0, x, 8, 8, 8, 4, 4, *geometry(Window((2, 2), (2, 2))), y)
    times = overlap.timeline(pool, 8)
    assert times is not None
    assert times.distance() == 0


def test_a_map_grows_in_its_place() -> None:
    """What is joined to it goes between its pixels, which move down one after the other."""
    x, z, y = (Buffer(name, "int32_t", 9 * channels) for name, channels in (("x", 5), ("z", 3), ("y", 8)))
    joined = ConcatIntegers("join", (), 0, Typed(x), 5, Typed(z), 3, 9, Typed(y))
    times = overlap.timeline(joined, 8)
    assert times is not None
    assert times.distance() == 4 * (9 - 1) * 3  # the last pixel stays where it is
    twice = ConcatIntegers("join", (), 0, Typed(x), 5, Typed(x), 5, 9, Typed(Buffer("y", "int32_t", 90)))
    assert overlap.timeline(twice, 8) is None


def test_what_grows_begins_before_what_it_is_made_of() -> None:
    x, y = Buffer("x", "bnn_word", 4), Buffer("y", "int8_t", 32)
    times = overlap.timeline(calls.Unpack("u", (), 0, x, 32, 1, -1, 2, Typed(y)), 8)
    assert times is not None
    assert times.distance() == 32 - 4
    assert not times.allows(32 - 5)


def test_pools_are_part_of_the_convolutions_before_them() -> None:
    model = networks.cnn([3, 8, 8], (12, 12), pool="before_bn")
    for goal, kernel in (("size", "bnn_put_pooled"), ("speed", "bnn_convolve_planes")):
        kernels = [k for c in bnncompiler.compile(model, optimize=goal).program.calls for k in c.kernels()]
        assert kernel in kernels
        assert not any("max_pool" in k for k in kernels)


def test_ternary_weights_behind_zero_padding_stay_two_bits() -> None:
    """Padding adds nothing to sums of bits, whichever weights they have: no map is unpacked for it."""
    rng, b = np.random.default_rng(0), networks.Builder()
    x = b("Sign", b("Add", b("Sign", b.input("x", ["N", 4, 6, 6])), np.float32(0.1)))
    w = rng.choice([-1, 0, 1], (5, 4, 3, 3)).astype(np.float32)
    x = b("Conv", x, w, pads=[1] * 4)
    model = b.model(b("MatMul", b("Flatten", b("Sign", b("Add", x, np.float32(0.5)))), np.ones((180, 2), np.float32)))
    compilation = bnncompiler.compile(model, target="8")
    kernels = [k for c in compilation.program.calls for k in c.kernels()]
    assert "bnn_dense_ternary" in kernels
    assert "bnn_unpack" not in kernels
    bnncompiler.verify(compilation, samples=16).raise_if_failed()
