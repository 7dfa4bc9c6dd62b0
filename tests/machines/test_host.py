"""The generated C on this machine: what comes back, and how failures are told apart."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np
import pytest
from onnx import ModelProto

import bnncompiler
from bnncompiler import Compilation, memory
from bnncompiler.errors import ToolError, VerificationError
from bnncompiler.ir import Array
from bnncompiler.machines import host, records
from bnncompiler.machines.base import TIMEOUT, Run
from tests.conftest import missing
from tests.networks import Builder

RNG = np.random.default_rng(3)


def signs(*shape: int) -> Array:
    return RNG.choice([-1.0, 1.0], shape).astype(np.float32)


def mlp() -> ModelProto:
    b = Builder()
    x = b("Sign", b("Sub", b.input("x", ["N", 37]), np.float32(0.3)))
    h = b("Sign", b("Add", b("MatMul", x, signs(37, 20)), np.float32(0.5)))
    return b.model(b("MatMul", h, signs(20, 5)))


@pytest.fixture(autouse=True, scope="module")
def compiler() -> None:
    try:
        host.find_compiler()
    except ToolError:
        missing("a C compiler")


@pytest.fixture(scope="module")
def compilation() -> Compilation:
    return bnncompiler.compile(mlp(), name="net")


PIXELS = RNG.integers(0, 256, (9, 37))


def sabotaged(compilation: Compilation, statement: str) -> dict[str, str]:
    """The files with a statement behind the first kernel call."""
    source = compilation.files["net.c"]
    assert len(re.findall(r"BNN_TRACE\(0,.*;", source)) == 1
    return {**compilation.files, "net.c": re.sub(r"(BNN_TRACE\(0,.*;)", rf"\1\n    {statement}", source)}


def run(
    compilation: Compilation,
    files: Mapping[str, str] | None = None,
    *,
    q: Array = PIXELS,
    trace: bool = True,
    flags: tuple[str, ...] = (),
    timeout: float = TIMEOUT,
) -> Run:
    with host.Host(flags).build(compilation.program, files or compilation.files, timeout=timeout) as built:
        return built.run({"x": q}, trace=trace)


@pytest.mark.parametrize("target", ["64", "32", "16", "8"])
def test_every_buffer_is_what_the_program_means(target: str) -> None:
    compilation = bnncompiler.compile(mlp(), name="net", target=target)
    ran = run(compilation)
    program = compilation.program
    assert ran.selftest == 0
    for s in range(len(PIXELS)):
        content = program.run({program.inputs[0].buffer.name: PIXELS[s].astype(np.uint8)})
        for call, trace in zip(program.calls, ran.trace, strict=True):
            np.testing.assert_array_equal(trace[s], content[memory.written(call).name])
        np.testing.assert_array_equal(ran.outputs[0][s], content[program.outputs[0].buffer.name])


def test_samples_in_chunks_are_the_same(compilation: Compilation, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = run(compilation)
    monkeypatch.setattr(records, "CHUNK_BYTES", 1000)
    chunks = run(compilation)
    for a, b in zip((*whole.outputs, *whole.trace), (*chunks.outputs, *chunks.trace), strict=True):
        np.testing.assert_array_equal(a, b)


def test_without_a_trace(compilation: Compilation) -> None:
    ran = run(compilation, trace=False)
    assert ran.trace == ()
    np.testing.assert_array_equal(ran.outputs[0], run(compilation).outputs[0])


def test_packed_bits_are_packed_from_the_lowest_bit() -> None:
    compilation = bnncompiler.compile(mlp(), name="net", input="bits")
    q = np.where(PIXELS > 127, 1, -1)
    (fed,) = records.fed(compilation.program, {"x": q})
    assert fed.dtype == np.uint8 and fed.shape == (len(q), 5)
    assert fed[0, 0] & 1 == (q[0, 0] > 0) and fed[0, 1] >> 2 & 1 == (q[0, 10] > 0)
    run(compilation, q=q)


def test_a_crash_is_named(compilation: Compilation) -> None:
    with pytest.raises(VerificationError, match=r"crashed \(SIGABRT\)"):
        run(compilation, sabotaged(compilation, "abort();"))


def test_an_instruction_that_is_not_there_is_named(compilation: Compilation) -> None:
    with pytest.raises(VerificationError, match="lacks instructions that the target has"):
        run(compilation, sabotaged(compilation, "{ extern int raise(int); raise(4 /* SIGILL */); }"))


def test_vector_instructions_compute_the_same() -> None:
    model = mlp()
    compilation, vectors = (bnncompiler.compile(model, name="net", target=t) for t in ("host", "native"))
    assert vectors.backend.machine(vectors.target) == host.Host(("-march=native",))
    plain, native = run(compilation), run(vectors, flags=("-march=native",))
    for a, b in zip((*plain.outputs, *plain.trace), (*native.outputs, *native.trace), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_hang_ends(compilation: Compilation) -> None:
    with pytest.raises(VerificationError, match="hangs: no end after 1 s"):
        run(compilation, sabotaged(compilation, "{ volatile int on = 1; while (on) { } }"), timeout=1)


@pytest.mark.parametrize("place", ["NET_ARENA_SIZE", "-1"])
def test_writing_outside_of_the_arena_is_seen(compilation: Compilation, place: str) -> None:
    with pytest.raises(VerificationError, match="writes outside of the arena"):
        run(compilation, sabotaged(compilation, f"((unsigned char *)arena)[{place}] = 0;"))


def test_calls_that_are_not_the_programs_are_seen(compilation: Compilation) -> None:
    files = {**compilation.files, "net.c": compilation.files["net.c"].replace("BNN_TRACE(1,", "BNN_TRACE(0,")}
    with pytest.raises(VerificationError, match="the calls in the source are not those of the program"):
        run(compilation, files)


def test_sanitizers(compilation: Compilation) -> None:
    try:
        run(compilation, flags=host.SANITIZERS)
    except ToolError:
        pytest.skip("the C compiler has no sanitizers")
    with pytest.raises(VerificationError, match=r"sanitizer stopped .* signed integer overflow"):
        overflow = "{ volatile int big = 2147483647; big = big + 1; }"
        run(compilation, sabotaged(compilation, overflow), flags=host.SANITIZERS)


def test_c_that_does_not_compile_is_quoted(compilation: Compilation) -> None:
    with pytest.raises(ToolError, match=r"does not compile the generated C: .*unknown_name"):
        run(compilation, sabotaged(compilation, "unknown_name = 1;"))


def test_a_missing_compiler_says_how_to_get_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", "no-such-compiler --flag")
    with pytest.raises(ToolError, match=r"\$CC is 'no-such-compiler', which is not there; .*apt .*dnf .*xcode"):
        host.find_compiler()
    monkeypatch.delenv("CC")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(ToolError, match="none of cc, gcc, clang is there"):
        host.find_compiler()


def test_the_environment_chooses_the_compiler(compilation: Compilation, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", f"{host.find_compiler()[0]} -DCHOSEN")
    run(compilation, sabotaged(compilation, "\n#ifndef CHOSEN\n#error\n#endif\n"))
