"""Surrogates on the same data sets: pairing, intervals, predictions, the picture, and what is refused."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest
from matplotlib.figure import Figure

import sterling as st
from sterling.base.text import percent
from sterling.plot.curves import predictions
from sterling.study.compare import BURN_IN, KIND, NOTE
from sterling.study.kind import KINDS, get_kind

PROBLEM = st.Problem(n=8, samples=200, noise=0.5)
STEPS = 2000
PIECEWISE = ["relu", "identity", "hard_tanh"]


@pytest.fixture(scope="module")
def comparison():
    return st.compare_surrogates(PROBLEM, trials=6, surrogates=PIECEWISE, steps=STEPS, seed=3, threads=2)


def without_seconds(comparison):
    return comparison.rows.drop("seconds")


def test_rows_are_paired(comparison):
    """Every surrogate sees the same data sets from the same starts, each run the one of `train`."""
    rows = comparison.rows
    assert len(rows) == 18
    assert comparison.trials == 6
    assert comparison.surrogates == PIECEWISE
    assert rows.group_by("trial").agg(pl.col("seed").n_unique())["seed"].to_list() == [1] * 6
    assert rows["seed"].n_unique() == 6
    for row in rows.head(4).to_dicts():
        instance = PROBLEM.draw(row["seed"])
        orbit = st.train(instance, STEPS, surrogate=row["surrogate"], init=row["seed"])
        assert (orbit.errors, orbit.ergodic_errors) == (row["errors"], row["ergodic_errors"])
        assert orbit.verdict.name == row["verdict"]
        late = orbit.distance(np.arange(int(BURN_IN * STEPS), STEPS))
        assert row["occupancy"] == pytest.approx(np.mean(late == 0))
        assert row["wrong"] == pytest.approx(late.mean())
        predicted = st.theory.balance(instance, surrogate=row["surrogate"])
        assert row["predicted_occupancy"] == predicted.occupancy
        assert row["predicted_wrong"] == predicted.wrong_share.sum()


def test_threads_and_number_of_trials_change_nothing(comparison):
    alone = st.compare_surrogates(PROBLEM, trials=2, surrogates=PIECEWISE, steps=STEPS, seed=3, threads=1)
    assert without_seconds(alone).equals(without_seconds(comparison).filter(pl.col("trial") < 2))
    other = st.compare_surrogates(PROBLEM, trials=1, surrogates=["relu"], steps=STEPS, seed=4)
    assert other.rows["seed"][0] not in comparison.rows["seed"].to_list()


def test_summary(comparison):
    table = comparison.summary()
    assert table["surrogate"].to_list() == PIECEWISE
    for row in table.to_dicts():
        mine = comparison.rows.filter(pl.col("surrogate") == row["surrogate"])
        assert row["trials"] == 6
        assert row["occupancy"] == pytest.approx(mine["occupancy"].mean())
        assert row["wrong"] == pytest.approx(mine["wrong"].mean())
        assert row["ergodic"] == (mine["ergodic_errors"] == 0).mean()
        assert row["predicted_occupancy"] == pytest.approx(mine["predicted_occupancy"].mean())
        for name in ("occupancy", "ergodic", "wrong", "difference", "samples_ratio"):
            assert row[f"{name}_low"] <= row[name] <= row[f"{name}_high"]
    relu, identity, _ = table.to_dicts()
    assert relu["difference"] == relu["difference_low"] == relu["difference_high"] == 0
    assert relu["samples_ratio"] == relu["predicted_samples_ratio"] == 1
    assert identity["difference"] == pytest.approx(identity["occupancy"] - relu["occupancy"])
    assert identity["predicted_samples_ratio"] == pytest.approx(0.5, abs=0.1)
    again = comparison.summary()
    assert again.equals(table)  # the bootstrap has a seed


def test_baseline_is_the_first_where_relu_is_missing():
    found = st.compare_surrogates(PROBLEM, trials=2, surrogates=["identity", "hard_tanh"], steps=200)
    assert found.summary()["difference"][0] == 0


def test_one_surrogate_by_name_or_object(comparison):
    for one in ("relu", st.SURROGATES["relu"], [st.SURROGATES["relu"], "relu"]):
        found = st.compare_surrogates(PROBLEM, trials=2, surrogates=one, steps=STEPS, seed=3)
        expected = without_seconds(comparison).filter((pl.col("surrogate") == "relu") & (pl.col("trial") < 2))
        assert without_seconds(found).equals(expected)


def test_smooth_surrogates_by_default():
    found = st.compare_surrogates(PROBLEM, trials=1, steps=60)
    assert found.surrogates == list(st.SURROGATES)


def test_without_noise_there_is_no_ratio():
    quiet = st.Problem(n=6, samples=300)
    row = st.compare_surrogates(quiet, trials=3, surrogates="relu", steps=4000).summary().row(0, named=True)
    assert row["occupancy"] == 1
    assert row["samples_ratio"] is None
    assert row["predicted_samples_ratio"] is None
    assert row["predicted_occupancy"] == 1


def test_too_few_samples_are_shown_as_not_predicted():
    tiny = st.Problem(n=12, samples=3, noise=2.0)
    found = st.compare_surrogates(tiny, trials=20, surrogates=["relu"], steps=100)
    assert found.rows["predicted_occupancy"].null_count() > 0
    assert found.summary()["predicted_occupancy"][0] is None


def test_picture(comparison):
    ax = Figure().subplots()
    sentence = predictions(ax, comparison)
    best = comparison.summary().sort("occupancy", descending=True).row(0, named=True)
    assert percent(best["occupancy"], 1) in sentence
    assert "On the same 6 data sets" in sentence
    assert [text.get_text() for text in ax.get_legend().get_texts()] == PIECEWISE
    points = ax.lines[1]
    mine = comparison.rows.filter(pl.col("surrogate") == "relu")
    np.testing.assert_array_equal(points.get_ydata(), mine["occupancy"])
    np.testing.assert_array_equal(points.get_xdata(), mine["predicted_occupancy"])


def test_plain_values_and_note(comparison):
    plain = json.loads(json.dumps(comparison.to_dict()))
    assert plain["problem"]["n"] == 8
    assert plain["steps"] == STEPS
    assert len(plain["summary"]) == 3
    assert plain["note"] == comparison.note == NOTE
    assert "relu, identity, hard_tanh" in repr(comparison)


@pytest.mark.parametrize(
    "given, message",
    [
        ({"trials": 0}, "trials"),
        ({"trials": True}, "trials"),
        ({"trials": 2**64}, "trials"),
        ({"steps": 3}, "steps"),
        ({"steps": 1e5}, "steps"),
        ({"threads": 0}, "threads"),
        ({"seed": -1}, "seed"),
        ({"seed": np.random.SeedSequence(1)}, "seed"),
        ({"schedule": 0.5}, "schedule"),
        ({"surrogates": []}, "surrogates is empty"),
        ({"surrogates": ["rleu"]}, "Did you mean 'relu'"),
    ],
)
def test_refusals(given, message):
    with pytest.raises(st.InputError, match=message):
        st.compare_surrogates(PROBLEM, **{"trials": 1, "steps": 10, **given})


def test_a_problem_is_needed():
    with pytest.raises(st.InputError, match="give a Problem"):
        st.compare_surrogates(PROBLEM.draw(0))


def test_its_kind_of_trial_is_known_by_name():
    """So that such a study can be read without the module that made it."""
    assert KINDS.is_built_in("occupancy")
    assert get_kind("occupancy") is KIND


def test_nothing_is_left_behind(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    st.compare_surrogates(PROBLEM, trials=1, surrogates="relu", steps=100)
    assert list(tmp_path.iterdir()) == []


def test_a_notebook_shows_the_summary(comparison):
    assert "hard_tanh" in comparison._repr_html_()
