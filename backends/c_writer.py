"""Prints a program as two C files, a header and a source, around kernels that are C files themselves.

Python writes tables and calls, nothing else; whatever computes is in `kernels/`. The source holds the kernels that it
calls as ``static`` functions: in one translation unit the C compiler specialises them for their constant arguments, and
a user adds two files to a project. Everything external begins with the model's name.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby

from bnncompiler.backends import c_calls, c_rows, c_selftest
from bnncompiler.backends.base import About, Files
from bnncompiler.backends.c_header import header, parameters, prototype
from bnncompiler.backends.c_kernels import INTERFACE, Sources
from bnncompiler.backends.c_symbols import Symbols, is_index, name_symbols
from bnncompiler.backends.c_text import comment, table
from bnncompiler.program import Buffer, Call, Program
from bnncompiler.row_calls import RowLoop, row_sizes, streamed


def emit(program: Program, about: About, port: str, defines: tuple[str, ...] = ("BNN_KERNEL static",)) -> Files:
    """``<model>.h`` and ``<model>.c`` with the kernels as ``port`` has them, under the macros ``defines``.

    ``BNN_KERNEL`` stands before each kernel: ``static`` where ``defines`` do not say otherwise.

    Raises:
        EmitError: the program has no C form: a buffer without a place, outputs without a common scale, ...
    """
    symbols = name_symbols(program)
    return {
        f"{symbols.model}.h": header(program, about, symbols, c_selftest.stack_bytes(program)),
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
    """The run function; where the input comes row by row, as a loop around the functions for that."""
    calls = list(enumerate(program.calls))
    fed = streamed(program)
    if fed is None:
        return _function(program, "run", calls, _layers(calls, program, about, symbols), symbols)
    name, model = symbols.ports[fed.sources[0].name], symbols.model
    outputs = [symbols.ports[p.buffer.name] for p in program.outputs]
    rows, size = row_sizes(fed)
    lines = [
        f"    {model}_start(arena);",
        f"    for (bnn_size row = 0; row < {rows}; ++row) {{",
        f"        {model}_feed({name} + row * {size}, arena);",
        "    }",
        f"    {model}_finish({', '.join([*outputs, 'arena'])});",
    ]
    rest = [c_calls.trace(0, fed, program.word_bits, symbols), *_layers(calls[1:], program, about, symbols)]
    feeding = ["\n" + c_rows.about_rows(fed) + "\n".join(c_rows.feed(fed, about.layers, symbols))]
    return "\n".join(
        [
            _function(program, "start", [], c_rows.start(fed, symbols), symbols, [fed.done]),
            _function(program, "feed", calls[:1], feeding, symbols),
            _function(program, "finish", calls[1:], rest, symbols, [fed.y]),
            f"{prototype(program, symbols)}\n{{\n" + "\n".join(lines) + "\n}\n",
        ]
    )


def _layers(calls: list[tuple[int, Call]], program: Program, about: About, symbols: Symbols) -> list[str]:
    """The statements of numbered calls, layer by layer."""
    texts = []
    for _, group in groupby(calls, key=lambda pair: (pair[1].layer, isinstance(pair[1], RowLoop))):
        layer = list(group)
        match layer[0]:
            case index, RowLoop() as loop:
                texts.append(c_rows.layer(index, loop, about.layers, program.word_bits, symbols))
            case _:
                texts.append(c_calls.layer(layer, about.layers, program.word_bits, symbols))
    return ["\n" + t for t in texts]


def _function(
    program: Program,
    verb: str,
    calls: list[tuple[int, Call]],
    statements: list[str],
    symbols: Symbols,
    more: Sequence[Buffer] = (),
) -> str:
    """An exported function: pointers to what its calls (and ``more``) have in the arena, then its statements."""
    used = {b.name: b for b in (*more, *(b for _, c in calls for b in c.memory))}
    inner = {name: b for name, b in used.items() if name in symbols.locals}
    lines = [f"{prototype(program, symbols, verb)}\n{{"]
    if inner:
        lines.append("    unsigned char *const memory = (unsigned char *)arena;")
    for buffer in inner.values():
        lines.append(
            f"    {buffer.ctype} *const {symbols.of(buffer)} = ({buffer.ctype} *)(void *)(memory + {buffer.offset});"
        )
    unused = [] if inner else ["arena"]
    ports = parameters(program, verb)
    unused += [symbols.ports[p.buffer.name] for p in ports if p.buffer.name not in used]
    lines += [f"    (void){name};" for name in unused]
    return "\n".join([*lines, *statements]) + "\n}\n"


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
