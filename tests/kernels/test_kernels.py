"""Each kernel alone against its meaning in numpy: every tail width, every word size, random and extreme data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bnncompiler import (
    convolution_calls,
    limb_calls,
    map_calls,
    nibble_calls,
    overlap,
    plane_calls,
    row_calls,
    window_calls,
)
from bnncompiler.backends.cmsis import STRIP
from bnncompiler.calls import (
    Argmax,
    LoadBits,
    Lookup,
    Requantize,
    Scale,
    Slice,
    Steps,
    Threshold,
    TopIndices,
    TopValues,
    Unpack,
)
from bnncompiler.column_calls import ConvolveColumns, column_weights
from bnncompiler.convolution_calls import ConvolveRow, PoolRow
from bnncompiler.costs import Span
from bnncompiler.dense_calls import (
    DenseBipolar,
    DenseColumns,
    DenseInteger,
    DenseSelect,
    DenseSigns,
    DenseTernary,
    DenseThreshold,
    DenseWide,
    DenseXnor,
)
from bnncompiler.ir import Array
from bnncompiler.limb_calls import DenseLimbs, DenseWideTiled
from bnncompiler.lower.planes import tables_of
from bnncompiler.map_calls import AddBorder, PutBits, PutIntegers, PutPooled
from bnncompiler.move_calls import AddIntegers, ConcatBits, ConcatIntegers, MulIntegers, PermuteBits, PermuteIntegers
from bnncompiler.nibble_calls import ConvolveNibbles, SumNibbles, scratch_count, tiled_weights
from bnncompiler.nibble_calls import limits as nibble_limits
from bnncompiler.packing import pack_bits, pack_planes, pack_rows, words
from bnncompiler.plane_calls import ConvolvePlanes, Planes, plane_digits
from bnncompiler.program import Buffer, Call, Memory, Table, Typed
from bnncompiler.row_calls import SlideBits, SlideIntegers
from bnncompiler.sliced_calls import (
    ConvolveRowSliced,
    DenseSliced,
    DenseSlicedBorder,
    DenseSlicedPlanes,
    DenseSlicedThreshold,
    planes_digits,
    sliced_digits,
)
from bnncompiler.tiled_calls import DenseTiled, DenseTiledThreshold, tiles
from bnncompiler.window import Window
from bnncompiler.window_calls import GatherBits, GatherIntegers, GatherRow, MaxPoolBits, MaxPoolIntegers, geometry
from tests.conftest import SANITIZERS, need, need_bochs
from tests.kernels.harness import CALLS, KERNELS, TYPES, Harness, build, build_bare, check_constant, limits, table

WIDTHS = [*range(1, 131), 191, 192, 193, 784, 1100]
CHANNELS = [*range(1, 71), 96, 128]
Case = tuple[Call, Memory]
ABOUT = ("layer", (), 0)
CPU = Path("/proc/cpuinfo").read_text().split() if Path("/proc/cpuinfo").exists() else []


def made(kind: Callable[..., Call], *arguments: object) -> Call:
    """A call whose arguments come in groups, which are not of one type."""
    return kind(*ABOUT, *arguments)


@pytest.fixture(scope="module", params=["gcc sanitized", "clang -O2"])
def compiler(request: pytest.FixtureRequest) -> tuple[str, tuple[str, ...]]:
    command, kind = request.param.split()
    return need(command), ("-O0", *SANITIZERS) if kind == "sanitized" else (kind,)


@pytest.fixture(scope="module", params=[8, 16, 32, 64])
def harness(
    request: pytest.FixtureRequest, compiler: tuple[str, tuple[str, ...]], tmp_path_factory: pytest.TempPathFactory
) -> Harness:
    folder: Path = tmp_path_factory.mktemp("kernels")
    return build(folder, compiler[0], request.param, *compiler[1])


def bits(rng: np.random.Generator, *shape: int) -> Array:
    """Random bits; now and then all of them are 0 or 1."""
    chosen: Array = rng.random(shape) < rng.choice([0.0, 0.5, 0.5, 0.9, 1.0])
    return chosen


def integers(rng: np.random.Generator, ctype: str, count: int) -> Array:
    """Random integers of a type, small ones, or the extremes of the type."""
    lo, hi = limits(ctype)
    match rng.integers(3):
        case 0:
            return rng.integers(lo, hi, count, endpoint=True)
        case 1:
            return rng.integers(max(lo, -5), 6, count)
        case _:
            return rng.choice([lo, hi], count)


def any_type(rng: np.random.Generator) -> str:
    return str(rng.choice(TYPES))


def source(rng: np.random.Generator, n: int, memory: Memory) -> tuple[Typed, str]:
    ctype = any_type(rng)
    memory["x"] = integers(rng, ctype, n)
    return Typed(Buffer("x", ctype, n)), ctype


def a_rows(rng: np.random.Generator, n: int) -> int:
    return int(rng.choice([r for r in range(1, n + 1) if n % r == 0]))


def near(rng: np.random.Generator, x: Array, count: int, ctype: str) -> Array:
    """Thresholds near values of ``x``, as the type can hold them."""
    lo, hi = limits(ctype)
    values: Array = np.clip(rng.choice(x, count).astype(np.int64) + rng.integers(-1, 2, count), lo, hi)
    return values


def planes_of(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> tuple[Buffer, int, int]:
    planes = int(rng.choice([1, 1, 2, 3, 8, 16, 32]))
    codes = rng.integers(0, 2**planes, n) if rng.random() < 0.8 else np.full(n, rng.choice([0, 2**planes - 1]))
    memory["x"] = pack_planes(codes, planes, word_bits)
    return Buffer("x", "bnn_word", planes * words(n, word_bits)), planes, int(rng.integers(2))


def bipolar_input(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Buffer:
    memory["x"] = pack_bits(bits(rng, n), word_bits)
    return Buffer("x", "bnn_word", words(n, word_bits))


def weights(rng: np.random.Generator, outs: int, n: int, word_bits: int) -> Array:
    return pack_bits(bits(rng, outs, n), word_bits)


def row_tables(bits: Array, word_bits: int, tails: bool = True) -> tuple[Table, Typed]:
    """Rows of bits: whole words, and tails where there are any, and if they are wanted."""
    w, tail = pack_rows(bits, word_bits) if tails else (pack_bits(bits, word_bits), np.zeros(0, np.uint8))
    return table(w, "bnn_word"), Typed(table(tail, f"{tail.dtype.name}_t"))


def a_bias(rng: np.random.Generator, outs: int) -> Table | None:
    return table(integers(rng, "int32_t", outs), "int32_t") if rng.random() < 0.5 else None


def threshold(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, _ = source(rng, n, memory)
    rows, count, at_type = a_rows(rng, n), int(rng.choice([1, 1, 2, 3])), any_type(rng)
    at = Typed(table(near(rng, memory["x"], rows * count, at_type), at_type))
    return Threshold(*ABOUT, x, n, at, rows, count, Buffer("y", "bnn_word", words(n, word_bits)))


def steps(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, _ = source(rng, n, memory)
    rows, count, planes = a_rows(rng, n), int(rng.integers(0, 9)), int(rng.integers(1, 9))
    at_type = any_type(rng)
    at = Typed(table(near(rng, memory["x"], rows * count, at_type), at_type))
    levels = table(rng.integers(0, 2**planes, rows * (count + 1)), "uint8_t") if rng.random() < 0.5 else None
    y = Buffer("y", "bnn_word", planes * words(n, word_bits))
    return Steps(*ABOUT, x, n, at, rows, count, levels, planes, y)


def load_bits(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    memory["x"] = rng.integers(0, 256, -(-n // 8))
    return LoadBits(*ABOUT, Buffer("x", "uint8_t", -(-n // 8)), n, Buffer("y", "bnn_word", words(n, word_bits)))


def slice_(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, _ = source(rng, n, memory)
    planes = int(rng.integers(1, 33)) if rng.random() < 0.7 else 1
    return Slice(*ABOUT, x, n, planes, Buffer("y", "bnn_word", planes * words(n, word_bits)))


def unpack(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, planes, _ = planes_of(rng, n, word_bits, memory)
    lo, step = (-1, 2) if rng.random() < 0.5 else map(int, rng.integers(-(2**31), 2**31, 2))
    return Unpack(*ABOUT, x, n, planes, lo, step, Typed(Buffer("y", any_type(rng), n)))


def dense_threshold(
    rng: np.random.Generator, n: int, word_bits: int, memory: Memory, tails: bool = True
) -> DenseThreshold:
    x, outs = bipolar_input(rng, n, word_bits, memory), int(rng.integers(1, 140))
    w, at_type = row_tables(bits(rng, outs, n), word_bits, tails), any_type(rng)
    probe = {"x": memory["x"]}
    DenseXnor(*ABOUT, x, *w, n, outs, Buffer("y", "int32_t", outs)).run(probe, word_bits)
    count = int(rng.choice([1, 1, 2, 3]))
    at = Typed(table(near(rng, probe["y"], outs * count, at_type), at_type))
    y = Buffer("y", "bnn_word", words(outs, word_bits))
    return DenseThreshold(*ABOUT, x, *w, at, count, n, outs, y)


def dense_xnor(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, outs = bipolar_input(rng, n, word_bits, memory), int(rng.integers(1, 40))
    w = row_tables(bits(rng, outs, n), word_bits, tails=rng.random() < 0.8)
    return DenseXnor(*ABOUT, x, *w, n, outs, Buffer("y", "int32_t", outs))


def by_input(rng: np.random.Generator, n: int, outs: int, word_bits: int) -> Table:
    """Weights by input, and the row of zeros behind them."""
    rows = weights(rng, n, outs, word_bits)
    return table(np.concatenate([rows, np.zeros_like(rows[:1])]), "bnn_word")


def a_strip(rng: np.random.Generator, memory: Memory) -> Buffer:
    """Working memory of the bit-sliced kernels for Cortex-M; the others take none."""
    memory["scratch"] = rng.integers(-(2**31), 2**31, STRIP // 4)
    return Buffer("scratch", "int32_t", STRIP // 4)


def many_outs(rng: np.random.Generator, word_bits: int) -> int:
    """Outputs of a bit-sliced kernel: on 64-bit machines vectors and blocks of them are whole from 256 and 1024 on."""
    return int(rng.integers(1, rng.choice([140, 140, 600, 1300]) if word_bits == 64 else 140))


def dense_sliced(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, outs, ctype = bipolar_input(rng, n, word_bits, memory), many_outs(rng, word_bits), any_type(rng)
    w, lo = by_input(rng, n, outs, word_bits), max(limits(ctype)[0], -(2**24))
    offset = Typed(table(rng.integers(lo, min(limits(ctype)[1], 2**24), outs), ctype))
    y = Buffer("y", "int32_t", outs)
    return DenseSliced(*ABOUT, x, w, offset, sliced_digits(n), n, outs, a_strip(rng, memory), y)


def dense_sliced_threshold(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> DenseSlicedThreshold:
    """Thresholds near the values; lanes behind the last output never reach theirs."""
    x, outs, digits = bipolar_input(rng, n, word_bits, memory), many_outs(rng, word_bits), sliced_digits(n)
    w, count = by_input(rng, n, outs, word_bits), int(rng.choice([1, 1, 2, 3]))
    probe, zero = {"x": memory["x"]}, Typed(table(np.zeros(outs), "int8_t"))
    DenseSliced(*ABOUT, x, w, zero, digits, n, outs, None, Buffer("y", "int32_t", outs)).run(probe, word_bits)
    at = np.full((count, words(outs, word_bits) * word_bits), 2**digits - 1)
    at[:, :outs] = np.clip(probe["y"] // 2 + rng.integers(-1, 2, (count, outs)), 0, 2**digits - 1)
    bits_of_at = at[:, None, :] >> np.arange(digits)[:, None] & 1
    y = Buffer("y", "bnn_word", words(outs, word_bits))
    tables = w, table(pack_bits(bits_of_at, word_bits), "bnn_word")
    return DenseSlicedThreshold(*ABOUT, x, *tables, count, digits, n, outs, a_strip(rng, memory), y)


def dense_tiled(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, outs = bipolar_input(rng, n, word_bits, memory), int(rng.integers(1, 40))
    w = table(tiles(weights(rng, outs, n, word_bits)), "bnn_word")
    return DenseTiled(*ABOUT, x, w, n, outs, Buffer("y", "int32_t", outs))


def dense_tiled_threshold(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    plain = dense_threshold(rng, n, word_bits, memory, tails=False)
    w = table(tiles(plain.w.values.reshape(plain.outs, -1)), "bnn_word")
    return DenseTiledThreshold(*ABOUT, plain.x, w, plain.at, plain.count, n, plain.outs, plain.y)


def dense_sliced_planes(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    planes, outs = int(rng.integers(1, 9)), many_outs(rng, word_bits)
    memory["x"] = pack_planes(rng.integers(0, 2**planes, n), planes, word_bits)
    x, w = Buffer("x", "bnn_word", planes * words(n, word_bits)), by_input(rng, n, outs, word_bits)
    y = Buffer("y", "int32_t", outs)
    return DenseSlicedPlanes(*ABOUT, x, planes, w, planes_digits(n, planes), n, outs, a_strip(rng, memory), y)


def dense_sliced_border(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    """Three classes of rows and two of columns; half of them have thresholds that no value reaches."""
    one = dense_sliced_threshold(rng, n, word_bits, memory)
    out_of_reach = np.full_like(one.at.values, 2**word_bits - 1)
    at = table(rng.permutation(np.stack([one.at.values, out_of_reach] * 3)), "bnn_word")
    rows, columns = (table(rng.integers(0, bound, 5), "uint8_t") for bound in (3, 2))
    row, column = (int(i) for i in rng.integers(0, 5, 2))
    numbers = one.count, one.digits, n, one.outs
    return DenseSlicedBorder(*ABOUT, one.x, one.w, at, *numbers, rows, columns, 2, row, column, one.scratch, one.y)


def convolve_row_sliced(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    """Thresholds lie near the sums; the pixels are of several classes, or of one."""
    height, width, count = map(int, rng.integers(1, [6, 8, 4]))
    outs = many_outs(rng, word_bits)
    memory["x"] = pack_bits(bits(rng, height * width * n), word_bits)
    x = Buffer("x", "bnn_word", words(height * width * n, word_bits))
    window = a_window(rng, height, width)
    window = replace(window, dilation=(window.dilation[0], 1))
    rows, columns = window.positions((height, width))
    down, across = map(int, rng.integers(1, 4, 2))
    alike = bool(rng.random() < 0.3)
    by_row, by_column = (table(rng.integers(0, k, m), "uint8_t") for m, k in ((rows, down), (columns, across)))
    classes = (None, None, 1) if alike else (by_row, by_column, across)
    kernel_w, ins = window.kernel[1], window.kernel[0] * n
    digits = sliced_digits(kernel_w * ins)
    where = height, width, n, *geometry(window), int(rng.integers(rows)), columns, outs, *classes
    lanes = words(outs, word_bits) * word_bits
    on_v = np.full((1 if alike else down * across, count, lanes), 2**digits - 1)
    near = kernel_w * ins + np.rint(rng.normal(0, 1 + (kernel_w * ins) ** 0.5, (*on_v.shape[:2], outs)))
    on_v[..., :outs] = np.clip(near, 0, 2**digits - 1)
    weight = np.zeros((kernel_w, ins + 1, outs), bool)
    weight[:, :-1] = bits(rng, kernel_w, ins, outs)
    w = table(pack_bits(weight, word_bits), "bnn_word")
    at = table(pack_bits(on_v[..., None, :] >> np.arange(digits)[:, None] & 1, word_bits), "bnn_word")
    scratch = Buffer("scratch", "int32_t", ConvolveRowSliced.scratch_bytes(kernel_w * ins, window, word_bits) // 4)
    memory["scratch"] = rng.integers(-(2**31), 2**31, scratch.count)
    y = Buffer("y", "bnn_word", words(columns * outs, word_bits))
    return made(ConvolveRowSliced, x, *where, w, at, count, digits, scratch, y)


def dense_bipolar(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, outs = planes_of(rng, n, word_bits, memory), int(rng.integers(1, 20))
    w = row_tables(bits(rng, outs, n), word_bits, tails=rng.random() < 0.8)
    return DenseBipolar(*ABOUT, *x, *w, a_bias(rng, outs), n, outs, Buffer("y", "int32_t", outs))


def dense_ternary(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, outs = planes_of(rng, n, word_bits, memory), int(rng.integers(1, 20))
    sign = rng.integers(-1, 2, (outs, n))
    tails = rng.random() < 0.8
    plus, minus = (row_tables(s, word_bits, tails) for s in (sign > 0, sign < 0))
    y = Buffer("y", "int32_t", outs)
    return DenseTernary(*ABOUT, *x, *plus, *minus, a_bias(rng, outs), n, outs, y)


def dense_select(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, outs, ctype = planes_of(rng, n, word_bits, memory), int(rng.integers(1, 20)), any_type(rng)
    w = Typed(table(integers(rng, ctype, outs * n), ctype))
    return DenseSelect(*ABOUT, *x, w, a_bias(rng, outs), n, outs, Buffer("y", "int32_t", outs))


def dense_integer(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, _ = source(rng, n, memory)
    outs, ctype = int(rng.integers(1, 20)), any_type(rng)
    w = Typed(table(integers(rng, ctype, outs * n), ctype))
    return DenseInteger(*ABOUT, x, w, n, outs, Buffer("y", "int32_t", outs))


def dense_signs(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    outs, ctype = int(rng.integers(1, 40)), str(rng.choice(["uint8_t", "int8_t"]))
    memory["x"] = integers(rng, ctype, n)
    w = table(pack_bits(rng.integers(0, 2, (n, outs)), word_bits), "bnn_word")
    return DenseSigns(*ABOUT, Typed(Buffer("x", ctype, n)), w, n, outs, Buffer("y", "int32_t", outs))


def dense_columns(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, _ = source(rng, n, memory)
    outs, ctype = int(rng.integers(1, 20)), any_type(rng)
    w = Typed(table(integers(rng, ctype, n * outs), ctype))
    return DenseColumns(*ABOUT, x, w, n, outs, Buffer("y", "int32_t", outs))


def dense_wide(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, _ = source(rng, n, memory)
    outs, ctype = int(rng.integers(1, 20)), str(rng.choice(["int8_t", "int16_t", "uint16_t"]))
    w = Typed(table(integers(rng, ctype, outs * n), ctype))
    return DenseWide(*ABOUT, x, w, n, outs, int(rng.integers(0, 63)), Buffer("y", "int32_t", outs))


def dense_limbs(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    """Inputs and weights of so many bits that weights need one limb or two, at the edges of what they can be."""
    outs, pixels, x_bits = int(rng.integers(1, 40)), int(rng.integers(1, 18)), int(rng.choice([7, 8, 14, 15]))
    x, w, largest = extremes(rng, n, outs, pixels, x_bits, int(rng.choice([7, 11, 12, 15, 23])), memory)
    shift = int(rng.integers(0, limb_calls.MOST_SHIFT + 1))
    found = limb_calls.limbs(largest, w, shift)
    assert found is not None
    values = table(limb_calls.weight_limbs(w, found.count), "int16_t")
    y = Buffer("y", "int32_t", pixels * outs)
    return DenseLimbs(*ABOUT, x, values, found.count, found.most, n, outs, pixels, shift, y)


def dense_wide_tiled(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    outs, pixels, x_bits = int(rng.integers(1, 40)), int(rng.integers(1, 10)), int(rng.choice([8, 15, 16, 24, 31]))
    x, w, _ = extremes(rng, n, outs, pixels, x_bits, int(rng.choice([12, 23])), memory)
    shift = int(rng.integers(0, limb_calls.MOST_SHIFT + 1))
    values = table(limb_calls.tiled_weights(w), "int32_t")
    return DenseWideTiled(*ABOUT, x, values, n, outs, pixels, shift, Buffer("y", "int32_t", pixels * outs))


def extremes(
    rng: np.random.Generator, n: int, outs: int, pixels: int, x_bits: int, w_bits: int, memory: Memory
) -> tuple[Typed, Array, int]:
    """Inputs and weights ``[outs, n]`` of at most so many bits without the sign, and the largest that an input is."""
    largest, most = (1 << x_bits) - 1, (1 << w_bits) - 1
    ctypes = ("int16_t", "int32_t") if x_bits < 16 else ("uint16_t", "int32_t")
    ctype = next(c for c in ctypes if largest <= limits(c)[1])
    memory["x"] = np.clip(integers(rng, "int32_t", pixels * n), max(-largest, limits(ctype)[0]), largest)
    w = np.clip(integers(rng, "int32_t", outs * n), -most, most).reshape(outs, n)
    return Typed(Buffer("x", ctype, pixels * n)), w, largest


def top_indices(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, k = few(rng, n, memory), int(rng.integers(1, n + 1))
    return TopIndices(*ABOUT, x, n, k, Buffer("y", "int32_t", k))


def top_values(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, k = few(rng, n, memory), int(rng.integers(1, n + 1))
    return TopValues(*ABOUT, x, n, k, Typed(Buffer("y", "int32_t", k)))


def few(rng: np.random.Generator, n: int, memory: Memory) -> Typed:
    """Integers of which many are equal."""
    memory["x"] = rng.integers(-3, 4, n).astype(np.int16)
    return Typed(Buffer("x", "int16_t", n))


def requantize(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, _ = source(rng, n, memory)
    rows, pieces, shift = a_rows(rng, n), int(rng.integers(1, 5)), int(rng.integers(0, 63))
    s_type, m_type = any_type(rng), any_type(rng)
    start = np.sort(near(rng, memory["x"], rows * (pieces - 1), s_type).reshape(pieces - 1, rows), axis=0)
    multiplier = integers(rng, m_type, rows * pieces)
    b_type = str(rng.choice([*TYPES, "int64_t"]))
    bias = rng.integers(-(2**61), 2**61, rows * pieces) >> int(rng.integers(0, 62))
    bias = bias if b_type == "int64_t" else integers(rng, b_type, rows * pieces)
    y_type = any_type(rng)
    lo, hi = sorted(int(v) for v in integers(rng, y_type, 2))
    tables = Typed(table(start, s_type)), Typed(table(multiplier, m_type)), Typed(table(bias, b_type))
    return Requantize(*ABOUT, x, n, *tables, rows, pieces, shift, lo, hi, Typed(Buffer("y", y_type, n)))


def scale(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, _ = source(rng, n, memory)
    rows, m_type, b_type = a_rows(rng, n), any_type(rng), any_type(rng)
    multiplier, bias = (Typed(table(integers(rng, t, rows), t)) for t in (m_type, b_type))
    y_type = any_type(rng)
    return Scale(*ABOUT, x, n, multiplier, bias, rows, Typed(Buffer("y", y_type, n)))


def lookup(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    ctype, entries, step = any_type(rng), int(rng.integers(1, 60)), int(rng.integers(1, 3))
    low, high = limits(ctype)
    lo = int(rng.choice([low, high - step * (entries - 1)]))
    memory["x"] = lo + step * rng.integers(0, entries, n)
    rows, t_type = a_rows(rng, n), any_type(rng)
    content = Typed(table(integers(rng, t_type, rows * entries), t_type))
    y = Typed(Buffer("y", t_type, n))
    return Lookup(*ABOUT, Typed(Buffer("x", ctype, n)), n, lo, step, content, rows, entries, y)


def argmax(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, _ = source(rng, n, memory)
    return Argmax(*ABOUT, x, n, Buffer("y", "int32_t", 1))


# --- maps: n is the number of channels


def a_window(rng: np.random.Generator, *size: int) -> Window:
    """One that has an output on a map of ``size``, with any padding that leaves a tap on the map."""
    kernel = tuple(int(k) for k in rng.integers(1, 5, 2))
    dilation = tuple(int(d) for d in rng.integers(1, 3, 2))
    stride = tuple(int(s) for s in rng.integers(1, 4, 2))
    reach = [d * (k - 1) for d, k in zip(dilation, kernel, strict=True)]
    before = [int(rng.integers(0, k)) * d for d, k in zip(dilation, kernel, strict=True)]
    after = [max(0, r + 1 - b - s) + int(rng.integers(0, 3)) for r, b, s in zip(reach, before, size, strict=True)]
    return Window(kernel, stride, (before[0], before[1]), (after[0], after[1]), dilation)  # type: ignore[arg-type]


def a_place(rng: np.random.Generator, window: Window, *size: int) -> tuple[int, int]:
    rows, columns = window.positions(size)
    return int(rng.integers(rows)), int(rng.integers(columns))


def a_group(rng: np.random.Generator, channels: int) -> tuple[int, int]:
    """A group, and how many channels each has."""
    count = channels // a_rows(rng, channels)
    return int(rng.integers(channels // count)), count


def gather_bits(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    height, width, planes = map(int, rng.integers(1, [6, 6, 5]))
    codes = rng.integers(0, 2**planes, height * width * n)
    memory["x"] = pack_planes(codes, planes, word_bits)
    x = Buffer("x", "bnn_word", planes * words(codes.size, word_bits))
    window, (group, count) = a_window(rng, height, width), a_group(rng, n)
    y = Buffer("y", "bnn_word", planes * words(window.kernel[0] * window.kernel[1] * count, word_bits))
    fill, place = int(rng.integers(2**planes)), a_place(rng, window, height, width)
    return GatherBits(*ABOUT, x, planes, height, width, n, group, count, *geometry(window), fill, *place, y)


def gather_integers(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    height, width = map(int, rng.integers(1, 6, 2))
    x, ctype = source(rng, height * width * n, memory)
    window, (group, count) = a_window(rng, height, width), a_group(rng, n)
    y = Typed(Buffer("y", ctype, window.kernel[0] * window.kernel[1] * count))
    fill, place = int(integers(rng, ctype, 1)[0]), a_place(rng, window, height, width)
    return GatherIntegers(*ABOUT, x, height, width, n, group, count, *geometry(window), fill, *place, y)


def gather_row(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    height, width = map(int, rng.integers(1, 6, 2))
    x, ctype = source(rng, height * width * n, memory)
    window = a_window(rng, height, width)
    rows, columns = window.positions((height, width, n))
    y = Typed(Buffer("y", ctype, columns * window.kernel[0] * window.kernel[1] * n))
    fill, row = int(integers(rng, ctype, 1)[0]), int(rng.integers(rows))
    return GatherRow(*ABOUT, x, height, width, n, *geometry(window), fill, row, columns, y)


def put_bits(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    """Before the pixel lie those before it; the words that it begins hold anything."""
    rows, columns, planes = map(int, rng.integers(1, [6, 6, 5]))
    row, column, total = int(rng.integers(rows)), int(rng.integers(columns)), rows * columns * n
    start = (row * columns + column) * n
    codes = rng.integers(0, 2**planes, total) * (np.arange(total) < start)
    begun = pack_planes(codes, planes, word_bits).reshape(planes, -1)
    begun[:, words(start, word_bits) : words(start + n, word_bits)] = 0xA5
    memory["y"] = begun.reshape(-1)
    memory["x"] = pack_planes(rng.integers(0, 2**planes, n), planes, word_bits)
    x, y = Buffer("x", "bnn_word", planes * words(n, word_bits)), Buffer("y", "bnn_word", begun.size)
    return PutBits(*ABOUT, x, planes, n, total, columns, row, column, y)


def put_integers(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    rows, columns = map(int, rng.integers(1, 6, 2))
    x, ctype = source(rng, n, memory)
    y = Buffer("y", ctype, rows * columns * n)
    memory["y"] = integers(rng, ctype, y.count).astype(y.dtype(word_bits))
    return PutIntegers(*ABOUT, x, n, columns, int(rng.integers(rows)), int(rng.integers(columns)), Typed(y))


def put_pooled(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    """Before the pixel lie those before it; the words that it begins hold anything."""
    rows, columns, pool_h, pool_w = map(int, rng.integers(1, [4, 6, 4, 4]))
    row, column, total = int(rng.integers(rows * pool_h)), int(rng.integers(columns * pool_w)), rows * columns * n
    at = (row // pool_h * columns + column // pool_w) * n
    begins = row % pool_h == 0 and column % pool_w == 0
    there = total if row % pool_h else at if begins else at + n
    begun = pack_bits(bits(rng, total) & (np.arange(total) < there), word_bits)
    if begins:
        begun[words(at, word_bits) : words(at + n, word_bits)] = 0xA5
    memory["y"], memory["x"] = begun, pack_bits(bits(rng, n), word_bits)
    x, y = Buffer("x", "bnn_word", words(n, word_bits)), Buffer("y", "bnn_word", begun.size)
    return PutPooled(*ABOUT, x, n, columns, pool_h, pool_w, row, column, y)


def pool_row(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    columns, pool_w = map(int, rng.integers(1, [12, 5]))
    memory["x"] = pack_bits(bits(rng, columns * n), word_bits)
    x = Buffer("x", "bnn_word", words(columns * n, word_bits))
    return PoolRow(*ABOUT, x, columns, n, pool_w, Buffer("y", "bnn_word", words(-(-columns // pool_w) * n, word_bits)))


def convolve_columns(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    height, width, outs = map(int, rng.integers(1, [6, 9, 40]))
    window = a_window(rng, height, width)
    window = replace(window, dilation=(window.dilation[0], 1))
    rows, columns = window.positions((height, width))
    taps = window.kernel[0] * window.kernel[1] * n
    classes, down = int(rng.integers(1, columns + 1)), int(rng.integers(1, 4))
    limit = np.clip(taps // 2 + rng.integers(-9, 10, (down, -(-outs // 2), classes, 2)), 0, taps + 1)
    limit[rng.random(limit.shape) < 0.05] = taps + 1
    by_row, by_column = rng.integers(0, down, rows), a_run_each(rng, classes, columns)
    tables = [None if classes * down == 1 else table(t, "uint8_t") for t in (by_row, by_column)]
    limit.reshape(down, -1, classes, 2)[:, -1, :, outs % 2 or 2 :] = 0
    w = column_weights(bits(rng, outs, *window.kernel, n), word_bits)
    memory["x"] = pack_bits(bits(rng, height * width * n), word_bits)
    x, y = (
        Buffer(b, "bnn_word", words(size, word_bits)) for b, size in (("x", height * width * n), ("y", columns * outs))
    )
    scratch = Buffer("scratch", "bnn_word", ConvolveColumns.scratch_words(Span(n, window, columns, width), word_bits))
    ctype = "uint8_t" if taps < 255 else "int16_t"
    numbers = height, width, n, *geometry(window), int(rng.integers(rows)), columns, outs
    stored = table(w, "bnn_word"), Typed(table(limit, ctype))
    return ConvolveColumns(*ABOUT, x, *numbers, tables[0], tables[1], classes, *stored, scratch, y)


def a_run_each(rng: np.random.Generator, classes: int, columns: int) -> Array:
    """Classes in order, each of some neighbouring columns."""
    starts = np.sort(rng.choice(columns - 1, classes - 1, replace=False)) + 1 if classes > 1 else np.zeros(0)
    return np.asarray(np.searchsorted(starts, np.arange(columns), side="right"))


def rows_of_pixels(
    rng: np.random.Generator, n: int, word_bits: int, memory: Memory
) -> tuple[tuple[Any, ...], int, int, Array]:
    """A window on a packed map of ``n`` channels and a row of its pixels; fill, number of classes, and weights."""
    height, width, outs = int(rng.integers(1, 5)), int(rng.integers(1, 9)), int(rng.integers(1, 140))
    memory["x"] = pack_bits(bits(rng, height * width * n), word_bits)
    x = Buffer("x", "bnn_word", words(height * width * n, word_bits))
    window = a_window(rng, height, width)
    (rows, columns), (row, _) = window.positions((height, width)), a_place(rng, window, height, width)
    by_class = [table(rng.integers(0, bound, size), "uint8_t") for bound, size in ((3, rows), (2, columns))]
    border = (*by_class, 2) if rng.random() < 0.7 else (None, None, 1)
    start = (x, height, width, n, *geometry(window), row, columns, outs, *border)
    return start, int(rng.integers(2)), 6 if border[0] else 1, bits(rng, outs, window.kernel[0] * window.kernel[1] * n)


def nibbles_scratch(start: tuple[Any, ...], memory: Memory) -> Buffer:
    """Work memory that holds anything at first."""
    count = scratch_count(start[13], start[4] * start[5], start[3])
    memory["scratch"] = np.full(count, 0xA5A5)
    return Buffer("scratch", "uint16_t", count)


def convolve_nibbles(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    """Thresholds near the sums, and some that all or none reach."""
    start, fill, classes, w = rows_of_pixels(rng, n, word_bits, memory)
    columns, outs, taps, count = start[13], start[14], w.shape[1], int(rng.choice([1, 1, 2, 3]))
    at = rng.integers(-min(taps, 9) - 2, min(taps, 9) + 3, (classes, outs, count))
    at[rng.random(at.shape) < 0.1] = rng.choice([-taps - 9, taps + 9])
    tables = table(tiled_weights(w, n, word_bits), "bnn_word"), table(nibble_limits(at, taps), "uint16_t")
    y = Buffer("y", "bnn_word", words(columns * outs, word_bits))
    return made(ConvolveNibbles, *start, fill, *tables, count, nibbles_scratch(start, memory), y)


def sum_nibbles(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    start, fill, classes, w = rows_of_pixels(rng, n, word_bits, memory)
    columns, outs, ctype = start[13], start[14], any_type(rng)
    lo, hi = (max(lo, -(2**24)) if lo else lo for lo in limits(ctype))
    border = Typed(table(rng.integers(lo, min(hi, 2**24), (classes - 1) * outs, endpoint=True), ctype))
    tables = table(tiled_weights(w, n, word_bits), "bnn_word"), border
    y = Buffer("y", "int32_t", columns * outs)
    return made(SumNibbles, *start, fill, *tables, nibbles_scratch(start, memory), y)


def convolve_planes(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    """Any window that moves by a pixel, pools, classes of pixels, bands, and one of two pitches of rows."""
    size, outs = (
        (int(rng.integers(1, 9)), int(rng.choice([*range(1, 20), 31, 57]))),
        int(rng.choice([*range(1, 40), 97])),
    )
    window = replace(a_window(rng, *size), stride=(1, 1))
    rows, columns = window.positions(size)
    down, across = (1, 1) if rng.random() < 0.4 else (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    border = [table(rng.integers(0, k, m), "uint8_t") for k, m in ((down, rows), (across, columns))]
    pitch, band, count = -(-max(size[1], columns) // 8), int(rng.integers(1, rows + 1)), int(rng.choice([1, 1, 2, 3]))
    planes = Planes(window.kernel, window.dilation[0], n, pitch, band)
    w = bits(rng, outs, window.kernel[0] * window.kernel[1] * n).astype(bool)
    at = rng.integers(-min(w.shape[1], 9) - 2, min(w.shape[1], 9) + 3, (down * across, outs, count))
    at[rng.random(at.shape) < 0.1] = rng.choice([-w.shape[1] - 9, w.shape[1] + 9])
    taps, codes = (table(t, "uint16_t") for t in tables_of(w, at, planes, word_bits))
    assert planes.zeros < 2**16
    memory["x"] = pack_bits(bits(rng, size[0] * size[1] * n), word_bits)
    x = Buffer("x", "bnn_word", memory["x"].size)
    pool = (1, 1) if rng.random() < 0.5 else (int(rng.integers(1, 4)), int(rng.integers(1, 4)))
    y = Buffer("y", "bnn_word", words(-(-rows // pool[0]) * -(-columns // pool[1]) * outs, word_bits))
    digits = plane_digits(w.shape[1])
    scratch = Buffer("scratch", "uint8_t", planes.scratch_bytes(word_bits, digits, down * across, across))
    where = (*size, n, *window.kernel, *window.dilation, *window.before, rows, columns, outs, *pool)
    classes = (*(border if down * across > 1 else (None, None)), across, down * across)
    return made(ConvolvePlanes, x, *where, *classes, int(rng.integers(2)), band, taps, codes, count, digits, scratch, y)


def slide_bits(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    rows, planes, per = map(int, rng.integers(1, [6, 5, 4]))
    codes = rng.integers(0, 2**planes, rows * n)
    memory["y"] = pack_planes(codes, planes, word_bits)
    y = Buffer("y", "bnn_word", memory["y"].size)
    return SlideBits(*ABOUT, planes, n, rows, per, int(rng.integers(rows * per * 2 + 1)), y)


def slide_integers(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    rows, per, ctype = int(rng.integers(1, 6)), int(rng.integers(1, 4)), any_type(rng)
    y = Buffer("y", ctype, rows * n)
    memory["y"] = integers(rng, ctype, y.count).astype(y.dtype(word_bits))
    return SlideIntegers(*ABOUT, n, rows, per, int(rng.integers(rows * per * 2 + 1)), Typed(y))


def add_border(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    rows, columns, down, across = map(int, rng.integers(1, 6, 4))
    ctype = any_type(rng)
    by_row, by_column = (table(rng.integers(0, k, m), "uint8_t") for m, k in ((rows, down), (columns, across)))
    values = table(integers(rng, ctype, (down * across - 1) * n), ctype)
    row, column = int(rng.integers(rows)), int(rng.integers(columns))
    pixels = int(rng.integers(1, columns - column + 1))
    y = Buffer("y", "int32_t", pixels * n)
    memory["y"] = integers(rng, "int32_t", pixels * n).astype(np.int32)
    return AddBorder(*ABOUT, by_row, by_column, across, Typed(values), n, row, column, pixels, y)


def max_pool_bits(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    height, width = map(int, rng.integers(1, 6, 2))
    memory["x"] = pack_bits(bits(rng, height * width * n), word_bits)
    window = a_window(rng, height, width)
    rows, columns = window.positions((height, width))
    x = Buffer("x", "bnn_word", words(height * width * n, word_bits))
    y = Buffer("y", "bnn_word", words(rows * columns * n, word_bits))
    return MaxPoolBits(*ABOUT, x, height, width, n, rows, columns, *geometry(window), y)


def max_pool_integers(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    height, width = map(int, rng.integers(1, 6, 2))
    x, ctype = source(rng, height * width * n, memory)
    window = a_window(rng, height, width)
    rows, columns = window.positions((height, width))
    y = Typed(Buffer("y", ctype, rows * columns * n))
    return MaxPoolIntegers(*ABOUT, x, height, width, n, rows, columns, *geometry(window), y)


# --- moves


def elementwise(kind: type[AddIntegers] | type[MulIntegers]) -> Callable[[np.random.Generator, int, int, Memory], Call]:
    def make(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
        x, _ = source(rng, n, memory)
        z_type, y_type = any_type(rng), any_type(rng)
        memory["z"] = integers(rng, z_type, n)
        return kind(*ABOUT, x, Typed(Buffer("z", z_type, n)), n, Typed(Buffer("y", y_type, n)))

    return make


def concat_bits(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    pixels, more, planes = map(int, rng.integers(1, [6, 70, 5]))
    for name, channels in (("x", n), ("z", more)):
        memory[name] = pack_planes(rng.integers(0, 2**planes, pixels * channels), planes, word_bits)
    x, z, y = (
        Buffer(name, "bnn_word", planes * words(pixels * channels, word_bits))
        for name, channels in (("x", n), ("z", more), ("y", n + more))
    )
    return ConcatBits(*ABOUT, x, n, z, more, planes, pixels, y)


def concat_integers(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    pixels, more = map(int, rng.integers(1, [6, 70]))
    x, _ = source(rng, pixels * n, memory)
    z_type, y_type = any_type(rng), any_type(rng)
    memory["z"] = integers(rng, z_type, pixels * more)
    z, y = Typed(Buffer("z", z_type, pixels * more)), Typed(Buffer("y", y_type, pixels * (n + more)))
    return ConcatIntegers(*ABOUT, x, n, z, more, pixels, y)


def an_order(rng: np.random.Generator, n: int) -> tuple[int, tuple[Any, ...]]:
    """How many elements are chosen from, and which ones: ``(index, period, start, blocks, stride)``."""
    period, stride = a_rows(rng, n), int(rng.integers(0, 90))
    blocks = a_rows(rng, n // period)
    index, start = rng.integers(-60, 64, period), rng.integers(60, 128, blocks)
    size = int(index.max() + start.max()) + (n // period // blocks - 1) * stride + 1
    tables = Typed(table(index, str(rng.choice(["int8_t", "int16_t", "int32_t"])))), Typed(table(start, any_type(rng)))
    return size, (tables[0], period, tables[1], blocks, stride)


def permute_bits(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    (x_n, order), planes = an_order(rng, n), int(rng.integers(1, 5))
    memory["x"] = pack_planes(rng.integers(0, 2**planes, x_n), planes, word_bits)
    x, y = (Buffer(name, "bnn_word", planes * words(count, word_bits)) for name, count in (("x", x_n), ("y", n)))
    return made(PermuteBits, x, x_n, planes, *order, n, y)


def permute_integers(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x_n, order = an_order(rng, n)
    x, _ = source(rng, x_n, memory)
    return made(PermuteIntegers, x, *order, n, Typed(Buffer("y", any_type(rng), n)))


MAKERS: dict[type[Call], Callable[[np.random.Generator, int, int, Memory], Call]] = {
    Argmax: argmax, DenseBipolar: dense_bipolar, DenseColumns: dense_columns, DenseSigns: dense_signs,
    DenseInteger: dense_integer,
    DenseSelect: dense_select, DenseTiled: dense_tiled, DenseTiledThreshold: dense_tiled_threshold,
    DenseSliced: dense_sliced, DenseSlicedThreshold: dense_sliced_threshold,
    DenseSlicedBorder: dense_sliced_border, DenseSlicedPlanes: dense_sliced_planes,
    DenseLimbs: dense_limbs, DenseWideTiled: dense_wide_tiled, DenseTernary: dense_ternary,
    DenseThreshold: dense_threshold, DenseWide: dense_wide,
    DenseXnor: dense_xnor, LoadBits: load_bits,
    Lookup: lookup, Requantize: requantize, Scale: scale, Slice: slice_, Steps: steps, Threshold: threshold,
    TopIndices: top_indices, TopValues: top_values,
    Unpack: unpack, AddBorder: add_border, GatherBits: gather_bits, GatherIntegers: gather_integers,
    ConvolveColumns: convolve_columns, ConvolveRowSliced: convolve_row_sliced,
    GatherRow: gather_row, PoolRow: pool_row, PutPooled: put_pooled,
    SlideBits: slide_bits, SlideIntegers: slide_integers,
    MaxPoolBits: max_pool_bits, MaxPoolIntegers: max_pool_integers, PutBits: put_bits, PutIntegers: put_integers,
    AddIntegers: elementwise(AddIntegers), MulIntegers: elementwise(MulIntegers), ConcatBits: concat_bits,
    ConvolveNibbles: convolve_nibbles, SumNibbles: sum_nibbles, ConvolvePlanes: convolve_planes,
    ConcatIntegers: concat_integers, PermuteBits: permute_bits, PermuteIntegers: permute_integers,
}  # fmt: skip


IN_PLACE = (AddIntegers, Argmax, ConcatIntegers, Lookup, MaxPoolBits, MaxPoolIntegers, MulIntegers, Requantize,
            Scale, Slice, Threshold, Unpack)  # fmt: skip


def cases(kind: type[Call], word_bits: int) -> Iterator[Case]:
    rng = np.random.default_rng(CALLS.index(kind))
    by_channels = (convolution_calls, map_calls, nibble_calls, plane_calls, row_calls, window_calls)
    on_maps = issubclass(kind, ConvolveRow) or kind.__module__ in [m.__name__ for m in by_channels]
    for n in CHANNELS if on_maps else WIDTHS:
        for _ in range(2):
            memory: Memory = {}
            call = MAKERS[kind](rng, n, word_bits, memory)
            yield call, memory


ON_CORTEX_M = [c for c in CALLS if (KERNELS / "cmsis" / f"{c.kernel()}.c").exists() or c is DenseSlicedBorder]

ON_AVR = [c for c in CALLS if (KERNELS / "avr" / f"{c.kernel()}.c").exists()]


def test_every_kernel_has_a_test() -> None:
    assert set(MAKERS) == set(CALLS)


@pytest.mark.parametrize("kind", CALLS, ids=lambda kind: kind.kernel())
def test_kernel_computes_its_meaning(harness: Harness, kind: type[Call]) -> None:
    harness.check(list(cases(kind, harness.word_bits)))


@pytest.fixture(scope="module")
def vectors(tmp_path_factory: pytest.TempPathFactory) -> Harness:
    """The kernels as this machine's own vector instructions have them."""
    return build(tmp_path_factory.mktemp("vectors"), need("gcc"), 64, "-O3", "-march=native")


