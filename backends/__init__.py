"""Backends, one module each, found by name through the entry-point group ``bnncompiler.backends``.

The built-in ones are entry points like those of third parties: an installed package that names an object with the
interface of `bnncompiler.backends.base.Backend` in this group has added a backend.
"""

from __future__ import annotations

from importlib.metadata import EntryPoint, entry_points

from bnncompiler.backends.base import Backend
from bnncompiler.errors import CompileError, UsageError

GROUP = "bnncompiler.backends"
INTERFACE = ("name", "targets", "target", "machine", "emit", "projects", "project")


def available() -> tuple[str, ...]:
    """The names of all installed backends, sorted; raises ``CompileError`` where two share a name or there is none."""
    return tuple(_installed())


def find(name: str) -> Backend:
    """The backend called ``name``; ``UsageError`` where there is none, ``CompileError`` where it fails to load."""
    installed = _installed()
    if name not in installed:
        raise UsageError(f"there is no backend {name!r}; installed are {', '.join(installed)}")
    return _load(installed[name])


def _installed() -> dict[str, EntryPoint]:
    found: dict[str, EntryPoint] = {}
    # A package can be seen twice (a checkout that is both installed and the working directory): equal entries are one.
    for point in sorted(set(entry_points(group=GROUP)), key=lambda p: (p.name, p.value)):
        if point.name in found:
            raise CompileError(
                f"two backends are called {point.name!r}: {found[point.name].value} and {point.value}; "
                "uninstall the package of one of them"
            )
        found[point.name] = point
    if not found:
        raise CompileError(
            "no backends are installed, not even the built-in ones: bnncompiler runs from a checkout "
            "that is not installed; run `pip install -e .` in it"
        )
    return found


def _load(point: EntryPoint) -> Backend:
    try:
        backend: Backend = point.load()
    except Exception as error:  # whatever a third party's module raises, the user must learn which one it was
        raise CompileError(
            f"backend {point.name!r} ({point.value}) fails to load: {type(error).__name__}: {error}"
        ) from error
    missing = [attribute for attribute in INTERFACE if not hasattr(backend, attribute)]
    if missing:
        raise CompileError(f"backend {point.name!r} ({point.value}) is no backend: it has no {', '.join(missing)}")
    return backend
