"""Whole models: constants fold, conditions resolve, heads, outputs, and what the user is told."""

from __future__ import annotations

import numpy as np
import pytest
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from bnncompiler.errors import ModelError, UnsupportedModel
from bnncompiler.frontend import load
from bnncompiler.ir import Array
from bnncompiler.ops import ArgMax, Dense
from tests.frontend.agreement import check
from tests.networks import SIGNS, Builder, mlp

RNG = np.random.default_rng(0)
X = RNG.standard_normal((5, 6)).astype(np.float32)
W = RNG.standard_normal((6, 4)).astype(np.float32)


@pytest.mark.parametrize("sign", SIGNS)
@pytest.mark.parametrize("weights", ["sign", "baked"])
@pytest.mark.parametrize("batch", ["N", 1, 4])
def test_multilayer_perceptrons(sign: str, weights: str, batch: int | str) -> None:
    samples = 3 if batch == "N" else int(batch)
    x = np.random.default_rng(1).standard_normal((samples, 33)).astype(np.float32)
    imported = check(mlp([33, 17, 9, 5], sign=sign, weights=weights, prelu=True, batch=batch), {"x": x}, 1e-4)
    assert imported.graph.outputs[0].type.shape == (5,)
    assert imported.outputs[0].reference == "logits"


@pytest.mark.parametrize("opset", [13, 15, 18, 20, 21, 22])
def test_opsets(opset: int) -> None:
    check(mlp([8, 4, 3], opset=opset), {"x": RNG.standard_normal((3, 8)).astype(np.float32)}, 1e-4)


def test_a_weight_branch_folds_at_any_size() -> None:
    b = Builder()
    w = RNG.standard_normal((300, 6)).astype(np.float32)
    alpha = b("ReduceMean", b("Abs", w), axes=[1], keepdims=1)
    b("Gemm", b.input("x", ["N", 6]), b("Mul", b("Sign", w), alpha), name="y", transB=1)
    imported = check(b.model("y"), {"x": X})
    dense = imported.graph.outputs[0]
    assert isinstance(dense, Dense)
    np.testing.assert_allclose(dense.weight, np.sign(w) * np.abs(w).mean(1, keepdims=True), rtol=1e-6)
    assert list(imported.origins["y"]) == [
        "node_0:Abs", "node_1:ReduceMean", "node_2:Sign", "node_3:Mul", "node_4:Gemm"
    ]  # fmt: skip


def test_packed_weights_are_unpacked() -> None:
    b = Builder(20)
    packed = RNG.integers(0, 256, (4, 1), np.uint8)
    shifted = b("BitShift", packed, np.arange(8, dtype=np.uint8)[None], direction="RIGHT")
    bits = b("Cast", b("BitwiseAnd", shifted, np.uint8(1)), to=TensorProto.FLOAT)
    signs = b("Sub", b("Mul", bits, np.float32(2)), np.float32(1))
    b("MatMul", b.input("x", ["N", 8]), b("Transpose", signs), name="y")
    imported = check(b.model("y"), {"x": RNG.standard_normal((3, 8)).astype(np.float32)})
    dense = imported.graph.outputs[0]
    assert isinstance(dense, Dense)
    np.testing.assert_array_equal(dense.weight, 2.0 * np.unpackbits(packed, axis=1, bitorder="little") - 1)


def test_constant_nodes_in_all_their_forms() -> None:
    b = Builder()
    x = b.input("x", ["N", 6])
    tensor = numpy_helper.from_array(np.arange(6, dtype=np.float32))
    for attrs in ({"value": tensor}, {"value_float": 2.0}, {"value_floats": [1.0] * 6}):
        x = b("Add", x, b("Constant", **attrs))
    check(b.model(x), {"x": X})