@pytest.mark.parametrize("kind", CALLS, ids=lambda c: c.kernel())
def test_vector_instructions_compute_the_same(vectors: Harness, kind: type[Call]) -> None:
    vectors.check(list(cases(kind, 64)))


BIT_SLICED = [
    DenseSliced, DenseSlicedBorder, DenseSlicedPlanes, DenseSlicedThreshold, ConvolvePlanes, ConvolveRowSliced
]  # fmt: skip


COUNTING = [DenseBipolar, DenseThreshold, DenseTiled, DenseTiledThreshold, DenseXnor]

# Processors as gcc and Bochs call them: the second one counts ones by an instruction, too.
WITH_AVX512 = {("x86-64-v4", "corei7_skylake_x"): CALLS, ("icelake-server", "corei7_icelake_u"): COUNTING}


@pytest.mark.parametrize("march, model", WITH_AVX512)
def test_kernels_for_avx512_compute_their_meaning(march: str, model: str, tmp_path: Path) -> None:
    """All at once, as a machine takes its time to start."""
    need_bochs()
    kinds = WITH_AVX512[march, model]
    build_bare(tmp_path, march, model, kinds).check([case for kind in kinds for case in cases(kind, 64)])


@pytest.fixture(scope="module")
def aarch64(tmp_path_factory: pytest.TempPathFactory) -> Harness:
    need("qemu-aarch64")
    return replace(
        build(tmp_path_factory.mktemp("neon"), need("aarch64-linux-gnu-gcc"), 64, "-O2", "-static"),
        emulator=("qemu-aarch64",),
    )


