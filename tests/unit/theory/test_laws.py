"""Laws in four numbers: leading orders, inverses, directions, and what is refused."""

from __future__ import annotations

import math
from statistics import NormalDist

import numpy as np
import pytest

import sterling as st
from sterling import theory

BAD_COUNTS = (0, -3, 2.5, True, "8", None)
BAD_NUMBERS = (-1.0, math.nan, math.inf, "1", None, True)


@pytest.mark.parametrize("surrogate, factor", [("relu", 1.0), ("identity", 2.0)])
def test_signal(surrogate, factor):
    """science.md, 4: S = ‖v‖²/√(2πn) for ReLU, twice that for the identity."""
    for n in (1, 2, 16, 129):
        expected = factor * 2.5 / math.sqrt(2 * math.pi * n)
        assert theory.signal(n, 2.5, surrogate) == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("surrogate", st.SURROGATES)
def test_signal_is_the_population_pull_on_a_single_wrong_weight(surrogate):
    teacher = np.array([1, -1, 1, 1, -1])
    signs = teacher.copy()
    signs[1] *= -1
    gradient = theory.population_gradient(signs, teacher, 3.0, surrogate)
    assert -signs[1] * gradient[1] != 0
    assert theory.signal(5, 3.0, surrogate) == pytest.approx(signs[1] * gradient[1], rel=1e-12)


@pytest.mark.parametrize("surrogate, share", [("relu", 0.5), ("identity", 1.0)])
def test_drift_variance_at_the_teacher(surrogate, share):
    assert theory.drift_variance(20, 0.7, 3.0, surrogate, 3) == pytest.approx(share * 0.49 * 3.0)


def test_drift_variance_grows_with_the_wrong_weights_of_a_noiseless_run():
    values = [theory.drift_variance(20, 0.0, 1.0, "relu", 1, p, p * p) for p in (0.0, 0.01, 0.1)]
    assert values[0] == 0 < values[1] < values[2]


@pytest.mark.parametrize("surrogate, share", [("relu", 1.0), ("identity", 0.5)])
def test_leading_orders(surrogate, share):
    """science.md, 7. A large σ makes the coupling between weights vanish beside the label noise."""
    n, noise, norm2, rho = 64, 30.0, 2.0, 0.9
    found = theory.samples_for_occupancy(rho, n, noise, norm2, surrogate, 2)
    expected = share * n**3 * noise**2 / (2 * norm2 * math.log(rho) ** 2)
    assert found == pytest.approx(expected, rel=0.03)


def test_leading_order_of_the_ergodic_law():
    """All p_k < 1/2 in half of the data sets: the largest of n normals, about √(2 ln n), decides."""
    n, noise, norm2 = 256, 30.0, 2.0
    largest = NormalDist().inv_cdf(0.5 ** (1 / n))
    expected = 2 * math.pi * n * noise**2 * largest**2 / norm2
    identity = theory.samples_for_ergodic(n, noise, norm2, "identity", 2)
    assert identity == pytest.approx(expected, rel=0.02)
    relu = theory.samples_for_ergodic(n, noise, norm2, "relu", 2)
    assert 1.2 * identity < relu <= 2 * identity  # 2 but for the wrong weights, which decorrelate its rows


@pytest.mark.parametrize("surrogate", ["relu", "hard_tanh", "sigmoid"])
@pytest.mark.parametrize("m", (1, 4))
@pytest.mark.parametrize("rho", (0.1, 0.5, 0.9))
def test_samples_for_occupancy_inverts_expected_occupancy(surrogate, m, rho):
    samples = theory.samples_for_occupancy(rho, 24, 0.4, float(m), surrogate, m)
    assert theory.expected_occupancy(24, samples, 0.4, float(m), surrogate, m) == pytest.approx(rho, abs=1e-6)


def test_expected_occupancy_and_wrong_move_with_the_samples():
    sizes = np.geomspace(50, 1e6, 12)
    occupancy = [theory.expected_occupancy(32, size, 0.5) for size in sizes]
    wrong = [theory.expected_wrong(32, size, 0.5) for size in sizes]
    assert np.all(np.diff(occupancy) >= 0)
    assert occupancy[0] < 0.01 < 0.9 < occupancy[-1] < 1
    assert np.all(np.diff(wrong) <= 0)
    assert wrong[-1] < 0.1 < 3 < wrong[0] <= 32


def test_samples_for_ergodic_moves_with_what_is_asked():
    sizes = [theory.samples_for_ergodic(32, 0.5, confidence=c) for c in (0.1, 0.5, 0.95)]
    assert sizes[0] < sizes[1] < sizes[2]
    assert theory.samples_for_ergodic(64, 0.5) > 2 * theory.samples_for_ergodic(32, 0.5)
    assert theory.samples_for_ergodic(32, 0.5) < theory.samples_for_occupancy(0.5, 32, 0.5)


def test_without_label_noise():
    assert theory.samples_for_occupancy(0.5, 16, 0.0) == 0
    assert theory.expected_occupancy(16, 400, 0.0) == 1
    assert theory.expected_wrong(16, 400, 0.0) == 0


def test_the_ergodic_law_ends_where_runs_find_the_teacher():
    """A time average cannot be w* where the run does not come there; it once was one sample without noise."""
    for n in (16, 64):
        assert theory.samples_for_ergodic(n, 0.0) == theory.samples_noiseless(n)
        assert theory.samples_for_ergodic(n, 1e-200) == theory.samples_noiseless(n)
        assert theory.samples_for_ergodic(n, 1e-6) == pytest.approx(theory.samples_noiseless(n), rel=0.1)


