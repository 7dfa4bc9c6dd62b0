"""Projects: what they consist of, and that what is in them builds and runs."""

from __future__ import annotations

import configparser
import re
import subprocess
from pathlib import Path

import numpy as np
import pytest

import bnncompiler
from bnncompiler import Compilation, cli
from bnncompiler.backends import projects
from bnncompiler.backends.avr import AVR, BOARDS, PROJECTS
from bnncompiler.errors import EmitError, UsageError
from bnncompiler.ir import Array
from bnncompiler.output import write_files
from tests.backends.programs import about, branches
from tests.conftest import need
from tests.networks import mlp

SHIM = Path(__file__).with_name("arduino_shim.h")


@pytest.fixture(scope="module")
def compilation() -> Compilation:
    return bnncompiler.compile(mlp([20, 30, 7]), backend="avr", name="net", input="int8", scale="1/16")


def images(count: int) -> Array:
    return np.random.default_rng(5).integers(-128, 128, (count, 20)).astype(np.int8)


def sketch(compilation: Compilation, kind: str, folder: Path) -> Path:
    """The project's C++, with the shim in place of Arduino and a main program."""
    files = compilation.project(kind)
    write_files(folder, files)
    (name,) = (f for f in files if f.endswith((".ino", ".cpp")))
    main = folder / "main.cpp"
    text = files[name].replace("#include <Arduino.h>", "")
    main.write_text(f'#include "{SHIM}"\n{text}\nint main() {{ setup(); for (;;) loop(); }}\n')
    return main


def expected(compilation: Compilation, q: Array) -> Array:
    with compilation.backend.machine(compilation.target).build(compilation.program, compilation.files) as built:
        return np.asarray(built.run({"x": q}, trace=False).outputs[0].argmax(axis=1))


def test_the_arduino_library_has_its_layout(compilation: Compilation) -> None:
    files = compilation.project("arduino")
    assert sorted(files) == [
        "examples/net_serial/net_serial.ino",
        "keywords.txt",
        "library.properties",
        "src/net.c",
        "src/net.h",
    ]
    properties = dict(line.split("=", 1) for line in files["library.properties"].splitlines())
    wanted = {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url", "architectures"}
    assert wanted <= set(properties)
    assert properties["name"] == "net" and re.fullmatch(r"\d+\.\d+\.\d+", properties["version"])
    assert properties["includes"] == "net.h" and properties["architectures"] == "avr"
    assert files["src/net.c"] == compilation.files["net.c"]


@pytest.mark.parametrize("kind", ["arduino", "platformio"])
def test_a_sketch_compiles_for_the_chip_and_answers_with_the_class(
    kind: str, compilation: Compilation, tmp_path: Path
) -> None:
    main = sketch(compilation, kind, tmp_path)
    source = tmp_path / PROJECTS[kind].format(model="net")
    flags = ["-Wall", "-Wextra", "-Werror", f"-I{source}"]
    chip = [*flags, "-mmcu=atmega328p", "-Os"]
    for c, cpp, options in (("avr-gcc", "avr-g++", chip), ("gcc", "g++", flags)):
        model, program = tmp_path / f"{c}.o", tmp_path / c
        subprocess.run([need(c), *options, "-std=gnu11", "-c", source / "net.c", "-o", model], check=True)
        subprocess.run([need(cpp), *options, "-std=gnu++11", main, model, "-o", program], check=True)
    q = images(20)
    done = subprocess.run([tmp_path / "gcc"], input=q.tobytes(), capture_output=True, check=True)
    first, *answers = done.stdout.decode().splitlines()
    assert first == "self-test: 0"
    assert [int(a) for a in answers] == expected(compilation, q).tolist()


@pytest.mark.parametrize("target", AVR.targets())
def test_make_builds(target: str, tmp_path: Path) -> None:
    need("avr-gcc"), need("make")
    small = bnncompiler.compile(mlp([20, 30, 7]), backend="avr", target=target, name="net", input="int8", scale="1/16")
    write_files(tmp_path, small.project("make"))
    done = subprocess.run(["make", "-s"], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == "" and (tmp_path / "net.hex").read_text().startswith(":10")


def test_platformio_names_a_board(compilation: Compilation) -> None:
    assert set(AVR.targets()) - set(BOARDS) == {"attiny85"}
    files = compilation.project("platformio")
    ini = configparser.ConfigParser()
    ini.read_string(files["platformio.ini"])
    assert ini["env:atmega328p"]["board"] == "uno" and ini["env:atmega328p"]["framework"] == "arduino"
    assert files["lib/net/net.c"] == compilation.files["net.c"]


def test_outputs_without_classes_are_all_printed() -> None:
    values = projects.values(branches(word_bits=8), about("8"))
    assert values["what"] == "the outputs"
    assert values["answer"].count("print_number(") == 2 and "branches_run(" in values["answer"]
    assert values["read"].count("receive(") == 2 and values["buffers"].count(";") == 4


def test_unknown_kinds_and_missing_serial_ports_are_refused(
    compilation: Compilation, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(UsageError, match="backend avr has no project 'zip'; it has arduino, platformio, make"):
        compilation.project("zip")
    assert cli.main(["no.onnx", "--project", "make"]) == 2
    assert "backend c99 has no project 'make'; its files go into any project as they are" in capsys.readouterr().err
    tiny = bnncompiler.compile(mlp([20, 30, 7]), backend="avr", target="attiny85", name="net", input="int8")
    with pytest.raises(UsageError, match="attiny85 has no serial port, which the sketch needs; take --project make"):
        tiny.project("arduino")


def test_a_template_with_an_unknown_name_is_an_error() -> None:
    with pytest.raises(EmitError, match=r"MODEL_serial\.ino\.in has unknown names: input_bytes, what, file"):
        projects.render("avr", "arduino", {"model": "net"}, {}, "src")
