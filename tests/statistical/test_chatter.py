"""Chatter against runs. The seeds are fixed; the bars are three standard errors of the means or more wide."""

from __future__ import annotations

import numpy as np
import pytest

import sterling as st
from sterling import theory
from sterling.theory.chatter import _path
from sterling.theory.numbers import numbers_of

CONSTANT = st.Constant(0.5)


def stationary(instance, surrogate, init, steps=2000):
    early = st.train(instance, 300, schedule=CONSTANT, surrogate=surrogate, init=init, record=(), threads=1)
    run = st.resume(early, instance, steps, threads=1)
    return (run.wrong_share * run.steps - early.wrong_share * early.steps) / (run.steps - early.steps)


@pytest.mark.parametrize(("surrogate", "ratio"), [("identity", 3.5), ("relu", 6.0)])
def test_share_of_wrong_weights(surrogate, ratio):
    """Five data sets at n = 256: the mean within 12 % (standard error 4 %), two within 4 % of the fit."""
    problem = st.Problem(n=256, samples=round(ratio * 256))
    shares = []
    for seed in range(5):
        instance = problem.draw(seed)
        wrong = stationary(instance, surrogate, seed)
        shares.append(wrong.mean())
        if seed < 2:
            predicted = (1 - theory.chatter_mean(instance, surrogate) * instance.teacher) / 2
            assert predicted.mean() == pytest.approx(wrong.mean(), rel=0.04)
            assert np.corrcoef(predicted, wrong)[0, 1] > 0.98
    assert theory.chatter(problem, surrogate=surrogate).share == pytest.approx(np.mean(shares), rel=0.12)


def test_lifetime():
    """The median of 24 runs at n = 128 is within a factor of 3.3 of the law; one standard error is 1.4."""
    problem = st.Problem(n=128, samples=round(4.5 * 128))
    times = []
    for seed in range(24):
        run = st.train(
            problem.draw(seed), 20_000, schedule=CONSTANT, surrogate="identity", init=seed, record=("flips",)
        )
        times.append(run.flips["step"][-1] if run.certified and not run.errors else np.inf)
    life = np.log(np.median(times) / np.log(2))
    assert life == pytest.approx(theory.chatter(problem, surrogate="identity").log_lifetime, abs=1.2)


def test_approach():
    """The mean of four runs at n = 512 on the way down, within 0.03 (it has a standard error of 0.01)."""
    problem = st.Problem(n=512, samples=8 * 512)
    steps = np.array([1, 2, 4, 8, 12, 25])
    paths = []
    for seed in range(4):
        run = st.train(problem.draw(seed), 30, surrogate="identity", init=seed, record=("flips",))
        paths.append(run.distance(steps) / 512)
    law = _path(numbers_of(problem, "identity"), problem.samples, 30, st.Power(0.5, 0.5))[steps]
    np.testing.assert_allclose(np.mean(paths, axis=0), law, atol=0.03)
