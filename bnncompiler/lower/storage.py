"""Storage: how a value of the graph lies in memory, and the state of a lowering.

How a value is stored follows from what it is: levels of `ops.Steps` as bit planes of their codes, everything else as
the smallest C integer that holds it. Kernels work on codes, so a stored value also says how its codes relate to the
graph's integers. What the node functions in this package share is the `Lowering`: what was stored where so far, and
the calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np

from bnncompiler import calls, ops
from bnncompiler.choices import Decision, Question
from bnncompiler.costs import Selection, Work
from bnncompiler.dense_calls import NO_TAIL
from bnncompiler.errors import LoweringError
from bnncompiler.identifiers import identifiers
from bnncompiler.ir import Array, Graph, Node, per_element, unique_names
from bnncompiler.oracle import ChannelFunction
from bnncompiler.packing import pack_bits, pack_rows, tails_save, unpack_planes, words
from bnncompiler.program import Buffer, Call, Table, Typed

LIMITS = {
    "uint8_t": (0, 255),
    "int8_t": (-128, 127),
    "int16_t": (-(2**15), 2**15 - 1),
    "int32_t": (-(2**31), 2**31 - 1),
}
WIDE = {**LIMITS, "int64_t": (-(2**63), 2**63 - 1)}
SIGNED = {k: v for k, v in LIMITS.items() if k != "uint8_t"}


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

    @property
    def is_bipolar(self) -> bool:
        """Whether it is bits that mean -1 and +1."""
        return self.planes == 1 and not self.signed and self.step == 2 and self.base.tolist() == [-1]

    @property
    def is_plain(self) -> bool:
        """Whether it is the graph's integers themselves."""
        return not self.planes and self.step == 1 and not self.base.any()

    def on_codes(self, q: Array) -> Array:
        """Thresholds ``[rows, count]`` on ``q`` as those on codes: ``code >= ceil((t - base) / step)``."""
        rows = max(len(q), len(self.base))
        return np.asarray(
            -((per_element(self.base, rows)[:, None] - np.repeat(q, rows // len(q), axis=0)) // self.step)
        )


def smallest_ctype(values: Array, choices: Mapping[str, tuple[int, int]] = LIMITS) -> str:
    """The smallest C integer type that holds all of ``values``."""
    lo, hi = (int(values.min()), int(values.max())) if values.size else (0, 0)
    for ctype, (least, most) in choices.items():
        if least <= lo and hi <= most:
            return ctype
    raise LoweringError(f"no integer type holds {lo}..{hi}")


def bounds_ctype(node: Node) -> str:
    """The smallest C integer type that holds a node's integers."""
    return smallest_ctype(np.array(node.domain.bounds))


class Lowering:
    """What was stored where so far, and the calls in order."""

    def __init__(
        self, graph: Graph, word_bits: int, selection: Selection, origins: Mapping[str, tuple[str, ...]]
    ) -> None:
        self.graph = graph
        self.word_bits = word_bits
        self.selection = selection
        self.origins = origins
        self.names = dict(zip(graph.nodes(), identifiers(unique_names(graph.nodes()).values()), strict=True))
        self.users = graph.users()
        self.stored: dict[Node, Stored] = {}
        self.stack = 0  # bytes that the chosen kernels need at most, as far as they have a price
        self.within: set[Node] = set()  # computed, but nowhere in memory: part of another value's call
        self.calls: list[Call] = []
        self.decisions: list[Decision] = []
        self._asked: dict[str, list[Question]] = {}  # by layer, since the last decisions
        self._taken = set(self.names.values())
        self._other_forms: dict[tuple[Node, str], Stored] = {}

    # --- buffers, tables, calls

    def derived(self, node: Node, what: str) -> str:
        """A new name for something that belongs to ``node``; ONNX may have a value of that name already."""
        stem = name = f"{self.names[node]}_{what}"
        n = 1
        while name in self._taken:
            n += 1
            name = f"{stem}_{n}"
        self._taken.add(name)
        return name

    def packed(self, name: str, count: int, planes: int = 1) -> Buffer:
        """A new buffer of ``planes`` bit planes of ``count`` elements."""
        return Buffer(name, "bnn_word", planes * words(count, self.word_bits))

    def output_ctype(self, node: Node) -> str:
        """The smallest integer that holds the node's values; what the caller gets is 32 bits wide."""
        return "int32_t" if node in self.graph.outputs else bounds_ctype(node)

    def table(self, node: Node, what: str, values: Array, ctype: str | None = None, columns: int = 0) -> Table:
        """A constant table that belongs to ``node``."""
        flat = np.ascontiguousarray(values).reshape(-1)
        return Table(self.derived(node, what), ctype or smallest_ctype(flat), flat, columns)

    def bit_table(self, node: Node, what: str, bits: Array) -> Table:
        """Rows of bits, each packed into words of its own."""
        packed = pack_bits(bits, self.word_bits)
        return self.table(node, what, packed, "bnn_word", packed.shape[-1])

    def row_tables(self, node: Node, what: str, bits: Array) -> tuple[Table, Table]:
        """Rows of bits ``[rows, n]``: a table of whole words, and one of the rows' tails; either may be empty.

        A tail in the place of a word costs no time, one beside whole words a few percent (6 % of a convolution on a
        Cortex-M whose rows are a word and a byte): that is for those who want it small.
        """
        rows, n = bits.shape
        if not tails_save(rows, n, self.word_bits) or (n > self.word_bits and self.selection.goal != "size"):
            return self.bit_table(node, what, bits), NO_TAIL
        packed, tails = pack_rows(bits, self.word_bits)
        w = self.table(node, what, packed, "bnn_word", packed.shape[-1])
        return w, self.table(node, f"{what}_tail", tails, f"{tails.dtype.name}_t")

    def call(self, kind: type[Call], node: Node, macs: int, *arguments: object) -> None:
        """Append a kernel call for ``node``."""
        self.calls.append(kind(self.names[node], self.origin(node), macs, *arguments))

    def choose(self, node: Node, kernels: Sequence[type[Call]], work: Work) -> type[Call]:
        """The kernel that computes ``work`` of the layer ``node``: as decided, else the cheapest on the target."""
        candidates = {k.short_name(): k for k in self.selection.candidates(kernels, work, self.word_bits)}
        chosen = candidates[self._answer(self.names[node], tuple(candidates))]
        cost = self.selection.costs.of(chosen, work, self.word_bits)
        self.stack = max(self.stack, 0 if cost is None else cost.ram - cost.scratch)
        return chosen

    def _answer(self, layer: str, offered: tuple[str, ...]) -> str:
        """Which of the ``offered`` kernels it is; what an earlier answer says already is not asked again."""
        asked = self._asked.setdefault(layer, [])
        before = (q.answer for q in asked if q.answer in offered and set(offered) <= set(q.offered))
        answer = next(before, None)
        if answer is None:
            answer = offered[0]
            if len(offered) > 1:
                answer = self.selection.choices.answer(layer, len(asked), offered) or answer
                asked.append(Question(offered, answer))
        return answer

    def decided(self, first: int) -> None:
        """Record what was asked since this was called last, about layers whose calls are those from ``first`` on."""
        calls = range(first, len(self.calls))
        self.decisions += [Decision(layer, tuple(asked), calls) for layer, asked in self._asked.items() if asked]
        self._asked = {}

    def scratch(self, node: Node, kernel: type[Call], work: Work) -> Buffer | None:
        """A new buffer for the working memory that ``kernel`` wants in the arena on this target; None for none."""
        cost = self.selection.costs.of(kernel, work, self.word_bits)
        if cost is None or not cost.scratch:
            return None
        return Buffer(self.derived(node, "scratch"), "int32_t", -(-cost.scratch // 4))

    @contextmanager
    def collecting(self) -> Iterator[list[Call]]:
        """Within this, calls are collected in the list that it yields: the body of a loop."""
        outer, self.calls = self.calls, []
        try:
            yield self.calls
        finally:
            self.calls = outer

    # --- values in another form

    def integers(self, node: Node) -> Stored:
        """The value as integers, one element each."""
        stored = self.stored[node]
        if not stored.planes:
            return stored
        key = (node, "integers")
        if key not in self._other_forms:
            if stored.signed or len(stored.base) > 1:
                raise LoweringError(f"{node.name}: a value in two's complement planes is not unpacked")
            y = Buffer(self.derived(node, "int"), bounds_ctype(node), node.type.size)
            self.unpack(node, stored, y)
            self._other_forms[key] = Stored(y)
        return self._other_forms[key]

    def unpack(self, node: Node, stored: Stored, y: Buffer) -> None:
        """Append the call that writes the value's integers to ``y``."""
        numbers = (node.type.size, stored.planes, int(stored.base[0]), stored.step)
        self.call(calls.Unpack, node, 0, stored.buffer, *numbers, Typed(y))

    def planes(self, node: Node) -> Stored:
        """The value as bit planes."""
        stored = self.stored[node]
        if stored.planes:
            return stored
        key = (node, "planes")
        if key not in self._other_forms:
            count, lo = self.plane_count(node), node.domain.bounds[0]
            y = self.packed(self.derived(node, "planes"), node.type.size, count)
            self.call(calls.Slice, node, 0, Typed(stored.buffer), node.type.size, count, y)
            self._other_forms[key] = Stored(y, count, lo < 0)
        return self._other_forms[key]

    def plane_count(self, node: Node) -> int:
        """How many bit planes the value has, or would have."""
        if self.stored[node].planes:
            return self.stored[node].planes
        lo, hi = node.domain.bounds
        return max(1, int(hi).bit_length(), int(-lo - 1).bit_length() if lo < 0 else 0) + (lo < 0)

    # --- provenance

    def origin(self, node: Node) -> tuple[str, ...]:
        """The ONNX nodes that went into ``node`` and into the layer that is computed with it, in order."""
        values = [n.name for n in provenance(node)]
        before = node.operands[0] if isinstance(node, ops.Steps | ops.Requantize) else None
        if isinstance(before, ops.IntegerDense | ops.IntegerConv) and before not in self.stored:
            values.insert(0, before.name)
        return tuple(dict.fromkeys(o for v in values for o in self.origins.get(v, (v,))))


def provenance(node: Node) -> tuple[Node, ...]:
    """The nodes of the imported graph that ``node`` stands for: a folded region's nodes, else itself."""
    function = getattr(node, "function", None)
    return function.nodes if isinstance(function, ChannelFunction) and function.nodes else (node,)
