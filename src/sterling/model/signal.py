"""S, the pull on one wrong weight: the unit of damping, bands and thresholds.

`theory/population.py` derives the coefficients α and β of the mean gradient and offers them to users.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from sterling.model.instance import Instance
from sterling.model.levels import Quantiser
from sterling.surrogates import Surrogate

_PEAK = 1 / math.sqrt(2 * math.pi)  # φ(0)
_REACH = 12.0  # standard deviations; φ(12) is 2·10⁻³²


def signal_of(instance: Instance, surrogate: Surrogate) -> float:
    """Return S for the data of a run.

    For two levels and Gaussian inputs, and where no teacher is known, it is the formula of `pull_of`, for w*
    of the mean square of all levels. For other data it is the mean pull on one weight that is one level from
    the teacher's, towards zero if possible. With more than two levels the gradient at the teacher is
    subtracted: of many levels, label noise would outweigh a single step.
    """
    about = instance.origin
    teacher = instance.teacher
    two = instance.levels == 2
    quantiser = Quantiser(instance.levels, instance.n)
    if teacher is None or (two and about.get("inputs") == "gaussian" and about.get("normalize") is None):
        size = math.sqrt(np.mean(np.square(quantiser.values, dtype=np.float64)))
        return pull_of(instance.n, instance.readout_norm2, surrogate) * quantiser.step / (2 * size)
    away = np.where(teacher > 0, -1, 1)
    noise = np.zeros(instance.n) if two else instance.gradient(teacher, surrogate)
    pulls = away * (_turned(instance, away * quantiser.step, surrogate) - noise)
    return math.fsum(pulls.tolist()) / len(pulls)


def _turned(instance: Instance, moves: np.ndarray, surrogate: Surrogate) -> np.ndarray:
    """Return G_k at the teacher with the level of weight k alone changed by moves[k], for each k, float64."""
    teacher, grid = instance.teacher, instance.grid
    assert teacher is not None
    found = np.empty(instance.n)
    if not surrogate.piecewise_constant:
        for k in range(instance.n):
            levels = teacher.copy()
            levels[k] += moves[k]
            found[k] = instance.gradient(levels, surrogate)[k]
        return found
    before = instance._preactivations(teacher)
    for k in range(instance.n):  # the same integers, from one column of the inputs instead of all
        codes = (grid.rows[:, k].astype(np.int64) + grid.offsets[k]).reshape(before.shape)
        changed = before + (int(moves[k]) << int(grid.shifts[k])) * codes
        residuals = (changed > 0) @ instance.residual_codes - instance.label_codes
        slopes, _ = instance._slopes(changed, surrogate)
        total = int((residuals[:, None] * instance.readout_codes * slopes * codes).sum())
        found[k] = float(total << int(grid.shifts[k])) / instance.unit
    return found


def pull_of(n: int, norm2: float, surrogate: Surrogate) -> float:
    """Return ‖v‖² (α + β)/√n at w·w* = 1 − 2/n, for Gaussian inputs."""
    alpha, beta = coefficients(1 - 2 / n, surrogate)
    return norm2 / math.sqrt(n) * (alpha + beta)


def coefficients(c: float, surrogate: Surrogate) -> tuple[float, float]:
    """Return α and β at w·w* = c, −1 ≤ c ≤ 1."""
    if surrogate.window is None:
        return _by_quadrature(c, surrogate)
    low, high = surrogate.window
    parts = [_one_end(c, end) for end in (-low, high)]
    return sum(alpha for alpha, _ in parts), sum(beta for _, beta in parts)


def _one_end(c: float, x: float) -> tuple[float, float]:
    """Return the parts of α and β from the window (0, x), an odd function of x."""
    from scipy.special import ndtr

    if x < 0:
        alpha, beta = _one_end(c, -x)
        return -alpha, -beta
    if x == 0:
        return 0.0, 0.0
    s = math.sqrt((1 - c) * (1 + c))
    if math.isinf(x):
        return _PEAK / 2, _PEAK / 2
    ratio = x / s if s > 0 else math.inf
    inner = float(ndtr(-c * ratio))
    return _PEAK / 2 - _density(x) * inner, _PEAK * (float(ndtr(ratio)) - 0.5)


@lru_cache(maxsize=4096)
def _by_quadrature(c: float, surrogate: Surrogate) -> tuple[float, float]:
    from scipy.integrate import quad
    from scipy.special import ndtr

    slope = surrogate.derivative
    s = math.sqrt((1 - c) * (1 + c))

    def both(x: float) -> float:
        return float(slope(x) + slope(-x))

    def outer(a: float) -> float:
        share = float(ndtr(-c * a / s)) if s > 0 else float(c < 0)
        return both(a) * a * _density(a) * share

    def inner(t: float) -> float:
        return both(s * t) * _density(t)

    # Kinks of μ′ at 1, and the width s of the step in `outer`.
    cuts = sorted({min(1.0, _REACH), min(6 * s, _REACH)})
    a = sum(
        quad(outer, low, high, epsabs=1e-13, limit=200)[0]
        for low, high in zip([0.0, *cuts], [*cuts, _REACH], strict=True)
    )
    cut = min(1 / s, _REACH) if s > 0 else _REACH
    b = sum(quad(inner, low, high, epsabs=1e-13, limit=200)[0] for low, high in ((0.0, cut), (cut, _REACH)))
    beta = _PEAK * b
    return a + c * beta, beta


def _density(x: float) -> float:
    return _PEAK * math.exp(-x * x / 2)
