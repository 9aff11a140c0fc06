"""Gradients that theory takes shortcuts to, against the instance's own gradient, bit for bit."""

from __future__ import annotations

import numpy as np
import pytest

import sterling as st
from sterling import theory
from sterling.theory.recurrence import neighbours
from tests.support import PIECEWISE

PROBLEMS = (
    st.Problem(n=7, samples=90, m=1, noise=0.4),
    st.Problem(n=6, samples=70, m=3, noise=0.2, readout="signs"),
    st.Problem(n=5, samples=60, m=2, noise=0.3, readout="gaussian", inputs="shifted:0.4"),
)


@pytest.mark.parametrize("surrogate", st.SURROGATES)
@pytest.mark.parametrize("problem", PROBLEMS, ids=lambda problem: f"n{problem.n}m{problem.m}")
def test_drift_and_neighbours(problem, surrogate):
    instance = problem.draw(3)
    teacher = instance.teacher
    np.testing.assert_array_equal(
        theory.drift(instance, surrogate=surrogate), instance.gradient(teacher, surrogate), strict=True
    )
    found = neighbours(instance, st.get_surrogate(surrogate), teacher.astype(np.int64))
    assert found.shape == (problem.n, problem.n)
    for k in range(problem.n):
        signs = teacher.copy()
        signs[k] *= -1
        np.testing.assert_array_equal(found[k], instance.gradient(signs, surrogate))


@pytest.mark.parametrize("surrogate", PIECEWISE)
@pytest.mark.parametrize("scale", [1.0, 2.0**20], ids=["fine", "coarser than one"])
def test_neighbours_on_a_users_grid(surrogate, scale):
    """Features with scales and offsets of their own, and a reference in the place of a teacher."""
    rng = np.random.default_rng(5)
    inputs = rng.normal([3.0, 0.0, -200.0, 1e-3], [1.0, 5.0, 30.0, 1e-1], (80, 4)) * scale
    if scale > 1:
        inputs = np.rint(inputs)
    instance = st.Instance(inputs, rng.integers(0, 2, 80).astype(float))
    assert (instance.grid.bits < 0) == (scale > 1)
    reference = np.array([1, -1, 1, 1])
    found = neighbours(instance, st.get_surrogate(surrogate), reference)
    for k in range(4):
        signs = np.where(np.arange(4) == k, -reference, reference)
        np.testing.assert_array_equal(found[k], instance.gradient(signs, surrogate))
    np.testing.assert_array_equal(
        theory.drift(instance, surrogate=surrogate, reference=reference),
        instance.gradient(reference, surrogate),
    )


def test_without_label_noise_nothing_drifts():
    instance = st.Problem(n=8, samples=200, m=2).draw(1)
    for surrogate in st.SURROGATES:
        assert not theory.drift(instance, surrogate=surrogate).any()
        assert theory.occupancy(instance, surrogate=surrogate) == 1
        assert not theory.wrong_share(instance, surrogate=surrogate).any()
