"""Reading emitted C back: what is right passes quickly, and each kind of wrong is found and named."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest

from bnncompiler import c_subset, readback
from bnncompiler.backends.base import Files
from bnncompiler.backends.c99 import C99
from bnncompiler.backends.c_kernels import INTERFACE, Sources
from bnncompiler.errors import EmitError
from bnncompiler.preprocess import preprocess
from tests.backends.programs import about, branches, maps, mlp
from tests.kernels.harness import CALLS

PROGRAM = mlp()
FILES = C99.emit(PROGRAM, about("8"))


def subset(code: str) -> c_subset.Functions:
    """Check a piece of C on its own, as part of a model called ``tiny``."""
    text = readback._PREAMBLE + preprocess("tiny.c", {"tiny.c": code}, {}, readback._FIXED).text
    return c_subset.check(readback._parse("tiny.c", text), "tiny")


def changed(pattern: str, replacement: str, name: str = "tiny.c") -> Files:
    text, count = re.subn(pattern, replacement, FILES[name], count=1)
    assert count == 1, f"nothing matches {pattern}"
    return {**FILES, name: text}


@pytest.mark.parametrize("word_bits", [8, 16, 32, 64])
def test_all_kernels_keep_to_the_subset(word_bits: int) -> None:
    kernels = Sources("c99").text([INTERFACE, *(f"{c.kernel()}.c" for c in CALLS), "bnn_noise.h"])
    found = subset(f"#define BNN_WORD_BITS {word_bits}\n#define BNN_KERNEL static\n{kernels}")
    assert {c.kernel() for c in CALLS} <= set(found.definitions)


def test_emitted_programs_pass_unnoticed() -> None:
    for program in (PROGRAM, branches(), maps()):
        files = C99.emit(program, about(str(program.word_bits)))
        readback.check(files, program)


BANNED = {
    "a floating-point type": "static float tiny_f(void) { return 0; }",
    "floating-point constant": "int tiny_f(void) { return (int)1.5; }",
    "calls malloc": "typedef int *p; p tiny_f(void) { return malloc(4); }",
    "recursion: (a -> b -> a|b -> a -> b)": (
        "static int a(int n); static int b(int n) { return a(n); } static int a(int n) { return b(n); }"
    ),
    "array x has no constant size": "void tiny_f(int n) { int x[n]; x[0] = 1; }",
    "tiny_f: goto": "void tiny_f(void) { again: goto again; }",
    "tiny_f: while": "void tiny_f(void) { while (1) { } }",
    "tiny_f: dowhile": "void tiny_f(void) { do { } while (1); }",
    "a pointer to a function": "void tiny_f(void (*g)(int)) { }",
    "a call through an expression": "int tiny_f(int **g) { return (*g)(1); }",
    "count is a writable object": "static int count;",
    "total is a writable object": "void tiny_f(void) { static int total; total = 1; }",
    "p is a writable object": "static const int *p;",
    "helper is external": "int helper(void) { return 1; }",
    "shared is external": "const int shared = 1;",
    "condition is not `index < bound`": "void tiny_f(const int *x) { for (int i = 0; x[i]; ++i) { } }",
    "bound of the loop over i is not": "void tiny_f(const int *x) { for (int i = 0; i < x[0]; ++i) { } }",
    "bound of the loop over j is not": "void tiny_f(int n) { int m = n; m += 1; for (int j = 0; j < m; ++j) { } }",
    "bound of the loop over k is not": "void tiny_f(int n) { n = 3; for (int k = 0; k < n; ++k) { } }",
    "loop over i does not count": "void tiny_f(int n) { for (int i = 0; i < n; ++i) { i = 0; } }",
    "loop over j does not count": "void tiny_f(int n) { for (int j = 0; j < n; j *= 2) { } }",
    "macro HIDE has parameters": "#define HIDE(x) for (;;)\nstatic const int x = 1;",
    "does not parse": 'int tiny_f(void) { __asm__ volatile ("nop"); }',
    "declared with 3 elements and has 2": "static const int x[3] = {1, 2};",
    "the condition '1.5' is not one of integers": "#if 1.5\n#endif\n",
    "#if without #endif": "#if 1\n",
    "#endif without #if": "#endif\n",
    "#error no": "#error no\n",
    "is not one of the emitted files": '#include "other.h"\n',
    "headers include each other": '#include "tiny.c"\n',
}


@pytest.mark.parametrize("message", BANNED)
def test_each_ban_is_found(message: str) -> None:
    with pytest.raises(EmitError) as error:
        subset(BANNED[message])
    text = str(error.value)
    assert message in text or re.search(message, text), text
    assert "\n" not in text


ALLOWED = [
    "void tiny_f(int n) { const int m = n / 2; for (int i = 0; i < m; i += 2) { for (int j = i; j < n - i; ++j) {} } }",
    "void tiny_f(int n) { for (int i = n; i >= 0; --i) { } }",
    "void tiny_f(int n, int x) { for (int i = 0; i < n && x != 0; ++i) { x &= x - 1; } }",
    "struct s { struct { int n; } of; }; void tiny_f(const struct s *x) { for (int i = 0; i < x->of.n; ++i) { } }",
    "static const int size = 3; static const int *const p = 0;",
    "enum { N = 4 }; void tiny_f(void) { int x[N + sizeof(int)]; x[0] = 1; }",
    "static int a(int n) { return n; } int tiny_f(void) { return a(a(1)); }",
    "void tiny_f(void *y, const void *x) { memcpy(y, x, 4); }",
    "#if !defined(A) && (1 + 1 == 2 || 0)\nstatic const int b = 1;\n#else\nfloat c;\n#endif\n",
    "#ifdef A\nfloat a;\n#elif 0\nfloat b;\n#else\nstatic const int c = 1;\n#if 0\nfloat d;\n#else\n#endif\n#endif\n",
    "#define HOOK(a, b) ((void)0)\nvoid tiny_f(void) { HOOK(1, 2); }",
]


@pytest.mark.parametrize("code", ALLOWED)
def test_what_is_needed_is_allowed(code: str) -> None:
    subset(code)


def test_a_float_in_a_table_is_found() -> None:
    for cell in ("1.0", "1e2", "0x1p3"):
        with pytest.raises(EmitError, match=r"floating-point|no table of integers"):
            readback.check(changed(r"(fc2_at\[21\] = \{\s*)-?\d+", rf"\g<1>{cell}"), PROGRAM)


MISMATCHES = {
    "with 8 arguments; it has 7": (r"bnn_dense_xnor\(h2, fc3_weights,", "bnn_dense_xnor(h2, fc3_weights, 1,"),
    "no table, for w": (r"bnn_dense_xnor\(h2, fc3_weights,", "bnn_dense_xnor(h2, h1,"),
    "a table, for x": (r"bnn_dense_xnor\(h2, fc3_weights,", "bnn_dense_xnor(fc3_weights, fc3_weights,"),
    "elements of type int8_t, for w": (r"bnn_dense_xnor\(h2, fc3_weights,", "bnn_dense_xnor(h2, fc2_at,"),
    "elements of type int32_t, for x": (r"bnn_dense_xnor\(h2,", "bnn_dense_xnor(fc1,"),
    "which is constant, for y": (r"fc1_weights, BNN_S8, 9, 21, fc1\)", "fc1_weights, BNN_S8, 9, 21, input)"),
    "a number for y": (r"fc1_weights, BNN_S8, 9, 21, fc1\)", "fc1_weights, BNN_S8, 9, 21, 7)"),
    "the pointer h2 for n": (r"fc1_weights, BNN_S8, 9, 21, fc1\)", "fc1_weights, BNN_S8, h2, 21, fc1)"),
    "BNN_S32, but input has elements of type uint8_t, for x_type": (r"input, BNN_U8", "input, BNN_S32"),
    "BNN_S16, but fc2_at has elements of type int8_t, for at_type": (r"fc2_at, BNN_S8", "fc2_at, BNN_S16"),
    "is not defined as bnn_kernels.h declares it": (r"(bnn_dense_xnor\(const bnn_word \*x, )const ", r"\1"),
    "but the plan says bnn_dense_integer, bnn_threshold": (r"    bnn_threshold\(fc1.*\n.*\n", "\n"),
    "BNN_WORD_BITS is 16": ("#define BNN_WORD_BITS 8", "#define BNN_WORD_BITS 16"),
    "the tables take": (r"static const int8_t BNN_TABLE fc2_at", "static const int16_t BNN_TABLE fc2_at"),
}


@pytest.mark.parametrize("message", MISMATCHES)
def test_each_mismatch_with_the_program_is_found(message: str) -> None:
    with pytest.raises(EmitError) as error:
        readback.check(changed(*MISMATCHES[message]), PROGRAM)
    assert message in str(error.value)


LOOPS = {
    "calls for row < 7, for column < 6, for group < 3": ("group < 2", "group < 3"),
    "calls for row < 7, for column < 5": ("column < 6", "column < 5"),
    "for ..., bnn_gather_integers": (r"group = 0; group < 2", "group = 1; group < 2"),
    "the bound of the loop over group is not made of constants": ("group < 2", "group < acc1[0]"),
    "BNN_U8, but conv1_weights has elements of type int8_t": (
        r"(conv1_weights \+ group \* 54), BNN_S8", r"\1, BNN_U8"
    ),
    "no table, for w": (r"conv1_weights \+ group", "h1 + group"),
    "a number for w": (r"conv1_weights \+ group \* 54", "conv1_weights + h1[0]"),
    "the pointer acc1 for group": (r"(bnn_gather_integers\(.*, 4), group", r"\1, acc1"),
}  # fmt: skip


@pytest.mark.parametrize("message", LOOPS)
def test_each_mismatch_with_a_loop_is_found(message: str) -> None:
    program = maps()
    files = C99.emit(program, about("16"))
    text, count = re.subn(*LOOPS[message], files["maps.c"], count=1)
    assert count == 1
    with pytest.raises(EmitError) as error:
        readback.check({**files, "maps.c": text}, program)
    assert message in str(error.value)


def test_a_missing_table_row_is_found() -> None:
    files = changed(r"fc3_weights\[9\] = \{\n( +)0x..,.*\n", r"fc3_weights[9] = {\n\g<1>0x00\n")
    with pytest.raises(EmitError, match="fc3_weights is declared with 9 elements and has 1"):
        readback.check(files, PROGRAM)


def test_the_header_is_checked_too() -> None:
    wrong_size = changed(r"(TINY_ARENA_SIZE) \d+", r"\1 4", "tiny.h")
    with pytest.raises(EmitError, match=r"TINY_ARENA_SIZE is 4, but the plan says \d+"):
        readback.check(wrong_size, PROGRAM)
    with pytest.raises(EmitError, match=r"tiny\.h defines SIZE, which does not begin with TINY_"):
        readback.check(changed("#define TINY_INPUT_SIZE", "#define SIZE", "tiny.h"), PROGRAM)
    with pytest.raises(EmitError, match="other is external"):
        readback.check(
            changed("#define TINY_INPUT_SIZE", "int other(void);\n#define TINY_INPUT_SIZE", "tiny.h"), PROGRAM
        )


def test_the_plan_must_be_that_of_the_files() -> None:
    with pytest.raises(EmitError, match="TINY_ARENA_SIZE"):
        readback.check(FILES, replace(PROGRAM, arena_size=PROGRAM.arena_size + 4))
    with pytest.raises(EmitError, match="the plan says"):
        readback.check(FILES, replace(PROGRAM, calls=PROGRAM.calls[:-1]))


@pytest.mark.parametrize("names", [["tiny.c"], ["tiny.c", "other.h"], ["tiny.c", "tiny.h", "tiny.S"], []])
def test_a_program_is_two_files(names: list[str]) -> None:
    with pytest.raises(EmitError, match=r"a program is one \.c and one \.h file"):
        readback.check(dict.fromkeys(names, ""), PROGRAM)
