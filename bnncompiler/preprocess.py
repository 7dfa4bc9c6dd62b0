"""What a C preprocessor does, as far as emitted files need it to be read by a parser that has none.

Comments go, conditionals are decided, the files' own headers are included, and macros without parameters are replaced.
A macro with parameters may hide nothing: it has to expand to ``((void)0)``. Tables' contents are counted and taken out:
a parser in Python would need seconds for what a regular expression counts in milliseconds.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from bnncompiler.errors import EmitError

# One row of cells of one kind: hexadecimal words, or decimal numbers with signs, parentheses and blanks.
_TABLE = re.compile(r"\b(\w+)\[(\d+)\] = \{([\s,0-9a-fA-FxXuUlL()+-]*)\}")
_COMMENT = re.compile(r"/\*.*?\*/|//[^\n]*", re.DOTALL)
_NAME = re.compile(r"\b[A-Za-z_]\w*\b")
_EMPTY_CALL = "((void)0)"
_NESTING = 16


@dataclass
class Preprocessed:
    """The outcome: text for a parser, the macros that are left defined, and the counted cells of tables by name."""

    text: str = ""
    macros: dict[str, str] = field(default_factory=dict)
    hooks: set[str] = field(default_factory=set)
    cells: dict[str, int] = field(default_factory=dict)


def preprocess(
    name: str, files: Mapping[str, str], defined: Mapping[str, str], fixed: Mapping[str, str]
) -> Preprocessed:
    """Preprocess ``files[name]``.

    Args:
        name: the file to begin with.
        files: all files that it can include.
        defined: macros that are defined before the first line.
        fixed: macros whose definition in the files does not count, because this one does.

    Raises:
        EmitError: a directive that emitted files have no need of, or a macro that hides code.
    """
    result = Preprocessed(macros=dict(defined))
    lines: list[str] = []
    _read(name, files, fixed, result, lines, depth=0)
    result.text = "\n".join(lines)
    return result


def _read(
    name: str, files: Mapping[str, str], fixed: Mapping[str, str], result: Preprocessed, out: list[str], depth: int
) -> None:
    if depth > _NESTING:
        raise EmitError(f"{name}: headers include each other")
    text = _TABLE.sub(lambda m: _counted(m, result), files[name])
    text = _COMMENT.sub(" ", text).replace("\\\n", " ")
    live: list[bool | None] = []  # for each open #if: True in the branch taken, False before it, None after it
    for line in text.split("\n"):
        stripped = line.strip()
        if not stripped.startswith("#"):
            if stripped and all(live):
                out.append(_expand(line, result, fixed))
            continue
        word, _, rest = stripped[1:].strip().partition(" ")
        if word in ("if", "ifdef", "ifndef", "elif", "else", "endif"):
            _branch(word, rest.strip(), live, result, name)
        elif all(live):
            _directive(name, word, rest.strip(), files, fixed, result, out, depth)
    if live:
        raise EmitError(f"{name}: an #if without #endif")


def _counted(match: re.Match[str], result: Preprocessed) -> str:
    """Count a table's cells and leave one in their place; leave what is not a plain row of integers to the parser."""
    name, declared, body = match.groups()
    cells = body.count(",") + (not body.rstrip().endswith(","))
    words = body.count("0x")
    if words not in (0, cells) or (not words and re.search("[a-fA-FxX]", body)):
        return match.group(0)
    if cells != int(declared):
        raise EmitError(f"table {name} is declared with {declared} elements and has {cells}")
    result.cells[name] = cells
    return f"{name}[{declared}] = {{0}}"


def _branch(word: str, condition: str, live: list[bool | None], result: Preprocessed, name: str) -> None:
    if word in ("if", "ifdef", "ifndef"):
        if not all(live):
            live.append(None)
        elif word == "if":
            live.append(_holds(condition, result, name))
        else:
            live.append((condition in result.macros or condition in result.hooks) == (word == "ifdef"))
        return
    if not live:
        raise EmitError(f"{name}: #{word} without #if")
    now = live.pop()
    if word == "endif":
        return
    if now is False and all(live):
        live.append(True if word == "else" else _holds(condition, result, name))
    else:
        live.append(None)


def _holds(condition: str, result: Preprocessed, name: str) -> bool:
    """The value of an #if: integers, ``defined``, and operators that Python has, too."""
    condition = re.sub(r"defined\s*\(?\s*(\w+)\s*\)?", lambda m: "1" if m.group(1) in result.macros else "0", condition)
    condition = _NAME.sub(lambda m: result.macros.get(m.group(0), "0"), condition)
    if not re.fullmatch(r"[\d\s()+*<>=!&|-]+", condition):
        raise EmitError(f"{name}: the condition {condition!r} is not one of integers")
    python = re.sub(r"!(?!=)", " not ", condition.replace("&&", " and ").replace("||", " or "))
    return bool(eval(python, {"__builtins__": {}}))  # nothing but numbers and operators is left in it


def _directive(
    name: str,
    word: str,
    rest: str,
    files: Mapping[str, str],
    fixed: Mapping[str, str],
    result: Preprocessed,
    out: list[str],
    depth: int,
) -> None:
    match word:
        case "include":
            own = re.fullmatch(r'"([^"]+)"', rest)
            if own and own.group(1) not in files:
                raise EmitError(f"{name} includes {rest}, which is not one of the emitted files")
            if own:
                _read(own.group(1), files, fixed, result, out, depth + 1)
        case "define":
            _define(name, rest, result)
        case "undef":
            result.macros.pop(rest, None)
        case _:
            raise EmitError(f"{name}: #{word} {rest}")


def _define(name: str, rest: str, result: Preprocessed) -> None:
    found = re.fullmatch(r"(\w+)(\([^)]*\))?\s*(.*)", rest)
    if not found:
        raise EmitError(f"{name}: #define {rest}")
    macro, parameters, body = found.groups()
    if not parameters:
        result.macros[macro] = body
    elif body == _EMPTY_CALL:
        result.hooks.add(macro)
    else:
        raise EmitError(
            f"{name}: the macro {macro} has parameters, which hides code from this check; make it a function"
        )


def _expand(line: str, result: Preprocessed, fixed: Mapping[str, str]) -> str:
    def value(match: re.Match[str]) -> str:
        word = match.group(0)
        return fixed[word] if word in fixed else result.macros.get(word, word)

    for _ in range(_NESTING):
        expanded = _NAME.sub(value, line)
        if expanded == line:
            break
        line = expanded
    for hook in result.hooks:
        line = re.sub(rf"\b{hook}\s*\([^()]*\)", _EMPTY_CALL, line)
    return line
