"""The Cortex-M backend: exported and trained networks on its cores in QEMU, and how much its kernels take there."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from _pytest.mark import ParameterSet
from onnx import ModelProto

import bnncompiler
from bnncompiler import Compilation
from bnncompiler.backends.cmsis import CMSIS, STRIP, CortexMCosts
from bnncompiler.backends.cmsis_targets import CHIPS, CORES, core_of
from bnncompiler.costs import Cost
from bnncompiler.errors import UsageError
from bnncompiler.ir import Array
from bnncompiler.machines import qemu, records
from bnncompiler.machines.host import FLAGS
from bnncompiler.machines.qemu import CortexM
from bnncompiler.row_calls import RowLoop
from bnncompiler.sliced_calls import ConvolveRowSliced
from tests.conftest import need
from tests.corpus import SELECTION, Exported, families, models
from tests.networks import Builder

VERIFIED_ON = ("cortex-m0plus", "cortex-m4", "cortex-m33", "cortex-m55")
TRIPLES = {
    "cortex-m0plus": "thumbv6m-none-eabi",
    "cortex-m4": "thumbv7em-none-eabi",
    "cortex-m33": "thumbv8m.main-none-eabi",
    "cortex-m55": "thumbv8.1m.main-none-eabi",
}
LONG = ("larq_zoo_small", "cnn_xnornet", "cnn_binarynet")
RNG = np.random.default_rng(0)


@pytest.fixture(autouse=True, scope="module")
def tools() -> None:
    for tool in qemu.PACKAGES:
        need(tool)


def some() -> list[ParameterSet]:
    """One model of each family of the selection, the smallest; those that take long are marked as slow."""
    found = [models(SELECTION, [family]) for family in families(SELECTION) if family != "trained"]
    smallest = [min(family, key=lambda m: (len(m.data), m.name)) for family in found]
    marks = [pytest.mark.slow if m.name.split("/")[0] in LONG else () for m in smallest]
    return [
        pytest.param(m, VERIFIED_ON[i % 4], id=f"{m.name} on {VERIFIED_ON[i % 4]}", marks=mark)
        for i, (m, mark) in enumerate(zip(smallest, marks, strict=True))
    ]


@pytest.mark.parametrize("exported", models(SELECTION, ["trained"]), ids=lambda m: m.name)
def test_a_trained_network_is_the_same_on_every_core(exported: Exported) -> None:
    outputs = []
    for target in (*VERIFIED_ON, None):
        backend = "c99" if target is None else "cmsis"
        compilation = bnncompiler.compile(exported.data, backend=backend, target=target, calibrate=exported.samples)
        if target in ("cortex-m0plus", "cortex-m55"):
            result = bnncompiler.verify(compilation, exported.samples, samples=4)
            result.raise_if_failed()
            assert result.instructions is not None and f"{target} in QEMU" in result.ran_on
        with compilation.backend.machine(compilation.target).build(compilation.program, compilation.files) as built:
            outputs.append(built.run(random_inputs(compilation, 4), trace=False).outputs)
    for other in outputs[1:]:
        for a, b in zip(outputs[0], other, strict=True):
            np.testing.assert_array_equal(a, b)


def random_inputs(compilation: Compilation, samples: int) -> dict[str, Array]:
    rng = np.random.default_rng(7)
    inputs = {}
    for grid, port in zip(compilation.grids, compilation.program.inputs, strict=True):
        (lo, hi), step = grid.domain.bounds, grid.domain.step
        inputs[port.name] = lo + step * rng.integers(0, (hi - lo) // step + 1, (samples, *port.type.shape))
    return inputs


@pytest.mark.parametrize(("exported", "target"), some())
def test_exported_networks_verify(exported: Exported, target: str, tmp_path: Path) -> None:
    model = exported.unpack(tmp_path)
    compilation = bnncompiler.compile(model, backend="cmsis", target=target, calibrate=exported.samples)
    bnncompiler.verify(compilation, exported.samples, samples=8).raise_if_failed()


# --- targets


def test_targets_have_a_core_and_its_memory() -> None:
    assert CMSIS.target().name == "cortex-m4"
    assert {c.core for c in CHIPS} <= {c.name for c in CORES}
    rp2040 = CMSIS.target("rp2040")
    assert (rp2040.flash, rp2040.ram, rp2040.word_bits) == (2 << 20, 264 << 10, 32)
    machine = CMSIS.machine(rp2040)
    assert isinstance(machine, CortexM) and machine.core == "cortex-m0plus"
    assert CMSIS.target("cortex-m0plus").costs == rp2040.costs != CMSIS.target("cortex-m4").costs


@pytest.mark.parametrize(
    ("spelled", "name"),
    [("m0plus", "cortex-m0plus"), ("Cortex-M0+", "cortex-m0plus"), ("M4", "cortex-m4"), ("STM32F411", "stm32f411")],
)
def test_targets_as_people_spell_them(spelled: str, name: str) -> None:
    assert CMSIS.target(spelled).name == name


@pytest.mark.parametrize("unknown", ["", "cortex", "m", "m5", "4"])
def test_what_is_only_a_part_of_a_name_is_no_target(unknown: str) -> None:
    with pytest.raises(UsageError, match="it has cortex-m4, cortex-m0, "):
        CMSIS.target(unknown)


# --- compilers

CMSIS_COMPILER = """#include <stdint.h>
static inline uint32_t __USAD8(uint32_t a, uint32_t b)
{
    uint32_t sum;
    __asm__("usad8 %0, %1, %2" : "=r"(sum) : "r"(a), "r"(b));
    return sum;
}
"""


@pytest.mark.parametrize("target", VERIFIED_ON)
def test_compilers_accept_the_c_at_every_level(target: str, tmp_path: Path) -> None:
    """GCC and clang, with CMSIS's header and without; without optimisation it is plain C."""
    compilation = bnncompiler.compile(dense(100, 70), name="net", backend="cmsis", target=target, input="uint8")
    for name, text in {**compilation.files, "cmsis/cmsis_compiler.h": CMSIS_COMPILER}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    flags = (*core_of(target).flags, *FLAGS[:-1], "-ffreestanding", "-c", "net.c", "-o", "net.o")
    gcc, clang = need(qemu.COMPILER), need("clang")
    printed = subprocess.run([gcc, "-print-file-name=libc.a"], capture_output=True, text=True, check=True).stdout
    library = Path(printed.strip()).resolve().parents[1]
    headers = next(p for p in (library / "include", *Path("/usr").glob("lib/arm-none-eabi/include")) if p.exists())
    triple = f"--target={TRIPLES[target]}"
    for command in (
        [gcc],
        [clang, triple, f"-isystem{headers}"],
        *([[gcc, "-Icmsis"]] if target != "cortex-m0plus" else []),
    ):
        for level in ("-O0", "-Os", "-O2", "-O3"):
            done = subprocess.run([*command, *flags, level], cwd=tmp_path, capture_output=True, text=True, check=False)
            assert done.returncode == 0, f"{command} {level}: {done.stderr}"


