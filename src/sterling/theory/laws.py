"""Four numbers: how many samples it takes, before there are any data.

**Mean field.** Averaged over a run, the push on weight k is a sum over the data set, so over data sets it is
nearly normal with mean zero and a variance V/N; the weight is wrong for the share p = max(0, push)/S of the
time, at most 1. V is the mean of N·cov(G_k(D), G_k(E)) over two independent states D, E of the run, and with
the angles of the kernel in `response.py`, θ_d = arccos(1 − 2d/n), A = θ_|D| + θ_|E| − θ_|DΔE|,

    V = noise² ‖v‖² M(θ_|DΔE|) + A/(2π) · (Σ v⁴ T + (‖v‖⁴ − Σ v⁴) M(θ_|DΔE|)).

M(θ) = E μ′(a) μ′(a′) for unit normals at the angle θ: 1/2 − θ/2π for ReLU, 1 for the identity, and to first
order E μ′² − θ/√(2π) Σ jump² φ(jump's place). T is the mean of μ′² over the rows that one flip turns: 1/2 for
ReLU, 1 for the identity. The first term is the label noise, the second what the weights that happen to be
wrong do to the others. Shares give the law of |D| and |DΔE| (binomial), these give V, and V gives the shares:
iterated from V at w* upwards. Without the second term and with N large this is science.md, 7, p ≈ push/S and
occupancy ≈ exp(−n^(3/2) σ/(√2 ‖v‖ √N)).
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from sterling.errors import InputError
from sterling.surrogates import Surrogate, get_surrogate
from sterling.theory.labels import labelled
from sterling.theory.population import (
    check_count,
    check_positive,
    mean_square_slope,
    mean_square_turned,
    signal,
)

_MEAN_FIELD = "sterling.theory.laws; to leading order science.md, 7"

_QUANTILES = 1000  # points that stand for the normal law of the pushes
_ROUNDS = 2000
_CLOSE = 1e-11
_MOST = 1 - 1e-12  # a share is kept below this
_LOWEST, _HIGHEST = 1.0, 1e15  # sample sizes that are looked through

#: Samples at which half of the runs without label noise end at w*, in units of n·ln(n), ReLU. Measured.
NOISELESS = 0.8
_QUARTER = math.pi / 3  # angle between w and w* with a quarter of the weights wrong


@labelled("mean-field", _MEAN_FIELD)
def drift_variance(
    n: int,
    noise: float,
    readout_norm2: float = 1.0,
    surrogate: str | Surrogate = "relu",
    m: int = 1,
    mean_share: float = 0.0,
    mean_square_share: float = 0.0,
) -> float:
    """Return V, so that V/N is the variance over data sets of a coordinate of the run's mean gradient.

    At the default shares of zero it belongs to G(w*): noise²·‖v‖²/2 for ReLU, noise²·‖v‖² for the identity.

    Parameters
    ----------
    m : int
        Hidden units, taken to have readouts of the same size.
    mean_share, mean_square_share : float
        Mean over the weights of p_k and p_k².
    """
    n = check_count(n, "n")
    noise = check_positive(noise, "noise", zero=True)
    norm2 = check_positive(readout_norm2, "readout_norm2")
    chosen = get_surrogate(surrogate)
    units = check_count(m, "m")
    away = _mean_angle(n, mean_share)
    apart = _mean_angle(n, 2 * (mean_share - mean_square_share))
    common = max(0.0, 2 * away - apart) / (2 * math.pi)
    across = norm2**2 * _turning_variance(chosen, units, apart, _one_flip(n))
    return noise**2 * norm2 * _slope_covariance(chosen, apart) + common * across


def _turning_variance(surrogate: Surrogate, m: int, apart: float, turned: float) -> float:
    """Return the second bracket of V in units of ‖v‖⁴, for m equal readouts and rows turned by an angle."""
    return mean_square_turned(surrogate, turned) / m + (1 - 1 / m) * _slope_covariance(surrogate, apart)


def _one_flip(n: int) -> float:
    """Return θ_1."""
    return math.acos(1 - 2 / n)


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


@lru_cache(maxsize=32)
def _binomial(n: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the logarithms of the binomial coefficients and the angles θ_d, d = 0 … n."""
    from scipy.special import gammaln

    d = np.arange(n + 1)
    return gammaln(n + 1) - gammaln(d + 1) - gammaln(n - d + 1), np.arccos(1 - 2 * d / n)


