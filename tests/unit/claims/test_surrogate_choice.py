"""Surrogates on the same data sets: pairing, predictions, the summary, and the pictures."""

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

import sterling as st
from sterling.base.text import percent
from sterling.claims.context import Context
from sterling.claims.experiments import surrogate_choice
from sterling.study import Cell, run_trial

STEPS = 2000
PROBLEM = st.Problem(n=8, samples=200, noise=0.5)
BUDGET = surrogate_choice.SurrogateBudget(
    n=8,
    samples=(200,),
    instances=6,
    smooth_instances=2,
    steps=STEPS,
    surrogates=("relu", "identity", "hard_tanh"),
    smooth=("sigmoid",),
)


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    return surrogate_choice.run_all(Context(tmp_path_factory.mktemp("surrogates"), threads=1), BUDGET)[0]


def test_rows_are_paired_and_each_run_is_the_one_of_train(rows):
    assert len(rows) == 18
    assert rows.group_by("trial").agg(pl.col("seed").n_unique())["seed"].to_list() == [1] * 6
    assert rows["seed"].n_unique() == 6
    for row in rows.head(4).to_dicts():
        instance = PROBLEM.draw(row["seed"])
        orbit = st.train(instance, STEPS, surrogate=row["surrogate"], init=row["seed"])
        assert (orbit.errors, orbit.ergodic_errors) == (row["errors"], row["ergodic_errors"])
        late = orbit.distance(np.arange(int(surrogate_choice.BURN_IN * STEPS), STEPS))
        assert row["occupancy"] == pytest.approx(np.mean(late == 0))
        assert row["wrong"] == pytest.approx(late.mean())
        predicted = st.theory.balance(instance, surrogate=row["surrogate"])
        assert row["predicted_occupancy"] == predicted.occupancy


def test_too_few_samples_have_no_prediction():
    cell = Cell("occupancy", st.Problem(n=12, samples=3, noise=2.0), {"steps": 100})
    assert None in [run_trial(cell, number, 0)["predicted_occupancy"] for number in range(20)]


def test_summary(rows):
    found = surrogate_choice.summary(rows, seed=3)
    assert list(found) == list(BUDGET.surrogates)
    for name, one in found.items():
        of_surrogate = rows.filter(surrogate=name)
        assert one["occupancy"][0] == pytest.approx(of_surrogate["occupancy"].mean())
        assert one["ergodic"][0] == (of_surrogate["ergodic_errors"] == 0).mean()
        assert all(low <= value <= high for value, low, high in one.values())
    relu, identity, _ = found.values()
    assert relu["difference"] == (0, 0, 0)
    assert relu["samples_ratio"][0] == 1
    assert identity["difference"][0] == pytest.approx(identity["occupancy"][0] - relu["occupancy"][0])


def test_the_picture_of_predictions_shows_every_data_set(rows):
    ax = Figure().subplots()
    caption = surrogate_choice.draw_predictions(ax, rows, 3)
    best = max(one["occupancy"][0] for one in surrogate_choice.summary(rows, 3).values())
    assert percent(best, 1) in caption
    relu = rows.filter(surrogate="relu").sort("trial")
    np.testing.assert_array_equal(ax.lines[1].get_ydata(), relu["occupancy"])
    np.testing.assert_array_equal(ax.lines[1].get_xdata(), relu["predicted_occupancy"])
