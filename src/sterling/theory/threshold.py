"""A threshold on the mean gradient, damping: how often w* absorbs, and how often a run ends there.

With damping θ a state b absorbs if and only if b_k G_k(b) ≤ θS for every k (docs/science). The laws are for
Gaussian inputs, with gradients in units of the signal S.

**The push on a weight.** Let D be the set of wrong weights. Over data sets the outward push b*_k G_k(D)/S on
weight k is nearly normal, with mean −1 if k ∈ D, else 0. At two sets D and E the pushes have the covariance

    (σ²‖v‖² M + (κ_k(D) + κ_k(E) − κ_k(D Δ E))/(2π) · (Σ v⁴ T + (‖v‖⁴ − Σ v⁴) M))/(N S²),

less 1/N if k is in both. κ_k is that of `response.py`, with γ = 1/m. T = M = 1 for the identity; T = 1/2 and
M = 1/2 − κ_k(D Δ E)/(2π) for ReLU. At w* this is V/(N S²) with V of `typical.py`. The pull on a single
wrong weight varies by the label noise and by the response to its own flip: κ_k({k}) = θ₁ + sin θ₁.

**Runs.** Each latent follows its own push along the path that all others take together, as in
`chatter._path`. Here |D| has its binomial distribution for this n. The push depends on whether the weight
itself is wrong, so a weight can trap itself. A weight fails if its last push leaves it wrong or turns it away
from w*_k. The probability that no weight fails is a product of n conditional ones. In the first factor the
others take their usual path, in the last the path on which none of them fails. The law is the geometric mean
of two products, one with all factors like the first and one with all factors like the last.
"""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np

from sterling.base.checks import real
from sterling.errors import InputError
from sterling.model.instance import Instance
from sterling.model.problem import Problem
from sterling.surrogates import Surrogate
from sterling.theory.chatter import PATHS, covariance, path_numbers
from sterling.theory.labels import labelled
from sterling.theory.laws import first_root
from sterling.theory.numbers import Numbers, numbers_of, samples_of
from sterling.theory.population import pull
from sterling.theory.typical import angle, variance

_SOURCE = "sterling.theory.threshold; docs/science"
_CELLS = (
    "m = 1, ReLU and identity, σ = 0.5 and 1, θ = 0.5, N where `expected_absorbed` is 0.3, 0.6 and 0.9, 100 "
    "to 400 data sets each"
)
_LARGE = f"n = 96, 192 and 384, {_CELLS}"

#: Weights up to which paths are simulated.
MOST_PATH_WEIGHTS = 4096
_MEMORY = 30  # steps in which a latent forgets: the rate of these runs is 1/(30 θS)
_STEPS = 60  # of a path; the pushes after it decide
_FEWEST_PATHS, _MOST_PATHS, _PATHS = 10_000, 80_000, 200  # latents, and latents per weight
_PATH_SEED = 20261201  # seed of their noise: the same arguments give the same result
_TABLE = np.concatenate(([0.0], np.geomspace(1e-8, 1, 400)))  # shares of wrong weights of a table of angles
_FRESH = 1e-3  # least new part of the variance of a step, so that equal states can be factored
_WIDER = 1.25  # steps of the search for a sample size
_TINY = 1e-30
_CLOSE = 3e-3  # error of ln N
_WEAK, _QUIET = 0.25, 0.1  # below this damping and this σ/‖v‖ the law asks for too many samples
_NEVER = -1e3  # logarithm of a share that cannot be distinguished from 0


@labelled("mean-field", _SOURCE, f"{_LARGE}: within 0.08 in 35 of 36 cells, 0.09 in the other")
def expected_absorbed(
    of: Problem | Instance,
    *,
    damping: float = 0.5,
    samples: float | None = None,
    surrogate: str | Surrogate = "relu",
) -> float:
    """Return the share of the data sets in which w* absorbs under damping.

    It is Φ(θS/s)ⁿ with the normal distribution function Φ. For ReLU s² is σ²‖v‖²/2N, for the identity
    σ²‖v‖²/N. Without
    label noise it is 1. A run may end elsewhere nevertheless: see `expected_last`.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> round(expected_absorbed(Problem(n=96, samples=1210, noise=0.5), surrogate="identity"), 2)
    0.8
    """
    theta = real(damping, "damping", above=0, below=1)
    return math.exp(_log_absorbed(numbers_of(of, surrogate), samples_of(of, samples), theta))


