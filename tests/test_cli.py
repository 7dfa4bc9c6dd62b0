"""The command: exit codes, one-line errors, what is written and what is printed."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import bnncompiler
from bnncompiler import cli
from bnncompiler.errors import UsageError
from bnncompiler.output import write_files

SMALL = Path(__file__).parent / "models" / "idioms_act" / "where_ge.ts.onnx"
SAMPLES = SMALL.with_name("where_ge.ts.input.npz")
WHERE_GE = ("where_ge_ts.c", "where_ge_ts.h")

Command = Callable[..., int]

pytestmark = pytest.mark.usefixtures("cc")


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """However busy the machine is, progress is not among what is printed."""
    monkeypatch.setattr(cli, "PATIENCE", 3600.0)


@pytest.fixture
def run(tmp_path: Path) -> Command:
    """The command with ``-o`` a new directory's ``out``."""
    return lambda *arguments: cli.main([*map(str, arguments), "-o", str(tmp_path / "out")])


def failing(capsys: pytest.CaptureFixture[str]) -> str:
    """The error that was printed: one line on stderr."""
    error = capsys.readouterr().err
    assert error.startswith("bnncompile: error: ")
    assert error.count("\n") == 1
    return error


def written(tmp_path: Path) -> set[str]:
    out = tmp_path / "out"
    assert not list(tmp_path.rglob(".bnncompile*")), "staging directory left behind"
    return {p.name for p in out.iterdir()} if out.exists() else set()


def test_compiles_and_verifies(run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SMALL, "--verify", SAMPLES) == 0
    assert written(tmp_path) == {*WHERE_GE, "report.json"}
    printed = capsys.readouterr().out
    for expected in (
        "where_ge_ts: c99, target host",
        "MACs",
        "flash",
        "arena",
        "hidden values",
        "passed",
        "wrote ",
    ):
        assert expected in printed
    facts = json.loads((tmp_path / "out" / "report.json").read_text())
    assert facts["verify"]["passed"] is True
    assert facts["verify"]["samples"] >= 8


def test_verify_without_file_generates_samples(run: Command, tmp_path: Path) -> None:
    assert run(SMALL, "--calibrate", SAMPLES, "--verify") == 0
    assert json.loads((tmp_path / "out" / "report.json").read_text())["verify"]["samples"] > 0


def test_model_may_follow_verify(run: Command, tmp_path: Path) -> None:
    assert run("--verify", SMALL) == 0
    assert "report.json" in written(tmp_path)


def test_options_are_the_pythons(run: Command, tmp_path: Path) -> None:
    assert run(SMALL, "--name", "net", "--target", "8", "--input", "int8", "--scale", "1/64", "--mean", "0.5") == 0
    compilation = bnncompiler.compile(SMALL, name="net", target="8", input="int8", scale="1/64", mean=0.5)
    for name, text in compilation.files.items():
        assert (tmp_path / "out" / name).read_text() == text
    facts = json.loads((tmp_path / "out" / "report.json").read_text())
    assert facts["target"] == "8"
    assert facts["input"][0]["scale"] == 1 / 64
    assert facts["input"][0]["offset"] == -0.5


def test_emit_and_html(run: Command, tmp_path: Path) -> None:
    assert run(SMALL, "--name", "net", "--emit", "ir,program", "--report", "html") == 0
    assert written(tmp_path) == {"net.ir.txt", "net.program.txt", "report.json", "report.html"}
    assert (tmp_path / "out" / "net.ir.txt").read_text().startswith("graph net {")
    assert (tmp_path / "out" / "net.program.txt").read_text().startswith("program net:")


def test_explain_says_what_each_node_became(run: Command, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SMALL, "--explain") == 0
    printed = capsys.readouterr().out
    assert "binary" in printed
    assert "threshold" in printed


