"""Surrogates: derivatives against values and formulas, exact thresholds, the registry and its messages."""

import json
import math
import pickle
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sterling.base.registry import register
from sterling.dynamics.train import train
from sterling.errors import InputError
from sterling.model.problem import Problem
from sterling.surrogates import SURROGATES, UNBOUNDED, Surrogate, get_surrogate, surrogate_from_dict

NAMES = ["relu", "identity", "clipped_relu", "hard_tanh", "sigmoid", "approx_sign", "swish_sign"]
CONSTANT = NAMES[:4]
SMOOTH = NAMES[4:]


def test_registry():
    assert list(SURROGATES) == NAMES
    assert [name for name in NAMES if SURROGATES[name].piecewise_constant] == CONSTANT
    for name, surrogate in SURROGATES.items():
        assert surrogate.name == name
        assert surrogate.derivative_formula
        assert surrogate.source
        assert (surrogate.window is not None) == surrogate.piecewise_constant
        assert repr(surrogate) == f"get_surrogate('{name}')"
        assert pickle.loads(pickle.dumps(surrogate)) == surrogate
        assert hash(surrogate) == hash(get_surrogate(name))
        assert json.loads(json.dumps(surrogate.to_dict())) == surrogate.to_dict()
        assert surrogate_from_dict(json.loads(json.dumps(surrogate.to_dict()))) == surrogate
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


WINDOWS = [
    (-1.5, 0.75),
    (0.1, 2.0),
    (-2.5, -0.5),
    (None, -0.25),
    (-0.25, None),
    (1e-3, 1e300),
    (-math.inf, 0),
]


@pytest.mark.parametrize("closed", (False, True))
@given(window=st.sampled_from(WINDOWS), square=st.integers(1, 10**12) | st.fractions(Fraction(1, 99), 99))
def test_thresholds_of_any_window(closed, window, square):
    """The last integers inside are inside and their neighbours are not, compared as squares of fractions."""
    surrogate = Surrogate("mine", window=window, closed=closed)
    low, high = surrogate._thresholds(square)

    def beyond(a, end):
        """Whether a/√square > end, or = end where that counts."""
        end = Fraction(end)
        gap = (a * a if a >= 0 else -a * a) - (end * end if end >= 0 else -end * end) * square
        return gap > 0 or (gap == 0 and not closed)

    first, last = surrogate.window
    if not math.isinf(first):
        assert beyond(-(low - 1), -first)
        assert not beyond(-low, -first)
    if not math.isinf(last) and high < UNBOUNDED:
        assert beyond(high + 1, last)
        assert not beyond(high, last)
    assert type(low) is type(high) is int


def bell(x, xp):
    return xp.exp(-x * x)


def test_a_users_window():
    mine = Surrogate("mine", window=(np.int64(-1), None), closed=np.True_)
    assert mine.window == (-1.0, math.inf)
    assert mine.piecewise_constant
    assert mine.derivative([-2, -1, 0]).tolist() == [0, 1, 1]
    assert surrogate_from_dict(json.loads(json.dumps(mine.to_dict()))) == mine
    names = {"Surrogate": Surrogate, "get_surrogate": get_surrogate}
    assert eval(repr(mine), names) == mine
    described = Surrogate("described", window=(None, 1), derivative_formula="1", source="me")
    assert eval(repr(described), names) == described


def test_a_users_slope(registries):
    mine = Surrogate("bell", slope=bell)
    assert not mine.piecewise_constant
    assert mine.derivative([[0.0, 1.0]]).tolist() == [[1.0, math.exp(-1)]]
    with pytest.raises(InputError, match="unknown surrogate 'bell'"):
        surrogate_from_dict(mine.to_dict())
    register(mine)
    assert get_surrogate("bell") is mine
    assert surrogate_from_dict(mine.to_dict()) is mine
    assert repr(mine) == "get_surrogate('bell')"


@pytest.mark.parametrize(
    "given,cause",
    [
        ({}, "either a window"),
        ({"window": (0, 1), "slope": bell}, "either a window"),
        ({"window": (1, 1)}, "window"),
        ({"window": 3}, "two ends"),
        ({"window": (0, 1), "closed": "yes"}, "closed"),
        ({"slope": lambda x: x}, "fails on an array"),
        ({"slope": lambda x, xp: 1.0}, "every entry"),
        ({"slope": lambda x, xp: 0 * x + 9}, "within ±8"),
    ],
)
def test_unusable_surrogates(given, cause):
    with pytest.raises(InputError, match=cause):
        Surrogate(**{"name": "mine", **given})


@pytest.mark.parametrize("bad", (np.nan, np.inf, 1e300))
def test_a_slope_is_checked_where_it_is_used(bad):
    """Bad values that lie between the points at which a new surrogate is tried (W7)."""
    mine = Surrogate("mine", slope=lambda x, xp: xp.where((abs(x) > 0.2) & (abs(x) < 0.9), bad, 1.0))
    assert mine.derivative([0.1]) == 1
    with pytest.raises(InputError, match="'mine' must be finite"):
        mine.derivative([0.1, 0.5])
    with pytest.raises(InputError, match="'mine' must be finite"):
        train(Problem(n=9, samples=40, noise=0.5).draw(0), 100, surrogate=mine)
