"""The run in a typical data set, from its numbers alone: pushes and shares of wrong weights make each other.

**Mean field.** Averaged over a run, the push on weight k is a sum over the data set, so over data sets it is
nearly normal with mean zero and a variance V/N; the weight is wrong for the share p = max(0, push)/S of the
time, at most 1. V is the mean of N·cov(G_k(D), G_k(E)) over two independent states D, E of the run, and with
the angles of the kernel in `response.py`, θ_d = arccos(1 − 2d/n), A = θ_|D| + θ_|E| − θ_|DΔE|,

    V = noise² ‖v‖² M(θ_|DΔE|) + A/(2π) · (Σ v⁴ T + (‖v‖⁴ − Σ v⁴) M(θ_|DΔE|)).

M(θ) = E μ′(a) μ′(a′) for unit normals at the angle θ, and T is the mean of μ′(a) μ′(a′) over the rows that
both states turn: 1/2 for ReLU, 1 for the identity (`slopes.py`). The first term is the label noise, the
second what the weights that happen to be wrong do to the others. Shares give the laws of |D| and |DΔE|
(binomial within excursions from w*, `clusters.py`), these give V, and V gives the shares: iterated from V at
w* upwards, to the smallest solution. Without the second term and with N large this is docs/science, 7,
p ≈ push/S and occupancy ≈ exp(−n^(3/2) σ/(√2 ‖v‖ √N)).

That weights are wrong together matters where label noise is little. Were they independent, their small
shares would add up to a push that keeps itself alive: at n = 64, N = 1000, σ = 0.001 an occupancy of 0.14,
where runs have 0.96 and this law 0.95.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from sterling.base.checks import real
from sterling.model.instance import Instance
from sterling.model.problem import Problem
from sterling.surrogates import Surrogate
from sterling.theory.clusters import excursion_share
from sterling.theory.labels import labelled
from sterling.theory.numbers import Numbers, numbers_of
from sterling.theory.population import pull
from sterling.theory.quadrature import hermite
from sterling.theory.slopes import mean_product_turned, mean_square_slope, slope_covariance

_QUANTILES = 1000  # points that stand for the normal law of the pushes
_ROUNDS = 2000
_CLOSE = 1e-9  # of two iterates of the mean share, as a part of it
_HIGH = 0.25  # share of wrong weights from which the largest solution is sought
_MOST = 1 - 1e-12  # a share is kept below this
_RAREST = 1e-9  # share of the time in excursions
_MANY = 1e5  # variance of a number of weights from which its law counts as normal
_NODES = 20  # of the quadrature over that


@labelled("mean-field", "sterling.theory.typical; to leading order docs/science, 7")
def drift_variance(
    of: Problem | Instance,
    *,
    surrogate: str | Surrogate = "relu",
    mean_share: float = 0.0,
    mean_square_share: float = 0.0,
    excursions: float = 1.0,
) -> float:
    """Return V, so that V/N is the variance over data sets of a coordinate of the run's mean gradient.

    At the default shares of zero it belongs to G(w*): noise²·‖v‖²/2 for ReLU, noise²·‖v‖² for the identity.

    Parameters
    ----------
    mean_share, mean_square_share : float
        Mean over the weights of p_k and p_k², the shares of the time in which they are wrong; from 0 to 1.
    excursions : float
        Share of the time in which weights are wrong at all, independently of each other, at least 10⁻⁹; see
        `clusters.py`.

    Returns
    -------
    float
        V.

    Examples
    --------
    >>> round(drift_variance(Problem(n=64, samples=4096, noise=0.5)), 6)
    0.125
    """
    numbers = numbers_of(of, surrogate)
    mean_share, mean_square_share = (
        real(share, name, 0, 1)
        for share, name in ((mean_share, "mean_share"), (mean_square_share, "mean_square_share"))
    )
    w = real(excursions, "excursions", _RAREST, 1)
    return variance(numbers, mean_share, mean_square_share, w)


def variance(numbers: Numbers, mean: float, square: float, w: float = 1.0) -> float:
    """Return V for these means of p_k and p_k² and for w of `clusters.py`."""
    n, norm2, surrogate = numbers.n, numbers.norm2, numbers.surrogate
    mean, square = mean / w, square / w**2
    away, apart = _mean_angle(n, mean), _mean_angle(n, 2 * (mean - square))
    common = w**2 * max(0.0, 2 * away - apart) / (2 * math.pi)
    apart_ever = w**2 * apart + 2 * w * (1 - w) * away
    label = numbers.sigma**2 * norm2 * slope_covariance(surrogate, apart_ever)
    if common == 0:
        return label
    some = _any(n, mean)  # of an excursion some weight is wrong; angles are then wider
    turned = mean_product_turned(surrogate, away / some, max(0.0, apart - 2 * (1 - some) * away) / some**2)
    others = (1 - 1 / numbers.m) * slope_covariance(surrogate, apart)
    return label + common * norm2**2 * (turned / numbers.m + others)


def angle(n: int, d: np.ndarray | float) -> np.ndarray:
    """Return θ_d = arccos(1 − 2d/n), exact for small d/n."""
    return 2 * np.arcsin(np.sqrt(np.asarray(d) / n))


def _mean_angle(n: int, share: float) -> float:
    """Return the mean of θ_d for a binomial number d of n weights, each counted with that probability."""
    if share <= 0:
        return 0.0
    share = min(share, _MOST)
    centre, spread = n * share, math.sqrt(n * share * (1 - share))
    if spread**2 > _MANY:
        nodes, weights = hermite(_NODES)
        return float(weights @ angle(n, np.clip(centre + spread * nodes, 0, n)))
    reach = 10 * spread + 10
    d = np.arange(max(0, int(centre - reach)), min(n, int(centre + reach)) + 1)
    steps = np.log((n - d[:-1]) / (d[:-1] + 1)) + (math.log(share) - math.log1p(-share))
    chances = np.concatenate(([0.0], steps.cumsum()))
    chances = np.exp(chances - chances.max())
    return float(chances @ angle(n, d) / chances.sum())


def _any(n: int, share: float) -> float:
    """Return the chance that a binomial number is not zero."""
    return -math.expm1(n * math.log1p(-min(share, _MOST)))


@lru_cache(maxsize=4)
def normal_quantiles(count: int) -> np.ndarray:
    """Return ``count`` quantiles of the normal distribution."""
    from scipy.special import ndtri

    return ndtri((np.arange(count) + 0.5) / count)


class Law(NamedTuple):
    """The law of p_k over weights and data sets that reproduces itself."""

    shares: np.ndarray  # quantiles of p_k
    excursions: float  # w of `clusters.py`
    variance: float  # V


@lru_cache(maxsize=4096)
def solution(numbers: Numbers, samples: float) -> Law:
    """Return the smallest law that reproduces itself."""
    return _iterated(numbers, samples, 0.0, clusters=True)


@lru_cache(maxsize=1024)
def settled(numbers: Numbers, samples: float) -> Law:
    """Return the largest law that reproduces itself: excursions that never end, iterated from above."""
    return _iterated(numbers, samples, _HIGH, clusters=False)


def _iterated(numbers: Numbers, samples: float, start: float, clusters: bool) -> Law:
    size = math.sqrt(samples) * pull(numbers)
    z = normal_quantiles(_QUANTILES)
    home, v = variance(numbers, 0.0, 0.0), 0.0
    mean, square, w = start, start, 1.0
    shares = np.zeros_like(z)
    for _ in range(_ROUNDS):
        v = variance(numbers, mean, square, w)
        shares = np.clip(math.sqrt(v) / size * z, 0, 1)
        step = float(shares.mean()) - mean
        mean += step / 2
        square += (float((shares**2).mean()) - square) / 2
        if clusters:
            w += (_excursions(numbers, mean, w, home) - w) / 2
        if abs(step) < _CLOSE * mean:
            break
    return Law(shares, w, v)


def _excursions(numbers: Numbers, mean: float, w: float, home: float) -> float:
    """Return w anew; V away from w* is that at w* and the variance of the response to an excursion's D."""
    if mean <= 0:
        return 1.0
    n, m, surrogate = numbers.n, numbers.m, numbers.surrogate
    share = min(mean / w, 1.0)
    wide = _mean_angle(n, share) / _any(n, share)
    others = (1 - 1 / m) * mean_square_slope(surrogate)
    response = wide / math.pi * numbers.norm2**2 * (mean_product_turned(surrogate, wide, 0.0) / m + others)
    return excursion_share(n * mean, math.sqrt(home / (home + response)))
