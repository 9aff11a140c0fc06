"""Closed forms against quadrature of the definition, and slopes against those of docs/science, 4."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate
from scipy.special import ndtr

import sterling as st
from sterling import theory
from sterling.surrogates import get_surrogate
from sterling.theory.slopes import mean_square_slope, mean_square_turned

ROOT_2PI = math.sqrt(2 * math.pi)


def density(x):
    """Return φ(x)."""
    return math.exp(-x * x / 2) / ROOT_2PI


def by_quadrature(surrogate, correlation):
    """Return α and β from E[(H(a) − H(ca + sb)) μ′(a) (a, b)], one integral over a after that over b.

    b·H(ca + sb) has the mean φ(ca/s), H(ca + sb) the mean Φ(ca/s). In terms of w and w* the component along
    e = (w* − cw)/s is β' = −E μ′(a) φ(ca/s), so β = −β'/s and α = A + cβ.
    """
    slope = get_surrogate(surrogate).derivative
    c, s = correlation, math.sqrt(1 - correlation**2)

    def along(a):
        return a * float(slope(a)) * density(a) * ((a > 0) - ndtr(c * a / s))

    def across(a):
        return float(slope(a)) * density(a) * density(c * a / s)

    edges = (-9.0, -2.0, -1.0, -0.5, -1e-12, 1e-12, 0.5, 1.0, 2.0, 9.0)
    pieces = [(low, high) for low, high in pairwise(edges) if high - low > 1e-9]
    first, second = (
        math.fsum(integrate.quad(f, *piece, epsabs=1e-12, limit=200)[0] for piece in pieces)
        for f in (along, across)
    )
    return first + c * second / s, second / s


USERS = (
    st.Surrogate("beyond", window=(0.5, 2)),
    st.Surrogate("before", window=(-2, -0.5)),
    st.Surrogate("lopsided", window=(-0.5, None)),
)


@pytest.mark.parametrize("surrogate", [*st.SURROGATES, *USERS], ids=str)
def test_coefficients(surrogate):
    for correlation in (-0.8, 0.0, 0.875):
        np.testing.assert_allclose(
            theory.population_coefficients(correlation, surrogate),
            by_quadrature(surrogate, correlation),
            atol=1e-8,
        )


@pytest.mark.parametrize("surrogate", st.SURROGATES)
def test_coefficients_are_continuous_at_the_ends(surrogate):
    """At w = ±w* the width s of the step vanishes, and nothing may divide by it."""
    for end in (-1.0, 1.0):
        there = theory.population_coefficients(end, surrogate)
        near = theory.population_coefficients(end * (1 - 1e-10), surrogate)
        np.testing.assert_allclose(there, near, atol=1e-4)


@pytest.mark.parametrize("surrogate, slope", [("relu", 1 / (2 * ROOT_2PI)), ("identity", 1 / ROOT_2PI)])
def test_yin(surrogate, slope):
    """Yin et al. 2019: E G is slope·‖v‖²·(w − w*) for ReLU and identity, at every distance."""
    n, norm2 = 9, 2.5
    problem, teacher = st.Problem(n, 1, m=2, readout=(1.5, 0.5)), np.ones(n, int)
    for wrong in range(n + 1):
        signs = np.where(np.arange(n) < wrong, -1, 1)
        expected = slope * norm2 * (signs - teacher) / math.sqrt(n)
        found = theory.population_gradient(problem, signs, teacher=teacher, surrogate=surrogate)
        np.testing.assert_allclose(found, expected, atol=1e-14)


@pytest.mark.parametrize("surrogate", st.SURROGATES)
def test_mean_squares_of_the_slope(surrogate):
    """E μ′² over all rows and over those that turn, against a grid in the plane of w and w*.

    The plane's angle is exact here: a row at the polar angle φ turns where cos φ and cos(φ − angle) differ in
    sign, and the radius has the density r·exp(−r²/2).
    """
    slope = st.SURROGATES[surrogate].derivative
    radius = (np.arange(900) + 0.5) * (9 / 900)
    weight = radius * np.exp(-(radius**2) / 2) * (9 / 900)
    polar = (np.arange(2000) + 0.5) * (2 * math.pi / 2000)
    square = weight @ slope(radius[:, None] * np.cos(polar)) ** 2
    assert mean_square_slope(st.SURROGATES[surrogate]) == pytest.approx(square.mean(), rel=2e-3)
    for angle in (0.3, 1.2):
        turned = (np.cos(polar) > 0) != (np.cos(polar - angle) > 0)
        found = mean_square_turned(st.SURROGATES[surrogate], angle)
        assert found == pytest.approx(square[turned].mean(), rel=5e-3)
