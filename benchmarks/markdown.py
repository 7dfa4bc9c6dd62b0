"""Figures and tables as Markdown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table with a heading."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines) + "\n"


def time(us: float) -> str:
    """Microseconds, or milliseconds."""
    return f"{us / 1e3:.2f} ms" if us >= 1e3 else f"{us:.1f} us"


def spread(value: Mapping[str, float]) -> str:
    """A median and its quartiles."""
    digits = _decimals(value["median"])
    return f"{value['median']:.{digits}f} ({value['lower']:.{digits}f} to {value['upper']:.{digits}f})"


def number(value: float) -> str:
    """Two decimals, fewer for large numbers."""
    return f"{value:.{_decimals(value)}f}"


def _decimals(value: float) -> int:
    return 0 if abs(value) >= 100 else 1 if abs(value) >= 20 else 2
