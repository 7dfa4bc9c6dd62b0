"""If with a condition that is known: its branch takes its place, in the graph and in the reference.

The one idea: the branch's nodes are imported as if they had stood in the model, under names that are free there, so
that the reference can be cut at any value that the graph knows.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from onnx import GraphProto, ModelProto, NodeProto, helper

from bnncompiler.frontend.nodes import attribute, label, live, reads, subgraphs
from bnncompiler.frontend.scope import Scope


def inline(scope: Scope, node: NodeProto) -> list[NodeProto]:
    """The nodes of the branch that an If with a known condition takes, under names that are free, and its outputs'."""
    taken = bool(scope.constants[node.input[0]].all())
    body: GraphProto = attribute(node, "then_branch" if taken else "else_branch")
    prefix = f"{node.name or node.output[0]}."
    own = {t.name for t in body.initializer} | {o for n in body.node for o in n.output if o}
    names = {n: prefix + n for n in own if n in scope.values or n in scope.constants or n in node.output}
    inlined = GraphProto()
    inlined.CopyFrom(body)
    _rename(inlined, names)
    scope.constants.add(inlined.initializer)
    scope.branch_weights.extend(inlined.initializer)
    scope.notes.append(f"{label(node)}: its {'then' if taken else 'else'} branch is always taken")
    outputs = [
        helper.make_node("Identity", [inner.name], [outer], f"{node.name or outer}.{i}")
        for i, (inner, outer) in enumerate(zip(inlined.output, node.output, strict=True))
    ]
    scope.wanted.update(name for n in (*inlined.node, *outputs) for name in reads(n))
    return [*inlined.node, *outputs]


def _rename(graph: GraphProto, names: Mapping[str, str]) -> None:
    for t in (*graph.initializer, *graph.output):
        t.name = names.get(t.name, t.name)
    for node in graph.node:
        node.input[:] = [names.get(n, n) for n in node.input]
        node.output[:] = [names.get(n, n) for n in node.output]
        for body in subgraphs(node):
            _rename(body, names)


def with_branches(
    model: ModelProto, before: Sequence[NodeProto], after: Sequence[NodeProto], scope: Scope
) -> ModelProto:
    """The model with the nodes ``after`` in place of those ``before`` the inlining, and the weights of the branches."""
    graph = model.graph
    replaced = {o for n in before for o in n.output}
    constant = [n for n in graph.node if not replaced.intersection(n.output)]
    kept = live([*constant, *after], [o.name for o in graph.output])
    del graph.node[:]
    graph.node.extend(kept)
    graph.initializer.extend(scope.branch_weights)
    return model
