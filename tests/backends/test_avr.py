"""The AVR backend on the simulated chip: what it computes, what that costs, and what it says beforehand."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from onnx import ModelProto

import bnncompiler
from bnncompiler import Compilation, cli
from bnncompiler.backends import avr
from bnncompiler.backends.avr import AVR, LARGEST
from bnncompiler.calls import LoadBits, Unpack
from bnncompiler.column_calls import ConvolveColumns, column_weights, limits
from bnncompiler.costs import Span, Work
from bnncompiler.dense_calls import NO_TAIL, DenseSigns, DenseThreshold
from bnncompiler.errors import LoweringError, UsageError
from bnncompiler.ir import Array, Domain, TensorType, bipolar, rows
from bnncompiler.lower import parts
from bnncompiler.machines.base import Measured, Run
from bnncompiler.machines.simavr import FAR, STRICT, SimAvr
from bnncompiler.map_calls import Index, PixelLoop, PutBits
from bnncompiler.memory import plan
from bnncompiler.packing import pack_bits, words
from bnncompiler.program import Buffer, Call, Port, Program, Table, Typed
from bnncompiler.sliced_calls import (
    ConvolveRowSliced,
    DenseSlicedBorder,
    DenseSlicedPlanes,
    DenseSlicedThreshold,
    sliced_digits,
)
from bnncompiler.window import Window
from bnncompiler.window_calls import geometry
from tests.backends.programs import about
from tests.corpus import ROOT, SELECTION, Exported
from tests.networks import Builder, cnn, mlp

pytestmark = pytest.mark.usefixtures("avr")

MNIST = ROOT / "examples" / "mnist_mlp"
INT8: dict[str, Any] = {"input": "int8", "scale": "1/16"}
NO_ASM = ("-DBNN_NO_ASM",)

CONSTANT = ", constant time"
NETWORKS: dict[str, tuple[ModelProto, dict[str, Any]]] = {
    "odd widths": (mlp([37, 65, 33, 10]), INT8),
    "windows": (mlp([50, 41, 19, 7], prelu=True, seed=3), INT8),
    "several strips": (mlp([90, 300, 130, 10], sign="larq"), INT8),
    "zero padding": (cnn([3, 8, 12], (7, 6)), INT8),
    "padding, pool": (cnn([1, 8, 16], pad_value=-1.0, pool="after_sign"), INT8),
    "mean": (cnn([2, 5, 7], (6, 5), kernel=2, pads=0, head="mean"), INT8),
    "bits, stride": (cnn([8, 16], stride=2, pool="before_bn"), {"input": "bits"}),
}


@pytest.fixture(scope="module")
def example() -> Compilation:
    grid = {"input": "uint8", "scale": "1/255", "mean": "0.1307", "std": "0.3081"}
    return bnncompiler.compile(MNIST / "mnist_mlp.onnx", backend="avr", **grid)  # type: ignore[arg-type]


# --- targets


def test_targets() -> None:
    assert AVR.targets() == ("atmega328p", "atmega32u4", "atmega168", "attiny85", "atmega1284p", "atmega2560")
    assert AVR.target().name == "atmega328p"
    with pytest.raises(UsageError, match="backend avr has no target 'atmega8'; it has atmega328p, atmega32u4, "):
        AVR.target("atmega8")
    assert [(t.flash, t.ram) for t in map(AVR.target, ("atmega328p", "attiny85", "atmega2560"))] == [
        (32768, 2048),
        (8192, 512),
        (262144, 8192),
    ]


@pytest.mark.parametrize("target", AVR.targets())
def test_every_target_runs(target: str) -> None:
    compilation = bnncompiler.compile(mlp([20, 30, 7]), backend="avr", target=target, name="net", **INT8)
    result = bnncompiler.verify(compilation, samples=5)
    result.raise_if_failed()
    assert result.ran_on == f"{target} (simavr)"
    assert result.measured is not None and result.measured.unit == "cycles"


# --- the same as onnxruntime, and the C forms the same as the assembly


@pytest.mark.parametrize("name", [*NETWORKS, "odd widths, constant time", "several strips, constant time"])
def test_networks(name: str) -> None:
    model, grid = NETWORKS[name.removesuffix(CONSTANT)]
    compilation = bnncompiler.compile(
        model, backend="avr", target="atmega1284p", name="net", **grid, constant_time=name.endswith(CONSTANT)
    )
    bnncompiler.verify(compilation, samples=3).raise_if_failed()
    q = np.random.default_rng(1).choice([-1, 1], (3, *compilation.graph.inputs[0].type.shape))
    with_asm, without = (run(compilation, {"x": q}, flags) for flags in ((), NO_ASM))
    for a, b in zip((*with_asm.outputs, *with_asm.trace), (*without.outputs, *without.trace), strict=True):
        np.testing.assert_array_equal(a, b)


def run(compilation: Compilation, inputs: dict[str, Array], flags: tuple[str, ...] = (), trace: bool = True) -> Run:
    machine = compilation.backend.machine(compilation.target)
    assert isinstance(machine, SimAvr)
    with replace(machine, flags=flags).build(compilation.program, compilation.files) as built:
        return built.run(inputs, trace=trace)


def test_the_example_fits_an_uno_and_takes_less_than_ten_milliseconds(example: Compilation) -> None:
    result = bnncompiler.verify(example, MNIST / "test_images.npz", samples=200)
    result.raise_if_failed()
    measured = result.measured
    assert measured is not None and measured.stack_bytes and measured.ram_bytes and measured.flash_bytes
    assert result.accuracy == result.accuracy_reference
    assert max(measured.counts) < 160_000  # 10 ms at 16 MHz
    assert measured.ram_bytes + measured.stack_bytes < 2048 and measured.flash_bytes < 32256  # a bootloader has 512 B


# --- cycles, exactly


def dense(kernel: type[Call] | None, n: int, outs: int) -> Program:
    """Packed bits, a dense layer with thresholds (or none), and its first outputs as integers."""
    rng = np.random.default_rng(7)
    x, packed, y = Buffer("x", "uint8_t", words(n, 8)), Buffer("packed", "bnn_word", words(n, 8)), packed_outputs(outs)
    out = Buffer("out", "int32_t", outs)
    w = rng.integers(0, 2, (outs, n))
    at = n // 2 + rng.integers(-15, 16, outs)
    last = packed if kernel is None else y
    calls: list[Call] = [LoadBits("load", (), 0, x, n, packed)]
    if kernel is DenseThreshold:
        table = Table("w", "bnn_word", pack_bits(w, 8).reshape(-1), words(n, 8))
        thresholds = Typed(Table("at", "int16_t", 2 * at - n))
        calls.append(DenseThreshold("dense", (), n * outs, packed, table, Typed(NO_TAIL), thresholds, 1, n, outs, y))
    elif kernel is DenseSlicedThreshold:
        digits = sliced_digits(n)
        on_v = np.full(8 * words(outs, 8), 2**digits - 1)
        on_v[:outs] = np.clip(at + w.sum(axis=1), 0, 2**digits - 1)
        bits = on_v[None] >> np.arange(digits)[:, None] & 1
        tables = (
            Table("w", "bnn_word", pack_bits(np.vstack([w.T, np.zeros(outs, int)]), 8).reshape(-1), words(outs, 8)),
            Table("at", "bnn_word", pack_bits(bits, 8).reshape(-1), words(outs, 8)),
        )
        calls.append(DenseSlicedThreshold("dense", (), n * outs, packed, *tables, 1, digits, n, outs, None, y))
    calls.append(Unpack("out", (), 0, last, outs, 1, 0, 1, Typed(out)))
    port = Port("x", x, TensorType((n,), "float32", bipolar()))
    bit = Domain(rows(1), rows(0), rows(0), rows(1))
    return plan(
        Program("net", 8, (port,), (Port("out", out, TensorType((outs,), "float32", bit)),), tuple(calls), 0, 1)
    )


def first_layer(n: int, outs: int) -> Program:
    """Bytes and a dense layer of bipolar weights."""
    rng = np.random.default_rng(9)
    x, y = Buffer("x", "uint8_t", n), Buffer("y", "int32_t", outs)
    w = Table("w", "bnn_word", pack_bits(rng.integers(0, 2, (n, outs)), 8).reshape(-1), words(outs, 8))
    calls = (DenseSigns("dense", (), n * outs, Typed(x), w, n, outs, y),)
    pixels = Domain(rows(1), rows(0), rows(0), rows(255))
    sums = Domain(rows(1), rows(0), rows(-255 * n), rows(255 * n))
    ports = (Port("x", x, TensorType((n,), "float32", pixels)),), (Port("y", y, TensorType((outs,), "float32", sums)),)
    return plan(Program("net", 8, *ports, calls, 0, 1))


def packed_outputs(outs: int) -> Buffer:
    return Buffer("y", "bnn_word", words(outs, 8))


def half_ones(n: int) -> Array:
    """Inputs of which exactly one in two is 1: what the bit-sliced kernels' time is stated for."""
    return np.random.default_rng(11).permuted(np.repeat([-1, 1], n // 2))[None]


def measure(program: Program, q: Array, flags: tuple[str, ...] = (), part: str = "atmega328p") -> Run:
    files = AVR.emit(program, replace(about("8"), target=AVR.target(part)))
    with SimAvr(part, 16_000_000, flags=flags).build(program, files) as built:
        return built.run({"x": q}, trace=False)


def cycles(kernel: type[Call], n: int, outs: int, flags: tuple[str, ...] = (), part: str = "atmega328p") -> int:
    """What the kernel alone takes: a program with it, less one without."""
    q = half_ones(n)
    with_it, without = (measure(dense(k, n, outs), q, flags, part) for k in (kernel, None))
    program = dense(kernel, n, outs)
    expected = program.run({"x": pack_bits(q[0] > 0, 8)})["out"]
    np.testing.assert_array_equal(with_it.outputs[0][0], expected)
    counts = [r.measured.typical if isinstance(r.measured, Measured) else 0 for r in (with_it, without)]
    return counts[0] - counts[1]


@pytest.mark.parametrize(
    ("kernel", "flags", "exactly", "per_mac"),
    [
        (DenseSlicedThreshold, (), 79_878, 0.85),
        (DenseSlicedThreshold, NO_ASM, 141_322, 1.6),
        (DenseThreshold, (), 159_182, 1.7),
    ],
    ids=["sliced", "sliced in C", "by rows, constant time"],
)
def test_cycles_of_a_dense_layer(kernel: type[Call], flags: tuple[str, ...], exactly: int, per_mac: float) -> None:
    """784-120, the first layer of an MLP for MNIST. Exact counts are those of avr-gcc 5.4."""
    counted = cycles(kernel, 784, 120, flags)
    assert counted == exactly
    assert counted <= per_mac * 784 * 120


def cycles_of_first_layer(n: int, outs: int, flags: tuple[str, ...], part: str = "atmega328p") -> int:
    program = first_layer(n, outs)
    q = np.random.default_rng(13).integers(0, 256, (1, n))
    ran = measure(program, q, flags, part)
    np.testing.assert_array_equal(ran.outputs[0][0], program.run({"x": q[0]})["y"])
    assert ran.measured is not None
    return ran.measured.typical


@pytest.mark.parametrize(
    ("flags", "exactly", "per_mac"), [((), 461_518, 5.0), (NO_ASM, 1_805_066, 20.0)], ids=["asm", "in C"]
)
def test_cycles_of_a_first_layer(flags: tuple[str, ...], exactly: int, per_mac: float) -> None:
    """784 pixels by 120 bipolar rows."""
    counted = cycles_of_first_layer(784, 120, flags)
    assert counted == exactly
    assert counted <= per_mac * 784 * 120


SAME_3X3 = Window((3, 3), before=(1, 1), after=(1, 1))


@dataclass(frozen=True)
class Conv:
    """A convolution with random weights; with ``classes`` border pixels have thresholds of their own."""

    size: tuple[int, int]
    channels: int
    outs: int
    window: Window = SAME_3X3
    classes: bool = False

    @property
    def bits(self) -> int:
        return self.size[0] * self.size[1] * self.channels

    def call(self, x: Buffer, y: Buffer, number: int) -> PixelLoop:
        """The convolution as lowering has it: row by row."""
        rng = np.random.default_rng(number)
        rows, columns = self.window.positions(self.size)
        taps = self.window.kernel[0] * self.window.kernel[1] * self.channels
        border = [
            np.unique(self.window.valid(self.size).any(axis=other), axis=0, return_inverse=True)[1].reshape(-1)
            for other in ((1, 3), (0, 2))
        ]
        down, across = border if self.classes else (np.zeros(rows, int), np.zeros(columns, int))
        across = np.cumsum(np.diff(across, prepend=across[0]) != 0)  # numbered as they come
        classes = (int(down.max()) + 1) * (int(across.max()) + 1)
        at = rng.integers(-12, 13, (classes, self.outs))
        at[0, 0], at[-1, -1] = -taps, taps + 1  # always, and never
        limit = limits(at, taps, int(across.max()) + 1)
        span = Span(self.channels, self.window, columns, self.size[1])
        line = Buffer(f"line{number}", "bnn_word", words(columns * self.outs, 8))
        scratch = Buffer(f"columns{number}", "bnn_word", ConvolveColumns.scratch_words(span, 8))
        tables = [Table(f"{k}{number}", "uint8_t", v) if self.classes else None for k, v in
                  (("down", down), ("across", across))]  # fmt: skip
        w = column_weights(rng.integers(0, 2, (self.outs, *self.window.kernel, self.channels)), 8)
        conv = ConvolveColumns(
            "conv", (), 0, x, *self.size, self.channels, *geometry(self.window), Index.ROW, columns, self.outs,
            tables[0], tables[1], int(across.max()) + 1, Table(f"w{number}", "bnn_word", w.reshape(-1)),
            Typed(Table(f"limit{number}", "uint8_t" if taps < 255 else "int16_t", limit.reshape(-1))), scratch, line,
        )  # fmt: skip
        n = columns * self.outs
        put = PutBits("conv", (), 0, line, 1, n, rows * n, 1, Index.ROW, 0, y)
        return PixelLoop("conv", (), rows * n * taps, rows, 1, 1, (conv, put), (), (line, scratch), x, y)


def convolutions(convs: Sequence[Conv], skipped: bool = False) -> Program:
    """Packed bits, which are the map of each convolution, and the bits of each as integers; without convolutions
    where they are to be ``skipped``."""
    x, packed = Buffer("x", "uint8_t", words(convs[0].bits, 8)), Buffer("packed", "bnn_word", words(convs[0].bits, 8))
    calls: list[Call] = [LoadBits("load", (), 0, x, convs[0].bits, packed)]
    ports = []
    for number, conv in enumerate(convs):
        count = int(np.prod(conv.window.positions(conv.size))) * conv.outs
        y = Buffer(f"y{number}", "bnn_word", words(count, 8))
        loop = conv.call(packed, y, number)
        calls += [] if skipped else [loop]
        out = Buffer(f"out{number}", "int32_t", min(count, convs[0].bits, 100))
        calls.append(Unpack("out", (), 0, packed if skipped else y, out.count, 1, 0, 1, Typed(out)))
        bit = Domain(rows(1), rows(0), rows(0), rows(1))
        ports.append(Port(f"out{number}", out, TensorType((out.count,), "float32", bit)))
    port = Port("x", x, TensorType((convs[0].bits,), "float32", bipolar()))
    return plan(Program("net", 8, (port,), tuple(ports), tuple(calls), 0, 1))


def cycles_of_convolution(conv: Conv, flags: tuple[str, ...], part: str) -> int:
    """The same whatever the map."""
    q = np.concatenate([half_ones(conv.bits), np.ones((1, conv.bits)), -np.ones((1, conv.bits))]).astype(int)
    program = convolutions([conv])
    with_it, without = (measure(p, q, flags, part) for p in (program, convolutions([conv], skipped=True)))
    np.testing.assert_array_equal(with_it.outputs[0][0], program.run({"x": pack_bits(q[0] > 0, 8)})["out0"])
    assert with_it.measured is not None and without.measured is not None
    assert len(set(with_it.measured.counts)) == 1
    return with_it.measured.typical - without.measured.typical


SAME = Conv((8, 8), 16, 16)
ZEROS = replace(SAME, classes=True)
WIDE = Conv((8, 8), 32, 32)


@pytest.mark.parametrize(
    ("conv", "flags", "exactly", "per_mac"),
    [
        (SAME, (), 127_880, 0.90),
        (ZEROS, (), 132_666, 0.90),
        (WIDE, (), 609_346, 1.04),
        (SAME, NO_ASM, 230_532, 1.6),
        (ZEROS, NO_ASM, 235_655, 1.6),
        (WIDE, NO_ASM, 1_165_545, 2.0),
    ],
    ids=[f"{which}{how}" for how in ("", ", in C") for which in ("padded with -1", "padded with 0", "32 channels")],
)
def test_cycles_of_a_convolution(conv: Conv, flags: tuple[str, ...], exactly: int, per_mac: float) -> None:
    """All of a 3x3 convolution: its border, thresholds, and putting its bits into the map."""
    counted = cycles_of_convolution(conv, flags, "atmega1284p")
    assert counted == exactly
    assert counted <= per_mac * 9 * conv.bits * conv.outs


def windows() -> list[Conv]:
    """Windows of all numbers of bytes that have code of their own, with and without full passes before; borders,
    strides, odd numbers of channels and outputs, rows of a pixel or of many, and many classes in a row."""
    row, long = (Window((1, n), before=(0, n // 2), after=(0, n // 2)) for n in (3, 11))
    found = [Conv((1, 12), 8 * n, 7 + n, Window((1, 1)), False) for n in range(1, 19)]
    found += [Conv((1, 5), 8 * n, 3, Window((1, 1))) for n in (*range(19, 28), *range(32, 38))]
    found += [Conv((1, 12), 8, 8, long, True)]
    found += [Conv((4, 5), c, o, classes=True) for c, o in ((1, 1), (5, 8), (8, 16), (16, 10), (24, 9), (32, 8))]
    found += [Conv((7, 7), 16, 8, Window((3, 2), (2, 3), (1, 1), (1, 0), (2, 1))), Conv((1, 1), 16, 24)]
    found += [Conv((1, 70), 16, 5, row, True), Conv((1, 59), 16, 5, row, True), Conv((6, 6), 8, 8, Window((5, 5)))]
    largest = max(found, key=lambda c: c.bits)
    return [largest, *(c for c in found if c is not largest)]


@pytest.mark.parametrize("flags", [(), NO_ASM], ids=["asm", "in C"])
def test_convolutions_of_all_shapes(flags: tuple[str, ...]) -> None:
    """The assembly, and the C that stands for it, on the chip against numpy."""
    convs = windows()
    q = np.random.default_rng(3).choice([-1, 1], (2, convs[0].bits))
    for some in (convs[:1] + convs[i::4] for i in range(1, 5)):
        program = convolutions(some)
        ran = measure(program, q, flags, "atmega1284p")
        for i, sample in enumerate(q):
            expected = program.run({"x": pack_bits(sample > 0, 8)})
            for number, out in enumerate(ran.outputs):
                np.testing.assert_array_equal(out[i], expected[f"out{number}"], err_msg=str(some[number]))


@pytest.mark.parametrize("grid", [{"input": "uint8"}, {"input": "int8", "scale": "1/100"}], ids=str)
def test_first_layers_of_bytes(grid: dict[str, Any]) -> None:
    """More inputs than one stretch of sums has, an odd number of them, and lanes to spare."""
    b = Builder()
    w = np.random.default_rng(0).choice([-1.0, 1.0], (333, 21)).astype(np.float32)
    h = b("Sign", b("Add", b("MatMul", b.input("x", ["N", 333]), w), np.float32(0.01)))
    model = b.model(b("MatMul", h, np.random.default_rng(1).choice([-1.0, 1.0], (21, 4)).astype(np.float32)))
    compilation = bnncompiler.compile(model, backend="avr", name="net", **grid)
    assert compilation.program.calls[0].kernel() == "bnn_dense_signs"
    bnncompiler.verify(compilation, samples=8).raise_if_failed()


def test_constant_time_is_constant() -> None:
    """To the cycle, on samples of all kinds."""
    model, grid = NETWORKS["windows"]
    compilation = bnncompiler.compile(model, backend="avr", name="net", **grid, constant_time=True)
    q = np.random.default_rng(4).integers(-128, 128, (40, 50))
    measured = run(compilation, {"x": np.concatenate([q, 0 * q[:1] - 128, 0 * q[:1] + 127])}, trace=False).measured
    assert measured is not None and len(set(measured.counts)) == 1


# --- what is said beforehand


@pytest.mark.parametrize("name", ["windows", "zero padding", "bits, stride"])
def test_the_plan_agrees_with_what_is_measured(name: str) -> None:
    model, grid = NETWORKS[name]
    check_plan(bnncompiler.compile(model, backend="avr", target="atmega1284p", name="net", **grid))


def test_the_plan_of_the_example_agrees_with_what_is_measured(example: Compilation) -> None:
    check_plan(example)


def check_plan(compilation: Compilation) -> None:
    """Tables, arena and buffers to the byte; the stack is an upper bound, and code is about as much as planned."""
    q = np.random.default_rng(2).choice([-1, 1], (4, *compilation.graph.inputs[0].type.shape))
    measured = run(compilation, {compilation.program.inputs[0].name: q}, trace=False).measured
    assert measured is not None and measured.flash_bytes and measured.stack_bytes
    (_, ram), sizes = compilation.demands(), compilation.target.sizes
    assert sizes is not None
    stack = sizes.stack(compilation.program)
    assert measured.ram_bytes == ram.total - stack
    assert measured.stack_bytes <= stack <= measured.stack_bytes + 180
    code = measured.flash_bytes - compilation.program.flash_bytes
    assert 0.7 * code < sizes.code(compilation.program) < 1.4 * code  # a third either way, of what is small here
    assert compilation.demands(measured)[0].total == measured.flash_bytes


def test_what_does_not_fit_exits_with_4_before_anything_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", "")  # no compiler is asked
    grid = ["--input", "uint8", "--scale", "1/255", "--mean", "0.1307", "--std", "0.3081"]
    command = [str(MNIST / "mnist_mlp.onnx"), "-o", str(tmp_path), "--backend", "avr", *grid, "--verify"]
    assert cli.main([*command, "--target", "attiny85"]) == 4
    shown = capsys.readouterr()
    assert "B of tables" not in shown.out and "of tables" in shown.out and "does not fit" in shown.out
    assert "the largest layer is where_2" in shown.err
    assert "or a larger target (atmega328p, atmega32u4, atmega1284p, atmega2560)" in shown.err
    assert [p.name for p in tmp_path.iterdir()] == ["report.json"]


# --- the port's kernels alone


NOT_ON_AVR: tuple[type[Call], ...] = (ConvolveRowSliced, DenseSlicedBorder, DenseSlicedPlanes)


@pytest.mark.parametrize(
    "flags",
    [
        ("-mmcu=atmega328p", "-std=c99"),
        ("-mmcu=attiny85", "-std=c99", *NO_ASM),
        ("-mmcu=atmega2560", "-std=gnu99", f"-D{FAR}"),
    ],
    ids=["near", "in C", "far"],
)
def test_every_kernel_compiles_strictly(flags: tuple[str, ...], tmp_path: Path) -> None:
    """With the port's files in place of the common ones of the same name, as the backend gathers them."""
    kernels = ROOT / "backends" / "kernels"
    for folder in (kernels, kernels / "avr"):
        for file in (*folder.glob("*.c"), *folder.glob("*.h")):
            (tmp_path / file.name).write_text(file.read_text())
    for kernel in NOT_ON_AVR:  # never chosen: the port has counters of its own
        (tmp_path / f"{kernel.kernel()}.c").unlink()
    names = sorted(p.name for p in tmp_path.glob("*.c"))
    command = ["avr-gcc", *flags, *STRICT, "-Os", "-c", *names]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_kernels_that_the_port_does_not_have_are_never_chosen() -> None:
    for kernel in NOT_ON_AVR:
        assert AVR.target().costs.of(kernel, Work(144, 16, thresholds=1), 8) is None


# --- large tables


FAR_NETWORKS: dict[str, tuple[ModelProto, dict[str, Any]]] = {
    "counters": (mlp([300, 1024, 520, 10]), INT8),
    "rows": (mlp([300, 1024, 520, 10]), {**INT8, "constant_time": True}),
    "first layer": (mlp([784, 680, 10]), {"input": "uint8"}),
    "windows": (cnn([16, 160, 160, 160, 24], (2, 2)), {"input": "bits"}),
}


@pytest.mark.parametrize("name", FAR_NETWORKS)
def test_more_than_64_kb_of_tables_are_in_far_flash(name: str) -> None:
    """One of them lies across the boundary."""
    model, options = FAR_NETWORKS[name]
    compilation = bnncompiler.compile(model, backend="avr", target="atmega2560", name="net", **options)
    assert compilation.program.flash_bytes > 65536 and f"#define {FAR}\n" in compilation.files["net.c"]
    assert all(t.bytes(8) <= LARGEST for t in compilation.program.tables)
    bnncompiler.verify(compilation, samples=1).raise_if_failed()


def test_cycles_in_far_flash(monkeypatch: pytest.MonkeyPatch) -> None:
    """The assembly is the same there, with ``elpm`` and its third byte of addresses."""
    monkeypatch.setattr(avr, "NEAR", 0)
    far = "atmega2560"
    assert cycles_of_convolution(SAME, (), far) == 129_874 <= 0.9 * 9 * SAME.bits * SAME.outs
    assert cycles(DenseSlicedThreshold, 784, 120, (), far) == 86_311 <= 0.92 * 784 * 120
    assert cycles(DenseThreshold, 784, 120, (), far) == 165_298 <= 1.8 * 784 * 120
    assert cycles_of_first_layer(784, 120, (), far) == 497_651 <= 5.3 * 784 * 120


def test_a_convolution_of_more_than_32_kb_takes_a_kernel_whose_weights_can_be_cut() -> None:
    """Else it would be computed row by row, as the second one is."""
    model = cnn([176, 176, 8], (4, 4), pad_value=-1.0)
    compilation = bnncompiler.compile(
        model, backend="avr", target="atmega2560", name="net", input="bits", constant_time=True
    )
    loops = [[c.kernel() for c in call.body] for call in compilation.program.calls if isinstance(call, PixelLoop)]
    assert ["bnn_convolve_columns" in body for body in loops] == [False, True]
    assert all(t.bytes(8) <= LARGEST < 9 * 176 * 176 // 8 for t in compilation.program.tables)
    bnncompiler.verify(compilation, samples=1).raise_if_failed()


@pytest.mark.parametrize("options", [{}, {"constant_time": True}], ids=str)
def test_a_table_of_more_than_32_kb_is_cut(options: dict[str, Any]) -> None:
    compilation = bnncompiler.compile(
        mlp([520, 600, 10]), backend="avr", target="atmega1284p", name="net", **INT8, **options
    )
    calls = [c.kernel() for c in compilation.program.calls]
    assert calls.count("bnn_concat_bits") == 1
    assert all(t.bytes(8) <= LARGEST for t in compilation.program.tables)
    bnncompiler.verify(compilation, samples=2).raise_if_failed()


def test_parts_compute_what_the_whole_does() -> None:
    whole = dense(DenseSlicedThreshold, 64, 60)
    cut = plan(replace(whole, calls=tuple(parts.split(whole.calls, 8, 100)), arena_size=0))
    assert max(t.bytes(8) for t in cut.tables) <= 100 < max(t.bytes(8) for t in whole.tables)
    q = {"x": pack_bits(half_ones(64)[0] > 0, 8)}
    np.testing.assert_array_equal(cut.run(q)["out"], whole.run(q)["out"])


def test_a_table_that_cannot_be_cut_is_an_error() -> None:
    whole = dense(DenseSlicedThreshold, 64, 60)
    with pytest.raises(LoweringError, match="dense: its table w has 520 B and cannot be cut"):
        parts.split(whole.calls, 8, 60)


# --- exported networks


@pytest.mark.parametrize(
    "name",
    [
        "brevitas_finn/tfc_1w1a.finn_xnor",
        "brevitas_qonnx/tfc_1w2a.qonnx_clean.dynamo",
        "cnn_micro/pool_max3s2p1_after_sign.ts",
        "coregeist/baked_uint8.ts",
        "idioms_act/dorefa2.ts",
        "idioms_act/elastic01.dynamo",
        "idioms_act/sgn.dynamo",
        "idioms_weight/w_twn.ts",
        "idioms_weight_notie/w_dorefa2.ts",
        "postprocessed/idioms_weight.w_irnet.ts.onnxopt",
    ],
)
def test_exported_networks_run_on_an_uno(name: str, tmp_path: Path) -> None:
    model = Exported(name, SELECTION / name)
    compilation = bnncompiler.compile(model.unpack(tmp_path), backend="avr", calibrate=model.samples)
    assert not any(d.excess for d in compilation.demands())
    result = bnncompiler.verify(compilation, model.samples, samples=2)
    result.raise_if_failed()
    assert not any(d.excess for d in compilation.demands(result.measured))


def test_a_trained_convolutional_network_for_mnist_runs_on_an_uno(tmp_path: Path) -> None:
    """Its maps in line buffers, it takes less than 2 KB of RAM with everything."""
    model = Exported("trained/cnn_larq_mnist", SELECTION / "trained/cnn_larq_mnist")
    compilation = bnncompiler.compile(model.unpack(tmp_path), backend="avr", calibrate=model.samples)
    result = bnncompiler.verify(compilation, model.samples, samples=1)
    result.raise_if_failed()
    flash, ram = compilation.demands(result.measured)
    assert flash.room == 32768 and ram.room == 2048 and not flash.excess and not ram.excess
