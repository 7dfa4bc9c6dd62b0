"""Writing a directory of files whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bnncompiler.errors import UsageError


def check_folder(folder: Path) -> None:
    """See that `write_files` can write to ``folder``, before the work is done whose result goes there.

    Raises:
        UsageError: it cannot.
    """
    there = folder.absolute()
    while not there.exists() and there != there.parent:
        there = there.parent
    if not there.is_dir():
        raise _unwritable(folder, f"{there} is a file")
    if not os.access(there, os.W_OK | os.X_OK):
        raise _unwritable(folder, "Permission denied")


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Put ``files`` (text by path) into ``folder``, which is made where it is missing; what else is in it stays.

    Everything is written to a directory inside of ``folder`` first, so that a full disk leaves the old files as they
    were.

    Raises:
        UsageError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=".bnncompile.", dir=folder))
        try:
            for name, text in files.items():
                (staging / name).parent.mkdir(parents=True, exist_ok=True)
                (staging / name).write_text(text, encoding="utf-8", newline="\n")
            for name in files:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                os.replace(staging / name, folder / name)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise _unwritable(folder, error.strerror or str(error)) from error


def _unwritable(folder: Path, why: str) -> UsageError:
    return UsageError(f"cannot write to {folder}: {why}; choose another directory with -o")
