"""Input grids: who decides, and what is found in data."""

from __future__ import annotations

import json

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from bnncompiler import grid, gridfit, ops
from bnncompiler.data import Samples
from bnncompiler.errors import UsageError
from bnncompiler.frontend.imported import Imported, Output
from bnncompiler.grid import GridOptions, InputGrid
from bnncompiler.ir import Array, Graph, Node, TensorType
from tests.graphs import chain, constant, signs

RNG = np.random.default_rng(1)
PIXELS = RNG.integers(0, 256, (16, 12))
PIXELS[0, :2] = 0, 255


def imported(y: Node, x: ops.Input, /, **metadata: object) -> Imported:
    model = onnx.ModelProto()
    for key, value in metadata.items():
        text = value if isinstance(value, str) else json.dumps(value)
        model.metadata_props.add(key=f"bnncompiler.input.{key}", value=text)
    return Imported(Graph("m", (x,), (y,)), model, {}, (Output(y.name, y.name),), (), None, {})


def source(size: int = 12, dtype: str = "float32") -> ops.Input:
    return ops.Input("x", TensorType((size,), dtype))


def plain(dtype: str = "float32", **metadata: object) -> Imported:
    x = source(dtype=dtype)
    return imported(chain(x, ("Cast", ()), ("Sign", ())), x, **metadata)


def choose(model: Imported, values: Array | None = None, **options: object) -> InputGrid:
    samples = None if values is None else Samples({"x": values}, source="data.npz")
    (one,) = grid.choose(model, GridOptions(**options), samples)  # type: ignore[arg-type]
    return one


def affine(one: InputGrid) -> tuple[str, float, float, int, int]:
    d = one.domain
    return one.ctype, round(float(d.scale[0]), 8), round(float(d.offset[0]), 8), *d.bounds


# --- who decides


def test_options_come_first() -> None:
    model = plain(x={"type": "int8"})
    one = choose(model, PIXELS / 255, scale="1/255", mean="0.1307", std=0.3081)
    assert affine(one) == ("uint8", round(1 / 255 / 0.3081, 8), round(-0.1307 / 0.3081, 8), 0, 255)
    assert one.source == "options"


def test_options_by_channel_and_by_input() -> None:
    x = ops.Input("x", TensorType((2, 2, 3)))
    one = choose(imported(chain(x, ("Sign", ())), x), scale={"x": "1/255"}, mean="0.5,0.25,0", std=[0.5, 0.25, 1])
    np.testing.assert_allclose(one.domain.scale, [1 / 255 / 0.5, 1 / 255 / 0.25, 1 / 255])
    np.testing.assert_allclose(one.domain.offset, [-1, -1, 0])
    other = choose(imported(chain(x, ("Sign", ())), x), scale={"other": 7})
    assert affine(other) == ("uint8", round(1 / 255, 8), 0, 0, 255)


@pytest.mark.parametrize("scale", ["1/127.5", " 2 / 255", "2/255.0"])
def test_fractions_of_decimals(scale: str) -> None:
    assert choose(plain(), scale=scale, offset=-1).domain.scale.tolist() == [2 / 255]


