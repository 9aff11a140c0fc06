"""Surrogates: derivatives against values and formulas, exact thresholds, the registry and its messages."""

import json
import math
import pickle

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterling.errors import InputError
from sterling.surrogates import SURROGATES, UNBOUNDED, Surrogate, get_surrogate

NAMES = ["relu", "identity", "clipped_relu", "hard_tanh", "sigmoid", "approx_sign", "swish_sign"]
CONSTANT = NAMES[:4]
SMOOTH = NAMES[4:]


def test_registry():
    assert list(SURROGATES) == NAMES
    assert [name for name in NAMES if SURROGATES[name].piecewise_constant] == CONSTANT
    for name, surrogate in SURROGATES.items():
        assert surrogate.name == name
        assert surrogate.formula
        assert surrogate.derivative_formula
        assert surrogate.source
        assert (surrogate.window is not None) == surrogate.piecewise_constant
        assert repr(surrogate) == f"Surrogate('{name}')"
        assert pickle.loads(pickle.dumps(surrogate)) == surrogate
        assert hash(surrogate) == hash(get_surrogate(name))
        assert json.loads(json.dumps(surrogate.to_dict())) == surrogate.to_dict()
        assert get_surrogate(surrogate.to_dict()["name"]) is surrogate
        assert get_surrogate(surrogate) is surrogate


def test_derivatives_at_the_corners():
    x = np.array([-1.5, -1.0, -0.5, -0.0, 0.0, 0.5, 1.0, 1.5])
    table = {
        "relu": [0, 0, 0, 0, 0, 1, 1, 1],
        "identity": [1] * 8,
        "clipped_relu": [0, 0, 0, 0, 0, 1, 0, 0],
        "hard_tanh": [0, 1, 1, 1, 1, 1, 1, 0],
        "approx_sign": [0, 0, 1, 2, 2, 1, 0, 0],
    }
    for name, expected in table.items():
        np.testing.assert_array_equal(SURROGATES[name].derivative(x), expected)


def test_smooth_derivatives_against_their_formulas():
    x = np.linspace(-4, 4, 161)
    logistic = 1 / (1 + np.exp(-x))
    np.testing.assert_allclose(SURROGATES["sigmoid"].value(x), logistic, rtol=1e-15)
    np.testing.assert_allclose(SURROGATES["sigmoid"].derivative(x), logistic * (1 - logistic), rtol=1e-13)
    y = 5 * x
    swish = 5 * (2 - y * np.tanh(y / 2)) / (1 + np.cosh(y))
    np.testing.assert_allclose(SURROGATES["swish_sign"].derivative(x), swish, rtol=1e-13, atol=1e-15)
    logistic = 1 / (1 + np.exp(-y))
    value = 2 * logistic * (1 + y * (1 - logistic)) - 1
    np.testing.assert_allclose(SURROGATES["swish_sign"].value(x), value, rtol=1e-13, atol=1e-15)
    assert SURROGATES["swish_sign"].derivative(0.0) == 5.0
    assert SURROGATES["sigmoid"].derivative(0.0) == 0.25


