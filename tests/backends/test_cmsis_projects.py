"""Projects for Cortex-M: what can be built is built and run; the rest is checked against what its tools document."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import pytest

import bnncompiler
from bnncompiler import Compilation
from bnncompiler.backends.cmsis import CMSIS
from bnncompiler.backends.cmsis_targets import core_of
from bnncompiler.errors import UsageError
from bnncompiler.output import write_files
from tests.conftest import need
from tests.networks import mlp

# What the programs need of the SDKs, as these declare it.
PICO = {
    "pico/stdlib.h": "#include <stdbool.h>\n#include <stdint.h>\n#include <stddef.h>\nbool stdio_init_all(void);\n",
    "external/pico_sdk_import.cmake": """
function(pico_sdk_init)
endfunction()
foreach(name pico_enable_stdio_usb pico_enable_stdio_uart pico_add_extra_outputs)
    function(${name})
    endfunction()
endforeach()
add_library(pico_stdlib INTERFACE)
target_include_directories(pico_stdlib INTERFACE $ENV{PICO_SDK_PATH})
""",
}
ZEPHYR = {
    "zephyr/kernel.h": "#include <stddef.h>\n#include <stdint.h>\n",
    "zephyr/sys/printk.h": "__attribute__((format(printf, 1, 2))) void printk(const char *format, ...);\n",
    "zephyr/console/console.h": "int console_init(void);\nint console_getchar(void);\n",
}


def compiled(target: str) -> Compilation:
    return bnncompiler.compile(mlp([20, 30, 7]), backend="cmsis", target=target, name="net", input="int8", scale="1/16")


def run(folder: Path, *command: str) -> str:
    need(command[0])
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{' '.join(command)}\n{done.stdout}{done.stderr}"
    return done.stdout + done.stderr


@pytest.mark.parametrize("target", ["cortex-m0plus", "stm32f411", "cortex-m55"])
def test_make_builds_and_qemu_runs_the_self_test(target: str, tmp_path: Path) -> None:
    write_files(tmp_path, compiled(target).project("make"))
    need("arm-none-eabi-gcc"), need("qemu-system-arm")
    assert run(tmp_path, "make", "-s") == ""
    run(tmp_path, "make", "-s", "test")
    main = tmp_path / "qemu" / "main.c"
    main.write_text(main.read_text().replace("net_selftest(arena);", "net_selftest(arena) + 3;"))
    done = subprocess.run(["make", "-s", "test"], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode != 0 and "Error 3" in done.stderr


def test_cmake_builds_and_ctest_runs_the_self_test(tmp_path: Path) -> None:
    write_files(tmp_path, compiled("cortex-m33").project("cmake"))
    need("arm-none-eabi-gcc"), need("qemu-system-arm")
    run(tmp_path, "cmake", "-B", "build", "-DCMAKE_TOOLCHAIN_FILE=arm-none-eabi.cmake")
    assert "warning" not in run(tmp_path, "cmake", "--build", "build")
    assert "100% tests passed" in run(tmp_path, "ctest", "--test-dir", "build")


@pytest.mark.parametrize("target", ["rp2040", "rp2350"])
def test_the_pico_project_configures_and_compiles(target: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_files(tmp_path / "project", compiled(target).project("pico"))
    write_files(tmp_path / "sdk", PICO)
    monkeypatch.setenv("PICO_SDK_PATH", str(tmp_path / "sdk"))
    flags = [*core_of(target).flags, "-std=gnu11", "-Wall", "-Wextra", "-Werror", f"-I{tmp_path / 'sdk'}"]
    run(tmp_path / "project", "arm-none-eabi-gcc", *flags, "-c", "main.c", "net.c")
    run(tmp_path / "project", "cmake", "-B", "build")
    assert f"PICO_BOARD:STRING={'pico' if target == 'rp2040' else 'pico2'}" in (
        tmp_path / "project" / "build" / "CMakeCache.txt"
    ).read_text(encoding="utf-8")


def test_the_pico_project_is_for_picos() -> None:
    with pytest.raises(UsageError, match="cortex-m4 is no chip of a Pico; take --target rp2040 or rp2350"):
        compiled("cortex-m4").project("pico")


def test_the_zephyr_application(tmp_path: Path) -> None:
    files = compiled("nrf52840").project("zephyr")
    assert sorted(files) == ["CMakeLists.txt", "prj.conf", "sample.yaml", "src/main.c", "src/net.c", "src/net.h"]
    settings = [line for line in files["prj.conf"].splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"CONFIG_[A-Z0-9_]+=(y|n|\d+)", line) for line in settings)
    listed = re.search(r"target_sources\(app PRIVATE (.*)\)", files["CMakeLists.txt"])
    assert listed is not None and set(listed[1].split()) <= set(files)
    sample = files["sample.yaml"]
    assert sample.startswith("sample:\n  name: net\n") and "\ntests:\n  bnn.net:\n" in sample
    write_files(tmp_path, {**files, **ZEPHYR})
    flags = [*core_of("nrf52840").flags, "-std=gnu11", "-Wall", "-Wextra", "-Werror", "-I."]
    run(tmp_path, "arm-none-eabi-gcc", *flags, "-c", "src/main.c", "src/net.c")


@pytest.mark.parametrize("target", ["cortex-m0plus", "stm32f103", "cortex-m55"])
def test_the_pack_has_the_form_that_open_cmsis_pack_documents(target: str) -> None:
    files = compiled(target).project("cmsis-pack")
    package = ElementTree.fromstring(files["bnncompiler.net.pdsc"])
    assert package.tag == "package" and package.attrib["schemaVersion"] == "1.7.7"
    required = ["vendor", "name", "description", "url", "releases"]
    assert [e.tag for e in package] == [*required, "conditions", "components"]
    assert f"{package.findtext('vendor')}.{package.findtext('name')}.pdsc" in files
    versions = [r.attrib["version"] for r in package.iter("release")]
    assert versions and all(re.fullmatch(r"\d+\.\d+\.\d+", v) for v in versions)
    conditions = {c.attrib["id"]: c for c in package.iter("condition")}
    (component,) = package.iter("component")
    assert {"Cclass", "Cgroup", "Cversion"} <= set(component.attrib) and component.attrib["condition"] in conditions
    required_core = conditions[component.attrib["condition"]].find("require")
    assert required_core is not None and required_core.attrib == {"Dcore": core_of(target).dcore}
    for file in component.iter("file"):
        assert file.attrib["category"] in ("header", "include", "sourceC")
        assert any(path.startswith(file.attrib["name"]) for path in files)


def test_unknown_kinds_are_refused() -> None:
    assert CMSIS.projects() == ("cmake", "make", "zephyr", "pico", "cmsis-pack")
    with pytest.raises(UsageError, match="backend cmsis has no project 'zip'; it has cmake, make, zephyr"):
        compiled("cortex-m4").project("zip")