def test_packed_bits() -> None:
    one = choose(plain(), input="bits")
    assert one.domain.is_bipolar and one.domain.is_exact
    zero_one = choose(plain(), input="bits", scale=0.5, offset=0.5)
    assert zero_one.domain.real(np.array([-1, 1])).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"input": "float"}, "no input type is called 'float'; there are uint8, int8, int16, bits"),
        ({"scale": "1/0"}, "scale: '1/0' is no number"),
        ({"std": "x"}, "std: 'x' is no number; write 0.5 or 1/255"),
        ({"std": 0}, "must not be 0"),
        ({"mean": [1, 2, 3, 4, 5]}, "5 values of scale, offset, mean or std for 12 channels"),
    ],
)
def test_wrong_options_are_refused(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        choose(plain(), None, **options)


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16"])
def test_integer_inputs_are_their_own_grid(dtype: str) -> None:
    info = np.iinfo(dtype)
    assert affine(choose(plain(dtype))) == (dtype, 1, 0, info.min, info.max)
    assert affine(choose(plain(dtype), input=dtype)) == (dtype, 1, 0, info.min, info.max)
    with pytest.raises(UsageError, match=f"is {dtype} in the model"):
        choose(plain(dtype), scale=2)


def test_wide_integer_inputs_take_what_the_samples_need() -> None:
    assert affine(choose(plain("int64"))) == ("int16", 1, 0, -32768, 32767)
    assert affine(choose(plain("int64"), PIXELS)) == ("uint8", 1, 0, 0, 255)
    with pytest.raises(UsageError, match="fit no input type; scale them down in the model"):
        choose(plain("int32"), PIXELS * 1000)
    assert affine(choose(plain("bool"))) == ("uint8", 1, 0, 0, 1)


def test_quantize_linear_is_the_grid() -> None:
    x = source()
    q = ops.Elementwise("q", "QuantizeLinear", (x, constant(0.05), constant(10, np.uint8)), "uint8")
    one = choose(imported(q, x), RNG.normal(size=(4, 12)))
    assert affine(one)[:2] == ("uint8", 0.05)
    assert float(one.domain.offset[0]) == pytest.approx(-0.5)
    assert one.source.startswith("graph: q rounds the input")


def test_qonnx_quant_is_the_grid_also_behind_a_standardisation() -> None:
    x = source()
    standardised = chain(x, ("Sub", (1.0,)), ("Mul", (2.0,)), name="standard")
    y = chain(standardised, ("Div", (1 / 64,)), ("Clip", (-128.0, 127.0)), ("Round", ()), ("Mul", (1 / 64,)))
    assert affine(choose(imported(y, x))) == ("int8", 1 / 128, 1, -128, 127)


def test_few_levels_are_an_activation_and_no_grid() -> None:
    x = source()
    y = chain(x, ("Div", (0.5,)), ("Round", ()), ("Clip", (-2.0, 1.0)))
    assert affine(choose(imported(y, x)))[0:2] == ("uint8", round(1 / 255, 8))
    q = ops.Elementwise("q", "QuantizeLinear", (x, constant(1.0), constant(0, np.int8)), "int8")
    clipped = ops.Elementwise("c", "Clip", (q, constant(-1, np.int8), constant(1, np.int8)), "int8")
    assert affine(choose(imported(clipped, x)))[0:2] == ("uint8", round(1 / 255, 8))


def test_an_input_that_is_read_twice_is_not_only_rounded() -> None:
    x = source()
    y = chain(x, ("Div", (1 / 64,)), ("Clip", (-128.0, 127.0)), ("Round", ()))
    both = ops.Elementwise("sum", "Add", (x, y))
    assert choose(imported(both, x)).source.startswith("default")


def test_metadata_comes_before_data() -> None:
    one = choose(plain(x={"type": "int8", "scale": "1/64"}), PIXELS / 255)
    assert affine(one) == ("int8", 1 / 64, 0, -128, 127)
    assert one.source == "metadata of the model"


@pytest.mark.parametrize("text", ["{", "[1]", '{"sacle": 1}', '{"type": "float"}'])
def test_wrong_metadata_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="metadata"):
        choose(plain(x=text))


def test_default() -> None:
    one = choose(plain())
    assert affine(one) == ("uint8", round(1 / 255, 8), 0, 0, 255)
    assert "--scale" in one.source


# --- data


def test_integer_data_are_grid_units() -> None:
    assert affine(choose(plain(), PIXELS)) == ("uint8", round(1 / 255, 8), 0, 0, 255)
    assert affine(choose(plain(), PIXELS - 128)) == ("int8", 1 / 128, 0, -128, 127)
    assert choose(plain(), PIXELS * 100).ctype == "int16"


