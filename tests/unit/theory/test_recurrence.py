"""Drift, wrong shares and occupancy of one data set: ranges, symmetries, limits, and what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

import sterling as st
from sterling import theory
from sterling.model.levels import Quantiser
from sterling.theory.shares import _tilt
from tests.support import SMOOTH

METHODS = ("balance", "signal")


def make(samples=900, seed=0, n=12, m=1, noise=0.5):
    return st.Problem(n=n, samples=samples, m=m, noise=noise).draw(seed)


@pytest.mark.parametrize("surrogate", st.SURROGATES)
@pytest.mark.parametrize("method", METHODS)
def test_ranges(surrogate, method):
    """Shares are shares, those who are pushed home are never wrong, and occupancy lies below all of them."""
    instance = make(n=6 if surrogate in SMOOTH else 12, m=2)
    shares = theory.wrong_share(instance, surrogate=surrogate, method=method)
    assert shares.shape == (instance.n,)
    assert shares.dtype == np.float64
    assert 0 <= shares.min() <= shares.max() <= 1
    push = instance.teacher * theory.drift(instance, surrogate=surrogate)
    if method == "signal":
        np.testing.assert_array_equal(shares > 0, push > 0)
    occupancy = theory.occupancy(instance, surrogate=surrogate, method=method)
    assert 0 < occupancy <= 1 - shares.max() + 1e-6
    assert occupancy >= 1 - shares.sum() - 1e-6  # the union bound


@pytest.mark.parametrize("surrogate", ["relu", "identity", "clipped_relu", "hard_tanh"])
def test_symmetries(surrogate):
    """Sign flips of columns, permutations of coordinates and of samples (docs/science, 5)."""
    base = make(samples=240, n=10, m=2)
    rng = np.random.default_rng(1)
    flip, order, rows = rng.choice([-1, 1], 10), rng.permutation(10), rng.permutation(240)
    expected = theory.balance(base, surrogate=surrogate)
    assert expected.occupancy < 0.9
    moved = st.Instance(
        (base.inputs * flip)[rows][:, :, order],
        base.labels[rows],
        readout=base.readout,
        teacher=(base.teacher * flip)[order],
    )
    found = theory.balance(moved, surrogate=surrogate)
    assert found.occupancy == pytest.approx(expected.occupancy, rel=1e-3)
    np.testing.assert_allclose(found.wrong_share, expected.wrong_share[order], atol=1e-3)


def test_a_reference_stands_in_for_the_teacher():
    base = make(samples=600)
    nameless = st.Instance(base.inputs, base.labels)
    found = theory.balance(nameless, reference=base.teacher.tolist())
    assert found.occupancy == pytest.approx(theory.balance(base).occupancy, rel=1e-2)
    for call in (theory.drift, theory.balance, theory.wrong_share, theory.occupancy):
        for cause, of, asked in (
            ("no teacher: give reference", nameless, {}),
            (r"reference must have shape \(12,\) for n=12, not \(3,\)", base, {"reference": [1, 1, 1]}),
            ("unknown surrogate", base, {"surrogate": "rleu"}),
            ("Instance", [1, -1], {}),
        ):
            with pytest.raises(st.InputError, match=cause):
                call(of, **asked)


def test_an_iteration_that_does_not_converge_is_refused():
    """Its shares went to and fro by 0.4 to the end, and one of the two ends was given."""
    instance = st.Problem(n=6, samples=24, noise=3.0).draw(0)
    with pytest.raises(st.InputError, match="do not converge"):
        theory.balance(instance)


def test_a_data_set_of_one_sample_gives_no_warning():
    """No state but far ones has a share there; a division of nothing by nothing was one warning a round."""
    readout = (1.0, 0.0, 0.0, 0.0, 0.0)
    problem = st.Problem(n=10, samples=1, m=5, noise=1.0, readout=readout, inputs="student_t:4")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isfinite(theory.balance(problem.draw(24), surrogate="identity").wrong_share).all()


def test_the_tilt_of_many_weights():
    """From n = 143 on an exponential overflowed: a warning, and no tilt."""
    assert _tilt(np.full(160, 0.01), 0.5)[0] * 0.99**160 == pytest.approx(0.5)


def test_shares_and_occupancy_of_three_levels_against_a_run():
    """The rule written out. Errors in trials were below .06 for the occupancy, below .013 for a share."""
    data = st.Problem(16, 10_000, noise=0.5, levels=3).draw(2)
    quantiser = Quantiser(3, 16)
    latent = np.random.default_rng(2).normal(size=16) / 4
    gradients, states = {}, []
    for _ in range(6000):
        state = quantiser.quantise(latent)
        key = state.tobytes()
        if key not in gradients:
            gradients[key] = data.gradient(state, "identity")
        states.append(state)
        latent = latent - 0.5 * gradients[key]
    wrong = np.array(states[1500:]) != data.teacher
    law = theory.wrong_share(data, surrogate="identity")
    assert law == pytest.approx(wrong.mean(axis=0), abs=0.03)
    assert np.corrcoef(law, wrong.mean(axis=0))[0, 1] > 0.98
    occupied = np.mean(~wrong.any(axis=1))
    assert theory.occupancy(data, surrogate="identity") == pytest.approx(occupied, abs=0.08)
    given = theory.wrong_share(st.Instance(data.inputs, data.labels, levels=3), reference=data.teacher)
    assert given.shape == (16,)
