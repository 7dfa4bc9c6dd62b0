"""Any model to standard operators: functions inlined, other domains rewritten, dead nodes gone.

The one idea: what comes out is still ONNX and still has the names of the file. Onnxruntime runs it, so it is the
reference for all that follows, and whoever comes after knows the standard operators only.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
from onnx import GraphProto, ModelProto, NodeProto, helper
from onnx.inliner import inline_local_functions

from bnncompiler.errors import ModelError, UnsupportedModel
from bnncompiler.frontend.constants import Constants
from bnncompiler.frontend.custom_ops import SKELETON, Shapes, rewrite
from bnncompiler.frontend.lowered import raise_convolutions
from bnncompiler.frontend.nodes import STANDARD_DOMAINS, all_nodes, attribute, computes, label, live, reads, subgraphs

REWRITE_OPSET = 12  # has every standard operator that the rewriting of other domains needs
STOCHASTIC = frozenset(
    {"Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike"}
)
SMALL = 1024  # bytes; constants that can hold a shape


@dataclass(frozen=True)
class Standard:
    """A model in standard operators.

    Attributes:
        model: the model.
        renamed: for values whose nodes were written here, the node of the file that they come from, as "name:Op".
        notes: what the user should know.
    """

    model: ModelProto
    renamed: dict[str, str]
    notes: tuple[str, ...]


def opset(model: ModelProto) -> int:
    """The version of the standard operators that the model uses."""
    return int(next(o.version for o in model.opset_import if o.domain in STANDARD_DOMAINS))


def standardize(model: ModelProto) -> Standard:
    """Rewrite ``model``, in place where that is possible.

    Raises:
        ModelError: a function of the model cannot be inlined, or its weights are no numbers.
        UnsupportedModel: it has operators that have no standard form, or random ones.
    """
    notes: list[str] = []
    if model.functions:
        model = _inlined(model)
    graph = model.graph
    _tidy(graph)
    _refuse_random(graph)
    foreign = [n for n in graph.node if n.domain not in STANDARD_DOMAINS]
    for node in all_nodes(n for outer in graph.node for body in subgraphs(outer) for n in body.node):
        if node.domain not in STANDARD_DOMAINS:
            raise UnsupportedModel(
                f"{label(node)} is in the body of an If or Loop, where only standard operators compile"
            )
    if foreign and opset(model) < REWRITE_OPSET:
        notes.append(f"opset {opset(model)} is read as opset {REWRITE_OPSET}, to rewrite {label(foreign[0])}")
        model = _raised(model, foreign)
        graph = model.graph
    renamed: dict[str, str] = {}
    if any(n.op_type == "Im2Col" for n in foreign):
        _replace(graph.node, raise_convolutions(graph, renamed))
        foreign = [n for n in graph.node if n.domain not in STANDARD_DOMAINS]
    if foreign or any(n.op_type == "ScatterND" for n in graph.node):
        shapes = _shapes(model)
        if foreign:
            _rewrite_foreign(graph, opset(model), shapes, renamed)
        _rewrite_masked_assignments(graph, shapes, renamed)
        _tidy(graph)
    for node in all_nodes(graph.node):
        node.domain = ""
    version = opset(model)
    del model.opset_import[:]
    model.opset_import.append(helper.make_opsetid("", version))
    return Standard(model, renamed, tuple(notes))


def _inlined(model: ModelProto) -> ModelProto:
    try:
        inlined: ModelProto = inline_local_functions(model)
        return inlined
    except Exception as e:  # the C++ inliner raises what its checks raise
        raise ModelError(f"the model's functions cannot be inlined: {str(e).splitlines()[0]}") from e


def _tidy(graph: GraphProto) -> None:
    """Drop nodes and weights that no output needs, and inputs that are only an initializer's name."""
    outputs = [o.name for o in graph.output]
    nodes = live(list(graph.node), outputs)
    needed = {name for node in nodes for name in reads(node)} | set(outputs)
    weights = [t for t in graph.initializer if t.name in needed]
    names = {t.name for t in graph.initializer}
    inputs = [i for i in graph.input if i.name not in names]
    _replace(graph.node, nodes)
    _replace(graph.initializer, weights)
    _replace(graph.input, inputs)


def _refuse_random(graph: GraphProto) -> None:
    for node in all_nodes(graph.node):
        if node.op_type in STOCHASTIC and node.domain in STANDARD_DOMAINS:
            raise UnsupportedModel(
                f"{label(node)} draws random numbers; call eval(), binarise deterministically, export again"
            )


