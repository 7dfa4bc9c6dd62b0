from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.conftest import need_module

need_module("torch")

import torch
from torch import Tensor

from bnncompiler.torch import ESTIMATORS, Sign, sign

# What each estimator is the derivative of, in float64.
STAND_INS: dict[str, Callable[[Tensor], Tensor]] = {
    "identity": lambda x: x,
    "hardtanh": lambda x: x.clamp(-1, 1),
    "approx_sign": lambda x: torch.where(x < 0, 2 * x + x * x, 2 * x - x * x).where(x.abs() < 1, x.sign()),
    "swish_sign": lambda x: 2 * torch.sigmoid(5 * x) * (1 + 5 * x * (1 - torch.sigmoid(5 * x))) - 1,
}
STEP = 1e-6


def points() -> Tensor:
    """From -3 to 3, not on the corners at -1, 0 and 1, where there is no derivative."""
    return torch.linspace(-3, 3, 1201, dtype=torch.float64) + 1e-3


def test_zero_is_positive_and_there_is_no_third_value() -> None:
    x = torch.tensor([-1.5, -1e-45, -0.0, 0.0, 1e-45, 2.0])
    expected = [-1.0, -1.0, 1.0, 1.0, 1.0, 1.0]
    assert sign(x).tolist() == expected
    assert sign(x.clone().requires_grad_()).tolist() == expected
    assert sign(x, torch.zeros(6)).tolist() == expected


@pytest.mark.parametrize("threshold", [-0.75, -0.0, 0.1, 3.0])
def test_a_number_at_its_threshold_is_positive(threshold: float) -> None:
    t = torch.tensor([threshold])
    below = torch.nextafter(t, torch.tensor(-torch.inf))
    assert sign(torch.cat([below, t]), t).tolist() == [-1.0, 1.0]


def test_every_estimator_has_a_function_that_it_is_the_derivative_of() -> None:
    assert STAND_INS.keys() == ESTIMATORS.keys()


@pytest.mark.parametrize("name", sorted(STAND_INS))
def test_gradient_is_the_derivative_of_the_stand_in(name: str) -> None:
    x = points().requires_grad_()
    weight = torch.linspace(-2, 2, len(x), dtype=torch.float64)
    (sign(x, None, ESTIMATORS[name]) * weight).sum().backward()  # type: ignore[no-untyped-call]
    f = STAND_INS[name]
    expected = weight * (f(x.detach() + STEP) - f(x.detach() - STEP)) / (2 * STEP)
    assert x.grad is not None
    torch.testing.assert_close(x.grad, expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("name", sorted(STAND_INS))
def test_gradient_of_thresholds_is_that_of_the_inputs_summed_and_turned(name: str) -> None:
    x = torch.randn(50, 7, dtype=torch.float64, requires_grad=True)
    t = torch.randn(7, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(50, 7, dtype=torch.float64)
    (sign(x, t, ESTIMATORS[name]) * weight).sum().backward()  # type: ignore[no-untyped-call]
    assert x.grad is not None and t.grad is not None
    torch.testing.assert_close(t.grad, -x.grad.sum(0))


def test_module_has_a_threshold_for_each_channel() -> None:
    module = Sign(3)
    assert module.threshold is not None
    with torch.no_grad():
        module.threshold.copy_(torch.tensor([0.0, 1.0, -1.0]))
    half = torch.full((2, 3, 4, 4), 0.5)
    assert module(half)[0, :, 0, 0].tolist() == [1.0, -1.0, 1.0]
    assert module(half[:, :, 0, 0])[0].tolist() == [1.0, -1.0, 1.0]
    assert Sign().state_dict() == {}


def test_an_unknown_estimator_is_refused() -> None:
    with pytest.raises(ValueError, match="no estimator is called 'tanh'; there are hardtanh"):
        Sign(estimator="tanh")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64])
def test_signs_in_every_type(dtype: torch.dtype) -> None:
    smallest = torch.finfo(dtype).smallest_normal / 4
    x = torch.tensor([0.0, -0.0, smallest, -smallest, 1, -1, torch.inf, -torch.inf], dtype=dtype)
    y = sign(x)
    assert y.dtype is dtype
    assert y.tolist() == [1, 1, 1, -1, 1, -1, 1, -1]
