"""Baselines: each against a slow twin or its own definition, the symmetries of the data, and refusals."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.stats import norm

import sterling as st
from sterling.study.baselines import gamp, hebb, least_squares, logistic

ESTIMATORS = {
    "hebb": hebb,
    "least_squares": least_squares,
    "logistic": logistic,
    "gamp": lambda inputs, labels: gamp(inputs, labels).signs,
}


def data(n=12, samples=40, seed=0, **rest):
    return st.Problem(n=n, samples=samples, **rest).draw(seed)


def test_hebb_and_least_squares_by_hand():
    instance = data()
    rows, labels = instance.inputs[:, 0], instance.labels - instance.labels.mean()
    votes = [sum(y * row[k] for y, row in zip(labels, rows, strict=True)) for k in range(12)]
    np.testing.assert_array_equal(hebb(instance.inputs, instance.labels), np.sign(votes))
    solution = np.linalg.inv(rows.T @ rows) @ rows.T @ labels
    np.testing.assert_array_equal(least_squares(instance.inputs, instance.labels), np.sign(solution))


def test_logistic_is_the_minimum():
    instance = data(samples=30, noise=0.5, seed=4)
    rows = instance.inputs[:, 0]
    side = np.where(instance.labels > 0.5, 1, -1)

    def loss(w):
        return np.log1p(np.exp(-side * (rows @ w))).sum() + 0.7 * w @ w / 2

    best = minimize(loss, np.zeros(12), method="BFGS", options={"gtol": 1e-7})
    clear = np.abs(best.x) > 1e-3
    assert clear.sum() > 8
    found = logistic(instance.inputs, instance.labels, penalty=0.7)
    np.testing.assert_array_equal(found[clear], np.sign(best.x)[clear])


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


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_gamp_follows_state_evolution(noise):
    """The overlap after four rounds at n = 2000: the law for n → ∞, within 0.03 (chance moves it by 0.01)."""
    from sterling.theory.ladder import _channel, _weight

    problem = st.Problem(n=2000, samples=4000, noise=noise)
    instance = problem.draw(0)
    law = 0.0
    for _ in range(4):
        law = _weight(2 * _channel(law, noise)[1])[1]
    found = gamp(instance.inputs, instance.labels, noise=noise, damping=0, rounds=4)
    assert found.mean @ instance.teacher / 2000 == pytest.approx(law, abs=0.03)


def test_gamp_finds_the_teacher_and_says_so():
    instance = data(n=128, samples=320)
    found = gamp(instance.inputs, instance.labels)
    assert found.settled
    np.testing.assert_array_equal(found.signs, instance.teacher)
    scaled = gamp(instance.inputs, -3 * instance.labels, readout=-3.0)
    np.testing.assert_array_equal(scaled.signs, instance.teacher)


def test_gamp_says_when_it_does_not_settle():
    """Labels without a teacher, more than any weights could fit: sure of what is not so, or cut short."""
    rng = np.random.default_rng(0)
    rows, labels = rng.standard_normal((256, 64)), rng.integers(0, 2, 256)
    for noise in (0.0, 0.1):
        found = gamp(rows, labels, noise=noise, damping=0.0, rounds=60)
        assert not found.settled
        assert np.isfinite(found.mean).all()
    instance = data(n=64, samples=160)
    assert not gamp(instance.inputs, instance.labels, rounds=2).settled


@pytest.mark.parametrize("name", ESTIMATORS)
def test_symmetries(name):
    """Columns may be permuted and turned round with the weights, samples reordered."""
    estimate = ESTIMATORS[name]
    instance = data(n=20, samples=90, seed=7)
    rng = np.random.default_rng(0)
    order, turn, rows = rng.permutation(20), rng.choice([-1, 1], 20), rng.permutation(90)
    base = estimate(instance.inputs, instance.labels)
    other = estimate((instance.inputs[:, 0][:, order] * turn)[rows], instance.labels[rows])
    np.testing.assert_array_equal(other, base[order] * turn)
    assert other.dtype == np.int8


def test_refusals():
    with pytest.raises(st.InputError, match="shape"):
        hebb(np.zeros((4, 3)), np.zeros(5))
    with pytest.raises(st.InputError, match="shape"):
        least_squares(np.zeros((4, 2, 3)), np.zeros(4))
    with pytest.raises(st.InputError, match="finite"):
        hebb(np.full((4, 3), np.nan), np.zeros(4))
    with pytest.raises(st.InputError, match="readout"):
        gamp(np.ones((4, 3)), np.ones(4), readout=0)
    with pytest.raises(st.InputError, match="damping"):
        gamp(np.ones((4, 3)), np.ones(4), damping=1)
    with pytest.raises(st.InputError, match="penalty"):
        logistic(np.ones((4, 3)), np.ones(4), penalty=0)
