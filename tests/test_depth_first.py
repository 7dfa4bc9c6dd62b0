"""Layers row by row: the same integers, less memory, and a plan that the checker can refuse."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import ModelProto

import bnncompiler
from bnncompiler import interpreter, memory, readback
from bnncompiler.backends import c_selftest
from bnncompiler.compiler import Compilation
from bnncompiler.errors import CompileError
from bnncompiler.lower.depth_first import Read, footprint, schedule
from bnncompiler.map_calls import Dropped, PixelLoop
from bnncompiler.program import Program, Table
from bnncompiler.row_calls import RowLoop, streamed
from bnncompiler.window_calls import GatherBits
from tests import networks
from tests.conftest import SANITIZERS, STRICT, Compiler, need
from tests.networks import Array, Builder

SIGN = networks.SIGNS["where_ge"]


def vgg(size: int, channels: int, layers: list[tuple[int, bool]], dense: list[int], seed: int = 0) -> ModelProto:
    """A binary network as in the kernel study: 3x3 convolutions (outputs, 2x2 pool) of pixels, then dense layers."""
    rng = np.random.default_rng(seed)
    b = Builder()

    def binary(*shape: int) -> Array:
        return rng.choice([-1, 1], shape).astype(np.float32)

    def activated(x: str, outs: int, fan_in: int) -> str:
        scale, bias, mean = rng.standard_normal((3, outs)).astype(np.float32)
        variance = rng.uniform(1, fan_in, outs).astype(np.float32)
        return SIGN(b, b("BatchNormalization", x, scale, bias, mean, variance))

    x = b.input("x", ["N", channels, size, size])
    for outs, pool in layers:
        x = b("Conv", x, binary(outs, channels, 3, 3), pads=[1] * 4)
        x = b("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2]) if pool else x
        x, channels, size = activated(x, outs, channels * 9), outs, size // 2 if pool else size
    x, ins = b("Flatten", x), channels * size * size
    for outs in dense[:-1]:
        x, ins = activated(b("MatMul", x, binary(ins, outs)), outs, ins), outs
    return b.model(b("MatMul", x, binary(ins, dense[-1]), name="logits"))


def lenet() -> ModelProto:
    return vgg(28, 1, [(16, True), (32, True)], [64, 10])


def cifar() -> ModelProto:
    return vgg(32, 3, [(16, False), (16, True), (32, False), (32, True), (64, True)], [10])


def branched(rng: np.random.Generator, channels: int, height: int, width: int) -> ModelProto:
    """A map, then layers of every kind with random windows, with shortcuts and concatenations; logits at the end."""
    b = Builder()
    x = SIGN(b, b.input("x", ["N", channels, height, width]))
    for _ in range(int(rng.integers(2, 5))):
        kernel, stride, dilation = (int(rng.integers(1, n)) for n in (4, 3, 3))
        pads = int(rng.integers(0, 2)) * dilation * (kernel // 2)
        if min(height, width) + 2 * pads < dilation * (kernel - 1) + 1:
            kernel, pads = 1, 0
        group = int(rng.choice([1, channels])) if rng.random() < 0.3 else 1
        outs = channels if rng.random() < 0.5 or group > 1 else int(rng.integers(1, 20))
        w = rng.choice([-1, 1], (outs, channels // group, kernel, kernel)).astype(np.float32)
        window: dict[str, Any] = {
            "pads": [pads] * 4,
            "strides": [stride] * 2,
            "dilations": [dilation] * 2,
            "group": group,
        }
        y = b("Conv", x, w, **window)
        new = [(n + 2 * pads - dilation * (kernel - 1) - 1) // stride + 1 for n in (height, width)]
        if new == [height, width] and outs == channels and rng.random() < 0.7:
            y = b("Add", y, x)
        elif new == [height, width] and rng.random() < 0.5:
            y = b("Concat", SIGN(b, y), x, axis=1)
            outs += channels
        shift = rng.integers(-3, 3, (1, outs, 1, 1)) + np.float32(0.5)
        y = SIGN(b, b("Add", y, shift.astype(np.float32)))
        if min(new) > 3 and rng.random() < 0.5:
            size, step = (2, 2) if rng.random() < 0.5 else (3, 2)
            y = b("MaxPool", y, kernel_shape=[size] * 2, strides=[step] * 2)
            new = [(n - size) // step + 1 for n in new]
        x, channels, (height, width) = y, outs, new
    w = rng.choice([-1, 1], (channels * height * width, 3)).astype(np.float32)
    return b.model(b("MatMul", b("Flatten", x), w, name="logits"))


def loops(program: Program) -> list[RowLoop]:
    return [c for c in program.calls if isinstance(c, RowLoop)]


def same_as_graph(compilation: Compilation, samples: int = 2) -> None:
    """The program in numpy computes what the graph computes."""
    graph, program = compilation.graph, compilation.program
    (source,), rng = graph.inputs, np.random.default_rng(0)
    lo, hi = source.domain.bounds
    q = lo + source.domain.step * rng.integers(0, (hi - lo) // source.domain.step + 1, (samples, *source.type.shape))
    expected = interpreter.run(graph, {source.name: q})
    for sample, values in zip(q.reshape(samples, -1), range(samples), strict=True):
        fed = np.packbits(sample > 0, bitorder="little") if source.domain.is_bipolar else sample
        content = program.run({program.inputs[0].buffer.name: fed})
        for node, port in zip(graph.outputs, program.outputs, strict=True):
            np.testing.assert_array_equal(content[port.buffer.name], expected[node][values].reshape(-1))


# --- the goals


GOALS: Mapping[str, tuple[Callable[[], ModelProto], int, int]] = {
    # activations in line buffers and maps, and with kernel scratch: bytes that must not become more
    "lenet": (lenet, 450, 530),
    "cifar": (cifar, 1200, 1140),
}


@pytest.mark.parametrize("name", GOALS)
def test_networks_of_the_study_fit_a_small_machine(name: str) -> None:
    model, activations, arena = GOALS[name]
    compilation = bnncompiler.compile(model(), target="8", optimize="ram")
    program = compilation.program
    lines = [b for loop in loops(program) for b in (*loop.lines, loop.y) if b.offset is not None]
    held = sum(b.bytes(8) for b in dict.fromkeys(lines))
    assert streamed(program) is not None
    assert program.arena_size <= arena
    assert held <= activations or len(loops(program)) > 1  # whose buffers share their places
    same_as_graph(compilation)


def test_speed_comes_first_unless_ram_is_asked_for_or_too_small() -> None:
    assert not loops(bnncompiler.compile(lenet(), target="8").program)


# --- the same integers


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from(["8", "64"]))
def test_any_network_is_computed_exactly(seed: int, target: str) -> None:
    rng = np.random.default_rng(seed)
    model = branched(rng, *(int(n) for n in rng.integers([1, 5, 5], [12, 14, 14])))
    plain = bnncompiler.compile(model, target=target, input="int8", scale="1")
    small = bnncompiler.compile(model, target=target, input="int8", scale="1", optimize="ram")
    assert footprint(small.program) <= footprint(plain.program)
    same_as_graph(small)


@pytest.mark.parametrize("seed", range(3))
def test_c_computes_it_too(seed: int, cc: Compiler) -> None:
    """With the sanitizers; the self-test has what the program computes in numpy."""
    rng = np.random.default_rng(seed)
    model = branched(rng, 5, 9 + seed, 12)
    compilation = bnncompiler.compile(model, name="net", input="int8", scale="1", optimize="ram", target="16")
    main = """
