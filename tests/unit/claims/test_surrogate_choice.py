"""Surrogates on the same data sets: pairing, predictions and the measured numbers."""

import numpy as np
import polars as pl
import pytest

import sterling as st
from sterling.claims.context import Context
from sterling.claims.experiments import surrogate_choice
from sterling.study import Cell, run_trial

STEPS = 2000
PROBLEM = st.Problem(n=8, samples=200, noise=0.5)
BUDGET = surrogate_choice.SurrogateBudget(
    n=8, samples=200, instances=6, steps=STEPS, surrogates=("relu", "identity", "hard_tanh")
)


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return surrogate_choice.measure(Context(tmp_path_factory.mktemp("surrogates"), threads=1), BUDGET)


@pytest.fixture(scope="module")
def rows(found):
    return found.tables["surrogates-runs"]


def test_rows_are_paired_and_each_run_is_the_one_of_train(rows):
    assert len(rows) == 18
    assert rows.group_by("trial").agg(pl.col("seed").n_unique())["seed"].to_list() == [1] * 6
    assert rows["seed"].n_unique() == 6
    for row in rows.head(4).to_dicts():
        instance = PROBLEM.draw(row["seed"])
        orbit = st.train(instance, STEPS, surrogate=row["surrogate"], init=row["seed"])
        late = orbit.distance(np.arange(int(surrogate_choice.BURN_IN * STEPS), STEPS))
        assert row["occupancy"] == pytest.approx(np.mean(late == 0))
        assert row["wrong"] == pytest.approx(late.mean())
        predicted = st.theory.balance(instance, surrogate=row["surrogate"])
        assert row["predicted_occupancy"] == predicted.occupancy


def test_too_few_samples_have_no_prediction():
    cell = Cell("occupancy", st.Problem(n=12, samples=3, noise=2.0), {"steps": 100})
    assert any(run_trial(cell, number, 0)["predicted_occupancy"] is None for number in range(20))


def test_measured_numbers_are_means_over_the_data_sets(rows, found):
    ratio, *shares = found.measured
    wrong = {name: rows.filter(surrogate=name)["wrong"].mean() for name in BUDGET.surrogates}
    assert ratio.value == pytest.approx((wrong["identity"] / wrong["relu"]) ** 2)
    for one, name in zip(shares, BUDGET.surrogates, strict=True):
        assert one.name.endswith(name)
        assert one.value == pytest.approx(rows.filter(surrogate=name)["occupancy"].mean())
        assert one.low <= one.value <= one.high