@pytest.mark.parametrize("name", NAMES)
def test_value_is_an_antiderivative(name):
    surrogate = SURROGATES[name]
    x = np.linspace(-3.0, 3.0, 601) + 0.0005  # away from every corner
    h = 1e-4
    slope = (surrogate.value(x + h) - surrogate.value(x - h)) / (2 * h)
    np.testing.assert_allclose(slope, surrogate.derivative(x), atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_huge_arguments_raise_nothing(name):
    surrogate = SURROGATES[name]
    x = np.array([-math.inf, -1e308, -1e5, -800.0, 800.0, 1e5, 1e308, math.inf])
    with np.errstate(all="raise"):
        derivative, value = surrogate.derivative(x), surrogate.value(x)
    assert np.all(np.isfinite(derivative))
    assert not np.any(np.isnan(value))
    if name not in ("relu", "identity"):
        np.testing.assert_array_equal(derivative, 0.0)
        assert value[-1] == value[-3] == 1.0
        assert value[0] == value[2] == (0.0 if name in ("clipped_relu", "sigmoid") else -1.0)


@pytest.mark.parametrize("name", NAMES)
def test_shape_and_type(name):
    surrogate = SURROGATES[name]
    for function in (surrogate.value, surrogate.derivative):
        for x in (0.25, [1, 2], np.zeros((2, 3), np.float32), np.zeros((0, 4), np.int16)):
            result = function(x)
            assert isinstance(result, np.ndarray)
            assert result.dtype == np.float64
            assert result.shape == np.shape(x)


def test_value_gives_a_new_array():
    x = np.ones(3)
    SURROGATES["identity"].value(x)[:] = 7.0
    assert x.tolist() == [1.0, 1.0, 1.0]


def inside(name, a, square):
    """Whether μ′(a/√square) = 1, in exact integers."""
    return {
        "relu": a > 0,
        "identity": True,
        "clipped_relu": a > 0 and a * a < square,
        "hard_tanh": a * a <= square,
    }[name]


@pytest.mark.parametrize("name", CONSTANT)
@given(square=st.integers(1, 10**6) | st.integers(1, 10**30) | st.integers(1, 10**9).map(lambda r: r * r))
def test_thresholds_are_exact(name, square):
    low, high = SURROGATES[name].thresholds(square)
    assert type(low) is type(high) is int
    root = math.isqrt(square)
    for a in {low, low - 1, high, high + 1, -root - 1, -root, 1 - root, -1, 0, 1, root - 1, root, root + 1}:
        if abs(a) < UNBOUNDED:
            assert (low <= a <= high) == inside(name, a, square)


@pytest.mark.parametrize("name", CONSTANT)
def test_thresholds_agree_with_the_derivative(name):
    surrogate = SURROGATES[name]
    for square in (1, 2, 16, 50, 64 * 4**3):
        low, high = surrogate.thresholds(square)
        a = np.arange(-300, 301)
        np.testing.assert_array_equal(surrogate.derivative(a / math.sqrt(square)), (low <= a) & (a <= high))


def test_thresholds_by_hand():
    square = 100 * 4**12
    assert SURROGATES["relu"].thresholds(square) == (1, 2**62)
    assert SURROGATES["identity"].thresholds(square) == (-(2**62), 2**62)
    assert SURROGATES["clipped_relu"].thresholds(square) == (1, 40959)
    assert SURROGATES["hard_tanh"].thresholds(square) == (-40960, 40960)
    assert SURROGATES["clipped_relu"].thresholds(1) == (1, 0)  # empty
    assert SURROGATES["hard_tanh"].thresholds(10**60) == (-(2**62), 2**62)
    assert SURROGATES["relu"].thresholds(np.int64(4)) == (1, 2**62)


@pytest.mark.parametrize("name", SMOOTH)
def test_smooth_surrogates_have_no_thresholds(name):
    with pytest.raises(InputError, match=f"'{name}' is not piecewise constant.*use one of relu, identity"):
        SURROGATES[name].thresholds(16)


@pytest.mark.parametrize("square", [0, -4, 2.0, True, "4", None])
def test_bad_unit_squared(square):
    with pytest.raises(InputError, match="unit_squared must be a positive integer"):
        SURROGATES["relu"].thresholds(square)


def test_unknown_names():
    with pytest.raises(
        InputError,
        match=r"unknown surrogate 'hardtanh'; known: relu, .*swish_sign\. Did you mean 'hard_tanh'",
    ):
        get_surrogate("hardtanh")
    with pytest.raises(InputError, match="Did you mean 'relu'"):
        get_surrogate("ReLU")
    with pytest.raises(InputError) as caught:
        get_surrogate("zzz")
    assert "Did you mean" not in str(caught.value)
    for value in (None, 3, ["relu"], math.sin):
        with pytest.raises(InputError, match="unknown surrogate"):
            get_surrogate(value)


def test_a_surrogate_cannot_be_changed():
    with pytest.raises(AttributeError):
        SURROGATES["relu"].name = "other"
    assert isinstance(SURROGATES["relu"], Surrogate)
