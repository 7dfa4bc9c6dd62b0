"""The instruction counter: a plugin for QEMU, built from its packaged source the first time it is needed.

It is kept in ``$XDG_CACHE_HOME/bnncompiler`` (``~/.cache/bnncompiler``), under a name that changes with the source, the
machine and the interface of QEMU, so that what lies there is never stale.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import tempfile
from importlib.resources import files
from pathlib import Path

from bnncompiler.errors import ToolError

SOURCE = "cortex_m/instructions.c"
_FLAGS = ("-O2", "-fPIC", "-shared")


def path(qemu: str, compiler: list[str]) -> Path:
    """The plugin as a shared object for the program ``qemu``, built with the host's ``compiler`` where it is not yet.

    Raises:
        ToolError: QEMU does not start, or the compiler refuses the source.
    """
    source = (files("bnncompiler.machines") / SOURCE).read_text(encoding="utf-8")
    version = interface(qemu_version(qemu))
    command = [*compiler, *_FLAGS, f"-DBNN_PLUGIN_VERSION={version}"]
    digest = hashlib.sha256("\0".join([source, os.uname().machine, *command]).encode()).hexdigest()[:16]
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "bnncompiler"
    built = cache / f"instructions-{digest}.so"
    if not built.is_file():
        _build(command, source, built)
    return built


def qemu_version(qemu: str) -> int:
    """The major version of the program ``qemu``."""
    done = subprocess.run([qemu, "--version"], capture_output=True, text=True, check=False)
    found = re.search(r"version (\d+)\.", done.stdout)
    if found is None:
        raise ToolError(f"{qemu} does not say its version: {(done.stderr or done.stdout).strip() or 'no message'}")
    return int(found.group(1))


def interface(version: int) -> int:
    """Which version of the plugin interface that QEMU has: 1 up to QEMU 8, and 2 at least since QEMU 9."""
    return 1 if version < 9 else 2


def _build(command: list[str], source: str, built: Path) -> None:
    """Compile to a file of another name first: two processes may be doing this at the same time."""
    built.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=built.parent) as folder:
        (Path(folder) / "instructions.c").write_text(source, encoding="utf-8")
        done = subprocess.run(
            [*command, "instructions.c", "-o", "plugin.so"], cwd=folder, capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            first = (done.stderr.strip().splitlines() or ["no message"])[0]
            raise ToolError(f"{command[0]} does not compile the instruction counter: {first}")
        (Path(folder) / "plugin.so").replace(built)
