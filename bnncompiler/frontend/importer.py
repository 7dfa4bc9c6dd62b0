"""A standard model to a graph, node by node in topological order.

The one idea: by the time a node is reached, the shapes and constants of all that it reads are known, because a symbolic
batch is given a number. So a node is either constant (onnxruntime computes it), or about shape (so constant), or moves
elements (`views`), or is elementwise (`elementwise`), or has an importer in `IMPORTERS`. Where a convolution wants an
input in another order, the run begins again with the input laid out so (`maps.Relayout`), once an input at most.

To add an operator, write ``def name(scope, node) -> list[Tensor]``, a tensor for each output, in a module like `dense`
or `heads`, and add it to `IMPORTERS`. It finds its operands with ``scope.tensor`` and
``scope.constant``; ``Tensor(base, scope.whole(base))`` is a new node's value as it lies.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import numpy as np
from onnx import NodeProto

from bnncompiler.errors import UnsupportedModel
from bnncompiler.frontend import contractions, convolution, dense, heads, joins, pooling, transposed
from bnncompiler.frontend.boundary import ANY_BATCH, input_types, input_value, output, views
from bnncompiler.frontend.branches import inline, with_branches
from bnncompiler.frontend.constants import Constants
from bnncompiler.frontend.elementwise import ELEMENTWISE, elementwise
from bnncompiler.frontend.imported import Imported
from bnncompiler.frontend.maps import Relayout
from bnncompiler.frontend.nodes import label, reads
from bnncompiler.frontend.scope import Scope, Tensor
from bnncompiler.frontend.standardize import Standard, opset
from bnncompiler.frontend.views import LAYOUT, keep, move, resize
from bnncompiler.ir import Array, Graph

IMPORTERS: Mapping[str, Callable[[Scope, NodeProto], Sequence[Tensor | None]]] = {
    "ArgMax": heads.argmax,
    "AveragePool": convolution.average_pool,
    "Concat": joins.concat,
    "Conv": convolution.conv,
    "ConvTranspose": transposed.conv_transpose,
    "CumSum": contractions.cum_sum,
    "Dropout": keep,
    "Einsum": contractions.einsum,
    "Gemm": dense.gemm,
    "GlobalAveragePool": convolution.global_average_pool,
    "GlobalMaxPool": pooling.global_max_pool,
    "Identity": keep,
    "LogSoftmax": heads.softmax,
    "MatMul": contractions.matmul,
    "MaxPool": pooling.max_pool,
    "Pad": pooling.pad,
    "ReduceMax": pooling.reduce_max,
    "ReduceMin": pooling.reduce_min,
    "ReduceMean": contractions.reduce_linear,
    "ReduceSum": contractions.reduce_linear,
    "Resize": resize,
    "Softmax": heads.softmax,
    "TopK": heads.topk,
    "Upsample": resize,
}

_OWN_STATISTICS = (
    "it divides each sample by what is computed from it, which does not compile; "
    "use BatchNormalization, whose statistics are constants"
)
_RECURRENT = (
    "recurrent networks do not compile; use convolutions over time, or unroll it into layers with binary weights"
)
_WHY_NOT = {
    "ConvInteger": "export in QDQ format (QuantizeLinear, DequantizeLinear)",
    "DynamicQuantizeLinear": "its scale depends on the input; quantise statically, in QDQ format",
    "GRU": _RECURRENT,
    "GroupNormalization": _OWN_STATISTICS,
    "If": "its condition depends on the input; export with a condition that is known",
    "InstanceNormalization": _OWN_STATISTICS,
    "LRN": _OWN_STATISTICS,
    "LSTM": _RECURRENT,
    "LayerNormalization": _OWN_STATISTICS,
    "Loop": "it depends on the input; unroll it before export",
    "LpNormalization": _OWN_STATISTICS,
    "MatMulInteger": "export in QDQ format (QuantizeLinear, DequantizeLinear)",
    "MeanVarianceNormalization": _OWN_STATISTICS,
    "NonZero": "how much it computes depends on the data; write masked assignments as torch.where",
    "QLinearConv": "export in QDQ format (QuantizeLinear, DequantizeLinear)",
    "QLinearMatMul": "export in QDQ format (QuantizeLinear, DequantizeLinear)",
    "RMSNormalization": _OWN_STATISTICS,
    "RNN": _RECURRENT,
    "Scan": "it depends on the input; unroll it before export",
    "ScatterND": "only x[mask] = constant is known of it; write masked assignments as torch.where",
    "SequenceConstruct": "lists of tensors do not compile; write the network without them",
    "SplitToSequence": "lists of tensors do not compile; use a split with a fixed number of outputs",
}


def import_model(standard: Standard, name: str) -> Imported:
    """The graph of a standard model.

    Raises:
        ModelError: shapes, weights or attributes of the model do not go together.
        UnsupportedModel: it has a node that cannot be expressed; the message names it.
    """
    graph = standard.model.graph
    types, batch = input_types(graph)
    constants = Constants(graph, opset(standard.model))
    rest = constants.fold(list(graph.node), [o.name for o in graph.output])
    constants.check_initializers(graph.node)
    wanted = {n for node in rest for n in reads(node)} | {o.name for o in graph.output}
    layouts: dict[str, Array] = {}
    while True:
        scope = Scope(batch or ANY_BATCH, constants.opset, constants, wanted.copy(), dict(standard.renamed), layouts)
        scope.notes.extend(standard.notes)
        inputs = tuple(input_value(scope, n, kind) for n, kind in types.items())
        try:
            flat = _run(scope, rest)
            break
        except Relayout as other:
            layouts.update(other.orders)
    model = standard.model if flat == rest else with_branches(standard.model, rest, flat, scope)
    outputs = tuple(output(scope, o.name) for o in graph.output)
    roots = tuple(scope.values[o.name].base for o in outputs)
    result = Graph(name, inputs, roots)
    return Imported(
        result,
        model,
        views(scope, result),
        outputs,
        tuple(dict.fromkeys(scope.notes)),
        batch,
        scope.origins,
    )


def _run(scope: Scope, nodes: Sequence[NodeProto]) -> list[NodeProto]:
    """Import ``nodes``; returns them with the branches of If in place of the Ifs."""
    flat: list[NodeProto] = []
    for node in nodes:
        variable = [n for n in reads(node) if n not in scope.constants]
        if node.op_type == "If" and node.input[0] in scope.constants:
            flat += _run(scope, inline(scope, node))
            continue
        flat.append(node)
        if not variable:
            scope.constants.compute(node)
        elif _asks_for_type(scope, node):
            like = scope.values[variable[0]]
            stand_in = {variable[0]: np.zeros(like.index.shape, like.dtype)}
            scope.constants.define(node, scope.constants.evaluate(node, stand_in))
        else:
            tensors = _import_node(scope, node)
            scope.values.update((n, t) for n, t in zip(node.output, tensors, strict=False) if n and t is not None)
    return flat


def _asks_for_type(scope: Scope, node: NodeProto) -> bool:
    """Whether shape or element type of the variable input are all that the node needs of it."""
    return node.op_type in ("Shape", "Size") or (node.op_type == "CastLike" and node.input[0] in scope.constants)


def _import_node(scope: Scope, node: NodeProto) -> Sequence[Tensor | None]:
    if node.op_type in IMPORTERS:
        return IMPORTERS[node.op_type](scope, node)
    if node.op_type in LAYOUT:
        return move(scope, node)
    if node.op_type in ELEMENTWISE:
        return elementwise(scope, node)
    raise UnsupportedModel(
        f"{label(node)}: {_WHY_NOT.get(node.op_type, 'no integer program computes it yet; replace it in the model')}"
    )
