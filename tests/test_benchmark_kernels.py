"""The benchmark of kernels: what it compares, when it measures, and what it says; no figure is tested."""

from __future__ import annotations

import platform
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest

import bnncompiler
from benchmarks import cores, kernel_page, kernels, layers, timing
from benchmarks.cores import Look, Timed, Watch
from benchmarks.layers import Layer

DENSE, MAP, INTEGERS = Layer(0, 72, 66), Layer(5, 64, 64), Layer(0, 9, 32, bits=False)


# --- layers


@pytest.mark.parametrize("layer", [DENSE, MAP], ids=str)
def test_layer_is_the_same_in_float_and_in_bits(layer: Layer) -> None:
    inside = (..., slice(1, -1), slice(1, -1)) if layer.columns else ...  # where padding does not matter
    rng, options = np.random.default_rng(0), onnxruntime.SessionOptions()
    x = rng.choice(np.array([-1, 1], np.float32), (1, layer.n, *[layer.columns] * 2 * bool(layer.columns)))
    run = [
        onnxruntime.InferenceSession(m.SerializeToString(), options, providers=["CPUExecutionProvider"]).run(
            None, {"x": x}
        )[0]
        for m in (layers.in_float(layer), layers.in_bits(layer))
    ]
    np.testing.assert_array_equal(np.sign(run[0] + 0.5)[inside], run[1][inside])
    program = bnncompiler.compile(layers.in_bits(layer), input="bits").program
    assert sum(c.macs for c in program.calls) == layer.macs


def test_kernel_is_the_one_that_the_compiler_takes() -> None:
    large, small = Layer(0, 1024, 1024), Layer(0, 64, 2)
    assert layers.picked(large, "x86-64-v3") == "dense_sliced_threshold"
    assert layers.picked(small, "x86-64-v3") != "dense_sliced_threshold"


# --- when it measures


class MadeUp(cores.Core):
    """A core with four adders at 1 GHz, whose additions in a cycle are made up."""

    def __init__(self, additions: list[float]) -> None:
        self.adders, self._additions = 4, iter(additions)

    def look(self) -> Look:
        return Look(1e9, next(self._additions))


def turns(seconds: list[float]) -> timing.Measure:
    """Made-up times: of the run before each turn, and of the turn."""
    following: Iterator[float] = iter(seconds)
    return lambda times: next(following) * times


def test_what_was_measured_beside_others_is_measured_again() -> None:
    # somebody is there before a turn, which is then not taken; after one; and not at all
    watch = Watch(MadeUp([3.0, 4.0, 3.0, 4.0, 3.9]), patience=60)
    assert watch.over(turns([9, 0.5, 9, 0.25]))(2) == Timed(0.5, 0.5e9, alone=True)
    assert watch.patience < 60


def test_patience_has_an_end() -> None:
    watch = Watch(MadeUp([3.0, 3.0, 4.0, 3.0]), patience=0)
    run = watch.over(turns([9, 0.5, 9, 0.25]))
    assert [run(1), run(1)] == [Timed(0.5, 0.5e9, alone=False), Timed(0.25, 0.25e9, alone=False)]


def test_disturbed_turns_are_left_out_where_enough_are_not() -> None:
    def runs(alone: str) -> list[Timed]:
        return [Timed(float(i), alone=a == "y") for i, a in enumerate(alone)]

    assert [r.seconds for (r,) in cores.undisturbed(runs("ynynnn"))] == [0, 2]
    assert [r.seconds for (r,) in cores.undisturbed(runs("ynnnnn"))] == [0, 1, 2, 3, 4, 5]
    assert [a.seconds for a, _ in cores.undisturbed(runs("yyyynn"), runs("nnyyyy"))] == [2, 3]


def test_what_a_call_takes_is_taken_off() -> None:
    runs, calls = [Timed(3.0, 9.0), Timed(5.0, 9.0, alone=False)], [Timed(1.0), Timed(1.0)]
    assert cores.without(runs, calls) == [Timed(2.0), Timed(4.0, alone=False)]


def test_cycles_are_not_known_everywhere() -> None:
    assert Watch(None, 1).over(turns([9, 0.5]))(1) == Timed(0.5, None, alone=True)


def test_adders_are_those_of_a_core_that_is_alone() -> None:
    shared, interrupted = np.random.default_rng(0).uniform(2, 3.8, 900), [4.9, 5.05, 34.0]
    assert cores.adders([*shared, *interrupted, *[3.98] * 40]) == 4
    assert cores.adders([*shared, *interrupted, *[3.98] * 40, *[5.96] * 40]) == 6
    assert cores.adders([2.5]) == 2


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the additions are in assembly of x86-64")
def test_core_of_this_machine(cc: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cores, "LEARNING", 0.01)
    core = cores.here()
    assert core is not None
    look = core.look()
    assert core.adders >= 1
    assert look.hertz > 0
    assert look.additions > 0


def test_rounds_are_turn_by_turn() -> None:
    order: list[str] = []

    def candidate(name: str, seconds: float) -> timing.Measure:
        def measure(times: int) -> float:
            order.append(f"{name}{times}")
            return seconds

        return measure

    taken = timing.rounds({"a": candidate("a", 0.1), "b": candidate("b", 0.5)}, count=2, seconds=1.0)
    assert taken == {"a": [0.1, 0.1], "b": [0.5, 0.5]}
    assert order == ["a1", "b1", "a10", "b2", "a10", "b2", "a10", "b2"]


# --- what it says


