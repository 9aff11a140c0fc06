"""Fits of N₅₀ = C·n^α: against statsmodels and SciPy, against known laws, and what is refused."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize

import sterling as st
from sterling.stats import jeffreys
from sterling.study import FitError, fit_exponent

DIMENSIONS = np.array([8, 16, 32, 64])
RATIOS = np.array([0.35, 0.6, 1.0, 1.6, 2.8])


@pytest.fixture
def statsmodels():
    """The oracle; it takes long to import."""
    return pytest.importorskip("statsmodels.api")


def thresholds(n, bend=0.0):
    return 2.0 * n**1.4 * np.exp(bend * np.log(n / 16) ** 2)


def drawn(trials=120, seed=0, bend=0.0, slope=3.0, growth=0.0):
    """Return counts (n, samples, trials, successes) drawn from thresholds 2·n^1.4 that may bend."""
    n = np.repeat(DIMENSIONS, len(RATIOS))
    middle = thresholds(n, bend)
    samples = np.round(middle * np.tile(RATIOS, len(DIMENSIONS)))
    share = 1 / (1 + (middle / samples) ** (slope * (n / 8) ** growth))
    won = np.random.default_rng(seed).binomial(trials, share)
    return n, samples, np.full(len(n), trials), won


def test_one_dimension_alone_is_the_model_of_statsmodels(statsmodels):
    """The threshold, its slope, and the likelihood ratio at the ends of its interval."""
    n, samples, trials, won = drawn()
    point = fit_exponent(n, samples, trials, won).thresholds[1]
    one = n == 16
    table = np.column_stack([won, trials - won])[one]
    family = statsmodels.families.Binomial()
    free = statsmodels.GLM(table, statsmodels.add_constant(np.log(samples[one])), family=family).fit()
    shift, slope = free.params
    assert point.samples == pytest.approx(math.exp(-shift / slope), rel=1e-4)
    assert point.slope == pytest.approx(slope, rel=1e-4)
    for end in (point.low, point.high):
        held = statsmodels.GLM(table, np.log(samples[one] / end), family=family).fit()
        assert 2 * (free.llf - held.llf) == pytest.approx(3.8415, abs=2e-3)


def naive_loss(parameters, n, samples, trials, won, bends=True):
    """Minus the log-likelihood, from its definition, less a constant."""
    constant, exponent, log_slope, growth, *bend = parameters
    middle = constant + exponent * np.log(n) + (bend[0] * np.log(n) ** 2 if bend else 0.0)
    eta = np.exp(log_slope + growth * np.log(n)) * (np.log(samples) - middle)
    return -np.sum(won * -np.logaddexp(0, -eta) + (trials - won) * -np.logaddexp(0, eta))


def test_the_power_law_is_the_maximum_that_scipy_finds():
    counts = drawn(seed=1, growth=0.3)
    fit = fit_exponent(*counts)
    options = {"xatol": 1e-8, "fatol": 1e-10, "maxiter": 20_000, "maxfev": 20_000}
    best = minimize(naive_loss, [0.5, 1.2, 1.0, 0.0], counts, "Nelder-Mead", options=options)
    assert fit.exponent == pytest.approx(best.x[1], abs=1e-4)
    assert fit.constant == pytest.approx(math.exp(best.x[0]), rel=1e-3)
    assert fit.slope_at[64] == pytest.approx(math.exp(best.x[2] + best.x[3] * math.log(64)), rel=1e-3)
    for end in (fit.exponent_low, fit.exponent_high):
        held = minimize(
            lambda x, end=end: naive_loss([x[0], end, *x[1:]], *counts),
            np.delete(best.x, 1),
            method="Nelder-Mead",
            options=options,
        )
        assert 2 * (held.fun - best.fun) == pytest.approx(3.8415, abs=1e-2)
    bent = minimize(naive_loss, [*best.x, 0.0], counts, "Nelder-Mead", options=options)
    assert fit.p_value == pytest.approx(math.erfc(math.sqrt(best.fun - bent.fun)), abs=1e-3)


def test_jeffreys_is_that_of_statsmodels(statsmodels):
    proportion_confint = statsmodels.stats.proportion_confint
    k = np.array([1, 5, 19, 50])
    t = np.array([20, 20, 20, 1000])
    np.testing.assert_allclose(jeffreys(k, t), proportion_confint(k, t, method="jeffreys"), rtol=1e-9)
    low, high = jeffreys([0, 20], [20, 20])
    assert (low[0], high[1]) == (0.0, 1.0)


def test_thresholds_that_bend_refute_a_power_law():
    fit = fit_exponent(*drawn(4000, seed=1, bend=0.35))
    assert fit.curved
    assert fit.p_value < 1e-6
    assert any("curvature" in note for note in fit.notes)
    top = fit.top_exponent
    assert top is not None
    assert (top.n, top.next_n) == (32, 64)
    truth = math.log(thresholds(64, 0.35) / thresholds(32, 0.35)) / math.log(2)
    assert top.low < truth < top.high
    assert top.high - top.low < 0.2


def test_one_size_with_successes_and_failures_bounds_no_threshold_alone():
    """Between no success and one in forty at the next size any steep curve does: its middle means nothing."""
    n, samples = np.repeat([8, 16], 4), np.tile([16, 32, 64, 128], 2)
    fit = fit_exponent(n, samples, np.full(8, 40), np.array([4, 8, 20, 30, 0, 0, 0, 1]))
    assert [one.n for one in fit.thresholds] == [8]
    assert fit.top_exponent is None
    between = fit_exponent(n, samples, np.full(8, 40), np.array([4, 8, 20, 30, 0, 0, 20, 40]))
    assert [one.n for one in between.thresholds] == [8, 16]  # all failed below, all succeeded above
    assert 32 < between.thresholds[1].low < 64 < between.thresholds[1].high < 128


@pytest.mark.parametrize(
    "rows, words",
    [
        ([], "no trials"),
        ([(8, 10, 5, 2), (8, 20, 5, 4)], "at least two dimensions"),
        ([(8, 10, 5, 2), (8, 20, 5, 4), (16, 10, 5, 0), (16, 20, 5, 0)], "n = 16 no trial .*larger"),
        ([(8, 10, 5, 2), (8, 20, 5, 4), (16, 10, 5, 5)], "at n = 16 every trial .*smaller"),
        ([(8, 10, 5, 2), (8, 20, 5, 4), (16, 10, 5, 0), (16, 20, 5, 5)], "up to N = 10 and .* from 20 on"),
        ([(8, 10, 5, 2), (8, 20, 5, 4), (16, 10, 5, 2)], "one sample size"),
        ([(8, 10, 50, 40), (8, 20, 50, 9), (16, 10, 50, 40), (16, 20, 50, 9)], "not become more frequent"),
    ],
)
def test_what_the_data_cannot_carry_is_refused_with_the_reason(rows, words):
    columns = list(zip(*rows, strict=True)) or [[], [], [], []]
    with pytest.raises(FitError, match=words):
        fit_exponent(*columns)


GOOD = {"n": [8, 8, 16, 16], "samples": [8, 32, 16, 64], "trials": [20] * 4, "successes": [5, 15, 5, 15]}


@pytest.mark.parametrize(
    "change",
    [
        {"successes": [5, 25, 5, 15]},
        {"successes": [5, math.nan, 5, 15]},
        {"successes": [5, 15, 5]},
        {"undecided": [0, 6, 0, 0]},
        {"samples": [8, 0, 16, 64]},
    ],
)
def test_impossible_counts_are_refused(change):
    """W10: 25 successes of 20, NaN and unequal lengths were believed."""
    (name,) = change
    with pytest.raises(st.InputError, match=name):
        fit_exponent(**{**GOOD, **change})
