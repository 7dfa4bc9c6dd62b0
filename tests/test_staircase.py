"""Thresholds that lie evenly become a multiplication, if that has the same code at every accumulator."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

import bnncompiler
from bnncompiler import calls, ops
from bnncompiler.ir import Array, Domain, Graph, TensorType, rows
from bnncompiler.lower import lower, staircase
from bnncompiler.move_calls import nested
from bnncompiler.program import Program
from tests import graphs
from tests.networks import Builder


def stairs(at: Array, lo: Array, hi: Array, step: int = 1) -> ops.Steps:
    """Codes that count the thresholds ``at [rows, count]`` of accumulators ``lo`` to ``hi``, by row."""
    x = ops.Input("x", TensorType((len(at),), "float32", Domain(rows(1), rows(0), rows(lo), rows(hi), step)))
    count = at.shape[1]
    levels = np.tile(np.arange(count + 1), (len(at), 1))
    out = Domain(rows(1), rows(0), rows(0), rows(count))
    return ops.Steps("s", x, at, levels, out, np.zeros((*at.shape, 2), np.int64))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, 2**32 - 1), st.booleans())
def test_a_line_has_the_codes_of_the_thresholds(seed: int, noisy: bool) -> None:
    rng = np.random.default_rng(seed)
    n, count, step = int(rng.integers(1, 5)), int(rng.choice([9, 15, 31, 255])), int(rng.integers(1, 3))
    lo = rng.integers(-5000, 10, n) * step
    hi = lo + rng.integers(1, 6000, n) * step
    slope, offset = rng.uniform(0.002, 0.5, (n, 1)), rng.uniform(-20, 20, (n, 1))
    at = np.ceil((np.arange(1, count + 1) - offset) / slope).astype(np.int64)
    at = np.sort(at + rng.integers(-3, 4, at.shape), axis=1) if noisy else at
    found = staircase.line(stairs(np.minimum(at, hi[:, None] + 1), lo, hi, step))
    assert found is not None or noisy
    for r in range(n if found is not None else 0):
        assert found is not None
        q = np.arange(lo[r], hi[r] + 1, step)
        line = (q * found.multiplier[r] + found.bias[r]) >> found.shift
        np.testing.assert_array_equal(np.clip(line, 0, count), (q[:, None] >= at[r]).sum(axis=1))


def test_uneven_thresholds_are_on_no_line() -> None:
    at = np.array([[0, 10, 11, 12, 13, 14, 15, 16, 17, 80]])
    assert staircase.line(stairs(at, np.array([-100]), np.array([100]))) is None


def eight_bit() -> Program:
    """A dense layer with an 8-bit activation by channel, and one that reads it."""
    rng, b = np.random.default_rng(0), Builder()
    x = b("Sign", b.input("x", ["N", 300]))
    x = b("MatMul", x, rng.choice([-1, 1], (300, 20)).astype(np.float32))
    x = b("Mul", x, rng.uniform(0.3, 0.7, 20).astype(np.float32))
    x = b("Clip", b("Round", b("Add", x, rng.uniform(0, 9, 20).astype(np.float32))), np.float32(0), np.float32(255))
    model = b.model(b("MatMul", x, rng.choice([-1, 1], (20, 4)).astype(np.float32), name="logits"))
    compilation = bnncompiler.compile(model, input="int8", scale="1", target="8")
    bnncompiler.verify(compilation, samples=16).raise_if_failed()
    return compilation.program


def test_an_eight_bit_activation_is_a_multiplication_a_channel() -> None:
    program = eight_bit()
    (line,) = (c for c in program.calls if isinstance(c, calls.Requantize))
    assert all(c.count == 2 for c in program.calls if isinstance(c, calls.Steps))  # the signs of the input
    assert sum(t.bytes(8) for t in line.tables) <= 20 * (4 + 4)


def test_pieces_are_stored_without_the_first_start_and_in_small_types() -> None:
    x = graphs.source(6)
    out = Domain(rows(1), rows(0), rows(-128), rows(127))
    start, multiplier = np.array([[-(2**31), 9]]), np.array([[3, 5]])
    node = ops.Requantize("r", x, start, multiplier, np.array([[0, 100]]), 4, out)
    (call,) = (c for c in lower(Graph("g", (x,), (node,)), 8, 4).program.calls if isinstance(c, calls.Requantize))
    assert [(t.ctype, t.values.tolist()) for t in call.tables] == [
        ("uint8_t", [9]),
        ("uint8_t", [3, 5]),
        ("uint8_t", [0, 100]),
    ]


MAP = np.arange(10 * 12 * 8).reshape(10, 12, 8)
ORDERS = {
    "reflected border": (np.pad(MAP, ((1, 1), (1, 1), (0, 0)), mode="reflect"), 8 + 12 * 14),
    "some channels": (MAP[:, :, 2:5], 4),
    "shuffled channels": (MAP[:, :, [0, 4, 1, 5, 2, 6, 3, 7]], 6),
    "nearest": (np.repeat(np.repeat(MAP, 2, 0), 2, 1), 16 + 24),
    "channels first": (MAP.transpose(2, 0, 1), 121),
}


def test_orders_take_small_tables() -> None:
    for name, (order, most) in ORDERS.items():
        index, start, stride = nested(order.reshape(-1))
        i = np.arange(order.size)
        block = i // len(index)
        computed = index[i % len(index)] + start[block % len(start)] + block // len(start) * stride
        np.testing.assert_array_equal(computed, order.reshape(-1), err_msg=name)
        assert len(index) + len(start) <= most, name
