"""Choices of kernels: measured ones, replayed ones, and files that do not fit."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnncompiler
from bnncompiler import cli, compiler, stimuli, tuning
from bnncompiler.choices import KernelChoices, read_choices
from bnncompiler.compiler import Compilation
from bnncompiler.errors import UsageError
from bnncompiler.ir import Array
from bnncompiler.machines import clock, records
from tests.networks import cnn, mlp

pytestmark = pytest.mark.usefixtures("cc")

CNN = cnn([3, 32, 40], size=(6, 5), pad_value=1.0, head="dense")
SUMS = cnn([3, 32, 33], size=(6, 5), head="mean", batch_norm=False)  # zero padding, and sums that are wanted


def compiled(model: Any = CNN, **options: Any) -> Compilation:
    return bnncompiler.compile(model, name="net", input="int8", **options)


def kernels(compilation: Compilation) -> set[str]:
    return {k.removeprefix("bnn_") for c in compilation.program.calls for k in c.kernels()}


def convolution(compilation: Compilation) -> str:
    """The first layer that can be looked up row by row."""
    decisions = compilation.lowered.decisions
    return next(d.layer for d in decisions if "convolve_nibbles" in d.questions[0].offered)


def variants(compilation: Compilation) -> list[Compilation]:
    return list(tuning._variants(compilation))


def computed(compilation: Compilation) -> list[Array]:
    """What the program gives for a random sample, in numpy."""
    program = compilation.program
    generated = stimuli.generate(compilation.graph, 3, np.random.default_rng(0))
    inputs = zip(program.inputs, records.fed(program, generated), strict=True)
    memory = program.run({port.buffer.name: q[2] for port, q in inputs})
    return [memory[p.buffer.name] for p in program.outputs]


def inventing(monkeypatch: pytest.MonkeyPatch, fast: str, factor: float = 0.5) -> None:
    """Let calls with the kernel ``fast`` take ``factor`` of the time of all others."""

    def rounds(programs: Sequence[Compilation], *_: object) -> list[Array]:
        return [
            np.array([[factor if f"bnn_{fast}" in c.kernels() else 1.0 for c in p.program.calls]]) for p in programs
        ]

    monkeypatch.setattr(tuning, "_rounds", rounds)


# --- which programs are measured


@pytest.mark.parametrize("model", [CNN, SUMS, mlp([16, 40, 10])])
def test_every_alternative_is_in_a_program_that_is_right(model: Any) -> None:
    programs = variants(compiled(model, target="native"))
    decisions = [d for p in programs for d in p.lowered.decisions]
    taken = {(d.layer, d.answers[: i + 1]) for d in decisions for i in range(len(d.questions))}
    for d in decisions:
        for i, question in enumerate(d.questions):
            assert {(d.layer, (*d.answers[:i], k)) for k in question.offered} <= taken
    assert len({str(p.program) for p in programs}) == len(programs) > 1
    outputs = [computed(p) for p in programs]
    for found in outputs[1:]:
        assert [y.tolist() for y in found] == [y.tolist() for y in outputs[0]]


def test_answers_change_only_the_calls_of_their_decision() -> None:
    programs = variants(compiled())
    outside = []
    for p in programs:
        decisions = p.lowered.decisions
        owned = [i for d in decisions for i in d.calls]
        assert len(owned) == len(set(owned)), "no call belongs to two layers"
        outside.append([c.kernels() for i, c in enumerate(p.program.calls) if i not in owned])
        for d in decisions:
            assert f"bnn_{d.answers[-1]}" in [k for i in d.calls for k in p.program.calls[i].kernels()]
    assert outside == [outside[0]] * len(programs)


# --- what is chosen


def test_the_fastest_is_chosen_and_replayed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    compilation = compiled(target="native")
    assert "convolve_nibbles" in kernels(compilation)
    inventing(monkeypatch, "dense_threshold")
    tuned = bnncompiler.autotune(compilation)
    assert "dense_threshold" in kernels(tuned.compilation)
    assert "convolve_nibbles" not in kernels(tuned.compilation)
    assert tuned.speedup > 1
    assert "times as fast" in tuned.lines()[0] and "instead of" in tuned.lines()[1]
    file = tmp_path / "mine.json"
    file.write_text(tuned.choices.json(), encoding="utf-8")
    for choices in (file, str(file), tuned.choices):
        assert compiled(target="native", choices=choices).files == tuned.compilation.files
    assert "--choices choices.json" in tuned.compilation.files["net.h"]
    assert bnncompiler.verify(tuned.compilation).passed


def test_what_is_hardly_faster_is_not_chosen(monkeypatch: pytest.MonkeyPatch) -> None:
    compilation = compiled(target="native")
    inventing(monkeypatch, "dense_threshold", factor=0.98)
    tuned = bnncompiler.autotune(compilation)
    assert tuned.compilation.program.calls[-1].kernels() == compilation.program.calls[-1].kernels()
    assert kernels(tuned.compilation) == kernels(compilation)
    assert tuned.speedup == 1.0 and len(tuned.lines()) == 1


def test_a_mixture_that_is_no_faster_is_not_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    compilation = compiled(target="native")

    def rounds(programs: Sequence[Compilation], *_: object) -> list[Array]:
        whole = len(programs) == 2 and kernels(programs[1]) != kernels(programs[0])
        return [
            np.full((1, len(p.program.calls)), 2.0 if whole and i else 1.0 / (i + 1)) for i, p in enumerate(programs)
        ]

    monkeypatch.setattr(tuning, "_rounds", rounds)
    tuned = bnncompiler.autotune(compilation)
    assert kernels(tuned.compilation) == kernels(compilation)
    assert tuned.speedup == 1.0


def test_measures_in_the_generated_c(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tuning, "ROUNDS", 2)
    monkeypatch.setattr(tuning, "SECONDS", 0.002)
    tuned = bnncompiler.autotune(compiled())
    assert set(tuned.times) == {d.layer for d in tuned.compilation.lowered.decisions}
    assert all(t > 0 for by_answers in tuned.times.values() for t in by_answers.values())
    again = compiled(choices=tuned.choices)
    assert again.files == tuned.compilation.files and again.lowered.decisions == tuned.compilation.lowered.decisions
    assert bnncompiler.verify(tuned.compilation).passed


def test_clock_has_each_call_of_each_run() -> None:
    c = compiled()
    sample = {n: q[2:] for n, q in stimuli.generate(c.graph, 3, np.random.default_rng(0)).items()}
    with clock.pinned(), clock.build(c.program, c.files, sample, ()) as clocked:
        times = clocked.run(0.001)
    assert times.shape[0] >= 3 and times.shape[1] == len(c.program.calls)
    assert (times >= 0).all() and times.sum() > 0


# --- choices that are given


def test_a_forced_kernel_is_taken() -> None:
    layer = convolution(compiled())
    for kernel in ("dense_threshold", "dense_tiled_threshold"):
        forced = compiled(choices=KernelChoices({layer: (kernel,)}))
        (decision,) = (d for d in forced.lowered.decisions if d.layer == layer)
        assert decision.answers == (kernel,)
        assert f"bnn_{kernel}" in [k for i in decision.calls for k in forced.program.calls[i].kernels()]
        assert bnncompiler.verify(forced, samples=8).passed


def test_other_backends_replay_choices() -> None:
    """They need no machine for it."""
    usual = bnncompiler.compile(mlp([16, 40, 10]), name="net", backend="cmsis")
    decision = usual.lowered.decisions[0]
    other = next(k for k in decision.questions[0].offered if k != decision.answers[0])
    choices = KernelChoices({decision.layer: (other,)})
    forced = bnncompiler.compile(mlp([16, 40, 10]), name="net", backend="cmsis", choices=choices)
    assert forced.lowered.decisions[0].answers[0] == other
    assert forced.files != usual.files


# --- what is refused


def test_a_kernel_whose_time_depends_on_the_data_is_no_choice() -> None:
    options: dict[str, Any] = {"name": "net", "backend": "cmsis"}
    model = mlp([16, 40, 10])
    layer = bnncompiler.compile(model, **options).lowered.decisions[0].layer
    options["choices"] = KernelChoices({layer: ("dense_sliced_threshold",)})
    bnncompiler.compile(model, **options)
    with pytest.raises(UsageError, match=f"choices.json is about a layer '{layer}', but with these options"):
        bnncompiler.compile(model, **options, constant_time=True)


@pytest.mark.parametrize(
    ("kernels", "message"),
    [
        (
            {"nowhere": ["dense_threshold"]},
            "about a layer 'nowhere', but with these options the layers with a choice of kernels are: ",
        ),
        ({"LAYER": ["dense_magic"]}, "LAYER: mine.json has the kernel 'dense_magic' for it, but it can have dense_"),
        ({"LAYER": ["dense_threshold", "dense_threshold"]}, "LAYER: mine.json has 'dense_threshold' for it, too, but"),
    ],
)
def test_stale_choices(kernels: dict[str, list[str]], message: str, tmp_path: Path) -> None:
    model = mlp([16, 40, 10])
    layer = compiled(model).lowered.decisions[0].layer
    (tmp_path / "mine.json").write_text(
        json.dumps({"kernels": {k.replace("LAYER", layer): v for k, v in kernels.items()}})
    )
    with pytest.raises(UsageError, match=message.replace("LAYER", layer) + ".*measure again with --autotune"):
        compiled(model, choices=tmp_path / "mine.json")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "no JSON"),
        ("[]", "no choices"),
        ('{"kernels": ["x"]}', "no choices"),
        ('{"kernels": {"x": "dense_threshold"}}', "no choices"),
        ('{"kernels": {"x": [1]}}', "no choices"),
        (None, "cannot read .*No such file"),
    ],
)
def test_files_that_are_no_choices(text: str | None, message: str, tmp_path: Path) -> None:
    file = tmp_path / "mine.json"
    if text is not None:
        file.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_choices(file)


def test_other_machines_and_goals_are_refused() -> None:
    model = mlp([16, 40, 10])
    with pytest.raises(UsageError, match=r"atmega328p of backend avr runs on .*simavr.*use --backend c99"):
        bnncompiler.autotune(bnncompiler.compile(model, backend="avr"))
    with pytest.raises(UsageError, match="it does not go with --optimize ram"):
        bnncompiler.autotune(compiled(optimize="ram"))


def test_tuning_starts_from_the_cost_model() -> None:
    """Whatever choices a compilation was made with."""
    usual = compiled()
    layer = convolution(usual)
    forced = compiled(choices=KernelChoices({layer: ("dense_threshold",)}))
    assert compiler.with_choices(forced, None).files == usual.files
    assert tuning._usual(forced).files == usual.files


# --- the command


def test_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(cli, "PATIENCE", 3600.0)
    inventing(monkeypatch, "dense_threshold")
    model = tmp_path / "net.onnx"
    model.write_bytes(CNN.SerializeToString())
    start = [str(model), "--input", "int8"]
    assert cli.main([*start, "-o", str(tmp_path / "a"), "--autotune", "--verify"]) == 0
    out = capsys.readouterr().out
    assert "tuned " in out and "instead of convolve_planes" in out and "passed" in out
    choices = tmp_path / "a" / "choices.json"
    assert cli.main([*start, "-o", str(tmp_path / "b"), "--choices", str(choices)]) == 0
    for name in ("net.c", "net.h"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()
    assert not (tmp_path / "b" / "choices.json").exists()
    capsys.readouterr()
    assert cli.main([*start, "-o", str(tmp_path / "c"), "--backend", "avr", "--autotune"]) == 2
    assert "autotuning measures on this machine" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        cli.main([*start, "--autotune", "--choices", str(choices)])