@pytest.mark.parametrize("kind", BIT_SLICED, ids=lambda c: c.kernel())
def test_kernel_for_aarch64_computes_its_meaning(aarch64: Harness, kind: type[Call]) -> None:
    aarch64.check(list(cases(kind, 64)))


VECTORIZED = [Requantize, Threshold, Steps, Scale, Lookup, ConvolvePlanes, DenseLimbs, DenseWideTiled, GatherRow,
              MaxPoolIntegers]  # fmt: skip


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Harness:
    """The kernels as machines have them that no vector instructions are written for."""
    return build(tmp_path_factory.mktemp("plain"), need("gcc"), 64, "-O2", "-U__SSE2__")


@pytest.mark.parametrize("kind", VECTORIZED, ids=lambda kind: kind.kernel())
def test_plain_c_computes_the_same(plain: Harness, kind: type[Call]) -> None:
    plain.check(list(cases(kind, 64)))


@pytest.mark.parametrize("kind", VECTORIZED, ids=lambda kind: kind.kernel())
def test_kernel_is_the_same_with_constant_arguments(kind: type[Call], tmp_path: Path) -> None:
    """As generated code calls it: compilers vectorize a kernel whose types and sizes they know in other ways."""
    chosen = [c for c in cases(kind, 64) if sum(b.count for b in c[0].buffers.values()) > 100][::9]
    assert len(chosen) > 5
    check_constant(tmp_path, need("gcc"), chosen, "-O3", "-march=native")


