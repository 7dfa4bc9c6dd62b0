"""Forcing: which values onnxruntime is given when it answers layer by layer, and how exact the rest is from there.

Given the compiled network's own values, onnxruntime computes each layer from the same numbers as the C does. So a value
is off by what its own layer adds, and not by what all layers before it added up. Discrete values are given, and streams
(sums, fixed point, tables, joined or moved or not) that are not exact, as ``float32(real(q))``.

Where the graph has several values for the ONNX name of a stream, as they are and on coarser grids for layers that want
these, the finest is given; another is off by its own rounding and, unless made from that one, by that one's, too. A
stream that another node's chain runs through on its way from an earlier value is not given, nor is one with a twin that
the passes made one with it: onnxruntime would go on with another value than the program.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np

from bnncompiler import blur
from bnncompiler.frontend.imported import Imported
from bnncompiler.ir import Array, Domain, Graph, Node, per_element, rows, walk
from bnncompiler.ops import (
    Concat,
    Constant,
    Elementwise,
    Input,
    IntegerAdd,
    IntegerMul,
    Lookup,
    MaxPool,
    Pad,
    Permute,
    Requantize,
    Steps,
)
from bnncompiler.oracle import ChannelFunction

STREAMS = Requantize | Lookup | IntegerAdd | IntegerMul | Concat | MaxPool | Pad | Permute


@dataclass(frozen=True, eq=False)
class Forcing:
    """What is given, and what follows for the other values.

    Attributes:
        given: the node for each ONNX value that onnxruntime is given, by name.
        domains: each value's domain; its error is counted from the values that are given.
        undecided: for each threshold, the accumulators at which rounding since then decides (`blur.undecided`).
        recomputed: the discrete values that onnxruntime computes for some of their readers, though others are given
            them; where rounding decides there, it may go on with another value than the program.
    """

    given: Mapping[str, Node]
    domains: Mapping[Node, Domain]
    undecided: Mapping[Node, Array]
    recomputed: frozenset[Node]

    @property
    def by_kind(self) -> tuple[dict[str, Node], dict[str, Node]]:
        """What is given, the discrete values and the streams."""
        levels = {name: n for name, n in self.given.items() if is_discrete(n)}
        return levels, {name: n for name, n in self.given.items() if name not in levels}


def forcing(imported: Imported, graph: Graph) -> Forcing:
    """What can be given to onnxruntime of ``graph``, whose model is ``imported``."""
    twins = _twins(imported)
    discrete = _discrete(imported, graph)
    given = discrete | {name: n for name, n in _streams(imported, graph, twins).items() if name not in discrete}
    domains, sources = _domains(graph, given)
    undecided: dict[Node, Array] = {n: blur.within(n, sources[n].error) for n in graph.nodes() if isinstance(n, Steps)}
    return Forcing(given, domains, undecided, _recomputed(graph, discrete, twins))


def is_discrete(node: Node) -> bool:
    """Whether a node has levels for values: thresholds, or a pool of them."""
    return isinstance(node, Steps) or (isinstance(node, MaxPool) and isinstance(node.x, Steps))


def _discrete(imported: Imported, graph: Graph) -> dict[str, Node]:
    """The discrete values that have a name in ONNX."""
    return {n.name: n for n in graph.nodes() if is_discrete(n) and _is_named(imported, n)}


def _is_named(imported: Imported, node: Node) -> bool:
    """Whether an ONNX value other than an input has the node's elements, and its name."""
    view = imported.views.get(node.name)
    same = view is not None and view.base.name == node.name and view.base.type.size == node.type.size
    return same and node.name not in {i.name for i in imported.graph.inputs}


def _streams(imported: Imported, graph: Graph, twins: frozenset[str]) -> dict[str, Node]:
    """The streams that can be given."""
    users, outputs = graph.users(), set(graph.outputs)
    passed = {
        inner.name
        for n in users
        if isinstance(function := getattr(n, "function", None), ChannelFunction)
        for inner in function.nodes
        if inner is not function.sink
    }
    by_name: dict[str, list[Node]] = {}
    for node in users:
        if node.type.domain is not None and _is_named(imported, node):
            by_name.setdefault(node.name, []).append(node)
    found = {}
    for name, nodes in by_name.items():
        inexact = any(isinstance(n, STREAMS) and not n.domain.is_exact for n in nodes)
        if name in passed or name in twins or not inexact:
            continue
        read = [n for n in nodes if n in outputs or any(u not in nodes for u in users[n])]
        node = read[0] if len(read) == 1 else min(nodes, key=lambda n: float(n.domain.error.max()))
        if node not in outputs and imported.views[name].base.type.dtype == "float32":
            found[name] = node
    return found


def _twins(imported: Imported) -> frozenset[str]:
    """The names of values that the model computes more than once."""
    seen: dict[object, int] = {}
    number: dict[Node, int] = {}
    for node in imported.graph.nodes():
        match node:
            case Constant(value=value):
                key: object = (value.dtype.str, value.shape, value.tobytes())
            case Elementwise():
                key = (node.operator, node.dtype, node.attrs, tuple(number[i] for i in node.inputs))
            case _:
                key = node
        number[node] = seen.setdefault(key, len(number))
    counts = Counter(number.values())
    return frozenset(n.name for n in imported.graph.nodes() if counts[number[n]] > 1)


def _recomputed(graph: Graph, given: Mapping[str, Node], twins: frozenset[str]) -> frozenset[Node]:
    """The discrete values without a name of their own in ONNX, or with a twin."""
    pooled = {n.x for n in given.values() if isinstance(n, MaxPool)}
    levels = (n for n in graph.nodes() if is_discrete(n) and n not in pooled)
    return frozenset(n for n in levels if n.name not in given or n.name in twins)


def _domains(graph: Graph, given: Mapping[str, Node]) -> tuple[dict[Node, Domain], dict[Node, Domain]]:
    """The domain of each value and that of each value's first operand, with errors counted from what is given."""
    own, sources = _walk(graph, frozenset(given.values()), {})
    apart = {n: given[n.name] for n in own if n.name in given and given[n.name] not in walk((n,))}
    more = {n: own[other].error for n, other in apart.items() if own[other].error.any()}
    return _walk(graph, frozenset(given.values()), more) if more else (own, sources)


def _walk(
    graph: Graph, given: frozenset[Node], more: Mapping[Node, Array]
) -> tuple[dict[Node, Domain], dict[Node, Domain]]:
    """`_domains`, where the error of some nodes is ``more`` than their operands make it.

    The graph is walked with exact stand-ins for the values that are given: types do the rest.
    """
    own: dict[Node, Domain] = {}
    sources: dict[Node, Domain] = {}
    seen: dict[Node, Node] = {}
    for node in graph.nodes():
        now = node.with_operands(seen)
        seen[node] = now
        if now.type.domain is None:
            continue
        own[node] = now.domain
        if now.operands and now.operands[0].type.domain is not None:
            sources[node] = now.operands[0].domain
        if node in more:
            own[node] = replace(now.domain, error=_sum(now.domain.error, more[node]))
            seen[node] = Input(node.name, replace(now.type, domain=own[node]))
        if node in given and not now.domain.is_exact:
            exact = replace(now.type, domain=replace(now.domain, error=rows(np.zeros(1))))
            seen[node] = Input(node.name, exact)
    return own, sources


def _sum(a: Array, b: Array) -> Array:
    """The sum of two errors, each by row, of which they may have different numbers."""
    count = math.lcm(len(a), len(b))
    return np.asarray(per_element(a, count) + per_element(b, count))
