"""Projects: the generated files with what a build system wants around them, ready to build and to flash.

A backend has kinds of projects (``--project``), each a directory of templates in ``templates/<backend>/<kind>/``:
files with ``.in`` behind their names and ``$names`` in their text (`string.Template`). ``MODEL`` in a path is the
model's name. What a template can say is in `values`; a backend may add to it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from importlib.resources import files as package_files
from string import Template
from typing import TYPE_CHECKING

from bnncompiler.backends.base import About, Files
from bnncompiler.backends.c_header import prototype
from bnncompiler.backends.c_symbols import Symbols, name_symbols
from bnncompiler.backends.c_text import plain
from bnncompiler.errors import EmitError, UsageError
from bnncompiler.program import Port, Program

if TYPE_CHECKING:
    from importlib.resources.abc import Traversable

SUFFIX = ".in"
_NAME = re.compile(r"\$\{?([A-Za-z_]\w*)")


def unknown(backend: str, kind: str, kinds: tuple[str, ...]) -> UsageError:
    """What to raise for a kind of project that ``backend`` does not have."""
    known = f"it has {', '.join(kinds)}" if kinds else "its files go into any project as they are"
    return UsageError(f"backend {backend} has no project {kind!r}; {known}")


def render(backend: str, kind: str, values: Mapping[str, str], files: Files, place: str) -> Files:
    """The project's files by path, with the generated ``files`` in the folder ``place``.

    Args:
        backend: whose templates.
        kind: which of them.
        values: what stands for the templates' names.
        files: the generated files.
        place: folder of the project for them, "." for the top; ``{model}`` in it is the model's name.
    """
    folder = package_files("bnncompiler.backends") / "templates" / backend / kind
    model = values["model"]
    prefix = "" if place == "." else place.format(model=model) + "/"
    project = {f"{prefix}{name}": text for name, text in files.items()}
    for path, text in _templates(folder):
        project[path.replace("MODEL", model).removesuffix(SUFFIX)] = _filled(path, text, values)
    return project


def _filled(path: str, text: str, values: Mapping[str, str]) -> str:
    """A template with its names replaced. ``$$``, and ``$`` before anything else (``$(CC)``), stand for ``$``."""
    missing = [name for name in _NAME.findall(text.replace("$$", "")) if name not in values]
    if missing:
        raise EmitError(f"the template {path} has unknown names: {', '.join(missing)}")
    return Template(text).safe_substitute(values)


def _templates(folder: Traversable, path: str = "") -> Iterator[tuple[str, str]]:
    for entry in sorted(folder.iterdir(), key=lambda e: e.name):
        if entry.is_dir():
            yield from _templates(entry, f"{path}{entry.name}/")
        elif entry.name.endswith(SUFFIX):
            yield f"{path}{entry.name}", entry.read_text(encoding="utf-8")


def values(program: Program, about: About) -> dict[str, str]:
    """What any template can say of a program.

    ``model`` and ``MODEL``: its name in C, and its prefix of macros. ``file``, ``version``, ``target``, ``options``:
    where it comes from. ``buffers``: declarations of the inputs, and of the outputs where there are no classes.
    ``read``: calls of ``receive(address, bytes)`` that fill the inputs, of ``input_bytes`` altogether. ``answer``:
    calls of the model and of ``print_number(int32_t)``, with the class or else with every output: ``what``. An array
    ``arena`` must be there.
    """
    symbols = name_symbols(program)
    inputs, outputs = ([symbols.ports[p.buffer.name] for p in ports] for ports in (program.inputs, program.outputs))
    classifies = bool(prototype(program, symbols, "classify"))
    run = f"{symbols.model}_run({', '.join([*inputs, *outputs, 'arena'])});"
    classify = f"print_number({symbols.model}_classify({', '.join([*inputs, 'arena'])}));"
    ports = program.inputs if classifies else (*program.inputs, *program.outputs)
    return {
        "model": symbols.model,
        "MODEL": symbols.model.upper(),
        "file": plain(about.model),
        "version": about.version,
        "target": about.target.name,
        "options": plain(about.options),
        "buffers": _lines(_declared(program, p, symbols) for p in ports),
        "read": _lines(f"receive({name}, sizeof {name});" for name in inputs),
        "answer": classify if classifies else _lines([run, *(_printed(p, symbols) for p in program.outputs)]),
        "input_bytes": str(sum(p.buffer.bytes(program.word_bits) for p in program.inputs)),
        "what": "the class" if classifies else "the outputs",
    }


def _declared(program: Program, port: Port, symbols: Symbols) -> str:
    ports, role = (program.inputs, "input") if port in program.inputs else (program.outputs, "output")
    return f"{port.buffer.ctype} {symbols.ports[port.buffer.name]}[{symbols.macro(port, ports, role)}_SIZE];"


def _printed(port: Port, symbols: Symbols) -> str:
    name = symbols.ports[port.buffer.name]
    return f"for (uint16_t i = 0; i < {port.buffer.count}; ++i) print_number({name}[i]);"


def _lines(statements: Iterable[str]) -> str:
    return "\n    ".join(statements)
