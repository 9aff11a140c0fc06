"""Fits of N₅₀ = C·n^α: against statsmodels, against known laws, and what is refused."""

import math

import numpy as np
import pytest

import sterling as st
from sterling.stats import jeffreys
from sterling.study import FitError, fit_exponent
from sterling.study.likelihood import Counts, goodness_of_fit

DIMENSIONS = np.array([8, 16, 32, 64])
RATIOS = np.array([0.35, 0.6, 1.0, 1.6, 2.8])


@pytest.fixture
def statsmodels():
    """The oracle; it takes long to import."""
    return pytest.importorskip("statsmodels.api")


def drawn(constant=2.0, exponent=1.4, slope=3.0, trials=120, seed=0, loglog=0.0):
    """Return counts (n, samples, trials, successes) drawn from a law."""
    n = np.repeat(DIMENSIONS, len(RATIOS))
    middle = constant * n**exponent * np.log(n) ** loglog
    samples = np.round(middle * np.tile(RATIOS, len(DIMENSIONS)))
    share = 1 / (1 + (middle / samples) ** slope)
    return (
        n,
        samples,
        np.full(len(n), trials),
        np.random.default_rng(seed).binomial(trials, share),
    )


def test_one_slope_is_the_model_of_statsmodels(statsmodels):
    n, samples, trials, successes = drawn()
    fit = fit_exponent(n, samples, trials, successes, slopes="common")
    design = statsmodels.add_constant(np.column_stack([np.log(samples), np.log(n)]))
    table = np.column_stack([successes, trials - successes])
    other = statsmodels.GLM(table, design, family=statsmodels.families.Binomial()).fit()
    shift, slope, turn = other.params
    assert fit.exponent == pytest.approx(-turn / slope, rel=1e-5)
    assert fit.constant == pytest.approx(math.exp(-shift / slope), rel=1e-4)
    assert fit.slope_at[8] == pytest.approx(slope, rel=1e-5)
    assert fit.log_likelihood == pytest.approx(other.llf, abs=1e-6)
    assert fit.deviance == pytest.approx(other.deviance, abs=1e-6)
    assert fit.aic == pytest.approx(other.aic, abs=1e-5)


def test_the_profile_is_the_likelihood_ratio_of_statsmodels(statsmodels):
    """At the ends of α's interval the constrained GLM has lost χ²₀.₉₅/2 of log-likelihood."""
    n, samples, trials, successes = drawn(seed=1)
    fit = fit_exponent(n, samples, trials, successes, slopes="common")
    table = np.column_stack([successes, trials - successes])
    for end in (fit.exponent_low, fit.exponent_high):
        design = statsmodels.add_constant(np.log(samples) - end * np.log(n))
        held = statsmodels.GLM(table, design, family=statsmodels.families.Binomial()).fit()
        assert 2 * (fit.log_likelihood - held.llf) == pytest.approx(3.8415, abs=2e-3)


def test_jeffreys_is_that_of_statsmodels(statsmodels):
    proportion_confint = statsmodels.stats.proportion_confint
    k = np.array([1, 5, 19, 50])
    t = np.array([20, 20, 20, 1000])
    np.testing.assert_allclose(jeffreys(k, t), proportion_confint(k, t, method="jeffreys"), rtol=1e-9)
    low, high = jeffreys([0, 20], [20, 20])
    assert (low[0], high[1]) == (0.0, 1.0)


def test_the_truth_is_found_and_rivals_are_ranked():
    fit = fit_exponent(*drawn(trials=2000, seed=2))
    assert fit.exponent_low < 1.4 < fit.exponent_high
    assert fit.constant_low < 2.0 < fit.constant_high
    assert fit.width < 0.06
    assert fit.p_value > 0.001
    assert min(rival.delta for rival in fit.rivals) > 10
    assert [point.n for point in fit.thresholds] == DIMENSIONS.tolist()
    assert fit.middle_at == pytest.approx({n: fit.samples_at(n) for n in DIMENSIONS.tolist()}, rel=1e-5)
    for point in fit.thresholds:
        assert point.low < 2 * point.n**1.4 < point.high


