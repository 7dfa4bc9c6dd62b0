"""The page's part on kernels: what is asked of them and whether it holds, which one each layer takes, and all figures.

What is asked are goals that the project set itself, from prototypes measured before there was a compiler. A goal is
about some builds and kinds of layers, and the best kernel in these builds has to reach it on every layer that counts.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks import cores, markdown

Record = Mapping[str, Any]
ONNXRUNTIME = "onnxruntime"
SUMS = ("sum_nibbles",)  # kernels that leave sums, which are yet to be compared: none of these is the best
CONVOLUTION, DENSE = "convolution", "dense"
CHANNELS = 64  # a convolution of fewer does not count, nor does a dense layer of fewer weights
WEIGHTS = 90_000
LARGE = 2**18  # weights of a large dense layer
NAMES = {CONVOLUTION: "convolutions", DENSE: "dense layers"}

HEAD = """## Kernels

Whole layers, batch 1: dense layers of bits, and 3x3 convolutions that keep the number of channels, with thresholds. All
kernels and onnxruntime take turns of about a millisecond, or of one run, after a run that is not timed, so that caches
hold the layer; figures are medians over the rounds, in brackets the quartiles, and ratios are those within rounds.

A cycle is what an addition takes that waits for the one before, timed before and after each turn. Additions that do not
wait are timed, too: where there are fewer in a cycle than the core has adders, another thread of the core is at work,
often that of somebody else's virtual machine, and all code takes up to 1.5 times as many cycles. Such a turn is
repeated, or left out of the median in the end. That looks at additions, never at the kernel's own time.

onnxruntime has the layer in float32 as a network of its own, without an activation, a convolution padded by zero (ours
are padded by -1); its input and output stay in place, and what a call takes that negates one number is taken off.
Both measure the time of their thread. The popcount loop is what everyone writes first, for a convolution on gathered
patches, in the build in which it is fastest.

"""
GOALS_TEXT = f"""### Goals

Of each goal the best kernel in its build, on convolutions of at least {CHANNELS} channels and dense layers of at least
{WEIGHTS:,} weights (u64 in MAC / cycle: {LARGE:,}). u64 is plain C99 with words of 64 bits: no vectors and no popcount.

"""
LAYERS_TEXT = """### What the compiler takes

The kernel that the compiler's cost model takes for the build's target, in {unit}, and the fastest where it is another.
onnxruntime: the layer, and beside it the call that was taken off.

"""
ALL_TEXT = """### All kernels

In {unit}. `sum_nibbles` leaves sums, of integers of 8 bits the last two kernels do. Quartiles and times are in
`benchmarks/results/kernels.json`.

