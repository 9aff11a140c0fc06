"""The run in a typical data set, from four numbers: pushes and shares of wrong weights make each other.

**Mean field.** Averaged over a run, the push on weight k is a sum over the data set, so over data sets it is
nearly normal with mean zero and a variance V/N; the weight is wrong for the share p = max(0, push)/S of the
time, at most 1. V is the mean of N·cov(G_k(D), G_k(E)) over two independent states D, E of the run, and with
the angles of the kernel in `response.py`, θ_d = arccos(1 − 2d/n), A = θ_|D| + θ_|E| − θ_|DΔE|,

    V = noise² ‖v‖² M(θ_|DΔE|) + A/(2π) · (Σ v⁴ T + (‖v‖⁴ − Σ v⁴) M(θ_|DΔE|)).

M(θ) = E μ′(a) μ′(a′) for unit normals at the angle θ, and T is the mean of μ′(a) μ′(a′) over the rows that
both states turn: 1/2 for ReLU, 1 for the identity (`slopes.py`). The first term is the label noise, the
second what the weights that happen to be wrong do to the others. Shares give the laws of |D| and |DΔE|
(binomial within excursions from w*, `clusters.py`), these give V, and V gives the shares: iterated from V at
w* upwards, to the smallest solution. Without the second term and with N large this is science.md, 7,
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

from sterling.errors import InputError
from sterling.surrogates import Surrogate, get_surrogate
from sterling.theory.clusters import excursion_share
from sterling.theory.labels import labelled
from sterling.theory.population import check_count, check_positive, signal
from sterling.theory.slopes import mean_product_turned, mean_square_slope, slope_covariance

_QUANTILES = 1000  # points that stand for the normal law of the pushes
_ROUNDS = 2000
_CLOSE = 1e-9  # of two iterates of the mean share, as a part of it
_MOST = 1 - 1e-12  # a share is kept below this


@labelled("mean-field", "sterling.theory.typical; to leading order science.md, 7")
def drift_variance(
    n: int,
    noise: float,
    readout_norm2: float = 1.0,
    surrogate: str | Surrogate = "relu",
    m: int = 1,
    mean_share: float = 0.0,
    mean_square_share: float = 0.0,
    excursions: float = 1.0,
) -> float:
    """Return V, so that V/N is the variance over data sets of a coordinate of the run's mean gradient.

    At the default shares of zero it belongs to G(w*): noise²·‖v‖²/2 for ReLU, noise²·‖v‖² for the identity.

    Parameters
    ----------
    n : int
        Dimension, the number of weights.
    noise : float
        σ, standard deviation of the label noise.
    readout_norm2 : float
        ‖v‖².
    surrogate : str or Surrogate
    m : int
        Hidden units, taken to have readouts of the same size.
    mean_share, mean_square_share : float
        Mean over the weights of p_k and p_k², the shares of the time in which they are wrong; from 0 to 1.
    excursions : float
        Share of the time in which weights are wrong at all, independently of each other; see `clusters.py`.

    Returns
    -------
    float

    Raises
    ------
    InputError
        For a number out of its range.
    """
    n = check_count(n, "n")
    noise = check_positive(noise, "noise", zero=True)
    norm2 = check_positive(readout_norm2, "readout_norm2")
    chosen = get_surrogate(surrogate)
    units = check_count(m, "m")
    mean_share = _check_share(mean_share, "mean_share")
    mean_square_share = _check_share(mean_square_share, "mean_square_share")
    if not _check_share(excursions, "excursions"):
        raise InputError("excursions is 0; weights are never wrong then, so take 1 and shares of 0")
    within = mean_share / excursions, mean_square_share / excursions**2
    away, apart = _mean_angle(n, within[0]), _mean_angle(n, 2 * (within[0] - within[1]))
    common = excursions**2 * max(0.0, 2 * away - apart) / (2 * math.pi)
    apart_ever = excursions**2 * apart + 2 * excursions * (1 - excursions) * away
    label = noise**2 * norm2 * slope_covariance(chosen, apart_ever)
    if common == 0:
        return label
    some = _any(n, within[0])  # of an excursion some weight is wrong; angles are then wider
    turned = mean_product_turned(chosen, away / some, max(0.0, apart - 2 * (1 - some) * away) / some**2)
    others = (1 - 1 / units) * slope_covariance(chosen, apart)
    return label + common * norm2**2 * (turned / units + others)


def _check_share(value, name: str) -> float:
    share = check_positive(value, name, zero=True)
    if share > 1:
        raise InputError(f"{name} is {value!r}; it must lie between 0 and 1")
    return share


def _mean_angle(n: int, share: float) -> float:
    """Return the mean of θ_d for a binomial number d of n weights, each counted with that probability."""
    if share <= 0:
        return 0.0
    share = min(share, _MOST)
    centre, reach = n * share, 10 * math.sqrt(n * share * (1 - share)) + 10
    choices, angles = _binomial(n)
    d = slice(max(0, int(centre - reach)), min(n, int(centre + reach)) + 1)
    count = np.arange(d.start, d.stop)
    chances = np.exp(choices[d] + count * math.log(share) + (n - count) * math.log1p(-share))
    return float(chances @ angles[d])


def _any(n: int, share: float) -> float:
    """Return the chance that a binomial number is not zero."""
    return -math.expm1(n * math.log1p(-min(share, _MOST)))


@lru_cache(maxsize=32)
def _binomial(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithms of the binomial coefficients and the angles θ_d, d = 0 … n."""
    from scipy.special import gammaln

    d = np.arange(n + 1)
    return gammaln(n + 1) - gammaln(d + 1) - gammaln(n - d + 1), np.arccos(1 - 2 * d / n)


