"""The rules behind the verdicts, on made-up numbers: each verdict can be reached, where it should."""

import math
from dataclasses import replace

import numpy as np
import pytest

from sterling.claims.finding import Judgement
from sterling.claims.input_laws import judge_families
from sterling.claims.judge import above, against_bound, all_of, near, stretched
from sterling.claims.learning_rates import judge_rates
from sterling.claims.mean_gradient import judge_slope
from sterling.claims.returns import judge_recurrence
from sterling.claims.statistics import quantile_interval, share_interval, t_interval
from sterling.claims.surrogate_choice import judge_ratio
from sterling.study.fit import fit_exponent

CONSISTENT, FAR, CONTRADICTED, OPEN = (
    Judgement.CONSISTENT,
    Judgement.FAR_INSIDE,
    Judgement.CONTRADICTED,
    Judgement.NOT_DECIDED,
)


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (1.1, 1.3, FAR),
        (1.1, 1.49, FAR),
        (1.1, 1.51, CONSISTENT),
        (1.8, 2.0, CONSISTENT),
        (1.9, 2.1, OPEN),
        (2.1, 2.3, CONTRADICTED),
        (-math.inf, 1.2, OPEN),
        (1.0, math.inf, OPEN),
        (math.nan, math.nan, OPEN),
    ],
)
def test_an_exponent_is_judged_by_its_bound(low, high, expected):
    assert against_bound(high, low, 2.0) is expected


@pytest.mark.parametrize(
    "low, high, expected",
    [(-0.52, -0.48, CONSISTENT), (-0.6, -0.48, OPEN), (-0.44, -0.4, CONTRADICTED), (math.nan, 0, OPEN)],
)
def test_a_number_is_judged_near_a_value(low, high, expected):
    assert near(low, high, -0.5, 0.05) is expected


@pytest.mark.parametrize(
    "low, high, expected", [(0.6, 1, CONSISTENT), (0.4, 1, OPEN), (0, 0.4, CONTRADICTED)]
)
def test_a_number_is_judged_above_a_value(low, high, expected):
    assert above(low, high, 0.5) is expected


def test_the_worst_part_decides():
    assert all_of(FAR, FAR) is FAR
    assert all_of(FAR, CONSISTENT) is CONSISTENT
    assert all_of(FAR, OPEN) is OPEN
    assert all_of(OPEN, CONTRADICTED, FAR) is CONTRADICTED
    assert all_of() is OPEN


def some_fit():
    n = np.repeat([8, 16, 32], 5)
    samples = (n * np.tile([1, 2, 3, 4, 6], 3)).astype(int)
    return fit_exponent(n, samples, np.full(15, 40), np.tile([4, 12, 20, 28, 36], 3))


def test_a_poor_fit_gets_a_wider_interval():
    fit = some_fit()
    good = replace(fit, p_value=0.5, deviance=90.0, expected_deviance=10.0)
    assert stretched(good) == (fit.exponent_low, fit.exponent_high)
    low, high = stretched(replace(good, p_value=1e-6))
    assert high - fit.exponent == pytest.approx(3 * (fit.exponent_high - fit.exponent))
    assert fit.exponent - low == pytest.approx(3 * (fit.exponent - fit.exponent_low))


def row(none, standard, whiten):
    return {"none": none, "standard": standard, "whiten": whiten}


HIGH, MIDDLE, LOW = (0.9, 1.0), (0.4, 0.6), (0.0, 0.1)


@pytest.mark.parametrize(
    "rows, expected",
    [
        ([row(HIGH, HIGH, HIGH), row(LOW, HIGH, HIGH)], CONSISTENT),
        ([row(LOW, LOW, HIGH), row(LOW, HIGH, MIDDLE)], CONSISTENT),
        ([row(HIGH, HIGH, HIGH)], CONTRADICTED),
        ([row(LOW, LOW, LOW), row(LOW, HIGH, HIGH)], CONTRADICTED),
        ([row(LOW, LOW, MIDDLE)], OPEN),
        ([row(MIDDLE, HIGH, HIGH)], OPEN),
    ],
)
def test_input_laws_are_judged_by_what_fails_and_what_restores(rows, expected):
    judgement, healed = judge_families({str(number): one for number, one in enumerate(rows)})
    assert judgement is expected
    assert list(healed) == [str(number) for number, one in enumerate(rows) if one["none"] == LOW]


def test_correlated_gaussians_are_no_evidence_about_other_laws():
    table = {"uniform": row(HIGH, HIGH, HIGH), "ar1:0.98": row(LOW, LOW, HIGH)}
    assert judge_families(table, normal=["ar1:0.98"])[0] is OPEN
    assert judge_families(table)[0] is CONSISTENT


def test_what_restores_a_family_is_named():
    assert judge_families({"x": row(LOW, MIDDLE, HIGH)})[1] == {"x": ["whiten"]}


@pytest.mark.parametrize(
    "meeting, failing, expected",
    [
        ([(60, 0, 60)], [(60, 5, 0)], CONSISTENT),
        ([(60, 0, 60)], [(60, 0, 60)], OPEN),
        ([(60, 1, 59)], [(60, 5, 0)], CONTRADICTED),
        ([(60, 0, 5)], [(60, 5, 0)], CONTRADICTED),
        ([(60, 0, 31)], [(60, 5, 0)], OPEN),
    ],
)
def test_step_sizes_are_judged_by_who_stalls(meeting, failing, expected):
    assert judge_rates(meeting, failing) is expected


@pytest.mark.parametrize(
    "low, high, expected",
    [(0.99, 1.01, CONSISTENT), (0.9, 1.1, OPEN), (1.001, 1.01, CONTRADICTED), (-math.inf, math.inf, OPEN)],
)
def test_a_slope_is_judged(low, high, expected):
    assert judge_slope(low, high) is expected


def test_recurrence_is_judged_by_growth_and_the_exact_check():
    assert judge_recurrence(0.98, 1.01, exact=True) is CONSISTENT
    assert judge_recurrence(0.98, 1.01, exact=False) is CONTRADICTED
    assert judge_recurrence(0.1, 0.4, exact=True) is CONTRADICTED
    assert judge_recurrence(0.3, 0.9, exact=True) is OPEN
    assert judge_recurrence(math.nan, math.nan, exact=True) is OPEN


@pytest.mark.parametrize(
    "low, high, expected",
    [
        (0.5, 0.7, CONSISTENT),
        (0.3, 0.9, CONSISTENT),
        (0.6, 0.9, OPEN),
        (0.4, 1.2, OPEN),
        (1.1, 1.4, CONTRADICTED),
        (0.1, 0.3, CONTRADICTED),
        (0.75, 0.9, CONTRADICTED),
        (math.nan, math.nan, OPEN),
    ],
)
def test_a_ratio_of_samples_is_judged(low, high, expected):
    assert judge_ratio(low, high, predicted=0.55) is expected


def test_intervals_of_few_values_say_so():
    assert np.isnan(t_interval(np.array([]))).all()
    assert t_interval(np.array([2.0])) == (2.0, -math.inf, math.inf)
    assert np.isnan(share_interval(0, 0)).all()
    middle, low, high = quantile_interval(np.arange(5.0), 0.9)
    assert middle == pytest.approx(3.6)
    assert low < middle
    assert math.isnan(high)


def test_a_t_interval_is_the_textbook_one():
    value, low, high = t_interval(np.array([1.0, 2.0, 3.0]))
    assert value == 2.0
    assert high - value == pytest.approx(4.302652729911275 / math.sqrt(3))
    assert value - low == pytest.approx(high - value)