def test_same_input_same_bytes(tmp_path: Path) -> None:
    for out in ("a", "b"):
        assert cli.main([str(SMALL), "-o", str(tmp_path / out)]) == 0
    for name in (*WHERE_GE, "report.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_list_targets(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["--list-targets"]) == 0
    assert "--backend c99 --target host" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((), "which model"),
        ((SMALL, "--wheight-bits", "8"), "--wheight-bits"),
        ((SMALL, "--weight-bits", "1"), "--weight-bits"),
        ((SMALL, "--input", "float"), "float"),
        ((SMALL, "--emit", "ir,rust"), "rust"),
    ],
)
def test_wrong_options_exit_with_2(
    run: Command, arguments: tuple[object, ...], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as exit_:
        run(*arguments)
    assert exit_.value.code == 2
    assert says in failing(capsys)
    assert not written(tmp_path)


def test_wrong_number_exits_with_2(run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(SMALL, "--scale", "1/0") == 2
    assert "1/0" in failing(capsys)
    assert not written(tmp_path)


@pytest.mark.parametrize("content", [None, b"", b"no model", b"\x08\x07" + bytes(100)])
def test_what_is_no_model_exits_with_1(
    run: Command, content: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = tmp_path / "model.onnx"
    if content is not None:
        model.write_bytes(content)
    assert run(model) == 1
    assert "model" in failing(capsys)
    assert not written(tmp_path)


def unsupported(path: Path) -> Path:
    """A valid model that no integer program computes: a product of two inputs."""
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, ["N", 8]) for n in "xy")
    out = helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 8])
    graph = helper.make_graph(
        [helper.make_node("Sin", ["x"], ["s"], name="the_sine"), helper.make_node("Mul", ["s", "y"], ["out"])],
        "g",
        [x, y],
        [out],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), path)
    return path


