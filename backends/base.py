"""What a backend is: it has targets, and it prints a program as files.

A backend knows programs (`bnncompiler.program`) and its machine, nothing of ONNX or of graphs. It writes no files
itself: ``emit`` returns their text.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from bnncompiler.costs import UNPRICED, Costs
from bnncompiler.errors import UsageError
from bnncompiler.fit import Sizes
from bnncompiler.machines.base import Machine
from bnncompiler.program import Program
from bnncompiler.widths import PRECISE

Files = dict[str, str]


@dataclass(frozen=True)
class Target:
    """A machine that a backend compiles for.

    Attributes:
        name: what ``--target`` calls it.
        word_bits: how many bits are packed into a word: 8, 16, 32 or 64.
        align: what every buffer in the arena is aligned to, in bytes.
        int_bits: the width of C's ``int``.
        flash: bytes of program memory, None where it is not known.
        ram: bytes of working memory, None where it is not known.
        hertz: the clock that is usual for it, None where it is not known.
        costs: what its kernels cost, for choosing between them.
        largest_table: the most bytes that an object can have, None where there is no such limit.
        sizes: what its compiler makes of a program, None where nothing is known of it.
        stream_bits: the usual width of hidden fixed-point values.
    """

    name: str
    word_bits: int
    align: int
    int_bits: int = 32
    flash: int | None = None
    ram: int | None = None
    hertz: int | None = None
    costs: Costs = UNPRICED
    largest_table: int | None = None
    sizes: Sizes | None = None
    stream_bits: int = PRECISE


@dataclass(frozen=True)
class About:
    """What the emitted files say about where they come from.

    Attributes:
        model: file name of the model.
        sha256: hash of that file, in hexadecimal digits.
        version: version of the compiler.
        options: the options of the compilation, as the command line would take them.
        backend: name of the backend.
        target: the target of the compilation.
        exact: whether the outputs equal the reference's for every input.
        error_bound: how far a real output can be from the reference's, 0 where ``exact``.
        notes: what the user of the files should know, a sentence each.
        layers: text on a layer, by the name that its calls have (`bnncompiler.program.Call.layer`).
    """

    model: str
    sha256: str
    version: str
    options: str
    backend: str
    target: Target
    exact: bool = True
    error_bound: float = 0.0
    notes: tuple[str, ...] = ()
    layers: Mapping[str, str] = field(default_factory=dict)


class Backend(Protocol):
    """Prints programs for one family of machines."""

    @property
    def name(self) -> str:
        """The name in ``--backend``."""
        ...

    def targets(self) -> tuple[str, ...]:
        """The names that ``--target`` takes, the default first."""
        ...

    def target(self, name: str | None = None) -> Target:
        """The target called ``name``, the default one for None; raises ``UsageError`` where there is none."""
        ...

    def machine(self, target: Target) -> Machine:
        """What verification builds the files for ``target`` with, and runs them on."""
        ...

    def emit(self, program: Program, about: About) -> Files:
        """The text of each file, by name."""
        ...

    def projects(self) -> tuple[str, ...]:
        """The kinds of project that ``--project`` takes; none for a backend that only emits files."""
        ...

    def project(self, kind: str, program: Program, about: About, files: Files) -> Files:
        """The emitted ``files`` in a project of ``kind`` (`bnncompiler.backends.projects`): text of each file, by path.

        Raises:
            UsageError: there is no such kind.
        """
        ...


def pick_target(backend: str, targets: Iterable[Target], name: str | None) -> Target:
    """The one of ``targets`` called ``name``, as people spell it (``M0+`` for ``cortex-m0plus``); the first for None.

    Raises:
        UsageError: there is none.
    """
    known = {t.name: t for t in targets}
    if name is None:
        return next(iter(known.values()))
    spelled = {_spelled(t): known[t] for t in known}
    if _spelled(name) not in spelled:
        raise UsageError(f"backend {backend} has no target {name!r}; it has {', '.join(known)}")
    return known.get(name) or spelled[_spelled(name)]


def _spelled(target: str) -> str:
    """What is left of a target's name without case, punctuation and the word Cortex."""
    return re.sub("[^a-z0-9]", "", target.lower().replace("+", "plus")).removeprefix("cortex")
