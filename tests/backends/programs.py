"""Hand-made programs to print: small ones that use everything, and one that is large."""

from __future__ import annotations

from typing import Any

import numpy as np

from bnncompiler.backends.base import About
from bnncompiler.backends.c99 import C99
from bnncompiler.calls import Argmax, LoadBits, Requantize, Steps, Threshold
from bnncompiler.dense_calls import NO_TAIL, DenseInteger, DenseThreshold, DenseXnor
from bnncompiler.ir import Array, Domain, TensorType, bipolar, rows
from bnncompiler.map_calls import AddBorder, Index, PixelLoop, PutBits, PutIntegers
from bnncompiler.memory import plan
from bnncompiler.packing import pack_bits, pack_rows, words
from bnncompiler.program import Buffer, Call, Port, Program, Sliced, Table, Typed
from bnncompiler.window import Window
from bnncompiler.window_calls import GatherBits, GatherIntegers, MaxPoolBits, MaxPoolIntegers, geometry

PIXELS = Domain(rows(1 / 255), rows(0), rows(0), rows(255))


def about(target: str | None = None, **changes: object) -> About:
    fields = {"model": "tiny.onnx", "sha256": "0123456789abcdef" * 4, "version": "0.1.0", "options": "--target 8",
              "backend": "c99", "target": C99.target(target)}  # fmt: skip
    return About(**{**fields, **changes})  # type: ignore[arg-type]


def signs(rng: np.random.Generator, outs: int, n: int, word_bits: int) -> Array:
    return pack_bits(rng.integers(0, 2, (outs, n)), word_bits)


def output(y: Buffer, domain: Domain, name: str = "scores") -> Port:
    return Port(name, y, TensorType((y.count,), "float32", domain))


def mlp(name: str = "tiny", word_bits: int = 8, n: int = 9, hidden: int = 21, outs: int = 3, seed: int = 0) -> Program:
    """Pixels, a dense layer of integers with thresholds, a binary one with its thresholds, and logits."""
    rng = np.random.default_rng(seed)
    x, acc = Buffer("x", "uint8_t", n), Buffer("fc1", "int32_t", hidden)
    h1, h2 = (Buffer(f"h{i}", "bnn_word", words(hidden, word_bits)) for i in (1, 2))
    y = Buffer("fc3", "int32_t", outs)
    w1 = Table("fc1_weights", "int8_t", rng.integers(-9, 10, hidden * n).astype(np.int8), n)
    at1 = Table("fc1_at", "int16_t", rng.integers(-2000, 2000, hidden).astype(np.int16))
    w2, w3 = (
        Table(f"fc{i}_weights", "bnn_word", signs(rng, o, hidden, word_bits).reshape(-1), words(hidden, word_bits))
        for i, o in ((2, hidden), (3, outs))
    )
    at2 = Table("fc2_at", "int8_t", rng.integers(-5, 6, hidden).astype(np.int8))
    calls: tuple[Call, ...] = (
        DenseInteger("fc1", ("/fc1/Gemm:Gemm",), n * hidden, Typed(x), Typed(w1), n, hidden, acc),
        Threshold("fc1", ("/bn1:BatchNormalization", "/sign1:Sign"), 0, Typed(acc), hidden, Typed(at1), hidden, 1, h1),
        DenseThreshold(
            "fc2",
            ("/fc2/Gemm:Gemm", "/sign2:Sign"),
            hidden * hidden,
            h1,
            w2,
            Typed(NO_TAIL),
            Typed(at2),
            1,
            hidden,
            hidden,
            h2,
        ),
        DenseXnor("fc3", ("/fc3/Gemm:Gemm",), hidden * outs, h2, w3, Typed(NO_TAIL), hidden, outs, y),
    )
    ports = (Port("pixels", x, TensorType((n,), "float32", PIXELS), "default: uint8 with real = q/255"),)
    logits = output(y, Domain(rows(0.25), rows(-1.5), rows(-hidden), rows(hidden), 2))
    return plan(Program(name, word_bits, ports, (logits,), calls, 0, 4))


