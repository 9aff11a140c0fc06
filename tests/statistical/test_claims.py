"""Intervals of the claims cover what they should, on simulated data with fixed seeds.

Each test states the chance that it fails for a correct program, were its seed drawn anew.
"""

import numpy as np
import pytest
from scipy.special import expit

from sterling.claims.experiments.concentration import decay
from sterling.claims.experiments.step_sizes import effects


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


SIZES, RATES, EXPONENTS = [20, 30, 45, 70, 100, 150], np.tile([0.05, 0.5, 5.0], 2), np.repeat([0.0, 0.5], 3)


def outcomes(rng, shift, sets=60, paired=True):
    """Return successes (sizes, schedules, data sets) whose logit has slope 5 in log N, threshold 60.

    Paired, the schedules of a data set nearly agree: each has the luck of the data set, seldom its own.
    """
    log_odds = 5 * (np.log(SIZES)[:, None] - np.log(60) - shift * np.log(RATES / 0.5))[:, :, None]
    luck = rng.uniform(size=(len(SIZES), 1, sets))
    own = rng.uniform(size=(len(SIZES), len(RATES), sets))
    alone = rng.uniform(size=own.shape) < 0.1
    return np.where(alone, own, luck) < expit(log_odds) if paired else own < expit(log_odds)


@pytest.mark.parametrize("shift, paired", [(0.0, True), (0.3, False)])
def test_the_effect_of_the_rate_is_found(shift, paired):
    """200 intervals at 95 % of the shift of log N₅₀ with log rate; fewer than 179 once in 1,000 seeds each.

    A true coverage of 86 % would be seen with a chance of 90 %.
    """
    rng = np.random.default_rng(4)
    found = [effects(SIZES, RATES, EXPONENTS, outcomes(rng, shift, paired=paired)) for _ in range(200)]
    assert covered([rate[1:] for rate, _ in found], shift) >= 179
    assert covered([exponent[1:] for _, exponent in found], 0.0) >= 179
