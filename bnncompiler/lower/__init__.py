"""Lower: the graph becomes a program, a few kernel calls for each node, weights packed to the target's words.

`storage` says how values lie in memory; `layers`, `convolutions`, `maps`, `concats` and `functions` which kernels
compute a node; here is the order of things, and the way in and out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from bnncompiler import calls, ops
from bnncompiler.choices import Decision
from bnncompiler.costs import FIRST, Selection
from bnncompiler.errors import LoweringError
from bnncompiler.ir import Graph, Node
from bnncompiler.lower import concats, convolutions, functions, layers, maps, parts, ranked
from bnncompiler.lower.storage import LIMITS, Lowering, Stored, bounds_ctype, provenance
from bnncompiler.program import Buffer, Port, Program

__all__ = ["Lowered", "Stored", "lower", "provenance"]


@dataclass(frozen=True)
class Lowered:
    """A program, where it keeps the graph's values (those that exist in memory), and the nodes' names in C.

    ``stack`` is what its kernels need of it in bytes, as far as the target's cost model knows; ``decisions`` is which
    kernels there were to choose from, with the calls by their numbers before any table was split.
    """

    program: Program
    stored: Mapping[Node, Stored]
    names: Mapping[Node, str]
    stack: int = 0
    decisions: tuple[Decision, ...] = ()


def lower(
    graph: Graph,
    word_bits: int,
    align: int,
    sources: Mapping[str, str] | None = None,
    origins: Mapping[str, tuple[str, ...]] | None = None,
    selection: Selection = FIRST,
    largest_table: int | None = None,
) -> Lowered:
    """The program of ``graph`` for a target with words of ``word_bits`` bits; the arena is not planned yet.

    Args:
        graph: a graph whose values all have domains.
        word_bits: packing width.
        align: what the target wants its arena aligned to, in bytes.
        sources: for each input, how its grid became known (for the header and the report).
        origins: for each ONNX value, the ONNX nodes ("name:Op") that compute it.
        selection: how kernels are chosen where several compute the same; by default the first is taken.
        largest_table: the most bytes that a table may have on the target, None where it can be of any size.

    Raises:
        LoweringError: no kernel computes a node; the message names it.
        UsageError: kernels are decided for what is not there.
    """
    low = Lowering(graph, word_bits, selection, origins or {})
    inputs = tuple(_input(low, node, (sources or {}).get(node.name, "")) for node in graph.inputs)
    for node in graph.nodes():
        if node not in low.stored and node not in low.within:
            first = len(low.calls)
            _node(low, node)
            low.decided(first)
    selection.choices.check(low.decisions)
    outputs = tuple(_output(low, node) for node in graph.outputs)
    lowered = low.calls if largest_table is None else parts.split(low.calls, word_bits, largest_table)
    program = Program(graph.name, word_bits, inputs, outputs, tuple(lowered), 0, align)
    return Lowered(program, low.stored, low.names, low.stack, tuple(low.decisions))


def _input(low: Lowering, node: Node, source: str) -> Port:
    """The caller's buffer: integers of the smallest type, or bytes of packed bits."""
    size, name = node.type.size, low.names[node]
    if node.domain.is_bipolar:
        buffer = Buffer(name, "uint8_t", -(-size // 8))
        y = low.packed(low.derived(node, "bits"), size)
        low.call(calls.LoadBits, node, 0, buffer, size, y)
        low.stored[node] = Stored(y, 1, False, 2, np.array([-1]))
    else:
        buffer = Buffer(name, bounds_ctype(node), size)
        low.stored[node] = Stored(buffer)
    return Port(node.name, buffer, node.type, source)


def _output(low: Lowering, node: Node) -> Port:
    """The caller's buffer of ``int32_t``: the node's own where it is one, a copy otherwise."""
    stored, size = low.stored[node], node.type.size
    y = Buffer(low.derived(node, "out"), "int32_t", size)
    owners = [n for n in low.graph.nodes() if n in low.stored and low.stored[n].buffer == stored.buffer]
    free = not any(isinstance(n, ops.Input) for n in owners) and sum(low.graph.outputs.count(n) for n in owners) == 1
    if stored.is_plain and stored.buffer.ctype == "int32_t" and free:
        low.calls = [c.with_buffers({stored.buffer: y}) for c in low.calls]
        for n in owners:
            low.stored[n] = replace(low.stored[n], buffer=y)
    elif stored.planes and len(stored.base) == 1 and not stored.signed:
        low.unpack(node, stored, y)
    else:
        base = stored.base[:, None]
        step = np.full(base.shape, stored.step)
        functions.affine(
            low,
            node,
            "out_",
            stored.buffer,
            size,
            np.zeros(base.shape),
            step,
            base,
            0,
            LIMITS["int32_t"],
            y,
            exact=True,
        )
    return Port(node.name, y, node.type)


def _node(low: Lowering, node: Node) -> None:
    size, name = node.type.size, low.names[node]
    match node:
        case ops.Constant() | ops.Input():
            return
        case ops.IntegerDense() if node.type.domain is not None and node.x.type.size == node.weight.shape[1]:
            layers.dense(low, node)
        case ops.IntegerDense() | ops.IntegerConv() if node.type.domain is not None:
            convolutions.loop(low, node)
        case ops.MaxPool() if node.type.domain is not None:
            maps.max_pool(low, node)
        case ops.Pad() if node.type.domain is not None:
            maps.pad(low, node)
        case ops.IntegerAdd() | ops.IntegerMul():
            maps.join(low, node)
        case ops.Concat() if node.type.domain is not None:
            concats.concat(low, node)
        case ops.Permute() if node.type.domain is not None:
            maps.permute(low, node)
        case ops.Steps(x=x) if concats.is_in_parts(low, x):
            concats.threshold(low, node)
        case ops.Steps(x=ops.IntegerDense() as layer) if layer not in low.stored:
            layers.fused(low, node, layer)
        case ops.Steps() if node.out.step == 1 and (line := functions.staircase_line(node)) is not None:
            y = Buffer(name, low.output_ctype(node), size)
            functions.as_integers(low, node, line, low.integers(node.x), size, y)
            low.stored[node] = Stored(y)
        case ops.Steps() if not functions.is_table(node):
            y = low.packed(name, size, functions.code_planes(node))
            functions.steps(low, node, low.integers(node.x), size, y)
            low.stored[node] = functions.stored_levels(node, y)
        case ops.Requantize(x=x) if functions.is_identity(node):
            low.stored[node] = low.stored[x]
        case ops.Requantize():
            y = Buffer(name, low.output_ctype(node), size)
            functions.requantize(low, node, low.integers(node.x), size, y)
            low.stored[node] = Stored(y)
        case ops.Steps() | ops.Lookup():
            y = Buffer(name, low.output_ctype(node), size)
            functions.lookup(low, node, low.integers(node.x), size, y)
            low.stored[node] = Stored(y)
        case ops.ArgMax():
            ranked.ranked(low, node)
        case ops.Largest() if node.type.domain is not None:
            ranked.ranked(low, node)
        case _:
            raise LoweringError(_why_not(node))


def _why_not(node: Node) -> str:
    """Why a node has no kernel, and the way out."""
    what = f"{node.name}: {node.op} could not be compiled to integers"
    inputs: Iterator[Node] = (o for o in node.operands if not isinstance(o, ops.Constant))
    kinds = ", ".join(f"{o.name} is {o.type}" for o in inputs)
    if isinstance(node, ops.Conv | ops.IntegerConv) and (x := node.x.type.domain) and x.rows > node.x.type.channels:
        return f"{what} ({kinds}): the scale of its input differs from pixel to pixel; scale by channel instead"
    if isinstance(node, ops.IntegerDense | ops.IntegerConv) and node.x.type.domain is not None:
        return f"{what} ({kinds}): its sums leave 32 bits; use fewer --stream-bits or --weight-bits"
    if isinstance(node, ops.Elementwise) and node.operator == "Div":
        return (
            f"{what}: it divides one computed value by another; a norm by each sample's own statistics does not "
            "compile, BatchNormalization does, and a division by what is constant"
        )
    if node.type.domain is not None:
        return f"{what} ({kinds}): no kernel computes it on this shape; flatten its input"
    return f"{what} ({kinds}); it needs one input on an integer grid: quantise or binarize what feeds it"