def _slope_covariance(surrogate: Surrogate, angle: float) -> float:
    """Return M(θ); exact for ReLU and identity, else to first order in θ."""
    level = mean_square_slope(surrogate)
    window = surrogate.window
    if window is None:
        return level
    edges = sum(math.exp(-x * x / 2) / math.sqrt(2 * math.pi) for x in window if math.isfinite(x))
    return max(0.0, level - angle / math.sqrt(2 * math.pi) * edges)


@lru_cache(maxsize=1)
def _normal_quantiles() -> np.ndarray:
    from scipy.special import ndtri

    return ndtri((np.arange(_QUANTILES) + 0.5) / _QUANTILES)


@lru_cache(maxsize=4096)
def _shares(n: int, samples: float, noise: float, norm2: float, surrogate: Surrogate, m: int) -> np.ndarray:
    """Return quantiles of the law of p_k that reproduces itself."""
    pull = signal(n, norm2, surrogate)
    z = _normal_quantiles()
    shares = np.zeros_like(z)
    mean, square = 0.0, 0.0
    for _ in range(_ROUNDS):
        spread = math.sqrt(drift_variance(n, noise, norm2, surrogate, m, mean, square) / samples) / pull
        shares = np.clip(spread * z, 0, 1)
        step = float(shares.mean()) - mean
        mean += step / 2
        square += (float((shares**2).mean()) - square) / 2
        if abs(step) < _CLOSE:
            break
    return shares


def _law(n, samples, noise, readout_norm2, surrogate, m) -> np.ndarray:
    return _shares(
        check_count(n, "n"),
        check_positive(samples, "samples"),
        check_positive(noise, "noise", zero=True),
        check_positive(readout_norm2, "readout_norm2"),
        get_surrogate(surrogate),
        check_count(m, "m"),
    )


@labelled("mean-field", _MEAN_FIELD)
def expected_wrong(
    n: int,
    samples: float,
    noise: float,
    readout_norm2: float = 1.0,
    surrogate: str | Surrogate = "relu",
    m: int = 1,
) -> float:
    """Return how many weights are wrong at a time, on average over a long run and over data sets."""
    return float(n * _law(n, samples, noise, readout_norm2, surrogate, m).mean())


@labelled("mean-field", _MEAN_FIELD)
def expected_occupancy(
    n: int,
    samples: float,
    noise: float,
    readout_norm2: float = 1.0,
    surrogate: str | Surrogate = "relu",
    m: int = 1,
) -> float:
    """Return the occupancy of w* in a typical data set (the geometric mean over data sets).

    Data sets differ: to leading order ln(occupancy) of one is off by √((π − 1)/n) of its mean. For the
    one at hand use `occupancy`, which is far sharper.

    Parameters
    ----------
    n, samples : int
        Dimension and sample size.
    noise, readout_norm2 : float
        σ and ‖v‖².
    m : int
        Hidden units.
    """
    shares = np.minimum(_law(n, samples, noise, readout_norm2, surrogate, m), _MOST)
    return float(np.exp(n * np.log1p(-shares).mean()))


@labelled("mean-field", _MEAN_FIELD)
def samples_for_occupancy(
    rho: float,
    n: int,
    noise: float,
    readout_norm2: float = 1.0,
    surrogate: str | Surrogate = "relu",
    m: int = 1,
) -> float:
    """Return the samples at which the iterates spend the share rho of a long run at w*.

    To leading order n³σ²/(2‖v‖² ln²(1/rho)) for ReLU and half of it for the identity. Zero without noise,
    where w* absorbs: see `samples_noiseless`.

    Raises
    ------
    InputError
        If rho does not lie strictly between 0 and 1.
    """
    rho = check_positive(rho, "rho")
    if rho >= 1:
        raise InputError(f"rho is {rho}; it must lie strictly between 0 and 1")
    if check_positive(noise, "noise", zero=True) == 0:
        return 0.0

    def excess(samples: float) -> float:
        return expected_occupancy(n, samples, noise, readout_norm2, surrogate, m) - rho

    return _solve(excess)


