"""Studies of other estimators: on the data that runs get, and what each cannot do is refused."""

import numpy as np
import pytest

import sterling as st
from sterling.study import Cell, Store, Study, run, run_trial, trial_seeds
from sterling.study.baseline_kind import ESTIMATORS
from sterling.study.baselines import hebb

PROBLEM = st.Problem(n=8, samples=60, noise=0.5)


def test_estimators_get_the_data_of_runs():
    cell = Cell("baseline", PROBLEM, {"estimator": "hebb"})
    data = trial_seeds(3, cell, 5).data
    assert data == trial_seeds(3, Cell("train", PROBLEM), 5).data
    instance = PROBLEM.draw(data)
    errors = np.count_nonzero(hebb(instance.inputs, instance.labels) != instance.teacher)
    assert run_trial(cell, 5, 3)["errors"] == errors


def test_a_study_of_estimators(tmp_path):
    study = Study(n=8, samples=[12, 400], kind="baseline", estimator=list(ESTIMATORS), trials=20, seed=1)
    run(study, tmp_path)
    counts = Store(tmp_path).counts("exact").sort("estimator", "samples")
    assert counts["trials"].to_list() == [20] * 10
    few, many = (counts.filter(counts["samples"] == size)["successes"].to_numpy() for size in (12, 400))
    assert (few < many).all()  # more data help every one of them
    assert (many >= 15).all()


@pytest.mark.parametrize(
    ("options", "estimator"),
    [
        ({"m": 2}, "hebb"),
        ({"n": 25}, "least_risk"),
        ({"inputs": "uniform"}, "gamp"),
        ({}, "oracle"),
    ],
)
def test_what_an_estimator_cannot_do_is_refused(options, estimator):
    with pytest.raises(st.InputError):
        Study(**{"n": 8, "samples": [50], **options}, kind="baseline", estimator=estimator)
