"""Lower: the graph becomes a program, one or two kernel calls for each node, weights packed to the target's words.

How a value is stored follows from what it is: levels of `ops.Steps` as bit planes of their codes, everything else as the
smallest C integer that holds it. Which kernel a dense layer gets follows from how its input is stored and which values its
weights take; kernels work on codes, so a value here also says how its codes relate to the graph's integers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bnncompiler import interpreter, ops, program
from bnncompiler.errors import LoweringError
from bnncompiler.identifiers import identifiers
from bnncompiler.ir import Array, Graph, Node, per_element, unique_names
from bnncompiler.oracle import ChannelFunction
from bnncompiler.packing import pack_bits, unpack_planes, words
from bnncompiler.program import Buffer, Call, Port, Program, Table, Typed

LIMITS = {"uint8_t": (0, 255), "int8_t": (-128, 127), "int16_t": (-(2**15), 2**15 - 1), "int32_t": (-(2**31), 2**31 - 1)}


@dataclass(frozen=True)
class Stored:
    """How a node's value lies in memory: ``q = base[row] + step * code``.

    ``planes`` is 0 for plain integers; otherwise the codes are that many bit planes.
    """

    buffer: Buffer
    planes: int = 0
    signed: bool = False
    step: int = 1
    base: Array = field(default_factory=lambda: np.zeros(1, np.int64))

    def decode(self, content: Array, count: int) -> Array:
        """The integers ``q [count]`` behind a buffer's content, elements of `Buffer.dtype`."""
        codes = unpack_planes(content, self.planes, count, self.signed) if self.planes else content.astype(np.int64)
        return np.asarray(per_element(self.base, count) + self.step * codes)


@dataclass(frozen=True)
class Lowered:
    """A program, where it keeps the values of those graph nodes that exist in memory, and what all nodes are called in C."""

    program: Program
    stored: Mapping[Node, Stored]
    names: Mapping[Node, str]


def smallest_ctype(values: Array, choices: Mapping[str, tuple[int, int]] = LIMITS) -> str:
    """The smallest C integer type that holds all of ``values``."""
    lo, hi = (int(values.min()), int(values.max())) if values.size else (0, 0)
    for ctype, (least, most) in choices.items():
        if least <= lo and hi <= most:
            return ctype
    raise LoweringError(f"no integer type holds {lo}..{hi}")


def lower(
    graph: Graph,
    word_bits: int,
    align: int,
    sources: Mapping[str, str] | None = None,
    origins: Mapping[str, tuple[str, ...]] | None = None,
) -> Lowered:
    """The program of ``graph`` for a target with words of ``word_bits`` bits; the arena is not planned yet.

    Args:
        graph: a graph whose values all have domains.
        word_bits: packing width.
        align: what the target wants its arena aligned to, in bytes.
        sources: for each input, how its grid became known (for the header and the report).
        origins: for each ONNX value, the ONNX nodes ("name:Op") that compute it.

    Raises:
        LoweringError: no kernel computes a node; the message names it.
    """
    return _Lowering(graph, word_bits, origins or {}).lowered(align, sources or {})