def _raised(model: ModelProto, foreign: list[NodeProto]) -> ModelProto:
    """The model in `REWRITE_OPSET`; nodes of other domains stay as they are."""
    imported = {o.domain for o in model.opset_import}
    for domain in sorted({n.domain for n in foreign} - imported):
        model.opset_import.append(helper.make_opsetid(domain, 1))
    try:
        return onnx.version_converter.convert_version(model, REWRITE_OPSET)
    except Exception as e:  # the C++ converter raises what its adapters raise
        reason = str(e).splitlines()[0]
        raise UnsupportedModel(
            f"export with opset {REWRITE_OPSET} or newer: the model cannot be raised to it: {reason}"
        ) from e


def _rewrite_foreign(graph: GraphProto, version: int, shapes: Shapes, renamed: dict[str, str]) -> None:
    constants = Constants(graph, version)
    constants.fold(list(graph.node), [])
    nodes: list[NodeProto] = []
    for node in graph.node:
        if node.domain in STANDARD_DOMAINS:
            nodes.append(node)
            continue
        written = rewrite(node, constants, shapes)
        nodes.extend(written.nodes)
        graph.initializer.extend(written.initializers)
        renamed.update((n.output[0], f"{node.name or computes(node)}:{node.op_type}") for n in written.nodes)
    _replace(graph.node, nodes)


def _rewrite_masked_assignments(graph: GraphProto, shapes: Shapes, renamed: dict[str, str]) -> None:
    """``ScatterND(x, Transpose(NonZero(mask)), Expand(c, ...))`` is how torch.onnx writes ``x[mask] = c``: a Where."""
    producers = {o: n for n in graph.node for o in n.output}
    nodes = []
    for node in graph.node:
        found = _masked_assignment(node, producers, shapes)
        if found is not None:
            mask, value = found
            renamed[node.output[0]] = f"{node.name or computes(node)}:{node.op_type}"
            node = helper.make_node("Where", [mask, value, node.input[0]], [node.output[0]], node.name)
        nodes.append(node)
    _replace(graph.node, nodes)


def _masked_assignment(node: NodeProto, producers: Mapping[str, NodeProto], shapes: Shapes) -> tuple[str, str] | None:
    """The mask and the assigned scalar, or None where the node is something else.

    Raises:
        UnsupportedModel: the mask chooses rows, or what is assigned is no scalar.
    """
    if node.op_type != "ScatterND" or attribute(node, "reduction", "none") != "none":
        return None
    transposed = producers.get(node.input[1])
    if transposed is None or transposed.op_type != "Transpose" or list(attribute(transposed, "perm", [1, 0])) != [1, 0]:
        return None
    nonzero = producers.get(transposed.input[0])
    if nonzero is None or nonzero.op_type != "NonZero":
        return None
    mask, value = nonzero.input[0], node.input[2]
    while (source := producers.get(value)) is not None and source.op_type in ("Reshape", "Expand", "Identity"):
        value = source.input[0]
    alike = mask in shapes and len(shapes[mask]) == len(shapes.get(node.input[0], ()))
    if not alike or shapes.get(value) not in ((), (1,)):
        raise UnsupportedModel(f"{label(node)} assigns more than one constant by a mask; write it as torch.where")
    return mask, value


def _shapes(model: ModelProto) -> Shapes:
    """The values' shapes, as far as shape inference finds them; weights are left out of what it copies.

    Raises:
        ModelError: shapes contradict each other.
    """
    skeleton = ModelProto(ir_version=model.ir_version, opset_import=model.opset_import)
    graph = skeleton.graph
    graph.name = "skeleton"
    graph.input.extend(model.graph.input)
    graph.output.extend(onnx.ValueInfoProto(name=o.name) for o in model.graph.output)
    graph.value_info.extend(model.graph.value_info)
    for t in model.graph.initializer:
        if len(t.raw_data) <= SMALL:
            graph.initializer.append(t)
        else:
            graph.input.append(helper.make_tensor_value_info(t.name, t.data_type, list(t.dims)))
    for node in model.graph.node:
        standard = graph.node.add()
        standard.CopyFrom(node)
        if node.domain not in STANDARD_DOMAINS and node.op_type in SKELETON:
            standard.domain, standard.op_type = "", SKELETON[node.op_type]
            if standard.op_type == "Identity":
                del standard.input[1:], standard.attribute[:]
    try:
        inferred = onnx.shape_inference.infer_shapes(skeleton, data_prop=True).graph
    except Exception as e:  # the C++ inference raises what its checks raise
        raise ModelError(f"the model's shapes do not go together: {str(e).splitlines()[0]}") from e
    shapes: dict[str, tuple[int | None, ...]] = {t.name: tuple(t.dims) for t in model.graph.initializer}
    for value in (*inferred.input, *inferred.value_info, *inferred.output):
        if value.type.tensor_type.HasField("shape"):
            dims = value.type.tensor_type.shape.dim
            shapes.setdefault(value.name, tuple(d.dim_value if d.HasField("dim_value") else None for d in dims))
    return shapes


def _replace(field: Any, values: Sequence[Any]) -> None:
    """Give a repeated protobuf field other values."""
    del field[:]
    field.extend(values)