@pytest.mark.parametrize(
    ("values", "expected", "text"),
    [
        (PIXELS / 255, ("uint8", round(1 / 255, 8), 0, 0, 255), "q/255"),
        (PIXELS / 127.5 - 1, ("uint8", round(1 / 127.5, 8), -1, 0, 255), "q/127.5 - 1"),
        (PIXELS / 255 - 0.5, ("uint8", round(1 / 255, 8), -0.5, 0, 255), "q/255 - 0.5"),
        ((PIXELS - 128) / 128, ("int8", 1 / 128, 0, -128, 127), "q/128"),
        (PIXELS % 17 / 16, ("uint8", 1 / 16, 0, 0, 255), "q/16"),
        (PIXELS % 200.0, ("uint8", 1, 0, 0, 255), "q"),
        (PIXELS % 3 - 1.0, ("int8", 1, 0, -128, 127), "q"),
        (PIXELS % 2 * 2.0 - 1, ("uint8", 2, -1, 0, 1), "-1 for 0 and 1 for 1"),
        (PIXELS % 2 * 1.0, ("uint8", 1, 0, 0, 1), "0 for 0 and 1 for 1"),
    ],
)
def test_conventional_grids_are_recognised(values: Array, expected: tuple[object, ...], text: str) -> None:
    one = choose(plain(), values.astype(np.float32))
    assert affine(one) == expected
    assert one.source == f"data.npz: the values are {text}"


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_standardised_pixels_are_recognised(dtype: str) -> None:
    values = ((PIXELS.astype(np.float32) / 255 - np.float32(0.1307)) / np.float32(0.3081)).astype(dtype)
    one = choose(plain(dtype), values)
    np.testing.assert_array_equal(grid.to_q(one, values).q, PIXELS)
    if dtype != "float16":
        assert one.source.endswith("(q/255 - 0.1307)/0.3081")


def test_pixels_standardised_by_channel_are_recognised() -> None:
    pixels = RNG.integers(0, 256, (8, 6, 6, 3))
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    values = ((pixels / 255 - mean) / std).astype(np.float32)
    x = ops.Input("x", TensorType((6, 6, 3)))
    one = choose(imported(chain(x, ("Sign", ())), x), values)
    np.testing.assert_allclose(one.domain.scale, 1 / 255 / std, rtol=1e-6)
    on_grid = grid.to_q(one, values)
    np.testing.assert_array_equal(on_grid.q, pixels)
    assert (on_grid.clipped, on_grid.rounded) == (0, 0)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 200),
    st.integers(3, 255),
    st.floats(1e-3, 1e3),
    st.floats(-3, 3),
    st.integers(0, 2**32 - 1),
)
def test_any_affine_grid_is_found_but_for_its_origin(
    lowest: int, levels: int, std: float, mean: float, seed: int
) -> None:
    """Data that use part of 256 levels get a grid that has every value on it."""
    q = np.random.default_rng(seed).integers(lowest, min(255, lowest + levels) + 1, (40, 20))
    values = ((q.astype(np.float32) / np.float32(255) - np.float32(mean)) / np.float32(std)).astype(np.float32)
    if len(np.unique(values)) < 3:
        return
    fit = gridfit.fit(values)
    assert fit is not None
    steps = (values.astype(np.float64) - fit.offset[0]) / fit.scale[0]
    assert np.abs(steps - np.rint(steps)).max() < 0.1
    assert fit.lo <= np.rint(steps).min() and np.rint(steps).max() <= fit.hi


@pytest.mark.parametrize("seed", range(3))
def test_noise_is_no_grid(seed: int) -> None:
    values = np.random.default_rng(seed).normal(size=(2, 12)).astype(np.float32)
    assert gridfit.fit(values) is None
    one = choose(plain(), values)
    assert one.ctype == "int16"
    scale = float(one.domain.scale[0])
    assert np.log2(scale) % 1 == 0
    on_grid = grid.to_q(one, values)
    assert on_grid.clipped == 0
    assert np.abs(grid.to_real(one, on_grid.q) - values).max() <= scale / 2
    assert np.abs(on_grid.q).max() > 32767 / 4


