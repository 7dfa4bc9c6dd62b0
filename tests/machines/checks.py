"""What must hold wherever a program of `dense` is built: what is in its buffers, and how instructions are counted."""

from __future__ import annotations

import numpy as np
from onnx import ModelProto

from bnncompiler import memory
from bnncompiler.ir import Array
from bnncompiler.machines.base import Built
from bnncompiler.program import Program
from tests.networks import Builder

RNG = np.random.default_rng(5)


def signs(*shape: int) -> Array:
    return RNG.choice([-1.0, 1.0], shape).astype(np.float32)


def dense(n: int, outs: int) -> ModelProto:
    b = Builder()
    x = b("Sign", b("Sub", b.input("x", ["N", n]), np.float32(0.3)))
    h = b("Sign", b("Add", b("MatMul", x, signs(n, outs)), np.float32(0.5)))
    return b.model(b("MatMul", h, signs(outs, 1)))


def check_buffers(program: Program, built: Built) -> None:
    """Every call leaves in its buffer what it means; the program without a trace gives the same outputs."""
    (port,) = program.inputs
    q = RNG.integers(0, 256, (5, *port.type.shape))
    traced, plain = built.run({port.name: q}), built.run({port.name: q}, trace=False)
    assert traced.selftest == plain.selftest == 0
    assert traced.measured is None and plain.trace == ()
    np.testing.assert_array_equal(traced.outputs[0], plain.outputs[0])
    for i in range(len(q)):
        values = {port.buffer.name: q[i].astype(np.uint8)}
        for call, found in zip(program.calls, traced.trace, strict=True):
            call.run(values, program.word_bits)
            np.testing.assert_array_equal(found[i], values[memory.written(call).name])


def check_counts(program: Program, built: Built) -> None:
    """More inputs that are 1 are more instructions; the same input is the same number."""
    (port,) = program.inputs
    (n,) = port.type.shape
    q = np.stack([np.zeros(n), np.full(n, 255), np.zeros(n)]).astype(np.int64)
    measured = built.run({port.name: q}, trace=False).measured
    assert measured is not None and measured.unit == "instructions"
    few, many, again = measured.counts
    assert few == again < many
    tables = sum(t.bytes(program.word_bits) for t in program.tables)
    assert measured.flash_bytes is not None and measured.flash_bytes > tables
    assert measured.ram_bytes is not None and measured.ram_bytes >= program.arena_size + n
