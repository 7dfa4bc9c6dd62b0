"""What an op importer works with: the values so far, by name, as tensors that lie somewhere in the graph.

The one idea: a variable ONNX value is a `Tensor`, a base node and an index into it, *with* the batch axis while
importing. The base of sample ``b`` begins at ``b * size``, so an index says by itself whether a value mixes samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from onnx import NodeProto, TensorProto

from bnncompiler.errors import UnsupportedModel
from bnncompiler.frontend.constants import Constants
from bnncompiler.frontend.nodes import computes, label
from bnncompiler.ir import Array, Node
from bnncompiler.ops import Permute


@dataclass(frozen=True, eq=False)
class Tensor:
    """A variable ONNX value while it is imported.

    Attributes:
        base: the node that computes its elements.
        index: int64, in the value's full ONNX shape; sample ``b`` of ``base`` has the elements from ``b * size`` on.
        origin: the ONNX nodes that only moved the elements on their way from ``base``.
        softmax: the Softmax that was dropped on the way, and its input's name: the elements have the order of the
            value, but are not the value.
    """

    base: Node
    index: Array
    origin: tuple[str, ...] = ()
    softmax: tuple[NodeProto, str] | None = None

    @property
    def dtype(self) -> str:
        """The numpy name of the element type."""
        return self.base.type.dtype


Operand = Tensor | Array


@dataclass
class Scope:
    """The state of one import.

    Attributes:
        batch: the number of samples that indices cover.
        opset: the model's opset.
        constants: all constant values.
        wanted: the values that a node reads or that are outputs.
        renamed: for values of rewritten nodes, "name:Op" of the node in the user's file.
        layouts: for inputs that are maps, which element of ONNX's order stands where.
        values: the variable values so far.
        notes: what the user should know.
        origins: by graph node name, the ONNX nodes it came from.
        branch_weights: initializers of the branches of If that were taken.
        permuted: by name, the permutations that were needed so far.
    """

    batch: int
    opset: int
    constants: Constants
    wanted: set[str]
    renamed: dict[str, str]
    layouts: dict[str, Array] = field(default_factory=dict)
    values: dict[str, Tensor] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    origins: dict[str, tuple[str, ...]] = field(default_factory=dict)
    branch_weights: list[TensorProto] = field(default_factory=list)
    permuted: dict[str, list[Permute]] = field(default_factory=dict)
    _whole: dict[tuple[int, ...], Array] = field(default_factory=dict)

    def operand(self, node: NodeProto, position: int) -> Operand | None:
        """An input of ``node``, None where it is left out."""
        if position >= len(node.input) or not node.input[position]:
            return None
        name = node.input[position]
        if name in self.values:
            return self._value(name, node)
        self.constants.check_finite(name, node)
        return self.constants[name]

    def tensor(self, node: NodeProto, position: int = 0) -> Tensor:
        """An input of ``node`` that has to be variable."""
        value = self.operand(node, position)
        if not isinstance(value, Tensor):
            raise UnsupportedModel(
                f"{label(node)}: input {position} is constant; only variable inputs are supported there"
            )
        return value

    def ranked(self, node: NodeProto) -> Tensor:
        """The first input of a ``node`` that asks for order alone: a dropped Softmax may stand before it."""
        value = self.values.get(node.input[0])
        return self.tensor(node) if value is None else value

    def constant(self, node: NodeProto, position: int) -> Array:
        """An input of ``node`` that has to be constant."""
        value = self.operand(node, position)
        if value is None or isinstance(value, Tensor):
            what = "missing" if value is None else "not constant"
            raise UnsupportedModel(f"{label(node)}: input {position} is {what}; the compiler needs its value")
        return value

    def whole(self, base: Node) -> Array:
        """The index of all of ``base`` as it lies, over the batch."""
        shape = (self.batch, *base.type.shape)
        if shape not in self._whole:
            index = np.arange(self.batch * base.type.size, dtype=np.int64).reshape(shape)
            index.setflags(write=False)
            self._whole[shape] = index
        return self._whole[shape]

    def spread(self, base: Node, local: Array) -> Tensor:
        """The value whose elements in one sample are ``local``, over the batch."""
        first = np.arange(self.batch, dtype=np.int64).reshape(-1, *[1] * local.ndim) * base.type.size
        return Tensor(base, first + local)

    def origin(self, node: NodeProto) -> str:
        """The ONNX node as "name:Op", with the name and the operator that it has in the user's file."""
        return self.renamed.get(computes(node), f"{node.name or computes(node)}:{node.op_type}")

    def record(self, node: NodeProto, name: str | None = None) -> str:
        """Remember which ONNX nodes the new graph node ``name`` comes from; returns its name.

        Without a name it computes the first output of ``node``.
        """
        name = name or computes(node)
        found: list[str] = []
        for i in node.input:
            if i in self.values:
                found += self.values[i].origin
            elif i:
                found += [self.origin(n) for n in self.constants.trail(i) if n.op_type != "Constant"]
        self.origins[name] = tuple(dict.fromkeys([*found, self.origin(node)]))
        return name

    def _value(self, name: str, node: NodeProto) -> Tensor:
        value = self.values[name]
        if value.softmax is not None:
            raise UnsupportedModel(
                f"{label(node)} reads what {label(value.softmax[0])} computes; "
                "Softmax has no integer form and is only dropped where it ends the network"
            )
        return value
