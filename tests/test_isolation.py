"""Enclosures hold what they enclose, and isolation finds every change of a function with curves in it."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bnncompiler
from bnncompiler import blur, elementwise, interpreter
from bnncompiler.accumulator import UNIT_ROUNDOFF
from bnncompiler.affine import affine
from bnncompiler.enclosure import CURVE_ROUNDING, LEAST_NORMAL, RELATIVE_ROUNDING, Cells, enclose
from bnncompiler.ir import Domain, Node, per_element, rows
from bnncompiler.isolation import TooManyChanges, isolate
from bnncompiler.ops import Elementwise, Lookup, MaxPool, Requantize, Steps
from bnncompiler.oracle import ChannelFunction
from bnncompiler.passes.fold_thresholds import fold
from bnncompiler.sampling import NotPiecewiseError, bounds, everywhere, pieces, sample
from bnncompiler.saturation import NOWHERE, flat
from tests import graphs
from tests.networks import Builder

SELU = (("alpha", 1.67326319217681884765625), ("gamma", 1.05070102214813232421875))
CURVES: dict[str, tuple[str, tuple[tuple[str, int | float | str], ...]]] = {
    "celu": ("Celu", (("alpha", float(np.float32(0.7))),)),
    "elu": ("Elu", (("alpha", float(np.float32(1.3))),)),
    "erf": ("Erf", ()),
    "exp": ("Exp", ()),
    "gelu": ("Gelu", (("approximate", "none"),)),
    "gelu_tanh": ("Gelu", (("approximate", "tanh"),)),
    "hard_sigmoid": ("HardSigmoid", (("alpha", 0.2), ("beta", 0.5))),
    "hardswish": ("HardSwish", ()),
    "mish": ("Mish", ()),
    "selu": ("Selu", SELU),
    "sigmoid": ("Sigmoid", ()),
    "softplus": ("Softplus", ()),
    "softsign": ("Softsign", ()),
    "tanh": ("Tanh", ()),
}
UNLIMITED = ("selu", "softsign")  # without a flat end that is known to the last bit
COMPOSED = ("silu", "gelu_by_erf", "mish_by_tanh", "square")


def curve(x: Node, name: str) -> Node:
    """An activation as one operator or as the several that exporters write for it."""

    def apply(operator: str, *inputs: Node) -> Node:
        return Elementwise(f"{name}.{operator}", operator, inputs)

    match name:
        case "silu":
            return apply("Mul", x, apply("Sigmoid", x))
        case "gelu_by_erf":
            half = graphs.chain(x, ("Mul", (0.5,)))
            erf = apply("Erf", graphs.chain(x, ("Div", (np.sqrt(2),))))
            return apply("Mul", half, graphs.chain(erf, ("Add", (1.0,))))
        case "mish_by_tanh":
            return apply("Mul", x, apply("Tanh", apply("Softplus", x)))
        case "square":
            return apply("Mul", x, x)
    operator, attrs = CURVES[name]
    return Elementwise(name, operator, (x,), attrs=attrs)


NAMES = st.sampled_from([*CURVES, *COMPOSED])


@pytest.mark.parametrize("name", CURVES)
def test_onnxruntimes_curves_are_as_near_as_enclosures_take_them_to_be(name: str) -> None:
    """The one thing about enclosures that nobody can prove."""
    x = graphs.source(1, None)
    function = ChannelFunction(x, curve(x, name))
    points = np.concatenate([np.linspace(-a, a, 200_001) for a in (1e-3, 1.0, 5.0, 30.0, 80.0)])
    points = points.astype(np.float32).astype(np.float64)[:, None]
    exact, got = function.evaluate64(points), function.evaluate32(points).astype(np.float64)
    bounded = name in ("erf", "hard_sigmoid", "sigmoid", "softsign", "tanh")
    size = np.maximum(1, np.abs(exact) if bounded else np.maximum(np.abs(exact), np.abs(points)))
    assert (np.abs(got - exact) / size).max() < 0.8 * CURVE_ROUNDING * UNIT_ROUNDOFF["float32"]
    roundoffs = RELATIVE_ROUNDING.get(CURVES[name][0])
    if roundoffs is not None:
        assert (np.abs(got - exact) <= 0.8 * roundoffs * UNIT_ROUNDOFF["float32"] * np.abs(exact) + LEAST_NORMAL).all()


@pytest.mark.parametrize("name", CURVES)
def test_onnxruntimes_curves_are_flat_where_they_are_taken_to_be(name: str) -> None:
    x = graphs.source(1, None)
    function = ChannelFunction(x, curve(x, name))
    operator, attrs = CURVES[name]
    ends = flat(operator, dict(attrs), "float32")
    away = np.concatenate([[0], np.geomspace(1e-6, 1, 100_001), np.geomspace(1, 1e30, 10_001)])
    for end, side, value in ((ends.left, -1, ends.low), (ends.right, 1, ends.high)):
        if np.isfinite(end):
            # Behind the end, but not by as much as float32 moves it over.
            points = (end + side * (np.abs(end) * 2.0**-24 + away)).astype(np.float32)[:, None].astype(np.float64)
            assert (function.evaluate32(points) == np.float32(value)).all()
            assert (function.evaluate64(points) == value).all()
    assert (name in UNLIMITED) == (ends == NOWHERE)


def test_a_flat_end_is_float32s() -> None:
    operands = [np.array([-20.0, 0.0])]
    for dtype, left in (("float32", 0.0), ("float64", np.exp(-20) / (1 + np.exp(-20)))):
        y = elementwise.apply("Sigmoid", {}, operands, dtype, exact=True)
        np.testing.assert_allclose(y, [left, 0.5], rtol=1e-12)
    assert elementwise.apply("Sigmoid", {}, [operands[0].astype(np.float32)], "float32")[0] > 0


def test_a_batch_norm_far_from_its_mean_rounds_by_more_than_its_result() -> None:
    x = graphs.source(1, Domain(rows(1e-8), rows(-0.00495365), rows(-400), rows(400)))
    function = ChannelFunction(
        x, graphs.chain(x, ("BatchNormalization", (0.12658417, 0.37218732, 0.17899428, 0.00390404)))
    )
    q = np.arange(-400, 401)
    y = function.evaluate32(x.domain.real(q[:, None]))[:, 0]
    reference = enclose(function, Cells(0 * q, q, q), reference=True)
    assert (reference.least <= y).all() and (y <= reference.most).all()
    bound = affine(function, pieces(function, np.array([0]))).error[0]
    assert np.abs(y - function.evaluate64(x.domain.real(q[:, None]))[:, 0]).max() <= bound


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("Add"), st.tuples(st.floats(-5, 5, width=16))),
        st.tuples(st.just("Mul"), st.tuples(st.sampled_from([-2.0, -0.37, 0.0, 0.013, 1.0, 3.0]))),
        st.tuples(st.just("PRelu"), st.tuples(st.floats(-2, 2, width=16))),
        st.tuples(st.just("Clip"), st.sampled_from([(-1.0, 1.0), (0.0, 6.0), (-30.0, 5.5)])),
        st.tuples(
            st.just("BatchNormalization"),
            st.tuples(st.floats(-2, 2, width=16), st.floats(-1, 1, width=16), st.floats(-1, 1, width=16), st.just(0.3)),
        ),
        st.tuples(st.sampled_from(["Relu", "Abs", "Neg", "Sign", "Floor"]), st.just(())),
    ),
    max_size=3,
)


@settings(max_examples=100, deadline=None)
@given(STEPS, NAMES, STEPS, st.booleans(), st.integers(0, 2**32 - 1))
def test_enclosures_hold_every_value(
    before: list[tuple[str, tuple[object, ...]]],
    name: str,
    behind: list[tuple[str, tuple[object, ...]]],
    residue: bool,
    seed: int,
) -> None:
    rng = np.random.default_rng(seed)
    x = graphs.source(1, Domain(rows(0.01), rows(-0.3), rows(-2000), rows(1500), error=rows(0.02)))
    sink = graphs.chain(curve(graphs.chain(x, *before), name), *behind)
    if residue:
        less = Elementwise("less", "Sub", (graphs.chain(sink, ("Sign", ())), sink))
        sink = Elementwise("again", "Add", (less, sink))
    function = ChannelFunction(x, sink)
    first = rng.integers(-2000, 1500, 40)
    cells = Cells(np.zeros(40, np.int64), first, np.minimum(1500, first + rng.integers(0, 300, 40)))
    q = first[:, None] + ((cells.last - first)[:, None] * np.linspace(0, 1, 200)).astype(np.int64)
    real = x.domain.real(q.reshape(-1, 1))
    exact = enclose(function, cells, reference=False)
    reference = enclose(function, cells, reference=True)
    y = function.evaluate64(real).reshape(q.shape)
    assert (exact.least[:, None] <= y).all() and (y <= exact.most[:, None]).all()
    for error in (-0.02, 0.0, 0.007, 0.02):
        y = function.evaluate32(real + error).reshape(q.shape)
        assert (reference.least[:, None] <= y).all() and (y <= reference.most[:, None]).all()


@settings(max_examples=60, deadline=None)
@given(STEPS, NAMES, st.floats(-1, 1, width=16), st.sampled_from(["Sign", "Round"]), st.sampled_from([0.0, 1e-5, 2e-3]))
def test_isolation_finds_every_change(
    before: list[tuple[str, tuple[object, ...]]], name: str, threshold: float, decision: str, error: float
) -> None:
    """Between the points that it looks at nothing changes, and outside of the undecided nothing that is near does."""
    domain = Domain(rows(1e-3), rows(2e-4), rows(-20000), rows(20000), error=rows(error))
    x = graphs.source(1, domain)
    y = curve(graphs.chain(x, *before), name)
    function = ChannelFunction(x, graphs.chain(y, ("Sub", (threshold,)), ("Clip", (-3.0, 3.0)), (decision, ())))
    row = np.array([0])
    try:
        found = isolate(function, row, exactly=bool(error))
    except TooManyChanges:
        return
    every = everywhere(domain, row, 1)
    exact = function.evaluate64(domain.real(every))[:, 0]
    value = exact if error else function.evaluate32(domain.real(every))[:, 0]
    looked = set(found.q[:, 0].tolist())
    changed = every[1:, 0][np.diff(value) != 0]
    assert set(changed.tolist()) <= looked and set((changed - 1).tolist()) <= looked
    decided = np.ones(len(every), bool)
    for first, last in zip(found.undecided.first, found.undecided.last, strict=True):
        decided &= (every[:, 0] < first) | (every[:, 0] > last)
    for off in (-error, 0.0, error):
        assert (function.evaluate32(domain.real(every) + off)[decided, 0] == exact[decided]).all()


def wide(channels: int, error: float = 1e-6) -> Domain:
    """Sums of a first layer with real weights."""
    scale = np.linspace(1e-7, 4e-7, channels)
    return Domain(scale, rows(0), rows(-(2**27)), rows(2**27), error=rows(error))


@pytest.mark.parametrize("name", [*CURVES, *COMPOSED])
def test_a_curve_before_a_sign_is_folded_on_sums_too_wide_to_look_everywhere(name: str) -> None:
    channels = 6
    rng = np.random.default_rng(len(name))
    x = graphs.source(channels, wide(channels))
    sink = graphs.chain(curve(x, name), graphs.batch_norm(rng, channels, 1), ("Sign", ()))
    function = ChannelFunction(x, sink)
    node = fold(function)
    assert isinstance(node, Steps) and node.at.shape[1] <= 4
    row = np.arange(channels)
    lo, hi = bounds(x.domain, row, channels)
    around = (node.at[:, :, None] + np.arange(-300, 301)).reshape(channels, -1)
    q = np.concatenate([around, np.linspace(lo, hi, 20_001, axis=1).astype(np.int64)], axis=1)
    q = np.clip(q, lo[:, None], hi[:, None]).T
    np.testing.assert_array_equal(
        node.out.real(interpreter.steps(q, node.at, node.levels)), function.evaluate64(x.domain.real(q))
    )
    blurred = blur.reached(blur.undecided(node), q)
    for error in (-1e-6, 0.0, 1e-6):
        got = function.evaluate32(x.domain.real(q) + error)
        expected = node.out.real(interpreter.steps(q, node.at, node.levels))
        np.testing.assert_array_equal(np.where(blurred, 0, got), np.where(blurred, 0, expected))
    assert blurred[601 * node.at.shape[1] :].mean() < 0.01


def test_where_float32_decides_it_is_asked_at_every_point_that_it_may_decide() -> None:
    x = graphs.source(1, Domain(rows(2.0**-14), rows(0), rows(-(2**23)), rows(2**23)))
    function = ChannelFunction(x, graphs.chain(curve(x, "gelu_by_erf"), ("Sub", (0.31,)), ("Sign", ())))
    node = fold(function)
    assert node is not None
    q = np.arange(-(2**23), 2**23, 37)[:, None]
    q = np.concatenate([q, node.at.reshape(-1)[0] + np.arange(-5000, 5000)[:, None]])
    got = node.out.real(interpreter.steps(q, node.at, node.levels))
    np.testing.assert_array_equal(got, function.evaluate32(x.domain.real(q)))
    assert not blur.count(node)


def test_what_stays_continuous_is_not_isolated() -> None:
    x = graphs.source(1, wide(1))
    function = ChannelFunction(x, curve(x, "gelu"))
    with pytest.raises(TooManyChanges):
        isolate(function, np.array([0]), exactly=True)
    with pytest.raises(NotPiecewiseError, match="gelu: Gelu"):
        sample(function, np.array([0]))
    assert fold(function) is None


def test_between_a_curve_and_its_flat_end_nothing_is_decided() -> None:
    """A float32 sigmoid is 0 up to -18, where it should be 1.5e-8: a threshold on the way is somewhere near."""
    x = graphs.source(1, Domain(rows(2.0**-20), rows(0), rows(-(2**25)), rows(2**25), error=rows(1e-9)))
    node = fold(ChannelFunction(x, graphs.chain(curve(x, "sigmoid"), ("Sub", (2e-8,)), ("Sign", ()))))
    assert node is not None
    (first, last), *_ = blur.undecided(node)[0]
    assert first * 2.0**-20 == pytest.approx(-18, abs=1e-2)  # as far as cells are halved
    assert last * 2.0**-20 > np.log(2e-8) > node.at[0, 0] * 2.0**-20 - 1e-5


SHIFTED = {"hard_sigmoid": -0.25, "softplus": -0.3, "silu": 0.1, "tanh": 1.0, "elu": 1.3, "celu": 0.7, "exp": 0.0}


@pytest.mark.parametrize("decision", ["sign", "at_least"])
@pytest.mark.parametrize("name", [*CURVES, *COMPOSED, "relu", "relu6"])
def test_a_sign_right_behind_a_curve_is_folded_where_the_curve_stays_at_its_threshold(name: str, decision: str) -> None:
    """No batch norm moves the threshold away from what the curve runs to; float32 decides, as it is flat there."""
    channels = 3
    x = graphs.source(channels, wide(channels))
    bends = {"relu": ("Relu", ()), "relu6": ("Clip", (0.0, 6.0))}
    y = graphs.chain(x, bends[name]) if name in bends else curve(x, name)
    y = graphs.chain(y, ("Add", (SHIFTED[name],))) if name in SHIFTED else y
    at_least = (("GreaterOrEqual", (0.0,)), ("Where", (1.0, -1.0)))
    function = ChannelFunction(x, graphs.chain(y, *(at_least if decision == "at_least" else (("Sign", ()),))))
    node = fold(function)
    assert isinstance(node, Steps) and node.at.shape[1] <= 4
    row = np.arange(channels)
    lo, hi = bounds(x.domain, row, channels)
    at = np.repeat(node.at, channels // len(node.at), axis=0)
    around = (at[:, :, None] + np.arange(-300, 301)).reshape(channels, -1)
    q = np.concatenate([around, np.linspace(lo, hi, 100_001, axis=1).astype(np.int64)], axis=1)
    q = np.clip(q, lo[:, None], hi[:, None]).T
    table = node.out.real(interpreter.steps(q, node.at, node.levels))
    np.testing.assert_array_equal(table, function.evaluate64(x.domain.real(q)))
    blurred = blur.reached(blur.undecided(node), q)
    for error in (-1e-6, 0.0, 1e-6):
        got = function.evaluate32(x.domain.real(q) + error)
        np.testing.assert_array_equal(np.where(blurred, 0, got), np.where(blurred, 0, table))
    # Float32 comes to a flat end a few units of the last place at a time: on that way rounding decides.
    assert blurred[601 * node.at.shape[1] :].mean() < 0.1


@pytest.mark.usefixtures("cc")
@pytest.mark.parametrize("name", ["gelu", "mish", "elu", "silu"])
def test_a_pool_between_a_curve_and_its_sign_pools_bits(name: str) -> None:
    rng = np.random.default_rng(3)
    b = Builder(20)
    weight = rng.normal(size=(6, 2, 3, 3)).astype(np.float32) / 2
    x = b("Conv", b.input("x", ["N", 2, 8, 8]), weight, name="conv")
    x = b("Mul", x, b("Sigmoid", x)) if name == "silu" else b(name.capitalize(), x)
    x = b("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    scale, bias, mean = rng.normal(size=(3, 6)).astype(np.float32) * np.float32(0.3)
    x = b("Sign", b("BatchNormalization", x, scale, bias, mean, rng.uniform(0.1, 0.3, 6).astype(np.float32)))
    logits = b("Gemm", b("Flatten", x), graphs.signs(rng, 5, 54), transB=1, name="logits")
    compilation = bnncompiler.compile(b.model(logits), name="net")
    nodes = tuple(compilation.graph.nodes())
    assert not any(isinstance(n, Lookup) for n in nodes)
    (pool,) = (n for n in nodes if isinstance(n, MaxPool))
    assert isinstance(pool.x, Steps) and per_element(pool.x.out.scale, 6).min() < 0 < pool.x.out.scale.max()
    result = bnncompiler.verify(compilation, {"x": rng.integers(0, 256, (40, 2, 8, 8), dtype=np.uint8)})
    assert result.passed, result.failures
    assert result.argmax_agreement == 1
    assert result.undecided_points < 1e-2 * result.bits_compared


def activation(b: Builder, x: str, name: str) -> str:
    """An activation as exporters write it."""
    match name:
        case "gelu":
            return b("Gelu", x)
        case "gelu_by_erf":
            erf = b("Erf", b("Div", x, np.float32(np.sqrt(2))))
            return b("Mul", b("Mul", x, np.float32(0.5)), b("Add", erf, np.float32(1)))
        case "gelu_by_tanh":
            cube = b("Mul", b("Pow", x, np.float32(3)), np.float32(0.044715))
            tanh = b("Tanh", b("Mul", b("Add", x, cube), np.float32(np.sqrt(2 / np.pi))))
            return b("Mul", b("Mul", x, np.float32(0.5)), b("Add", tanh, np.float32(1)))
        case "hardswish_by_hard_sigmoid":
            return b("Mul", x, b("HardSigmoid", x, alpha=1 / 6, beta=0.5))
        case "silu":
            return b("Mul", x, b("Sigmoid", x))
        case "softplus":
            return b("Sub", b("Softplus", x), np.float32(0.3))
    return b(name, x)


@pytest.mark.usefixtures("cc")
@pytest.mark.parametrize("decision", ["Sign", "at_least"])
@pytest.mark.parametrize(
    "name",
    ["gelu", "gelu_by_erf", "gelu_by_tanh", "HardSwish", "hardswish_by_hard_sigmoid", "silu", "softplus", "Mish"],
)
def test_a_sign_right_behind_a_curve_on_a_real_first_layer_agrees_with_onnxruntime(name: str, decision: str) -> None:
    """Half of the sums are where the curve runs to 0, and which of them are 0 in float32 decides the class.

    Onnxruntime's Tanh comes to -1 by fits and starts between -8.2 and -9, so that two bits in a hundred are rounding's.
    """
    rng = np.random.default_rng(4)
    b = Builder(20)
    weight = 2 * rng.normal(size=(8, 2, 3, 3)).astype(np.float32)
    y = activation(b, b("Conv", b.input("x", ["N", 2, 8, 8]), weight, name="conv"), name)
    if decision == "at_least":
        y = b("Where", b("GreaterOrEqual", y, np.float32(0)), np.float32(1), np.float32(-1))
    else:
        y = b("Sign", y)
    logits = b("Gemm", b("Flatten", y), graphs.signs(rng, 5, 288), transB=1, name="logits")
    compilation = bnncompiler.compile(b.model(logits), name="net")
    assert not any(isinstance(n, Lookup | Requantize) for n in compilation.graph.nodes())
    result = bnncompiler.verify(compilation, {"x": rng.integers(0, 256, (200, 2, 8, 8), dtype=np.uint8)})
    assert result.passed, result.failures
    assert result.argmax_agreement is not None
    assert result.argmax_agreement >= (0.9 if name == "gelu_by_tanh" else 0.99)