"""


@dataclass(frozen=True)
class Goal:
    """What is asked of the best kernel.

    Attributes:
        title: what the page calls it.
        builds: in which it may be.
        figure: of its record.
        asked: the least median, by kind of layer.
        weights: of the smallest dense layer that counts.
    """

    title: str
    builds: tuple[str, ...]
    figure: str
    asked: Mapping[str, float]
    weights: int = WEIGHTS

    def counts(self, layer: Record) -> bool:
        """Whether anything is asked on the layer."""
        return layer["kind"] in self.asked and (layer["channels"] >= CHANNELS or layer["weights"] >= self.weights)

    def best(self, records: Iterable[Record]) -> Mapping[str, float] | None:
        """The figure of the best of these kernels; None where none was measured."""
        figures = [r[self.figure] for r in records if r["build"] in self.builds and self.figure in r]
        return max(figures, key=lambda f: float(f["median"]), default=None)


VECTORS = ("x86-64-v3", "x86-64-v4")
GOALS = (
    Goal("AVX2, MAC / cycle", VECTORS[:1], "macs_per_cycle", {CONVOLUTION: 250, DENSE: 200}),
    Goal("AVX-512, MAC / cycle", VECTORS[1:], "macs_per_cycle", {CONVOLUTION: 300}),
    Goal("u64, MAC / cycle", ("u64",), "macs_per_cycle", {CONVOLUTION: 55, DENSE: 40}, LARGE),
    Goal("u64, times the popcount loop", ("u64",), "times_first", {CONVOLUTION: 1}),
    Goal("vectors, times onnxruntime", VECTORS, "times_onnxruntime", {CONVOLUTION: 25, DENSE: 60}),
    Goal("u64, times onnxruntime", ("u64",), "times_onnxruntime", {CONVOLUTION: 4, DENSE: 4}),
)


def kernels(records: Sequence[Record]) -> str:
    """The whole part."""
    ours = [r for r in records if r["kernel"] != ONNXRUNTIME]
    flags = {r["build"]: r["flags"] for r in ours}
    unit = "MAC / cycle" if all("macs_per_cycle" in r for r in ours) else "MAC / ns"
    builds = markdown.table(["build", "flags of the C compiler"], [(b, f"`{f}`") for b, f in flags.items()])
    parts = (
        HEAD + _turns(records) + "\n" + builds,
        GOALS_TEXT + goals(records),
        LAYERS_TEXT.format(unit=unit) + taken(records),
        ALL_TEXT.format(unit=unit) + every(ours),
    )
    return "\n".join(parts)


def _turns(records: Sequence[Record]) -> str:
    """What the medians are of."""
    if not any("macs_per_cycle" in r for r in records):
        return "Whether turns were disturbed is not known of this machine.\n"
    turns, alone = (sum(r[key] for r in records) for key in ("turns", "alone"))
    shared = [r for r in records if r["alone"] < cores.ENOUGH * r["turns"]]
    text = f"In the end {alone:,} of {turns:,} turns, {max(r['turns'] for r in records)} for a figure, were undisturbed"
    return f"{text};\n{len(shared)} of {len(records)} figures are of disturbed ones, for want of others.\n"


def goals(records: Sequence[Record]) -> str:
    """A column for each goal, and a row for each layer of which something is asked."""
    thresholds = [r for r in records if r["kernel"] not in (ONNXRUNTIME, *SUMS)]
    layers = [own for own in _by_layer(thresholds) if any(goal.counts(own[0]) for goal in GOALS)]
    verdicts = [[_verdict(goal, own) for goal in GOALS] for own in layers]
    asked = ["asked", *(_asked(goal) for goal in GOALS)]
    rows = [[own[0]["layer"], *cells] for own, cells in zip(layers, verdicts, strict=True)]
    total = ["reached", *(_total(goal, layers) for goal in GOALS)]
    return markdown.table(["layer", *(g.title for g in GOALS)], [asked, *rows, total])


def _asked(goal: Goal) -> str:
    return ", ".join(f"{NAMES[kind]} {least:g}" for kind, least in goal.asked.items())


def _verdict(goal: Goal, own: Sequence[Record]) -> str:
    figure = goal.best(own)
    if figure is None or not goal.counts(own[0]):
        return ""
    text, least = markdown.spread(figure), goal.asked[own[0]["kind"]]
    return text if figure["median"] >= least else f"**not reached**: {text} of {least:g}"


def _total(goal: Goal, layers: Sequence[Sequence[Record]]) -> str:
    counts = []
    for kind, least in goal.asked.items():
        best = [goal.best(own) for own in layers if own[0]["kind"] == kind and goal.counts(own[0])]
        medians = [figure["median"] for figure in best if figure is not None]
        if not medians:
            return "not measured: this machine has no such instructions"
        counts.append(f"{sum(m >= least for m in medians)} of {len(medians)} {NAMES[kind]}")
    return ", ".join(counts)


def taken(records: Sequence[Record]) -> str:
    """For each layer of bits the kernel that it takes in each build, the fastest, and onnxruntime."""
    builds = _builds(records)
    rows = []
    for own in _by_layer(r for r in records if r["kind"] in NAMES):
        theirs = next((r for r in own if r["kernel"] == ONNXRUNTIME), None)
        call = "" if theirs is None else f"{markdown.time(theirs['us']['median'])} + {theirs['call_us']['median']:.1f}"
        cells = [_taken([r for r in own if r["build"] == b and r["kernel"] not in SUMS]) for b in builds]
        rows.append([own[0]["layer"], *cells, call])
    return markdown.table(["layer", *builds, ONNXRUNTIME], rows)


def _taken(own: Sequence[Record]) -> str:
    if not own:
        return ""
    best = max(own, key=_speed)
    picked = next((r for r in own if r["picked"]), None)
    if picked is None:
        return f"one that is not measured; {_named(best)}"
    return _named(picked) if picked is best else f"{_named(picked)}; {_named(best)}"


def every(records: Sequence[Record]) -> str:
    """A row for each layer and kernel, a column for each build."""
    builds = _builds(records)
    rows = []
    for own in _by_layer(records):
        for kernel in dict.fromkeys(r["kernel"] for r in own):
            found = {r["build"]: markdown.number(_speed(r)) for r in own if r["kernel"] == kernel}
            rows.append([own[0]["layer"], kernel, *(found.get(b, "") for b in builds)])
    return markdown.table(["layer", "kernel", *builds], rows)


def _named(record: Record) -> str:
    return f"{record['kernel']} {markdown.number(_speed(record))}"


def _speed(record: Record) -> float:
    """Multiply-accumulates in a cycle, or in a nanosecond where cycles are not known."""
    by_cycle = record.get("macs_per_cycle")
    return float(by_cycle["median"]) if by_cycle else float(record["macs"] / record["us"]["median"] / 1e3)


def _builds(records: Iterable[Record]) -> list[str]:
    return list(dict.fromkeys(r["build"] for r in records if r["kernel"] != ONNXRUNTIME))


def _by_layer(records: Iterable[Record]) -> list[list[Record]]:
    """The records of each layer, in order."""
    layers: dict[str, list[Record]] = {}
    for record in records:
        layers.setdefault(record["layer"], []).append(record)
    return list(layers.values())
