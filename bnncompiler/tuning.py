"""Autotuning: the kernels between which the cost model chooses, measured where they matter, in the generated C.

Lowering says which other kernels each layer could have (`choices.Decision`). Programs are made until every alternative
of every layer is in one of them, all layers at a time; each call of each program is timed with its own constants and
sizes, among the calls that are around it in the network. A layer takes an alternative where that is clearly faster, and
the whole is measured against what the cost model makes: a mixture that is not faster is not taken.

What comes out are choices, which make the same program wherever they are replayed. Whatever is chosen, verification
speaks of it as of any program.
"""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass

import numpy as np

from bnncompiler import compiler, data, grid, readback, stimuli
from bnncompiler.choices import Answers, Decision, KernelChoices
from bnncompiler.compiler import Compilation
from bnncompiler.errors import UsageError
from bnncompiler.ir import Array
from bnncompiler.machines import clock
from bnncompiler.machines.host import Host

ROUNDS = 11
SECONDS = 0.03  # of a program in a round
MARGIN = 0.97  # of the time of the cost model's kernel is what another one must stay below

Sample = Mapping[str, Array]
Times = dict[str, dict[Answers, float]]  # nanoseconds, by layer and its answers


@dataclass(frozen=True)
class Tuned:
    """What was measured, and what was made of it.

    Attributes:
        compilation: with the kernels that were chosen.
        choices: they, to be replayed.
        times: nanoseconds that each layer took, by its answers; the cost model's come first.
        speedup: how many times faster the whole is than with the cost model's kernels.
    """

    compilation: Compilation
    choices: KernelChoices
    times: Times
    speedup: float

    def lines(self) -> list[str]:
        """What to tell the user."""
        changed = [k for k, times in self.times.items() if self.choices.kernels[k] != next(iter(times))]
        if not changed:
            return [f"of {len(self.times)} layers with a choice of kernels, none is faster with another"]
        of = f"{len(changed)} of {len(self.times)} layers with a choice of kernels"
        head = f"{of} take another: {self.speedup:.2f} times as fast"
        return [head, *(_line(k, self.times[k], self.choices.kernels[k]) for k in changed)]


def autotune(compilation: Compilation, source: data.Source | None = None) -> Tuned:
    """Measure the kernels that layers of ``compilation`` could have on this machine, and take the fastest.

    Args:
        compilation: made for this machine, and for speed.
        source: samples, of which the first is run, for kernels whose time depends on the data; without them it is a
            random one.

    Raises:
        UsageError: it is for another machine, or for another goal.
        ToolError: there is no C compiler.
        VerificationError: a program crashes, for want of instructions that the target has, say.
    """
    flags = host_flags(compilation)
    sample = one_sample(compilation, source)
    variants = list(_variants(_usual(compilation)))
    with clock.pinned():
        times = _by_layer(variants, _rounds(variants, sample, flags))
        tuned, speedup = _mixed(variants[0], _fastest(times), sample, flags)
    answers = {d.layer: d.answers for d in tuned.lowered.decisions}
    choices = KernelChoices(answers, _measured(compilation, times))
    tuned = compiler.with_choices(compilation, choices)
    readback.check(tuned.files, tuned.program)
    return Tuned(tuned, choices, times, speedup)


def _mixed(
    usual: Compilation, kernels: Mapping[str, Answers], sample: Sample, flags: tuple[str, ...]
) -> tuple[Compilation, float]:
    """The program with these ``kernels`` and how many times as fast as ``usual`` it is; that itself if it is not."""
    if all(kernels[d.layer] == d.answers for d in usual.lowered.decisions):
        return usual, 1.0
    mixed = compiler.with_choices(usual, KernelChoices(kernels))
    before, after = (r.sum(axis=1) for r in _rounds([usual, mixed], sample, flags))
    speedup = float(np.median(before / after))
    return (mixed, speedup) if speedup > 1 else (usual, 1.0)


def _usual(compilation: Compilation) -> Compilation:
    """``compilation`` as the cost model makes it."""
    return compilation if compilation.options.choices is None else compiler.with_choices(compilation, None)


