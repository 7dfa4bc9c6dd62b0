"""Convolutions that were lowered to Im2Col and MatMul, raised again.

The one idea: FINN's Im2Col lays the taps of each window side by side (kernel row, kernel column, channel), so the
product with a matrix is the convolution whose weights are that matrix in another order. No patch is ever stored.
(https://github.com/fastmachinelearning/qonnx, src/qonnx/custom_op/general/im2col.py; it works channels last.)
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from onnx import GraphProto, NodeProto

from bnncompiler.errors import UnsupportedModel
from bnncompiler.frontend.custom_ops import QUANTIZATION_DOMAINS, Rewrite
from bnncompiler.frontend.nodes import STANDARD_DOMAINS, attribute, computes, label, reads


def raise_convolutions(graph: GraphProto, renamed: dict[str, str]) -> list[NodeProto]:
    """The nodes of ``graph`` with a Conv for each MatMul that multiplies what an Im2Col computes.

    Args:
        graph: of any operators; gets the constants that the new nodes need.
        renamed: gets the node of the file that each new value comes from, as "name:Op".

    Raises:
        UnsupportedModel: something else reads an Im2Col, too.
    """
    found = [n for n in graph.node if n.op_type == "Im2Col" and n.domain.startswith(QUANTIZATION_DOMAINS)]
    lowered = {computes(n): n for n in found}
    outputs = {o.name for o in graph.output}
    nodes: list[NodeProto] = []
    for node in graph.node:
        if computes(node) in lowered:
            if computes(node) in outputs:
                raise UnsupportedModel(f"{label(node)} is an output; return what the convolution computes")
            continue
        source = next((name for name in reads(node) if name in lowered), None)
        if source is None:
            nodes.append(node)
            continue
        patches = lowered[source]
        if node.op_type != "MatMul" or node.domain not in STANDARD_DOMAINS or list(node.input).index(source) != 0:
            raise UnsupportedModel(
                f"{label(patches)} is read by {label(node)}, where only a MatMul by weights makes it a convolution; "
                "compile the model as it was before its convolutions were lowered to MatMul"
            )
        written = _convolution(patches, node)
        nodes.extend(written.nodes)
        graph.initializer.extend(written.initializers)
        origin = f"{node.name or computes(node)}:{node.op_type}"
        renamed.update((n.output[0], origin) for n in written.nodes)
    return nodes


def _convolution(patches: NodeProto, product: NodeProto) -> Rewrite:
    """The convolution of what ``patches`` reads by the weights of ``product``, channels last."""
    to = Rewrite(product, {}, {})
    kernel, pads = _attribute(patches, "kernel_size"), list(attribute(patches, "pad_amount", (0, 0, 0, 0)))
    shape = re.findall(r"\d+", str(attribute(patches, "input_shape", "")))
    if len(shape) != 4 or len(kernel) != 2 or len(pads) != 4:
        raise UnsupportedModel(f"{label(patches)}: only maps with a height and a width compile")
    x = to("Transpose", patches.input[0], perm=[0, 3, 1, 2])
    value = attribute(patches, "pad_value", 0)
    if value and any(pads):
        x = to("Pad", x, to.integers([0, 0, *pads[:2], 0, 0, *pads[2:]]), to.number(value))
        pads = [0, 0, 0, 0]
    weight = to("Reshape", to.input(1), to.integers([*kernel, int(shape[3]), -1]))
    weight = to("Transpose", weight, perm=[3, 2, 0, 1])
    strides, dilations = _attribute(patches, "stride"), list(attribute(patches, "dilations", (1, 1)))
    y = to("Conv", x, weight, kernel_shape=kernel, strides=strides, pads=pads, dilations=dilations)
    to("Transpose", y, perm=[0, 2, 3, 1])
    to.finish()
    return to


def _attribute(node: NodeProto, name: str) -> list[int]:
    """Two numbers, for height and width; older files have one for both."""
    given = attribute(node, name, ())
    return list(given) if isinstance(given, Sequence) else [given, given]
