"""Other estimators: each against its own definition, in studies on the data that runs get, and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

import sterling as st
from sterling.study import Cell, Store, Study, run
from sterling.study.baseline_kind import ESTIMATORS, gamp, hebb, least_squares
from sterling.study.trial import run_trial, trial_seeds

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


@pytest.mark.parametrize(("options", "estimator"), [({"m": 2}, "hebb"), ({"inputs": "uniform"}, "gamp")])
def test_what_an_estimator_cannot_do_is_refused(options, estimator):
    with pytest.raises(st.InputError):
        Study(**{"n": 8, "samples": [50], **options}, kind="baseline", estimator=estimator)


def data(n=12, samples=40, seed=0, **rest):
    return st.Problem(n=n, samples=samples, **rest).draw(seed)


def test_hebb_and_least_squares_by_hand():
    instance = data()
    rows, labels = instance.inputs[:, 0], instance.labels - instance.labels.mean()
    votes = [sum(y * row[k] for y, row in zip(labels, rows, strict=True)) for k in range(12)]
    np.testing.assert_array_equal(hebb(instance.inputs, instance.labels), np.sign(votes))
    solution = np.linalg.inv(rows.T @ rows) @ rows.T @ labels
    np.testing.assert_array_equal(least_squares(instance.inputs, instance.labels), np.sign(solution))


def naive_gamp(rows, labels, noise, damping, rounds):
    """Entry by entry, from the textbook: Rangan 2011, sum-product, both steps damped."""
    count, n = rows.shape
    mean, force = [0.0] * n, [0.0] * count
    for _ in range(rounds):
        new_force, slope = [], []
        for i in range(count):
            a = [rows[i][k] / math.sqrt(n) for k in range(n)]
            width = sum(a[k] ** 2 * (1 - mean[k] ** 2) for k in range(n))
            centre = sum(a[k] * mean[k] for k in range(n)) - width * force[i]
            u = centre / math.sqrt(width)
            if noise == 0:
                one, zero = float(labels[i] > 0.5), float(labels[i] <= 0.5)
            else:
                one, zero = norm.pdf(labels[i], 1, noise), norm.pdf(labels[i], 0, noise)
            z = one * norm.cdf(u) + zero * norm.cdf(-u)
            g = (one - zero) * norm.pdf(u) / math.sqrt(width) / z
            g = damping * force[i] + (1 - damping) * g
            new_force.append(g)
            slope.append(g * (g + u / math.sqrt(width)))
        force, guess = new_force, []
        for k in range(n):
            precision = sum(rows[i][k] ** 2 / n * slope[i] for i in range(count))
            field = mean[k] * precision + sum(rows[i][k] / math.sqrt(n) * force[i] for i in range(count))
            guess.append(damping * mean[k] + (1 - damping) * math.tanh(field))
        mean = guess
    return np.array(mean)


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_gamp_is_the_textbook_one(noise):
    instance = data(n=10, samples=25, noise=noise, seed=2)
    for rounds in (1, 2, 6):
        mine = gamp(instance.inputs, instance.labels, noise=noise, damping=0.4, rounds=rounds).mean
        theirs = naive_gamp(instance.inputs[:, 0], instance.labels, noise, 0.4, rounds)
        np.testing.assert_allclose(mine, theirs, atol=1e-9)


def test_gamp_says_whether_it_found_the_teacher():
    instance = data(n=128, samples=320)
    found = gamp(instance.inputs, -3 * instance.labels, readout=-3.0)
    assert found.settled
    np.testing.assert_array_equal(found.signs, instance.teacher)
    rng = np.random.default_rng(0)  # labels without a teacher, more than any weights could fit
    rows, labels = rng.standard_normal((256, 64)), rng.integers(0, 2, 256)
    assert not gamp(rows, labels, damping=0.0, rounds=60).settled
