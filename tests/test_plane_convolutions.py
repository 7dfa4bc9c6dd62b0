"""Convolutions whose lanes are pixels: the networks that take them agree with onnxruntime, and when they are taken."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import bnncompiler
from bnncompiler.compiler import Compilation
from bnncompiler.costs import Span
from bnncompiler.plane_calls import FURTHEST, Planes
from bnncompiler.window import Window
from tests.networks import cnn

NETWORKS: dict[str, dict[str, Any]] = {
    "zero padding": {"channels": [3, 32, 70], "size": (14, 14)},
    "padding by +1": {"channels": [3, 64, 33], "size": (20, 17), "pad_value": 1.0},
    "padding by -1, 5x5": {"channels": [4, 40, 65], "size": (18, 20), "kernel": 5, "pad_value": -1.0},
    "pool after sign": {"channels": [3, 64, 48], "size": (35, 33), "pool": "after_sign"},
}


def compiled(name: str, **options: Any) -> Compilation:
    return bnncompiler.compile(cnn(**NETWORKS[name]), name="net", input="int8", **options)


def kernels(compilation: Compilation) -> set[str]:
    return {k for c in compilation.program.calls for k in c.kernels()}


@pytest.mark.parametrize("target", ["host", "native"])
@pytest.mark.parametrize("name", NETWORKS)
def test_whole_maps_agree_with_the_model(name: str, target: str) -> None:
    compilation = compiled(name, target=target)
    assert "bnn_convolve_planes" in kernels(compilation)
    verification = bnncompiler.verify(compilation)
    assert verification.passed and verification.bits_differing == 0


def test_they_take_the_same_time_for_all_inputs_and_more_flash() -> None:
    """At least four bits a weight more than the smallest kernel."""
    name = "padding by +1"
    assert "bnn_convolve_planes" in kernels(compiled(name, constant_time=True))
    fast, small = compiled(name), compiled(name, optimize="size")
    assert "bnn_convolve_planes" not in kernels(small)
    assert fast.program.flash_bytes - small.program.flash_bytes > 33 * 64 * 9 * 4 / 8


def test_a_row_too_large_for_lists_of_16_bits_has_no_planes() -> None:
    window = Window((3, 3), (1, 1), (1, 1), (1, 1))
    assert Planes.of(Span(512, window, 120, 120), 4) is None


@pytest.mark.parametrize("size, channels", [(56, 64), (28, 128), (14, 256), (7, 512), (16, 64), (112, 32)])
def test_bands_leave_few_lanes_empty(size: int, channels: int) -> None:
    """No more blocks of 256 lanes than all rows at once would take, for large maps: one more at most."""
    window = Window((3, 3), (1, 1), (1, 1), (1, 1))
    planes = Planes.of(Span(channels, window, size, size), size)
    assert planes is not None
    assert planes.zeros <= FURTHEST and planes.begins().max() < planes.zeros
    assert len(np.unique(planes.begins())) == 9 * channels
    assert planes.blocks(size, 256) <= -(-size * planes.pitch * 8 // 256) + 1