def test_bits_are_shared_between_an_input_and_the_layer_that_adds_it_up() -> None:
    values = RNG.normal(size=(4, 500)).astype(np.float32)
    x = source(500)
    binary = ops.Dense("fc", x, signs(RNG, 8, 500) * np.float32(0.3))
    assert choose(imported(binary, x), values).domain.bounds == (-32767, 32767)
    wide = source(784)
    wide_values = RNG.normal(size=(4, 784)).astype(np.float32)
    wider = ops.Dense("fc", wide, signs(RNG, 8, 784))
    assert choose(imported(wider, wide), wide_values).domain.bounds == (-16383, 16383)
    real = ops.Dense("fc", chain(x, ("Sub", (0.5,))), RNG.normal(size=(8, 500)).astype(np.float32))
    lo, hi = choose(imported(real, x), values).domain.bounds
    assert -lo == hi == 2047 and 500 * hi * hi < 2**31
    behind = ops.Dense("fc", chain(x, ("Sign", ())), RNG.normal(size=(8, 500)).astype(np.float32))
    assert choose(imported(behind, x), values).domain.bounds == (-32767, 32767)


def test_a_type_alone_takes_its_scale_from_the_data() -> None:
    values = RNG.normal(size=(4, 12)).astype(np.float32)
    one = choose(plain(), values, input="int8")
    assert one.ctype == "int8" and grid.to_q(one, values).clipped == 0
    assert np.abs(grid.to_q(one, values).q).max() > 31
    unsigned = choose(plain(), values, input="uint8")
    assert grid.to_q(unsigned, values).q.max() == 255 and grid.to_q(unsigned, values).q.min() == 0
    assert affine(choose(plain(), (PIXELS / 255).astype(np.float32), input="uint8"))[1:3] == (round(1 / 255, 8), 0)
    assert affine(choose(plain(), input="int8")) == ("int8", 1 / 128, 0, -128, 127)


# --- conversion


def test_floats_are_rounded_and_clipped_and_that_is_counted() -> None:
    one = choose(plain(), scale=0.1)
    on_grid = grid.to_q(one, np.array([[0.1, 0.31, -1.0, 25.5, 99.0]]))
    assert on_grid.q.tolist() == [[1, 3, 0, 255, 255]]
    assert (on_grid.clipped, on_grid.rounded) == (2, 1)


def test_integers_are_units_and_must_be_in_range() -> None:
    one = choose(plain())
    assert grid.to_q(one, PIXELS).q is not PIXELS
    np.testing.assert_array_equal(grid.to_q(one, PIXELS).q, PIXELS)
    with pytest.raises(UsageError, match="the data go from -1 to 300"):
        grid.to_q(one, np.array([[-1, 300]]))


def test_bits_may_be_given_as_zeros_and_ones() -> None:
    one = choose(plain(), input="bits")
    for values in ([[0, 1, 1]], [[-1, 1, 1]], [[-0.7, 0.2, 3.0]]):
        assert grid.to_q(one, np.array(values)).q.tolist() == [[-1, 1, 1]]


def test_the_reference_is_fed_the_inputs_own_type() -> None:
    assert grid.to_real(choose(plain("uint8")), PIXELS).dtype == np.uint8
    half = grid.to_real(choose(plain("float16"), scale="1/255"), PIXELS)
    assert half.dtype == np.float16
    real = grid.to_real(choose(plain(), scale="1/255"), PIXELS)
    np.testing.assert_array_equal(real, (PIXELS * (1 / 255)).astype(np.float32))


def test_grids_become_the_domains_of_the_graph() -> None:
    model = plain()
    graph = grid.apply(model.graph, grid.choose(model))
    assert str(graph.inputs[0].type) == "{0..255} *0.00392157[12]"
    assert graph.outputs[0].type.shape == (12,)


def test_options_are_shown_as_the_command_line_takes_them() -> None:
    assert str(GridOptions("int8", "1/255", mean=[0.5, 0.25])) == "--input int8 --scale 1/255 --mean 0.5,0.25"
    assert str(GridOptions()) == ""
