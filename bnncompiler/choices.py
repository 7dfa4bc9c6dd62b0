"""Which of several kernels each layer takes, where it is not the cost model that says so: choices that can be replayed.

Where several kernels compute the same, lowering asks which one a layer is to have; a layer may be asked about more than
once, of what a first answer leaves open. Its answers, in order, are its choice. `bnncompiler.tuning` measures choices,
and a file of them (``--choices``) makes the same program anywhere, without measuring.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bnncompiler.errors import UsageError

FILE = "choices.json"
REMEDY = "measure again with --autotune"

Answers = tuple[str, ...]  # names of kernels


@dataclass(frozen=True)
class Question:
    """Lowering could have taken any of ``offered`` kernels, and took ``answer``."""

    offered: Answers
    answer: str


@dataclass(frozen=True)
class Decision:
    """What lowering asked about one layer.

    Attributes:
        layer: the layer's name in C.
        questions: in order.
        calls: which of the program's calls were appended for the layer: all whose time depends on the answers.
    """

    layer: str
    questions: tuple[Question, ...]
    calls: range

    @property
    def answers(self) -> Answers:
        """The kernels that were taken."""
        return tuple(q.answer for q in self.questions)


@dataclass(frozen=True)
class KernelChoices:
    """Answers by layer; what they do not answer is up to the cost model.

    Attributes:
        kernels: by layer, as `Decision` has it.
        measured: why: for people, nothing reads it.
        source: where they are from, for messages.
    """

    kernels: Mapping[str, Answers] = field(default_factory=dict)
    measured: Mapping[str, object] = field(default_factory=dict)
    source: str = FILE

    def answer(self, layer: str, number: int, offered: Answers) -> str | None:
        """The kernel that question ``number`` about ``layer`` is to have, one of ``offered``; None where none is said.

        Raises:
            UsageError: it is none of those offered.
        """
        said = self.kernels.get(layer, ())[number : number + 1]
        if not said:
            return None
        if said[0] not in offered:
            raise UsageError(
                f"{layer}: {self.source} has the kernel {said[0]!r} for it, but it can have {', '.join(offered)} with "
                f"these options; {REMEDY}"
            )
        return said[0]

    def check(self, decisions: Iterable[Decision]) -> None:
        """See that every answer was asked for: that these are choices for this very network.

        Raises:
            UsageError: a layer is not there, or has fewer questions.
        """
        asked = {d.layer: d for d in decisions}
        for layer, answers in self.kernels.items():
            if layer not in asked:
                known = ", ".join(asked) or "none"
                raise UsageError(
                    f"{self.source} is about a layer {layer!r}, but with these options the layers with a choice of "
                    f"kernels are: {known}; {REMEDY}"
                )
            surplus = answers[len(asked[layer].questions) :]
            if surplus:
                raise UsageError(
                    f"{layer}: {self.source} has {surplus[0]!r} for it, too, but nothing is left open; {REMEDY}"
                )

    def json(self) -> str:
        """The text of a file that `read_choices` reads."""
        kernels = {layer: list(answers) for layer, answers in self.kernels.items()}
        return json.dumps({"kernels": kernels, "measured": self.measured}, indent=2, ensure_ascii=False) + "\n"


def read_choices(source: str | os.PathLike[str] | KernelChoices) -> KernelChoices:
    """Choices from a file, or as they are.

    Raises:
        UsageError: the file cannot be read, or is something else.
    """
    if isinstance(source, KernelChoices):
        return source
    path = Path(source)
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise UsageError(f"{path}: no JSON ({error}); --autotune writes such a file") from error
    kernels = content.get("kernels") if isinstance(content, dict) else None
    if not isinstance(kernels, dict) or not all(map(_is_answers, kernels.values())):
        raise UsageError(f'{path}: no choices: {{"kernels": {{layer: [kernel, ...]}}}}; --autotune writes such a file')
    return KernelChoices({k: tuple(v) for k, v in kernels.items()}, content.get("measured", {}), path.name)


def _is_answers(value: object) -> bool:
    return isinstance(value, list) and all(isinstance(v, str) for v in value)
