"""Kernel calls as C statements, a layer at a time under a comment that says what it computes."""

from __future__ import annotations

from collections.abc import Mapping

from bnncompiler.backends.c_symbols import Symbols
from bnncompiler.backends.c_text import WIDTH, comment, literal, thousands
from bnncompiler.errors import EmitError
from bnncompiler.map_calls import Index, PixelLoop
from bnncompiler.program import Buffer, Call, Sliced, Table, Typed, data_of

TYPES = {"uint8_t": "BNN_U8", "int8_t": "BNN_S8", "uint16_t": "BNN_U16", "int16_t": "BNN_S16", "int32_t": "BNN_S32"}
_INDENT = "    "


def layer(calls: list[tuple[int, Call]], about: str, word_bits: int, symbols: Symbols) -> str:
    """The numbered calls of one layer under a comment: where it came from, its shape and its arithmetic."""
    first, last = calls[0][1], calls[-1][1]
    origin = ", ".join(dict.fromkeys(o for _, c in calls for o in c.origin))
    macs = sum(c.macs for _, c in calls)
    text = [f"{first.layer}: {_size(first, 'x')} -> {_size(last, 'y')}" + (f", {thousands(macs)} MACs" if macs else "")]
    text += [f"  {about}"] if about else []
    text += [f"  from {origin}"] if origin else []
    text += [f"  {line}" for _, c in calls for line in _meanings(c)]
    return comment(text, _INDENT) + "\n".join(_traced(i, c, word_bits, symbols) for i, c in calls)


# --- comments


def _size(call: Call, argument: str) -> str:
    """How many elements a call reads (``x``) or writes (``y``), and of what kind; the shape where it is a map."""
    first, last = (call.inner[0], call.inner[-1]) if isinstance(call, PixelLoop) else (call, call)
    buffer = call.buffers[argument]
    numbers = {k: v for k, v in (first if argument == "x" else last).arguments() if isinstance(v, int)}
    if argument == "y" and isinstance(call, PixelLoop):
        numbers |= {"rows": call.rows, "columns": call.columns, "channels": numbers["n"]}
    kind = f"{numbers.get('planes', 1)} bit" if buffer.ctype == "bnn_word" else buffer.ctype.removesuffix("_t")
    return f"{_shape(argument, buffer, numbers)} x {kind}"


def _shape(argument: str, buffer: Buffer, numbers: Mapping[str, int]) -> str:
    """The shape of what a call with these numbers reads or writes, as far as they say."""
    match argument, numbers:
        case ("x", {"height": height, "width": width, "channels": channels}) | (
            "y",
            {"rows": height, "columns": width, "channels": channels},
        ):
            return f"{height}x{width}x{channels}"
        case "y", {"pixels": pixels, "x_channels": first, "z_channels": second}:
            return f"{pixels}x{first + second}"
        case "x", {"pixels": pixels, "x_channels": channels}:
            return f"{pixels}x{channels}"
        case ("x", {"x_n": count}) | ("y", {"outs": count}) if buffer.ctype == "bnn_word":
            return str(count)
    return str(numbers.get("n", buffer.count) if argument == "x" or buffer.ctype == "bnn_word" else buffer.count)


def _meanings(call: Call) -> list[str]:
    """What a call does, in the words of its documentation; for a loop, what its calls do."""
    if not isinstance(call, PixelLoop):
        return [call.meaning]
    groups = f" and each of {call.groups} groups of channels" if call.groups > 1 else ""
    lines = [f"For each of {call.rows}x{call.columns} pixels{groups}:", *(f"  {c.meaning}" for c in call.body)]
    lines += ["Then for the pixel:"] if groups and call.tail else []
    return [*lines, *(f"  {c.meaning}" for c in call.tail)]


# --- statements


def _traced(index: int, call: Call, word_bits: int, symbols: Symbols) -> str:
    y = call.buffers["y"]
    lines = _loop(call, symbols) if isinstance(call, PixelLoop) else _call(call, _INDENT, symbols)
    return "\n".join([*lines, f"{_INDENT}BNN_TRACE({index}, {symbols.of(y)}, {y.bytes(word_bits)});"])


def _loop(loop: PixelLoop, symbols: Symbols) -> list[str]:
    """Loops over rows and columns, and over the groups of channels where there are any."""
    bounds = [(Index.ROW, loop.rows), (Index.COLUMN, loop.columns)]
    tail = [line for c in loop.tail for line in _call(c, _INDENT * 3, symbols, grouped=False)]
    if loop.groups == 1:
        body = [line for c in loop.body for line in _call(c, _INDENT * 3, symbols, grouped=False)]
    else:
        body = [line for c in loop.body for line in _call(c, _INDENT * 4, symbols)]
        body = [_for(Index.GROUP, loop.groups, 3), *body, f"{_INDENT * 3}}}"]
    opened = [_for(index, bound, depth) for depth, (index, bound) in enumerate(bounds, 1)]
    return [*opened, *body, *tail, f"{_INDENT * 2}}}", f"{_INDENT}}}"]


def _for(index: Index, bound: int, depth: int) -> str:
    name = index.value
    return f"{_INDENT * depth}for (bnn_size {name} = 0; {name} < {bound}; ++{name}) {{"


def _call(call: Call, indent: str, symbols: Symbols, grouped: bool = True) -> list[str]:
    """The lines of a call; where it is not ``grouped``, its group is the only one."""
    arguments = [a for _, value in call.arguments() for a in _argument(value, symbols, grouped)]
    line = start = f"{indent}{call.kernel()}("
    lines = []
    for i, argument in enumerate(arguments):
        piece = argument + (", " if i + 1 < len(arguments) else ");")
        if len(line) + len(piece.rstrip()) > WIDTH:
            lines.append(line.rstrip())
            line = " " * len(start)
        line += piece
    return [*lines, line]


def _argument(value: object, symbols: Symbols, grouped: bool) -> list[str]:
    """The C arguments for one field of a call: two for a typed one."""
    match value:
        case Typed(data):
            whole = data_of(data)
            if whole is None or whole.ctype not in TYPES:
                raise EmitError(f"a kernel call has an argument that is no buffer or table of integers: {data}")
            return [*_argument(data, symbols, grouped), TYPES[whole.ctype]]
        case Sliced(data, stride):
            (name,) = _argument(data, symbols, grouped)
            return [f"{name} + {Index.GROUP.value} * {literal(stride)}" if grouped else name]
        case Index.GROUP if not grouped:
            return ["0"]
        case Index(value=name):
            return [name]
        case None:
            return ["NULL"]
        case Table() if not len(value.values):
            return ["NULL"]
        case Table() | Buffer():
            return [symbols.of(value)]
        case int():
            return [literal(value)]
    raise EmitError(f"a kernel call has an argument that C does not know: {value!r}")
