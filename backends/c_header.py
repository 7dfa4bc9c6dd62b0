"""The header of an emitted program: what it is, what its inputs and outputs mean, and how to call it."""

from __future__ import annotations

from bnncompiler.backends.base import About
from bnncompiler.backends.c_symbols import Symbols, is_index
from bnncompiler.backends.c_text import WIDTH, comment, ratio, thousands
from bnncompiler.calls import LoadBits
from bnncompiler.errors import EmitError
from bnncompiler.ir import Array, Domain
from bnncompiler.program import Port, Program
from bnncompiler.row_calls import row_sizes, streamed


def prototype(program: Program, symbols: Symbols, verb: str = "run") -> str:
    """The declarator of an exported function; empty for ``classify`` where there are no classes to choose from."""
    if verb == "classify" and not _classifies(program):
        return ""
    declared = [
        f"{'const ' if p in program.inputs else ''}{p.buffer.ctype} *{symbols.ports[p.buffer.name]}"
        for p in parameters(program, verb)
    ]
    result = "int" if verb in ("classify", "selftest") else "void"
    return _wrapped(f"{result} {symbols.model}_{verb}(", [*declared, "void *arena"])


def parameters(program: Program, verb: str) -> tuple[Port, ...]:
    """The ports that an exported function has as parameters."""
    inputs = program.inputs if verb in ("run", "classify", "feed") else ()
    return (*inputs, *(program.outputs if verb in ("run", "finish") else ()))


def _wrapped(start: str, parameters: list[str]) -> str:
    line = f"{start}{', '.join(parameters)})"
    if len(line) < WIDTH:
        return line
    return start + (",\n" + " " * len(start)).join(parameters) + ")"


def _classifies(program: Program) -> bool:
    """Whether the only output is one vector of logits or an index."""
    if len(program.outputs) != 1:
        return False
    (port,) = program.outputs
    if is_index(program, port):
        return port.buffer.count == 1
    domain = port.type.domain
    return 1 < port.buffer.count == port.type.channels and domain is not None and bool((domain.scale > 0).all())


def header(program: Program, about: About, symbols: Symbols, selftest_stack: int) -> str:
    """The text of ``<model>.h``; ``selftest_stack`` is how many bytes of inputs and outputs the self-test holds."""
    guard = f"{symbols.model}_H".upper()
    parts = [
        _head(program, about, symbols),
        f"#ifndef {guard}\n#define {guard}\n",
        "#include <stdint.h>\n",
        '#ifdef __cplusplus\nextern "C" {\n#endif\n',
        *(_input(program, p, symbols) for p in program.inputs),
        *(_output(program, p, symbols) for p in program.outputs),
        _arena(program, symbols),
        _functions(program, symbols, selftest_stack),
        "#ifdef __cplusplus\n}\n#endif\n",
        "#endif\n",
    ]
    return "\n".join(parts)


def _head(program: Program, about: About, symbols: Symbols) -> str:
    inputs = sum(p.buffer.bytes(program.word_bits) for p in program.inputs)
    outputs = sum(p.buffer.bytes(program.word_bits) for p in program.outputs)
    exact = (
        "equal to the reference for every input"
        if about.exact
        else (f"outputs within {about.error_bound:.3g} of the reference")
    )
    lines = [
        f"{symbols.model}: a neural network in bit operations and integers, compiled from ONNX by bnncompiler "
        f"{about.version}. To change it, change the model and compile again.",
        "",
        f"  model    {about.model}",
        f"  sha256   {about.sha256}",
        f"  options  {about.options or 'none'}",
        f"  target   {about.backend} {about.target.name}: {program.word_bits}-bit words",
        f"  flash    {thousands(program.flash_bytes)} bytes of constant tables, besides the code",
        f"  RAM      {thousands(program.arena_size)} bytes of arena, {thousands(inputs)} of inputs, "
        f"{thousands(outputs)} of outputs",
        f"  result   {exact}",
    ]
    if about.notes:
        lines += ["", *(f"  - {note}" for note in about.notes)]
    return comment(lines)


def _input(program: Program, port: Port, symbols: Symbols) -> str:
    macro = symbols.macro(port, program.inputs, "input")
    name = symbols.ports[port.buffer.name]
    shape = "x".join(map(str, port.type.shape)) or "1"
    if any(isinstance(c, LoadBits) and c.x.name == port.buffer.name for c in program.calls):
        meaning = (
            f"packed bits: element i is bit i % 8 of byte i / 8, {port.type.size} elements ({shape}, channels last); "
            f"{_levels(_domain(port))}"
        )
    else:
        meaning = f"{shape} elements, channels last; {_affine(_domain(port))}"
    source = f" ({port.source})" if port.source else ""
    text = comment([f"{name}: ONNX input `{port.name}`, {meaning}{source}."])
    return f"{text}#define {macro}_SIZE {port.buffer.count} /* {port.buffer.ctype} elements */\n"


