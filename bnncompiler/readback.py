"""Reading the emitted C back: what is in the files must be what was planned, in the C that was promised.

Nothing here trusts the writer. The files are preprocessed and parsed; the subset of C is checked
(`bnncompiler.c_subset`); every kernel and every call of one must fit the prototype in ``bnn_kernels.h``, down to which
pointer is to a table and which type constant goes with which pointer; the tables must weigh what the plan says, and the
arena, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib.resources import files as package_files

from pycparser import c_ast, c_parser

from bnncompiler import c_subset
from bnncompiler.c_subset import parameters, walk
from bnncompiler.errors import EmitError
from bnncompiler.map_calls import Index, PixelLoop
from bnncompiler.preprocess import Preprocessed, preprocess
from bnncompiler.program import Call, Program
from bnncompiler.row_calls import RowLoop, row_sizes

INTERFACE = "bnn_kernels.h"

# Marks pointers to tables for the parser, which knows no address spaces; emitted files have no other use of the word.
_ROM = "volatile"
_FIXED = {"BNN_ROM": _ROM, "BNN_TABLE": "", "NULL": "0", "UINT32_C": "", "INT32_MAX": "2147483647", "offsetof": "0"}
_SIZES = {
    "uint8_t": 1,
    "int8_t": 1,
    "uint16_t": 2,
    "int16_t": 2,
    "uint32_t": 4,
    "int32_t": 4,
    "uint64_t": 8,
    "int64_t": 8,
}
_TYPE_CONSTANTS = {
    "uint8_t": "BNN_U8",
    "int8_t": "BNN_S8",
    "uint16_t": "BNN_U16",
    "int16_t": "BNN_S16",
    "int32_t": "BNN_S32",
    "int64_t": "BNN_S64",
}
_PREAMBLE = "".join(f"typedef long {t};\n" for t in (*_SIZES, "size_t"))
_KERNEL_TYPES = "".join(f"typedef long {t};\n" for t in ("bnn_word", "bnn_size", "bnn_type"))


def check(files: Mapping[str, str], program: Program) -> None:
    """Check emitted files against the program that they were printed from.

    Raises:
        EmitError: the files are not C of the agreed subset, or not this program.
    """
    stem = _stem(files)
    result = preprocess(f"{stem}.c", files, {}, _FIXED)
    functions = _parse(f"{stem}.c", _PREAMBLE + result.text)
    defined = c_subset.check(functions, stem)
    _macros(files[f"{stem}.h"], result, stem, program)
    _flash(files, functions, result, stem, program)
    prototypes = _prototypes()
    for name, function in defined.definitions.items():
        if name in prototypes and _signature(function.decl.type) != _signature(prototypes[name]):
            raise EmitError(f"the kernel {name} is not defined as {INTERFACE} declares it")
    tables = _objects(functions)
    for name, function in defined.definitions.items():
        _Calls(name, function, tables, prototypes, defined).check()
    _order(defined, stem, prototypes, program)


def _stem(files: Mapping[str, str]) -> str:
    """What the two files are called."""
    stems = sorted({f.rpartition(".")[0] for f in files})
    if len(stems) != 1 or sorted(files) != [f"{stems[0]}.c", f"{stems[0]}.h"]:
        raise EmitError(f"a program is one .c and one .h file, not {', '.join(sorted(files))}")
    return stems[0]


def _parse(name: str, text: str) -> c_ast.FileAST:
    try:
        return c_parser.CParser().parse(text, name)
    except Exception as error:  # pycparser's error class has moved between its versions
        raise EmitError(f"{name} does not parse: {error}") from error


def _prototypes() -> dict[str, c_ast.FuncDecl]:
    """The kernels' prototypes by name."""
    text = (package_files("bnncompiler.backends") / "kernels" / INTERFACE).read_text(encoding="utf-8")
    text = text.replace('#include "bnn_types.h"', "")
    result = preprocess(INTERFACE, {INTERFACE: text}, {}, _FIXED)
    unit = _parse(INTERFACE, _PREAMBLE + _KERNEL_TYPES + result.text)
    return {d.name: d.type for d in unit.ext if isinstance(d, c_ast.Decl)}


def _macros(header: str, result: Preprocessed, stem: str, program: Program) -> None:
    """What the header says in macros: its own names only, and the planned sizes."""
    prefix = f"{stem}_".upper()
    for line in header.split("\n"):
        if line.startswith("#define ") and not line.split()[1].startswith(prefix):
            raise EmitError(f"{stem}.h defines {line.split()[1]}, which does not begin with {prefix}")
    wanted = {
        "BNN_WORD_BITS": program.word_bits,
        f"{prefix}ARENA_SIZE": max(1, program.arena_size),
        f"{prefix}ARENA_ALIGN": program.align,
    }
    for macro, value in wanted.items():
        if result.macros.get(macro, "").strip() != str(value):
            raise EmitError(f"{macro} is {result.macros.get(macro, 'not defined')}, but the plan says {value}")


