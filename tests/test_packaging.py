"""What a user installs is what the repository has: wheel, wheel from the sdist, editable, each in a new environment."""

from __future__ import annotations

import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
SOURCES = {
    "bnncompiler": ROOT / "bnncompiler",
    "bnncompiler.passes": ROOT / "passes",
    "bnncompiler.backends": ROOT / "backends",
}
PIP = (sys.executable, "-m", "pip")
BUILD_HERE = (
    "--no-deps",
    "--no-build-isolation",
)  # with the setuptools that is installed, so that no network is needed

IMPORT_ALL = """
import importlib, importlib.metadata, importlib.util, pkgutil, sys
import bnncompiler
def modules(folder, prefix):
    for module in pkgutil.iter_modules([folder], prefix):
        yield module.name
        if module.ispkg:
            yield from modules(f"{folder}/{module.name.rpartition('.')[2]}", module.name + ".")
names = list(modules(bnncompiler.__path__[0], "bnncompiler."))
print(*names)
own = [name for name in names if not name.endswith("__main__")]
for name in own:
    if not name.startswith("bnncompiler.torch"):
        importlib.import_module(name)
assert "torch" not in sys.modules, "only bnncompiler.torch may import torch"
if importlib.util.find_spec("torch"):
    for name in own:
        importlib.import_module(name)
from importlib.resources import files
kernels = files("bnncompiler.backends") / "kernels"
assert [k for k in kernels.iterdir() if k.name.endswith(".h")], "no kernels"
assert (files("bnncompiler") / "py.typed").is_file()
assert importlib.util.find_spec("passes") is None and importlib.util.find_spec("backends") is None
assert importlib.metadata.version("bnncompiler") == bnncompiler.__version__
for point in importlib.metadata.entry_points(group="bnncompiler.backends"):
    point.load()
"""


def on_disk() -> dict[str, Path]:
    """Every module of the repository by its import name."""
    modules = {}
    for package, folder in SOURCES.items():
        for path in folder.rglob("*.py"):
            inside = path.relative_to(folder)
            if inside.parts[0] in ("passes", "backends") and package == "bnncompiler":
                continue  # the links; their targets are listed by themselves
            name = ".".join([package, *inside.with_suffix("").parts])
            modules[name.removesuffix(".__init__")] = path
    return modules


def data_files(package: str) -> set[Path]:
    """What the package's patterns of data files match."""
    folder = SOURCES.get(package, ROOT / package.replace(".", "/"))
    return {path for pattern in SETUPTOOLS["package-data"][package] for path in folder.glob(pattern)}


def test_every_package_on_disk_is_listed() -> None:
    packages = {name for name, path in on_disk().items() if path.name == "__init__.py"}
    folders = {name.rpartition(".")[0] if path.name != "__init__.py" else name for name, path in on_disk().items()}
    assert set(SETUPTOOLS["packages"]) == packages == folders


@pytest.mark.parametrize("package", ["bnncompiler.backends", "bnncompiler.machines"])
def test_every_c_file_is_package_data(package: str) -> None:
    folder = SOURCES.get(package, ROOT / package.replace(".", "/"))
    in_c = {path for path in folder.rglob("*") if path.suffix in (".c", ".h")}
    assert in_c and in_c <= data_files(package)


@pytest.mark.parametrize("name", ["passes", "backends"])
def test_links_show_the_checkout_as_the_installed_package(name: str) -> None:
    link = ROOT / "bnncompiler" / name
    assert link.is_symlink()
    assert link.readlink() == Path("..") / name


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of what a build needs, so that building leaves nothing in the repository."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in ("bnncompiler", "passes", "backends"):
        shutil.copytree(ROOT / name, copy / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(ROOT / name, copy)
    return copy


def run(*command: str | Path, cwd: Path) -> str:
    done = subprocess.run([str(c) for c in command], cwd=cwd, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def environment(folder: Path) -> Path:
    """A fresh environment that sees the packages of this one, but nothing that is installed in it as editable."""
    run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    python = folder / "bin" / "python"
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=folder).strip()
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python


def pip(python: Path, *arguments: str | Path, cwd: Path) -> None:
    run(*PIP, "--python", python, "install", *BUILD_HERE, *arguments, cwd=cwd)


def check_installed(python: Path, cwd: Path) -> None:
    imported = set(run(python, "-I", "-c", IMPORT_ALL, cwd=cwd).split())
    assert imported == set(on_disk()) - {"bnncompiler"}
    assert run(python.with_name("bnncompile"), "--version", cwd=cwd).startswith("bnncompile ")
    assert "c99" in run(python.with_name("bnncompile"), "--list-targets", cwd=cwd)


def contents(wheel: Path) -> set[str]:
    with zipfile.ZipFile(wheel) as archive:
        return {n for n in archive.namelist() if ".dist-info/" not in n}


def expected_contents() -> set[str]:
    def installed(path: Path) -> str:
        inside = path.relative_to(ROOT)
        return str(inside if inside.parts[0] == "bnncompiler" else "bnncompiler" / inside)

    packaged = (path for package in SETUPTOOLS["package-data"] for path in data_files(package))
    return {installed(path) for path in (*on_disk().values(), *packaged)}


def test_wheel(checkout: Path, tmp_path: Path) -> None:
    run(*PIP, "wheel", *BUILD_HERE, "-w", tmp_path, checkout, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    assert contents(wheel) == expected_contents()
    python = environment(tmp_path / "venv")
    pip(python, wheel, cwd=tmp_path)
    check_installed(python, tmp_path)


def test_wheel_from_sdist(checkout: Path, tmp_path: Path) -> None:
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", tmp_path, checkout, cwd=tmp_path)
    (wheel,) = tmp_path.glob("*.whl")
    assert contents(wheel) == expected_contents()
    python = environment(tmp_path / "venv")
    pip(python, wheel, cwd=tmp_path)
    check_installed(python, tmp_path)


def test_editable(checkout: Path, tmp_path: Path) -> None:
    python = environment(tmp_path / "venv")
    pip(python, "--editable", checkout, cwd=tmp_path)
    check_installed(python, tmp_path)