class _Lowering:
    """The state of one lowering: what was stored where so far, and the calls in order."""

    def __init__(self, graph: Graph, word_bits: int, origins: Mapping[str, tuple[str, ...]]) -> None:
        self.graph = graph
        self.origins = origins
        self.word_bits = word_bits
        self.names = dict(zip(graph.nodes(), identifiers(unique_names(graph.nodes()).values()), strict=True))
        self.users = graph.users()
        self.stored: dict[Node, Stored] = {}
        self.sliced: dict[Node, Stored] = {}
        self.calls: list[Call] = []

    def lowered(self, align: int, sources: Mapping[str, str]) -> Lowered:
        inputs = tuple(self._input(node, sources) for node in self.graph.inputs)
        for node in self.graph.nodes():
            if not isinstance(node, ops.Input) and node not in self.stored:
                self._node(node)
        outputs = tuple(self._output(node) for node in self.graph.outputs)
        program = Program(self.graph.name, self.word_bits, inputs, outputs, tuple(self.calls), 0, align)
        return Lowered(program, self.stored, self.names)

    # --- values

    def _input(self, node: Node, sources: Mapping[str, str]) -> Port:
        lo, hi = node.domain.bounds
        size, name = node.type.size, self.names[node]
        if node.domain.is_bipolar:
            buffer = Buffer(name, "uint8_t", -(-size // 8))
            y = self._words(f"{name}_bits", size)
            self._call(program.LoadBits, node, 0, buffer, size, y)
            self.stored[node] = Stored(y, 1, False, 2, np.array([-1]))
        else:
            buffer = Buffer(name, smallest_ctype(np.array([lo, hi])), size)
            self.stored[node] = Stored(buffer)
        return Port(node.name, buffer, node.type, sources.get(node.name, ""))

    def _words(self, name: str, count: int, planes: int = 1) -> Buffer:
        return Buffer(name, "bnn_word", planes * words(count, self.word_bits))

    def _table(self, node: Node, what: str, values: Array, ctype: str | None = None, columns: int = 0) -> Table:
        flat = np.ascontiguousarray(values).reshape(-1)
        return Table(f"{self.names[node]}_{what}", ctype or smallest_ctype(flat), flat, columns)

    def _output(self, node: Node) -> Port:
        """The caller's buffer of ``int32_t``: the node's own where it is one, a copy otherwise."""
        stored, size = self.stored[node], node.type.size
        y = Buffer(f"{self.names[node]}_out", "int32_t", size)
        plain = not stored.planes and stored.step == 1 and not stored.base.any()
        last = [i for i, c in enumerate(self.calls) if stored.buffer in c.buffers.values()]
        taken = any(p is not node and self.stored[p].buffer == stored.buffer for p in self.graph.inputs)
        if plain and stored.buffer.ctype == "int32_t" and last and not taken and self.graph.outputs.count(node) == 1:
            self._rename(stored.buffer, y)
        elif stored.planes and len(stored.base) == 1 and not stored.signed:
            self._call(program.Unpack, node, 0, stored.buffer, size, stored.planes, int(stored.base[0]), stored.step, y)
        else:
            base, step = per_element(stored.base, len(stored.base)), np.full(len(stored.base), stored.step)
            start = np.zeros((len(base), 1))
            self._requantize(node, "out_", stored.buffer, start, step[:, None], base[:, None], 0, LIMITS["int32_t"], y)
        return Port(node.name, y, node.type)

    def _rename(self, old: Buffer, new: Buffer) -> None:
        """Let the calls write and read the caller's buffer instead of ``old``."""

        def swap(value: Any) -> Any:
            if isinstance(value, Typed):
                return Typed(new) if value.data == old else value
            return new if value == old else value

        self.calls = [
            replace(c, **{k: swap(v) for k, v in c.arguments() if isinstance(v, Typed | Buffer)}) if old in c.buffers.values() else c
            for c in self.calls
        ]
        self.stored = {n: replace(s, buffer=new) if s.buffer == old else s for n, s in self.stored.items()}

    def _call(self, kind: type[Call], node: Node, macs: int, *arguments: object) -> None:
        self.calls.append(kind(self.names[node], self._origin(node), macs, *arguments))

    def _origin(self, node: Node) -> tuple[str, ...]:
        """The ONNX nodes that went into ``node``, in order."""
        values = [n.name for n in provenance(node)]
        if isinstance(node, ops.Steps) and isinstance(node.x, ops.IntegerDense) and node.x not in self.stored:
            values.insert(0, node.x.name)
        return tuple(dict.fromkeys(o for v in values for o in self.origins.get(v, (v,))))

    # --- nodes

    def _node(self, node: Node) -> None:
        match node:
            case ops.Constant():
                return
            case ops.Steps():
                self._steps(node)
            case ops.IntegerDense() if node.type.domain is not None:
                if not self._fuses(node):
                    self._dense(node)
            case ops.Requantize():
                self._requantize_node(node)
            case ops.Lookup():
                self._lookup(node)
            case ops.ArgMax(x=x):
                y = Buffer(self.names[node], "int32_t", 1)
                if x.type.size != x.type.channels:
                    raise LoweringError(f"{node.name}: ArgMax of {x.type} at several positions has no kernel; flatten it")
                stored = self._integers(x)
                self._call(program.Argmax, node, 0, Typed(stored.buffer), x.type.size, y)
                self.stored[node] = Stored(y)
            case _:
                raise LoweringError(_why_not(node))

    def _integers(self, node: Node) -> Stored:
        """The value as plain integers, in an order-preserving code."""
        stored = self.stored[node]
        if stored.planes:
            y = Buffer(f"{self.names[node]}_int", "int32_t", node.type.size)
            self._call(program.Unpack, node, 0, stored.buffer, node.type.size, stored.planes, int(stored.base[0]), stored.step, y)
            stored = Stored(y)
        return stored

    def _planes(self, node: Node) -> Stored:
        """The value as bit planes."""
        stored = self.stored[node]
        if stored.planes:
            return stored
        if node not in self.sliced:
            lo, hi = node.domain.bounds
            planes = max(1, int(hi).bit_length(), int(-lo - 1).bit_length() if lo < 0 else 0) + (lo < 0)
            y = self._words(f"{self.names[node]}_planes", node.type.size, planes)
            self._call(program.Slice, node, 0, Typed(stored.buffer), node.type.size, planes, y)
            self.sliced[node] = Stored(y, planes, lo < 0)
        return self.sliced[node]

    def _fuses(self, node: ops.IntegerDense) -> bool:
        """Whether the layer's only reader is a threshold that one kernel computes with it."""
        users = self.users[node]
        return (
            len(users) == 1 and node not in self.graph.outputs and isinstance(users[0], ops.Steps)
            and _is_xnor(node, self.stored[node.x]) and (at := _crossings(users[0])) is not None and at.shape[1] == 1
        )

    def _dense(self, node: ops.IntegerDense) -> None:
        outs, ins = node.weight.shape
        if node.x.type.size != ins:
            raise LoweringError(f"{node.name}: a dense layer over {node.x.type} at several positions has no kernel yet; flatten it")
        y = Buffer(self.names[node], "int32_t", outs)
        stored, kinds, macs = self.stored[node.x], set(np.unique(node.weight).tolist()), outs * ins
        if _is_xnor(node, stored):
            w = self._bits(node, "weights", node.weight > 0)
            self._call(program.DenseXnor, node, macs, stored.buffer, w, ins, outs, y)
            self.stored[node] = Stored(y)
            return
        if kinds <= {-1, 0, 1} or stored.planes:
            stored = self._planes(node.x)
        base, step = int(stored.base[0]), stored.step
        plane = (stored.buffer, stored.planes, int(stored.signed))
        if kinds <= {-1, 1}:
            w = self._bits(node, "weights", node.weight > 0)
            self._call(program.DenseBipolar, node, macs, *plane, w, None, ins, outs, y)
        elif kinds <= {-1, 0, 1}:
            plus, minus = self._bits(node, "plus", node.weight > 0), self._bits(node, "minus", node.weight < 0)
            self._call(program.DenseTernary, node, macs, *plane, plus, minus, None, ins, outs, y)
        else:
            w = self._table(node, "weights", node.weight, smallest_ctype(node.weight, _SIGNED), ins)
            if stored.planes:
                self._call(program.DenseSelect, node, macs, *plane, Typed(w), None, ins, outs, y)
            else:
                self._call(program.DenseInteger, node, macs, Typed(stored.buffer), Typed(w), ins, outs, y)
        total = node.weight.astype(np.int64).sum(axis=1)
        self.stored[node] = Stored(y, step=step, base=base * total if base else np.zeros(1, np.int64))

    def _bits(self, node: Node, what: str, bits: Array) -> Table:
        packed = pack_bits(bits, self.word_bits)
        return self._table(node, what, packed, "bnn_word", packed.shape[-1])

    def _steps(self, node: ops.Steps) -> None:
        domain, name = node.out, self.names[node]
        lo, size = domain.bounds[0], _points(node.x)
        if node.at.shape[1] > WIDE_STEPS and len(node.at) == 1 and size <= WIDEST_TABLE:
            q = node.x.domain.bounds[0] + node.x.domain.step * np.arange(size)
            self._table_call(node, interpreter.steps(q[:, None], node.at, node.levels).T)
            return
        codes = (node.levels - lo) // domain.step
        planes = max(1, int(codes.max()).bit_length())
        y = self._words(name, node.type.size, planes)
        crossings = _crossings(node)
        if isinstance(node.x, ops.IntegerDense) and node.x not in self.stored:
            self._fused(node, node.x, y)
        else:
            stored = self.stored[node.x] if not self.stored[node.x].planes else self._integers(node.x)
            at, levels = _on_codes(node.at if crossings is None else crossings, codes, stored)
            table = self._at(node, at)
            if crossings is not None and at.shape[1] == 1:
                self._call(program.Threshold, node, 0, Typed(stored.buffer), node.type.size, Typed(table), len(at), y)
            else:
                # One plane of a count is its parity, which is what a bit with several crossings is.
                counted = crossings is not None or (levels == np.arange(levels.shape[1])).all()
                by_level = None if counted else self._table(node, "levels", levels, "uint8_t", levels.shape[1])
                self._call(program.Steps, node, 0, Typed(stored.buffer), node.type.size, Typed(table), len(at), at.shape[1],
                           by_level, planes, y)
        self.stored[node] = Stored(y, planes, False, domain.step, np.array([lo]))

    def _fused(self, node: ops.Steps, dense: ops.IntegerDense, y: Buffer) -> None:
        outs, ins = dense.weight.shape
        at = _crossings(node)
        assert at is not None
        w = self._bits(dense, "weights", dense.weight > 0)
        table = self._at(node, np.repeat(at, outs // len(at), axis=0))
        self._call(program.DenseThreshold, node, outs * ins, self.stored[dense.x].buffer, w, Typed(table), ins, outs, y)

    def _at(self, node: Node, at: Array) -> Table:
        return self._table(node, "at", at, None, at.shape[1])

    def _requantize_node(self, node: ops.Requantize) -> None:
        stored = self.stored[node.x]
        identity = node.shift == 0 and node.start.shape == (1, 1) and node.multiplier[0, 0] == 1 and node.bias[0, 0] == 0
        if identity:
            self.stored[node] = stored
            return
        stored = self._integers(node.x) if stored.planes else stored
        y = Buffer(self.names[node], self._ctype(node), node.type.size)
        rows = max(len(node.start), len(stored.base))
        start, multiplier, bias = (np.repeat(a, rows // len(a), axis=0) for a in (node.start, node.multiplier, node.bias))
        base = per_element(stored.base, rows)[:, None]
        # The kernel sees codes: q = base + step * code.
        start = -((base - start) // stored.step)
        multiplier, bias = multiplier * stored.step, bias + multiplier * base
        self._requantize(node, "", stored.buffer, start, multiplier, bias, node.shift, node.out.bounds, y)
        self.stored[node] = Stored(y)

    def _ctype(self, node: Node) -> str:
        """The smallest integer that holds the node's values; what the caller gets is 32 bits wide."""
        return "int32_t" if node in self.graph.outputs else smallest_ctype(np.array(node.domain.bounds))

    def _requantize(
        self, node: Node, what: str, x: Buffer, start: Array, multiplier: Array, bias: Array, shift: int, bounds: tuple[int, int], y: Buffer
    ) -> None:
        rows, pieces = start.shape
        clamped = np.clip(start, *LIMITS["int32_t"])
        clamped[:, 0] = clamped[:, 0] if pieces > 1 else 0
        tables = (
            self._table(node, f"{what}start", clamped.astype(np.int64), "int32_t", pieces),
            self._table(node, f"{what}multiplier", multiplier.astype(np.int64), "int32_t", pieces),
            self._table(node, f"{what}bias", bias.astype(np.int64), "int64_t", pieces),
        )
        self._call(program.Requantize, node, 0, Typed(x), node.type.size, *tables, rows, pieces, shift, *bounds, Typed(y))

    def _lookup(self, node: ops.Lookup) -> None:
        self._table_call(node, node.table)

    def _table_call(self, node: ops.Lookup | ops.Steps, values: Array) -> None:
        """``y = values[row, point]``: a table over all that ``node.x`` can be."""
        lo, _ = node.x.domain.bounds
        stored = self.stored[node.x]
        if stored.planes or len(stored.base) > 1:
            stored = self._integers(node.x)
        y = Buffer(self.names[node], self._ctype(node), node.type.size)
        table = self._table(node, "table", values, None, values.shape[1])
        base = int(stored.base[0])
        self._call(program.Lookup, node, 0, Typed(stored.buffer), node.type.size, (lo - base) // stored.step,
                   node.x.domain.step // stored.step, Typed(table), *values.shape, Typed(y))
        self.stored[node] = Stored(y)


WIDE_STEPS = 16  # more thresholds than this are slower to count than a table is to read
WIDEST_TABLE = 1 << 12
_SIGNED = {k: v for k, v in LIMITS.items() if k != "uint8_t"}


def _points(node: Node) -> int:
    """How many values a node can take, over all rows."""
    lo, hi = node.domain.bounds
    return (hi - lo) // node.domain.step + 1


def _is_xnor(node: ops.IntegerDense, x: Stored) -> bool:
    """Whether input and weights are both bipolar."""
    return x.planes == 1 and x.step == 2 and int(x.base[0]) == -1 and bool((np.abs(node.weight) == 1).all())


def _crossings(node: ops.Steps) -> Array | None:
    """For two levels: thresholds ``[rows, count]`` of which an odd number is reached where the bit is 1.

    A row that begins with 1 has the smallest ``q`` as an additional first threshold; unused ones stand above the largest.
    None where there are more levels than two.
    """
    lo, hi = node.out.bounds
    if hi - lo > node.out.step:
        return None
    least, most = node.x.domain.bounds
    bits = node.levels > lo
    rows = []
    for at, bit in zip(node.at.tolist(), bits.tolist(), strict=True):
        found = [least] if bit[0] else []
        rows.append(found + [t for t, before, now in zip(at, bit, bit[1:], strict=False) if now != before and t <= most])
    count = max(1, max(map(len, rows)))
    return np.array([r + [most + 1] * (count - len(r)) for r in rows], np.int64)


def _on_codes(at: Array, levels: Array, x: Stored) -> tuple[Array, Array]:
    """Thresholds on ``q`` as thresholds on codes: ``q >= t`` where ``code >= ceil((t - base) / step)``."""
    rows = max(len(at), len(x.base))
    at, levels = (np.repeat(a, rows // len(a), axis=0) for a in (at, levels))
    base = per_element(x.base, rows)[:, None]
    return -((base - at) // x.step), levels


def provenance(node: Node) -> tuple[Node, ...]:
    """The nodes of the imported graph whose values ``node`` stands for: a folded region's nodes, else the node itself."""
    function = getattr(node, "function", None)
    return function.nodes if isinstance(function, ChannelFunction) and function.nodes else (node,)


def _why_not(node: Node) -> str:
    """Why a node that is still real has no kernel, and the way out."""
    what = f"{node.name}: {node.op} could not be compiled to integers"
    inputs: Iterator[Node] = (o for o in node.operands if not isinstance(o, ops.Constant))
    kinds = ", ".join(f"{o.name} is {o.type}" for o in inputs)
    return f"{what} ({kinds}); it needs one input on an integer grid: quantise or binarize what feeds it"
