"""The rules behind the verdicts, on made-up numbers: each verdict can be reached, where it should."""

import math
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

import sterling as st
from sterling.claims.experiments import (
    concentration,
    constants,
    fresh_data,
    input_distributions,
    levels,
    optimisers,
    restart,
    returns,
    step_sizes,
    threshold,
)
from sterling.claims.finding import Judgement
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.scaling import growth_rule
from sterling.returns.counts import mark_steps
from sterling.study import Cell
from sterling.study.trial import run_trial, trial_seeds

CONSISTENT, FAR, CONTRADICTED, OPEN = (
    Judgement.CONSISTENT,
    Judgement.FAR_INSIDE,
    Judgement.CONTRADICTED,
    Judgement.NOT_DECIDED,
)

#: Each rule on pieces of evidence, with the judgement that it must come to.
JUDGED = [
    (growth_rule("the exponent", 2.0), (1.1, 1.49, 0), FAR),
    (growth_rule("the exponent", 2.0), (1.1, 1.51, 0), CONSISTENT),
    (growth_rule("the exponent", 2.0), (-math.inf, 1.2, 0), OPEN),
    # A finite budget contradicts nothing that more steps could mend.
    (growth_rule("the exponent", 2.0), (2.1, 2.3, 7), OPEN),
    (growth_rule("the exponent", 2.0), (1.0, 1.2, 7), FAR),
    (concentration.RULE, (-0.52, -0.48), CONSISTENT),
    (concentration.RULE, (-0.6, -0.48), OPEN),
    (concentration.RULE, (-0.44, -0.4), CONTRADICTED),
    # Recurrence: growth, the exact check, runs that stopped, the share proved, runs that a proof forbids.
    (returns.RULE, (0.98, 1.01, True, 0, 0.9, 0), CONSISTENT),
    (returns.RULE, (0.98, 1.01, True, 1, 0.9, 0), OPEN),
    (returns.RULE, (0.98, 1.01, False, 0, 0.9, 0), CONTRADICTED),
    (returns.RULE, (0.98, 1.01, True, 0, 0.9, 1), CONTRADICTED),
    (returns.RULE, (0.98, 1.01, True, 0, 0.4, 0), OPEN),  # proofs that are missed contradict nothing
    (returns.RULE, (0.3, 0.9, True, 0, 0.9, 0), OPEN),
    (constants.RULE, (-0.1, 0.05, 0), CONSISTENT),
    (constants.RULE, (0.2, 0.3, 0), OPEN),  # a growing constant contradicts nothing
    (constants.RULE, (-0.1, 0.05, 1), CONTRADICTED),
    (fresh_data.RULE, ((0.99, 1.01), (0.45, 0.6), (0.5, 0.9)), CONSISTENT),
    (fresh_data.RULE, ((0.99, 1.01), (0.45, 0.8), (0.5, 0.9)), OPEN),
    (fresh_data.RULE, ((0.99, 1.01), (0.9, 1.0), (0.5, 0.9)), CONTRADICTED),
    (fresh_data.RULE, ((0.99, 1.01), (0.45, 0.6), (1.1, 1.3)), CONTRADICTED),
    (restart.RULE, ((0.95, 1.05), (1.0, 1.1)), CONSISTENT),
    (restart.RULE, ((0.7, 1.2), (1.0, 1.1)), OPEN),
    (restart.RULE, ((1.4, 1.6), (1.0, 1.1)), CONTRADICTED),
    (step_sizes.RULE, (0.8, 1.3, 0), CONSISTENT),
    (step_sizes.RULE, (0.8, 1.3, 1), CONTRADICTED),
    (step_sizes.RULE, (2.1, 2.5, 0), CONTRADICTED),
    (step_sizes.RULE, (0.4, 1.0, 0), OPEN),
    (levels.RULE, ((0.01, 0.008, 0.016), (0.9995, 0.998, 0.9999)), CONSISTENT),
    (levels.RULE, ((0.02, 0.01, 0.03), (0.9995, 0.998, 0.9999)), OPEN),
    (levels.RULE, ((0.03, 0.02, 0.04), (0.9995, 0.998, 0.9999)), CONTRADICTED),
    (optimisers.RULE, (True, (0.005, 0.004, 0.007), (0.996, 0.994, 0.998)), CONSISTENT),
    (optimisers.RULE, (True, (0.007, 0.004, 0.010), (0.996, 0.994, 0.998)), OPEN),
    (optimisers.RULE, (True, (0.009, 0.007, 0.011), (0.996, 0.994, 0.998)), CONTRADICTED),
    (optimisers.RULE, (False, (0.1, 0.09, 0.2), (0.5, 0.3, 0.7)), CONSISTENT),
    (optimisers.RULE, (False, (0.004, 0.003, 0.005), (0.998, 0.997, 0.999)), CONTRADICTED),
    # The shares of the factorial, the damped exponent, its law, the plain exponent.
    (threshold.RULE, ([(1.0, 0.0, 0.1)], (1.3, 1.2, 1.4), 1.28, (2.9, 2.7, 3.1)), CONSISTENT),
    (threshold.RULE, ([(0.8, 0.0, 0.1)], (1.3, 1.2, 1.4), 1.28, (2.9, 2.7, 3.1)), OPEN),
    (threshold.RULE, ([(1.0, 0, 0), (0.2, 0.3, 0)], (1.3, 1.2, 1.4), 1.28, (2.9, 2.7, 3.1)), CONTRADICTED),
    (threshold.RULE, ([(1.0, 0.0, 0.1)], (1.6, 1.5, 1.7), 1.28, (2.9, 2.7, 3.1)), CONTRADICTED),
    (threshold.RULE, ([(1.0, 0.0, 0.1)], (1.3, 1.2, 1.4), 1.28, (1.3, 1.2, 1.4)), OPEN),
]


