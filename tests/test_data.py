"""Sample files: what is read, and what is refused with which words."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import onnx
import pytest

from bnncompiler import data
from bnncompiler.errors import UsageError
from bnncompiler.frontend.imported import Imported, Output, View
from bnncompiler.ir import Array, Graph, TensorType
from bnncompiler.ops import Elementwise, Input


def model_of(**shapes: tuple[int, ...]) -> Imported:
    """A model of inputs alone, with ``shapes`` in ONNX's order, channels first where there are three axes."""
    inputs, views = [], {}
    for name, shape in shapes.items():
        index = np.arange(int(np.prod(shape)), dtype=np.int64).reshape(shape)
        inner = shape
        if len(shape) == 3:
            inner = (*shape[1:], shape[0])
            index = np.moveaxis(index.reshape(inner), -1, 0)
        inputs.append(Input(name, TensorType(inner)))
        views[name] = View(inputs[-1], index)
    graph = Graph("m", tuple(inputs), tuple(Elementwise(f"{i.name}_out", "Abs", (i,)) for i in inputs))
    return Imported(graph, onnx.ModelProto(), views, tuple(Output(o.name, o.name) for o in graph.outputs), (), None, {})


@pytest.fixture
def model() -> Imported:
    return model_of(x=(4,))


def save(path: Path, **arrays: object) -> Path:
    file = path / "data.npz"
    np.savez(file, **{k: np.asarray(v) for k, v in arrays.items()})  # type: ignore[arg-type]
    return file


@pytest.mark.parametrize("name", ["labels", "y"])
def test_inputs_and_labels_are_found_by_name(model: Imported, tmp_path: Path, name: str) -> None:
    x = np.arange(8.0).reshape(2, 4)
    samples = data.load(save(tmp_path, x=x, **{name: [3, 1]}, extra=[1]), model)
    np.testing.assert_array_equal(samples.arrays["x"], x)
    assert samples.labels is not None and samples.labels.tolist() == [3, 1]
    assert samples.unused == ("extra",)
    assert len(samples) == 2 and len(samples.first(1)) == 1


def test_arrays_in_memory_are_as_good_as_a_file(model: Imported) -> None:
    assert len(data.load({"x": np.zeros((3, 4))}, model)) == 3


def test_one_sample_needs_no_batch_axis(model: Imported) -> None:
    assert data.load({"x": np.zeros(4)}, model).arrays["x"].shape == (1, 4)


def test_a_model_input_called_y_is_not_taken_for_labels() -> None:
    samples = data.load({"y": np.zeros((2, 4)), "labels": np.array([[0], [1]])}, model_of(y=(4,)))
    assert samples.labels is not None and samples.labels.tolist() == [0, 1]


def test_images_become_channels_last() -> None:
    x = np.arange(2 * 3 * 4 * 5).reshape(2, 3, 4, 5)
    samples = data.load({"x": x}, model_of(x=(3, 4, 5)))
    np.testing.assert_array_equal(samples.arrays["x"], np.moveaxis(x, 1, -1))


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"image": np.zeros((2, 4))}, r"no array 'x'; the .* inputs are 'x' \(N, 4\), the file has 'image' \[2, 4\]"),
        ({}, r"no array 'x'.* the file has nothing"),
        ({"x": np.zeros((2, 5))}, r"'x' has shape \[2, 5\], the model takes \(N, 4\)"),
        ({"x": np.zeros((3, 2, 2))}, r"the model takes \(N, 4\); reshape it to \(3, 4\)"),
        ({"x": np.zeros(())}, r"'x' has shape \[\]"),
        ({"x": np.zeros((0, 4))}, "no samples"),
        ({"x": np.array([["a"] * 4])}, "not numbers"),
        ({"x": np.zeros((1, 4), complex)}, "not numbers"),
        ({"x": np.array([[0.0] * 4, [0, np.nan, 0, 0]])}, "NaN or infinity in 1 samples, first in number 1"),
        ({"x": np.full((1, 4), np.inf)}, "NaN or infinity"),
        ({"x": np.zeros((2, 4)), "labels": np.zeros(3)}, r"'labels' has shape \[3\]; 2 samples want \(2,\)"),
        ({"x": np.zeros((2, 4)), "labels": np.array([0.5, 1])}, "'labels' must hold class indices"),
    ],
)
def test_what_does_not_fit_is_refused(model: Imported, arrays: dict[str, Array], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        data.load(arrays, model)
    assert "\n" not in str(caught.value)


def test_inputs_must_have_the_same_number_of_samples() -> None:
    with pytest.raises(UsageError, match=re.escape("different numbers of samples: {'a': 2, 'b': 3}")):
        data.load({"a": np.zeros((2, 4)), "b": np.zeros((3, 4))}, model_of(a=(4,), b=(4,)))


def test_files_that_are_no_npz_are_refused(model: Imported, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file"):
        data.load(tmp_path / "none.npz", model)
    (tmp_path / "text.npz").write_text("x,y\n1,2\n")
    with pytest.raises(UsageError, match="not an npz file"):
        data.load(tmp_path / "text.npz", model)
    np.save(tmp_path / "single.npy", np.zeros((2, 4)))
    with pytest.raises(UsageError, match="a single array; save it by the input's name"):
        data.load(tmp_path / "single.npy", model)
    good = save(tmp_path, x=np.zeros((2, 4))).read_bytes()
    (tmp_path / "cut.npz").write_bytes(good[: len(good) // 2])
    with pytest.raises(UsageError, match="not an npz file"):
        data.load(tmp_path / "cut.npz", model)
    with pytest.raises(UsageError, match="not an npz file"):
        data.load(tmp_path, model)


def test_pickled_objects_are_not_unpacked(model: Imported, tmp_path: Path) -> None:
    np.savez(tmp_path / "pickle.npz", x=np.array([{"a": 1}], dtype=object))
    with pytest.raises(UsageError, match="not an npz file of numeric arrays"):
        data.load(tmp_path / "pickle.npz", model)
