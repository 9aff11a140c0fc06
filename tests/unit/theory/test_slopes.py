"""Moments of the surrogates' derivatives, against other ways to the same numbers."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

import sterling as st
from sterling.theory.slopes import mean_product_turned, slope_covariance
from sterling.theory.typical import excursion_share

ANGLES = (0.02, 0.4, 1.05, 2.2)
WINDOWS = [name for name, one in st.SURROGATES.items() if one.window is not None]


@pytest.mark.parametrize("angle", ANGLES)
@pytest.mark.parametrize("name", WINDOWS)
def test_covariance_of_windows(name, angle):
    """The chance that two correlated normals both lie in the window."""
    surrogate = st.SURROGATES[name]
    low, high = np.clip(surrogate.window, -9, 9)
    correlation = math.cos(angle)
    both = stats.multivariate_normal([0, 0], [[1, correlation], [correlation, 1]]).cdf(
        [high, high], lower_limit=[low, low]
    )
    assert slope_covariance(surrogate, angle) == pytest.approx(both, abs=1e-6)


@pytest.mark.parametrize("away, apart", [(0.3, 0.2), (0.9, 0.9), (1.4, 0.5)])
def test_product_over_turned_rows(away, apart):
    """Against 500,000 draws, four standard errors."""
    rng = np.random.default_rng(1)
    u, v, rest = rng.standard_normal((3, 500_000))
    x, y = (math.cos(apart / 2) * u + sign * math.sin(apart / 2) * v for sign in (1, -1))
    lean = math.cos(away) / math.cos(apart / 2)
    home = lean * u + math.sqrt(1 - lean * lean) * rest
    turned = ((x > 0) != (home > 0)) & ((y > 0) != (home > 0))
    for surrogate in st.SURROGATES.values():
        products = surrogate.derivative(x[turned]) * surrogate.derivative(y[turned])
        error = 4 * products.std() / math.sqrt(turned.sum()) + 0.02 * products.mean()  # 2 % for the table
        assert mean_product_turned(surrogate, away, apart) == pytest.approx(products.mean(), abs=error)


def test_excursions():
    """Equal pushes leave weights independent; rare departures with strong pushes away keep them together."""
    assert excursion_share(0.5, 1.0) == 1.0
    assert excursion_share(0.0, 0.1) == 1.0
    x, ratio = 0.3, 0.05
    w = excursion_share(x, ratio)
    q = w * -math.expm1(-x / w)
    # The share of steps away and the crossings that go with it satisfy the equations of the module.
    crossings = x / (ratio * (1 - q) + q)
    assert q == pytest.approx(
        (1 - q) * -math.expm1(-ratio * crossings) + q * -math.expm1(-crossings), rel=1e-6
    )