@pytest.mark.parametrize("rule, evidence, expected", JUDGED)
def test_each_rule_comes_to_each_judgement(rule, evidence, expected):
    assert rule.judge([evidence]) is expected
    assert bool(rule.missing([evidence])) == (expected is OPEN)


def test_the_worst_piece_of_evidence_decides():
    rule = growth_rule("the exponent", 2.0)
    far, inside, open_, above = (1.0, 1.2, 0), (1.8, 1.9, 0), (1.5, 2.5, 0), (2.1, 2.3, 0)
    assert rule.judge([far, far]) is FAR
    assert rule.judge([far, inside]) is CONSISTENT
    assert rule.judge([far, open_]) is OPEN
    assert rule.judge([open_, above, far]) is CONTRADICTED
    assert rule.judge([]) is OPEN


def test_a_rule_says_what_is_missing_where_it_decides_nothing():
    rule = Rule(
        (
            consistent("x is above 1", lambda x, y: x > 1, "y is above 1", lambda x, y: y > 1),
            contradicted("y is negative", lambda x, y: y < 0),
        )
    )
    assert "(1) X is above 1. (2) Y is above 1." in rule.words
    assert rule.missing([(2, 2), (0, 2)]) == ("x is above 1",)
    assert rule.missing([(0, 0), (2, 0)]) == ("x is above 1", "y is above 1")
    assert rule.missing([(2, 2), (0, -1)]) == ()


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
def test_input_distributions_are_judged_by_what_fails_and_what_restores(rows, expected):
    shares = {str(number): one for number, one in enumerate(rows)}
    assert input_distributions.rule(100).judge([(shares, [])]) is expected
    assert list(input_distributions.restored(shares)) == [
        str(number) for number, one in enumerate(rows) if one["none"] == LOW
    ]


def test_correlated_gaussians_are_no_evidence_about_other_laws():
    table = {"uniform": row(HIGH, HIGH, HIGH), "ar1:0.98": row(LOW, LOW, HIGH)}
    assert input_distributions.rule(100).judge([(table, ["ar1:0.98"])]) is OPEN
    assert input_distributions.rule(100).judge([(table, [])]) is CONSISTENT


def test_visits_that_stop_are_not_recurrence():
    """Visits that grow like T and stop at a tenth of the run passed with an exponent of 0.51."""
    steps = mark_steps()[mark_steps() <= 10**6]
    visits = [steps // 50, np.minimum(steps, 10**5) // 50]
    assert returns.stopped_runs(pl.DataFrame({"mark_steps": [steps, steps], "mark_visits": visits})) == 1
    assert returns.RULE.judge([(0.505, 0.515, True, 1, 0.9, 0)]) is OPEN


def test_runs_left_open_are_counted_both_ways():
    trials = pl.DataFrame(
        {
            "samples": [10] * 4 + [20] * 4,
            "schedule": ["a", "b"] * 4,
            "trial": [0, 0, 1, 1] * 2,
            "verdict": ["TRAPPED", "WANDERING", "TRAPPED", "OPTIMAL", *["OPTIMAL"] * 4],
            "certified": [True, False, True, True, True, True, True, True],
            "errors": [1, 1, 1, 0, 0, 0, 0, 2],
        }
    )
    won, left = step_sizes.outcomes(trials.sample(8, shuffle=True, seed=1), "schedule", ["a", "b"])
    assert won.tolist() == [[[False, False], [False, True]], [[True, True], [True, False]]]
    assert left.tolist() == [[[False, False], [True, False]], [[False, False], [False, False]]]


def test_a_dead_unit_misses_the_positive_samples():
    cell = Cell("labelled", st.Problem(n=12, samples=400, inputs="gaussian+1"), {"steps": 20_000})
    row, data = run_trial(cell, 0, 0), trial_seeds(0, cell, 0).data
    instance = cell.problem.draw(data)
    orbit = st.train(instance, steps=20_000, init=data)
    outputs = [sample @ orbit.signs > 0 for sample in instance.inputs[:, 0]]
    missed = [not on for on, label in zip(outputs, instance.labels, strict=True) if label == 1]
    assert row["missed"] == pytest.approx(np.mean(missed))
    assert row["missed"] > 0.9
    sound = Cell("labelled", replace(cell.problem, inputs="gaussian"), {"steps": 20_000})
    assert run_trial(sound, 0, 0)["missed"] == 0