# --- kernels: exact counts of instructions against the goals


def signs(*shape: int) -> Array:
    return RNG.choice([-1.0, 1.0], shape).astype(np.float32)


def offset(*shape: int) -> Array:
    return (RNG.integers(-10, 10, shape) + 0.5).astype(np.float32)


def dense(n: int = 784, outs: int = 120) -> ModelProto:
    b = Builder()
    return b.model(b("Sign", b("Add", b("MatMul", b.input("x", ["N", n]), signs(n, outs)), offset(outs))))


def conv(channels: int = 64, size: int = 8) -> ModelProto:
    """3x3, padded with zeros."""
    b = Builder()
    x = b.input("x", ["N", channels, size, size])
    y = b("Conv", x, signs(channels, channels, 3, 3), pads=[1, 1, 1, 1])
    return b.model(b("Sign", b("Add", y, offset(channels, 1, 1))))


def instructions(model: ModelProto, target: str, layer: str = "sliced", **options: object) -> float:
    """What the calls of one layer take for a multiply-accumulate, at random inputs."""
    compilation = bnncompiler.compile(model, name="net", backend="cmsis", target=target, **options)  # type: ignore[arg-type]
    machine = CMSIS.machine(compilation.target)
    assert isinstance(machine, CortexM)
    with machine.build(compilation.program, compilation.files) as built:
        counts = built.profile(random_inputs(compilation, 8))
    calls = compilation.program.calls
    picked = [(n, c) for n, c in zip(counts, calls, strict=True) if any(layer in k for k in c.kernels())]
    assert picked, [c.kernels() for c in calls]
    return sum(n for n, _ in picked) / sum(c.macs for _, c in picked)


