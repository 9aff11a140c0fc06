"""Message passing on a large data set follows state evolution, the law behind `theory/ladder.py`."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.stats import norm

import sterling as st
from sterling.theory.ladder import _channel, _weight


def overlap(instance, noise, rounds):
    """Return the overlap with w* after rounds of Rangan's algorithm (sum-product), from the textbook."""
    rows, labels = instance.inputs[:, 0] / math.sqrt(instance.n), instance.labels
    mean, force = np.zeros(instance.n), np.zeros(len(rows))
    if noise:
        one, zero = norm.pdf(labels, 1, noise), norm.pdf(labels, 0, noise)
    else:
        one, zero = (labels > 0.5).astype(float), (labels <= 0.5).astype(float)
    for _ in range(rounds):
        width = rows**2 @ (1 - mean**2)
        u = (rows @ mean - width * force) / np.sqrt(width)
        z = one * norm.cdf(u) + zero * norm.cdf(-u)
        force = (one - zero) * norm.pdf(u) / np.sqrt(width) / z
        precision = (force * (force + u / np.sqrt(width))) @ rows**2
        mean = np.tanh(mean * precision + force @ rows)
    return mean @ instance.teacher / instance.n


@pytest.mark.parametrize("noise", [0.0, 0.5])
def test_messages_follow_state_evolution(noise):
    """The overlap after four rounds at n = 2000, within 0.03 (chance moves it by 0.01)."""
    problem = st.Problem(n=2000, samples=4000, noise=noise)
    law = 0.0
    for _ in range(4):
        law = _weight(2 * _channel(law, noise)[1])[1]
    assert overlap(problem.draw(0), noise, 4) == pytest.approx(law, abs=0.03)
