"""Convolutions that are computed a row at a time: the target's compiler, with the instructions it may use, agrees."""

from __future__ import annotations

from typing import Any

import pytest

import bnncompiler
from bnncompiler.compiler import Compilation
from tests.networks import cnn

INT8: dict[str, Any] = {"input": "int8"}
NETWORKS: dict[str, dict[str, Any]] = {
    "zero padding": {"channels": [3, 32, 70, 33], "size": (7, 6)},
    "padding by +1": {"channels": [3, 64, 64], "pad_value": 1.0},
    "padding by -1": {"channels": [4, 40, 65], "pad_value": -1.0},
    "stride": {"channels": [3, 64, 32], "size": (11, 9), "stride": 2},
    "one column": {"channels": [3, 32, 40], "size": (9, 1), "kernel": 3},
    "pool before sign": {"channels": [3, 64, 48], "pool": "before_sign"},
    "pool after sign": {"channels": [3, 64, 48], "size": (9, 8), "pool": "after_sign"},
    "sums": {"channels": [3, 32, 64], "head": "mean", "batch_norm": False},
}


def compiled(name: str, **options: Any) -> Compilation:
    return bnncompiler.compile(cnn(**NETWORKS[name]), name="net", **INT8, **options)


def kernels(compilation: Compilation) -> set[str]:
    return {k for c in compilation.program.calls for k in c.kernels()}


@pytest.mark.parametrize("name", NETWORKS)
def test_rows_agree_with_the_model(name: str) -> None:
    compilation = compiled(name, target="native")
    assert kernels(compilation) & {"bnn_convolve_nibbles", "bnn_sum_nibbles"}
    verification = bnncompiler.verify(compilation)
    assert verification.passed and verification.bits_differing == 0


def test_rows_take_more_flash() -> None:
    """Weights that are looked up have a byte where others have half of one."""
    small = compiled("padding by +1", optimize="size")
    assert not any("nibbles" in k for k in kernels(small))
    assert small.program.flash_bytes < compiled("padding by +1").program.flash_bytes
