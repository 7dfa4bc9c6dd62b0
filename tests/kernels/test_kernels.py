"""Each kernel alone against its meaning in numpy: every tail width, every word size, random and extreme data."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from bnncompiler.calls import (
    Argmax,
    DenseBipolar,
    DenseInteger,
    DenseSelect,
    DenseTernary,
    DenseThreshold,
    DenseXnor,
    LoadBits,
    Lookup,
    Requantize,
    Slice,
    Steps,
    Threshold,
    Unpack,
)
from bnncompiler.ir import Array
from bnncompiler.packing import pack_bits, pack_planes, words
from bnncompiler.program import Buffer, Call, Memory, Typed
from tests.conftest import SANITIZERS, need
from tests.kernels.harness import CALLS, TYPES, Harness, build, limits, table

WIDTHS = [*range(1, 131), 191, 192, 193, 784]
Case = tuple[Call, Memory]
ABOUT = ("layer", (), 0)


@pytest.fixture(scope="module", params=["gcc sanitized", "clang -O2"])
def compiler(request: pytest.FixtureRequest) -> tuple[str, tuple[str, ...]]:
    command, kind = request.param.split()
    return need(command), ("-O1", *SANITIZERS) if kind == "sanitized" else (kind,)


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


def a_bias(rng: np.random.Generator, outs: int) -> object:
    return table(integers(rng, "int32_t", outs), "int32_t") if rng.random() < 0.5 else None


def threshold(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, _ = source(rng, n, memory)
    rows, at_type = a_rows(rng, n), any_type(rng)
    at = Typed(table(near(rng, memory["x"], rows, at_type), at_type))
    return Threshold(*ABOUT, x, n, at, rows, Buffer("y", "bnn_word", words(n, word_bits)))


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
    planes = int(rng.integers(1, 33))
    return Slice(*ABOUT, x, n, planes, Buffer("y", "bnn_word", planes * words(n, word_bits)))


def unpack(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, planes, _ = planes_of(rng, n, word_bits, memory)
    lo, step = (-1, 2) if rng.random() < 0.5 else map(int, rng.integers(-(2**31), 2**31, 2))
    return Unpack(*ABOUT, x, n, planes, lo, step, Buffer("y", "int32_t", n))


def dense_threshold(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, outs = bipolar_input(rng, n, word_bits, memory), int(rng.integers(1, 140))
    w, at_type = weights(rng, outs, n, word_bits), any_type(rng)
    probe = {"x": memory["x"]}
    DenseXnor(*ABOUT, x, table(w, "bnn_word"), n, outs, Buffer("y", "int32_t", outs)).run(probe, word_bits)
    at = Typed(table(near(rng, probe["y"], outs, at_type), at_type))
    return DenseThreshold(*ABOUT, x, table(w, "bnn_word"), at, n, outs, Buffer("y", "bnn_word", words(outs, word_bits)))


def dense_xnor(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, outs = bipolar_input(rng, n, word_bits, memory), int(rng.integers(1, 40))
    return DenseXnor(
        *ABOUT, x, table(weights(rng, outs, n, word_bits), "bnn_word"), n, outs, Buffer("y", "int32_t", outs)
    )


def dense_bipolar(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, outs = planes_of(rng, n, word_bits, memory), int(rng.integers(1, 20))
    w = table(weights(rng, outs, n, word_bits), "bnn_word")
    return DenseBipolar(*ABOUT, *x, w, a_bias(rng, outs), n, outs, Buffer("y", "int32_t", outs))  # type: ignore[arg-type]


def dense_ternary(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, outs = planes_of(rng, n, word_bits, memory), int(rng.integers(1, 20))
    sign = rng.integers(-1, 2, (outs, n))
    plus, minus = (table(pack_bits(s, word_bits), "bnn_word") for s in (sign > 0, sign < 0))
    y = Buffer("y", "int32_t", outs)
    return DenseTernary(*ABOUT, *x, plus, minus, a_bias(rng, outs), n, outs, y)  # type: ignore[arg-type]


def dense_select(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, outs, ctype = planes_of(rng, n, word_bits, memory), int(rng.integers(1, 20)), any_type(rng)
    w = Typed(table(integers(rng, ctype, outs * n), ctype))
    return DenseSelect(*ABOUT, *x, w, a_bias(rng, outs), n, outs, Buffer("y", "int32_t", outs))  # type: ignore[arg-type]


def dense_integer(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, _ = source(rng, n, memory)
    outs, ctype = int(rng.integers(1, 20)), any_type(rng)
    w = Typed(table(integers(rng, ctype, outs * n), ctype))
    return DenseInteger(*ABOUT, x, w, n, outs, Buffer("y", "int32_t", outs))


def requantize(rng: np.random.Generator, n: int, word_bits: int, memory: Memory) -> Call:
    x, ctype = source(rng, n, memory)
    rows, pieces, shift = a_rows(rng, n), int(rng.integers(1, 5)), int(rng.integers(0, 63))
    start = np.sort(near(rng, memory["x"], rows * pieces, "int32_t").reshape(rows, pieces), axis=1)
    multiplier = integers(rng, "int32_t", rows * pieces)
    bias = rng.integers(-(2**61), 2**61, rows * pieces) >> int(rng.integers(0, 62))
    y_type = str(rng.choice([t for t in TYPES if limits(t)[1] <= 2 * limits(ctype)[1] + 1]))
    lo, hi = sorted(int(v) for v in integers(rng, y_type, 2))
    tables = table(start, "int32_t"), table(multiplier, "int32_t"), table(bias, "int64_t")
    return Requantize(*ABOUT, x, n, *tables, rows, pieces, shift, lo, hi, Typed(Buffer("y", y_type, n)))


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


MAKERS: dict[type[Call], Callable[[np.random.Generator, int, int, Memory], Call]] = {
    Argmax: argmax, DenseBipolar: dense_bipolar, DenseInteger: dense_integer, DenseSelect: dense_select,
    DenseTernary: dense_ternary, DenseThreshold: dense_threshold, DenseXnor: dense_xnor, LoadBits: load_bits,
    Lookup: lookup, Requantize: requantize, Slice: slice_, Steps: steps, Threshold: threshold, Unpack: unpack,
}  # fmt: skip


def cases(kind: type[Call], word_bits: int) -> Iterator[Case]:
    rng = np.random.default_rng(CALLS.index(kind))
    for n in WIDTHS:
        for _ in range(3):
            memory: Memory = {}
            call = MAKERS[kind](rng, n, word_bits, memory)
            yield call, memory


def test_every_kernel_has_a_test() -> None:
    assert set(MAKERS) == set(CALLS)


@pytest.mark.parametrize("kind", CALLS, ids=lambda kind: kind.kernel())
def test_kernel_computes_its_meaning(harness: Harness, kind: type[Call]) -> None:
    harness.check(list(cases(kind, harness.word_bits)))


@pytest.mark.parametrize("kind", [c for c in CALLS if c.in_place], ids=lambda kind: kind.kernel())
def test_kernel_may_write_over_its_input(harness: Harness, kind: type[Call]) -> None:
    """Wherever the planner may share a place: ``y`` is no larger than ``x``."""
    shared = [
        (call, memory) for call, memory in cases(kind, harness.word_bits)
        if call.buffers["y"].bytes(harness.word_bits) <= call.buffers["x"].bytes(harness.word_bits)
    ]  # fmt: skip
    assert len(shared) > 100
    harness.check(shared, in_place=True)