def _output(program: Program, port: Port, symbols: Symbols) -> str:
    macro = symbols.macro(port, program.outputs, "output")
    name = symbols.ports[port.buffer.name]
    size = f"#define {macro}_SIZE {port.buffer.count} /* {port.buffer.ctype} elements */\n"
    if is_index(program, port):
        each = " of each pixel" if port.buffer.count > 1 else ""
        what = f"{name}: ONNX output `{port.name}`, the index of the largest value{each}, the first of equals."
        return comment([what]) + size
    domain = _domain(port)
    if not domain.is_uniform:
        raise EmitError(f"{port.name}: the elements of an output must share one scale and one offset")
    scale, offset = float(domain.scale[0]), float(domain.offset[0])
    real = f"real = {macro}_SCALE_NUM / {macro}_SCALE_DEN * {name}[i]"
    real += f" + {macro}_OFFSET_NUM / {macro}_OFFSET_DEN" if offset else ""
    error = float(domain.error.max())
    bound = f", within {error:.3g} of the reference" if error else ""
    text = comment([f"{name}: ONNX output `{port.name}`, {real}{bound}."])
    return text + size + _fraction(f"{macro}_SCALE", scale) + (_fraction(f"{macro}_OFFSET", offset) if offset else "")


def _fraction(macro: str, value: float) -> str:
    """Two macros whose quotient is ``value``, or the nearest with 31-bit numbers."""
    near = ratio(value)
    note = f"{'' if near == value else 'nearest to '}{value!r}"
    return f"#define {macro}_NUM {near.numerator} /* {note} */\n#define {macro}_DEN {near.denominator}\n"


def _domain(port: Port) -> Domain:
    if port.type.domain is None:
        raise EmitError(f"{port.name}: an input or output of a program must have an integer domain")
    return port.type.domain


def _affine(domain: Domain) -> str:
    lo, hi = domain.bounds
    offset = f" + {_rows(domain.offset)}" if domain.offset.any() else ""
    step = f" in steps of {domain.step}" if domain.step > 1 else ""
    return f"real = {_rows(domain.scale)} * q{offset} for q from {lo} to {hi}{step}"


def _levels(domain: Domain) -> str:
    low, high = (domain.scale * q + domain.offset for q in (domain.lo, domain.hi))
    return f"0 means {_rows(low)} and 1 means {_rows(high)}"


def _rows(values: Array) -> str:
    """A value for all rows, or one for each of a few channels, or their range."""
    if len(values) == 1:
        return repr(float(values[0]))
    if len(values) <= 4:
        return f"[{', '.join(repr(float(v)) for v in values)}] by channel"
    return f"[{float(values.min())!r} to {float(values.max())!r}, by element]"


def _arena(program: Program, symbols: Symbols) -> str:
    macro = f"{symbols.model}_ARENA".upper()
    text = comment(
        [
            "Working memory that the caller provides: bytes, and what its address must be a multiple of. It holds "
            "nothing between calls. (1 where none is needed, so that an array can have this size.)"
        ]
    )
    return text + f"#define {macro}_SIZE {max(program.arena_size, 1)}\n#define {macro}_ALIGN {program.align}\n"


def _by_row(program: Program, symbols: Symbols) -> str:
    """The functions for an input that comes row by row, where there are any."""
    loop = streamed(program)
    if loop is None:
        return ""
    rows, size = row_sizes(loop)
    macro, name = symbols.macro(program.inputs[0], program.inputs, "input"), symbols.model
    about = comment(
        [
            f"The same with the input row by row, so that it need not be in memory as a whole: {name}_start, then "
            f"{name}_feed for each of the {rows} rows from the top, then {name}_finish. A row is {size} elements, and "
            "may be overwritten when the call returns; the arena must be left alone until the end."
        ]
    )
    sizes = f"#define {macro}_ROWS {rows}\n#define {macro}_ROW_SIZE {size} /* {loop.sources[0].ctype} elements */\n"
    return "\n" + about + sizes + "".join(f"{prototype(program, symbols, v)};\n" for v in ("start", "feed", "finish"))


def _functions(program: Program, symbols: Symbols, selftest_stack: int) -> str:
    text = comment(
        [
            "Computes the network. All memory is the caller's; nothing overlaps; any number of calls can run at once, "
            "each with its own arena."
        ]
    )
    text += f"{prototype(program, symbols)};\n"
    text += _by_row(program, symbols)
    if classify := prototype(program, symbols, "classify"):
        size = program.outputs[0].buffer.bytes(program.word_bits)
        text += (
            "\n"
            + comment(
                [
                    f"Computes the network and returns the index of the largest logit, the first of equals. Takes "
                    f"{thousands(size)} bytes of stack for the outputs."
                ]
            )
            + f"{classify};\n"
        )
    guard = f"{symbols.model}_NO_SELFTEST".upper()
    text += "\n" + comment(
        [
            f"Runs embedded test vectors. Returns 0 when all outputs are as computed by the compiler, else the "
            f"number of the first vector that differs, from 1. Takes {thousands(selftest_stack)} bytes of stack for "
            f"inputs and outputs. Define {guard} to leave it out."
        ]
    )
    return text + f"#ifndef {guard}\n{prototype(program, symbols, 'selftest')};\n#endif\n"