#include "net.h"
#include <stdio.h>
static long long arena[NET_ARENA_SIZE / 8 + 1];
int main(void) { printf("%d", net_selftest(arena)); return 0; }
"""
    assert loops(compilation.program)
    assert cc.run({**compilation.files, "main.c": main}, *STRICT, *SANITIZERS) == "0"


def test_rows_and_whole_input_give_the_same(cc: Compiler) -> None:
    compilation = bnncompiler.compile(lenet(), name="net", optimize="ram", target="8")
    assert "feed" in compilation.files["net.h"]
    rows = c_selftest.vectors(compilation.program)[0]["x"]
    main = f"""
#include "net.h"
#include <stdio.h>
#include <string.h>
static const uint8_t image[NET_INPUT_SIZE] = {{{", ".join(map(str, rows))}}};
static long long arena[NET_ARENA_SIZE / 8 + 1];
int main(void)
{{
    int32_t whole[NET_OUTPUT_SIZE], by_row[NET_OUTPUT_SIZE];
    uint8_t row[NET_INPUT_ROW_SIZE];
    net_run(image, whole, arena);
    net_start(arena);
    for (int i = 0; i < NET_INPUT_ROWS; ++i) {{
        memcpy(row, image + i * NET_INPUT_ROW_SIZE, sizeof row);
        net_feed(row, arena);
        memset(row, 0xA5, sizeof row);
    }}
    net_finish(by_row, arena);
    for (int i = 0; i < NET_OUTPUT_SIZE; ++i)
        printf("%ld %d ", (long)by_row[i], by_row[i] == whole[i]);
    return 0;
}}
"""
    printed = cc.run({**compilation.files, "main.c": main}, *STRICT, *SANITIZERS).split()
    assert list(map(int, printed[::2])) == c_selftest.expected(compilation.program)[0][:10].tolist()
    assert set(printed[1::2]) == {"1"}


def test_verification_sees_the_whole_network() -> None:
    need("gcc")
    compilation = bnncompiler.compile(networks.cnn([3, 8, 12], (12, 10), pool="before_bn"), optimize="ram")
    assert loops(compilation.program)
    verification = bnncompiler.verify(compilation, samples=8)
    verification.raise_if_failed()
    assert verification.bits_compared > 0


def test_readback_sees_a_stage_that_is_missing() -> None:
    compilation = bnncompiler.compile(lenet(), name="net", optimize="ram", target="8")
    text = compilation.files["net.c"]
    broken = re.sub(r"bnn_put_pooled\(v0_pixel[^;]*;", "", text)
    assert broken != text
    with pytest.raises(CompileError, match="net_run calls"):
        readback.check({**compilation.files, "net.c": broken}, compilation.program)


# --- schedules and their proof


def test_a_row_is_computed_when_it_is_needed() -> None:
    """Two 3x3 windows with padding on 5 rows: each line buffer holds three rows."""
    window = Read(0, 1, 1, 2, 5)
    found = schedule([5, 5, 5], [1, 1, 1], [[], [window], [replace(window, source=1)]], feeds=False)
    assert found.order == (0, 0, 1, 0, 1, 2, 0, 1, 2, 0, 1, 2, 1, 2, 2)
    assert found.held == (3, 3, 1)


def test_a_shortcut_is_held_until_the_sum_needs_it() -> None:
    """Stage 0 is read by a window that needs no row above, and by the sum behind it: only that holds rows back."""
    below, shortcut = Read(0, 1, 0, 2, 8), Read(0, 1, 0, 0, 8)
    alone = schedule([8, 6, 6], [1] * 3, [[], [below], [Read(1, 1, 0, 0, 6)]], feeds=False)
    assert alone.held == (3, 1, 1)
    twice = [[], [below], [replace(below, source=1)], [Read(2, 1, 0, 0, 4), shortcut]]
    assert schedule([8, 6, 4, 4], [1] * 4, twice, feeds=False).held == (5, 3, 1, 1)


def test_rows_that_nobody_needs_are_fed_all_the_same() -> None:
    every_other = Read(0, 2, 0, 0, 6)
    found = schedule([6, 3], [1, 1], [[], [every_other]], feeds=True)
    assert found.order == (0, 1, 0, 0, 1, 0, 0, 1, 0)


def small_plan() -> Program:
    return bnncompiler.compile(lenet(), target="8", optimize="ram").program


def changed(program: Program, change: Callable[[RowLoop], RowLoop]) -> Program:
    return replace(program, calls=tuple(change(c) if isinstance(c, RowLoop) else c for c in program.calls))


def test_the_checker_sees_an_order_that_is_too_early() -> None:
    def reverse(loop: RowLoop) -> RowLoop:
        return replace(loop, order=Table("order", "uint8_t", np.sort(loop.order.values)[::-1]))

    with pytest.raises(CompileError, match="which is not held"):
        memory.check(changed(small_plan(), reverse))


def test_the_checker_sees_a_line_buffer_that_is_too_short() -> None:
    def short(loop: RowLoop) -> RowLoop:
        first = loop.stages[0]
        assert first.slide is not None
        stage = replace(first, held=2, slide=replace(first.slide, rows=2))
        return replace(loop, stages=(stage, *loop.stages[1:]))

    with pytest.raises(CompileError, match="which is not held"):
        memory.check(changed(small_plan(), short))


def test_the_checker_sees_a_window_in_the_wrong_place() -> None:
    def shifted(loop: RowLoop) -> RowLoop:
        def move(pixels: PixelLoop) -> PixelLoop:
            body = tuple(
                replace(c, before_h=Dropped(c.before_h.stage, 0))
                if isinstance(c, GatherBits) and isinstance(c.before_h, Dropped)
                else c
                for c in pixels.body
            )
            return replace(pixels, body=body)

        return replace(loop, stages=tuple(replace(s, loop=move(s.loop)) for s in loop.stages))

    with pytest.raises(CompileError, match="which is not held"):
        memory.check(changed(small_plan(), shifted))


def test_the_checker_sees_a_last_row_that_is_missing() -> None:
    def cut(loop: RowLoop) -> RowLoop:
        return replace(loop, order=replace(loop.order, values=loop.order.values[:-1]))

    with pytest.raises(CompileError, match="not computed to its last row"):
        memory.check(changed(small_plan(), cut))