def test_what_cannot_be_compiled_exits_with_1(run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(unsupported(tmp_path / "m.onnx")) == 1
    error = failing(capsys)
    assert "the_sine" in error or "Sin" in error
    assert not written(tmp_path)


def test_debug_shows_the_traceback(run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(unsupported(tmp_path / "m.onnx"), "--debug") == 1
    assert "Traceback" in capsys.readouterr().err


def test_wrong_samples_exit_with_2(run: Command, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    np.savez(tmp_path / "data.npz", wrong=np.zeros((4, 64), np.float32))
    assert run(SMALL, "--verify", tmp_path / "data.npz") in (1, 2)
    assert "'input'" in failing(capsys)
    assert not written(tmp_path)


def test_wrong_c_exits_with_3_and_is_not_written(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compile_right = bnncompiler.compile

    def compile_wrong(*arguments: object, **options: object) -> bnncompiler.Compilation:
        right = compile_right(*arguments, **options)  # type: ignore[arg-type]
        source = right.files["where_ge_ts.c"]
        threshold = re.compile(r"(_at\[\d+\] = \{\s*)(-?\d+)")
        wrong = threshold.sub(lambda m: f"{m[1]}{int(m[2]) + 8}", source, count=1)
        assert wrong != source
        return replace(right, files={**right.files, "where_ge_ts.c": wrong})

    monkeypatch.setattr(bnncompiler, "compile", compile_wrong)
    assert run(SMALL, "--verify", SAMPLES) == 3
    assert "bnncompile: error: " in capsys.readouterr().err
    assert written(tmp_path) <= {"report.json"}


def test_failed_verification_is_in_the_report(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    verify = bnncompiler.verify

    def find_a_difference(*arguments: object, **options: object) -> object:
        found = verify(*arguments, **options)  # type: ignore[arg-type]
        return replace(found, passed=False, bits_differing=1, failures=("layer: it differs",))

    monkeypatch.setattr(bnncompiler, "verify", find_a_difference)
    assert run(SMALL, "--verify", SAMPLES) == 3
    captured = capsys.readouterr()
    assert "layer: it differs" in captured.out
    last = captured.err.splitlines()[-1]  # before it there may be progress
    assert last == "bnncompile: error: verification failed, see above; only the report was written"
    assert written(tmp_path) == {"report.json"}
    facts = json.loads((tmp_path / "out" / "report.json").read_text())
    assert (facts["verify"]["passed"], facts["verify"]["bits_differing"]) == (False, 1)


def test_too_small_target_exits_with_4(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    compile_big = bnncompiler.compile

    def compile_for_tiny(*arguments: object, **options: object) -> bnncompiler.Compilation:
        big = compile_big(*arguments, **options)  # type: ignore[arg-type]
        return replace(big, target=replace(big.target, name="tiny", flash=100, ram=1 << 20))

    monkeypatch.setattr(bnncompiler, "compile", compile_for_tiny)
    assert run(SMALL) == 4
    error = failing(capsys)
    size = json.loads((tmp_path / "out" / "report.json").read_text())["memory"]["flash_bytes"]
    needs = f"needs {size:,} of 100 B of flash ({size:,} of tables), and tiny has {size - 100:,} B less"
    assert f"{needs}; the largest layer is" in error
    assert "try --optimize size, fewer or narrower layers, or a larger target" in error
    assert written(tmp_path) == {"report.json"}


def test_faults_of_the_compiler_are_one_line_too(
    run: Command, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(*arguments: object, **options: object) -> None:
        raise ZeroDivisionError("two\nlines")

    monkeypatch.setattr(bnncompiler, "compile", broken)
    assert run(SMALL) == 1
    assert "please report it (ZeroDivisionError: two lines)" in failing(capsys)


def test_progress_is_shown_on_long_work_only(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with cli.progress("short work"):
        pass
    assert capsys.readouterr().err == ""
    monkeypatch.setattr(cli, "PATIENCE", 0.01)
    monkeypatch.setattr(cli, "REMINDER", 0.05)
    with cli.progress("long work"):
        time.sleep(0.4)
    first, second, *_ = capsys.readouterr().err.splitlines()
    assert first == "long work ..."
    assert re.fullmatch(r"long work \.\.\. \d+ s", second)


def test_files_of_others_stay(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_files(folder, {"a.c": "old", "b.c": "old"})
    (folder / "mine.txt").write_text("mine")
    write_files(folder, {"a.c": "new"})
    assert {p.name: p.read_text() for p in folder.iterdir()} == {"a.c": "new", "b.c": "old", "mine.txt": "mine"}


def test_nothing_is_half_written(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    write_files(folder, {"a.c": "old", "b.c": "old"})
    with pytest.raises(UsageError, match="cannot write"):
        write_files(folder, {"a.c": "new", "b.c": "new", "b.c/below": "new"})
    assert {p.name: p.read_text() for p in folder.iterdir()} == {"a.c": "old", "b.c": "old"}
    assert [p.name for p in tmp_path.iterdir()] == ["out"]


def never(*arguments: object, **options: object) -> None:
    raise AssertionError("compiled, though the result has nowhere to go")


@pytest.mark.parametrize("out", ["out", "out/deeper/still"])
def test_output_that_is_a_file_exits_with_2(
    out: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bnncompiler, "compile", never)
    (tmp_path / "out").write_text("a file")
    assert cli.main([str(SMALL), "-o", str(tmp_path / out)]) == 2
    assert f"{tmp_path / 'out'} is a file" in failing(capsys)
    assert (tmp_path / "out").read_text() == "a file"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_directory_without_permission_exits_with_2(
    run: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bnncompiler, "compile", never)
    tmp_path.chmod(0o555)
    assert run(SMALL) == 2
    assert "Permission denied" in failing(capsys)


def test_module_is_the_command_and_survives_a_closed_pipe(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "bnncompiler", str(SMALL), "-o", str(tmp_path / "out")]
    reader, writer = os.pipe()
    os.close(reader)
    with open(writer, "wb") as closed:
        done = subprocess.run(command, stdout=closed, stderr=subprocess.PIPE, text=True, cwd=Path(__file__).parents[1])
    assert not [line for line in done.stderr.splitlines() if not line.startswith("compiling")]  # progress, if slow
    assert done.returncode == 0
    assert "report.json" in written(tmp_path)
