"""Population gradients against averages over fresh Gaussian inputs.

Seeds are fixed, so a pass stays a pass. With other seeds a correct program would fail each single check with
probability below 10⁻⁶: 5.7 standard errors for the largest of up to a hundred normal figures. A coordinate
that is wrong by 7 standard errors is caught with a chance of 90 %: 0.35 of the signal, a third of a drift
variance.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import sterling as st
from sterling import theory
from sterling.theory.numbers import numbers_of
from sterling.theory.typical import variance

LARGEST_OF_HUNDRED = 5.7


@pytest.mark.parametrize("m", (1, 3))
@pytest.mark.parametrize("surrogate", st.SURROGATES)
def test_population_gradient(surrogate, m):
    """E G for every surrogate, at one and at several wrong weights, with noise that must average out."""
    n = 6
    instance = st.Problem(n, 40_000, m, noise=0.3).draw(17)
    norm2 = instance.readout_norm2
    for wrong in (1, 4):
        signs = instance.teacher * np.where(np.arange(n) < wrong, -1, 1)
        expected = theory.population_gradient(instance, signs, surrogate=surrogate)
        found, error = gradient_with_error(instance, signs, surrogate)
        np.testing.assert_allclose(found, instance.gradient(signs, surrogate), atol=1e-5 * norm2)
        assert (np.abs(found - expected) / error).max() < LARGEST_OF_HUNDRED
        pull = theory.signal(instance, surrogate=surrogate)
        assert error.max() < 0.05 * pull  # the check can see an error of a quarter of the signal


def gradient_with_error(instance, signs, surrogate):
    """Return the gradient from the definition, and each coordinate's standard error."""
    a = instance.inputs @ signs.astype(float) / math.sqrt(instance.n)  # an exact zero stays one
    residual = (a > 0) @ instance.readout - instance.labels
    slope = st.SURROGATES[surrogate].derivative(a)
    terms = residual[:, None] * np.einsum("ij,ijk->ik", instance.readout * slope, instance.inputs)
    return terms.mean(axis=0), terms.std(axis=0) / math.sqrt(instance.samples)


@pytest.mark.parametrize(
    "surrogate, noise, m", [("relu", 0.5, 1), ("identity", 0.5, 1), ("hard_tanh", 1.0, 3)]
)
def test_drift_variance(surrogate, noise, m):
    """N·Var G_k(w*) over 50 data sets of 30 weights; rows share their noise, hence the factor 1.5."""
    n, samples, sets = 30, 100, 50
    problem = st.Problem(n, samples, m, noise=noise)
    values = np.array([theory.drift(problem.draw(seed), surrogate=surrogate) for seed in range(sets)])
    expected = variance(numbers_of(problem, surrogate)) / samples
    assert abs(values.var() / expected - 1) < 1.5 * 4.9 * math.sqrt(2 / values.size)
