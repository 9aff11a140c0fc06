"""Population gradients against averages over fresh Gaussian inputs.

Seeds are fixed, so a pass stays a pass. With other seeds a correct program would fail each single check with
probability below 10⁻⁶: 5.7 standard errors for the largest of up to a hundred normal figures. A coordinate
that is wrong by 7 standard errors, 0.35 of the signal, is caught with a chance of 90 %.
"""

from __future__ import annotations

import math

import numpy as np
import pytest

import sterling as st
from sterling import theory

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
