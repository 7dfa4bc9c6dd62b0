"""TensorFlow Lite and Larq Compute Engine as candidates of a benchmark, where they are installed.

Both need versions of Python and of numpy that the compiler does not want, so they live in a virtual environment of
their own, ``.peers`` (`scripts/setup_peers.sh`), and in a process of their own (`benchmarks/peer.py`), which measures
when it is told to.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from benchmarks.timing import Measure

ROOT = Path(__file__).parents[1]
PEERS = ROOT / ".peers"
PYTHON = PEERS / "bin" / "python"
SCRIPT = Path(__file__).with_name("peer.py")
MODELS = PEERS / "models"
ENGINES = ("tflite", "larq")


@contextmanager
def measures(network: str | None) -> Iterator[dict[str, Measure]]:
    """The engines that can run ``network``, by name; none, with a word on stderr, where they are not installed."""
    if network is None:
        yield {}
        return
    if not PYTHON.exists():
        print("TensorFlow Lite and Larq Compute Engine: not installed (scripts/setup_peers.sh)", file=sys.stderr)
        yield {}
        return
    _convert(network)
    with ExitStack() as stack:
        yield {engine: stack.enter_context(_served(network, engine)) for engine in ENGINES}


def _convert(network: str) -> None:
    """Make the files that the engines read, once."""
    MODELS.mkdir(exist_ok=True)
    if not (MODELS / f"{network}.tflite").exists():
        subprocess.run(_command(network, "convert"), env=_environment(), check=True, stderr=subprocess.DEVNULL)


@contextmanager
def _served(network: str, engine: str) -> Iterator[Measure]:
    process = subprocess.Popen(
        _command(network, engine),
        env=_environment(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        bufsize=1,
    )
    with process:
        assert process.stdin is not None and process.stdout is not None
        to, answers = process.stdin, process.stdout
        while (line := answers.readline()) != "ready\n":
            if not line:
                raise RuntimeError(f"{engine} does not run {network}; {' '.join(_command(network, engine))} shows why")

        def measure(times: int) -> float:
            to.write(f"{times}\n")
            return float(answers.readline())

        yield measure
        to.close()


def _command(network: str, verb: str) -> list[str]:
    return [str(PYTHON), str(SCRIPT), network, verb, str(MODELS)]


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("PYTHON")}