@pytest.mark.parametrize("start", [[0], [-7, 900]])
def test_a_relu_on_a_stream_with_constant_arguments(start: list[int], tmp_path: Path) -> None:
    """Gcc 12.2 made other results of a table that is read at an index which is a truth value."""
    x = np.random.default_rng(0).integers(-(2**23), 2**23, 1000).astype(np.int32)
    pieces = len(start) + 1
    tables = (start, [0, 1046472964, 31415926][:pieces], [2**29] * pieces)
    at, factor, bias = (Typed(Table(f"t{i}", "int32_t", np.array(t))) for i, t in enumerate(tables))
    source, y = (Typed(Buffer(name, "int32_t", len(x))) for name in "xy")
    call = Requantize(*ABOUT, source, len(x), at, factor, bias, 1, pieces, 30, 0, 2**23 - 1, y)
    check_constant(tmp_path, need("gcc"), [(call, {"x": x})], "-O3", "-march=native")


@pytest.fixture(scope="module")
def cortex_m(compiler: tuple[str, tuple[str, ...]], tmp_path_factory: pytest.TempPathFactory) -> Harness:
    """The kernels for Cortex-M without its instructions: plain C, with the lists and counters of the others."""
    return build(tmp_path_factory.mktemp("cmsis"), compiler[0], 32, *compiler[1], port="cmsis")