@pytest.mark.parametrize(("target", "most"), [("cortex-m0plus", 0.23), ("cortex-m4", 0.175)])
def test_dense_layers_meet_their_goal(target: str, most: float) -> None:
    assert instructions(dense(), target, input="bits") <= most


@pytest.mark.parametrize(("target", "most"), [("cortex-m0plus", 0.20), ("cortex-m4", 0.15)])
@pytest.mark.parametrize("channels", [64, 128])
def test_convolutions_meet_their_goal(target: str, channels: int, most: float) -> None:
    """With all that a row takes: listing, thresholds, and putting it into the map."""
    assert instructions(conv(channels), target, input="bits") <= most


def test_a_first_layer_of_bytes_meets_its_goal() -> None:
    """With slicing the bytes into planes."""
    assert instructions(dense(), "cortex-m4", "slice", input="uint8") <= 1.4


@pytest.mark.parametrize(("target", "most"), [("cortex-m0plus", 8.0), ("cortex-m4", 5.3), ("cortex-m55", 5.0)])
def test_a_first_layer_of_few_bytes_has_no_planes(target: str, most: float) -> None:
    """Nine taps are too few to list what is 1 in each plane; with gathering, thresholds and putting."""
    b = Builder()
    y = b("Conv", b.input("x", ["N", 1, 8, 8]), signs(32, 1, 3, 3))
    model = b.model(b("Sign", b("Add", y, offset(32, 1, 1))))
    assert instructions(model, target, "dense_signs", input="uint8") <= most


@pytest.mark.parametrize("model", [dense(), conv(64), conv(128)], ids=["dense", "conv64", "conv128"])
def test_vectors_take_half_the_instructions(model: ModelProto) -> None:
    scalar, vectors = (instructions(model, target, input="bits") for target in ("cortex-m4", "cortex-m55"))
    assert vectors <= 0.5 * scalar


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4", "cortex-m55"])
@pytest.mark.parametrize("sizes", [(1, 1, 3), (31, 33, 130), (500, 97, 32), (1030, 300, 5)], ids=str)
def test_all_widths(core: str, sizes: tuple[int, int, int]) -> None:
    """Rows that end anywhere in a word, a group of rows, or a batch of them; outputs that are no whole strip."""
    n, hidden, outs = sizes
    b = Builder()
    h = b("Sign", b("Add", b("MatMul", b.input("x", ["N", n]), signs(n, hidden)), offset(hidden)))
    model = b.model(
        b("MatMul", b("Sign", b("Add", b("MatMul", h, signs(hidden, outs)), offset(outs))), signs(outs, 40))
    )
    compilation = bnncompiler.compile(model, name="net", backend="cmsis", target=core, input="bits")
    assert any("sliced" in k for c in compilation.program.calls for k in c.kernels()) or n == 1
    computes_its_program(compilation)


def computes_its_program(compilation: Compilation) -> None:
    """The C leaves in memory what the program means in numpy, on random bits, and where no bit is 1 or all are."""
    inputs = random_inputs(compilation, 6)
    inputs["x"][0], inputs["x"][1] = -1, 1
    with CMSIS.machine(compilation.target).build(compilation.program, compilation.files) as built:
        run = built.run(inputs)
    (fed,) = records.fed(compilation.program, inputs)
    for i in range(6):
        memory = compilation.program.run({compilation.program.inputs[0].buffer.name: fed[i]})
        for call, found in zip(compilation.program.calls, run.trace, strict=True):
            np.testing.assert_array_equal(found[i], memory[call.buffers["y"].name])


