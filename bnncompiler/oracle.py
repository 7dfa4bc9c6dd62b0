"""Channel functions: what the elementwise nodes between two values compute, asked of onnxruntime itself.

No activation idiom is matched anywhere in this compiler. The region of elementwise nodes behind an accumulator is cut
out, rebuilt as a tiny ONNX model and run on every integer that the accumulator can take; what comes out says what the
region *is*. Float32 questions go to onnxruntime, exact ones to numpy in float64 (`bnncompiler.elementwise`).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from bnncompiler import elementwise
from bnncompiler.ir import Array, Node, per_element, walk
from bnncompiler.ops import Constant, Elementwise

OPSET = 21
CHUNK = 1 << 22  # elements evaluated at a time: bounds the memory of wide layers
# Parameters that ONNX wants one-dimensional along an axis instead of broadcast.
_PER_AXIS = {"BatchNormalization": (1, 2, 3, 4), "QuantizeLinear": (1, 2), "DequantizeLinear": (1, 2)}


def sources(sink: Node) -> tuple[Node, ...]:
    """The values that the elementwise region behind ``sink`` starts from, in the order of use."""
    return tuple(n for n in _region(sink, None) if not isinstance(n, Elementwise | Constant))


def _region(sink: Node, source: Node | None) -> list[Node]:
    """``sink``'s elementwise region, operands first, its sources included."""
    seen: dict[Node, None] = {}
    stack = [(sink, False)]
    while stack:
        node, ready = stack.pop()
        if node in seen:
            continue
        inner = isinstance(node, Elementwise) and node is not source
        if ready or not inner:
            seen[node] = None
        else:
            stack.append((node, True))
            stack.extend((o, False) for o in reversed(node.operands))
    return list(seen)


@dataclass(frozen=True, eq=False)
class ChannelFunction:
    """The function from ``source`` to ``sink`` by way of elementwise nodes; the identity where they are one."""

    source: Node
    sink: Node

    @cached_property
    def nodes(self) -> tuple[Elementwise, ...]:
        """The operators, operands first."""
        return tuple(n for n in _region(self.sink, self.source) if isinstance(n, Elementwise) and n is not self.source)

    @cached_property
    def rows(self) -> int:
        """How many rows the function and the source's domain distinguish."""
        constants = [len(c.value) for n in self.nodes for c in n.inputs if isinstance(c, Constant)]
        known = self.source.type.domain
        return max([1 if known is None else known.rows, *constants])

    @cached_property
    def distinct(self) -> tuple[Array, Array]:
        """Which rows differ, but for the source's error: indices of one row of each kind, and for each row its kind."""
        known = self.source.type.domain
        columns = [] if known is None else [known.scale, known.offset, known.lo, known.hi]
        columns += [c.value.astype(np.float64) for n in self.nodes for c in n.inputs if isinstance(c, Constant)]
        table = np.stack([per_element(c, self.rows) for c in columns] or [np.zeros(self.rows)])
        _, first, kind = np.unique(table, axis=1, return_index=True, return_inverse=True)
        return first, kind.reshape(-1)

    def evaluate32(self, x: Array, row: Array | None = None) -> Array:
        """What onnxruntime computes for real values ``x [points, rows]``, as the sink's element type.

        Args:
            x: real values of the source; they are converted to its element type.
            row: which rows the columns of ``x`` are; all of them by default.
        """
        if not self.nodes:
            return x.astype(self.source.type.dtype)
        row = np.arange(self.rows) if row is None else row
        session = self._session(row)
        out = np.empty(x.shape, self.sink.type.dtype)
        step = max(1, CHUNK // max(1, x.shape[1]))
        for i in range(0, len(x), step):
            out[i : i + step] = session.run(None, {"x": x[i : i + step].astype(self.source.type.dtype)})[0]
        return out

    def evaluate64(self, x: Array, row: Array | None = None) -> Array:
        """The exact value (in float64) for real values ``x [points, rows]``."""
        return self.values64(x, row)[self.sink]

    def values64(self, x: Array, row: Array | None = None, until: Node | None = None) -> dict[Node, Array]:
        """The exact values of all nodes (or of those up to ``until``), constants included, each ``[points, rows]``."""
        row = np.arange(self.rows) if row is None else row
        values: dict[Node, Array] = {self.source: self._exact_source(x)}
        for node in self.nodes:
            for i in node.inputs:
                if isinstance(i, Constant):
                    value = per_element(i.value, self.rows)[row][None, :]
                    values[i] = value.astype(np.float64) if np.issubdtype(value.dtype, np.floating) else value
            operands = [values[i] for i in node.inputs]
            y = elementwise.apply(node.operator, dict(node.attrs), operands, node.dtype, exact=True)
            values[node] = np.asarray(np.broadcast_to(y, x.shape))
            if node is until:
                break
        return values

    def _exact_source(self, x: Array) -> Array:
        dtype = self.source.type.dtype
        return x.astype(np.float64 if dtype.startswith("float") else dtype)

    def _session(self, row: Array) -> onnxruntime.InferenceSession:
        """The region as an ONNX model over ``[points, rows]``."""
        names: dict[Node, str] = {self.source: "x"}
        constants: list[TensorProto] = []
        for i, node in enumerate(walk((self.sink,), (self.source,))):
            if isinstance(node, Constant):
                names[node] = f"c{i}"
            elif node is not self.source:
                names[node] = f"v{i}"
        nodes = []
        for node in self.nodes:
            inputs = []
            for position, operand in enumerate(node.inputs):
                if isinstance(operand, Constant):
                    value, name = self._parameter(operand, node.operator, position, row), f"{names[node]}_{position}"
                    constants.append(numpy_helper.from_array(value, name))
                    inputs.append(name)
                else:
                    inputs.append(names[operand])
            attrs: dict[str, Any] = dict(node.attrs)
            if node.operator in ("QuantizeLinear", "DequantizeLinear"):
                attrs["axis"] = 1
            nodes.append(helper.make_node(node.operator, inputs, [names[node]], **attrs))
        graph = helper.make_graph(
            nodes,
            "region",
            [helper.make_tensor_value_info("x", _onnx_type(self.source.type.dtype), [None, len(row)])],
            [helper.make_tensor_value_info(names[self.sink], _onnx_type(self.sink.type.dtype), None)],
            constants,
        )
        return session(helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=10))

    def _parameter(self, constant: Constant, operator: str, position: int, row: Array) -> Array:
        """A constant operand for the rows ``row`` in the shape that the operator wants."""
        value = constant.value
        if position in _PER_AXIS.get(operator, ()):
            return np.ascontiguousarray(per_element(value, self.rows)[row])
        return value.reshape(()) if len(value) == 1 else np.ascontiguousarray(per_element(value, self.rows)[row])


def _onnx_type(dtype: str) -> int:
    return int(helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))


def session(model: onnx.ModelProto) -> onnxruntime.InferenceSession:
    """An onnxruntime session that runs ``model`` node by node, as written: no fusion, no reordering, one thread."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
