"""What importing gives: the graph, the same model in standard operators, and where each ONNX value lies in the graph.

The one idea is the `View`: an ONNX value is a base node and an index. Flattening, transposing, slicing and expanding
make no nodes, they only change the index; so layouts of ONNX end in the frontend, and no pass has to know them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import onnx

from bnncompiler.ir import Array, Graph, Node


@dataclass(frozen=True, eq=False)
class View:
    """Where an ONNX value's elements are.

    Attributes:
        base: the node that computes them; its shape has no batch axis.
        index: int64, shape of the ONNX value without its batch axis; flat element index into ``base`` in C order.
    """

    base: Node
    index: Array


@dataclass(frozen=True)
class Output:
    """A graph output.

    Attributes:
        name: the ONNX graph output.
        reference: the ONNX value that it is compared with: itself, or what feeds the dropped final Softmax.
    """

    name: str
    reference: str


@dataclass(frozen=True, eq=False)
class Imported:
    """A model, read.

    Attributes:
        graph: real nodes: ``Input``, ``Constant``, ``Elementwise``, ``Dense``, ``Conv``, ``MaxPool``, ``Pad``,
            ``Permute``, ``Concat``, ``ArgMax``; a node has the name of the ONNX value that it computes, if any.
            Maps, inputs that convolutions read included, lie channels last; ``views`` says where each element went.
        model: the same model in standard ONNX operators with all weights inside; onnxruntime runs it; the reference.
        views: where each variable ONNX value is, by name; absent are values whose first axis is not the batch,
            what a dropped Softmax computes, and Pads that became part of a convolution.
        outputs: in graph order.
        notes: what the user should know, a sentence each.
        batch: the model's fixed batch size, None where it is dynamic.
        origins: by graph node name, the ONNX nodes it came from as "name:Op", in graph order.
    """

    graph: Graph
    model: onnx.ModelProto
    views: Mapping[str, View]
    outputs: tuple[Output, ...]
    notes: tuple[str, ...]
    batch: int | None
    origins: Mapping[str, tuple[str, ...]]
