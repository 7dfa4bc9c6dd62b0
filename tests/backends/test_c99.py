"""Printing programs as C: the text, and what compilers and machines make of it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from bnncompiler import readback
from bnncompiler.backends import c_selftest
from bnncompiler.backends.base import Files
from bnncompiler.backends.c99 import C99
from bnncompiler.calls import Argmax, LoadBits, Threshold
from bnncompiler.dense_calls import NO_TAIL, DenseXnor
from bnncompiler.errors import CompileError, EmitError
from bnncompiler.ir import Domain, TensorType, rows
from bnncompiler.memory import plan
from bnncompiler.packing import words
from bnncompiler.program import Buffer, Port, Program, Table, Typed
from tests.backends.programs import PIXELS, about, branches, maps, mlp, output
from tests.conftest import SANITIZERS, STRICT, Compiler, need

WORD_BITS = [8, 16, 32, 64]


def emit(program: Program, **changes: object) -> Files:
    files = C99.emit(program, about(str(program.word_bits), **changes))
    readback.check(files, program)
    return files


def main(body: str, *models: str) -> Files:
    includes = "".join(f'#include "{m}.h"\n' for m in models)
    includes += "#include <stdio.h>\n#include <stdlib.h>\n"
    return {"main.c": f"{includes}\nint main(void)\n{{\n{body}\n    return 0;\n}}\n"}


def test_targets() -> None:
    assert C99.targets() == ("host", "64", "x86-64-v3", "x86-64-v4", "native", "aarch64", "32", "16", "8")
    assert C99.target().word_bits == 64
    assert [C99.target(t).word_bits for t in C99.targets()] == [64] * 6 + [32, 16, 8]
    with pytest.raises(CompileError, match="c99 has no target 'cortex-m4'; it has host, 64, x86-64-v3, x86-64-v4, nat"):
        C99.target("cortex-m4")


def test_golden_files(golden: Callable[[str, str], None]) -> None:
    layers = {"fc1": "steps: bipolar[21]", "fc2": "steps: bipolar[21]", "fc3": "integer_dense: {-21..21 step 2}[3]"}
    files = emit(mlp(), notes=("the final Softmax is dropped: order is kept",), layers=layers)
    files = {**files, **emit(branches(), exact=False, error_bound=0.125), **emit(maps())}
    for name, text in files.items():
        golden(name, text)


@pytest.mark.parametrize("word_bits", WORD_BITS)
@pytest.mark.parametrize("command", ["gcc", "clang"])
def test_selftest_passes(command: str, word_bits: int, cc: Compiler) -> None:
    """Strictly compiled, with sanitizers, in an arena of exactly the stated size."""
    for program in (mlp(word_bits=word_bits), branches(word_bits=word_bits), maps(word_bits=word_bits)):
        name = program.name
        body = f"    void *arena = malloc({name.upper()}_ARENA_SIZE);\n    int bad = {name}_selftest(arena);\n"
        body += '    printf("%d\\n", bad);\n    free(arena);'
        compiler = replace(cc, command=need(command))
        assert compiler.run({**emit(program), **main(body, name)}, *STRICT, *SANITIZERS) == "0\n"


def test_selftest_finds_a_wrong_threshold(cc: Compiler) -> None:
    files = emit(mlp())
    before, _, after = files["tiny.c"].partition("fc3_weights[9] = {\n    0x")
    files["tiny.c"] = f"{before}fc3_weights[9] = {{\n    0x{int(after[:2], 16) ^ 1:02x}{after[2:]}"
    body = '    static unsigned char arena[TINY_ARENA_SIZE + 8];\n    printf("%d\\n", tiny_selftest(arena) > 0);'
    assert cc.run({**files, **main(body, "tiny")}) == "1\n"


@pytest.mark.parametrize("word_bits", WORD_BITS)
def test_c_computes_what_the_program_means(word_bits: int, cc: Compiler) -> None:
    program = mlp(word_bits=word_bits, n=70, hidden=131, outs=5)
    rng = np.random.default_rng(7)
    samples = rng.integers(0, 256, (20, 70), dtype=np.uint8)
    text = ",".join(map(str, samples.reshape(-1).tolist()))
    body = f"""    static const uint8_t samples[20][70] = {{{text}}};
    void *arena = malloc(TINY_ARENA_SIZE);
    for (int i = 0; i < 20; i++) {{
        int32_t logits[5];
        tiny_run(samples[i], logits, arena);
        for (int o = 0; o < 5; o++)
            printf("%ld ", (long)logits[o]);
        printf("%d\\n", tiny_classify(samples[i], arena));
    }}
    free(arena);"""
    got = cc.run({**emit(program), **main(body, "tiny")}, "-O2", *SANITIZERS)
    logits = [program.run({"x": s})["fc3"] for s in samples]
    assert np.array_equal(np.fromstring(got, int, sep=" ").reshape(20, 6), [[*y, np.argmax(y)] for y in logits])


def test_two_models_in_one_program(cc: Compiler) -> None:
    """Of different word sizes, in one program, from C++."""
    first, second = emit(mlp("first", 8)), emit(mlp("second", 64, seed=5))
    body = """    static uint64_t arena[(FIRST_ARENA_SIZE + SECOND_ARENA_SIZE) / 8 + 1];
    printf("%d %d\\n", first_selftest(arena), second_selftest(arena));"""
    driver = main(body, "first", "second")["main.c"]
    cc.compile({**first, **second, "main.c": "int main(void) { return 0; }\n"}, *STRICT)
    objects = [f"{m}.o" for m in ("first", "second")]
    cc.call([cc.command, *STRICT, "-c", "first.c", "second.c"])
    (cc.folder / "main.cpp").write_text(driver)
    cc.call([need("g++"), "-std=c++11", "-pedantic", "-Wall", "-Wextra", "-Werror", "main.cpp", *objects, "-o", "both"])
    assert cc.call([str(cc.folder / "both")]) == "0 0\n"


@pytest.mark.parametrize("command", ["gcc", "clang"])
def test_only_the_model_s_names_are_external(command: str, cc: Compiler) -> None:
    need(command)
    need("nm")
    for program, expected in (
        (mlp(), {"tiny_run", "tiny_classify", "tiny_selftest"}),
        (branches(), {"branches_run", "branches_selftest"}),
    ):
        for name, text in emit(program).items():
            (cc.folder / name).write_text(text)
        cc.call([command, *STRICT, "-c", f"{program.name}.c"])
        symbols = cc.call(["nm", "-g", "--defined-only", f"{program.name}.o"])
        assert {line.split()[2] for line in symbols.splitlines()} == expected
        writable = re.findall(r"^\S+ ([bBdDcC]) (\w+)$", cc.call(["nm", f"{program.name}.o"]), re.MULTILINE)
        assert not writable


@pytest.mark.parametrize("word_bits", WORD_BITS)
def test_source_is_also_cpp_and_fits_16_bit_int(word_bits: int, cc: Compiler) -> None:
    programs = (mlp(word_bits=word_bits), branches(word_bits=word_bits), maps(word_bits=word_bits))
    for program in programs:
        for name, text in emit(program).items():
            (cc.folder / name).write_text(text)
        source = f"{program.name}.c"
        cc.call([need("g++"), "-x", "c++", "-std=c++11", "-pedantic", "-Wall", "-Wextra", "-Werror", "-c", source])
    for program in programs:
        cc.call([need("avr-gcc"), "-mmcu=atmega2560", *STRICT, "-Os", "-c", f"{program.name}.c"])


def test_trace_hook_sees_every_call(cc: Compiler) -> None:
    program = mlp()
    files = emit(program)
    driver = """#include <stdio.h>
