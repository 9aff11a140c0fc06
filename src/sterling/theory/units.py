"""The equations of `box.py` for several hidden units with readouts of the same size.

A sample has m pre-activations h_j with teachers h*_j, independent pairs as in `box.py`, and m forces

    f_j(h, y) = v_j (τ_j E μ′(h_j + s ζ) + v_j E H(h_j + s ζ) μ′(h_j + s ζ)),

with τ_j = Σ_{l≠j} v_l P(h_l + s ζ > 0) − y and y = Σ v_l H(h*_l) + noise. Leaving out a sample moves its h by
the reaction, h = h° − χ f(h, y): a force on one unit moves the others through the shared residual. With
F_jl = ∂f_j/∂h_l

    q̂ = α E Σ f_j²,    Λ = α E tr F(1 + χ F)⁻¹,    m̂ = −α E Σ df_j/dh*_j,    χ = P(|w̄| < 1)/Λ.

F is a diagonal matrix plus one of rank one. Means over the 2m + 1 normal numbers are sums over Sobol points.
The solution hardly depends on m from 16 on.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from sterling.surrogates import Surrogate
from sterling.theory.box import START, Fit, clipped, scaled_window, within

_POINTS = 2048  # before each is doubled
_ROUNDS = 400
_CLOSE = 1e-7  # relative change of the share at which the iteration ends
_SOFT = 1e-3  # least stiffness of a solution
#: Hidden units of the equations; more change r/t by less than 4 %, and these points no longer resolve them.
_MOST = 16
_LEAST = 1e-6  # lower bound of Q
_STIFF = 0.1  # least slope of a proximal map; a smaller one would allow two solutions
_ROOT = math.sqrt(2 * math.pi)


@lru_cache(maxsize=256)
def fit_units(ratio: float, noise: float, surrogate: Surrogate, units: int, levels: int = 2) -> Fit | None:
    """Return the solution with the larger share of wrong weights for ‖v‖ = 1; None if samples are too few.

    ``ratio`` is α = N/n, ``noise`` is σ/‖v‖.
    """
    units = min(units, _MOST)
    beside, teacher, label = _points(units)
    size = 1 / math.sqrt(units)
    y = size * (teacher > 0).sum(axis=1) + noise * label
    window, chi = scaled_window(surrogate, levels), 0.0
    mean, square, dither, _ = clipped(1.0, START, levels)
    force = np.zeros_like(teacher)
    for _ in range(_ROUNDS):
        s, beyond = (math.sqrt(max(x, 1e-15)) for x in (dither, square - mean**2))
        h = mean * teacher + beyond * beside - chi * force
        force, stiffness = forces(h, y[:, None], s, chi, size, window)
        # E f h* = E df/dh°·E h°h* + E df/dh*, by partial integration.
        pull = mean * stiffness - float((force * teacher).sum(axis=1).mean())
        if not (stiffness > _SOFT and pull > 0):
            return None
        centre = pull / stiffness
        spread = math.sqrt(float((force**2).sum(axis=1).mean()) / ratio) / stiffness
        new_mean, new_square, new_dither, inner = clipped(centre, spread, levels)
        step = (new_mean - mean) / 2
        mean, square = mean + step, max(_LEAST, square + (new_square - square) / 2)
        dither += (new_dither - dither) / 2
        moved = (inner / (ratio * stiffness) - chi) / 2
        chi += moved
        if max(abs(step), abs(moved)) < _CLOSE * (1 - mean):
            return Fit(mean, square, centre, spread, chi)
    return None


def forces(
    h: np.ndarray, y: np.ndarray, s: np.ndarray | float, chi: float, readout, window: tuple[float, float]
) -> tuple[np.ndarray, float]:
    """Return the forces, (points, m), and the mean trace of F(1 + χ F)⁻¹."""
    low, high = window
    slope, slope_edge = within(h, s, low, high)
    own, own_edge = (slope, slope_edge) if low >= 0 else within(h, s, 0.0, high)
    active, active_edge = (own, own_edge) if math.isinf(high) else within(h, s, 0.0, math.inf)
    others = (readout * active).sum(axis=1, keepdims=True) - readout * active - y
    force = readout * (others * slope + readout * own)
    # F = diag(c) + u wᵀ; the trace follows from the formula of Sherman and Morrison.
    u, w = readout * slope, readout * active_edge
    c = readout * (others * slope_edge + readout * own_edge) - u * w
    p = 1 / np.maximum(1 + chi * c, _STIFF)
    coupled = np.maximum(1 + chi * (p * u * w).sum(axis=1), _STIFF)
    trace = (c * p).sum(axis=1) + (p**2 * u * w).sum(axis=1) / coupled
    return force, float(trace.mean())


@lru_cache(maxsize=16)
def _points(units: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return h° beyond h*, h* and label noise as normal points, (points, m) twice and (points,)."""
    from scipy.special import ndtri
    from scipy.stats.qmc import Sobol

    z = ndtri(Sobol(2 * units + 1, scramble=False).random(_POINTS) + 0.5 / _POINTS)
    # With ± each label noise, its part of the force has the exact mean zero; it may be far the largest part.
    both = np.concatenate((z, z))
    both[_POINTS:, -1] *= -1
    return both[:, :units], both[:, units:-1], both[:, -1]
