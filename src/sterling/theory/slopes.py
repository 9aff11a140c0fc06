"""Moments of a surrogate's derivative at one normal pre-activation, and at two correlated ones.

For unit normals a, a′ at the angle θ, M(θ) = E μ′(a) μ′(a′). Where μ′ is one on a window and zero elsewhere,
it jumps at x₁, x₂ with the signs s₁, s₂, and Plackett's identity gives

    M(θ) = M(0) − 1/(2π) ∫₀^θ Σ_ij s_i s_j exp(−(x_i² − 2 x_i x_j cos t + x_j²)/(2 sin² t)) dt,

which is 1/2 − θ/2π for ReLU.
"""

from __future__ import annotations

import math
from functools import lru_cache
from itertools import pairwise

import numpy as np

from sterling.surrogates import Surrogate
from sterling.theory.numbers import window_of
from sterling.theory.quadrature import legendre

_REACH = 12.0  # end of integrals, in standard deviations; φ(12) is 2·10⁻³²
_PEAK = 1 / math.sqrt(2 * math.pi)  # φ(0)
_NODES = 60  # nodes of a quadrature
_GRID = 25  # angles in each direction of a table
_WIDEST = 0.98  # largest angle between two states in a table, in units of the largest possible


@lru_cache(maxsize=64)
def mean_square_slope(surrogate: Surrogate) -> float:
    """Return E μ′(a)² for standard Gaussian a."""
    from scipy.integrate import quad

    def square(x: float) -> float:
        return float(surrogate.derivative(x)) ** 2 * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)

    return sum(quad(square, low, low + 1, epsabs=1e-13)[0] for low in range(-9, 9))


@lru_cache(maxsize=256)
def mean_square_turned(surrogate: Surrogate, angle: float) -> float:
    """Return E μ′(a)² over the rows on which H differs between two weight vectors at this angle.

    Given a = z·w, H differs on a row with probability Φ(−|a| cot(angle)); the mean of this is angle/π.
    """
    from scipy.integrate import quad
    from scipy.special import ndtr

    slant = 1 / math.tan(angle)

    def both(a: float) -> float:
        left, right = (float(surrogate.derivative(x)) for x in (-a, a))
        return (left**2 + right**2) * _PEAK * math.exp(-a * a / 2) * float(ndtr(-a * slant))

    cuts = sorted({0.0, min(1.0, 2 * math.sin(angle)), 1.0, _REACH})
    parts = pairwise(cuts)
    return math.pi / angle * sum(quad(both, low, high, epsabs=1e-12, limit=200)[0] for low, high in parts)


def mean_product_turned(surrogate: Surrogate, away: float, apart: float) -> float:
    """Return E μ′(a) μ′(a′) over the rows on which H is equal at two weight vectors and differs from w*.

    ``away`` is their angle to w*, at most π/2; ``apart`` the angle between them, at most twice ``away``.
    """
    away = min(max(away, 0.0), math.pi / 2)
    part = min(apart / (2 * away), _WIDEST) if away > 0 else 0.0
    return float(_turned_table(surrogate).ev(away, part))


@lru_cache(maxsize=16)
def _turned_table(surrogate: Surrogate):
    """Return an interpolation on a grid; it is continuous, which the iteration for shares needs."""
    from scipy.interpolate import RectBivariateSpline

    away, part = np.linspace(0, math.pi / 2, _GRID), np.linspace(0, _WIDEST, _GRID)
    values = [[_product_turned(surrogate, max(a, 1e-6), 2 * a * s) for s in part] for a in away]
    return RectBivariateSpline(away, part, values, kx=1, ky=1)


def _product_turned(surrogate: Surrogate, away: float, apart: float) -> float:
    """Return the mean by quadrature over two independent unit normals, u and v."""
    # u = (a + a′)/(2 cos), v = (a − a′)/(2 sin) of half the angle apart; z·w* is correlated with u only.
    from scipy.special import ndtr

    nodes, weights = legendre(_NODES)
    close = math.cos(away) / math.cos(apart / 2)
    slant = close / math.sqrt(max(1 - close * close, 1e-300))
    reach = min(8.0, 8 / max(slant, 1e-300))
    u = reach * (nodes + 1) / 2
    edge = np.minimum(8.0, u / max(math.tan(apart / 2), 1e-300))  # both on one side of the threshold
    v = edge[:, None] * nodes
    x, y = (u[:, None] * math.cos(apart / 2) + sign * v * math.sin(apart / 2) for sign in (1, -1))
    mass = (weights * np.exp(-u * u / 2) * ndtr(-slant * u) * edge)[:, None] * weights * np.exp(-v * v / 2)
    slope = surrogate.derivative
    return float((mass * (slope(x) * slope(y) + slope(-x) * slope(-y))).sum() / (2 * mass.sum()))


def slope_covariance(surrogate: Surrogate, angle: float) -> float:
    """Return M(θ), θ from 0 to π, for a window or θ = 0; see the top of this file."""
    level = mean_square_slope(surrogate)
    if angle <= 0:
        return level
    jumps = [(x, sign) for x, sign in zip(window_of(surrogate), (1, -1), strict=True) if math.isfinite(x)]
    return level - sum(s * t * _plackett(x, y, angle) for x, s in jumps for y, t in jumps)


def _plackett(x: float, y: float, angle: float) -> float:
    """Return 1/(2π) ∫₀^θ exp(−(x² − 2xy cos t + y²)/(2 sin² t)) dt."""
    if x == y == 0 or angle <= 0:
        return max(angle, 0.0) / (2 * math.pi)
    nodes, weights = legendre(_NODES)
    t = angle * (nodes + 1) / 2
    # In this form nothing cancels where x = y, and where x ≠ y the exponent goes to −∞ at 0.
    exponent = -((x - y) ** 2) / (2 * np.sin(t) ** 2) - x * y * (1 - np.cos(t)) / np.sin(t) ** 2
    return float(weights @ np.exp(exponent)) * angle / (4 * math.pi)
