"""Sample data for calibration and verification: an ``.npz`` whose keys are the names of the graph's inputs.

The file is the user's, so everything about it is checked here, once, and every complaint says what the model expects
and what the file has. Behind this module samples are finite numbers in the graph's own element order (channels last),
and nothing else about them is left to doubt. Whether they are grid units or real values is up to `bnncompiler.grid`.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from bnncompiler.errors import UsageError
from bnncompiler.ir import Array

if TYPE_CHECKING:
    from bnncompiler.frontend.imported import Imported

LABELS = ("labels", "y")

Source = str | os.PathLike[str] | Mapping[str, Array]


@dataclass(frozen=True, eq=False)
class Samples:
    """Inputs for a model, and the classes that they belong to where these are known.

    Attributes:
        arrays: by graph input name: ``[samples, *shape]``, channels last as in the graph, in the type they came in.
        labels: class indices ``[samples]``, or None.
        source: where they came from, for messages.
        unused: what else the file had.
    """

    arrays: Mapping[str, Array]
    labels: Array | None = None
    source: str = "data"
    unused: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(next(iter(self.arrays.values())))

    def first(self, count: int) -> Samples:
        """The first ``count`` samples."""
        labels = None if self.labels is None else self.labels[:count]
        return Samples({k: v[:count] for k, v in self.arrays.items()}, labels, self.source, self.unused)


def load(source: Source | Samples, imported: Imported) -> Samples:
    """Read samples for a model.

    Args:
        source: an ``.npz`` file, or arrays by name. An array is ``[samples, *shape]`` in ONNX's own axis order, or one
            sample without the batch axis. ``labels`` or ``y`` are the classes.
        imported: the model.

    Raises:
        UsageError: the file cannot be read, or its arrays are not samples for this model.
    """
    if isinstance(source, Samples):
        return source
    where = "data" if isinstance(source, Mapping) else str(source)
    found = dict(source) if isinstance(source, Mapping) else _read(Path(source))
    names = [i.name for i in imported.graph.inputs]
    missing = [n for n in names if n not in found]
    if missing:
        raise UsageError(
            f"{where}: no array {_quoted(missing)}; the model's inputs are {_expected(imported)}, "
            f"the file has {_contents(found)}; name the arrays after the inputs"
        )
    arrays = {n: _batch(where, n, np.asarray(found[n]), imported) for n in names}
    counts = {n: len(a) for n, a in arrays.items()}
    if len(set(counts.values())) > 1:
        raise UsageError(f"{where}: the inputs have different numbers of samples: {counts}")
    key = next((n for n in LABELS if n in found and n not in names), None)
    labels = None if key is None else _labels(where, key, np.asarray(found[key]), len(arrays[names[0]]))
    return Samples(arrays, labels, where, tuple(k for k in found if k not in names and k != key))


def _read(path: Path) -> dict[str, Array]:
    """The arrays of an npz file; pickled objects are never unpacked."""
    try:
        archive = np.load(path, allow_pickle=False)
        if isinstance(archive, np.ndarray):
            raise UsageError(f"{path}: a single array; save it by the input's name: numpy.savez(path, name=array)")
        with archive:
            return {name: archive[name] for name in archive.files}
    except UsageError:
        raise
    except FileNotFoundError:
        raise UsageError(f"{path}: no such file") from None
    except Exception as error:
        # numpy answers a broken archive with whatever zipfile, zlib or its own parser raises
        reason = " ".join(str(error).split()) or type(error).__name__
        raise UsageError(f"{path}: not an npz file of numeric arrays ({reason}); write one with numpy.savez") from error


def _batch(where: str, name: str, array: Array, imported: Imported) -> Array:
    """``array`` as samples in the graph's element order."""
    index = imported.views[name].index
    if array.dtype.kind not in "biuf":
        raise UsageError(
            f"{where}: {name!r} holds {array.dtype}, not numbers; save integers (grid units) or floats (real values)"
        )
    if array.shape == index.shape:
        array = array[None]
    if array.shape[1:] != index.shape or array.ndim == 0:
        wanted = _shape(index.shape)
        same_size = array.ndim > 0 and len(array) and array.size == len(array) * index.size
        fix = f"; reshape it to ({len(array)}{wanted[2:]}" if same_size else ""
        raise UsageError(f"{where}: {name!r} has shape {list(array.shape)}, the model takes {wanted}{fix}")
    if not len(array):
        raise UsageError(f"{where}: {name!r} has no samples")
    if array.dtype.kind == "f":
        bad = np.flatnonzero(~np.isfinite(array.reshape(len(array), -1)).all(axis=1))
        if len(bad):
            raise UsageError(f"{where}: {name!r} has NaN or infinity in {len(bad)} samples, first in number {bad[0]}")
    base = np.empty((len(array), index.size), array.dtype)
    base[:, index.reshape(-1)] = array.reshape(len(array), -1)
    return base.reshape(len(array), *imported.views[name].base.type.shape)


def _labels(where: str, name: str, labels: Array, count: int) -> Array:
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if labels.shape != (count,):
        raise UsageError(f"{where}: {name!r} has shape {list(labels.shape)}; {count} samples want ({count},)")
    if labels.dtype.kind not in "biuf" or (labels != np.rint(labels)).any():
        raise UsageError(f"{where}: {name!r} must hold class indices, not {labels.dtype}")
    return labels.astype(np.int64)


def _shape(shape: tuple[int, ...]) -> str:
    return f"({', '.join(['N', *map(str, shape)])}{',' if not shape else ''})"


def _expected(imported: Imported) -> str:
    return ", ".join(f"{i.name!r} {_shape(imported.views[i.name].index.shape)}" for i in imported.graph.inputs)


def _contents(found: Mapping[str, Array]) -> str:
    return ", ".join(f"{k!r} {list(np.shape(v))}" for k, v in found.items()) or "nothing"


def _quoted(names: list[str]) -> str:
    return ", ".join(map(repr, names))
