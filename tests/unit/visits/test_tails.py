"""Tails: a law is named where the data show it, and only there. Seeds are fixed."""

from __future__ import annotations

import numpy as np
import pytest

from sterling.dynamics.tally import bin_starts
from sterling.visits.tails import tail


def told(times):
    return tail(np.histogram(times, bin_starts())[0], bin_starts())


@pytest.mark.parametrize("mean", (20, 700))
def test_exponential(mean):
    found = told(np.random.default_rng(0).geometric(1 / mean, 50_000))
    assert found.law == "exponential"
    assert found.low < 1 / -np.log(1 - 1 / mean) < found.high
    assert found.high / found.low < 1.2
    assert found.start > 2 * mean


@pytest.mark.parametrize("exponent", (1.5, 0.8))
def test_power(exponent):
    times = np.minimum(10 * np.random.default_rng(2).random(50_000) ** (-1 / exponent), 1e9)
    found = told(np.floor(times).astype(int))
    assert found.law == "power"
    assert found.low < exponent < found.high


def test_neither():
    rng = np.random.default_rng(3)
    times = np.concatenate([rng.integers(1, 100, 50_000), rng.integers(400, 500, 4000)])
    found = told(times)
    assert found.law is None
    assert "neither" in found.reason


@pytest.mark.parametrize(
    "times, reason",
    [
        ([], "0 times are too few"),
        ([5] * 1999, "1,999 times are too few"),
        ([1] * 5000 + [2] * 500, "too few different values"),
        ([3] * 5000, "too few different values"),
    ],
)
def test_nothing_to_say(times, reason):
    found = told(np.array(times, int))
    assert found.law is None
    assert reason in found.reason
    assert np.isnan(found.scale)