@labelled(
    "mean-field",
    _SOURCE,
    f"{_LARGE}: where the law says less than 0.6, the share of the runs is higher, by 0.01 to 0.18 and by "
    "0.08 on average; above 0.6 within 0.15. n = 96, θ = 0.3 and 0.5, σ = 0.25, 30 data sets each: within "
    "0.19",
)
def expected_last(
    of: Problem | Instance,
    *,
    damping: float = 0.5,
    samples: float | None = None,
    surrogate: str | Surrogate = "relu",
) -> float:
    """Return the share of damped runs that end at w*.

    The runs are full batch, start at random, and have the constant rate 1/(30 θS). A run may end in a trap
    although w* absorbs. The law is biased: where it says less than 0.6, more runs end at w*, see the notes.
    It refuses damping below 1/4 where σ/‖v‖ is below 0.1, because there the noise that a run makes itself
    decides. The function simulates 10,000 to 80,000 latents with a fixed seed.

    Parameters
    ----------
    surrogate : "relu" or "identity"
        Surrogate gradient: a name or a `Surrogate`.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> problem = Problem(n=96, samples=1210, noise=0.5)
    >>> expected_last(problem, surrogate="identity") < expected_absorbed(problem, surrogate="identity")
    True
    """
    theta, numbers = _settings(of, damping, surrogate)
    return math.exp(_log_last(numbers, samples_of(of, samples), theta))


@labelled(
    "mean-field",
    _SOURCE,
    "θ = 0.5, ReLU and identity, 80 to 150 data sets each, share of the runs that ended at w* with these "
    "samples: σ/‖v‖ = 0.5 and 1, n = 16, 32, 64, 192, m = 1, and n = 64, m = 2, 4: 0.47 to 0.58; σ = 0.25: "
    "0.34 to 0.54; σ = 0: 0.38 to 0.57 up to n = 64, 0.22 to 0.30 at n = 192. n = 96, σ = 0: 16 % too many "
    "samples for θ = 0.3, 52 % for θ = 0.15 (refused)",
)
def samples_for_last(
    of: Problem | Instance,
    *,
    damping: float = 0.5,
    confidence: float = 0.5,
    surrogate: str | Surrogate = "relu",
) -> float:
    """Return the sample size at which a given share of the damped runs ends at w*, by `expected_last`.

    Like that law it refuses damping below 1/4 where σ/‖v‖ is below 0.1, so weak damping without label noise.
    For a ``confidence`` below 0.6 it asks for somewhat too many samples, because `expected_last` is too low.

    Parameters
    ----------
    confidence : float
        Share of the runs, strictly between 0 and 1. It is not the confidence level of an interval.
    surrogate : "relu" or "identity"
        Surrogate gradient: a name or a `Surrogate`.

    Returns
    -------
    float
        N.

    Examples
    --------
    >>> round(samples_for_last(Problem(n=64, samples=1, noise=0.5)) / 64)
    21
    """
    theta, numbers = _settings(of, damping, surrogate)
    return _samples(numbers, theta, real(confidence, "confidence", above=0, below=1))


@lru_cache(maxsize=64)
def _samples(numbers: Numbers, theta: float, share: float) -> float:
    from scipy.special import ndtri_exp

    goal, n = math.log(share), numbers.n
    # No more runs end at w* than it absorbs data sets.
    root = float(ndtri_exp(goal / n)) / (theta * pull(numbers))
    least = max(n, root**2 * variance(numbers))
    return first_root(lambda samples: _log_last(numbers, samples, theta) - goal, n, least, _WIDER, _CLOSE)


def _settings(of: Problem | Instance, damping, surrogate: str | Surrogate) -> tuple[float, Numbers]:
    """Return θ and the numbers of a problem; refuse where chatter decides, not traps."""
    theta, numbers = real(damping, "damping", above=0, below=1), path_numbers(of, surrogate)
    if numbers.n > MOST_PATH_WEIGHTS:
        raise InputError(
            f"n is {numbers.n:,}; the law of damped runs is for at most {MOST_PATH_WEIGHTS:,} weights"
        )
    if theta < _WEAK and numbers.sigma < _QUIET * math.sqrt(numbers.norm2):
        raise InputError(
            f"with damping below {_WEAK} and σ/‖v‖ below {_QUIET} the noise that a run makes itself decides: "
            "there is no law for it, so take more damping or measure with `st.train`"
        )
    return theta, numbers


def _log_absorbed(numbers: Numbers, samples: float, theta: float) -> float:
    from scipy.special import log_ndtr

    spread = math.sqrt(variance(numbers) / samples)
    return 0.0 if spread == 0 else numbers.n * float(log_ndtr(theta * pull(numbers) / spread))


def _wedge(n: int, part: float, d: np.ndarray, inside: int) -> np.ndarray:
    """Return κ_k(D) of `response.py` for d other wrong weights; weight k is one more if ``inside`` is 1."""
    wide = angle(n, d + inside)
    return wide + part * np.sin(wide) * (1 / (d + 1) if inside else -1 / (n - d))


