"""Kernel calls as C statements, a layer at a time under a comment that says what it computes."""

from __future__ import annotations

from collections.abc import Mapping

from bnncompiler.backends.c_symbols import Symbols
from bnncompiler.backends.c_text import WIDTH, comment, literal, thousands
from bnncompiler.convolution_calls import OfRow, written_shape
from bnncompiler.errors import EmitError
from bnncompiler.map_calls import Dropped, Index, PixelLoop
from bnncompiler.program import Buffer, Call, Sliced, Table, Typed, data_of

TYPES = {"uint8_t": "BNN_U8", "int8_t": "BNN_S8", "uint16_t": "BNN_U16", "int16_t": "BNN_S16", "int32_t": "BNN_S32",
         "int64_t": "BNN_S64"}  # fmt: skip
INDENT = "    "


def layer(calls: list[tuple[int, Call]], about: Mapping[str, str], word_bits: int, symbols: Symbols) -> str:
    """The numbered calls of one layer under a comment; ``about`` has the text on each layer, by name."""
    statements = [line for i, call in calls for line in _traced(i, call, word_bits, symbols)]
    return about_layer([c for _, c in calls], about, INDENT) + "\n".join(statements)


# --- comments


def about_layer(calls: list[Call], about: Mapping[str, str], indent: str) -> str:
    """A comment on what a layer's calls are: where it came from, its shape and its arithmetic."""
    first, last = calls[0], calls[-1]
    origin = ", ".join(dict.fromkeys(o for c in calls for o in c.origin))
    macs = sum(c.macs for c in calls)
    sizes = f"{_size(first, 'x')} -> {_size(last, 'y')}"
    text = [f"{first.layer}: {sizes}" + (f", {thousands(macs)} MACs" if macs else "")]
    text += [f"  {about[first.layer]}"] if about.get(first.layer) else []
    text += [f"  from {origin}"] if origin else []
    text += [f"  {line}" for c in calls for line in _meanings(c)]
    return comment(text, indent)


def _size(call: Call, argument: str) -> str:
    """How many elements a call reads (``x``) or writes (``y``), and of what kind; the shape where it is a map."""
    first, last = (call.inner[0], call.inner[-1]) if isinstance(call, PixelLoop) else (call, call)
    buffer = call.buffers[argument]
    numbers = {k: v for k, v in (first if argument == "x" else last).arguments() if isinstance(v, int)}
    if argument == "y" and isinstance(call, PixelLoop):
        numbers |= dict(zip(("rows", "columns", "channels"), written_shape(call), strict=True))
    kind = f"{numbers.get('planes', 1)} bit" if buffer.ctype == "bnn_word" else buffer.ctype.removesuffix("_t")
    return f"{_shape(argument, buffer, numbers)} x {kind}"


def _shape(argument: str, buffer: Buffer, numbers: Mapping[str, int]) -> str:
    """The shape of what a call with these numbers reads or writes, as far as they say."""
    match argument, numbers:
        case "y", {"rows": rows, "columns": columns, "outs": outs, "pool_h": pool_h, "pool_w": pool_w}:
            return f"{-(-rows // pool_h)}x{-(-columns // pool_w)}x{outs}"
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
    by_row = any(isinstance(c, OfRow) for c in call.inner)
    each = f"{call.rows} rows" if by_row else f"{call.rows}x{call.columns} pixels{groups}"
    lines = [f"For each of {each}:", *(f"  {c.meaning}" for c in call.body)]
    lines += ["Then for the pixel:"] if groups and call.tail else []
    return [*lines, *(f"  {c.meaning}" for c in call.tail)]


# --- statements


def _traced(index: int, call: Call, word_bits: int, symbols: Symbols) -> list[str]:
    if isinstance(call, PixelLoop):
        lines = [loop_head(Index.ROW.value, call.rows, 1), *over_columns(call, 2, symbols), f"{INDENT}}}"]
    else:
        lines = call_lines(call, INDENT, symbols)
    return [*lines, trace(index, call, word_bits, symbols)]


def trace(index: int, call: Call, word_bits: int, symbols: Symbols) -> str:
    """The statement that shows what call number ``index`` left in memory."""
    y = call.buffers["y"]
    return f"{INDENT}BNN_TRACE({index}, {symbols.of(y)}, {y.bytes(word_bits)});"


def over_columns(loop: PixelLoop, depth: int, symbols: Symbols) -> list[str]:
    """A loop over columns, and over the groups of channels where there are any."""
    inner = [value for c in loop.inner for _, value in c.arguments()]
    if loop.columns == 1 and Index.COLUMN not in inner:
        return [line for c in loop.inner for line in call_lines(c, INDENT * depth, symbols, grouped=False)]
    tail = [line for c in loop.tail for line in call_lines(c, INDENT * (depth + 1), symbols, grouped=False)]
    if loop.groups == 1:
        body = [line for c in loop.body for line in call_lines(c, INDENT * (depth + 1), symbols, grouped=False)]
    else:
        body = [line for c in loop.body for line in call_lines(c, INDENT * (depth + 2), symbols)]
        body = [loop_head(Index.GROUP.value, loop.groups, depth + 1), *body, f"{INDENT * (depth + 1)}}}"]
    return [loop_head(Index.COLUMN.value, loop.columns, depth), *body, *tail, f"{INDENT * depth}}}"]


def loop_head(name: str, bound: int, depth: int) -> str:
    """The head of a loop in which ``name`` counts up to ``bound``."""
    return f"{INDENT * depth}for (bnn_size {name} = 0; {name} < {bound}; ++{name}) {{"


def call_lines(call: Call, indent: str, symbols: Symbols, grouped: bool = True) -> list[str]:
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
        case Sliced(data, index=Index.ROW.value):
            return _argument(data, symbols, grouped)  # the caller hands over this row
        case Sliced(data, stride):
            (name,) = _argument(data, symbols, grouped)
            return [f"{name} + {Index.GROUP.value} * {literal(stride)}" if grouped else name]
        case Index.GROUP if not grouped:
            return ["0"]
        case Index(value=name):
            return [name]
        case Dropped(stage, before):
            return [f"{before} + dropped{stage}" if before else f"dropped{stage}"]
        case None:
            return ["NULL"]
        case Table() if not len(value.values):
            return ["NULL"]
        case Table() | Buffer():
            return [symbols.of(value)]
        case int():
            return [literal(value)]
    raise EmitError(f"a kernel call has an argument that C does not know: {value!r}")
