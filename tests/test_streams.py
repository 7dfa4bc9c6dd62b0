"""Streams of real values: ranges from samples, saturation, precision, and what verification makes of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from onnx import ModelProto

import bnncompiler
from bnncompiler import Compilation, blur, cli, compiler, forcing, precision, ranges, widths
from bnncompiler.ir import Array, Node
from bnncompiler.ops import IntegerAdd, IntegerConv, Requantize, Steps
from tests.networks import Builder

pytestmark = pytest.mark.usefixtures("cc")
SIZE, CHANNELS, CLASSES, BLOCKS = 8, 8, 5, 4


def residual() -> ModelProto:
    """A real first layer, blocks of sign, binary convolution, batch norm and sum, and a real last layer."""
    rng = np.random.default_rng(5)

    def floats(*shape: int) -> Array:
        return rng.normal(size=shape).astype(np.float32)

    b = Builder()
    x = b("Conv", b.input("x", ["N", 3, SIZE, SIZE]), floats(CHANNELS, 3, 3, 3), pads=[1, 1, 1, 1], name="first")
    x = b("Relu", x, name="relu")
    x = b("Conv", x, floats(CHANNELS, CHANNELS, 1, 1) / 4, name="second")
    for i in range(BLOCKS):
        weight = np.where(floats(CHANNELS, CHANNELS, 3, 3) < 0, -1, 1).astype(np.float32)
        y = b("Conv", b("Sign", x, name=f"sign{i}"), weight, pads=[1, 1, 1, 1])
        moments = floats(CHANNELS), rng.uniform(20, 70, CHANNELS).astype(np.float32)
        x = b("Add", x, b("BatchNormalization", y, floats(CHANNELS), floats(CHANNELS), *moments), name=f"sum{i}")
    pooled = b("Flatten", b("GlobalAveragePool", x))
    return b.model(b("Gemm", pooled, floats(CLASSES, CHANNELS), floats(CLASSES), transB=1, name="logits"))


def samples(count: int, scale: float = 1.0) -> dict[str, Array]:
    rng = np.random.default_rng(count)
    return {"x": (scale * rng.normal(size=(count, 3, SIZE, SIZE))).astype(np.float32)}


@pytest.fixture(scope="module")
def calibrated() -> Compilation:
    return bnncompiler.compile(residual(), name="net", calibrate=samples(40))


def test_streams_hold_what_samples_showed_and_the_notes_say_so(calibrated: Compilation) -> None:
    worst = bnncompiler.compile(residual(), name="net", input="int16", scale="1/8192")
    assert compiler.saturating(worst.graph) == []
    names = compiler.saturating(calibrated.graph)
    assert "relu" in names
    assert any("saturate outside: " in note and "40 samples" in note for note in calibrated.notes)
    assert not calibrated.exact
    assert calibrated.error_bound < worst.error_bound / 2
    for node in calibrated.graph.nodes():
        if isinstance(node, Requantize) and node.saturates:
            low, high = calibrated.observed.observed[node.name]
            lo, hi = (float(v) for v in node.out.real(np.array([[node.out.lo[0]], [node.out.hi[0]]]))[:, 0])
            assert lo <= min(low, 0) and high <= hi
            assert hi - min(lo, 0) <= 1.01 * ranges.MARGIN * (high - low) + abs(low)


def test_layer_by_layer_nothing_is_left_out(calibrated: Compilation) -> None:
    """Signs behind streams are compared all the same: only the error of their own layer counts."""
    result = bnncompiler.verify(calibrated, samples(40))
    assert result.passed, result.failures
    assert result.argmax_agreement == 1
    assert result.outside == 0 and result.streams_compared > 0
    assert result.undecided_points < 1e-3 * result.bits_compared
    since_inputs = sum(blur.count(n) for n in calibrated.graph.nodes() if isinstance(n, Steps))
    assert since_inputs > result.undecided_points


def test_values_outside_of_a_stream_are_counted_and_everything_else_holds(calibrated: Compilation) -> None:
    result = bnncompiler.verify(calibrated, samples(24, scale=4.0))
    assert result.passed, result.failures
    assert result.outside > 0
    assert any("more saturate" in line for line in result.lines())


def test_streams_are_given_where_the_graph_has_one_value_for_the_name(calibrated: Compilation) -> None:
    found = forcing.forcing(calibrated.imported, calibrated.graph)
    assert {f"sum{i}" for i in range(BLOCKS)} | {f"sign{i}" for i in range(BLOCKS)} <= set(found.given)
    assert "logits" not in found.given
    for node in calibrated.graph.nodes():
        if isinstance(node, IntegerAdd):
            assert found.domains[node].error.max() < node.domain.error.max()


def test_a_broken_stream_is_caught_in_its_own_layer(calibrated: Compilation) -> None:
    def nudge(node: Node) -> Node | None:
        if not isinstance(node, Requantize) or node.name != "relu":
            return None
        off = int(3 * node.domain.error.max() / node.out.scale[0]) + 2
        return replace(node, bias=node.bias + (off << node.shift))

    from tests.test_verification import changed

    result = bnncompiler.verify(changed(calibrated, nudge), samples(8))
    assert {f.split(":")[0] for f in result.failures} == {"stream", "table"}
    assert [f.split(": ")[1] for f in result.failures if f.startswith("stream")] == ["relu"]


def test_real_weights_are_added_up_in_64_bits_unless_narrow_streams_are_asked_for(calibrated: Compilation) -> None:
    def shifts(compilation: Compilation) -> list[int]:
        nodes = (n for n in compilation.graph.nodes() if isinstance(n, IntegerConv))
        return [n.shift for n in nodes if n.name in ("first", "second")]

    assert all(shifts(calibrated))
    narrow = bnncompiler.compile(residual(), name="net", calibrate=samples(40), stream_bits=16)
    assert not any(shifts(narrow))
    assert bnncompiler.verify(narrow, samples(8)).passed
    assert calibrated.error_bound < narrow.error_bound


def test_what_other_widths_cost_is_measured(calibrated: Compilation) -> None:
    given = samples(40) | {"labels": np.zeros(40, int)}
    choices = precision.choices(calibrated, given)
    assert calibrated.stream_bits == widths.PRECISE
    assert [c.stream_bits for c in choices] == [b for b in precision.BITS if b != widths.PRECISE]
    arenas = [*(c.arena_bytes for c in choices), calibrated.program.arena_size]
    assert arenas == sorted(arenas) and arenas[0] < arenas[-1]
    bounds = [*(c.error_bound for c in choices), calibrated.error_bound]
    assert bounds == sorted(bounds, reverse=True)
    for choice in choices:
        other = bnncompiler.compile(residual(), name="net", calibrate=samples(40), stream_bits=choice.stream_bits)
        verified = bnncompiler.verify(other, given)
        assert (verified.argmax_agreement, verified.accuracy) == (choice.argmax_agreement, choice.accuracy)
        assert (other.program.arena_size, other.error_bound) == (choice.arena_bytes, choice.error_bound)


def test_networks_without_streams_have_no_such_choice() -> None:
    b = Builder()
    signs = np.where(np.random.default_rng(0).normal(size=(12, 4)) < 0, -1, 1).astype(np.float32)
    model = b.model(b("MatMul", b("Sign", b("Sub", b.input("x", ["N", 12]), np.float32(0.5))), signs))
    assert precision.choices(bnncompiler.compile(model), {"x": np.zeros((4, 12), np.float32)}) == ()


def test_the_command_reports_it(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.onnx").write_bytes(residual().SerializeToString())
    np.savez(tmp_path / "d.npz", x=samples(12)["x"])
    arguments = [str(tmp_path / "net.onnx"), "-o", str(tmp_path / "out"), "--verify", str(tmp_path / "d.npz")]
    assert cli.main([*arguments, "--compare-bits", "10"]) == 0
    shown = capsys.readouterr().out
    assert "instead  --stream-bits 10: argmax agrees on" in shown
    assert "saturate outside" in shown
    assert cli.main([*arguments[:3], "--compare-bits", "10"]) == 2


@pytest.mark.parametrize("k", [2, 3, 7])
@pytest.mark.parametrize("outputs", ["values", "indices", "both"])
def test_the_largest_and_their_indices(k: int, outputs: str) -> None:
    rng = np.random.default_rng(k)
    b = Builder()
    signs = np.where(rng.normal(size=(12, 7)) < 0, -1, 1).astype(np.float32)
    logits = b("MatMul", b("Sign", b("Sub", b.input("x", ["N", 12]), np.float32(0.5))), signs)
    values, indices = b.many("TopK", logits, np.array([k], np.int64), outputs=("top", "where"), axis=-1)
    chosen = {"values": (values,), "indices": (indices,), "both": (values, indices)}[outputs]
    compilation = bnncompiler.compile(b.model(*chosen), name="net")
    assert [o.type.shape for o in compilation.graph.outputs] == [(k,)] * len(chosen)
    result = bnncompiler.verify(compilation, samples=64)
    assert result.passed, result.failures
    assert result.max_abs_error == 0


@pytest.mark.parametrize("kernel", [(3,), (3, 2)])
@pytest.mark.parametrize("ranked", ["ArgMax", "values", "indices"])
@pytest.mark.parametrize("optimize", ["speed", "ram"])
def test_the_largest_of_each_pixel(kernel: tuple[int, ...], ranked: str, optimize: str) -> None:
    rng = np.random.default_rng(len(kernel))
    b = Builder()
    shape: list[int | str] = ["N", 4, 9, 7]
    bits = b("Sign", b("Sub", b.input("x", shape[: 2 + len(kernel)]), np.float32(0.5)))
    weight = np.where(rng.normal(size=(5, 4, *kernel)) < 0, -1, 1).astype(np.float32)
    scores = b("Mul", b("Conv", bits, weight), rng.uniform(0.5, 2, (5, *[1] * len(kernel))).astype(np.float32))
    if ranked == "ArgMax":
        result = b("ArgMax", scores, name="classes", axis=1, keepdims=0)
    else:
        both = b.many("TopK", scores, np.array([2], np.int64), outputs=("values", "indices"), axis=1)
        result = both[ranked == "indices"]
    compilation = bnncompiler.compile(b.model(result), name="net", optimize=optimize)
    done = bnncompiler.verify(compilation, samples=16)
    assert done.passed, done.failures
    assert done.argmax_agreement == 1
    assert done.accuracy is None
    assert ("of each pixel" in compilation.files["net.h"]) == (ranked == "ArgMax")


@pytest.mark.parametrize(("backend", "bits"), [("c99", widths.PRECISE), ("cmsis", widths.COMPACT)])
def test_the_usual_width_is_the_targets(backend: str, bits: int) -> None:
    compilation = bnncompiler.compile(residual(), name="net", calibrate=samples(8), backend=backend)
    hidden = (n for n in compilation.graph.nodes() if n not in compilation.graph.outputs)
    streams = [n for n in hidden if isinstance(n, Requantize) and n.shift]  # others keep the integers that they get
    assert compilation.stream_bits == bits
    assert max(int(np.abs(n.out.bounds).max()).bit_length() + 1 for n in streams) == bits
    assert f"--stream-bits {bits}" in compilation.files["net.c"] + compilation.files["net.h"]


def shortcut() -> ModelProto:
    """A residual sum that is pooled and goes through a real 1x1 convolution, as between the stages of residual nets."""
    rng = np.random.default_rng(7)

    def floats(*shape: int) -> Array:
        return rng.normal(size=shape).astype(np.float32)

    b = Builder()
    x = b("Conv", b.input("x", ["N", 3, SIZE, SIZE]), floats(CHANNELS, 3, 3, 3), pads=[1, 1, 1, 1])
    weight = np.where(floats(CHANNELS, CHANNELS, 3, 3) < 0, -1, 1).astype(np.float32)
    y = b("Mul", b("Conv", b("Sign", x), weight, pads=[1, 1, 1, 1]), np.abs(floats(CHANNELS, 1, 1)))
    x = b("AveragePool", b("Add", x, y), kernel_shape=[2, 2], strides=[2, 2])
    x = b("Conv", x, floats(64, CHANNELS, 1, 1), name="down")
    pooled = b("Flatten", b("GlobalAveragePool", x))
    return b.model(b("Gemm", pooled, floats(CLASSES, 64), transB=1, name="logits"))


def test_more_bits_for_streams_are_never_worse() -> None:
    """A wide stream leaves the weights of its reader few bits, so that it is narrowed before it."""
    bounds = [
        bnncompiler.compile(shortcut(), name="net", calibrate=samples(40), stream_bits=bits).error_bound
        for bits in (8, 10, 12, 14, 16, 20)
    ]
    assert bounds == sorted(bounds, reverse=True)
    assert bounds[4] < bounds[3] / 1.2


@pytest.mark.usefixtures("cc")
@pytest.mark.parametrize("pad", [0.0, 0.5])
def test_a_blur_of_a_wide_stream_keeps_its_weights(pad: float) -> None:
    """[1, 2, 1] in both directions, as between the stages of QuickNet: with a bit less it is another filter."""
    rng = np.random.default_rng(11)
    b = Builder()
    x = b("Conv", b.input("x", ["N", 3, SIZE, SIZE]), rng.normal(size=(CHANNELS, 3, 3, 3)).astype(np.float32))
    weight = np.where(rng.normal(size=(CHANNELS, CHANNELS, 3, 3)) < 0, -1, 1).astype(np.float32)
    x = b("Add", x, b("Conv", b("Sign", x), weight, pads=[1, 1, 1, 1]))
    x = b("MaxPool", x, kernel_shape=[3, 3], strides=[1, 1], pads=[1, 1, 1, 1])
    x = b("Pad", x, np.array([0, 0, 1, 1, 0, 0, 1, 1]), np.float32(pad))
    kernel = np.outer([1, 2, 1], [1, 2, 1]).astype(np.float32) / 16
    x = b("Conv", x, np.tile(kernel, (CHANNELS, 1, 1, 1)), strides=[2, 2], group=CHANNELS, name="blur")
    logits = rng.normal(size=(CLASSES, CHANNELS)).astype(np.float32)
    model = b.model(b("Gemm", b("Flatten", b("GlobalAveragePool", x)), logits, transB=1))
    compilation = bnncompiler.compile(model, name="net", calibrate=samples(40), stream_bits=28)
    (blur_,) = (n for n in compilation.graph.nodes() if isinstance(n, IntegerConv) and n.name == "blur")
    assert set(np.unique(blur_.weight)) == {1, 2, 4}
    compact = bnncompiler.compile(model, name="net", calibrate=samples(40), stream_bits=16)
    assert compilation.error_bound < compact.error_bound
    result = bnncompiler.verify(compilation, samples(40))
    assert result.passed, result.failures
    assert result.argmax_agreement == 1
