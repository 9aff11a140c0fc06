"""What is possible with N samples: information limit, message passing, linear methods; docs/science, 14.

With one hidden unit the problem is the Ising perceptron with a teacher: binary weights, labels
y = H(z·w*) + ξ, N = α n, n → ∞. Replica symmetry gives two functions of the overlap q = w·w* of a guess,

    ψ(r) = E ln cosh(r + √r ζ) − r/2                      (a binary weight seen through Gaussian noise)
    Ψ(q) = E_{ω, y} ln Z(y, ω),   Z = ∫ Dx P(y | H(√q ω + √(1 − q) x))

and the potential φ(q, r) = ψ(r) + α Ψ(q) − r q/2. Its stationary points, q = E tanh(r + √r ζ) and
r = 2 α Ψ′(q), are the fixed points of approximate message passing. It succeeds if α is so large that q = 1 is
the only one left. No method succeeds below the α at which q = 1 becomes the highest point.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from sterling.errors import InputError
from sterling.model.instance import Instance
from sterling.model.problem import Problem
from sterling.theory.labels import labelled
from sterling.theory.numbers import numbers_of
from sterling.theory.quadrature import hermite, panels

_NODES = 12  # of a panel of the quadratures
_FAR = 10.0  # standard deviations
_NOISE_NODES = 32  # of the quadrature over label noise
_LEAST_NOISE = 0.05  # less noise would need more nodes
_MOST_NOISE = 10.0
_GRID = 60  # values of r in the search for the largest α(r)
_FIELDS = 1e-3, 40.0  # range of r; 1 − q is 10⁻⁹ at its end
_CERTAIN = 1e3  # for larger r, tanh is 1 within ten standard deviations
_ROOT = math.sqrt(2 * math.pi)
_SOURCE = "Györgyi 1990; Sompolinsky, Tishby and Seung 1990; proof: Barbier et al. 2019, PNAS 116, 5451"
_OURS = "message passing at n = 64 solves half of the data sets with 3 % (σ = 0) and 18 % (σ = 0.5) more"


def _numbers(of) -> tuple[int, float]:
    """Return n and the label noise in units of the readout."""
    numbers = numbers_of(of, "identity")
    if numbers.m > 1:
        raise InputError(f"this limit is for one hidden unit, and m={numbers.m}: give a problem with m=1")
    noise = numbers.sigma / math.sqrt(numbers.norm2)
    if noise > _MOST_NOISE or 0 < noise < _LEAST_NOISE:
        raise InputError(
            f"noise/‖v‖ is {noise:g}; it must be 0 or between {_LEAST_NOISE} and {_MOST_NOISE:g}"
        )
    return numbers.n, noise


@labelled("theorem", _SOURCE, _OURS)
def samples_for_information(of: Problem | Instance) -> float:
    """Return the sample size below which no method finds w*, as n grows.

    At this size q = 1 becomes the highest point of the potential. The proof of Barbier et al. covers
    this channel; the numbers are computed here.

    Returns
    -------
    float
        Number of samples N. ReLU uses only half of the samples, so without noise it needs twice as many.

    Examples
    --------
    >>> round(samples_for_information(Problem(n=1000, samples=1)))
    1245
    """
    from scipy.optimize import brentq

    n, sigma = _numbers(of)
    edge = _edge(sigma)[0]

    def excess(ratio: float) -> float:
        r = _lower(ratio, sigma)
        psi, q = _weight(r)
        return -math.log(2) - (psi + ratio * _channel(q, sigma)[0] - r * q / 2)  # φ is −ln 2 at q = 1

    return n * float(brentq(excess, edge / 3, edge * (1 - 1e-9), xtol=1e-6))  # type: ignore[arg-type]


@labelled("theorem", "Rangan 2011, arXiv 1010.5141; Barbier et al. 2019, PNAS 116, 5451", _OURS)
def samples_for_messages(of: Problem | Instance) -> float:
    """Return the sample size from which approximate message passing finds w*, as n grows.

    At this size the fixed point with overlap below one disappears. No fast method is known that needs fewer.

    Returns
    -------
    float
        N.

    Examples
    --------
    >>> [round(samples_for_messages(Problem(n=1000, samples=1, noise=noise))) for noise in (0, 0.5)]
    [1493, 3215]
    """
    n, sigma = _numbers(of)
    return n * _edge(sigma)[0]


@labelled(
    "mean-field",
    "central limit theorem; to leading order Golea and Marchand 1993, Fang and Venkatesh 1996",
    "n = 64, σ = 0 and 0.5, 100 data sets a size: within 10 %",
)
def samples_for_hebb(of: Problem | Instance) -> float:
    """Return the sample size at which the sign of Σ (y − ȳ) z solves half of the data sets.

    It is 2π (1/4 + σ²/v²) x² n with Φ(x)ⁿ = 1/2. Without noise this is π n ln n to leading order.

    Returns
    -------
    float
        N.

    Examples
    --------
    >>> [round(samples_for_hebb(Problem(n=64, samples=1, noise=noise)) / 64, 1) for noise in (0, 0.5)]
    [8.3, 16.6]
    """
    n, sigma = _numbers(of)
    return 2 * math.pi * (0.25 + sigma**2) * _quantile(n) ** 2 * n


@labelled(
    "mean-field",
    "theory of linear regression with Gaussian inputs",
    "n = 64, σ = 0 and 0.5, 100 data sets a size: within 5 %",
)
def samples_for_least_squares(of: Problem | Instance) -> float:
    """Return the sample size at which the sign of least squares solves half of the data sets.

    The best linear prediction of y leaves the variance V = 1/4 − 1/(2π) + σ²/v², and a coefficient has the
    variance V/(N − n). So N = n + 2π V x² n with Φ(x)ⁿ = 1/2.

    Returns
    -------
    float
        N.

    Examples
    --------
    >>> problems = [Problem(n=64, samples=1, noise=noise) for noise in (0, 0.5)]
    >>> [round(samples_for_least_squares(problem) / 64, 1) for problem in problems]
    [4.0, 12.3]
    """
    n, sigma = _numbers(of)
    left = 0.25 - 1 / (2 * math.pi) + sigma**2
    return n + 2 * math.pi * left * _quantile(n) ** 2 * n


def _quantile(n: int) -> float:
    """Return x with Φ(x)ⁿ = 1/2, at least zero."""
    from scipy.special import ndtri

    return max(0.0, -float(ndtri(-math.expm1(-math.log(2) / n))))


def _ratio(r: float, sigma: float) -> float:
    """Return the α at which r, with its q, is a fixed point."""
    return r / _channel(_weight(r)[1], sigma)[1]


@lru_cache(maxsize=64)
def _edge(sigma: float) -> tuple[float, float]:
    """Return the largest α that has a fixed point with q < 1, and its r."""
    from scipy.optimize import minimize_scalar

    grid = np.geomspace(*_FIELDS, _GRID)
    k = int(np.argmax([_ratio(r, sigma) for r in grid]))
    found = minimize_scalar(
        lambda r: -_ratio(r, sigma),
        bounds=(grid[k - 1], grid[min(k + 1, _GRID - 1)]),
        method="bounded",
        options={"xatol": 1e-9},
    )
    return float(-found.fun), float(found.x)


def _lower(ratio: float, sigma: float) -> float:
    """Return r at the fixed point that message passing reaches from no overlap, for α below the edge."""
    from scipy.optimize import brentq

    top = _edge(sigma)[1]
    return float(brentq(lambda r: _ratio(r, sigma) - ratio, _FIELDS[0], top, xtol=1e-12))  # type: ignore[arg-type]


@lru_cache(maxsize=4096)
def _weight(r: float) -> tuple[float, float]:
    """Return ψ(r) and E tanh(r + √r ζ)."""
    if r <= 0:
        return 0.0, 0.0
    if r > _CERTAIN:
        return r / 2 - math.log(2), 1.0
    x, w = _normal(min(1.0, 1 / math.sqrt(r)), -math.sqrt(r))
    field = r + math.sqrt(r) * x
    size = np.abs(field)
    log_cosh = size + np.log1p(np.exp(-2 * size)) - math.log(2)
    return float(w @ log_cosh) - r / 2, float(w @ np.tanh(field))


@lru_cache(maxsize=4096)
def _channel(q: float, sigma: float) -> tuple[float, float]:
    """Return Ψ(q) and 2 Ψ′(q) = E (∂ ln Z/∂ω)², ω the mean of the pre-activation; Ψ(1) = 0."""
    # With label noise ln P(y | 1)/P(y | 0) = (y − 1/2)/σ². By symmetry the teacher's answer may be 1,
    # and Ψ is the mean of ln (Z/P(y | the teacher's answer)), without the entropy of the noise.
    from scipy.special import log_ndtr, ndtr

    if q >= 1:
        return 0.0, math.inf
    s = math.sqrt(1 - q)
    if q > 0:
        x, w = _normal(min(1.0, s / math.sqrt(q)), 0.0)
        u = math.sqrt(q) / s * x
    else:
        w, u = np.ones(1), np.zeros(1)
    density = np.exp(-u * u / 2) / _ROOT
    chance = ndtr(u)  # probability of the teacher's answer 1
    if sigma == 0:
        # y = 1; y = 0 is the mirror image and equally likely
        log_z = log_ndtr(u)
        slope = np.exp(-u * u / 2 - math.log(_ROOT) - log_z)
        return float(2 * (w * chance) @ log_z), float(2 * (w * chance) @ slope**2) / (1 - q)
    nodes, parts = hermite(_NOISE_NODES)
    odds = np.exp(-(0.5 + sigma * nodes) / sigma**2)[:, None]  # P(y | 0)/P(y | 1) for the teacher's answer 1
    z = chance + odds * ndtr(-u)
    slope = density * (1 - odds) / z
    both = parts[:, None] * w * chance
    return float(2 * (both * np.log(z)).sum()), float(2 * (both * slope**2).sum()) / (1 - q)


def _normal(scale: float, centre: float) -> tuple[np.ndarray, np.ndarray]:
    """Return nodes and weights of the normal distribution, with panels as narrow as ``scale`` at a centre."""
    edges = [0.0]
    while edges[-1] < 2 * _FAR:
        edges.append(max(scale / 2, 1.5 * edges[-1]))
    sides = np.array(edges)
    ends = np.unique(np.clip(np.concatenate((centre - sides, centre + sides)), -_FAR, _FAR))
    # No panel is wider than 1/2, so that the normal density is smooth on each.
    ends = np.unique(np.concatenate((ends, np.arange(-_FAR, _FAR + 0.25, 0.5))))
    x, w = panels(ends, _NODES)
    return x, w * np.exp(-x * x / 2) / _ROOT