def _flash(files: Mapping[str, str], unit: c_ast.FileAST, result: Preprocessed, stem: str, program: Program) -> None:
    """The tables, without those of the self-test and the kernels' own, take as many bytes as planned."""
    bare = preprocess(f"{stem}.c", files, {f"{stem}_NO_SELFTEST".upper(): ""}, _FIXED).text
    aliases = {t.name: _named(t.type) for t in unit.ext if isinstance(t, c_ast.Typedef)}
    total = 0
    for name, kind in _objects(unit).items():
        if f" {name}[" not in bare or f" BNN_TABLE {name}[" not in files[f"{stem}.c"]:
            continue
        element = _named(kind)
        while element not in _SIZES and element in aliases:
            element = aliases[element]
        if name not in result.cells or element not in _SIZES:
            raise EmitError(f"{name} is no table of integers that can be counted")
        total += result.cells[name] * _SIZES[element]
    if total != program.flash_bytes:
        raise EmitError(f"the tables take {total} bytes, but the plan says {program.flash_bytes}")


def _objects(unit: c_ast.FileAST) -> dict[str, c_ast.Node]:
    """The tables: arrays at file scope, by name."""
    return {d.name: d.type for d in unit.ext if isinstance(d, c_ast.Decl) and isinstance(d.type, c_ast.ArrayDecl)}


def _named(kind: c_ast.Node) -> str:
    """The name of the type at the bottom of arrays and pointers."""
    while not isinstance(kind, c_ast.IdentifierType):
        kind = getattr(kind, "type", c_ast.IdentifierType(["?"]))
    return " ".join(kind.names)


def _signature(function: c_ast.FuncDecl) -> list[tuple[str, ...]]:
    """Type of the result and types of the parameters, with all qualifiers."""
    return [_spelling(function.type), *(_spelling(p.type) for p in parameters(function))]


def _spelling(kind: c_ast.Node) -> tuple[str, ...]:
    spelled: list[str] = []
    while isinstance(kind, c_ast.PtrDecl | c_ast.TypeDecl | c_ast.ArrayDecl):
        spelled += ["*"] if not isinstance(kind, c_ast.TypeDecl) else sorted(kind.quals)
        kind = kind.type
    return (*spelled, _named(kind))


class _Calls:
    """Checks the calls in one function: number and kinds of arguments."""

    def __init__(
        self,
        where: str,
        function: c_ast.FuncDef,
        tables: Mapping[str, c_ast.Node],
        prototypes: Mapping[str, c_ast.FuncDecl],
        defined: c_subset.Functions,
    ) -> None:
        self.where = where
        self.function = function
        self.tables = tables
        self.prototypes = prototypes
        self.defined = defined
        self.names: dict[str, c_ast.Node] = {p.name: p.type for p in parameters(function.decl.type)}

    def check(self) -> None:
        for node in walk(self.function.body):
            if isinstance(node, c_ast.Decl):
                self.names[node.name] = node.type
            elif isinstance(node, c_ast.FuncCall) and node.name.name not in c_subset.LIBRARY:
                self._call(node)

    def _call(self, call: c_ast.FuncCall) -> None:
        name = call.name.name
        arguments = call.args.exprs if call.args else []
        wanted = parameters(self.defined.definitions[name].decl.type)
        if len(arguments) != len(wanted):
            raise EmitError(
                f"{self.where} calls {name} with {len(arguments)} arguments; it has {len(wanted)} parameters"
            )
        if name not in self.prototypes:
            return
        for i, (argument, parameter) in enumerate(zip(arguments, wanted, strict=True)):
            problem = self._misfit(argument, parameter)
            if not problem and _named(parameter.type) == "bnn_type":
                problem = self._wrong_type(arguments[i - 1], argument)
            if problem:
                raise EmitError(f"{self.where} calls {name} with {problem} for {parameter.name}")

    def _misfit(self, argument: c_ast.Node, parameter: c_ast.Decl) -> str:
        """Why the argument does not fit the parameter; empty where it does."""
        is_pointer = isinstance(parameter.type, c_ast.PtrDecl)
        name = _base(argument)
        if not name:
            null = isinstance(argument, c_ast.Constant) and argument.value == "0"
            return "a number" if is_pointer and not null else ""
        kind = self.tables.get(name) or self.names.get(name)
        if not is_pointer:
            return f"the pointer {name}" if isinstance(kind, c_ast.PtrDecl | c_ast.ArrayDecl) else ""
        if not isinstance(kind, c_ast.PtrDecl | c_ast.ArrayDecl):
            return f"{name}, which is no pointer,"
        given, wanted = kind.type.quals, parameter.type.type.quals
        is_table = name in self.tables or _ROM in given
        if is_table != (_ROM in wanted):
            return f"{name}, which is {'a' if is_table else 'no'} table,"
        if "const" in given and "const" not in wanted:
            return f"{name}, which is constant,"
        if _named(parameter.type) not in ("void", _named(kind)):
            return f"{name}, which has elements of type {_named(kind)},"
        return ""

    def _wrong_type(self, pointer: c_ast.Node, constant: c_ast.Node) -> str:
        """Why the type constant does not go with the pointer before it."""
        name = _base(pointer)
        if not name:
            return ""
        kind = self.tables.get(name) or self.names[name]
        right = _TYPE_CONSTANTS.get(_named(kind), "")
        given = constant.name if isinstance(constant, c_ast.ID) else "a number"
        return "" if given == right else f"{given}, but {name} has elements of type {_named(kind)},"


