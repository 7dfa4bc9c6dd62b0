"""Hand-made programs to print: small ones that use everything, and one that is large."""

from __future__ import annotations

import numpy as np

from bnncompiler.backends.base import About
from bnncompiler.backends.c99 import C99
from bnncompiler.ir import Array, Domain, TensorType, bipolar, rows
from bnncompiler.memory import plan
from bnncompiler.packing import pack_bits, words
from bnncompiler.program import (
    Argmax,
    Buffer,
    Call,
    DenseInteger,
    DenseThreshold,
    DenseXnor,
    LoadBits,
    Port,
    Program,
    Requantize,
    Steps,
    Table,
    Threshold,
    Typed,
)

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
        Threshold("fc1", ("/bn1:BatchNormalization", "/sign1:Sign"), 0, Typed(acc), hidden, Typed(at1), hidden, h1),
        DenseThreshold(
            "fc2", ("/fc2/Gemm:Gemm", "/sign2:Sign"), hidden * hidden, h1, w2, Typed(at2), hidden, hidden, h2
        ),
        DenseXnor("fc3", ("/fc3/Gemm:Gemm",), hidden * outs, h2, w3, hidden, outs, y),
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
    w = Table("int", "bnn_word", signs(rng, 4, 37, word_bits).reshape(-1), words(37, word_bits))
    at = Table("bnn_load", "int16_t", np.array([-30000, 0, 30000], np.int16))
    start, multiplier = (
        Table(t, "int32_t", np.array(v, np.int32)) for t, v in (("start", [0, 5]), ("arena", [-(2**31), 7]))
    )
    bias = Table("bias", "int64_t", np.array([-(2**63) + 2**46, 2**40]))
    calls: tuple[Call, ...] = (
        LoadBits("load", (), 0, bits, 37, packed),
        DenseXnor("a*/b", ("a*/b??/:MatMul",), 148, packed, w, 37, 4, acc),
        Argmax("argmax", ("ArgMax",), 0, Typed(acc), 4, index),
        Steps("steps", (), 0, Typed(wide), 6, Typed(at), 1, 3, None, 2, codes),
        Requantize(
            "scale", (), 0, Typed(wide), 6, start, multiplier, bias, 1, 2, 20, -(2**31), 2**31 - 1, Typed(scaled)
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
