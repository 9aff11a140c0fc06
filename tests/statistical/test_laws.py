"""Draws follow the laws that they claim.

Seeds are fixed, so a pass stays a pass. With other seeds a correct program would fail each single check with
probability below 1e-6: that is 4.9 standard errors for one normal figure, 5.7 for the largest of a hundred. A
defect of 6.2 (7.0) standard errors is caught with a chance of 90 %: a mean of inputs that is off by 0.03, a
correlation by 0.04, a mean of the noise by 3 % and its variance by 4.4 %, or a start that agrees with
its teacher by 0.06.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np
import pytest
from scipy import stats

import sterling as st
from sterling.dynamics.options import initial_latent

ONE, LARGEST_OF_HUNDRED = 4.9, 5.7
FALSE_ALARM = 1e-6

# Mean and excess kurtosis, which the spread of a sample variance depends on.
FAMILIES = {
    "gaussian": (0.0, 0.0),
    "rademacher": (0.0, -2.0),
    "uniform": (0.0, -1.2),
    "student_t:12": (0.0, 0.75),
    "exponential": (0.0, 6.0),
    "shifted:-0.7": (-0.7, 0.0),
    "exponential+0.7": (0.7, 6.0),
    "rectified": (math.sqrt(1 / (math.pi - 1)), 2.41),
    "ar1:0.8": (0.0, 0.0),
}

LAWS = {
    "gaussian": stats.norm(),
    "uniform": stats.uniform(-math.sqrt(3), 2 * math.sqrt(3)),
    "student_t:3": stats.t(3, scale=math.sqrt(1 / 3)),
    "student_t:12": stats.t(12, scale=math.sqrt(10 / 12)),
    "exponential": stats.expon(-1),
    "shifted:-0.7": stats.norm(-0.7),
    "uniform+-0.7": stats.uniform(-math.sqrt(3) - 0.7, 2 * math.sqrt(3)),
    "ar1:0.8": stats.norm(),
}


@cache
def draw_inputs(family):
    return st.Problem(n=10, samples=30_000, m=2, inputs=family).draw(0).inputs


@pytest.mark.parametrize("family", FAMILIES)
def test_moments_of_inputs(family):
    """Mean and unit variance of every feature."""
    mean, kurtosis = FAMILIES[family]
    flat = draw_inputs(family).reshape(-1, 10)
    rows = len(flat)
    assert np.abs(flat.mean(axis=0) - mean).max() < LARGEST_OF_HUNDRED / math.sqrt(rows)
    bound = LARGEST_OF_HUNDRED * math.sqrt(max(kurtosis + 2, 0) / rows)
    assert np.abs(flat.var(axis=0) - 1).max() < bound + 1e-3


@pytest.mark.parametrize("family", LAWS)
def test_distribution_of_inputs(family):
    """Kolmogorov and Smirnov's test; the grid moves the distribution function by far less than it can see."""
    entries = draw_inputs(family)[:, :, ::5].ravel()  # features five apart, nearly independent in ar1
    entries = entries[:20_000] if family.startswith("ar1") else entries
    assert stats.kstest(entries, LAWS[family].cdf).pvalue > FALSE_ALARM


@pytest.mark.parametrize("family", FAMILIES)
def test_independence_of_inputs(family):
    """No correlation between features (but in ar1), units, neighbouring samples or blocks of samples."""
    inputs = draw_inputs(family) - FAMILIES[family][0]
    samples = len(inputs)
    flat = inputs.reshape(-1, 10)
    found = flat.T @ flat / len(flat)
    lag = np.abs(np.subtract.outer(np.arange(10), np.arange(10)))
    expected = 0.8**lag if family == "ar1:0.8" else np.eye(10)
    away = ~np.eye(10, dtype=bool)
    assert np.abs(found - expected)[away].max() < LARGEST_OF_HUNDRED * 1.5 / math.sqrt(len(flat))
    for one, other in (
        (inputs[:, 0, 3], inputs[:, 1, 3]),
        (inputs[:-1, 0, 0], inputs[1:, 0, 0]),
        (inputs[: samples - 4096, 1, 5], inputs[4096:, 1, 5]),
        (inputs[: samples - 8192, 0, 9], inputs[8192:, 0, 9]),
    ):
        assert abs(np.mean(one * other)) < ONE * 1.1 / math.sqrt(len(one))


@pytest.mark.parametrize("noise", (0.01, 0.5, 3.0))
def test_label_noise(noise):
    """ξ ~ N(0, σ²), independent from sample to sample and from block to block."""
    instance = st.Problem(n=6, samples=40_000, m=2, noise=noise).draw(3)
    hidden = (instance.inputs @ instance.teacher.astype(float) > 0).sum(axis=1)
    xi = (instance.labels - hidden) / noise
    count = len(xi)
    assert abs(xi.mean()) < ONE / math.sqrt(count)
    assert abs(xi.var() - 1) < ONE * math.sqrt(2 / count) + 1e-3  # the grid adds step²/12
    assert abs(stats.skew(xi)) < ONE * math.sqrt(6 / count)
    assert abs(stats.kurtosis(xi)) < ONE * math.sqrt(24 / count)
    for lag in (1, 2, 4096):
        assert abs(np.mean(xi[:-lag] * xi[lag:])) < ONE / math.sqrt(count - lag)
    assert abs(np.corrcoef(xi, hidden)[0, 1]) < ONE / math.sqrt(count)
    assert abs(np.corrcoef(xi, instance.inputs[:, 0, 0])[0, 1]) < ONE / math.sqrt(count)


def test_latents():
    """u_0 ~ N(0, 1/n), independent."""
    n = 50_000
    latent = initial_latent(n, 4) * math.sqrt(n)
    assert stats.kstest(latent, "norm").pvalue > FALSE_ALARM
    assert abs(latent.mean()) < ONE / math.sqrt(n)
    assert abs(latent.var() - 1) < ONE * math.sqrt(2 / n)
    assert abs(np.mean(latent[:-1] * latent[1:])) < ONE / math.sqrt(n)
    assert len(np.unique(latent)) == n  # a grid of latents would make ties


def test_one_seed_for_draw_and_start():
    """People use seed 0 for everything: the start must not know the teacher or the inputs."""
    agree, correlation, plus = [], [], []
    for seed in range(300):
        instance = st.Problem(n=40, samples=2, readout="signs", m=3).draw(seed)
        latent = initial_latent(40, seed)
        agree.extend(np.sign(latent) * instance.teacher)
        correlation.extend(np.sign(instance.inputs[0, 0]) * np.sign(latent))
        plus.extend(instance.teacher)
    for signs in (agree, correlation, plus):
        assert abs(np.mean(signs)) < ONE / math.sqrt(len(signs))