def _base(argument: c_ast.Node) -> str:
    """The variable that an argument is: itself, or the pointer to whose element ``variable * number`` it points."""
    match argument:
        case c_ast.ID(name=name):
            return str(name)
        case c_ast.BinaryOp(
            op="+", left=c_ast.ID(name=name), right=c_ast.BinaryOp(op="*", left=c_ast.ID(), right=c_ast.Constant())
        ):
            return str(name)
    return ""


def _order(defined: c_subset.Functions, stem: str, prototypes: Mapping[str, c_ast.FuncDecl], program: Program) -> None:
    """The run function calls the program's kernels in the program's order, in the program's loops."""
    exported = {name: f for name, f in defined.definitions.items() if name.startswith(f"{stem}_")}
    called = _steps(exported[f"{stem}_run"].body, prototypes, exported)
    planned = [step for c in program.calls for step in _planned(c)]
    if called != planned:
        raise EmitError(f"{stem}_run calls {', '.join(called)}, but the plan says {', '.join(planned)}")


def _steps(
    node: c_ast.Node, prototypes: Mapping[str, c_ast.FuncDecl], exported: Mapping[str, c_ast.FuncDef]
) -> list[str]:
    """The kernel calls below ``node``, those in a loop between its head and ``end``; of ``exported`` functions, too."""

    def below(inner: c_ast.Node) -> list[str]:
        return _steps(inner, prototypes, exported)

    match node:
        case c_ast.FuncCall(name=c_ast.ID(name=name)):
            if name in prototypes:
                return [name]
            return below(exported[name].body) if name in exported else []
        case c_ast.For(
            init=c_ast.DeclList(decls=[c_ast.Decl(name=name, init=c_ast.Constant(value="0"))]),
            cond=c_ast.BinaryOp(op="<", left=c_ast.ID(name=counted), right=c_ast.Constant(value=bound)),
            next=c_ast.UnaryOp(op="++" | "p++"),
        ) if name == counted:
            return [f"for {name} < {bound}", *below(node.stmt), "end"]
        case c_ast.For():
            return ["for ...", *below(node.stmt), "end"]
        case c_ast.Case(expr=c_ast.Constant(value=value)):
            return [f"case {value}", *(step for s in node.stmts for step in below(s))]
        case c_ast.Default():
            return ["default", *(step for s in node.stmts for step in below(s))]
    return [step for _, child in node.children() for step in below(child)]


def _planned(call: Call) -> list[str]:
    """What `_steps` finds for ``call``."""
    match call:
        case PixelLoop():
            return [f"for {Index.ROW.value} < {call.rows}", *_planned_row(call), "end"]
        case RowLoop():
            stages = [f"case {i}" for i in range(len(call.stages) - 1)] + ["default"]
            steps = [
                step
                for label, stage in zip(stages, call.stages, strict=True)
                for step in (label, *([stage.slide.kernel()] if stage.slide else []), *_planned_row(stage.loop))
            ]
            start = [f"for i < {call.done.count}", "end"]
            if not call.streamed:
                return [*start, f"for step < {len(call.order.values)}", *steps, "end"]
            rows, _ = row_sizes(call)
            return [*start, f"for row < {rows}", f"for i < {call.longest_feed}", *steps, "end", "end"]
    return [call.kernel()]


def _planned_row(loop: PixelLoop) -> list[str]:
    """A row of a loop over pixels."""
    body, tail = ([c.kernel() for c in calls] for calls in (loop.body, loop.tail))
    if loop.columns == 1 and not any(v is Index.COLUMN for c in loop.inner for _, v in c.arguments()):
        return [*body, *tail]
    if loop.groups > 1:
        body = [f"for {Index.GROUP.value} < {loop.groups}", *body, "end"]
    return [f"for {Index.COLUMN.value} < {loop.columns}", *body, *tail, "end"]