def branches(name: str = "branches", word_bits: int = 32) -> Program:
    """Two inputs, one of them packed bits, and two outputs, an index and requantised integers; nasty names."""
    rng = np.random.default_rng(1)
    bits, wide = Buffer("bits", "uint8_t", 5), Buffer("wide", "int16_t", 6)
    packed, codes = (
        Buffer("packed", "bnn_word", words(37, word_bits)),
        Buffer("codes", "bnn_word", 2 * words(6, word_bits)),
    )
    acc, index, scaled = Buffer("acc", "int32_t", 4), Buffer("index", "int32_t", 1), Buffer("scaled", "int32_t", 6)
    whole, tails = pack_rows(rng.integers(0, 2, (4, 37)), word_bits)
    w, tail = Table("int", "bnn_word", whole.reshape(-1), whole.shape[1]), Typed(Table("int_tail", "uint8_t", tails))
    at = Table("bnn_load", "int16_t", np.array([-30000, 0, 30000], np.int16))
    start, multiplier = (
        Table(t, "int32_t", np.array(v, np.int32)) for t, v in (("start", [5]), ("arena", [-(2**31), 7]))
    )
    bias = Table("bias", "int64_t", np.array([-(2**63) + 2**46, 2**40]))
    calls: tuple[Call, ...] = (
        LoadBits("load", (), 0, bits, 37, packed),
        DenseXnor("a*/b", ("a*/b??/:MatMul",), 148, packed, w, tail, 37, 4, acc),
        Argmax("argmax", ("ArgMax",), 0, Typed(acc), 4, index),
        Steps("steps", (), 0, Typed(wide), 6, Typed(at), 1, 3, None, 2, codes),
        Requantize(
            "scale",
            (),
            0,
            Typed(wide),
            6,
            Typed(start),
            Typed(multiplier),
            Typed(bias),
            1,
            2,
            20,
            -(2**31),
            2**31 - 1,
            Typed(scaled),
        ),
    )
    ranges = Domain(rows([1, 2, 4]), rows([0.5, 0, 0]), rows([-32768, 0, 7]), rows([32767, 3, 9]))
    inputs = (
        Port("2nd é input", bits, TensorType((37,), "float32", bipolar(0.0, 1.0))),
        Port("for", wide, TensorType((2, 3), "float32", ranges)),
    )
    outputs = (
        Port("2nd e input", index, TensorType((1,), "int64", Domain(rows(1), rows(0), rows(0), rows(3)))),
        output(scaled, Domain(rows(1e-12), rows(0), rows(-(2**31)), rows(2**31 - 1), 1, rows(0.125)), "arena"),
    )
    return plan(Program(name, word_bits, inputs, outputs, calls, 0, 4))


HERE = (Index.ROW, Index.COLUMN)


def share(data: Buffer | Table, stride: int) -> Any:
    """The group's part, where the field's type speaks of the whole."""
    return Sliced(data, stride)


def maps(name: str = "maps", word_bits: int = 16) -> Program:
    """Convolutions: of integers in two groups, of bits with padding taken back, and depthwise; pools between them."""
    rng = np.random.default_rng(3)
    x = Buffer("x", "uint8_t", 7 * 6 * 4)
    calls = (*_integers(rng, x), *_bits(rng, word_bits), *_depthwise(rng, word_bits))
    h6, y = Buffer("h6", "bnn_word", words(5, word_bits)), Buffer("y", "int32_t", 3)
    w = Table("fc_weights", "bnn_word", signs(rng, 3, 5, word_bits).reshape(-1), words(5, word_bits))
    last = DenseXnor("fc", (), 15, h6, w, Typed(NO_TAIL), 5, 3, y)
    port = Port("pixels", x, TensorType((7, 6, 4), "float32", PIXELS))
    logits = output(y, Domain(rows(1), rows(0), rows(-5), rows(5), 2))
    return plan(Program(name, word_bits, (port,), (logits,), (*calls, last), 0, 4))


def _integers(rng: np.random.Generator, x: Buffer) -> tuple[Call, ...]:
    """7x6x4 integers to 7x6x6 by 3x3 taps in two groups, then a pool to 3x3x6."""
    window = Window((3, 3), before=(1, 1), after=(1, 1))
    patch, acc = Buffer("group", "uint8_t", 18), Buffer("acc1", "int32_t", 6)
    pixel, h1, h2 = Buffer("pixel1", "int8_t", 6), Buffer("h1", "int8_t", 7 * 6 * 6), Buffer("h2", "int8_t", 3 * 3 * 6)
    w = Table("conv1_weights", "int8_t", rng.integers(-9, 10, 6 * 18).astype(np.int8), 18)
    start, multiplier, bias = (
        Typed(Table(f"conv1_{t}", "int8_t", np.array(v, np.int8)))
        for t, v in (("start", ()), ("multiplier", (3,)), ("bias", (9,)))
    )
    gather = GatherIntegers(
        "conv1", (), 0, Typed(x), 7, 6, 4, Index.GROUP, 2, *geometry(window), 0, *HERE, Typed(patch)
    )
    dense = DenseInteger("conv1", (), 0, Typed(patch), Typed(Sliced(w, 3 * 18)), 18, 3, share(acc, 3))
    scale = Requantize("conv1", (), 0, Typed(acc), 6, start, multiplier, bias, 1, 1, 5, -128, 127, Typed(pixel))
    put = PutIntegers("conv1", (), 0, Typed(pixel), 6, 6, *HERE, Typed(h1))
    loop = PixelLoop(
        "conv1", ("/conv1/Conv:Conv",), 4536, 7, 6, 2, (gather, dense), (scale, put), (patch, acc, pixel), x, h1
    )
    pool = MaxPoolIntegers("pool1", (), 0, Typed(h1), 7, 6, 6, 3, 3, *geometry(Window((2, 2), (2, 2))), Typed(h2))
    return loop, pool