WINDOWS: dict[str, tuple[int, int, tuple[int, int], dict[str, Any]]] = {
    "one channel": (1, 1, (3, 3), {}),
    "padded": (3, 33, (3, 3), {"pads": [1] * 4}),
    "apart": (16, 16, (3, 2), {"strides": [2, 3]}),
    "dilated": (40, 70, (3, 2), {"pads": [2, 0, 2, 1], "dilations": [2, 1]}),
    "wide": (64, 130, (1, 1), {}),
    "long lists": (200, 96, (3, 3), {"pads": [1] * 4}),
    "even": (33, 64, (2, 4), {"pads": [0, 3, 1, 3], "strides": [1, 2]}),
}


@pytest.mark.parametrize("core", ["cortex-m0plus", "cortex-m4", "cortex-m55"])
@pytest.mark.parametrize("name", WINDOWS)
def test_all_windows(core: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Convolutions by row, whatever they cost."""
    channels, outs, kernel, window = WINDOWS[name]
    monkeypatch.setattr(CortexMCosts, "of", lambda _, k, *work: Cost(1 if k is ConvolveRowSliced else 2, 1))
    b = Builder()
    y = b("Conv", b.input("x", ["N", channels, 6, 5]), signs(outs, channels, *kernel), **window)
    model = b.model(b("Sign", b("Add", y, offset(outs, 1, 1))))
    compilation = bnncompiler.compile(model, name="net", backend="cmsis", target=core, input="bits")
    assert any("bnn_convolve_row_sliced" in c.kernels() for c in compilation.program.calls)
    computes_its_program(compilation)


def test_rows_in_line_buffers() -> None:
    """Where the chip's RAM holds no whole maps, windows begin in line buffers."""
    b = Builder()
    x, channels = b.input("x", ["N", 1, 64, 64]), 1
    for _ in range(3):
        w = signs(16, channels, 3, 3)
        x, channels = b("Sign", b("Add", b("Conv", x, w, pads=[1] * 4), offset(16, 1, 1))), 16
    model = b.model(b("MaxPool", x, kernel_shape=[32, 32], strides=[32, 32]))
    compilation = bnncompiler.compile(model, name="net", backend="cmsis", target="stm32f030c8", input="bits")
    (loop,) = (c for c in compilation.program.calls if isinstance(c, RowLoop))
    assert loop.kernels().count("bnn_convolve_row_sliced") == 2
    computes_its_program(compilation)


def test_working_memory_is_as_large_as_the_kernels_say(tmp_path: Path) -> None:
    sizes = [(1, 1, 4), (3, 27, 8), (3, 192, 11), (5, 33, 12), (4, 4096, 16)]
    asked = "".join(f'printf("%u ", (unsigned)arm_bnn_windows_size({k}, {n}, {d}));' for k, n, d in sizes)
    asked += 'printf("%u", (unsigned)sizeof(arm_bnn_strip));'
    (tmp_path / "main.c").write_text(
        f'#include "arm_bnn_windows.h"\n#include <stdio.h>\nint main(void) {{ {asked} return 0; }}\n'
    )
    kernels = Path(__file__).parents[2] / "backends" / "kernels"
    command = [need("gcc"), "-DBNN_WORD_BITS=32", f"-I{kernels / 'cmsis'}", f"-I{kernels}", "main.c", "-o", "main"]
    subprocess.run(command, cwd=tmp_path, check=True)
    said = subprocess.run([tmp_path / "main"], capture_output=True, text=True, check=True).stdout.split()
    assert [int(n) for n in said] == [*(ConvolveRowSliced.windows_bytes(n, k, d) for k, n, d in sizes), STRIP]
