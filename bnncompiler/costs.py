"""What kernels cost on a target, and how one is chosen where several compute the same.

Lowering asks `Selection.choose` with the work at hand; the figures come from the target's `Costs`. They only rank
kernels against each other, and never reach a report: what is reported is measured.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from bnncompiler.choices import KernelChoices
from bnncompiler.errors import UsageError
from bnncompiler.window import Window

if TYPE_CHECKING:
    from bnncompiler.program import Call

GOALS = ("speed", "size", "ram")


@dataclass(frozen=True)
class Span:
    """The convolution that a product belongs to, for kernels that compute many pixels at once.

    Attributes:
        channels: of the map that is read.
        window: which taps a pixel has.
        columns: pixels of a row.
        width: of the map that is read.
        classes: of pixels with thresholds of their own.
    """

    channels: int
    window: Window
    columns: int
    width: int
    classes: int = 1


@dataclass(frozen=True)
class Work:
    """One product of a row of inputs with a matrix of weights.

    Attributes:
        ins: inputs of each output.
        outs: outputs.
        planes: bits of an input: how many planes it has as bit planes.
        thresholds: thresholds that each output is compared with; 0 where the sums themselves are wanted.
        times: how often it is computed for one sample: the pixels of a convolution.
        span: the convolution, where a kernel may compute many of its pixels at once.
        limbs: into how many limbs (`bnncompiler.limb_calls`) a weight is taken apart; 0 where it cannot be.
    """

    ins: int
    outs: int
    planes: int = 1
    thresholds: int = 0
    times: int = 1
    span: Span | None = None
    limbs: int = 0


@dataclass(frozen=True)
class Cost:
    """What a kernel costs for some work.

    Attributes:
        cycles: for one time, on average over inputs; also where it computes several at once.
        flash: bytes of its tables, and of its code as far as others do not need it.
        ram: bytes of working memory that it needs beyond input and output.
        constant_time: whether the time is the same for all inputs.
        scratch: how many of the bytes of working memory are in the arena; the others are on the stack.
    """

    cycles: float
    flash: int
    ram: int = 0
    constant_time: bool = True
    scratch: int = 0


class Costs(Protocol):
    """The cost model of a target."""

    def of(self, kernel: type[Call], work: Work, word_bits: int) -> Cost | None:
        """What ``kernel`` costs for ``work`` with words of ``word_bits``; None where it cannot compute it."""
        ...


@dataclass(frozen=True)
class Unpriced:
    """No cost model: always the first kernel."""

    def of(self, kernel: type[Call], work: Work, word_bits: int) -> Cost | None:
        """Nothing is known."""
        return None


UNPRICED = Unpriced()


@dataclass(frozen=True)
class Selection:
    """How kernels are chosen.

    Attributes:
        costs: the target's cost model.
        goal: what is made small: "speed" (cycles), "size" (flash) or "ram".
        constant_time: whether kernels whose time depends on the data are ruled out.
        room: bytes of working memory that a kernel may take; None where there is no limit.
        choices: what is decided already.
    """

    costs: Costs = UNPRICED
    goal: str = "speed"
    constant_time: bool = False
    room: int | None = None
    choices: KernelChoices = field(default_factory=KernelChoices)

    def __post_init__(self) -> None:
        if self.goal not in GOALS:
            raise UsageError(f"optimize is {self.goal!r}; it can be {', '.join(GOALS)}")

    def candidates(self, kernels: Sequence[type[Call]], work: Work, word_bits: int) -> list[type[Call]]:
        """Those of ``kernels`` that may compute ``work``, the cheapest first, and the first of equals.

        Where the cost model knows none of them they stay in their order, and all may, unless time must not depend on
        the data: then it is the first.
        """
        priced = [(kernel, self.costs.of(kernel, work, word_bits)) for kernel in kernels]
        known = [(k, c) for k, c in priced if c is not None and self._allows(c)]
        if known:
            return [k for k, _ in sorted(known, key=lambda pair: self._order(pair[1]))]
        unknown = not self.constant_time and all(c is None for _, c in priced)
        return list(kernels if unknown else kernels[:1])

    def _allows(self, cost: Cost) -> bool:
        fits = self.room is None or cost.ram <= self.room
        return fits and (cost.constant_time or not self.constant_time)

    def _order(self, cost: Cost) -> tuple[float, ...]:
        by_goal = {
            "speed": (cost.cycles, cost.flash, cost.ram),
            "size": (cost.flash, cost.cycles, cost.ram),
            "ram": (cost.ram, cost.cycles, cost.flash),
        }
        return by_goal[self.goal]


FIRST = Selection()
