"""Writing a directory of files whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path

from bnncompiler.errors import UsageError


def write_files(folder: Path, files: Mapping[str, str]) -> None:
    """Put ``files`` (text by name) into ``folder``, which is made where it is missing; what else is in it stays.

    Everything is written beside ``folder`` first, so that a full disk leaves the old files as they were.

    Raises:
        UsageError: the folder cannot be written to.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
        staging = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.resolve().parent))
        try:
            for name, text in files.items():
                (staging / name).write_text(text, encoding="utf-8", newline="\n")
            for name in files:
                os.replace(staging / name, folder / name)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    except OSError as error:
        raise UsageError(f"cannot write to {folder}: {error.strerror}; choose another directory with -o") from error
