"""Intervals of the claims cover what they should, on simulated data with fixed seeds.

Each test states the chance that it fails for a correct program, were its seed drawn anew.
"""

import numpy as np
import pytest
from scipy.special import expit

import sterling as st
from sterling.claims.concentration import decay
from sterling.claims.statistics import quantile_interval, t_interval
from sterling.claims.step_sizes import effects


def covered(intervals, truth):
    """Return how many of (low, high) hold the truth."""
    return sum(low <= truth <= high for low, high in intervals)


def test_the_interval_of_the_decay_covers():
    """400 intervals at 95 %; fewer than 366 or more than 393 hold the truth by chance once in 1,000 seeds."""
    rng = np.random.default_rng(1)
    n = np.repeat([8, 10, 12], 20)
    samples = np.tile(np.repeat([100, 400, 1600, 6400], 5), 3)
    found = []
    for _ in range(400):
        deviation = np.exp(0.1 * n - 0.5 * np.log(samples) + 0.2 * rng.standard_normal(60))
        found.append(decay(n, samples, deviation)[1:])
    assert 366 <= covered(found, -0.5) <= 393


def test_the_interval_of_a_mean_covers():
    """1,000 intervals at 95 %; outside 927 … 972 by chance once in 1,000 seeds."""
    rng = np.random.default_rng(2)
    found = [t_interval(rng.standard_normal(6))[1:] for _ in range(1000)]
    assert 927 <= covered(found, 0.0) <= 972


@pytest.mark.parametrize("share, truth", [(0.5, 0.0), (0.9, 1.2815515655446004)])
def test_the_interval_of_a_quantile_covers(share, truth):
    """1,000 intervals that hold the truth with at least 95 %; fewer than 927 once in 2,000 seeds each."""
    rng = np.random.default_rng(3)
    found = [quantile_interval(rng.standard_normal(60), share)[1:] for _ in range(1000)]
    assert covered(found, truth) >= 927


@pytest.mark.parametrize("shift", [0.0, 0.3])
def test_the_effect_of_the_rate_is_found(shift):
    """40 intervals at 95 % of the shift of log N₅₀ with log rate; fewer than 33 once in 7,000 seeds each."""
    rng = np.random.default_rng(4)
    samples, rates, exponents = (
        grid.ravel() for grid in np.meshgrid([20, 30, 45, 70, 100, 150], [0.05, 0.5, 5.0], [0.0, 0.5])
    )
    trials = np.full(samples.size, 60)
    chances = expit(5 * (np.log(samples) - np.log(60) - shift * np.log(rates / 0.5)))
    rate, slope, by_samples, by_schedule = [], [], [], []
    for _ in range(40):
        found = effects(samples, rates, exponents, trials, rng.binomial(trials, chances))
        rate.append(found.rate[1:])
        slope.append(found.slope[1:])
        by_samples.append(found.by_samples[0])
        by_schedule.append(found.by_schedule[0])
    assert covered(rate, shift) >= 33
    assert covered(slope, 5.0) >= 33
    assert np.median(by_samples) > (0.95 if shift == 0 else 0.3)
    assert (np.median(by_schedule) > 0.1) == (shift > 0)


@pytest.mark.parametrize("normalize, optimal", [(None, 0), ("standard", 20), ("whiten", 20)])
def test_rectified_inputs_need_normalising(normalize, optimal):
    """20 runs each. Were a run to end otherwise once in 200, the test would fail for 10 % of the seeds."""
    problem = st.Problem(n=24, samples=1200, inputs="rectified", normalize=normalize)
    orbits = [st.train(problem.draw(seed), 20_000, init=seed, record=()) for seed in range(20)]
    assert sum(orbit.certified and orbit.errors == 0 for orbit in orbits) == optimal
