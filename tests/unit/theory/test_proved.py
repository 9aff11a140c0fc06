"""Samples that are proved to suffice: the lemma on moments, the solved conditions, and drawn data sets."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.special import comb

import sterling as st
from sterling import theory
from sterling.theory.numbers import numbers_of
from sterling.theory.population import pull
from sterling.theory.proved import tail


def problem(n=8, m=1, noise=0.5, **options):
    return st.Problem(n=n, samples=1, m=m, noise=noise, **options)


def contributions(generator, of, surrogate, wrong, right, count=30_000):
    """Return contributions of samples to G(w)·y, y the unit vector along b* on ``wrong`` and ``right``."""
    n, m = of.n, of.m
    v = np.ones(m)
    b = np.ones(n)
    b[:wrong] = -1
    y = np.zeros(n)
    y[:wrong] = y[n - right :] = 1 / math.sqrt(wrong + right)
    rows = generator.standard_normal((count, m, n))
    before, outputs = rows @ b, (rows @ np.ones(n) > 0).astype(float)
    residual = ((before > 0) - outputs) @ v - of.noise * generator.standard_normal(count)
    slopes = before > 0 if surrogate == "relu" else np.ones_like(before)
    return residual * ((slopes * (rows @ y)) @ v)


@pytest.mark.parametrize("surrogate", ["relu", "identity"])
@pytest.mark.parametrize("m", [1, 3])
def test_moments_are_within_the_lemma(m, surrogate):
    """By simulation, with 30,000 samples each and 2 % of tolerance."""
    generator = np.random.default_rng(m)
    for noise in (0.0, 1.0):
        of = problem(8, m, noise)
        for wrong, right in ((0, 1), (1, 0), (0, 8), (1, 7), (4, 0), (4, 4), (8, 0)):
            sizes = np.abs(contributions(generator, of, surrogate, wrong, right))
            reach = 1 / math.sqrt(8) if wrong + right == 1 else 1.0
            bound = tail(numbers_of(of, surrogate), reach)
            for q in range(2, 9):
                most = math.factorial(q) / 2 * bound.variance * bound.scale ** (q - 2)
                assert (sizes**q).mean() <= most * 1.02, (wrong, right, noise, q)


def visits(n, m, noise, surrogate, samples, delta):
    """Whether part (b) of the theorem holds, over all pairs (s, d) instead of d = 1 alone."""
    numbers = numbers_of(problem(n, m, noise), surrogate)
    bound = tail(numbers, 1.0)
    for s in range(1, n + 1):
        for d in range(1, s + 1):
            log = math.log(comb(n, s) * comb(s, d) * n * (n + 1) / (2 * delta))
            if math.sqrt(s) * bound.deviation(np.float64(log), samples) >= d * pull(numbers):
                return False
    return True


def average(n, m, noise, surrogate, samples, delta):
    """Whether part (a) of the theorem holds for some b of a fine grid, b = 0 included."""
    numbers = numbers_of(problem(n, m, noise), surrogate)
    one, many, strength = tail(numbers, 1 / math.sqrt(n)), tail(numbers, 1.0), pull(numbers)
    d = np.arange(n + 1)
    logs = np.log(comb(n, d)) + math.log(2 * (n + 1) / delta)
    own = one.deviation(logs + math.log(n), samples) / strength
    rest = math.sqrt(n) * many.deviation(logs + (n - d) * math.log(2), samples) - strength * d
    grid = np.append(0.0, np.geomspace(1e-4, 10, 5000) / strength)
    return bool((own + grid[:, None] * rest < 0.5).all(axis=1).any())


@pytest.mark.parametrize("surrogate", ["relu", "identity"])
@pytest.mark.parametrize(
    ("n", "m", "noise"), [(1, 1, 0.0), (2, 1, 1.0), (9, 1, 0.0), (40, 1, 0.5), (12, 3, 0.5)]
)
def test_the_smallest_sample_size_that_meets_the_conditions(n, m, noise, surrogate):
    of = problem(n, m, noise)
    for claim, holds in (("recurrent", visits), ("ergodic", average)):
        found = theory.samples_for_proof(of, claim=claim, confidence=0.9, surrogate=surrogate)
        assert holds(n, m, noise, surrogate, found * 1.002, 0.1)
        assert not holds(n, m, noise, surrogate, found * 0.998, 0.1)


def test_orders():
    """n³ for visits; for the average less than n², with b = 0 the condition would need 17.4 n²."""
    numbers = {n: problem(n, noise=0.0) for n in (200, 2_000, 20_000)}
    visit = [theory.samples_for_proof(of, claim="recurrent") / n**3 for n, of in numbers.items()]
    mean = [theory.samples_for_proof(of) for of in numbers.values()]
    assert visit[-1] == pytest.approx(4 * math.pi * 0.4276 / 2, rel=0.01)
    assert visit == sorted(visit, reverse=True)
    assert math.log10(mean[2] / mean[1]) == pytest.approx(5 / 3, abs=0.05)
    assert mean[1] < 3.5 * 2_000**2
    noisy = theory.samples_for_proof(problem(200, noise=1.0), claim="recurrent")
    assert noisy == pytest.approx(2 * theory.samples_for_proof(numbers[200], claim="recurrent"), rel=0.01)
    assert theory.samples_for_proof(problem(), confidence=0.99) > theory.samples_for_proof(problem())


def test_the_claims_hold_at_these_sizes():
    """In 95 % of data sets at least; here in both, and at a tenth of the size as well."""
    of = problem(6)
    for claim, proved in (("ergodic", "decodes"), ("recurrent", "balance_occupancy")):
        samples = math.ceil(theory.samples_for_proof(of, claim=claim))
        for size in (samples, samples // 10):
            instance = st.Problem(n=6, samples=size, noise=0.5).draw(0)
            assert getattr(st.certify(instance), proved) > 0


def test_what_the_theorem_is_not_about():
    for cause, of, asked in (
        ("ReLU and the identity", problem(), {"surrogate": "hard_tanh"}),
        ("claim", problem(), {"claim": "both"}),
        ("100,000", problem(10**6), {}),
    ):
        with pytest.raises(st.InputError, match=cause):
            theory.samples_for_proof(of, **asked)