def test_a_loop_over_constants_folds() -> None:
    """``w = c; repeat 3 times: w = 2 w``."""
    keep = helper.make_node("Identity", ["going"], ["go_on"])
    double = helper.make_node("Add", ["w_in", "w_in"], ["w_out"])
    body = helper.make_graph(
        [keep, double],
        "body",
        [
            helper.make_tensor_value_info("i", TensorProto.INT64, []),
            helper.make_tensor_value_info("going", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w_in", TensorProto.FLOAT, [6, 4]),
        ],
        [
            helper.make_tensor_value_info("go_on", TensorProto.BOOL, []),
            helper.make_tensor_value_info("w_out", TensorProto.FLOAT, [6, 4]),
        ],
    )
    b = Builder()
    w = b("Loop", b.constant(np.int64(3)), b.constant(np.array(True)), W, body=body)
    b("MatMul", b.input("x", ["N", 6]), w, name="y")
    dense = check(b.model("y"), {"x": X}).graph.outputs[0]
    assert isinstance(dense, Dense)
    np.testing.assert_array_equal(dense.weight, 8 * W.T)


def branch(op: str, inner: str, weight: Array | None = None) -> tuple[list[NodeProto], list[TensorProto], str]:
    nodes = [helper.make_node(op, ["x"], [inner], f"{op}_inside")]
    if weight is None:
        return nodes, [], inner
    nodes.append(helper.make_node("MatMul", [inner, "w"], ["product"], "product_inside"))
    return nodes, [numpy_helper.from_array(weight, "w")], "product"


def with_if(condition: str, opset: int = 17) -> ModelProto:
    """``y = sign(x) @ w if condition else abs(x)``, with a name in the branches that the graph has, too."""
    b = Builder(opset)
    x = b.input("x", ["N", 6])
    b("Relu", x, name="inner")  # the same name stands in both branches
    if condition == "shape":
        known = b("Equal", b("Gather", b("Shape", x), np.int64(1)), b.constant(np.int64(6)))
    elif condition == "data":
        known = b("Greater", b("ReduceMax", x, keepdims=0), np.float32(0))
    else:
        known = b.constant(np.array(condition == "true"))
    branches = {}
    for name, (nodes, weights, output) in {
        "then_branch": branch("Sign", "inner", W),
        "else_branch": branch("Abs", "inner"),
    }.items():
        result = helper.make_tensor_value_info(output, TensorProto.FLOAT, None)
        branches[name] = helper.make_graph(nodes, name, [], [result], weights)
    b("If", known, name="y", **branches)
    b("Sign", "y", name="z")
    return b.model("z", "inner")


@pytest.mark.parametrize(("condition", "ops"), [("shape", ["Sign", "dense", "Sign"]), ("false", ["Abs", "Sign"])])
def test_a_known_condition_takes_its_branch(condition: str, ops: list[str]) -> None:
    model = with_if(condition)
    # The two outer names cannot be compared with the model as it was: onnxruntime refuses a shadowed name.
    imported = load(model)
    assert [n.op for n in imported.graph.nodes()] == ["input", *ops, "Relu"]
    assert not [n for n in imported.model.graph.node if n.op_type == "If"]
    assert {n.name for n in imported.graph.nodes()} <= {"x", *(o for n in imported.model.graph.node for o in n.output)}
    check(imported.model, {"x": X})


def test_a_condition_on_the_data_is_refused() -> None:
    with pytest.raises(UnsupportedModel, match=r"ReduceMax|condition depends"):
        load(with_if("data"))


@pytest.mark.parametrize("op", ["Softmax", "LogSoftmax"])
@pytest.mark.parametrize("opset", [11, 17])
def test_a_final_softmax_is_dropped(op: str, opset: int) -> None:
    b = Builder(opset)
    logits = b("MatMul", b.input("x", ["N", 6]), W)
    b("Identity", b(op, logits, axis=1), name="y")
    imported = check(b.model("y"), {"x": X})
    assert [n.op for n in imported.graph.nodes()] == ["input", "dense"]
    assert (imported.outputs[0].name, imported.outputs[0].reference) == ("y", logits)
    assert any(op in note and logits in note for note in imported.notes)
    assert "y" not in imported.views


def test_softmax_in_the_middle_is_refused() -> None:
    b = Builder()
    p = b("Softmax", b("MatMul", b.input("x", ["N", 6]), W))
    b("MatMul", b("Identity", p), np.ones((4, 2), np.float32), name="y")
    with pytest.raises(UnsupportedModel, match=r"MatMul .* Softmax node"):
        load(b.model("y"))


def test_softmax_over_the_batch_is_refused() -> None:
    b = Builder()
    b("Softmax", b.input("x", ["N", 6]), name="y", axis=0)
    with pytest.raises(UnsupportedModel, match="over the batch"):
        load(b.model("y"))


@pytest.mark.parametrize("keepdims", [0, 1])
@pytest.mark.parametrize("softmax", [False, True])
def test_argmax(keepdims: int, softmax: bool) -> None:
    b = Builder()
    logits = b("MatMul", b.input("x", ["N", 6]), W)
    b("ArgMax", b("Softmax", logits) if softmax else logits, name="y", axis=-1, keepdims=keepdims)
    imported = check(b.model("y"), {"x": X})
    assert isinstance(imported.graph.outputs[0], ArgMax)
    assert imported.views["y"].index.shape == ((1,) if keepdims else ())


@pytest.mark.parametrize("keepdims", [0, 1])
def test_argmax_over_something_else_gathers_it(keepdims: int) -> None:
    b = Builder()
    b("ArgMax", b.input("x", ["N", 3, 2]), name="y", axis=1, keepdims=keepdims)
    imported = check(b.model("y"), {"x": X.reshape(-1, 3, 2)})
    assert [n.op for n in imported.graph.nodes()] == ["input", "permute", "arg_max"]


def test_argmax_over_the_batch_is_refused() -> None:
    b = Builder()
    b("ArgMax", b.input("x", ["N", 3]), name="y", axis=0)
    with pytest.raises(UnsupportedModel, match="mixes the samples"):
        load(b.model("y"))


def test_argmax_of_the_last_of_equals_is_refused() -> None:
    b = Builder()
    b("ArgMax", b.input("x", ["N", 3]), name="y", axis=1, select_last_index=1)
    with pytest.raises(UnsupportedModel, match="select_last_index"):
        load(b.model("y"))


@pytest.mark.parametrize("values", [False, True])
def test_topk(values: bool) -> None:
    b = Builder()
    logits = b("MatMul", b.input("x", ["N", 6]), W)
    b.many("TopK", logits, np.array([1], np.int64), outputs=["best", "y"])
    imported = check(b.model("y", "best") if values else b.model("y"), {"x": X})
    assert [o.name for o in imported.graph.outputs] == (["y", "best"] if values else ["y"])
    assert imported.origins["y"][-1] == "node_1:TopK"


@pytest.mark.parametrize("axis", [1, 2])
def test_the_largest_of_each_row_or_column(axis: int) -> None:
    b = Builder()
    x = b("Reshape", b.input("x", ["N", 6]), np.array([-1, 2, 3], np.int64))
    b.many("TopK", x, np.array([1], np.int64), outputs=["best", "y"], axis=axis)
    check(b.model("y", "best"), {"x": X})


def test_the_smallest_and_more_than_there_are_are_refused() -> None:
    for k, largest, why in ((2, 0, "only the largest"), (7, 1, "the 7 largest of 6")):
        b = Builder()
        b.many("TopK", b.input("x", ["N", 6]), np.array([k], np.int64), outputs=["best", "y"], largest=largest)
        with pytest.raises(UnsupportedModel, match=why):
            load(b.model("y"))


def test_several_of_the_largest() -> None:
    b = Builder()
    b.many("TopK", b.input("x", ["N", 6]), np.array([2], np.int64), outputs=["best", "y"])
    check(b.model("y", "best"), {"x": X})


def test_two_outputs() -> None:
    b = Builder()
    h = b("Sign", b.input("x", ["N", 6]), name="h")
    b("Reshape", b("MatMul", h, W), np.array([-1, 2, 2], np.int64), name="y")
    imported = check(b.model("h", "y"), {"x": X})
    assert [o.name for o in imported.outputs] == ["h", "y"]
    assert imported.views["y"].index.shape == (2, 2)


def test_a_uint8_image() -> None:
    b = Builder()
    x = b("Div", b("Cast", b.input("x", ["N", 2, 3], np.uint8), to=TensorProto.FLOAT), np.float32(255))
    b("MatMul", b("Flatten", x), W, name="y")
    imported = check(b.model("y"), {"x": RNG.integers(0, 256, (5, 2, 3), np.uint8)})
    assert imported.graph.inputs[0].type.dtype == "uint8"


def test_unknown_batch_of_old_exporters() -> None:
    model = mlp([6, 4])
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = -1
    assert load(model).batch is None


@pytest.mark.parametrize(
    ("op", "words"),
    [
        ("ConvInteger", "QDQ"),
        ("Loop", "unroll"),
        ("MatMulInteger", "QDQ"),
        ("NonZero", "torch.where"),
        ("SplitToSequence", "fixed number"),
        ("Det", "no integer program"),
    ],
)
def test_refused_operators_say_what_to_do(op: str, words: str) -> None:
    b = Builder()
    b(op, b.input("x", ["N", 6]), b.constant(W), name="y")
    with pytest.raises(UnsupportedModel, match=f'{op} node "node_0".*{words}'):
        load(b.model("y"))


def test_a_constant_that_onnxruntime_cannot_compute_names_its_node() -> None:
    b = Builder()
    w = b("Reshape", b("Abs", W), np.array([5, 5], np.int64))
    b("MatMul", b.input("x", ["N", 5]), w, name="y")
    with pytest.raises(ModelError, match='Reshape node "node_1"'):
        load(b.model("y"))


def test_integer_products_are_refused() -> None:
    b = Builder()
    b("MatMul", b.input("x", ["N", 6], np.int32), W.astype(np.int32), name="y")
    with pytest.raises(UnsupportedModel, match="int32"):
        load(b.model("y"))


def test_a_variable_bias_is_refused() -> None:
    b = Builder()
    x = b.input("x", ["N", 6])
    b("Gemm", x, np.ones((6, 6), np.float32), b("Sign", x), name="y")
    with pytest.raises(UnsupportedModel, match="bias"):
        load(b.model("y"))
