"""The rules behind the verdicts, on made-up numbers: each verdict can be reached, where it should."""

import math

import numpy as np
import polars as pl
import pytest

from sterling.claims import concentration, judge, step_sizes
from sterling.claims.concentration import traps_in_words
from sterling.claims.finding import Judgement, Measured
from sterling.claims.input_laws import families_rule, in_order, judge_families
from sterling.claims.judge import above, against_bound, all_of, bound_rule, near, near_rule
from sterling.claims.learning_rates import judge_rates, rates_rule
from sterling.claims.mean_gradient import WIDEST, judge_slope, slope_rule
from sterling.claims.returns import GROWTH, judge_recurrence, recurrence_rule
from sterling.claims.returns_plots import times_in_words
from sterling.claims.statistics import clustered_correlation, quantile_interval, share_interval, t_interval
from sterling.claims.step_sizes import factor_rule
from sterling.claims.surrogate_choice import TOLERANCE, best_in_words, judge_ratio, ratio_rule

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
    assert high == math.inf


def test_a_t_interval_is_the_textbook_one():
    value, low, high = t_interval(np.array([1.0, 2.0, 3.0]))
    assert value == 2.0
    assert high - value == pytest.approx(4.302652729911275 / math.sqrt(3))
    assert value - low == pytest.approx(high - value)


# -- the rules in words --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text, numbers",
    [
        (bound_rule("the exponent", 2.0), (judge.FAR, 2)),
        (near_rule("β", concentration.RATE, concentration.TOLERANCE), ("−0.55", "−0.45")),
        (factor_rule(), (1 / step_sizes.FACTOR, step_sizes.FACTOR)),
        (recurrence_rule(), (GROWTH,)),
        (slope_rule(7), (7, WIDEST, "99.9\N{NO-BREAK SPACE}%")),
        (rates_rule(), ("50\N{NO-BREAK SPACE}%",)),
        (families_rule(1221), ("1,221", "50\N{NO-BREAK SPACE}%")),
        (ratio_rule(0.57446), ("0.5745", TOLERANCE)),
    ],
)
def test_rules_in_words_have_the_numbers_of_the_code(text, numbers):
    for one in numbers:
        assert (one if isinstance(one, str) else f"{one:g}") in text
    for word in ("onsistent", "ontradicted", "not decided otherwise"):
        assert word in text


# -- what is said of data ------------------------------------------------------------------------------------


def test_the_claim_about_other_laws_is_headed_by_one():
    families = ("gaussian", "uniform", "shifted:1", "rectified", "ar1:0.9")
    normal = ("gaussian", "shifted:1", "ar1:0.9")
    order = in_order(families, ["shifted:1", "rectified"], normal)
    assert order == ["rectified", "shifted:1", "gaussian", "uniform", "ar1:0.9"]
    assert in_order(families, ["shifted:1"], normal)[:2] == ["uniform", "shifted:1"]


def test_traps_are_told_of_the_data_sets_tried():
    rows = [(8, 10, 5, 5), (8, 20, 5, 4), (8, 40, 5, 5), (8, 80, 5, 5), (10, 80, 5, 4)]
    shares = pl.DataFrame(rows, ["n", "samples", "data_sets", "trap_free"], orient="row")
    assert traps_in_words(shares) == (
        "Trap free among the data sets tried: all 10 with N of 40 or more at n = 8; not all at the largest N "
        "at "
        "n = 10."
    )


@pytest.mark.parametrize("low, told", [(0.01, "is 0.0"), (-0.01, "is not told from none: 0.0")])
def test_the_best_surrogate_is_told_with_its_lead(low, told):
    rows = [("relu", 0.5), ("identity", 0.6), ("hard_tanh", 0.64)]
    table = pl.DataFrame(rows, ["surrogate", "occupancy"], orient="row")
    lead = Measured("lead", 0.04, low, 0.09)
    assert f"its lead over the identity {told}" in best_in_words(table, lead)
    assert "lead" not in best_in_words(table, None)


def test_times_in_words_are_quantiles_of_all_absences():
    times = pl.DataFrame(
        {
            "n": 8,
            "samples": 50,
            "instance": [0, 0, 1],
            "return_times": [1, 3, 900],
            "return_counts": [150, 49, 1],
        }
    )
    assert times_in_words(times).endswith("n = 8, N = 50: 1, 3 and 900.")


def test_a_correlation_is_bounded_by_resampling_whole_clusters():
    rng = np.random.default_rng(0)
    cluster = np.repeat(np.arange(20), 10)
    x = rng.standard_normal(200)
    y = x + rng.standard_normal(200)
    value, low, high = clustered_correlation(x, y, cluster)
    assert value == pytest.approx(np.corrcoef(x, y)[0, 1])
    assert low < value < high
    assert clustered_correlation(x, y, cluster) == (value, low, high)
    z = math.atanh(value)
    assert math.atanh(high) - z == pytest.approx(1.96 / math.sqrt(197), rel=0.5)
    assert np.isnan(clustered_correlation(x, y, np.zeros(200))[1:]).all()
    assert np.isnan(clustered_correlation(x, np.ones(200), cluster)).all()
