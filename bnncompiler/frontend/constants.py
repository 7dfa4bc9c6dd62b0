"""What does not depend on the input: folded by running the ONNX nodes themselves in onnxruntime, at any size.

The one idea: a constant is whatever onnxruntime computes for it. The whole constant part of a model runs in one
session, fed with the weights as arrays; what turns out constant only when shapes are known runs node by node.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence

import numpy as np
import onnx
import onnxruntime
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from bnncompiler.errors import ModelError, UnsupportedModel
from bnncompiler.frontend.nodes import STANDARD_DOMAINS, all_nodes, attribute, computes, label, live, reads
from bnncompiler.ir import Array

LARGEST_VALUE = 2**31  # elements; more than that is a damaged shape, not a network
IR_VERSION = 8  # of the little models that are run here: old enough for every onnxruntime
# Operators that bound or compare: an infinite operand means "no bound" there, and does no harm.
BOUNDING = frozenset({"Clip", "Max", "Min", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal", "Where"})


class _RuntimeFailureError(Exception):
    """Onnxruntime refuses a model or fails to run it."""


class Constants(Mapping[str, Array]):
    """The constant values of a model by name, read and computed when they are asked for first."""

    def __init__(self, graph: GraphProto, opset: int) -> None:
        self.opset = opset
        self._protos: dict[str, TensorProto] = {}
        self._arrays: dict[str, Array] = {}
        self._producers: dict[str, NodeProto] = {}
        self.add(graph.initializer)

    def __contains__(self, name: object) -> bool:
        return name in self._arrays or name in self._protos

    def __iter__(self) -> Iterator[str]:
        return iter({**self._protos, **self._arrays})

    def __len__(self) -> int:
        return len({**self._protos, **self._arrays})

    def __getitem__(self, name: str) -> Array:
        if name not in self._arrays:
            self._arrays[name] = numpy_helper.to_array(self._protos[name])
        return self._arrays[name]

    def add(self, tensors: Iterable[TensorProto]) -> None:
        """Take up initializers."""
        self._protos.update((t.name, t) for t in tensors)

    def fold(self, nodes: Sequence[NodeProto], outputs: Iterable[str]) -> list[NodeProto]:
        """Compute all nodes that depend on constants alone.

        Args:
            nodes: sorted nodes of the model.
            outputs: the values that are wanted besides those that other nodes read.

        Returns:
            The other nodes.

        Raises:
            ModelError: onnxruntime cannot run one of them.
        """
        known = set(self._protos) | set(self._arrays)
        constant: list[NodeProto] = []
        rest: list[NodeProto] = []
        for node in nodes:
            if known.issuperset(reads(node)) and _is_foldable(node):
                constant.append(node)
                known.update(node.output)
            else:
                rest.append(node)
        wanted = {name for node in rest for name in reads(node)} | set(outputs)
        computed = [n for n in constant if not self._read_directly(n)]
        self._store(computed, [o for n in computed for o in n.output if o in wanted])
        return rest

    def compute(self, node: NodeProto) -> None:
        """Fold one node that has turned out to depend on constants alone."""
        self._store([node], [o for o in node.output if o])

    def define(self, node: NodeProto, values: Sequence[Array]) -> None:
        """Take up what `evaluate` made of ``node``: it is the same for every input."""
        self._producers.update((o, node) for o in node.output)
        self._arrays.update(zip(node.output, values, strict=True))

    def evaluate(self, node: NodeProto, given: Mapping[str, Array]) -> list[Array]:
        """What ``node`` computes where its variable inputs are ``given``; nothing is kept.

        Raises:
            ModelError: onnxruntime cannot run the node.
        """
        try:
            return self._evaluate([node], [o for o in node.output if o], given)
        except _RuntimeFailureError as e:
            raise ModelError(f"{label(node)}: onnxruntime cannot compute it: {e}") from e

    def trail(self, name: str) -> list[NodeProto]:
        """The nodes that a constant was computed by, operands first."""
        found: set[str] = set()
        stack = [name]
        while stack:
            node = self._producers.get(stack.pop())
            if node is not None and computes(node) not in found:
                found.add(computes(node))
                stack.extend(reads(node))
        return [node for made, node in self._producers.items() if made in found]

    def check_finite(self, name: str, node: NodeProto) -> None:
        """Refuse a constant operand of ``node`` that holds values which are no numbers.

        Raises:
            ModelError: naming the initializer that they come from.
        """
        if _is_finite(self[name], node):
            return
        source = name
        for origin in [name, *(i for n in self.trail(name) for i in reads(n))]:
            if origin in self._protos and not np.isfinite(self[origin]).all():
                source = origin
                break
        raise ModelError(f'{label(node)} uses "{source}", which holds NaN or infinite values; export trained weights')

    def check_initializers(self, nodes: Sequence[NodeProto]) -> None:
        """Refuse initializers that some node reads and that hold NaN or infinite values (bounds may be infinite)."""
        for node in all_nodes(nodes):
            for name in node.input:
                if name in self._protos and self._protos[name].data_type in _FLOATS:
                    self.check_finite(name, node)

    def _read_directly(self, node: NodeProto) -> bool:
        """Take a Constant node's tensor as it is; onnxruntime need not copy it."""
        value = attribute(node, "value") if node.op_type == "Constant" else None
        if value is not None:
            self._protos[node.output[0]] = value
        return value is not None

    def _store(self, nodes: Sequence[NodeProto], outputs: Sequence[str]) -> None:
        for node in nodes:
            self._producers.update((o, node) for o in node.output)
        try:
            values = self._evaluate(live(nodes, outputs), outputs, {})
        except _RuntimeFailureError as e:
            if len(nodes) == 1:
                raise ModelError(f"{label(nodes[0])}: onnxruntime cannot compute it: {e}") from e
            for node in nodes:  # one by one, to name the culprit
                self._store([node], [o for o in node.output if o])
            return
        for name, value in zip(outputs, values, strict=True):
            if not isinstance(value, np.ndarray):
                node = self._producers[name]
                raise UnsupportedModel(f"{label(node)} computes a sequence; export without sequence operators")
            self._arrays[name] = value

    def _evaluate(self, nodes: Sequence[NodeProto], outputs: Sequence[str], given: Mapping[str, Array]) -> list[Array]:
        if not outputs:
            return []
        made = {o for n in nodes for o in n.output}
        names = dict.fromkeys(name for n in nodes for name in reads(n) if name not in made)
        feeds: dict[str, Array] = {}
        inside: list[TensorProto] = []  # small values, so that shapes can be inferred; types that cannot be fed
        for name in names:
            if (
                name not in given
                and name in self._protos
                and (not _is_feedable(self._protos[name]) or len(self._protos[name].raw_data) <= 1024)
            ):
                named = TensorProto()
                named.CopyFrom(self._protos[name])
                named.name = name
                inside.append(named)
                continue
            value = given[name] if name in given else self[name]
            if value.nbytes <= 1024:
                inside.append(numpy_helper.from_array(value, name))
            else:
                feeds[name] = value
        kinds = {n: helper.np_dtype_to_tensor_dtype(v.dtype) for n, v in feeds.items()}
        inputs = [helper.make_tensor_value_info(n, kinds[n], v.shape) for n, v in feeds.items()]
        wanted = [onnx.ValueInfoProto(name=o) for o in outputs]
        graph = helper.make_graph(list(nodes), "constants", inputs, wanted, inside)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", self.opset)], ir_version=IR_VERSION)
        try:
            inferred = onnx.shape_inference.infer_shapes(model, data_prop=True).graph
            _check_sizes([*inferred.value_info, *inferred.output], nodes)
            return list(session(model).run(list(outputs), feeds))
        except ModelError:
            raise
        except Exception as e:  # onnxruntime's exceptions have no common base of their own
            raise _RuntimeFailureError(_one_line(e)) from e