static void trace(int call, const void *address, int bytes)
{
    printf("%d:%d:%d ", call, bytes, *(const unsigned char *)address);
}
#define BNN_TRACE(call, address, bytes) trace((call), (address), (bytes))
#include "tiny.c"
int main(void)
{
    static uint64_t arena[TINY_ARENA_SIZE];
    static const uint8_t input[9];
    int32_t logits[3];
    tiny_run(input, logits, arena);
    return 0;
}
"""
    cc.compile({**files, "main.c": "int main(void) { return 0; }\n"})
    (cc.folder / "driver.c").write_text(driver)
    cc.call([cc.command, "driver.c", "-o", "driver"])
    memory = program.run({"x": np.zeros(9, np.uint8)})
    written = [c.buffers["y"] for c in program.calls]
    expected = " ".join(f"{i}:{y.bytes(8)}:{memory[y.name].view(np.uint8)[0]}" for i, y in enumerate(written))
    assert cc.call([str(cc.folder / "driver")]).strip() == expected


def test_selftest_can_be_left_out(cc: Compiler) -> None:
    files = emit(mlp())
    for name, text in files.items():
        (cc.folder / name).write_text(text)
    cc.call([cc.command, *STRICT, "-DTINY_NO_SELFTEST", "-c", "tiny.c"])
    assert "selftest" not in cc.call([need("nm"), "tiny.o"])


def test_bytes_are_the_same_in_every_run() -> None:
    for program in (mlp, branches, maps):
        assert emit(program()) == emit(program())


PROGRAMS = [mlp(), mlp(word_bits=64), branches(), maps()]


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda p: f"{p.name}-{p.word_bits}")
def test_text_is_ascii_of_at_most_100_columns_and_ends_in_a_newline(program: Program) -> None:
    for text in emit(program, notes=("größer */ ??/ \\" + "x" * 200,), options="--name '\n/*'").values():
        assert text.isascii() and text.endswith("\n") and not text.endswith("\n\n")
        assert max(map(len, text.split("\n"))) <= 100
        assert "\n\n\n" not in text


def test_a_comment_cannot_be_ended_from_outside(cc: Compiler) -> None:
    evil = "*/ int tiny_evil; /* ??/ \\"
    files = emit(mlp(), notes=(evil,), model=evil, options=evil, layers={"fc1": evil})
    for name, text in files.items():
        (cc.folder / name).write_text(text)
    cc.call([cc.command, *STRICT, "-c", "tiny.c"])


@pytest.mark.parametrize("name", ["string", "int", "7seg", "über-net.v2", "权重", "_Bool", "linux", "bnn", "a" * 90])
def test_any_model_name_compiles(name: str, cc: Compiler) -> None:
    files = emit(mlp(name))
    stem = next(iter(files)).removesuffix(".h")
    assert re.fullmatch("[a-z][a-z0-9_]*", stem)
    body = f'    static uint64_t arena[{stem.upper()}_ARENA_SIZE];\n    printf("%d", {stem}_selftest(arena));'
    assert cc.run({**files, **main(body, stem)}, "-std=gnu99", "-Wall", "-Werror", "-I.") == "0"


@pytest.mark.parametrize(
    "name", ["for", "arena", "memory", "memcpy", "int32_t", "linux", "i", "best", "tiny_run", "bnn_load", "x" * 80]
)
def test_any_buffer_and_table_name_compiles(name: str, cc: Compiler) -> None:
    program = mlp()
    renamed = tuple(_renamed(c, name) for c in program.calls)
    files = emit(replace(program, calls=renamed))
    body = '    static uint64_t arena[TINY_ARENA_SIZE];\n    printf("%d", tiny_selftest(arena));'
    assert cc.run({**files, **main(body, "tiny")}, "-std=gnu99", "-Wall", "-Wextra", "-Wshadow", "-Werror") == "0"


def _with(call: Any, **changed: object) -> Any:
    return replace(call, **changed)


def _renamed(call: Any, name: str) -> Any:
    """The call with the buffer ``h1`` and the table ``fc1_at`` called ``name``."""
    changed = {}
    for argument, value in call.arguments():
        data = value.data if isinstance(value, Typed) else value
        if isinstance(data, Buffer | Table) and data.name in ("h1", "fc1_at"):
            new = replace(data, name=name)
            changed[argument] = Typed(new) if isinstance(value, Typed) else new
    return replace(call, **changed)


def test_scale_and_offset_are_fractions() -> None:
    header = emit(mlp())["tiny.h"]
    assert "#define TINY_OUTPUT_SCALE_NUM 1 /* 0.25 */\n#define TINY_OUTPUT_SCALE_DEN 4\n" in header
    assert "#define TINY_OUTPUT_OFFSET_NUM -3 /* -1.5 */\n#define TINY_OUTPUT_OFFSET_DEN 2\n" in header
    program = mlp()
    scaled = replace(
        program, outputs=(output(program.outputs[0].buffer, Domain(rows(0.1), rows(0), rows(0), rows(1))),)
    )
    assert "SCALE_NUM 1 /* nearest to 0.1 */\n#define TINY_OUTPUT_SCALE_DEN 10\n" in emit(scaled)["tiny.h"]
    assert "OFFSET" not in emit(scaled)["tiny.h"]


@pytest.mark.parametrize("value", [1e-12, 3e-10, 0.1, 1 / 3, 2.0**-40, 12345.678, 2.0**31, 1e12, 7e-5])
def test_ratio_is_the_nearest_fraction_of_31_bit_numbers(value: float) -> None:
    from bnncompiler.backends.c_text import ratio

    near = ratio(value)
    assert 0 < near.numerator < 2**31 and 0 < near.denominator < 2**31
    if 1e-5 < value < 1e5:
        assert abs(near - value) < 1e-9 * value


def test_a_loop_that_hides_a_buffer_is_refused() -> None:
    program = maps()
    loop = program.calls[0]
    with pytest.raises(EmitError, match="conv1: bnn_gather_integers uses group, which is not its loop's"):
        emit(replace(program, calls=(_with(loop, scratch=()), *program.calls[1:])))


def test_an_output_without_a_common_scale_is_refused() -> None:
    program = mlp()
    port = output(program.outputs[0].buffer, Domain(rows([1, 2, 3]), rows(0), rows(0), rows(1)))
    with pytest.raises(EmitError, match="scores: the elements of an output must share one scale"):
        emit(replace(program, outputs=(port,)))


def test_an_index_is_what_classify_returns(cc: Compiler) -> None:
    program = mlp()
    (logits,) = (p.buffer for p in program.outputs)
    index = Buffer("index", "int32_t", 1)
    inner = Buffer("fc3", "int32_t", 3)
    calls = (*program.calls[:-1], _with(program.calls[-1], y=inner), Argmax("top", (), 0, Typed(inner), 3, index))
    assert logits.name == inner.name
    port = Port("top", index, TensorType((1,), "int64", Domain(rows(1), rows(0), rows(0), rows(2))))
    files = emit(plan(replace(program, outputs=(port,), calls=calls)))
    assert "void tiny_run(const uint8_t *input, int32_t *index, void *arena);" in files["tiny.h"]
    assert "SCALE" not in files["tiny.h"]
    body = """    static uint64_t arena[TINY_ARENA_SIZE];
    static const uint8_t input[9] = {1, 2, 3};
    int32_t index[1];
    tiny_run(input, index, arena);
    printf("%d %d", tiny_selftest(arena), tiny_classify(input, arena) - index[0]);"""
    assert cc.run({**files, **main(body, "tiny")}, *STRICT, "-O1") == "0 0"


def test_one_output_value_has_no_class() -> None:
    assert "classify" not in "".join(emit(mlp(outs=1)).values())


def test_a_program_without_arena(cc: Compiler) -> None:
    x, y = Buffer("x", "uint8_t", 40), Buffer("y", "int32_t", 40)
    port = Port("x", x, TensorType((40,), "float32", PIXELS))
    at = Table("at", "uint8_t", np.arange(40, dtype=np.uint8))
    bits = Buffer("bits", "bnn_word", 1)
    call = Threshold("t", (), 0, Typed(x), 40, Typed(at), 40, 1, bits)
    assert plan(Program("none", 64, (port,), (), (call,), 0, 1)).arena_size == 8
    dense = DenseXnor("d", (), 0, bits, Table("w", "bnn_word", np.zeros(40, np.uint64)), Typed(NO_TAIL), 40, 40, y)
    whole = plan(Program("none", 64, (port,), (output(y, PIXELS),), (call, dense), 0, 1))
    assert emit(whole)["none.h"].count("#define NONE_ARENA_SIZE 8") == 1
    only = replace(mlp(), calls=mlp().calls[:1])
    only = replace(only, calls=(_with(only.calls[0], y=Buffer("fc3", "int32_t", 21)),), arena_size=0)
    only = replace(only, outputs=(output(Buffer("fc3", "int32_t", 21), PIXELS),))
    files = emit(only)
    assert "#define TINY_ARENA_SIZE 1\n" in files["tiny.h"]
    assert cc.run({**files, **main('    printf("%d", tiny_selftest(NULL));', "tiny")}, *STRICT) == "0"


def test_selftest_inputs_keep_to_the_domain() -> None:
    program = branches()
    for sample in c_selftest.vectors(program):
        assert sample["bits"].dtype == np.uint8 and sample["wide"].dtype == np.int16
        ranges = program.inputs[1].type.domain
        assert ranges is not None
        wide = sample["wide"].reshape(2, 3)
        assert (wide >= ranges.lo).all() and (wide <= ranges.hi).all()
    assert any(isinstance(c, LoadBits) for c in program.calls)


@pytest.mark.parametrize(
    ("ctype", "lo", "hi", "step"), [("int8_t", -128, 127, 1), ("int16_t", -32768, 32767, 1), ("int8_t", -3, 3, 2)]
)
def test_input_types(ctype: str, lo: int, hi: int, step: int, cc: Compiler) -> None:
    program = mlp()
    x = Buffer("x", ctype, 9)
    port = Port("x", x, TensorType((9,), "float32", Domain(rows(1), rows(0), rows(lo), rows(hi), step)))
    files = emit(replace(program, inputs=(port,), calls=(_with(program.calls[0], x=Typed(x)), *program.calls[1:])))
    assert f"tiny_run(const {ctype} *input" in files["tiny.h"]
    body = '    static uint64_t arena[TINY_ARENA_SIZE];\n    printf("%d", tiny_selftest(arena));'
    assert cc.run({**files, **main(body, "tiny")}, *STRICT) == "0"


def test_a_large_layer_is_printed_and_read_back() -> None:
    """Two megabytes of weights: what takes time for each cell would be felt in the whole suite."""
    n = 4096
    x, bits, y = Buffer("x", "uint8_t", n // 8), Buffer("bits", "bnn_word", words(n, 64)), Buffer("y", "int32_t", n)
    weights = np.random.default_rng(0).integers(0, 2**64, n * n // 64, dtype=np.uint64)
    calls = (
        LoadBits("x", (), 0, x, n, bits),
        DenseXnor("d", (), n * n, bits, Table("w", "bnn_word", weights, n // 64), Typed(NO_TAIL), n, n, y),
    )
    signs = TensorType((n,), "float32", Domain(rows(1), rows(0), rows(-1), rows(1), 2))
    program = plan(Program("large", 64, (Port("x", x, signs),), (output(y, PIXELS),), calls, 0, 8))
    assert len(emit(program)["large.c"]) > weights.nbytes