@lru_cache(maxsize=16)
def _wedges(n: int, part: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the mean of κ_k(D) at each share of `_TABLE`, for a right and for a wrong weight k."""
    from scipy.special import gammaln, xlog1py, xlogy

    d, share = np.arange(n), _TABLE[:, None]
    chances = gammaln(n) - gammaln(d + 1) - gammaln(n - d) + xlogy(d, share) + xlog1py(n - 1 - d, -share)
    right, wrong = (np.exp(chances) @ _wedge(n, part, d, inside) for inside in (0, 1))
    return right, wrong


@lru_cache(maxsize=1024)
def _log_last(numbers: Numbers, samples: float, theta: float) -> float:
    """Return the logarithm of the share of the runs that end at w*."""
    usual, failed = _path(numbers, samples, theta, None)
    good, _ = _path(numbers, samples, theta, ~failed)
    product = (1 - usual) * (1 - good)
    return numbers.n * math.log(product) / 2 if product > 0 else _NEVER


@lru_cache(maxsize=1)
def _numbers(paths: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the normal numbers of all paths, at the start and in each step; 6 to 38 MB."""
    from scipy.special import ndtri

    rng = np.random.default_rng(_PATH_SEED)
    start = ndtri((rng.permutation(paths) + 0.5) / paths)
    return start, rng.standard_normal((2 * _STEPS, paths), np.float32)


def _path(
    numbers: Numbers, samples: float, theta: float, seen: np.ndarray | None
) -> tuple[float, np.ndarray]:
    """Return the probability that a weight fails, and which of the simulated ones do.

    The other weights take the paths of those that are ``seen``, by default of all.
    """
    from scipy.linalg import solve_triangular
    from scipy.special import ndtr

    n = numbers.n
    paths = min(max(_FEWEST_PATHS, _PATHS * n), _MOST_PATHS)
    normal, noise = _numbers(paths)
    latent = normal / math.sqrt(n)  # right where positive
    counted = np.ones(paths, np.float32) if seen is None else seen.astype(np.float32)
    if not counted.any():
        return 1.0, np.ones(paths, bool)
    total = float(counted.sum())
    wedges, part = _wedges(n, 1 / numbers.m), PATHS[numbers.surrogate.name]
    scale = numbers.norm2**2 / (samples * pull(numbers) ** 2)  # pushes are in units of S
    signs = np.empty((_STEPS, paths), np.float32)
    root = np.zeros((2 * _STEPS, 2 * _STEPS))  # Cholesky factor; even rows: the weight is right, odd: wrong
    angles = np.empty((_STEPS, 2))
    push, sizes = np.zeros((2, paths), np.float32), [0.0, 0.0]
    wrong = latent < 0
    for t in range(_STEPS):
        signs[t] = np.where(wrong, -1, 1)
        # Sums of whole numbers and `einsum` do not depend on the number of threads, as those of BLAS do.
        apart = (1 - np.einsum("tp,p->t", signs[: t + 1], signs[t] * counted) / total) / 2
        if t and apart[t - 1] == 0:
            break  # no weight turns any more
        angles[t] = [np.interp(float(counted[wrong].sum()) / total, _TABLE, wedge) for wedge in wedges]
        between = np.column_stack([np.interp(apart, _TABLE, wedge) for wedge in wedges])
        for own in (0, 1):
            apart = between[:, ::-1] if own else between  # both weights the same, or only one of them wrong
            row = scale * covariance(numbers, part, angles[: t + 1], angles[t, own], apart)
            row[:, 1] -= own / samples
            i, size = 2 * t + own, max(float(row[t, own]), _TINY)
            if i:
                known = solve_triangular(root[:i, :i], row.ravel()[:i], lower=True, check_finite=False)
                most = (1 - _FRESH) * size / max(float(known @ known), _TINY)
                root[i, :i] = known * min(1.0, math.sqrt(most))
            root[i, i] = math.sqrt(size - root[i, :i] @ root[i, :i])
            push[own] = np.einsum("i,ip->p", root[i, : i + 1].astype(np.float32), noise[: i + 1])
            sizes[own] = size
        felt = np.where(wrong, push[1] - 1, push[0])
        latent += (signs[t] - latent - felt / theta) / _MEMORY
        wrong = latent < 0
    leaves, stays = push[0] > theta, wrong & (push[1] - 1 >= -theta)
    # The chance of leaving is known; only the chance of being caught is counted.
    chance = float(ndtr(-theta / math.sqrt(sizes[0]))) + float(np.mean(stays & ~leaves))
    return min(chance, 1.0), leaves | stays
