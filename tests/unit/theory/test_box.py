"""The box-constrained fit: functions against quadrature, the solution against its equations on samples."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.integrate import quad

from sterling.model.levels import level_values
from sterling.surrogates import get_surrogate
from sterling.theory.box import clipped, fit, mean_force

WINDOWS = [(-math.inf, math.inf), (0.0, math.inf), (0.0, 1.0), (-1.0, 1.0)]
IDENTITY = get_surrogate("identity")


def normal(x):
    return math.exp(-x * x / 2) / math.sqrt(2 * math.pi)


@pytest.mark.parametrize(("centre", "spread"), [(1.0, 0.3), (1.05, 0.9), (0.2, 3.0)])
def test_clipped(centre, spread):
    def moment(power):
        def inside(z):
            return min(1.0, max(-1.0, centre + spread * z)) ** power * normal(z)

        cuts = [(-1 - centre) / spread, (1 - centre) / spread]
        return quad(inside, -12, 12, points=cuts, epsabs=1e-12)[0]

    mean, square, dither, inner = clipped(centre, spread)
    assert mean == pytest.approx(moment(1), abs=1e-9)
    assert square == pytest.approx(moment(2), abs=1e-9)
    assert dither == pytest.approx(1 - moment(2), abs=1e-9)
    share = quad(normal, (-1 - centre) / spread, (1 - centre) / spread)[0]
    assert inner == pytest.approx(share, abs=1e-9)


@pytest.mark.parametrize("levels", (3, 4))
def test_clipped_at_several_levels(levels):
    """Against 400,000 draws; the tolerance is five standard errors or more."""
    rng = np.random.default_rng(levels)
    values = np.array(level_values(levels), float)
    unit, gap = np.mean(values**2), values[1] - values[0]
    teacher = rng.choice(values, 400_000)
    average = np.clip(
        0.9 * teacher + 0.3 * math.sqrt(unit) * rng.normal(size=len(teacher)), values[0], values[-1]
    )
    above = np.mod(average - values[0], gap)
    expected = [
        np.mean(average * teacher) / unit,
        np.mean(average**2) / unit,
        np.mean(above * (gap - above)) / unit,
        np.mean(np.abs(average) < values[-1]),
    ]
    assert clipped(0.9, 0.3, levels) == pytest.approx(expected, abs=0.008)


@pytest.mark.parametrize("window", WINDOWS)
@pytest.mark.parametrize(("h", "label"), [(-0.4, 1.0), (0.7, -0.3)])
def test_mean_force(window, h, label):
    s = 0.5
    low, high = window

    def value(z):
        x = h + s * z
        return ((x > 0) - label) * (low < x < high) * normal(z)

    edges = [(end - h) / s for end in (*window, 0.0) if math.isfinite(end)]
    expected = quad(value, -12, 12, points=edges, limit=200, epsabs=1e-12)[0]
    g, slope = mean_force(np.array([h]), label, s, window)
    assert g[0] == pytest.approx(expected, abs=1e-9)
    step = 1e-5
    near = [mean_force(np.array([h + e]), label, s, window)[0][0] for e in (-step, step)]
    assert slope[0] == pytest.approx((near[1] - near[0]) / (2 * step), abs=1e-8)


def test_the_equations_hold_on_samples():
    """r, t and χ are recomputed from 100,000 draws of (h°, h*, y), the proximal map by bisection.

    The tolerances are four standard errors of the draws or more.
    """
    ratio, noise = 6.0, 0.5
    found = fit(ratio, noise, IDENTITY)
    assert found is not None
    rng = np.random.default_rng(0)
    teacher = rng.standard_normal(100_000)
    beyond = math.sqrt(found.square - found.mean**2)
    before = found.mean * teacher + beyond * rng.standard_normal(len(teacher))
    s = math.sqrt(1 - found.square)

    def force(centre, label):
        """Solve h + χ g(h, y) = h°, increasing in h: by bisection."""
        low, high = centre - 5 * found.reaction - 20, centre + 5 * found.reaction + 20
        for _ in range(36):
            middle = (low + high) / 2
            above = middle + found.reaction * mean_force(middle, label, s, (-math.inf, math.inf))[0] > centre
            low, high = np.where(above, low, middle), np.where(above, middle, high)
        return mean_force(low, label, s, (-math.inf, math.inf))[0]

    error = noise * rng.standard_normal(len(teacher))
    g = force(before, (teacher > 0) + error)
    step = 1e-3
    stiffness = np.mean(force(before + step, (teacher > 0) + error) - g) / step
    at_zero = beyond * rng.standard_normal(len(teacher))
    jump = force(at_zero, error) - force(at_zero, 1 + error)
    teacher_part = jump.mean() * normal(0)
    assert found.centre == pytest.approx(teacher_part / stiffness, rel=0.015)
    assert found.spread == pytest.approx(math.sqrt(np.mean(g**2) / ratio) / stiffness, rel=0.02)
    mean, square, _, inner = clipped(found.centre, found.spread)
    assert (found.mean, found.square) == pytest.approx((mean, square), abs=1e-6)
    assert found.reaction == pytest.approx(inner / (ratio * stiffness), rel=0.02)