def test_little_noise_does_not_feed_itself():
    """Small shares of independent weights would: 0.14, and 60,000 samples, were the answers."""
    assert theory.expected_occupancy(64, 1000, 0.001) > 0.9
    assert theory.samples_for_occupancy(0.5, 256, 1e-6) < 5000
    assert theory.expected_occupancy(64, 1000, 1e-9) == pytest.approx(1.0, abs=1e-5)


def test_more_samples_than_the_law_is_solved_for():
    for call in (
        lambda: theory.samples_for_occupancy(0.999999, 10**6, 1),
        lambda: theory.samples_for_ergodic(1000, 1e6),
    ):
        with pytest.raises(st.InputError, match=r"more than 1e\+15 samples would be needed"):
            call()


def test_samples_noiseless():
    """The docstring's measured thresholds, within the fit's accuracy of a quarter."""
    for n, measured in ((16, 0.87), (32, 0.82), (64, 0.76)):
        assert theory.samples_noiseless(n) / (n * math.log(n)) == pytest.approx(measured, rel=0.1)
    unit = 32 * math.log(32)
    for surrogate, m, measured in (("identity", 1, 0.43), ("hard_tanh", 1, 0.44), ("relu", 4, 0.62)):
        assert theory.samples_noiseless(32, float(m), surrogate, m) / unit == pytest.approx(
            measured, rel=0.25
        )
    assert theory.samples_noiseless(32, 5.0) == theory.samples_noiseless(32, 1.0)


def test_samples_proved():
    assert theory.samples_proved(10) == 100
    assert theory.samples_proved(10, "recurrent") == 10_000
    with pytest.raises(st.InputError, match="claim is 'both'; it must be one of ergodic, recurrent"):
        theory.samples_proved(10, "both")


@pytest.mark.parametrize("bad", BAD_COUNTS)
def test_bad_dimensions(bad):
    for call in (
        lambda: theory.signal(bad),
        lambda: theory.drift_variance(bad, 0.5),
        lambda: theory.expected_occupancy(bad, 100, 0.5),
        lambda: theory.expected_wrong(bad, 100, 0.5),
        lambda: theory.samples_for_occupancy(0.5, bad, 0.5),
        lambda: theory.samples_for_ergodic(bad, 0.5),
        lambda: theory.samples_noiseless(bad),
        lambda: theory.samples_proved(bad),
    ):
        with pytest.raises(st.InputError, match=r"n is .*; it must be a positive integer"):
            call()
    with pytest.raises(st.InputError, match=r"m is .*; it must be a positive integer"):
        theory.expected_occupancy(8, 100, 0.5, m=bad)


@pytest.mark.parametrize("bad", BAD_NUMBERS)
def test_bad_numbers(bad):
    with pytest.raises(st.InputError, match=r"noise is .*; it must be a non-negative number"):
        theory.expected_occupancy(8, 100, bad)
    with pytest.raises(st.InputError, match=r"samples is .*; it must be a positive number"):
        theory.expected_occupancy(8, bad, 0.5)
    for call in (
        lambda: theory.signal(8, bad),
        lambda: theory.samples_noiseless(8, bad),
        lambda: theory.population_gradient([1, 1], [1, -1], bad),
    ):
        with pytest.raises(st.InputError, match=r"readout_norm2 is .*; it must be a positive number"):
            call()


@pytest.mark.parametrize("bad", (2, -0.1, math.nan, "x", None))
def test_bad_shares_of_wrong_weights(bad):
    for name in ("mean_share", "mean_square_share", "excursions"):
        with pytest.raises(st.InputError, match=f"{name} is"):
            theory.drift_variance(8, 0.5, **{name: bad})
    with pytest.raises(st.InputError, match="excursions is 0"):
        theory.drift_variance(8, 0.5, excursions=0)


def test_a_power_that_is_no_float():
    with pytest.raises(st.InputError, match=r"n is of 201 digits; the law is given up to n = 1e\+70"):
        theory.samples_proved(10**200)


@pytest.mark.parametrize("bad", (0.0, 1.0, 1.5, -0.1, math.nan))
def test_bad_shares(bad):
    with pytest.raises(st.InputError, match="rho is"):
        theory.samples_for_occupancy(bad, 8, 0.5)
    with pytest.raises(st.InputError, match="confidence is"):
        theory.samples_for_ergodic(8, 0.5, confidence=bad)


def test_bad_correlations_and_signs():
    for bad in (1.01, -2, math.nan, "x", None, True):
        with pytest.raises(st.InputError, match=r"correlation is .*between -1 and 1"):
            theory.population_coefficients(bad)
    with pytest.raises(st.InputError, match=r"signs must be -1 or \+1"):
        theory.population_gradient([0, 1], [1, 1])
    with pytest.raises(st.InputError, match="signs are empty"):
        theory.population_gradient([], [])
    with pytest.raises(st.InputError, match="teacher has shape"):
        theory.population_gradient([1, 1], [1, 1, 1])
    with pytest.raises(st.InputError, match="n is 1"):
        theory.samples_noiseless(1)


def test_unknown_surrogates():
    for call in (
        lambda: theory.signal(8, 1.0, "rleu"),
        lambda: theory.expected_occupancy(8, 100, 0.5, 1.0, "rleu"),
        lambda: theory.population_coefficients(0.5, "rleu"),
    ):
        with pytest.raises(st.InputError, match="Did you mean 'relu'"):
            call()