@pytest.mark.parametrize("layer", [DENSE, MAP, INTEGERS], ids=str)
def test_records_of_a_layer(layer: Layer, cc: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels, "ROUNDS", 2)
    monkeypatch.setattr(kernels, "SECONDS", 1e-5)
    builds = [kernels.BUILDS[0], [b for b in kernels.BUILDS if b.runs_here][-1]]
    records = list(kernels.measure(layer, builds, Watch(None, 0)))
    names = kernels.MAP if layer.columns else kernels.BITS if layer.bits else kernels.INTEGERS
    peer = [("", "onnxruntime")] if layer.bits else []
    assert [(r["build"], r["kernel"]) for r in records] == peer + [(b.name, k) for b in builds for k in names]
    for record in records[len(peer) :]:
        assert isinstance(record["times_first"], timing.Spread)
        assert record["times_first"].median > 0
        assert ("times_onnxruntime" in record) == layer.bits
    assert len([r for r in records if r.get("picked")]) == (len(builds) if layer.bits else 0)
    plain = [{k: timing.plain(v) for k, v in r.items()} for r in records]
    assert str(layer) in kernel_page.kernels(plain)


@pytest.mark.parametrize("build", [b for b in kernels.BUILDS if not b.runs_here], ids=lambda b: b.name)
def test_kernels_compile_for_other_machines(build: kernels.Build, cc: None, tmp_path: Path) -> None:
    kernels._library(tmp_path / "kernels.so", DENSE, build.flags)
    assert (tmp_path / "kernels.so").stat().st_size > 0


def record(kernel: str, build: str, median: float, **more: Any) -> dict[str, Any]:
    figures = {"median": median, "lower": median - 1, "upper": median + 1}
    return {
        "layer": "layer",
        "kind": "convolution",
        "channels": 64,
        "weights": 36_864,
        "macs": 1000,
        "build": build,
        "kernel": kernel,
        "flags": f"-{build}",
        "picked": False,
        "us": figures,
        "macs_per_cycle": figures,
        "times_first": figures,
        "times_onnxruntime": figures,
        "turns": 6,
        "alone": 6,
        **more,
    }


def cells(text: str) -> list[Mapping[str, str]]:
    """The rows of the only table in ``text``, by column."""
    head, _, *rows = ([c.strip() for c in line.strip("|").split("|")] for line in text.splitlines())
    return [dict(zip(head, row, strict=True)) for row in rows]


def test_goals_say_what_is_reached() -> None:
    dense = {"kind": "dense", "channels": 0, "layer": "dense", "weights": 100_000}
    asked, conv, layer, total = cells(
        kernel_page.goals(
            [
                record("convolve_planes", "x86-64-v3", 250),
                record("convolve_nibbles", "x86-64-v3", 240),
                record("sum_nibbles", "x86-64-v3", 990),
                record("convolve_planes", "u64", 54),
                record("dense_sliced_threshold", "x86-64-v3", 199, **dense),
                record("dense_sliced_threshold", "u64", 30, **dense),
                record("convolve_planes", "x86-64-v3", 5, layer="narrow", channels=32),
                record("dense_threshold", "x86-64-v3", 5, **(dense | {"layer": "small", "weights": 100})),
            ]
        )
    )
    avx2, avx512, u64 = (g.title for g in kernel_page.GOALS[:3])
    assert asked[avx2] == "convolutions 250, dense layers 200"
    assert [conv["layer"], conv[avx2], conv[avx512]] == ["layer", "250 (249 to 251)", ""]
    assert [layer["layer"], layer[avx2]] == ["dense", "**not reached**: 199 (198 to 200) of 200"]
    assert [conv[u64], layer[u64]] == ["**not reached**: 54.0 (53.0 to 55.0) of 55", ""]
    assert total[avx2] == "1 of 1 convolutions, 0 of 1 dense layers"
    assert total[avx512] == "not measured: this machine has no such instructions"


def test_page_says_which_kernel_is_taken_and_which_is_best() -> None:
    theirs = record("onnxruntime", "", 12, call_us={"median": 3.8, "lower": 3.0, "upper": 4.0})
    taken, other = (
        record("convolve_row_sliced", build, 50, picked=True, layer=layer)
        for build, layer in (("u64", "layer"), ("u64", "other"))
    )
    best = record("convolve_planes", "u64", 75.25)
    first, second = cells(kernel_page.taken([theirs, taken, best, other, record("sum_nibbles", "u64", 99)]))
    assert first == {
        "layer": "layer",
        "u64": "convolve_row_sliced 50.0; convolve_planes 75.2",
        "onnxruntime": "12.0 us + 3.8",
    }
    assert second == {"layer": "other", "u64": "convolve_row_sliced 50.0", "onnxruntime": ""}


def test_table_of_all_kernels_has_builds_as_columns() -> None:
    by_time = record("a", "v", 2.0)
    del by_time["macs_per_cycle"]
    text = kernel_page.every([record("a", "u", 5), by_time, record("b", "v", 7)])
    assert cells(text) == [
        {"layer": "layer", "kernel": "a", "u": "5.00", "v": "0.50"},
        {"layer": "layer", "kernel": "b", "u": "", "v": "7.00"},
    ]


def test_page_says_which_turns_were_disturbed() -> None:
    text = kernel_page.kernels([record("a", "u", 5, alone=3), record("b", "u", 7, alone=1)])
    assert "In the end 4 of 12 turns, 6 for a figure, were undisturbed;\n1 of 2 figures are of disturbed ones" in text
    by_time = record("a", "u", 5)
    del by_time["macs_per_cycle"]
    assert "not known of this machine" in kernel_page.kernels([by_time])
