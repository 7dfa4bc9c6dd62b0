"""Gathers kernel sources into one text: those that a program calls, and the headers that they include, each once.

The kernels are C files that compile by themselves (`kernels/`). A port has a directory there, whose files come before
the common ones of the same name. In the gathered text definitions come before calls, so that of the interface header
`bnn_kernels.h` nothing but its includes is wanted.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.resources import files

from bnncompiler.errors import EmitError

INTERFACE = "bnn_kernels.h"


def read(name: str, port: str) -> str:
    """The kernel source file ``name`` as ``port`` has it; raises ``EmitError`` where there is none."""
    kernels = files("bnncompiler.backends") / "kernels"
    for place in (kernels / port / name, kernels / name):
        if place.is_file():
            return place.read_text(encoding="utf-8")
    raise EmitError(f"there is no kernel source {name} for the port {port}")


class Sources:
    """The text gathered so far; a header is in it once, where it was first asked for."""

    def __init__(self, port: str) -> None:
        self._port = port
        self._included: set[str] = set()

    def text(self, names: Iterable[str]) -> str:
        """What ``names`` add, with what they include before them."""
        return "\n".join(part.strip("\n") + "\n" for name in names for part in self._parts(name))

    def _parts(self, name: str) -> list[str]:
        if name in self._included:
            return []
        self._included.add(name)
        parts: list[str] = []
        own: list[str] = []
        for line in _unguarded(read(name, self._port)):
            if line.startswith('#include "'):
                parts += self._parts(line.split('"')[1])
            else:
                own.append(line)
        return parts if name == INTERFACE else [*parts, _squeezed(own)]


def _unguarded(text: str) -> list[str]:
    """The lines of a file without its include guard."""
    lines = text.rstrip().split("\n")
    for i, line in enumerate(lines[:-1]):
        if line.startswith("#ifndef ") and line.endswith("_H"):
            assert lines[i + 1] == line.replace("#ifndef", "#define") and lines[-1] == "#endif"
            return [*lines[:i], *lines[i + 2 : -1]]
    return lines


def _squeezed(lines: list[str]) -> str:
    """The lines without runs of empty ones, which taken-out includes leave."""
    kept: list[str] = []
    for line in lines:
        if line or (kept and kept[-1]):
            kept.append(line)
    return "\n".join(kept)
