"""Reading ONNX protobufs: what a node is called, what it reads, which attributes and tensors it has.

The one idea: a node reads its inputs *and* the outer values that its subgraphs name, so that sorting, dead code and
constant folding see the bodies of If and Loop as part of the node.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
from onnx import AttributeProto, GraphProto, NodeProto, TensorProto, helper

from bnncompiler.errors import UnsupportedModel

STANDARD_DOMAINS = ("", "ai.onnx")


def label(node: NodeProto) -> str:
    """The node in messages: operator and name, or what it computes where it has no name."""
    domain = "" if node.domain in STANDARD_DOMAINS else f"{node.domain}::"
    return f'{domain}{node.op_type} node "{node.name or computes(node)}"'


def computes(node: NodeProto) -> str:
    """The name of the first value that the node computes."""
    return next((o for o in node.output if o), "")


def attribute(node: NodeProto, name: str, default: Any = None) -> Any:
    """An attribute's value, strings decoded."""
    for a in node.attribute:
        if a.name == name:
            value = helper.get_attribute_value(a)
            return value.decode(errors="replace") if isinstance(value, bytes) else value
    return default


def subgraphs(node: NodeProto) -> Iterator[GraphProto]:
    """The bodies of If, Loop and Scan."""
    for a in node.attribute:
        if a.type == AttributeProto.GRAPH:
            yield a.g
        elif a.type == AttributeProto.GRAPHS:
            yield from a.graphs


def all_nodes(nodes: Iterable[NodeProto]) -> Iterator[NodeProto]:
    """The nodes and those of their subgraphs."""
    for node in nodes:
        yield node
        for body in subgraphs(node):
            yield from all_nodes(body.node)


def reads(node: NodeProto) -> list[str]:
    """The values that the node and its subgraphs take from the graph that it stands in."""
    names = [i for i in node.input if i]
    for body in subgraphs(node):
        own = {i.name for i in body.input} | {i.name for i in body.initializer}
        own |= {o for n in body.node for o in n.output}
        inner = [name for n in body.node for name in reads(n)] + [o.name for o in body.output]
        names += [name for name in inner if name not in own]
    return list(dict.fromkeys(names))


def tensors(graph: GraphProto) -> Iterator[tuple[TensorProto, str]]:
    """Every tensor in the graph with what to call it: initializers and node attributes, subgraphs included."""
    for t in graph.initializer:
        yield t, f'initializer "{t.name}"'
    for node in graph.node:
        for a in node.attribute:
            if a.type == AttributeProto.TENSOR:
                yield a.t, f'attribute "{a.name}" of {label(node)}'
        for body in subgraphs(node):
            yield from tensors(body)


def numpy_dtype(elem_type: int, what: str) -> np.dtype[Any]:
    """The numpy type of an ONNX element type; ``what`` opens the message.

    Raises:
        UnsupportedModel: numpy has no such type (bfloat16, float8, int4, string, ...).
    """
    dtype = np.dtype(helper.tensor_dtype_to_np_dtype(elem_type))
    if dtype.kind not in "fiub" or type(dtype).__module__.split(".")[0] != "numpy":
        kind = TensorProto.DataType.Name(elem_type)
        raise UnsupportedModel(f"{what} has elements of type {kind}; cast to float32 before export")
    return dtype


def live(nodes: Sequence[NodeProto], outputs: Iterable[str]) -> list[NodeProto]:
    """The nodes that ``outputs`` depend on, in their order; ``nodes`` are sorted."""
    wanted = set(outputs)
    kept = []
    for node in reversed(nodes):
        if wanted.intersection(node.output):
            kept.append(node)
            wanted.update(reads(node))
    return kept[::-1]
