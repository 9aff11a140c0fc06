"""A run on the typical data set: shares of wrong weights determine the pushes, and pushes the shares.

**Mean field.** Averaged over a run, the push on weight k is a sum over the samples. Over data sets it is
nearly normal with mean zero and variance V/N. The weight is wrong for the share p = max(0, push)/S of the
time, at most 1. V is the mean of N·cov(G_k(D), G_k(E)) over two independent states D, E of the run. With the
angles θ_d = arccos(1 − 2d/n) and A = θ_|D| + θ_|E| − θ_|DΔE|,

    V = noise² ‖v‖² M(θ_|DΔE|) + A/(2π) · (Σ v⁴ T + (‖v‖⁴ − Σ v⁴) M(θ_|DΔE|)).

Here M(θ) = E μ′(a) μ′(a′) for unit normals a, a′ at the angle θ. T is the mean of μ′(a) μ′(a′) over the rows
on which both states differ from w* in H: 1/2 for ReLU, 1 for the identity (`slopes.py`). The first term is
the label noise, the second the effect of wrong weights on the others. The shares give the distributions of
|D| and |DΔE|, binomial within excursions from w* (see below). These give V, and V gives the shares. The
iteration starts from V at w* and ends at the smallest solution. Without the second term and with N large this
is docs/science, 7: p ≈ push/S and occupancy ≈ exp(−n^(3/2) σ/(√2 ‖v‖ √N)).

**Clusters in time.** At w* only label noise pushes; away from it wrong weights push the others as well. Let a
weight flip in a step with a probability proportional to its outward push. Let A₀ and A₁ be the mean numbers
of flips in a step at w* and away from it, and ε = A₀/A₁. The mean number x of wrong weights and the share q
of the steps away from w* then obey

    x = (1 − q) A₀ + q A₁,        q = (1 − q)(1 − exp(−A₀)) + q (1 − exp(−A₁)).

With much noise ε is near 1 and q = 1 − exp(−x), as for independent weights. With little noise excursions from
w* are rare, and several weights are wrong in each. The model for this is independent weights within
excursions that take the share w of the time: q = w (1 − exp(−x/w)).
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from sterling.theory.numbers import Numbers
from sterling.theory.population import pull
from sterling.theory.quadrature import hermite
from sterling.theory.slopes import mean_product_turned, mean_square_slope, slope_covariance

_QUANTILES = 1000  # number of quantiles that represent the normal distribution of the pushes
_ROUNDS = 2000
_CLOSE = 1e-9  # relative change of the mean share at which the iteration ends
_MOST = 1 - 1e-12  # upper bound of a share
_FEWEST_WRONG = 1e-9  # least number of wrong weights that can cluster
_MOST_FLIPS = 50.0  # largest mean number of flips in a step
_MANY = 1e5  # variance above which a number of weights is taken as normal
_NODES = 20  # nodes of the quadrature over that number


def variance(numbers: Numbers, mean: float = 0.0, square: float = 0.0, w: float = 1.0) -> float:
    """Return V for the means of p_k and p_k² over the weights and for w.

    V/N is the variance over data sets of a coordinate of G(w*), if no weight is ever wrong: then V is
    noise²·‖v‖²/2 for ReLU and noise²·‖v‖² for the identity.
    """
    n, norm2, surrogate = numbers.n, numbers.norm2, numbers.surrogate
    mean, square = mean / w, square / w**2
    away, apart = _mean_angle(n, mean), _mean_angle(n, 2 * (mean - square))
    common = w**2 * max(0.0, 2 * away - apart) / (2 * math.pi)
    apart_ever = w**2 * apart + 2 * w * (1 - w) * away
    label = numbers.sigma**2 * norm2 * slope_covariance(surrogate, apart_ever)
    if common == 0:
        return label
    some = _any(n, mean)  # in an excursion at least one weight is wrong, which widens the angles
    turned = mean_product_turned(surrogate, away / some, max(0.0, apart - 2 * (1 - some) * away) / some**2)
    others = (1 - 1 / numbers.m) * slope_covariance(surrogate, apart)
    return label + common * norm2**2 * (turned / numbers.m + others)


def angle(n: int, d: np.ndarray | float) -> np.ndarray:
    """Return θ_d = arccos(1 − 2d/n), exact for small d/n."""
    return 2 * np.arcsin(np.sqrt(np.asarray(d) / n))


def _mean_angle(n: int, share: float) -> float:
    """Return the mean of θ_d for a binomial number d out of n with probability ``share``."""
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
    return -math.expm1(n * math.log1p(-min(share, _MOST)))


@lru_cache(maxsize=4)
def normal_quantiles(count: int) -> np.ndarray:
    """Return quantiles of the normal distribution."""
    from scipy.special import ndtri

    return ndtri((np.arange(count) + 0.5) / count)


class Solution(NamedTuple):
    """A self-consistent distribution of p_k over weights and data sets."""

    shares: np.ndarray  # quantiles of p_k
    excursions: float  # w


@lru_cache(maxsize=4096)
def solution(numbers: Numbers, samples: float) -> Solution:
    """Return the smallest self-consistent solution."""
    size = math.sqrt(samples) * pull(numbers)
    z = normal_quantiles(_QUANTILES)
    home = variance(numbers)
    mean = square = 0.0
    w = 1.0
    shares = np.zeros_like(z)
    for _ in range(_ROUNDS):
        v = variance(numbers, mean, square, w)
        shares = np.clip(math.sqrt(v) / size * z, 0, 1)
        step = float(shares.mean()) - mean
        mean += step / 2
        square += (float((shares**2).mean()) - square) / 2
        w += (_excursions(numbers, mean, w, home) - w) / 2
        if abs(step) < _CLOSE * mean:
            break
    return Solution(shares, w)


def _excursions(numbers: Numbers, mean: float, w: float, home: float) -> float:
    """Return the next w. V away from w* is V at w* plus the variance of the response to an excursion."""
    if mean <= 0:
        return 1.0
    n, m, surrogate = numbers.n, numbers.m, numbers.surrogate
    share = min(mean / w, 1.0)
    wide = _mean_angle(n, share) / _any(n, share)
    others = (1 - 1 / m) * mean_square_slope(surrogate)
    response = wide / math.pi * numbers.norm2**2 * (mean_product_turned(surrogate, wide, 0.0) / m + others)
    return excursion_share(n * mean, math.sqrt(home / (home + response)))


def excursion_share(wrong: float, ratio: float) -> float:
    """Return w for the mean number x of wrong weights and the ratio ε from 0 to 1."""
    from scipy.optimize import brentq

    if wrong < _FEWEST_WRONG or ratio > 1 - _FEWEST_WRONG:
        return 1.0

    def away(flips: float) -> float:
        leave = -math.expm1(-ratio * flips)
        return leave / (math.exp(-flips) + leave)

    def mean(flips: float) -> float:
        q = away(flips)
        return (1 - q) * ratio * flips + q * flips

    if mean(_MOST_FLIPS) <= wrong:
        return 1.0
    flips = float(brentq(lambda c: mean(c) - wrong, 0, _MOST_FLIPS, xtol=1e-14))  # type: ignore[arg-type]
    together = wrong / away(flips)  # mean number of wrong weights in a step away from w*
    if together <= 1 + _FEWEST_WRONG:
        return 1.0
    # t/(1 − exp(−t)) = together, t = x/w
    t = float(brentq(lambda t: t + together * math.expm1(-t), _FEWEST_WRONG / 2, together + 1))  # type: ignore[arg-type]
    return min(1.0, wrong / t)
