"""Weights of more than two levels: the quantiser, losses and gradients by fractions, draws, and refusals."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

import sterling as st
from sterling.model.batches import batch_gradient, extreme_gradients
from sterling.model.levels import MAX_LEVELS, Quantiser, level_values
from sterling.surrogates import get_surrogate
from tests.unit.model.test_instance import by_fractions

COUNTS = (2, 3, 4, 7, MAX_LEVELS)


@pytest.mark.parametrize("count", COUNTS)
def test_a_latent_takes_the_nearest_level_and_ties_go_upwards(count):
    quantiser = Quantiser(count, 9)
    middles = quantiser.latents(quantiser.values)
    latent = np.random.default_rng(count).normal(size=400) / 3 * (30 if count == 2 else 1)
    nearest = np.abs(latent[:, None] - middles).argmin(axis=1)
    assert (quantiser.quantise(latent) == quantiser.values[nearest]).all()
    assert (quantiser.quantise(quantiser.thresholds) == quantiser.values[1:]).all()
    below = np.nextafter(quantiser.thresholds, -np.inf)
    assert (quantiser.quantise(below) == quantiser.values[:-1]).all()
    assert (quantiser.quantise(middles) == quantiser.values).all()
    low, high = quantiser.bins(quantiser.values)
    assert (low[1:] == high[:-1]).all()
    assert low[0] == -np.inf
    assert high[-1] == np.inf
    assert (quantiser.index(quantiser.values) == np.arange(count)).all()
    averages = np.linspace(-20, 20, 801)
    picked = quantiser.nearest(averages)
    gaps = np.abs(averages[:, None] - quantiser.values)
    assert (np.abs(averages - picked) == gaps.min(axis=1)).all()
    assert (
        quantiser.nearest((quantiser.values[1:] + quantiser.values[:-1]) / 2) == quantiser.values[1:]
    ).all()


@pytest.mark.parametrize("count", [3, 16])
@pytest.mark.parametrize("surrogate", ["relu", "hard_tanh"])
def test_loss_and_gradients_are_exact(count, surrogate):
    instance = st.Problem(n=5, samples=12, m=2, noise=0.5, readout="gaussian", levels=count).draw(1)
    levels = np.random.default_rng(0).choice(level_values(count), 5)
    loss, gradient = by_fractions(instance, levels, surrogate)
    assert instance.loss(levels) == float(loss)
    assert instance.gradient(levels, surrogate).tolist() == [float(part) for part in gradient]
    batch, chosen = np.array([3, 3, 7]), get_surrogate(surrogate)
    parts = [
        by_fractions(
            st.Instance(
                instance.inputs[i : i + 1], instance.labels[i : i + 1], instance.readout, levels=count
            ),
            levels,
            surrogate,
        )[1]
        for i in range(12)
    ]
    wanted = [float((2 * parts[3][k] + parts[7][k]) * Fraction(1, 3)) for k in range(5)]
    np.testing.assert_allclose(
        batch_gradient(instance, levels.astype(np.int8), chosen, batch), wanted, rtol=1e-15
    )
    least, largest = extreme_gradients(instance, levels.astype(np.int8), chosen)
    table = np.array(parts, float)
    np.testing.assert_allclose(least, table.min(axis=0), rtol=1e-15)
    np.testing.assert_allclose(largest, table.max(axis=0), rtol=1e-15)


@pytest.mark.parametrize("count", COUNTS)
def test_teachers_are_uniform_and_label_the_data(count):
    problem = st.Problem(n=4000, samples=2, levels=count)
    instance = problem.draw(5)
    shares = np.array([(instance.teacher == value).mean() for value in level_values(count)])
    # Five standard errors: a false alarm has probability below 10⁻⁵ for all counts together.
    assert (np.abs(shares - 1 / count) < 5 * np.sqrt((1 / count) * (1 - 1 / count) / 4000)).all()
    small = replace(problem, n=6, samples=40, m=2).draw(3)
    assert small.loss(small.teacher) == 0
    assert small.levels == count
    assert (small.predict(small.teacher, small.inputs) == small.labels).all()
    assert (replace(problem, n=6).draw(3).inputs == st.Problem(n=6, samples=2).draw(3).inputs).all()


def test_no_teacher_is_all_zero():
    for seed in range(40):  # each is all zero in the first draw with probability 1/3
        assert st.Problem(n=1, samples=3, levels=3).draw(seed).teacher.any()  # type: ignore
    with pytest.raises(st.InputError, match="all zero"):
        st.Instance([[1.0, 2.0], [0.0, 1.0]], [0, 1], teacher=[0, 0], levels=3)


def test_two_levels_keep_their_fingerprint_and_description():
    problem = st.Problem(n=20, samples=50, m=2, noise=0.5)
    assert "levels" not in problem.to_dict()
    assert "levels" not in repr(problem)
    instance = problem.draw(3)
    assert instance.fingerprint == "c2f55efb9c79bcee5bdb5e4760ecb7ab"
    assert "levels" not in instance.to_dict()
    other = replace(problem, levels=4)
    assert eval(repr(other), {"Problem": st.Problem}) == other
    assert other.draw(3).to_dict()["levels"] == other.to_dict()["levels"] == 4
    data = np.random.default_rng(0).normal(size=(9, 3)), [0, 1, 0, 1, 1, 0, 1, 0, 1]
    prints = {st.Instance(*data, teacher=[1, -1, 1], levels=k).fingerprint for k in (2, 3, 5)}
    assert len(prints) == 3


@pytest.mark.parametrize(
    "use",
    [
        st.landscape,
        st.certify,
        st.theory.drift,
        st.theory.balance,
        lambda instance: st.theory.expected_absorbed(instance),
    ],
)
def test_what_needs_two_levels_says_so(use):
    with pytest.raises(st.InputError, match="two levels only, and these have 3"):
        use(st.Problem(n=4, samples=30, noise=0.5, levels=3).draw(0))
