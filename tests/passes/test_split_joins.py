"""Joins of several values: as text before and after, and what onnxruntime makes of them."""

from __future__ import annotations

import numpy as np
import pytest

from bnncompiler import interpreter, ops
from bnncompiler.ir import Graph
from bnncompiler.passes import SplitJoins
from tests import graphs


def joined(operator: str, count: int) -> Graph:
    parts = tuple(ops.Input(name, graphs.source(4, None).declared) for name in "abcd"[:count])
    return Graph("g", parts, (ops.Elementwise("y", operator, parts),))


def shown(graph: Graph) -> list[str]:
    return [line.strip().split(" :")[0] for line in str(graph).splitlines() if " = " in line and "input" not in line]


def test_as_text() -> None:
    split = SplitJoins()
    assert shown(split(joined("Sum", 3))) == ["%y.1 = Add(%a, %b)", "%y = Add(%y.1, %c)"]
    assert shown(split(joined("Max", 2))) == [
        "%y.beyond = Sub(%a, %b)",
        "%y.excess = Relu(%y.beyond)",
        "%y = Add(%b, %y.excess)",
    ]
    assert shown(split(joined("Min", 2)))[-1] == "%y = Sub(%a, %y.excess)"
    assert shown(split(joined("Mean", 2)))[0] == "%y.sum = Sum(%a, %b)"


@pytest.mark.parametrize("operator", ["Sum", "Max", "Mean", "Min"])
@pytest.mark.parametrize("count", [2, 3, 4])
def test_the_function_stays(operator: str, count: int) -> None:
    graph = joined(operator, count)
    split = SplitJoins()(graph)
    assert (split is graph) == (operator == "Sum" and count == 2)
    rng = np.random.default_rng(count)
    inputs = {n.name: rng.integers(-9, 10, (5, 4)).astype(np.float32) for n in graph.inputs}
    before, after = (interpreter.run(g, inputs)[g.outputs[0]] for g in (graph, split))
    np.testing.assert_allclose(after, before, rtol=1e-6)


def test_functions_of_one_value_stay_what_they_are() -> None:
    x = graphs.source(4)
    parts = (x, graphs.chain(x, ("Neg", ())), graphs.constant(0.5))
    graph = Graph("g", (x,), (ops.Elementwise("y", "Max", parts),))
    assert SplitJoins()(graph) is graph
