"""`st.plan`: what theory says, under its own labels, and trials that measure it."""

import json
from dataclasses import replace

import numpy as np
import pytest

import sterling as st
from sterling import theory
from sterling.base.progress import Progress
from sterling.plans.plan import _Rows
from sterling.stats import jeffreys
from sterling.study import Cell, get_kind
from sterling.study.kind import parse_criterion
from sterling.study.store import frame_of
from sterling.study.trial import TrialBatch, run_batch
from sterling.surrogates import get_surrogate


@pytest.fixture(scope="module")
def noiseless():
    return st.plan(st.Problem(64, samples=1))


@pytest.fixture(scope="module")
def noisy():
    return st.plan(st.Problem(16, samples=800, noise=0.5))


def by_criterion(made):
    return {need.criterion: need for need in made.needs if need.criterion}


def test_numbers_are_those_of_the_theory_with_its_labels():
    of, law = st.Problem(8, 900, noise=0.5, readout=(-1.5,)), {"surrogate": "identity"}
    assert of.readout_norm2 == 2.25
    made = st.plan(of, **law, occupancy=0.8, confidence=0.999)
    rows = by_criterion(made)
    assert rows["ergodic"].samples == theory.samples_for_average(of, **law, confidence=0.999)
    assert rows["occupancy>=0.8"].samples == theory.samples_for_occupancy(of, **law, occupancy=0.8)
    assert [need.samples for need in made.needs if need.kind == "theorem"] == [8**4]
    assert {need.kind for need in rows.values()} == {"mean-field"}
    assert rows["ergodic"].source == theory.samples_for_average.source  # type: ignore[attr-defined]
    assert "99.9\N{NO-BREAK SPACE}%" in rows["ergodic"].goal
    assert rows["ergodic"].promise == 0.999
    assert "80\N{NO-BREAK SPACE}%" in rows["occupancy>=0.8"].goal
    assert made.needs[-1].amount == "of order 4,096"
    assert replace(made.needs[-1], samples=1.6e25).amount == "of order 1.6·10²⁵"


def test_the_rows_say_what_they_hold_for(noisy):
    """The budget, and whether runs were ever compared with the law where the problem lies."""
    made = noisy
    assert [need.steps for need in made.needs] == [10_000, 1_000_000, 1000, None]
    assert [need.checked for need in made.needs] == [True, True, True, True]
    usual = noisy.problem, get_surrogate("relu"), None, st.Power(0.5, 0.5)
    for at, value in ((0, st.Problem(16, 800, noise=5.0)), (2, 100), (3, st.Constant(0.5))):
        need = _Rows(*usual[:at], value, *usual[at + 1 :]).occupied(0.5)
        assert not need.checked
        assert "not checked" in need.label


def test_very_many_weights():
    """`plan --n 1e18` was a division by zero; 10⁹ with noise took 15.7 GB."""
    needs = st.plan(st.Problem(10**9, 1, noise=0.5)).needs
    assert "more than" in needs[1].amount
    with pytest.raises(st.InputError, match="n is 10000"):
        st.plan(st.Problem(10**18, 1))


def test_without_noise_the_budget_decides_what_the_last_iterate_needs(noiseless):
    """Issue 8: the plan said 0.8·n·ln n, at which no run of n = 128 ended at w*; here n = 64."""
    of, made = noiseless.problem, noiseless
    assert [need.criterion for need in made.needs] == ["ergodic", "optimal", "optimal", "optimal", "", ""]
    assert [need.kind for need in made.needs[:4]] == ["mean-field", "mean-field", "measured", "mean-field"]
    assert [need.restart for need in made.needs[:4]] == [None, None, st.Restart(), None]
    average, ends, restart, damped, *_ = made.needs
    assert damped.samples == theory.samples_for_last(of)
    assert "damping 0.5" in damped.goal
    assert average.samples == ends.samples < theory.samples_for_average(of)
    assert ends.samples == theory.samples_for_iterate(of, steps=10_000)
    assert restart.samples == pytest.approx(3.08 * 64)


def test_a_check_counts_trials_of_the_study_kind():
    made = st.plan(st.Problem(8, samples=1, noise=0.5), check=np.int64(6), steps=500, seed=11, threads=2)
    again = st.plan(st.Problem(8, samples=1, noise=0.5), check=6, steps=500, seed=11, threads=1)
    assert made == again
    for text, need in by_criterion(made).items():
        damped = {"optimizer": need.optimizer, "schedule": "auto"} if need.optimizer else {}
        cell = Cell("train", st.Problem(8, need.proposed, noise=need.noise), {"steps": 500, **damped})
        rows = run_batch(11, None, TrialBatch(cell, np.arange(6))).rows
        outcomes = frame_of(get_kind("train"), rows).select(parse_criterion(text).outcome())["outcome"]
        found = need.check
        assert found is not None
        assert (found.samples, found.trials, found.steps) == (need.proposed, 6, 500)
        assert found.successes == (outcomes == 1).sum()
        assert found.undecided == (outcomes == 2).sum()
        assert found.low == float(jeffreys(found.successes, 6)[0])
        assert found.high == float(jeffreys(found.successes + found.undecided, 6)[1])
        assert found.low <= found.share <= found.most <= found.high
    assert all(need.check is None for need in made.needs if not need.criterion)


def test_a_check_reports():
    seen = []
    st.plan(st.Problem(6, samples=1, noise=1.0), check=5, steps=100, threads=1, progress=seen.append)
    assert seen[-1] == Progress(15, 15)


def test_memory_is_asked_for_before_trials(monkeypatch):
    monkeypatch.setattr("sterling.base.resources.available_memory", lambda: 1000)
    with pytest.raises(st.CapacityError, match="2 trials with n=16"):
        st.plan(st.Problem(16, 800, noise=0.5), check=3, threads=2)
    with pytest.raises(st.CapacityError, match="260000000000000 samples"):  # the row with most is tried first
        st.plan(st.Problem(100_000, samples=1, noise=0.5), check=3, threads=2)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"occupancy": 1.0}, "occupancy is 1"),
        ({"schedule": 0.5}, "schedule is of the type float"),
        ({"problem": 8}, "give a Problem"),
        ({"problem": st.Problem(8, 60, inputs="student_t:4")}, "student_t"),
    ],
)
def test_what_cannot_be_planned_is_refused(arguments, words):
    with pytest.raises(st.InputError, match=words):
        st.plan(**{"problem": st.Problem(8, 60), **arguments})


def test_more_samples_than_the_law_is_solved_for():
    """The row says so, the rest of the plan stands, and trials leave it alone."""
    made = st.plan(st.Problem(1000, samples=1, noise=1e6))
    for need in made.needs[:2]:
        assert need.amount == "more than 10¹⁵"
        assert not need.criterion
        assert not need.checked
    assert json.dumps(made.to_dict(), allow_nan=False)
