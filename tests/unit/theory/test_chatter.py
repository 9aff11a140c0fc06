"""Chatter: limits, equivalences and refusals of the laws, and the fit of one data set against sampling."""

from __future__ import annotations

import math

import numpy as np
import pytest

import sterling as st
from sterling import theory
from sterling.theory.chatter import _path
from sterling.theory.numbers import numbers_of


def problem(n=256, ratio=3.0, **rest):
    return st.Problem(n=n, samples=round(ratio * n), **rest)


def test_to_leading_order():
    """x → 0.13 α^(−2/3) for many samples: the constant of docs/science, 8."""
    for ratio in (1e3, 1e4):
        share = theory.chatter(problem(n=1000, ratio=ratio), surrogate="identity").share
        assert share * ratio ** (2 / 3) == pytest.approx(0.13, rel=0.01)


def test_the_lifetime_is_that_of_independent_weights():
    """−Σ ln(1 − p_k) over weights drawn from the law of `box.py`."""
    from scipy.special import ndtri

    from sterling.theory.box import fit

    found = fit(4.0, 0.0, st.SURROGATES["identity"])
    assert found is not None
    p = (1 - np.clip(found.centre + found.spread * ndtri((np.arange(10**5) + 0.5) / 10**5), -1, 1)) / 2
    expected = -128 * np.log1p(-p[p < 0.95]).mean()
    law = theory.chatter(problem(n=128, ratio=4.0), surrogate="identity").log_lifetime
    assert law == pytest.approx(expected, rel=1e-3)


def test_average_is_where_half_of_the_data_sets_decode():
    base = problem(n=512)
    samples = theory.samples_for_average(base)
    misread = theory.chatter(base, samples=samples).misread
    assert (1 - misread) ** 512 == pytest.approx(0.5, rel=1e-3)
    assert theory.samples_for_average(base, confidence=0.9) > samples
    assert theory.samples_for_average(problem(n=512, noise=0.5)) > samples


def test_the_average_is_right_too_where_the_run_has_ended():
    """Within a budget, without label noise, for half of the data sets; else the budget changes nothing."""
    few = problem(n=32)
    ends = theory.samples_for_iterate(few, steps=10**5)
    assert theory.samples_for_average(few, steps=10**5) == ends < theory.samples_for_average(few)
    noisy = problem(n=32, noise=0.5)
    assert theory.samples_for_average(noisy, steps=10**4) == theory.samples_for_average(noisy)
    with pytest.raises(st.InputError, match="steps is 0"):
        theory.samples_for_average(few, steps=0)


def test_iterate_by_chance_and_by_the_dip():
    constant = st.Constant(0.5)
    base = problem(n=512)
    by_chance = theory.samples_for_iterate(base, steps=10**5, schedule=constant)
    assert theory.chatter(base, samples=by_chance).log_lifetime == pytest.approx(
        math.log(10**5 / math.log(2)), rel=0.02
    )
    by_dip = theory.samples_for_iterate(base, steps=10**5)
    assert by_dip < 0.95 * by_chance
    path = _path(numbers_of(base, "relu"), by_dip, 120, st.Power(0.5, 0.5))
    late = 10**5 * math.exp(-theory.chatter(base, samples=by_dip).log_lifetime)
    assert np.exp(-512 * path).sum() + late == pytest.approx(math.log(2), rel=0.05)


@pytest.mark.parametrize(
    ("m", "noise", "surrogate"),
    [(4, 0.5, "relu"), (2, 0.0, "hard_tanh")],
)
def test_mean_gradient_vanishes_at_the_fit(m, noise, surrogate):
    """The mean of `Instance.gradient` over states drawn weight by weight: zero inside, holding at the ends.

    1,500 states; four standard errors, and what weights do jointly beyond a normal law (1/n).
    """
    n = 96
    instance = st.Problem(n=n, samples=5 * n, m=m, noise=noise).draw(3)
    average = theory.chatter_mean(instance, surrogate)
    rng = np.random.default_rng(0)
    states = np.where(rng.random((1500, n)) < (1 + average) / 2, 1, -1)
    gradients = np.array([instance.gradient(state, surrogate) for state in states])
    mean, error = gradients.mean(axis=0), gradients.std(axis=0) / math.sqrt(len(states))
    slack = 4 * error + 0.06 * theory.signal(instance, surrogate=surrogate)
    inside = np.abs(average) < 1
    assert 0.2 * n < inside.sum() < 0.8 * n
    assert np.all(np.abs(mean[inside]) < slack[inside])
    assert np.all((mean * average)[~inside] < slack[~inside])


def test_refusals():
    for cause, law, of, options in (
        ("smooth", theory.chatter_mean, st.Problem(n=16, samples=64).draw(0), {"surrogate": "sigmoid"}),
        ("identity and relu", theory.samples_for_iterate, problem(), {"steps": 9, "surrogate": "hard_tanh"}),
        ("schedule", theory.samples_for_iterate, problem(), {"steps": 10, "schedule": 0.5}),
        ("take more samples", theory.chatter, problem(ratio=1.0, noise=1.0), {"surrogate": "hard_tanh"}),
    ):
        with pytest.raises(st.InputError, match=cause):
            law(of, **options)


def test_traps_and_chatter_together():
    """At n = 48 each alone asks for 2.8 to 2.9 n, where a third of the runs ended at w* (issue 18)."""
    few, more = (theory.samples_for_iterate(st.Problem(n, 1), steps=10**4) / n for n in (16, 48))
    assert few == pytest.approx(1.8 + 0.28 * math.log(16), rel=1e-3)  # traps alone
    assert 3.0 < more < 3.3


def test_more_levels_need_more_samples():
    """Ternary weights in runs: .28, .53 and .75 of 60 data sets decode at .9, 1 and 1.1 times this N."""
    sizes = [
        theory.samples_for_average(st.Problem(96, 1, levels=levels), surrogate="identity") / 96
        for levels in (2, 3, 4)
    ]
    assert sizes[0] < sizes[1] < sizes[2]
    assert sizes[1] == pytest.approx(5.39, abs=0.05)
