"""The time average of a chattering run as a box-constrained fit, for the typical data set.

**From a run to a static problem.** While weights chatter, w_t forgets its past within a few steps. Let w̄ be
the time average of the signs, Q = |w̄|²/n, and s² = 1 − Q. Over time a pre-activation of sample i is nearly
normal with mean h_i = w̄·z_i/√n and variance s², so the mean of residual times slope is a smooth function

    g(h, y) = E (H(h + s ζ) − y) μ′(h + s ζ),       ζ ~ N(0, 1).

The latent of a weight that never stops flipping is bounded, so Σ_i z_ik g(h_i, y_i) = 0. For a weight that
rests at w*_k, the sum has the sign that holds it there. These are the conditions for a minimum of
Σ_i ψ(h_i, y_i), ∂ψ/∂h = g, over |w̄_k| ≤ 1: the average is like a maximum-likelihood fit with a box as prior.

**Replica symmetry.** Let α = N/n and w* = 1. Leaving out a sample moves its h by the reaction χ g. Leaving
out a weight turns the fit into a scalar one:

    h = h° − χ g(h, y),  (h°, h*) ~ N(0, (Q, m; m, 1)),        w̄ = clip(r + t ζ, −1, 1),
    r = m̂/Λ,  t = √q̂/Λ,   q̂ = α E g²,   Λ = α E dg/dh°,   m̂ = −α E dg/dh*,   χ = P(|w̄| < 1)/Λ,

with m = E w̄ w* and Q = E w̄². χ, the response of the other weights, lowers the share of wrong ones by 3 %.

**More than two levels.** A latent that flips for ever uses the levels a < b next to its average. So s² is the
mean of (b − w̄)(w̄ − a), and the cube reaches to the outermost levels.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from sterling.model.levels import level_values
from sterling.surrogates import Surrogate
from sterling.theory.numbers import window_of
from sterling.theory.quadrature import hermite, panels

#: t at which the iteration starts: a quarter of the weights of two levels are wrong.
START = 1.6
_ROUNDS = 400
_CLOSE = 1e-9  # relative change at which the iteration ends
_MEMORY, _FAST_ROUNDS = 4, 60  # earlier states from which a step is extrapolated, and rounds of this
_NEAR = 0.5  # greatest step of this, in units of 1 − m
_RANK = 1e-10  # relative singular value below which steps count as parallel
_NOISE_NODES = 12  # nodes of the quadrature over label noise
_PANEL = 8  # nodes of a panel of the quadrature over pre-activations
_WIDER = 2.0  # width of a panel, in units of the last
_FAR = 9.0  # end of the quadrature, in standard deviations
_SOFT = 1e-3  # least stiffness of a solution
_LEAST = 1e-6  # lower bound of Q
_NEWTON = 12  # largest number of steps of Newton's method
_SOLVED = 1e-9  # size of a step at which Newton's method ends
_STIFF = 0.1  # least slope of a proximal map; a smaller one would allow two solutions
_ROOT = math.sqrt(2 * math.pi)


class Fit(NamedTuple):
    """A solution of the equations at the top of this file."""

    mean: float  # m
    square: float  # Q
    centre: float  # r
    spread: float  # t
    reaction: float  # χ


def clipped(centre: float, spread: float, levels: int = 2) -> tuple[float, float, float, float]:
    """Return E w̄ w*, E w̄², the mean dither and P(|w̄| < top) of w̄ = clip(r w* + t ζ, −top, top).

    w* is a uniformly random level, and its mean square is the unit of the first three. A weight that
    alternates between the levels a < b has the dither (b − w̄)(w̄ − a), for two levels 1 − w̄².
    """
    from scipy.special import ndtr

    ends = np.array(level_values(levels), float)
    unit, top = float(np.mean(ends**2)), ends[-1]
    middle, width = centre * ends[:, None], spread * math.sqrt(unit)
    z = (ends - middle) / width  # of each end, one row for each w*
    chance, density = ndtr(z), np.exp(-z * z / 2) / _ROOT
    inner, first, second = (np.diff(x, axis=1) for x in (chance, -density, chance - z * density))
    first, second = (  # E w̄ and E w̄² between two levels
        middle * inner + width * first,
        middle**2 * inner + 2 * middle * width * first + width**2 * second,
    )
    below, above = chance[:, 0], ndtr(-z[:, -1])
    low, high = ends[:-1], ends[1:]
    mean = ends @ (top * (above - below) + first.sum(axis=1)) / levels / unit
    square = (top**2 * (above + below).sum() + second.sum()) / levels / unit
    dither = float((-second + (low + high) * first - low * high * inner).sum()) / levels / unit
    return float(mean), float(square), dither, float(inner.sum()) / levels


@lru_cache(maxsize=1024)
def fit(ratio: float, noise: float, surrogate: Surrogate, levels: int = 2) -> Fit | None:
    """Return the solution with the larger share of wrong weights, for m = 1, readout 1 and a window.

    ``ratio`` is α, ``noise`` σ. None if samples are too few for a solution.
    """
    for memory, rounds in ((_MEMORY, _FAST_ROUNDS), (0, _ROUNDS)):
        found = _iterated(ratio, noise, surrogate, levels, memory, rounds)
        if found is not None:
            return found
    return None


def _iterated(
    ratio: float, noise: float, surrogate: Surrogate, levels: int, memory: int, rounds: int
) -> Fit | None:
    """Iterate x ← (x + F(x))/2 for x = (m, Q, dither, χ).

    With ``memory``, small steps are extrapolated from that number of earlier states: Anderson, J. ACM 12
    (1965). This needs a third of the rounds, but with very few samples it may miss a solution.
    """
    window, past = scaled_window(surrogate, levels), []
    x = np.array([*clipped(1.0, START, levels)[:3], 0.0])
    for _ in range(rounds):
        mean, square, dither, chi = x.tolist()
        force, stiffness, teacher = _sums(mean, square, dither, chi, noise, window)
        if not (stiffness > _SOFT and teacher > 0):
            return None
        centre, spread = teacher / stiffness, math.sqrt(force / ratio) / stiffness
        *new, inner = clipped(centre, spread, levels)
        change = np.array([*new, inner / (ratio * stiffness)]) - x
        moved = np.abs(change) / np.array([1 - mean, square, dither, max(chi, _LEAST)])
        if (moved.max() if memory else moved[0]) < _CLOSE:
            return Fit(mean, square, centre, spread, chi)
        near = np.abs(change).max() < _NEAR * (1 - mean)
        past = [*past[-memory:], (x, change)] if near and memory else []
        step = change / 2
        if len(past) > 1:
            states, changes = (np.diff(values, axis=0).T for values in zip(*past, strict=True))
            step = step - (states + changes / 2) @ np.linalg.lstsq(changes, change, rcond=_RANK)[0]
            if np.abs(step).max() > _NEAR * (1 - mean):
                step = change / 2
        x = x + step
        x[1] = max(_LEAST, x[1])
    return None


def scaled_window(surrogate: Surrogate, levels: int) -> tuple[float, float]:
    """Return the window where pre-activations at w* have variance 1, as the equations have it."""
    low, high = window_of(surrogate)
    size = math.sqrt(np.mean(np.square(level_values(levels))))
    return low / size, high / size


def _sums(
    mean: float, square: float, dither: float, chi: float, noise: float, window: tuple[float, float]
) -> tuple[float, float, float]:
    """Return E g², E dg/dh° and −E dg/dh*."""
    from scipy.special import ndtr

    s = math.sqrt(max(dither, 1e-15))
    beyond = math.sqrt(max(square - mean**2, 1e-15))  # deviation of h° given h*
    width = beyond / math.sqrt(square)  # deviation of h* given h°
    h, weights = _panels(min(s, beyond), _FAR * math.sqrt(square))
    at_zero = weights * np.exp(-((h / beyond) ** 2) / 2) / (beyond * _ROOT) / _ROOT  # joint density at h* = 0
    weights = weights * np.exp(-h * h / (2 * square)) / math.sqrt(2 * math.pi * square)
    active = ndtr(mean / square * h / width)
    nodes, parts = hermite(_NOISE_NODES if noise else 1)
    label = np.array([1.0, 0.0])[:, None, None] + (noise * nodes)[:, None]
    chance = np.array([active, 1 - active])[:, None, :] * parts[:, None] * weights
    g, slope = _proximal(np.broadcast_to(h, chance.shape), label, chi, s, window)
    signs = np.array([-1.0, 1.0])[:, None, None] * parts[:, None] * at_zero
    return float((chance * g**2).sum()), float((chance * slope).sum()), float((signs * g).sum())


def _proximal(
    centre: np.ndarray, label: np.ndarray, chi: float, s: float, window: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """Return g(h, y) and dg/dh° where h = h° − χ g(h, y)."""
    h = centre.copy()
    for _ in range(_NEWTON if chi > 0 else 0):
        g, slope = mean_force(h, label, s, window)
        step = (h - centre + chi * g) / np.maximum(1 + chi * slope, _STIFF)
        h -= step
        if not np.abs(step).max() > _SOLVED:
            break
    g, slope = mean_force(h, label, s, window)
    return g, slope / np.maximum(1 + chi * slope, _STIFF)


def mean_force(h, label, s, window: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return g(h, y) and ∂g/∂h of the top of this file. All arguments but the window may be arrays."""
    low, high = window
    inside, edge = active, active_edge = within(h, s, max(low, 0.0), high)
    if low < 0:
        inside, edge = within(h, s, low, high)
    return active - label * inside, active_edge - label * edge


def within(h, s, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Return P(low < h + s ζ < high) and its derivative by h."""
    from scipy.special import ndtr

    chance, slope = np.zeros_like(h), np.zeros_like(h)
    for end, sign in ((high, 1.0), (low, -1.0)):
        if math.isfinite(end):
            x = (end - h) / s
            chance = chance + sign * ndtr(x)
            slope = slope - sign * np.exp(-x * x / 2) / (s * _ROOT)
        elif end > 0:
            chance = chance + 1.0
    return chance, slope


def _panels(scale: float, far: float) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights on [−far, far], with panels as narrow as ``scale`` at zero."""
    edges = [0.0]
    while edges[-1] < far:
        edges.append(min(far, max(scale, _WIDER * edges[-1])))
    half, part = panels(np.array(edges), _PANEL)
    return np.concatenate((-half[::-1], half)), np.concatenate((part[::-1], part))
