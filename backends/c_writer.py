"""Prints a program as two C files, a header and a source, around kernels that are C files themselves.

Python writes tables and calls, nothing else; whatever computes is in `kernels/`. The source holds the kernels that it
calls as ``static`` functions: in one translation unit the C compiler specialises them for their constant arguments, and
a user adds two files to a project. Everything external begins with the model's name.
"""

from __future__ import annotations

from itertools import groupby

from bnncompiler.backends import c_selftest
from bnncompiler.backends.base import About, Files
from bnncompiler.backends.c_header import header, prototype
from bnncompiler.backends.c_kernels import INTERFACE, Sources
from bnncompiler.backends.c_symbols import Symbols, is_index, name_symbols
from bnncompiler.backends.c_text import comment, literal, table, thousands
from bnncompiler.errors import EmitError
from bnncompiler.program import Buffer, Call, Program, Table, Typed

TYPES = {"uint8_t": "BNN_U8", "int8_t": "BNN_S8", "uint16_t": "BNN_U16", "int16_t": "BNN_S16", "int32_t": "BNN_S32"}


def emit(program: Program, about: About, port: str) -> Files:
    """``<model>.h`` and ``<model>.c`` with the kernels as ``port`` has them.

    Raises:
        EmitError: the program has no C form: a buffer without a place, outputs without a common scale, ...
    """
    symbols = name_symbols(program)
    return {
        f"{symbols.model}.h": header(program, about, symbols),
        f"{symbols.model}.c": _source(program, about, port, symbols),
    }


def _source(program: Program, about: About, port: str, symbols: Symbols) -> str:
    sources = Sources(port)
    kernels = sources.text([INTERFACE, *(f"{k}.c" for k in dict.fromkeys(c.kernel() for c in program.calls))])
    parts = [
        comment(
            [
                f"The network `{symbols.model}`; see {symbols.model}.h. First come the kernels that it calls, the same "
                "for every network, then its tables, then its layers."
            ]
        ),
        f'#include "{symbols.model}.h"\n',
        f"#define BNN_WORD_BITS {program.word_bits}\n#define BNN_KERNEL static\n",
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
        lines.append("\n" + _layer(list(layer), about.layers.get(name, ""), program.word_bits, symbols))
    return "\n".join(lines) + "\n}\n"


def _layer(calls: list[tuple[int, Call]], about: str, word_bits: int, symbols: Symbols) -> str:
    """The calls of one layer under a comment: where it came from, its shape and its arithmetic."""
    first, last = calls[0][1], calls[-1][1]
    origin = ", ".join(dict.fromkeys(o for _, c in calls for o in c.origin))
    macs = sum(c.macs for _, c in calls)
    text = [f"{first.layer}: {_size(first)} -> {_size(last, 'y')}" + (f", {thousands(macs)} MACs" if macs else "")]
    text += [f"  {about}"] if about else []
    text += [f"  from {origin}"] if origin else []
    text += [f"  {_meaning(c)}" for _, c in calls]
    return comment(text, "    ") + "\n".join(_call(i, c, word_bits, symbols) for i, c in calls)


def _size(call: Call, argument: str = "x") -> str:
    """How many elements a call reads or writes, and of what kind."""
    values = dict(call.arguments())
    buffer = call.buffers[argument]
    count = values.get("outs", values["n"]) if argument == "y" else values["n"]
    if buffer.ctype == "bnn_word":
        return f"{count} x {values.get('planes', 1)} bit"
    return f"{buffer.count if argument == 'y' else count} x {buffer.ctype.removesuffix('_t')}"


def _meaning(call: Call) -> str:
    """The first sentence of the call's own documentation."""
    text = " ".join((type(call).__doc__ or call.kernel()).split("\n\n")[0].split())
    return text.replace("``", "`")


def _call(index: int, call: Call, word_bits: int, symbols: Symbols) -> str:
    arguments = [a for _, value in call.arguments() for a in _argument(value, symbols)]
    y = call.buffers["y"]
    start = f"    {call.kernel()}("
    text, line = "", start
    for i, argument in enumerate(arguments):
        piece = argument + (", " if i + 1 < len(arguments) else ");")
        if len(line) + len(piece.rstrip()) > 100:
            text += line.rstrip() + "\n"
            line = " " * len(start)
        line += piece
    return f"{text}{line}\n    BNN_TRACE({index}, {symbols.of(y)}, {y.bytes(word_bits)});"


def _argument(value: object, symbols: Symbols) -> list[str]:
    """The C arguments for one field of a call: two for a typed one."""
    match value:
        case Typed(data):
            if data.ctype not in TYPES:
                raise EmitError(f"{data.name}: a kernel cannot read integers of type {data.ctype}")
            return [*_argument(data, symbols), TYPES[data.ctype]]
        case None:
            return ["NULL"]
        case Table() if not len(value.values):
            return ["NULL"]
        case Table() | Buffer():
            return [symbols.of(value)]
        case int():
            return [literal(value)]
    raise EmitError(f"a kernel call has an argument that C does not know: {value!r}")


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
