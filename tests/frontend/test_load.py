"""Bad input: each damage is one line that says what and where, before anything is allocated for it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from bnncompiler.errors import CompileError, ModelError, UnsupportedModel
from bnncompiler.frontend import load
from tests.networks import Builder, mlp


def refused(model: ModelProto | bytes | Path, kind: type[CompileError], *words: str) -> str:
    with pytest.raises(CompileError) as caught:
        load(model)
    message = str(caught.value)
    assert type(caught.value) is kind, message
    assert "\n" not in message
    for word in words:
        assert word in message, message
    return message


def test_a_path_bytes_and_a_proto_give_the_same_graph(tmp_path: Path) -> None:
    model = mlp([8, 4, 3])
    path = tmp_path / "net.onnx"
    onnx.save(model, path)
    printed = {str(load(m, "net").graph) for m in (path, str(path), path.read_bytes(), model)}
    assert len(printed) == 1
    assert load(path).graph.name == "net"


def test_a_proto_is_not_changed() -> None:
    model = mlp([8, 4, 3])
    before = model.SerializeToString()
    load(model)
    assert model.SerializeToString() == before


def test_no_such_file(tmp_path: Path) -> None:
    refused(tmp_path / "nothing.onnx", ModelError, "nothing.onnx", "cannot be read")


def test_a_folder(tmp_path: Path) -> None:
    refused(tmp_path, ModelError, "cannot be read")


@pytest.mark.parametrize("data", [b"", b"hello, this is not a model", b"\x89PNG\r\n\x1a\n", bytes(64)])
def test_not_onnx(data: bytes) -> None:
    refused(data, ModelError, "not an ONNX model")


@pytest.mark.parametrize("part", [0.02, 0.3, 0.7, 0.99])
def test_truncated(part: float) -> None:
    data = mlp([32, 16, 3]).SerializeToString()
    refused(data[: int(len(data) * part)], ModelError)


def test_no_outputs() -> None:
    model = mlp([4, 3])
    del model.graph.output[:]
    refused(model, ModelError, "no outputs")


def test_an_output_that_nothing_computes() -> None:
    model = mlp([4, 3])
    model.graph.output[0].name = "other"
    refused(model, ModelError, '"other"')


@pytest.mark.parametrize("version", [6, 1000])
def test_an_opset_that_the_reference_cannot_run(version: int) -> None:
    model = mlp([4, 3])
    model.opset_import[0].version = version
    refused(model, UnsupportedModel, f"opset {version}", "7")


def test_a_cycle() -> None:
    b = Builder()
    x = b.input("x", ["N", 4])
    b("Add", x, "b", name="a")
    b("Sign", "a", name="b")
    refused(b.model("b"), ModelError, "cycle", 'Add node "node_0"')


def test_unsorted_nodes_are_sorted() -> None:
    model = mlp([8, 4, 3])
    nodes = list(model.graph.node)
    del model.graph.node[:]
    model.graph.node.extend(reversed(nodes))
    assert str(load(model).graph) == str(load(mlp([8, 4, 3])).graph)


def test_a_dangling_clip_says_how_to_export_again() -> None:
    b = Builder()
    b("Clip", b.input("x", ["N", 4]), "x_min_1", "x_max_1", name="y")
    refused(b.model("y"), ModelError, "x_min_1", "optimize=False")


def test_two_producers_of_one_value() -> None:
    b = Builder()
    x = b.input("x", ["N", 4])
    b("Sign", x, name="y")
    b("Abs", x, name="y")
    refused(b.model("y"), ModelError, '"y"', "Abs")


def test_a_declared_shape_without_data() -> None:
    model = mlp([4, 3], weights="baked")
    model.graph.initializer[-1].dims[:] = [2**20, 2**20]
    refused(model, ModelError, f"{2**20}", "holds 48")


def test_data_that_does_not_fit_the_shape() -> None:
    model = mlp([4, 3], weights="baked")
    model.graph.initializer[-1].raw_data = model.graph.initializer[-1].raw_data[:-4]
    refused(model, ModelError, "holds 44")


def test_typed_data_is_counted_too() -> None:
    model = mlp([4, 3], weights="baked")
    w = model.graph.initializer[-1]
    w.CopyFrom(helper.make_tensor(w.name, TensorProto.FLOAT, [3, 4], np.ones(12, np.float32)))
    load(model)
    w.float_data.append(1.0)
    refused(model, ModelError, "12 elements", "holds 13")


def test_a_negative_dimension() -> None:
    model = mlp([4, 3], weights="baked")
    model.graph.initializer[-1].dims[:] = [-3, -4]
    refused(model, ModelError, "impossible shape")


def test_a_huge_input_is_not_allocated() -> None:
    b = Builder()
    b("Sign", b.input("x", ["N", 2**20, 2**20]), name="y")
    refused(b.model("y"), UnsupportedModel, 'input "x"', "too large")


@pytest.mark.parametrize("op", ["ConstantOfShape", "Expand"])
def test_a_huge_constant_is_not_allocated(op: str) -> None:
    b = Builder()
    x = b.input("x", ["N", 4])
    shape = np.array([2**20, 2**20], np.int64)
    big = b(op, shape) if op == "ConstantOfShape" else b(op, np.float32(1), shape)
    b("Add", x, b("ReduceSum", big, keepdims=0), name="y")
    refused(b.model("y"), ModelError, op, "1048576x1048576")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_weights_that_are_no_numbers(value: float) -> None:
    model = mlp([4, 3])
    w = numpy_helper.to_array(model.graph.initializer[-1]).copy()
    w[0, 0] = value
    name = model.graph.initializer[-1].name
    model.graph.initializer[-1].CopyFrom(numpy_helper.from_array(w, name))
    refused(model, ModelError, f'"{name}"', "NaN", "Sign")


def test_nan_that_a_comparison_would_hide() -> None:
    b = Builder()
    x = b.input("x", ["N", 2])
    w = np.array([[1, np.nan], [1, -1]], np.float32)
    b("MatMul", x, b("Where", b("GreaterOrEqual", w, np.float32(0)), np.float32(1), np.float32(-1)), name="y")
    refused(b.model("y"), ModelError, "NaN", "GreaterOrEqual")


def test_nan_that_only_folding_makes() -> None:
    b = Builder()
    x = b.input("x", ["N", 2])
    zero = np.zeros((2, 2), np.float32)
    b("MatMul", x, b("Div", zero, zero, name="w"), name="y")
    refused(b.model("y"), ModelError, '"w"', "MatMul")


def test_an_infinite_bound_is_no_damage() -> None:
    b = Builder()
    x = b.input("x", ["N", 2])
    b("Clip", x, np.float32(0), np.float32(np.inf), name="y")
    load(b.model("y"))


def test_unused_damage_does_not_matter() -> None:
    model = mlp([4, 3])
    model.graph.initializer.append(numpy_helper.from_array(np.full(3, np.nan, np.float32), "unused"))
    load(model)


@pytest.mark.parametrize(
    ("shape", "kind", "word"),
    [
        (["N", 0], ModelError, "length 0"),
        ([0, 4], ModelError, "length 0"),
        (["N", "C"], UnsupportedModel, "static length"),
        ([], UnsupportedModel, "no static shape"),
    ],
)
def test_input_shapes(shape: list[int | str], kind: type[CompileError], word: str) -> None:
    b = Builder()
    b("Sign", b.input("x", shape), name="y")
    refused(b.model("y"), kind, 'input "x"', word)


def test_an_input_without_a_shape() -> None:
    b = Builder()
    b("Sign", b.input("x", ["N", 4]), name="y")
    model = b.model("y")
    model.graph.input[0].type.tensor_type.ClearField("shape")
    refused(model, UnsupportedModel, "no static shape")


def test_inputs_of_different_batches() -> None:
    b = Builder()
    b("Add", b.input("x", [4, 3]), b.input("y", [2, 3]), name="z")
    refused(b.model("z"), UnsupportedModel, "batch")


def test_a_text_input() -> None:
    b = Builder()
    b("Identity", b.input("x", ["N", 4]), name="y")
    model = b.model("y")
    model.graph.input[0].type.tensor_type.elem_type = TensorProto.STRING
    refused(model, UnsupportedModel, "STRING")


def test_empty_weights() -> None:
    b = Builder()
    b("MatMul", b.input("x", ["N", 4]), np.zeros((4, 0), np.float32), name="y")
    refused(b.model("y"), ModelError, "MatMul", "empty")


def test_weights_of_another_size() -> None:
    b = Builder()
    b("MatMul", b.input("x", ["N", 4]), np.ones((5, 2), np.float32), name="y")
    refused(b.model("y"), ModelError, "MatMul", "5", "4")


def test_unknown_operator() -> None:
    b = Builder()
    b("LSTM", b.input("x", ["N", 4]), name="y")
    refused(b.model("y"), UnsupportedModel, 'LSTM node "node_0"')


def test_what_onnxruntime_refuses() -> None:
    b = Builder()
    b("Add", b.input("x", ["N", 4]), b.constant(np.ones(4, np.float64)), name="y")
    refused(b.model("y"), ModelError, "onnxruntime")


def external(folder: Path, location: str = "weights.bin") -> Path:
    """A model whose weights are in ``weights.bin``, but that says they were at ``location``."""
    model = mlp([8, 4], weights="baked")
    path = folder / "net.onnx"
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    stored = onnx.load(path, load_external_data=False)
    for tensor in stored.graph.initializer:
        for entry in tensor.external_data:
            if entry.key == "location":
                entry.value = location
    path.write_bytes(stored.SerializeToString())
    return path


def test_a_convolution_in_float64_says_how_to_export_again() -> None:
    b = Builder()
    b("Conv", b.input("x", ["N", 1, 4, 4], np.float64), np.ones((1, 1, 3, 3)), name="y")
    with pytest.raises(ModelError, match="export in float32"):
        load(b.model("y"))


def test_external_data_is_loaded(tmp_path: Path) -> None:
    imported = load(external(tmp_path))
    assert str(imported.graph) == str(load(mlp([8, 4], weights="baked"), "net").graph)
    assert all(t.data_location == TensorProto.DEFAULT for t in imported.model.graph.initializer)


def test_external_data_in_a_folder_below(tmp_path: Path) -> None:
    path = external(tmp_path, "data/weights.bin")
    (tmp_path / "data").mkdir()
    (tmp_path / "weights.bin").rename(tmp_path / "data" / "weights.bin")
    load(path)


def test_external_data_missing(tmp_path: Path) -> None:
    path = external(tmp_path)
    (tmp_path / "weights.bin").unlink()
    refused(path, ModelError, "weights.bin", "cannot be read")


def test_external_data_truncated(tmp_path: Path) -> None:
    path = external(tmp_path)
    data = (tmp_path / "weights.bin").read_bytes()
    (tmp_path / "weights.bin").write_bytes(data[:-1])
    refused(path, ModelError, "weights.bin", "not complete")


def test_external_data_without_a_folder(tmp_path: Path) -> None:
    refused(external(tmp_path).read_bytes(), ModelError, "pass the path")


@pytest.mark.parametrize("how", ["absolute", "up", "link"])
def test_external_data_outside(tmp_path: Path, how: str) -> None:
    home = tmp_path / "home"
    home.mkdir()
    location = {"absolute": str(tmp_path / "weights.bin"), "up": "../weights.bin", "link": "link.bin"}[how]
    path = external(home, location)
    (home / "weights.bin").rename(tmp_path / "weights.bin")
    if how == "link":
        os.symlink(tmp_path / "weights.bin", home / "link.bin")
    refused(path, ModelError, location, "outside")


@pytest.mark.parametrize(("key", "value"), [("length", "7"), ("offset", "-4"), ("offset", "many"), ("offset", "4096")])
def test_external_data_with_bad_places(tmp_path: Path, key: str, value: str) -> None:
    path = external(tmp_path)
    stored = onnx.load(path, load_external_data=False)
    for tensor in stored.graph.initializer:
        kept = [(e.key, e.value) for e in tensor.external_data if e.key != key]
        del tensor.external_data[:]
        for k, v in [*kept, (key, value)]:
            tensor.external_data.add(key=k, value=v)
    path.write_bytes(stored.SerializeToString())
    refused(path, ModelError, "initializer")


def test_a_model_beyond_what_protobuf_holds(tmp_path: Path) -> None:
    path = tmp_path / "huge.onnx"
    with path.open("wb") as stream:
        stream.truncate(2**31)  # sparse: takes no room on the disk
    refused(path, ModelError, "2 GiB")
