"""The tables of the tutorial, from ``results/*.json``: nothing in them is typed by hand."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from examples.training.experiments import EXPERIMENTS

RESULTS = Path(__file__).parent / "results"
MARKS = "<!-- {0}: made by `python -m examples.training --tables` -->\n"


def update(document: str, results: Sequence[Mapping[str, Any]]) -> str:
    """``document`` with its tables made anew: each stands between its mark and the next empty line."""
    for name, table in (("accuracy", accuracy(results)), ("deployment", deployment(results))):
        mark = MARKS.format(name)
        before, _, rest = document.partition(mark)
        document = f"{before}{mark}\n{table}\n{rest.lstrip().partition(chr(10) * 2)[2]}"
    return document


def load(folder: Path = RESULTS) -> list[dict[str, Any]]:
    """The results that are there, in the order of the experiments."""
    files = (folder / f"{name}.json" for name in EXPERIMENTS)
    return [json.loads(f.read_text()) for f in files if f.exists()]


def accuracy(results: Iterable[Mapping[str, Any]]) -> str:
    """Test accuracies, and times as multiples of the float twin's."""
    rows = []
    for one in results:
        for name, network in one["networks"].items():
            time = f"{network['time_to_float']:.2f}" if "time_to_float" in network else "1"
            rows.append([one["experiment"], name, spread(network["test_accuracy"]), str(one["epochs"]), time])
            if "test_accuracy_averaged" in network:
                averaged = spread(network["test_accuracy_averaged"])
                rows.append([one["experiment"], f"{name}, weights averaged", averaged, str(one["epochs"]), ""])
    return table(["experiment", "network", "test accuracy (%)", "epochs", "time"], rows, right=2)


def deployment(results: Iterable[Mapping[str, Any]]) -> str:
    """What each compiled network takes on each target."""
    rows = []
    for one in results:
        for row in one.get("deployed", ()):
            where = [one["experiment"], row["backend"], row["target"], f"{row['flash']:,}", f"{row['ram']:,}"]
            if not row["fits"]:
                rows.append([*where, "does not fit", "", ""])
                continue
            agreed = f"{row['bits_differing']:,} of {row['bits_compared']:,}"
            rows.append(
                [
                    *where,
                    cost(row["microseconds"], row["instructions"]),
                    f"{row['accuracy']:.1f} of {row['images']:,}",
                    agreed,
                ]
            )
    head = ["experiment", "backend", "target", "flash (B)", "RAM (B)", "an image", "accuracy (%)", "bits that differ"]
    return table(head, rows, right=3)


def spread(values: Sequence[float]) -> str:
    """The mean, and how far the values go from it."""
    mean = fmean(values)
    return f"{mean:.2f}" + (f" ± {max(abs(v - mean) for v in values):.2f}" if len(values) > 1 else "")


def cost(microseconds: float | None, instructions: int | None) -> str:
    """A time in the unit that suits it; where a simulator knows none, how many instructions."""
    if microseconds is None:
        return "" if instructions is None else f"{instructions:,} instructions"
    size, unit = next((s, u) for s, u in ((1e6, "s"), (1e3, "ms"), (0, "µs")) if microseconds >= s)
    return f"{microseconds / (size or 1):.3g} {unit}"


def table(head: Sequence[str], rows: Iterable[Sequence[str]], right: int) -> str:
    """A table in Markdown, whose columns from ``right`` on are aligned to the right."""
    rule = ["---" if i < right else "--:" for i in range(len(head))]
    return "".join(f"| {' | '.join(cells)} |\n" for cells in (head, rule, *rows))
