"""The ladder: potentials against sampling, derivatives against differences, edges as they are defined."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import ndtr

import sterling as st
from sterling import theory
from sterling.theory.ladder import _channel, _weight

ONE = {"n": 1000, "samples": 1}


@pytest.mark.parametrize("r", [0.1, 1.0, 6.0])
def test_weight_against_samples(r):
    """A binary weight seen through Gaussian noise; 400,000 draws, four standard errors."""
    field = r + math.sqrt(r) * np.random.default_rng(0).standard_normal(400_000)
    psi, q = _weight(r)
    for value, draws in (
        (psi + r / 2, np.log(np.cosh(field))),
        (q, np.tanh(field)),
        (q, np.tanh(field) ** 2),
    ):
        assert value == pytest.approx(draws.mean(), abs=4 * draws.std() / math.sqrt(len(draws)))


@pytest.mark.parametrize("noise", [0.0, 0.5])
@pytest.mark.parametrize("q", [0.1, 0.7])
def test_channel_against_samples(q, noise):
    """Labels of a teacher, and what they say of a pre-activation; 400,000 draws, four standard errors."""
    rng = np.random.default_rng(1)
    mean = math.sqrt(q) * rng.standard_normal(400_000)
    s = math.sqrt(1 - q)
    answer = mean + s * rng.standard_normal(len(mean)) > 0
    u = mean / s
    density = np.exp(-u * u / 2) / math.sqrt(2 * math.pi) / s
    if noise == 0:
        z = np.where(answer, ndtr(u), ndtr(-u))
        slope, known = np.where(answer, 1, -1) * density / z, np.zeros(len(mean))
    else:
        y = answer + noise * rng.standard_normal(len(mean))
        chances = np.exp(-((y - np.array([[0], [1]])) ** 2) / (2 * noise**2))
        z = chances[1] * ndtr(u) + chances[0] * ndtr(-u)
        slope = density * (chances[1] - chances[0]) / z
        known = np.log(np.where(answer, chances[1], chances[0]))
    for value, draws in zip(_channel(q, noise), (np.log(z) - known, slope**2), strict=True):
        assert value == pytest.approx(draws.mean(), abs=4 * draws.std() / math.sqrt(len(draws)))


@pytest.mark.parametrize("noise", [0.0, 0.1, 0.5, 2.0])
def test_derivatives_of_the_potential(noise):
    for q in (0.2, 0.9, 0.999):
        step = 1e-4 * (1 - q)
        slope = (_channel(q + step, noise)[0] - _channel(q - step, noise)[0]) / (2 * step)
        assert _channel(q, noise)[1] == pytest.approx(2 * slope, rel=1e-4)
    for r in (0.5, 5.0):
        slope = (_weight(r + 1e-4)[0] - _weight(r - 1e-4)[0]) / 2e-4
        assert _weight(r)[1] == pytest.approx(2 * slope, rel=1e-5)


def test_known_numbers():
    """Györgyi 1990; Sompolinsky, Tishby and Seung 1990; Barbier et al. 2019; docs/science, 14."""
    clean, noisy = st.Problem(**ONE), st.Problem(**ONE, noise=0.5)
    assert theory.samples_for_information(clean) / 1000 == pytest.approx(1.245, abs=0.001)
    assert theory.samples_for_messages(clean) / 1000 == pytest.approx(1.493, abs=0.001)
    assert theory.samples_for_information(noisy) / 1000 == pytest.approx(2.68, abs=0.01)
    assert theory.samples_for_messages(noisy) / 1000 == pytest.approx(3.22, abs=0.01)


def test_linear_methods_to_leading_order():
    problem = st.Problem(n=10**9, samples=1)
    hebb = theory.samples_for_hebb(problem)
    assert 0.8 < hebb / (math.pi * 1e9 * math.log(1e9)) < 1
    assert theory.samples_for_least_squares(problem) < hebb / 2


def test_refusals():
    with pytest.raises(st.InputError, match="m=2"):
        theory.samples_for_messages(st.Problem(n=8, samples=1, m=2))
    with pytest.raises(st.InputError, match=r"0\.05"):
        theory.samples_for_information(st.Problem(n=8, samples=1, noise=0.01))
