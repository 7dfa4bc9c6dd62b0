"""ConvTranspose: every form of its attributes against onnxruntime."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bnncompiler.errors import ModelError
from bnncompiler.frontend import load
from bnncompiler.ir import Array
from bnncompiler.ops import Conv
from tests.frontend.agreement import check
from tests.networks import Builder

RNG = np.random.default_rng(0)


def floats(*shape: int) -> Array:
    return RNG.standard_normal(shape).astype(np.float32)


Form = tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]]
FORMS: dict[str, Form] = {  # the map, the weights, attributes
    "plain": ((3, 5, 4), (3, 2, 3, 3), {}),
    "pads": ((3, 5, 4), (3, 2, 3, 3), {"pads": [1, 1, 1, 1]}),
    "uneven pads": ((3, 5, 4), (3, 2, 3, 4), {"pads": [0, 2, 1, 0], "strides": [2, 1]}),
    "twice the size": ((3, 5, 4), (3, 2, 2, 2), {"strides": [2, 2]}),
    "overlapping": ((3, 5, 4), (3, 2, 4, 4), {"strides": [2, 2], "pads": [1, 1, 1, 1]}),
    "odd kernel": ((3, 5, 4), (3, 2, 3, 3), {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1]}),
    "strides beyond the kernel": ((3, 5, 4), (3, 2, 2, 1), {"strides": [3, 3]}),
    "three": ((3, 5, 4), (3, 2, 5, 4), {"strides": [3, 2], "pads": [2, 1, 0, 1]}),
    "dilations": ((3, 5, 4), (3, 2, 3, 3), {"dilations": [2, 3]}),
    "dilations and strides": ((3, 5, 4), (3, 2, 3, 2), {"dilations": [2, 3], "strides": [2, 2], "pads": [1, 0, 2, 1]}),
    "dilations that divide the strides": ((3, 5, 4), (3, 2, 3, 3), {"dilations": [2, 2], "strides": [4, 3]}),
    "pads beyond the kernel": ((3, 9, 8), (3, 2, 2, 3), {"pads": [3, 4, 2, 3], "strides": [1, 2]}),
    "pads beyond a dilated kernel": ((3, 9, 8), (3, 2, 2, 2), {"pads": [5, 4, 4, 5], "dilations": [2, 3]}),
    "groups": ((4, 5, 4), (4, 3, 3, 3), {"group": 2, "strides": [2, 2]}),
    "depthwise": ((4, 5, 4), (4, 1, 2, 2), {"group": 4, "strides": [2, 2]}),
    "valid": ((3, 5, 4), (3, 2, 3, 3), {"auto_pad": "VALID", "strides": [2, 2]}),
    "same upper": ((3, 5, 4), (3, 2, 3, 4), {"auto_pad": "SAME_UPPER", "strides": [2, 2]}),
    "same lower": ((3, 5, 4), (3, 2, 3, 4), {"auto_pad": "SAME_LOWER", "strides": [2, 2]}),
    "output shape": ((3, 5, 4), (3, 2, 4, 4), {"output_shape": [9, 8], "strides": [2, 2]}),
    "1-D": ((3, 7), (3, 2, 4), {"strides": [2], "pads": [1, 1]}),
    "1-D plain": ((3, 7), (3, 2, 4), {}),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("bias", [False, True])
def test_forms(form: str, bias: bool) -> None:
    shape, weights, attributes = FORMS[form]
    b = Builder()
    w = floats(*weights)
    outs = weights[1] * attributes.get("group", 1)
    y = b("ConvTranspose", b.input("x", ["N", *shape]), w, *([floats(outs)] if bias else []), **attributes)
    b("Conv", b("Relu", y), floats(2, outs, *[1] * (len(shape) - 1)), name="y")
    imported = check(b.model("y"), {"x": floats(2, *shape)})
    phases = [n for n in imported.graph.nodes() if isinstance(n, Conv)][:-1]
    assert len(phases) == np.prod(attributes.get("strides", [1]))
    assert all(min(*p.window.before, *p.window.after) >= 0 for p in phases)
    if "beyond" not in form and "dilations" not in form:  # else taps of weight 0 fill phases or move their windows
        assert sum(p.weight.size for p in phases) == w.size


@pytest.mark.parametrize(
    ("weights", "attributes"),
    [
        ((2, 2, 3, 3), {}),
        ((3, 2, 3), {}),
        ((3, 2, 3, 3), {"group": 2}),
        ((3, 2, 3, 3), {"kernel_shape": [2, 2]}),
        ((3, 2, 3, 3), {"strides": [0, 1]}),
        ((3, 2, 3, 3), {"pads": [9, 9, 9, 9]}),
        ((3, 2, 3, 3), {"output_padding": [2**31, 0]}),
    ],
)
def test_damaged(weights: tuple[int, ...], attributes: dict[str, Any]) -> None:
    b = Builder()
    b("ConvTranspose", b.input("x", ["N", 3, 5, 4]), floats(*weights), **attributes, name="y")
    with pytest.raises(ModelError, match="node_0"):
        load(b.model("y"))
