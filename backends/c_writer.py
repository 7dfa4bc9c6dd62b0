"""Prints a program as two C files, a header and a source, around kernels that are C files themselves.

Python writes tables and calls, nothing else; whatever computes is in `kernels/`. The source holds the kernels that it
calls as ``static`` functions: in one translation unit the C compiler specialises them for their constant arguments, and
a user adds two files to a project. Everything external begins with the model's name.
"""

from __future__ import annotations

from itertools import groupby

from bnncompiler.backends import c_calls, c_selftest
from bnncompiler.backends.base import About, Files
from bnncompiler.backends.c_header import header, prototype
from bnncompiler.backends.c_kernels import INTERFACE, Sources
from bnncompiler.backends.c_symbols import Symbols, is_index, name_symbols
from bnncompiler.backends.c_text import comment, table
from bnncompiler.program import Program


def emit(program: Program, about: About, port: str, defines: tuple[str, ...] = ("BNN_KERNEL static",)) -> Files:
    """``<model>.h`` and ``<model>.c`` with the kernels as ``port`` has them, under the macros ``defines``.

    ``BNN_KERNEL`` stands before each kernel: ``static`` where ``defines`` do not say otherwise.

    Raises:
        EmitError: the program has no C form: a buffer without a place, outputs without a common scale, ...
    """
    symbols = name_symbols(program)
    return {
        f"{symbols.model}.h": header(program, about, symbols),
        f"{symbols.model}.c": _source(program, about, port, symbols, defines),
    }


def _source(program: Program, about: About, port: str, symbols: Symbols, defines: tuple[str, ...]) -> str:
    sources = Sources(port)
    needed = dict.fromkeys(k for c in program.calls for k in c.kernels())
    kernels = sources.text([INTERFACE, *(f"{k}.c" for k in needed)])
    parts = [
        comment(
            [
                f"The network `{symbols.model}`; see {symbols.model}.h. First come the kernels that it calls, the same "
                "for every network, then its tables, then its layers."
            ]
        ),
        f'#include "{symbols.model}.h"\n',
        "".join(f"#define {macro}\n" for macro in (f"BNN_WORD_BITS {program.word_bits}", *defines)),
        kernels,
        _checks(program),
        *(table(symbols.tables[t.name], t, program.word_bits) for t in program.tables if len(t.values)),
        _trace(),
        _run(program, about, symbols),
        _classify(program, symbols),
        c_selftest.text(program, symbols, sources),
    ]
    return "\n".join(p for p in parts if p)


def _checks(program: Program) -> str:
    """Facts that the tables rely on, as array sizes that are negative where a fact is none."""
    largest = max(
        [len(t.values) for t in program.tables] + [p.buffer.count for p in (*program.inputs, *program.outputs)]
    )
    return (
        comment(["What the tables were made for; a negative size here means another machine."])
        + f"typedef char bnn_check_word[sizeof(bnn_word) * 8 == {program.word_bits} ? 1 : -1];\n"
        + f"typedef char bnn_check_size[(bnn_size)-1 >= {largest} ? 1 : -1];\n"
    )


def _trace() -> str:
    text = comment(["Define BNN_TRACE to look at every result: call number, address and size in bytes."])
    return text + "#ifndef BNN_TRACE\n#define BNN_TRACE(call, address, bytes) ((void)0)\n#endif\n"


def _run(program: Program, about: About, symbols: Symbols) -> str:
    used = {b.name for c in program.calls for b in c.buffers.values()}
    inner = {b.name: b for c in program.calls for b in c.buffers.values() if b.name in symbols.locals}
    lines = [f"{prototype(program, symbols)}\n{{"]
    if inner:
        lines.append("    unsigned char *const memory = (unsigned char *)arena;")
    for buffer in inner.values():
        lines.append(
            f"    {buffer.ctype} *const {symbols.of(buffer)} = ({buffer.ctype} *)(void *)(memory + {buffer.offset});"
        )
    unused = [] if inner else ["arena"]
    unused += [symbols.ports[p.buffer.name] for p in (*program.inputs, *program.outputs) if p.buffer.name not in used]
    lines += [f"    (void){name};" for name in unused]
    numbered = list(enumerate(program.calls))
    for name, layer in groupby(numbered, key=lambda pair: pair[1].layer):
        lines.append("\n" + c_calls.layer(list(layer), about.layers.get(name, ""), program.word_bits, symbols))
    return "\n".join(lines) + "\n}\n"


def _classify(program: Program, symbols: Symbols) -> str:
    declaration = prototype(program, symbols, "classify")
    if not declaration:
        return ""
    (port,) = program.outputs
    name = symbols.ports[port.buffer.name]
    inputs = [symbols.ports[p.buffer.name] for p in program.inputs]
    call = f"    {symbols.model}_run({', '.join([*inputs, name, 'arena'])});\n"
    if is_index(program, port):
        return f"{declaration}\n{{\n    int32_t {name}[1];\n{call}    return (int){name}[0];\n}}\n"
    count = port.buffer.count
    return (
        f"{declaration}\n{{\n    {port.buffer.ctype} {name}[{count}];\n    int best = 0;\n{call}"
        f"    for (int i = 1; i < {count}; ++i) {{\n        if ({name}[i] > {name}[best]) {{\n            best = i;\n"
        "        }\n    }\n    return best;\n}\n"
    )
