"""What a pass is: a frozen dataclass with a name that maps a graph to a graph with the same meaning.

Options are the dataclass's fields. A pass that finds nothing to do returns the graph itself, so that a driver can see
it. `run_pipeline` repeats groups of passes until nothing changes, and calls ``after`` with the graph before and after
each.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeAlias, Union

import numpy as np

from bnncompiler import interpreter
from bnncompiler.errors import IRError, VerificationError
from bnncompiler.ir import Array, Graph, Node
from bnncompiler.ops import Constant, Elementwise
from bnncompiler.oracle import sources


class Pass(Protocol):
    """A rewrite of the whole graph."""

    @property
    def name(self) -> str:
        """A verb phrase in kebab case."""

    def __call__(self, graph: Graph, /) -> Graph:
        """The rewritten graph; the same object where nothing applied."""


Passes: TypeAlias = Sequence[Union[Pass, "Passes"]]
FLOAT_NOISE = 1e-5  # relative: what numpy's float32 makes of a long sum
ROUNDS = 1000  # a round or two for each layer of the deepest networks
FEW = 0.25  # of the samples, where float32 rounding decides signs

After = Callable[[Pass, Graph, Graph], None]


def run_pipeline(graph: Graph, passes: Passes, after: After | None = None) -> Graph:
    """Run ``passes`` in order; a nested sequence is repeated until none of its passes changes the graph.

    Raises:
        IRError: that does not happen.
    """
    for item in passes:
        if isinstance(item, Sequence):
            graph = _fixed_point(graph, item, after)
            continue
        changed = item(graph)
        if after is not None and changed is not graph:
            after(item, graph, changed)
        graph = changed
    return graph


def _fixed_point(graph: Graph, passes: Passes, after: After | None) -> Graph:
    for _ in range(ROUNDS):
        changed = run_pipeline(graph, passes, after)
        if changed is graph:
            return graph
        graph = changed
    left = [n.name for n in graph.nodes() if n.type.domain is None and not isinstance(n, Constant)]
    raise IRError(f"the passes come to no end; not compiled to integers are {', '.join(left) or 'none'}")


def rewrite_sinks(graph: Graph, rule: Callable[[Node, Node], Node | None]) -> Graph:
    """Apply ``rule(node, was)`` to the values that leave an elementwise region of one source.

    They are read by something else, by an elementwise node that joins them with another value, or are outputs.

    ``was`` is the node as it stands in ``graph``, ``node`` the same on rewritten operands. Elementwise nodes inside a
    region stay as they are; they vanish when nothing reads them any more.
    """
    users = graph.users()
    outputs = set(graph.outputs)
    inside = {n for n in users if isinstance(n, Elementwise) and len(sources(n)) == 1}
    originals = iter(users)

    def apply(node: Node) -> Node | None:
        was = next(originals)  # rewrite visits the nodes in the order of users()
        leaves = was in outputs or any(u not in inside for u in users[was])
        return rule(node, was) if leaves else None

    return graph.rewrite(apply)


def check_equivalence(name: str, before: Graph, after: Graph, inputs: Mapping[str, Array]) -> None:
    """Run both graphs in the interpreter and compare the outputs within the bounds that they state.

    Where a sum is not exact in float32, a sign in the graph that still has it as real numbers can fall the other way
    than in the one that has it as integers, and the sample differs by whole levels. Such samples are few; where all
    sums are exact there are none.

    Raises:
        VerificationError: the pass changed what the graph computes.
    """
    old, new = interpreter.run(before, inputs), interpreter.run(after, inputs)
    exact = all(n.type.domain is None or n.type.domain.is_exact for n in after.nodes() if n not in after.outputs)
    for a, b in zip(before.outputs, after.outputs, strict=True):
        x, y = (interpreter.real(n, values[n]) for n, values in ((a, old), (b, new)))
        bound = sum(float(n.type.domain.error.max()) for n in (a, b) if n.type.domain is not None)
        rounding = FLOAT_NOISE * float(np.abs(x).max(initial=1e-30))
        differs = (np.abs(x - y) > bound + rounding).reshape(len(x), -1).any(axis=1)
        if differs.mean() > (0 if exact else FEW):
            raise VerificationError(f"pass {name}: {a.name} differs from before by up to {np.abs(x - y).max():.3g}")