def session(model: ModelProto) -> onnxruntime.InferenceSession:
    """An onnxruntime session that runs ``model`` as it is written, and is silent."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.log_severity_level = 4
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])


def check_runs(model: ModelProto) -> None:
    """Let onnxruntime check operators, types and attributes.

    Raises:
        ModelError: it does not accept the model.
    """
    try:
        session(model)
    except Exception as e:  # onnxruntime's exceptions have no common base of their own
        is_double = any(i.type.tensor_type.elem_type == TensorProto.DOUBLE for i in model.graph.input)
        way_out = "; it has few operators for float64: export in float32" if is_double else ""
        raise ModelError(f"onnxruntime does not accept the model: {_one_line(e)}{way_out}") from e


def _check_sizes(values: Iterable[onnx.ValueInfoProto], nodes: Sequence[NodeProto]) -> None:
    """Refuse what would be too large, before anyone allocates it."""
    for value in values:
        dims = [d.dim_value for d in value.type.tensor_type.shape.dim]
        if math.prod(dims) > LARGEST_VALUE:
            node = next(n for n in nodes if value.name in n.output)
            shape = "x".join(map(str, dims))
            raise ModelError(f"{label(node)} would compute a tensor of shape {shape}; the model's shapes are damaged")


def _is_foldable(node: NodeProto) -> bool:
    inner = list(all_nodes([node]))
    return all(n.domain in STANDARD_DOMAINS for n in inner) and bool(computes(node))


def _is_feedable(tensor: TensorProto) -> bool:
    return tensor.data_type in _FEEDABLE


def _is_finite(value: Array, node: NodeProto) -> bool:
    if value.dtype.kind != "f":
        return True
    bad = np.isnan(value) if node.op_type in BOUNDING else ~np.isfinite(value)
    return not bad.any()


def _one_line(error: Exception) -> str:
    return str(error).strip().split("\n")[0].removeprefix("[ONNXRuntimeError] : ")[:300]


_FLOATS = frozenset({TensorProto.FLOAT, TensorProto.DOUBLE, TensorProto.FLOAT16})
_FEEDABLE = _FLOATS | {
    TensorProto.BOOL, TensorProto.INT8, TensorProto.INT16, TensorProto.INT32, TensorProto.INT64,
    TensorProto.UINT8, TensorProto.UINT16, TensorProto.UINT32, TensorProto.UINT64, TensorProto.STRING,
}  # fmt: skip
