"""When sums of integer products are exact in float32: what the bound of 0 claims, against float32 itself."""

from __future__ import annotations

import numpy as np
import pytest

from bnncompiler import accumulator
from bnncompiler.ir import Domain, bipolar, rows

RNG = np.random.default_rng(0)


def bound(x: Domain, scale: float, bias: float, fan_in: int) -> float:
    """The bound on the sum of ``fan_in`` such values with weights of one magnitude."""
    weight = np.ones((1, fan_in), np.int16)
    of_sum = accumulator.domain(x, accumulator.Weights(weight, rows(scale), rows(0), rows(bias)), "float32")
    assert of_sum is not None
    return float(of_sum.error.max())


def worst(x: Domain, scale: float, bias: float, fan_in: int) -> float:
    """How far float32 sums in random orders are from the real ones."""
    q = RNG.choice(np.arange(x.bounds[0], x.bounds[1] + 1, x.step), (200, fan_in))
    q[0], q[1] = x.bounds
    exact = scale * x.real(q).sum(axis=1) + bias
    start = np.concatenate([x.real(q) * scale, np.full((200, 1), bias)], axis=1).astype(np.float32)
    return max(
        float(np.abs(np.add.accumulate(start[:, RNG.permutation(fan_in + 1)], axis=1)[:, -1] - exact).max())
        for _ in range(5)
    )


@pytest.mark.parametrize(
    ("x", "scale", "bias", "fan_in", "exact"),
    [
        (bipolar(), 1.0, 0.0, 5000, True),
        (bipolar(0.0, 1.0), 1.0, 0.0, 5000, True),
        (bipolar(0.25, 1.0), 0.375, -2.5, 5000, True),
        (bipolar(0.0, 0.1), 1.0, 0.0, 5000, False),
        (bipolar(), 1.0, 0.1, 50, False),
        (bipolar(), 1.0, 2.0**24, 50, False),  # the bias alone takes all bits
        (bipolar(-255 / 256, 255 / 256), 255 / 256, 0.0, 200, True),
        (bipolar(-255 / 256, 255 / 256), 255 / 256, 0.0, 2000, False),  # few bits in each factor, many in the product
        (Domain(rows(1), rows(100_000), rows(0), rows(1)), 1.0, 0.0, 100, True),
        (Domain(rows(1), rows(100_000), rows(0), rows(1)), 1.0, 0.0, 400, False),  # sums far from 0
    ],
)
def test_zero_is_claimed_where_float32_rounds_nothing(
    x: Domain, scale: float, bias: float, fan_in: int, exact: bool
) -> None:
    claimed = bound(x, scale, bias, fan_in)
    assert (claimed == 0) == exact
    assert (worst(x, scale, bias, fan_in) == 0) == exact
    assert worst(x, scale, bias, fan_in) <= claimed


def test_powers_of_two() -> None:
    values = np.array([0, 1, -6, 0.375, 255 / 256, 2.0**-149, 3 * 2.0**40])
    assert accumulator.power_of_two(values).tolist() == [np.inf, 1, 2, 0.125, 1 / 256, 2.0**-149, 2.0**40]
