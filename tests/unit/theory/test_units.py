"""The box-constrained fit of several units: forces by finite differences, limits, chatter of data sets."""

from __future__ import annotations

import math

import numpy as np
import pytest

import sterling as st
from sterling import theory
from sterling.surrogates import get_surrogate
from sterling.theory import units
from sterling.theory.box import fit

WINDOWS = [(-math.inf, math.inf), (0.0, math.inf), (0.0, 1.0), (-1.0, 1.0)]


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize("chi", (1e-9, 0.4))
def test_forces_and_their_trace(window, chi):
    rng = np.random.default_rng(0)
    m, s = 3, 0.4
    size, h, y = 1 / math.sqrt(m), rng.normal(size=(1, m)), rng.normal(size=(1, 1))

    def force(h):
        return units.forces(h, y, s, chi, size, window)

    _, trace = force(h)
    step = 1e-6
    jacobian = np.array([force(h + e)[0] - force(h - e)[0] for e in step * np.eye(m)])[:, 0].T / (2 * step)
    assert trace == pytest.approx(np.trace(jacobian @ np.linalg.inv(np.eye(m) + chi * jacobian)), rel=1e-6)


@pytest.mark.parametrize("name", ["identity", "relu", "hard_tanh"])
def test_one_unit_is_the_box(name):
    surrogate = get_surrogate(name)
    one, other = fit(8.0, 0.4, surrogate), units.fit_units(8.0, 0.4, surrogate, 1)
    assert one is not None
    assert other == pytest.approx(one, rel=0.01)


def test_too_few_samples():
    assert units.fit_units(0.3, 0.5, get_surrogate("relu"), 3) is None


def test_many_units():
    """2.478 with 16 times as many points and m = 64; the points of few units gave 1.92."""
    found = units.fit_units(4.0, 0.0, get_surrogate("relu"), 128)
    assert found is not None
    assert found.centre / found.spread == pytest.approx(2.478, rel=0.02)


def test_the_reaction_asks_for_more_samples_with_several_units():
    """5.2 n without χ; runs needed 1.17 (1.11 to 1.23) times as many."""
    found = theory.samples_for_average(st.Problem(180, 1, m=2)) / 180
    assert 1.05 < found / 5.21 < 1.23