@labelled("mean-field", _MEAN_FIELD)
def samples_for_ergodic(
    n: int,
    noise: float,
    readout_norm2: float = 1.0,
    surrogate: str | Surrogate = "relu",
    m: int = 1,
    confidence: float = 0.5,
) -> float:
    """Return the samples at which the sign of the time average is w* in so many data sets.

    ``confidence`` is the share of the data sets. That needs p_k < 1/2 for all k: with pushes that are nearly
    independent, Φ(S √N/(2 √V))ⁿ = confidence. To leading order 8π n ln(n) σ²/‖v‖² for ReLU, half of it for
    the identity. Without noise it is an estimate of where the run finds w* at all.

    Raises
    ------
    InputError
        If the confidence does not lie strictly between 0 and 1.
    """
    from scipy.special import log_ndtr

    confidence = check_positive(confidence, "confidence")
    if confidence >= 1:
        raise InputError(f"confidence is {confidence}; it must lie strictly between 0 and 1")
    pull = signal(n, readout_norm2, surrogate)

    def excess(samples: float) -> float:
        shares = _law(n, samples, noise, readout_norm2, surrogate, m)
        variance = drift_variance(
            n, noise, readout_norm2, surrogate, m, float(shares.mean()), float((shares**2).mean())
        )
        if variance == 0:
            return 1.0
        return float(n * log_ndtr(pull * math.sqrt(samples / variance) / 2)) - math.log(confidence)

    return _solve(excess)


def _solve(excess) -> float:
    """Return the sample size at which an increasing function crosses zero."""
    from scipy.optimize import brentq

    low, high = math.log(_LOWEST), math.log(_HIGHEST)
    if excess(_LOWEST) > 0:
        return _LOWEST
    if excess(_HIGHEST) < 0:
        raise InputError(
            f"more than {_HIGHEST:g} samples would be needed, beyond what this law is solved for: take less "
            "label noise or a smaller n"
        )
    return math.exp(brentq(lambda x: excess(math.exp(x)), low, high, xtol=1e-10))  # type: ignore[arg-type]


@labelled("mean-field", "science.md, 8; the constant is measured")
def samples_noiseless(
    n: int, readout_norm2: float = 1.0, surrogate: str | Surrogate = "relu", m: int = 1
) -> float:
    """Return the samples at which half of the runs without label noise end at w*.

    0.8·n·ln n for ReLU and m = 1, where runs gave 0.87, 0.82 and 0.76 at n = 16, 32 and 64. For others it is
    scaled by V/S², V being the variance that wrong weights cause (top of this file) with a quarter of them
    wrong: half as many for the identity and hard tanh (0.43 and 0.44 measured, n = 32), and fewer with
    several units (0.62 for ReLU, m = 4). The readout's norm cancels.

    Parameters
    ----------
    n : int
        At least 2.
    readout_norm2 : float
        Taken so that all laws have the same arguments.
    m : int
        Hidden units, taken to have readouts of the same size.

    Raises
    ------
    InputError
        If n is below 2, and for other arguments out of range.
    """
    check_positive(readout_norm2, "readout_norm2")
    if check_count(n, "n") < 2:
        raise InputError("n is 1; the law needs at least 2 weights")
    relu = get_surrogate("relu")
    mine = _turning_variance(get_surrogate(surrogate), check_count(m, "m"), _QUARTER, _one_flip(n))
    theirs = _turning_variance(relu, 1, _QUARTER, _one_flip(n))
    pulls = signal(n, 1.0, relu) / signal(n, 1.0, surrogate)
    return NOISELESS * n * math.log(n) * mine / theirs * pulls**2


@labelled("theorem", "Jeong, Xin and Yin, arXiv 2505.18113")
def samples_proved(n: int, claim: str = "ergodic") -> float:
    """Return the order of the sample size that the paper proves to suffice, with its constant left at one.

    Parameters
    ----------
    claim : "ergodic" or "recurrent"
        n² for convergence of the time average to w* without label noise; n⁴ for iterates that visit w*
        infinitely often.

    Raises
    ------
    InputError
        For another claim.
    """
    powers = {"ergodic": 2, "recurrent": 4}
    if claim not in powers:
        raise InputError(f"claim is {claim!r}; it must be one of {', '.join(powers)}")
    return float(check_count(n, "n")) ** powers[claim]
