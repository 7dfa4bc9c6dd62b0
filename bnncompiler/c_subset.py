"""The part of C that emitted files keep to, checked on the parsed text.

No floating point, no heap or any other library call but the copying of memory, no recursion, no ``goto``, no function
pointers, no variable-length arrays, no writable object that outlives a call, nothing external without the model's name,
and loops that visibly end: ``for`` loops that count towards a bound made of constants, parameters and constant locals.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from pycparser import c_ast

from bnncompiler.errors import EmitError

LIBRARY = frozenset({"memcpy", "memmove", "memset"})
_FLOATING = frozenset({"float", "double", "_Complex"})
_COMPARISONS = frozenset({"<", "<=", ">", ">="})


def walk(node: c_ast.Node) -> Iterator[c_ast.Node]:
    """``node`` and everything below it, in the order of the text."""
    stack = [node]
    while stack:
        here = stack.pop()
        yield here
        stack.extend(child for _, child in reversed(here.children()))


@dataclass(frozen=True)
class Functions:
    """What a file defines: its functions by name, and which of them each one calls."""

    definitions: dict[str, c_ast.FuncDef] = field(default_factory=dict)
    calls: dict[str, list[str]] = field(default_factory=dict)


def check(unit: c_ast.FileAST, stem: str) -> Functions:
    """Check a parsed file whose external names must begin with ``stem``; raises ``EmitError`` on a violation."""
    found = Functions()
    enumerators = {e.name for n in unit.ext for e in walk(n) if isinstance(e, c_ast.Enumerator)}
    for item in unit.ext:
        match item:
            case c_ast.FuncDef():
                _external(item.decl, stem)
                found.definitions[item.decl.name] = item
                found.calls[item.decl.name] = _function(item, enumerators)
            case c_ast.Decl():
                _external(item, stem)
                _constant_object(item)
                _nodes(item, "file scope", enumerators)
            case c_ast.Typedef() | c_ast.Pragma():
                _nodes(item, "file scope", enumerators)
            case _:
                raise EmitError(f"{type(item).__name__} at file scope, at {item.coord}")
    _calls(found)
    return found


def parameters(function: c_ast.FuncDecl) -> list[c_ast.Decl]:
    """The parameters of a function; none for ``(void)``."""
    declared = function.args.params if function.args else []
    return [p for p in declared if isinstance(p, c_ast.Decl)]


def _external(declaration: c_ast.Decl, stem: str) -> None:
    if "static" not in declaration.storage and declaration.name and not declaration.name.startswith(f"{stem}_"):
        raise EmitError(f"{declaration.name} is external and does not begin with {stem}_")


def _constant_object(declaration: c_ast.Decl) -> None:
    """An object that outlives a call must be constant."""
    kind = declaration.type
    while isinstance(kind, c_ast.ArrayDecl):
        kind = kind.type
    if isinstance(kind, c_ast.TypeDecl | c_ast.PtrDecl) and "const" not in kind.quals and declaration.name:
        raise EmitError(f"{declaration.name} is a writable object that outlives a call")


def _calls(found: Functions) -> None:
    """Every call reaches a function of this file or of the library, and none reaches itself again."""
    done: set[str] = set()
    for start in found.calls:
        path: list[str] = []
        stack: list[tuple[str, bool]] = [(start, False)]
        while stack:
            name, leaving = stack.pop()
            if leaving:
                done.add(path.pop())
            elif name in path:
                raise EmitError(f"recursion: {' -> '.join([*path[path.index(name) :], name])}")
            elif name not in done and name not in LIBRARY:
                if name not in found.calls:
                    raise EmitError(f"{path[-1]} calls {name}, which the file does not define")
                path.append(name)
                stack.append((name, True))
                stack.extend((callee, False) for callee in dict.fromkeys(found.calls[name]))


def _function(function: c_ast.FuncDef, enumerators: set[str]) -> list[str]:
    """Check one function; returns whom it calls."""
    where = function.decl.name
    calls = _nodes(function, where, enumerators)
    changed = _changed(function.body)
    given = parameters(function.decl.type)
    counts = {p.name for p in given if isinstance(p.type, c_ast.TypeDecl)} - changed
    counts |= {f"{p.name}->" for p in given if p.name not in changed and _is_constant_pointer(p.type)}
    _loops(function.body, enumerators | counts, where)
    return calls


def _is_constant_pointer(kind: c_ast.Node) -> bool:
    """Whether it is a pointer to what the function cannot change: dimensions in a structure, for instance."""
    return isinstance(kind, c_ast.PtrDecl) and isinstance(kind.type, c_ast.TypeDecl) and "const" in kind.type.quals


def _nodes(root: c_ast.Node, where: str, enumerators: set[str]) -> list[str]:
    """Check what needs no context; returns the names of the functions called."""
    calls: list[str] = []
    for node in walk(root):
        match node:
            case c_ast.IdentifierType(names=names) if not _FLOATING.isdisjoint(names):
                raise EmitError(f"{where}: a floating-point type")
            case c_ast.Constant(type=kind) if kind in ("float", "double", "long double"):
                raise EmitError(f"{where}: the floating-point constant {node.value}")
            case c_ast.PtrDecl(type=c_ast.FuncDecl()):
                raise EmitError(f"{where}: a pointer to a function")
            case c_ast.FuncCall(name=c_ast.ID(name=name)):
                calls.append(name)
            case c_ast.FuncCall():
                raise EmitError(f"{where}: a call through an expression")
            case c_ast.Goto() | c_ast.While() | c_ast.DoWhile():
                raise EmitError(f"{where}: {type(node).__name__.lower()}; only counting for loops are allowed")
            case c_ast.Decl():
                _object(node, where, enumerators)
            case _:
                pass
    return calls


def _object(declaration: c_ast.Decl, where: str, enumerators: set[str]) -> None:
    """Arrays have a constant size; what is ``static`` in a function outlives the call, too."""
    kind = declaration.type
    while isinstance(kind, c_ast.ArrayDecl):
        if kind.dim is None or not is_bounded(kind.dim, enumerators):
            raise EmitError(f"{where}: the array {declaration.name} has no constant size")
        kind = kind.type
    if "static" in declaration.storage and not isinstance(kind, c_ast.FuncDecl):
        _constant_object(declaration)


def _changed(body: c_ast.Node) -> set[str]:
    """The variables that are assigned to, or whose address is taken."""
    changed: set[str] = set()
    for node in walk(body):
        match node:
            case c_ast.Assignment(lvalue=c_ast.ID(name=name)):
                changed.add(name)
            case c_ast.UnaryOp(op="++" | "--" | "p++" | "p--" | "&", expr=c_ast.ID(name=name)):
                changed.add(name)
            case _:
                pass
    return changed


def is_bounded(expression: c_ast.Node, known: set[str]) -> bool:
    """Whether the value depends on nothing but constants and ``known`` names: no memory, nothing that changes."""
    match expression:
        case c_ast.Constant():
            return True
        case c_ast.ID(name=name):
            return name in known
        case c_ast.StructRef(name=c_ast.ID(name=name), type="->"):
            return f"{name}->" in known
        case c_ast.StructRef(name=c_ast.StructRef() as whole, type="."):
            return is_bounded(whole, known)
        case c_ast.UnaryOp(op="sizeof"):
            return True
        case c_ast.UnaryOp(op="-" | "+" | "~" | "!", expr=inner) | c_ast.Cast(expr=inner):
            return is_bounded(inner, known)
        case c_ast.BinaryOp() | c_ast.TernaryOp():
            return all(is_bounded(child, known) for _, child in expression.children())
        case c_ast.FuncCall(args=c_ast.ExprList(exprs=arguments)):
            return all(is_bounded(a, known) for a in arguments)
    return False


def _loops(node: c_ast.Node, known: set[str], where: str) -> None:
    """Check every loop below ``node``; ``known`` are the names whose values are fixed at this point."""
    match node:
        case c_ast.Compound():
            inside = set(known)
            for item in node.block_items or []:
                if isinstance(item, c_ast.Decl) and _is_fixed(item, inside):
                    inside.add(item.name)
                _loops(item, inside, where)
        case c_ast.For():
            index = _index(node, known, where)
            _loops(node.stmt, known | {index}, where)
        case _:
            for _, child in node.children():
                _loops(child, known, where)


def _is_fixed(declaration: c_ast.Decl, known: set[str]) -> bool:
    """Whether it declares a constant made of known values."""
    constant = isinstance(declaration.type, c_ast.TypeDecl) and "const" in declaration.quals
    return constant and declaration.init is not None and is_bounded(declaration.init, known)


def _index(loop: c_ast.For, known: set[str], where: str) -> str:
    """The index of a loop that counts it towards a bound, and whose body leaves it alone.

    A further condition (``index < bound && more``) can only end the loop sooner.
    """
    condition = loop.cond
    if isinstance(condition, c_ast.BinaryOp) and condition.op == "&&":
        condition = condition.left
    match condition:
        case c_ast.BinaryOp(op=op, left=c_ast.ID(name=index), right=bound) if op in _COMPARISONS:
            pass
        case _:
            raise EmitError(f"{where}: a loop whose condition is not `index < bound`")
    if not is_bounded(bound, known - {index}):
        raise EmitError(f"{where}: the bound of the loop over {index} is not made of constants and parameters")
    if not _counts(loop.next, index, known) or index in _changed(loop.stmt):
        raise EmitError(f"{where}: the loop over {index} does not count")
    return str(index)


def _counts(step: c_ast.Node, index: str, known: set[str]) -> bool:
    match step:
        case c_ast.UnaryOp(op="++" | "--" | "p++" | "p--", expr=c_ast.ID(name=name)):
            return bool(name == index)
        case c_ast.Assignment(op="+=" | "-=", lvalue=c_ast.ID(name=name), rvalue=by):
            return bool(name == index) and is_bounded(by, known)
    return False
