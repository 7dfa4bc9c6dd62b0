"""The benchmark's other engines, its page, and its profiles; what it measures is not tested.

`test_benchmark_kernels` is about the part on kernels.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bnncompiler
from benchmarks import page, peers, profile, timing
from benchmarks.__main__ import main, text
from benchmarks.profile import Step
from tests.networks import mlp

SPREAD = {"median": 2.0, "lower": 1.0, "upper": 3.0}
RECORD: dict[str, Any] = {
    "name": "net",
    "onnxruntime_us": SPREAD,
    "bnncompiler_us": SPREAD,
    "ratio": SPREAD,
    "larq_known": 1.5,
    "tables_bytes": 1000,
    "arena_bytes": 10,
    "compile_seconds": 0.1,
}
PEER = """
import sys
network, engine, folder = sys.argv[1:]
if engine == "convert":
    open(f"{folder}/{network}.tflite", "w").close()
    sys.exit()
if engine == "larq" and network == "broken":
    sys.exit(1)
print("ready", flush=True)
for line in sys.stdin:
    print({"tflite": 0.5, "larq": 0.25}[engine] * int(line), flush=True)
"""


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """Engines whose times are made up; returns where their models go."""
    script, models = tmp_path / "peer.py", tmp_path / "models"
    script.write_text(PEER)
    monkeypatch.setattr(peers, "PYTHON", Path(sys.executable))
    monkeypatch.setattr(peers, "SCRIPT", script)
    monkeypatch.setattr(peers, "MODELS", models)
    return models


def test_engines_measure_in_processes_of_their_own(installed: Path) -> None:
    for _ in range(2):
        with peers.measures("net") as engines:
            assert [engines["tflite"](2), engines["larq"](4), engines["tflite"](1)] == [1.0, 1.0, 0.5]
    assert [p.name for p in installed.iterdir()] == ["net.tflite"]


def test_engine_that_does_not_run(installed: Path) -> None:
    with pytest.raises(RuntimeError, match="larq does not run broken"), peers.measures("broken"):
        pass


def test_engines_that_are_not_there(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(peers, "PYTHON", tmp_path / "python")
    for network, word in (("net", "not installed (scripts/setup_peers.sh)"), (None, "")):
        with peers.measures(network) as engines:
            assert engines == {}
        assert word in capsys.readouterr().err


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


@pytest.mark.parametrize("measured", [(), ("larq",), ("tflite", "larq")])
def test_page_has_columns_for_what_was_measured(measured: tuple[str, ...]) -> None:
    other = {**RECORD, **{f"{p}_us": SPREAD for p in measured}, **{f"{p}_ratio": SPREAD for p in measured}}
    text = page.networks([RECORD, other])
    head, _, first, second = (cells(line) for line in text.splitlines() if line.startswith("|"))
    assert len(head) == len(first) == len(second) == 8 + 2 * len(measured)
    for peer in measured:
        column = head.index(f"than {dict(page.PEERS)[peer]}")
        assert (first[column], second[column]) == ("", "2.00 (1.00 to 3.00)")
    assert ("indirect BGEMM" in text) == bool(measured)


def test_results_are_a_record_a_line(cc: None) -> None:
    records: list[dict[str, object]] = [{"us": timing.plain(timing.Spread(1 / 3, 0.25, 2.0))}, {"us": 4}]
    written = text(records)
    assert (
        json.loads(written)["records"]
        == records
        == [{"us": {"median": 0.333333, "lower": 0.25, "upper": 2}}, {"us": 4}]
    )
    assert written.count("\n{") == 2


# --- profiles


def test_profile_has_every_call_of_the_program(cc: None) -> None:
    compilation = bnncompiler.compile(mlp([16, 40, 10]), name="net", input="int8", target="native")
    steps = profile.measure(compilation, None, 0.01)
    calls = compilation.program.calls
    assert [(s.layer, s.macs) for s in steps] == [(c.layer, c.macs) for c in calls]
    assert all(s.kernels and s.us > 0 for s in steps)


def test_profile_of_a_file(cc: None, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "net.onnx").write_bytes(mlp([16, 40, 10]).SerializeToString())
    np.savez(tmp_path / "net.npz", x=np.zeros((1, 16), np.int8))
    arguments = ["profile", str(tmp_path / "net.onnx"), "--samples", str(tmp_path / "net.npz"), "--seconds", "0.01"]
    assert main(arguments) == 0
    assert capsys.readouterr().out.count("100.0%") == 2


STEPS = [Step("dense", "a", 1.0, 2000), Step("add", "b", 2.0, 0), Step("dense", "c", 5.0, 4000)]


def test_profile_shows_the_slowest_and_all() -> None:
    assert profile.table(STEPS, 2) == [
        " us   share   MACs  MAC/ns  kernels  layer",
        "5.0   62.5%  4,000    0.80  dense    c",
        "2.0   25.0%                 add      b",
        "8.0  100.0%  6,000    0.75           total",
    ]


def test_profile_by_kernels() -> None:
    assert profile.by_kernels(STEPS) == [Step("dense", "2 calls", 6.0, 6000), Step("add", "1 call", 2.0, 0)]
