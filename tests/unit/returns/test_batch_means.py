"""Batch means: merging, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from sterling.returns.batch_means import decorrelate, interval, ratio_of_halves


def noise(count, seed=1):
    return np.random.default_rng(seed).normal(10, 1, count)


def test_independent_means_are_left_alone():
    means = noise(60)
    estimate = interval(means, 8)
    low, high = stats.t.interval(0.95, 59, means.mean(), stats.sem(means))
    assert (estimate.low, estimate.high) == pytest.approx((low, high))
    assert (estimate.batches, estimate.length, estimate.correlated) == (60, 8, False)


def test_correlated_means_are_merged():
    """A series in which every value comes four times holds a quarter of the information."""
    means = np.repeat(noise(32), 4)
    merged, factor, correlated = decorrelate(means)
    assert factor == 4
    assert not correlated
    np.testing.assert_allclose(merged, noise(32))
    assert interval(means, 1).length == 4


def test_a_trend_cannot_be_merged_away():
    estimate = interval(np.arange(96.0), 1)
    assert estimate.correlated


def test_too_few_or_all_alike():
    assert interval(noise(11), 1) is None
    assert interval(np.ones(50), 1) is None
    assert ratio_of_halves(noise(11), 1) is None
    assert ratio_of_halves(np.r_[np.zeros(30), np.ones(30)], 1) is None


def test_ratio():
    means = np.r_[noise(40), 2 * noise(40, 2)]
    estimate = ratio_of_halves(means, 4)
    assert estimate.low < 2 < estimate.high
    assert estimate.value == pytest.approx(means[40:].mean() / means[:40].mean())
    assert estimate.high / estimate.low < 1.2
    gone = ratio_of_halves(np.r_[noise(40), np.zeros(40)], 4)
    assert gone.value == gone.low == gone.high == 0