def test_the_rival_wins_where_it_is_true():
    fit = fit_exponent(*drawn(exponent=1.0, loglog=1.0, trials=4000, seed=3))
    rival = {one.law: one for one in fit.rivals}["C n log n"]
    assert rival.delta < -2
    assert rival.constant == pytest.approx(2.0, rel=0.05)


def test_slopes_that_grow_are_seen():
    n, samples, trials, _ = drawn(trials=1000)
    slope = 1.5 * (n / 8) ** 0.5
    share = 1 / (1 + (2 * n**1.4 / samples) ** slope)
    successes = np.random.default_rng(4).binomial(trials, share)
    fit = fit_exponent(n, samples, trials, successes)
    assert fit.slopes in ("power", "free")
    assert fit.slope_at[64] == pytest.approx(1.5 * 8**0.5, rel=0.1)


def test_a_curve_that_does_not_fit_is_called_so():
    n, samples, trials, _ = drawn(trials=1000)
    share = np.where(samples < 2 * n**1.4, 0.3, 0.8)
    fit = fit_exponent(n, samples, trials, np.round(share * trials))
    assert fit.p_value < 1e-6
    assert any("fits poorly" in note for note in fit.notes)
    assert fit.stretch == pytest.approx(math.sqrt(fit.deviance / fit.expected_deviance))


def bent(n, bend=0.35):
    """Return thresholds that no power law has: log N₅₀ bends upwards over log n."""
    return 2 * n**1.4 * np.exp(bend * (np.log(n / 16) ** 2))


def drawn_bent(trials=400, seed=0, weights=(1, 1, 1, 1)):
    n = np.repeat(DIMENSIONS, len(RATIOS))
    samples = np.round(bent(n) * np.tile(RATIOS, len(DIMENSIONS)))
    share = 1 / (1 + (bent(n) / samples) ** 3.0)
    trials = trials * np.repeat(weights, len(RATIOS))
    return n, samples, trials, np.random.default_rng(seed).binomial(trials, share)


def test_where_no_power_law_holds_the_exponent_is_the_slope_of_the_line_nearest_to_the_thresholds():
    fit = fit_exponent(*drawn_bent(seed=1), slopes="free")
    assert fit.curved
    assert fit.power_p_value < 1e-6 < fit.p_value
    assert fit.stretch == 1
    middles = [math.log(point.samples) for point in fit.thresholds]
    slope, start = np.polyfit(np.log(DIMENSIONS), middles, 1)
    assert fit.exponent == pytest.approx(slope, abs=1e-5)
    assert math.log(fit.constant) == pytest.approx(start, abs=1e-4)
    for point in fit.thresholds:  # what is drawn through the points is the fit, not the line
        assert fit.middle_at[point.n] == pytest.approx(point.samples, rel=1e-4)
        assert fit.slope_at[point.n] == pytest.approx(point.slope, rel=1e-3)
    truth = np.polyfit(np.log(DIMENSIONS), np.log(bent(DIMENSIONS)), 1)[0]
    assert fit.exponent_low < truth < fit.exponent_high
    assert "no power law fits" in fit.curvature
    assert any("mean exponent" in note for note in fit.notes)


def test_the_mean_exponent_does_not_depend_on_where_the_trials_are():
    """Ten times the trials at one end move the power law's exponent by far, the mean exponent by noise."""
    one, other = (
        fit_exponent(*drawn_bent(4000, seed, weights))
        for seed, weights in enumerate([(10, 1, 1, 1), (1, 1, 1, 10)])
    )
    assert one.curved
    assert other.curved
    assert abs(one.exponent - other.exponent) < one.width + other.width