def _bits(rng: np.random.Generator, word_bits: int) -> tuple[Call, ...]:
    """The signs of 3x3x6 integers, to 3x3x5 bits by 3x3 taps with padding that adds nothing."""
    h2, bits = Buffer("h2", "int8_t", 3 * 3 * 6), Buffer("bits", "bnn_word", words(54, word_bits))
    patch, acc = Buffer("patch2", "bnn_word", words(54, word_bits)), Buffer("acc2", "int32_t", 5)
    pixel, h3 = Buffer("pixel2", "bnn_word", words(5, word_bits)), Buffer("h3", "bnn_word", words(45, word_bits))
    zero = Table("sign_at", "int8_t", np.zeros(1, np.int8))
    w = Table("conv2_weights", "bnn_word", signs(rng, 5, 54, word_bits).reshape(-1), words(54, word_bits))
    at = Table("conv2_at", "int8_t", rng.integers(-4, 5, 5).astype(np.int8))
    classes = [Table(f"conv2_{side}_class", "uint8_t", np.array([1, 0, 2], np.uint8)) for side in ("row", "column")]
    border = Table("conv2_border", "int8_t", rng.integers(-18, 19, 8 * 5).astype(np.int8), 5)
    window = Window((3, 3), before=(1, 1), after=(1, 1))
    body = (
        GatherBits("conv2", (), 0, bits, 1, 3, 3, 6, 0, 6, *geometry(window), 0, *HERE, patch),
        DenseXnor("conv2", (), 0, patch, w, Typed(NO_TAIL), 54, 5, acc),
    )
    tail = (
        AddBorder("conv2", (), 0, classes[0], classes[1], 3, Typed(border), 5, *HERE, 1, acc),
        Threshold("conv2", (), 0, Typed(acc), 5, Typed(at), 5, 1, pixel),
        PutBits("conv2", (), 0, pixel, 1, 5, 45, 3, *HERE, h3),
    )
    sign = Threshold("sign", (), 0, Typed(h2), 54, Typed(zero), 1, 1, bits)
    return sign, PixelLoop("conv2", ("/conv2/Conv:Conv",), 2430, 3, 3, 1, body, tail, (patch, acc, pixel), bits, h3)


def _depthwise(rng: np.random.Generator, word_bits: int) -> tuple[Call, ...]:
    """3x3x5 bits to 2x2x5 bits by 2x2 taps of each channel alone, then a pool to 5 bits."""
    h3, patch = Buffer("h3", "bnn_word", words(45, word_bits)), Buffer("patch3", "bnn_word", words(4, word_bits))
    acc, pixel = Buffer("row", "int32_t", 5), Buffer("column", "bnn_word", words(5, word_bits))
    h5, h6 = Buffer("h5", "bnn_word", words(20, word_bits)), Buffer("h6", "bnn_word", words(5, word_bits))
    w = Table("conv3_weights", "bnn_word", signs(rng, 5, 4, word_bits).reshape(-1), words(4, word_bits))
    at = Table("conv3_at", "int8_t", np.array([-2, 2], np.int8))
    gather = GatherBits("conv3", (), 0, h3, 1, 3, 3, 5, Index.GROUP, 1, *geometry(Window((2, 2))), 0, *HERE, patch)
    dense = DenseXnor("conv3", (), 0, patch, share(w, words(4, word_bits)), Typed(NO_TAIL), 4, 1, share(acc, 1))
    window = Threshold("conv3", (), 0, Typed(acc), 5, Typed(at), 1, 2, pixel)
    put = PutBits("conv3", (), 0, pixel, 1, 5, 20, 2, *HERE, h5)
    loop = PixelLoop(
        "conv3", ("/conv3/Conv:Conv",), 80, 2, 2, 5, (gather, dense), (window, put), (patch, acc, pixel), h3, h5
    )
    return loop, MaxPoolBits("pool3", (), 0, h5, 2, 2, 5, 1, 1, *geometry(Window((2, 2))), h6)
