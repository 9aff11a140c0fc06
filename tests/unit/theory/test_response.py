"""The linear prediction of gradients away from w*: exact where it has seen them, sane elsewhere."""

from __future__ import annotations

import numpy as np
import pytest

import sterling as st
from sterling import theory
from sterling.theory import shares
from sterling.theory.numbers import numbers_of
from sterling.theory.population import profile
from sterling.theory.recurrence import neighbours
from sterling.theory.response import Response


@pytest.fixture(scope="module")
def case():
    instance = st.Problem(n=9, samples=500, m=2, noise=0.4).draw(2)
    signs = instance.teacher.astype(int)
    push = signs * theory.drift(instance)
    change = signs * neighbours(instance, st.get_surrogate("relu"), signs) - push
    return instance, signs, Response(push, change, profile(numbers_of(instance, "relu")), 0.6)


def exact(instance, signs, wrong):
    return signs * instance.gradient(np.where(wrong, -signs, signs))


def test_exact_at_the_teacher_and_next_to_it(case):
    """A best linear prediction returns what it was given."""
    instance, signs, response = case
    for wrong in (np.zeros(9, bool), *np.eye(9, dtype=bool)):
        np.testing.assert_allclose(response.at(wrong), exact(instance, signs, wrong), atol=1e-12)


def test_balance_is_solved(case):
    """Σ p-law of the predicted gradient is zero for weights that flip and not outward for those at rest."""
    _, _, response = case
    found, occupancy, _ = shares.solve(response)
    sets = (np.arange(1 << 9)[:, None] >> np.arange(9)) & 1 == 1
    law = np.prod(np.where(sets, found, 1 - found), axis=1)
    law *= shares._tilt(found, occupancy)[sets.sum(axis=1)]
    mean = law @ response.at(sets) / law.sum()
    flips = found > 1e-9
    assert flips.any()
    assert np.abs(mean[flips]).max() < 0.03 * response.pull
    assert mean[~flips].max(initial=-1.0) < 1e-3 * response.pull