def test_local_exponents_lie_between_neighbours():
    fit = fit_exponent(*drawn_bent(4000))
    assert [(one.n, one.next_n) for one in fit.local_exponents] == [(8, 16), (16, 32), (32, 64)]
    truth = np.diff(np.log(bent(DIMENSIONS))) / math.log(2)
    for one, value in zip(fit.local_exponents, truth, strict=True):
        assert one.low < value < one.high
        assert one.high - one.low < 0.2


def test_one_size_with_successes_and_failures_tells_no_threshold_alone():
    """Between no success and one in forty at the next size any steep curve does: its middle means nothing."""
    n, samples = np.repeat([8, 16], 4), np.tile([16, 32, 64, 128], 2)
    fit = fit_exponent(n, samples, np.full(8, 40), np.array([4, 8, 20, 30, 0, 0, 0, 1]))
    assert [one.n for one in fit.thresholds] == [8]
    assert fit.middle_at[16] > 1000
    between = fit_exponent(n, samples, np.full(8, 40), np.array([4, 8, 20, 30, 0, 0, 20, 40]))
    assert [one.n for one in between.thresholds] == [8, 16]  # all failed below, all succeeded above
    assert 32 < between.thresholds[1].low < 64 < between.thresholds[1].high < 128


def test_undecided_trials_are_treated_as_told():
    n, samples, trials, successes = drawn(seed=5)
    undecided = np.minimum(20, trials - successes)
    as_failures = fit_exponent(n, samples, trials, successes, undecided)
    assert as_failures.trials == trials.sum()
    assert any("count as failures" in note for note in as_failures.notes)
    left_out = fit_exponent(n, samples, trials, successes, undecided, treatment="left out")
    assert left_out.trials == trials.sum() - undecided.sum()
    assert left_out.samples_at(16) < as_failures.samples_at(16)
    with pytest.raises(st.InputError, match="treatment is 'ignored'"):
        fit_exponent(n, samples, trials, successes, treatment="ignored")


@pytest.mark.parametrize(
    "rows, words",
    [
        ([], "no trials"),
        ([(8, 10, 5, 2), (8, 20, 5, 4)], "at least two dimensions"),
        ([(8, 10, 5, 2), (8, 20, 5, 4), (16, 10, 5, 0), (16, 20, 5, 0)], "no success at n = 16"),
        ([(8, 10, 5, 2), (8, 20, 5, 4), (16, 10, 5, 5)], "no failure at n = 16"),
        (
            [(8, 10, 5, 2), (8, 20, 5, 4), (16, 10, 5, 0), (16, 20, 5, 5)],
            "a jump .* at n = 16",
        ),
        ([(8, 10, 50, 40), (8, 20, 50, 9), (16, 10, 50, 40), (16, 20, 50, 9)], "not become more frequent"),
    ],
)
def test_what_the_data_cannot_carry_is_refused_with_the_reason(rows, words):
    columns = list(zip(*rows, strict=True)) or [[], [], [], []]
    with pytest.raises(FitError, match=words):
        fit_exponent(*columns)


def test_goodness_of_fit_has_the_right_size_where_nearly_all_succeed():
    """The p-value is uniform enough: below 0.05 in about 5 % of 2000 draws (99.99 % band)."""
    rng = np.random.default_rng(6)
    share = np.array([0.01, 0.05, 0.3, 0.6, 0.97, 0.995, 0.999] * 4)
    trials = np.full(len(share), 24)
    low = 0
    for _ in range(2000):
        counts = Counts.of(np.ones(len(share)), np.ones(len(share)), trials, rng.binomial(trials, share))
        low += goodness_of_fit(counts, share, 0)[2] < 0.05
    assert 55 < low < 150


def test_a_fit_is_plain_values_and_short_in_print():
    fit = fit_exponent(*drawn(seed=7))
    values = fit.to_dict()
    assert values["width"] == pytest.approx(values["exponent_high"] - values["exponent_low"])
    assert repr(fit).startswith("ExponentFit(α=")
