"""What tests share: golden files, and C compilers.

``golden(name, text)`` compares a text with ``tests/golden/<name>``; ``pytest --update-golden`` writes the file instead.
``cc`` builds and runs C files with the first compiler that is there.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import pytest

GOLDEN = Path(__file__).parent / "golden"
STRICT = ("-std=c99", "-pedantic", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")
SANITIZERS = ("-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="write the golden files instead of comparing with them"
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    update = bool(request.config.getoption("--update-golden"))

    def compare(name: str, text: str) -> None:
        path = GOLDEN / name
        if update:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        assert path.is_file(), f"there is no golden file {name}; run pytest --update-golden and look at what it wrote"
        assert text == path.read_text(encoding="utf-8"), f"{name} has changed; if it should, run pytest --update-golden"

    return compare


def missing(tool: str) -> NoReturn:
    """Skip the test because ``tool`` is missing; in CI, where every tool must be there, fail it."""
    reason = f"{tool} is not installed; scripts/setup.sh installs it or says how"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def need_module(name: str) -> None:
    """Skip the test module where the Python package ``name`` is missing; in CI, fail."""
    if importlib.util.find_spec(name):
        return
    reason = f"{name} is not installed; scripts/setup_torch.sh installs it or says how"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason, allow_module_level=True)


def need(tool: str) -> str:
    """``tool`` if it is installed."""
    if not shutil.which(tool):
        missing(tool)
    return tool


def need_bochs() -> None:
    """Skip the test where Bochs, or what builds programs for it, is missing."""
    from bnncompiler.errors import ToolError
    from bnncompiler.machines import bochs_pc

    try:
        bochs_pc.check_tools()
    except ToolError:
        missing("Bochs, or a compiler for it,")


@dataclass(frozen=True)
class Compiler:
    """A C compiler and a directory to work in."""

    command: str
    folder: Path

    def compile(self, files: Mapping[str, str], *flags: str, output: str = "program") -> Path:
        """Compile and link all ``.c`` files of ``files``; the compiler's messages are the failure's."""
        for name, text in files.items():
            (self.folder / name).write_text(text, encoding="utf-8")
        sources = [name for name in files if name.endswith(".c")]
        self.call([self.command, *flags, *sources, "-o", output])
        return self.folder / output

    def assembly(self, source: Path, *flags: str) -> str:
        """What one file becomes, as text."""
        self.call([self.command, *flags, "-S", str(source), "-o", "code.s"])
        return (self.folder / "code.s").read_text(encoding="utf-8")

    def run(self, files: Mapping[str, str], *flags: str) -> str:
        """Compile ``files`` and return what the program prints; it must exit with 0."""
        return self.call([str(self.compile(files, *flags))])

    def call(self, command: list[str]) -> str:
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{' '.join(command)}: exit code {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout


@pytest.fixture
def cc(tmp_path: Path) -> Compiler:
    for command in ("gcc", "clang", "cc"):
        if shutil.which(command):
            return Compiler(command, tmp_path)
    missing("a C compiler")


@pytest.fixture(scope="session")
def avr() -> None:
    """avr-gcc and the simulator are there; else the test is skipped."""
    from bnncompiler.errors import ToolError
    from bnncompiler.machines import simavr

    need("avr-gcc")
    try:
        simavr.runner()
    except ToolError:
        missing("libsimavr")
