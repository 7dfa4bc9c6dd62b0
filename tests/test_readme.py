"""What the README says is so: its commands run, its output is real, its options and files exist."""

from __future__ import annotations

import re
import runpy
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from bnncompiler import cli, passes
from bnncompiler.passes.base import Passes
from tests.corpus import ROOT, SELECTION

pytestmark = pytest.mark.usefixtures("cc")

README = (ROOT / "README.md").read_text()
# What may differ from machine to machine: versions, and the last digits of onnxruntime's float32 sums.
VARIABLE = re.compile(r"onnxruntime [\d.]+\S*|worst error \S+")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def stable(text: str) -> list[str]:
    lines = (VARIABLE.sub("*", line.rstrip()) for line in text.strip().splitlines())
    return [line for line in lines if not line.startswith("wrote ")]


def test_example_output_is_real(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    request: pytest.FixtureRequest,
) -> None:
    """With ``--update-golden`` the README gets the output of now."""
    (block,) = blocks("console")
    command, _, shown = block.partition("\n")
    program, *arguments = shlex.split(command.removeprefix("$ "))
    assert program == "bnncompile"
    arguments[arguments.index("-o") + 1] = str(tmp_path / "out")
    monkeypatch.chdir(ROOT)
    assert cli.main(arguments) == 0
    printed = capsys.readouterr().out
    printed = printed.replace(str(tmp_path / "out"), "build/mnist_mlp").rstrip() + "\n"
    if request.config.getoption("--update-golden"):
        (ROOT / "README.md").write_text(README.replace(shown, printed))
    else:
        assert stable(shown) == stable(printed), "if it should differ, run pytest --update-golden"


def test_the_demo_runs_the_command_that_is_shown() -> None:
    (block,) = blocks("console")
    makefile = " ".join((ROOT / "Makefile").read_text().replace("\\\n", " ").split())
    options = block.partition("\n")[0].partition(" -o build/mnist_mlp ")[2].partition(" --verify")[0]
    assert options in makefile


def test_python_examples_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(SELECTION / "idioms_act" / "where_ge.ts.onnx", tmp_path / "model.onnx")
    shutil.copy(SELECTION / "idioms_act" / "where_ge.ts.input.npz", tmp_path / "data.npz")
    monkeypatch.chdir(tmp_path)
    examples = blocks("python")
    assert len(examples) == 2
    for example in examples:
        (tmp_path / "example.py").write_text(example)
        names = runpy.run_path(str(tmp_path / "example.py"))
        for name, value in names.items():
            if name.startswith("test_"):
                value()


def test_every_option_is_explained() -> None:
    table = README[README.index("## Options") : README.index("## From Python")]
    options = [o for action in cli.parser()._actions for o in action.option_strings if o.startswith("--")]
    assert [o for o in options if f"`{o}" not in table] == []
    assert set(re.findall(r"--[a-z][a-z-]*", table)) == set(options)


def names(steps: Passes) -> list[str]:
    return [n for step in steps for n in (names(step) if isinstance(step, Sequence) else [step.name])]


def test_the_passes_are_shown_in_their_order() -> None:
    drawing = README[README.index("│ frontend ") : README.index("only what kernels compute")]
    shown = [match[1] for match in re.finditer(r"│ (?:[┌│└] )?([a-z-]+) ", drawing)]
    assert shown == ["frontend", *names(passes.pipeline())]


def test_every_file_that_is_named_exists() -> None:
    named = re.findall(r"`((?:bnncompiler|passes|backends|scripts|tests|examples)/[\w/.]*)`", README)
    linked = re.findall(r"\]\(([\w/.]+)\)", README)
    assert [n for n in [*named, *linked] if not (ROOT / n).exists()] == []
    assert len(named) > 10