def host_flags(compilation: Compilation) -> tuple[str, ...]:
    """What the C compiler is given for the target; raises ``UsageError`` where it is not measured here."""
    options, target = compilation.options, compilation.target
    machine = compilation.backend.machine(target)
    if not isinstance(machine, Host):
        raise UsageError(
            f"autotuning measures on this machine, and {target.name} of backend {options.backend} runs on "
            f"{machine.name}; use --backend c99, or leave the choice to the cost model"
        )
    if options.optimize != "speed":
        raise UsageError(f"autotuning measures time; it does not go with --optimize {options.optimize}")
    return machine.flags


def one_sample(compilation: Compilation, source: data.Source | None) -> dict[str, Array]:
    """One sample, in grid units."""
    if source is None:
        generated = stimuli.generate(compilation.graph, 3, np.random.default_rng(0))
        return {name: q[2:] for name, q in generated.items()}  # before it are special ones
    first = data.load(source, compilation.imported).first(1)
    return {g.name: grid.to_q(g, first.arrays[g.name]).q for g in compilation.grids}


def _variants(start: Compilation) -> Iterator[Compilation]:
    """Programs in which each alternative of each layer occurs; the first is ``start``."""
    seen: set[tuple[str, Answers]] = set()
    pending: dict[str, list[Answers]] = {}
    variant, trial = start, dict[str, Answers]()
    while True:
        for decision in variant.lowered.decisions:
            if (decision.layer, decision.answers) not in seen:
                seen.add((decision.layer, decision.answers))
                given = len(trial.get(decision.layer, ()))
                pending.setdefault(decision.layer, []).extend(_others(decision, given))
        yield variant
        trial = {layer: answers.pop(0) for layer, answers in pending.items() if answers}
        if not trial:
            return
        variant = compiler.with_choices(start, KernelChoices(trial))


def _others(decision: Decision, given: int) -> Iterator[Answers]:
    """Beginnings of other answers than those that came of themselves, after the first ``given``."""
    for i, question in enumerate(decision.questions[given:], given):
        for kernel in question.offered:
            if kernel != question.answer:
                yield (*decision.answers[:i], kernel)


def _rounds(programs: Sequence[Compilation], sample: Sample, flags: tuple[str, ...]) -> list[Array]:
    """For each of ``programs``, the median nanoseconds of each call in each round, ``[rounds, calls]``."""
    with ExitStack() as stack:
        clocks = [stack.enter_context(clock.build(c.program, c.files, sample, flags)) for c in programs]
        rounds = [[np.median(c.run(SECONDS), axis=0) for c in clocks] for _ in range(ROUNDS)]
    return [np.array(one) for one in zip(*rounds, strict=True)]


def _by_layer(variants: Sequence[Compilation], rounds: Sequence[Array]) -> Times:
    """The time of each layer with each of its answers, over all programs and rounds with them."""
    found: dict[str, dict[Answers, list[Array]]] = {}
    for variant, taken in zip(variants, rounds, strict=True):
        for d in variant.lowered.decisions:
            own = taken[:, d.calls.start : d.calls.stop].sum(axis=1)
            found.setdefault(d.layer, {}).setdefault(d.answers, []).append(own)
    return {
        layer: {answers: float(np.median(np.concatenate(t))) for answers, t in by_answers.items()}
        for layer, by_answers in found.items()
    }


def _fastest(times: Times) -> dict[str, Answers]:
    """For each layer the fastest answers, or the cost model's where these are as fast."""
    chosen = {}
    for layer, by_answers in times.items():
        usual, best = next(iter(by_answers)), min(by_answers, key=by_answers.__getitem__)
        chosen[layer] = best if by_answers[best] < MARGIN * by_answers[usual] else usual
    return chosen


def _measured(compilation: Compilation, times: Times) -> dict[str, object]:
    """What a file of choices says about where they are from."""
    return {
        "target": f"{compilation.backend.name} {compilation.target.name}",
        "machine": platform.machine(),
        "nanoseconds": {
            layer: {" + ".join(answers): round(t) for answers, t in by_answers.items()}
            for layer, by_answers in times.items()
        },
    }


def _line(layer: str, times: Mapping[Answers, float], chosen: Answers) -> str:
    usual = next(iter(times))
    texts = (f"{' + '.join(a)} {times[a] / 1e3:,.3g} us" for a in (chosen, usual))
    return f"{layer}: {' instead of '.join(texts)}"
