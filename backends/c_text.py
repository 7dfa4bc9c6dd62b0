"""Pieces of C text: comments, numbers and constant tables, deterministic and at most 100 columns wide."""

from __future__ import annotations

import textwrap
from collections.abc import Iterable
from fractions import Fraction

from bnncompiler.program import Table

WIDTH = 100
_ASCII = {"±": "+/-", "\u00d7": "x", "·": "*", "→": "->", "≤": "<=", "≥": ">="}  # the rest becomes an escape


def plain(text: str) -> str:
    """``text``, which may come from a model, as ASCII that cannot end a comment, begin another or be a trigraph."""
    text = "".join(_ASCII.get(c, c) if c.isprintable() else " " for c in text)
    text = text.encode("ascii", "backslashreplace").decode()
    for risky, harmless in (("*/", "* /"), ("/*", "/ *"), ("??", "? ?")):
        while risky in text:
            text = text.replace(risky, harmless)
    return text


def comment(paragraphs: Iterable[str], indent: str = "") -> str:
    """A block comment of wrapped ``paragraphs``; leading blanks of a paragraph indent its further lines, too."""
    lines: list[str] = []
    for paragraph in paragraphs:
        text = plain(paragraph)
        hang = " " * (len(text) - len(text.lstrip()))
        lines += textwrap.wrap(
            text.strip(),
            WIDTH - len(indent) - len("/*  */"),
            initial_indent=hang,
            subsequent_indent=hang,
            break_on_hyphens=False,
        ) or [""]
    body = f"\n{indent} * ".join(lines).replace(" * \n", " *\n")
    return f"{indent}/* {body} */\n"


def literal(value: int) -> str:
    """An integer constant; the two that C cannot write as one number are sums."""
    return f"({value + 1} - 1)" if value in (-(2**31), -(2**63)) else str(value)


def thousands(count: int) -> str:
    """``count`` with separators, for people."""
    return f"{count:,}"


def ratio(value: float) -> Fraction:
    """The fraction nearest to ``value`` in the relative sense, with numerator and denominator below 2**31."""
    largest = 2**31 - 1
    exact = Fraction(value)
    if abs(exact) <= 1:
        near = exact.limit_denominator(largest)
        return near if near or not exact else Fraction(1 if value > 0 else -1, largest)
    inverse = (1 / exact).limit_denominator(largest)
    return 1 / inverse if inverse else Fraction(largest if value > 0 else -largest)


def table(name: str, data: Table, word_bits: int) -> str:
    """The definition of a constant table under ``name``; what belongs together begins a line."""
    values = data.values.tolist()
    if data.ctype == "bnn_word":
        cell = f"0x%0{word_bits // 4}x"
    else:
        least, most = literal(min(values)), literal(max(values))
        cell = f"%{max(len(least), len(most))}s"
        values = [literal(v) for v in values] if least.startswith("(") else values
    per_line = (WIDTH - 4 + 1) // (len(cell % 0) + 2)
    group = data.columns or len(values)
    if group <= per_line:
        step = group * (per_line // group)
        spans = [(i, min(i + step, len(values))) for i in range(0, len(values), step)]
    else:
        spans = [
            (i, min(i + per_line, g + group, len(values)))
            for g in range(0, len(values), group)
            for i in range(g, min(g + group, len(values)), per_line)
        ]
    forms = {k: "    " + ", ".join([cell] * k) + "," for k in {b - a for a, b in spans}}
    rows = [forms[b - a] % tuple(values[a:b]) for a, b in spans]
    text = "\n".join(rows).rstrip(",")
    return f"static const {data.ctype} BNN_TABLE {name}[{len(values)}] = {{\n{text}\n}};\n"
