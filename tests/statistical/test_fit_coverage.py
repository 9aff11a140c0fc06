"""Intervals hold the truth as often as they say.

Each test draws counts from a known law and counts the 95 % intervals that hold the truth: 80 studies each,
with fixed seeds. Were the coverage as stated, a count outside the band would come with a probability of 1 %
(binomial), so after a change of code a test of this file goes off for nothing in 1 case of 100. It goes off
with a probability of 90 % where the true coverage is 81 %; after adaptive placement, of which 93 % is asked,
where it is 79 %.
"""

import numpy as np
from scipy.stats import binom

from sterling.study import fit_exponent
from sterling.study.place import Placement
from tests.unit.study.test_place import play

ALARM = 0.01
DRAWS = 80
ADAPTIVE = 0.93  # what placing and stopping by what was seen leaves of 95 % (measured: 93.4 % ± 0.6)
DIMENSIONS = np.array([8, 16, 32, 64])


def band(draws, level=0.95):
    """Return the counts of covering intervals outside of which the alarm goes off."""
    return binom.ppf(ALARM / 2, draws, level), binom.ppf(1 - ALARM / 2, draws, level)


def share(n, samples, constant=2.0, exponent=1.3, slope=3.0, growth=0.0):
    beta = slope * (n / 8.0) ** growth
    return 1 / (1 + (constant * n**exponent / samples) ** beta)


def test_intervals_of_exponent_and_constant():
    rng = np.random.default_rng(1)
    n = np.repeat(DIMENSIONS, 5)
    samples = np.round(2.0 * n**1.3 * np.tile([0.4, 0.65, 1.0, 1.5, 2.4], 4))
    trials = np.full(len(n), 60)
    exponent = constant = 0
    for _ in range(DRAWS):
        successes = rng.binomial(trials, share(n, samples, growth=0.4))
        fit = fit_exponent(n, samples, trials, successes, thresholds=False)
        exponent += fit.exponent_low <= 1.3 <= fit.exponent_high
        constant += fit.constant_low <= 2.0 <= fit.constant_high
    low, high = band(DRAWS)
    assert low <= exponent <= high
    assert low <= constant <= high


def test_intervals_after_adaptive_placement():
    """Placement and stopping look at the data, which costs coverage; whoever shows such a fit says so."""
    rng = np.random.default_rng(2)
    covered = 0
    for _ in range(DRAWS):
        placement = Placement((8, 16, 32, 64), width=0.2)
        play(placement, lambda n, size: share(n, size, growth=0.3), rng)
        assert placement.reason == "width reached"
        assert placement.fit is not None
        covered += placement.fit.exponent_low <= 1.3 <= placement.fit.exponent_high
    assert covered >= binom.ppf(ALARM, DRAWS, ADAPTIVE)


def test_the_test_of_curvature_has_its_size_and_its_power():
    """Straight thresholds are called bent in 1 % of the studies, clearly bent ones nearly always."""
    rng = np.random.default_rng(4)
    n = np.repeat(DIMENSIONS, 5)
    trials, ratios = np.full(len(n), 200), np.tile([0.4, 0.65, 1.0, 1.5, 2.4], 4)
    called = {}
    for bend in (0.0, 0.15):
        middle = 2.0 * n**1.3 * np.exp(bend * np.log(n / 16) ** 2)
        samples = np.round(middle * ratios)
        won = [rng.binomial(trials, 1 / (1 + (middle / samples) ** 3)) for _ in range(DRAWS)]
        called[bend] = sum(fit_exponent(n, samples, trials, one, thresholds=False).curved for one in won)
    assert called[0.0] <= binom.ppf(1 - ALARM / 2, DRAWS, 0.01)
    assert called[0.15] >= 0.9 * DRAWS