@pytest.mark.parametrize("kind", ON_CORTEX_M, ids=lambda kind: kind.kernel())
def test_kernel_for_cortex_m_computes_its_meaning(cortex_m: Harness, kind: type[Call]) -> None:
    cortex_m.check(list(cases(kind, 32)))
    if kind in IN_PLACE:
        cortex_m.check([case for case in cases(kind, 32) if overlap.timeline(case[0], 32)], in_place=True)


@pytest.fixture(scope="module")
def avr(compiler: tuple[str, tuple[str, ...]], tmp_path_factory: pytest.TempPathFactory) -> Harness:
    """The kernels for AVR without assembly."""
    return build(tmp_path_factory.mktemp("avr"), compiler[0], 8, *compiler[1], port="avr")


@pytest.mark.parametrize("kind", ON_AVR, ids=lambda kind: kind.kernel())
def test_kernel_for_avr_computes_its_meaning(avr: Harness, kind: type[Call]) -> None:
    avr.check(list(cases(kind, 8)))


@pytest.mark.parametrize("kind", IN_PLACE, ids=lambda kind: kind.kernel())
def test_kernel_may_write_over_its_input(harness: Harness, kind: type[Call]) -> None:
    """As near to it as the planner may place them."""
    shared = [case for case in cases(kind, harness.word_bits) if overlap.timeline(case[0], harness.word_bits)]
    assert len(shared) > 20
    harness.check(shared, in_place=True)


@pytest.mark.parametrize("kind", [k for k in CALLS if k not in IN_PLACE], ids=lambda kind: kind.kernel())
def test_no_other_kernel_may(kind: type[Call]) -> None:
    call, _ = next(cases(kind, 8))
    assert overlap.timeline(call, 8) is None
