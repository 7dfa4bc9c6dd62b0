"""Explicit padding in the graph: when the result keeps the map's grid, and what it holds."""

from __future__ import annotations

import numpy as np
import pytest

from bnncompiler import interpreter
from bnncompiler.errors import IRError
from bnncompiler.ir import Domain, Graph, TensorType, bipolar, rows
from bnncompiler.ops import Input, Pad

RNG = np.random.default_rng(0)


def padded(domain: Domain | None, value: float, dtype: str = "float32") -> Pad:
    return Pad("y", Input("x", TensorType((2, 3, 2), dtype, domain)), (1, 0), (2, 3), value)


@pytest.mark.parametrize(
    ("domain", "value", "codes"),
    [
        (None, 0.0, None),
        (bipolar(), 1.0, [1]),
        (bipolar(), -1.0, [-1]),
        (bipolar(), 0.0, None),  # not a level
        (bipolar(), 3.0, None),  # beyond the levels
        (bipolar(0.0, 1.0), 0.0, [-1]),
        (bipolar([-1.0, -0.5], [1.0, 1.0]), 1.0, [1]),
        (bipolar([-1.0, 1.0], [1.0, -1.0]), 1.0, [1, -1]),
        (bipolar([-1.0, -0.5], [1.0, 0.5]), 1.0, None),  # one channel lacks it
        (Domain(rows(1), rows(0), rows(-1), rows(1)), 0.0, [0]),
        (Domain(rows(1 / 255), rows(0), rows(0), rows(255)), 1.0, [255]),
        (Domain(rows(1 / 255), rows(0), rows(0), rows(255)), 0.5, None),
        (Domain(rows(0), rows(2), rows(0), rows(3)), 2.0, [0]),
        (Domain(rows(1), rows(np.arange(12.0)), rows(-20), rows(20)), 0.0, None),  # differs from pixel to pixel
    ],
)
def test_the_grid_is_kept_where_it_has_the_value(domain: Domain | None, value: float, codes: list[int] | None) -> None:
    node = padded(domain, value)
    assert node.type.shape == (5, 6, 2)
    assert node.type.domain is (None if codes is None else domain)
    assert (node.codes is None) == (codes is None)
    if node.codes is not None and codes is not None:
        assert np.array_equal(np.resize(node.codes, 2), np.resize(codes, 2))


@pytest.mark.parametrize("value", [1.0, 0.0])
def test_what_it_holds(value: float) -> None:
    """On the grid and off it: the same real numbers."""
    domain = bipolar([-1.0, 1.0], [1.0, -1.0])
    node = padded(domain, value)
    q = RNG.choice([-1, 1], (4, 2, 3, 2))
    y = interpreter.run(Graph("test", (node.x,), (node,)), {"x": q})[node]
    expected = np.pad(domain.real(q), ((0, 0), (1, 2), (0, 3), (0, 0)), constant_values=value)
    np.testing.assert_array_equal(interpreter.real(node, y), expected)
    assert y.dtype == (np.int64 if value == 1 else np.float32)


def test_only_maps_are_padded() -> None:
    with pytest.raises(IRError, match="y: Pad wants a map"):
        Pad("y", Input("x", TensorType((4,))), (1, 1), (1, 1))


def test_limits_that_differ_from_pixel_to_pixel_are_merged() -> None:
    node = padded(Domain(rows(1), rows(0), rows(-np.arange(12)), rows(20)), -10.0)
    assert node.codes is not None
    assert (node.codes.tolist(), node.domain.lo.tolist(), node.domain.hi.tolist()) == ([-10, -10], [-10, -11], [20])