@lru_cache(maxsize=1)
def _normal_quantiles() -> np.ndarray:
    from scipy.special import ndtri

    return ndtri((np.arange(_QUANTILES) + 0.5) / _QUANTILES)


class Law(NamedTuple):
    """The law of p_k over weights and data sets that reproduces itself."""

    shares: np.ndarray  # quantiles of p_k
    excursions: float  # w of `clusters.py`
    variance: float  # V


@lru_cache(maxsize=4096)
def solution(n: int, samples: float, noise: float, norm2: float, surrogate: Surrogate, m: int) -> Law:
    """Return the smallest law that reproduces itself; arguments as in `drift_variance`."""
    pull = signal(n, norm2, surrogate)
    z = _normal_quantiles()
    mean, square, w = 0.0, 0.0, 1.0
    variance = home = noise**2 * norm2 * slope_covariance(surrogate, 0.0)
    shares = np.zeros_like(z)
    for _ in range(_ROUNDS):
        variance = drift_variance(n, noise, norm2, surrogate, m, mean, square, w)
        shares = np.clip(math.sqrt(variance / samples) / pull * z, 0, 1)
        step = float(shares.mean()) - mean
        mean += step / 2
        square += (float((shares**2).mean()) - square) / 2
        w += (_excursions(n, mean, w, home, norm2, surrogate, m) - w) / 2
        if abs(step) < _CLOSE * mean:
            break
    return Law(shares, w, variance)


def _excursions(
    n: int, mean: float, w: float, home: float, norm2: float, surrogate: Surrogate, m: int
) -> float:
    """Return w anew; V away from w* is that at w* and the variance of the response to an excursion's D."""
    if mean <= 0:
        return 1.0
    share = min(mean / w, 1.0)
    angle = _mean_angle(n, share) / _any(n, share)
    others = (1 - 1 / m) * mean_square_slope(surrogate)
    response = angle / math.pi * norm2**2 * (mean_product_turned(surrogate, angle, 0.0) / m + others)
    return excursion_share(n * mean, math.sqrt(home / (home + response)))
