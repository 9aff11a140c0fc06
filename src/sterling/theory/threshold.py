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
itself is wrong, so a weight can trap itself: it ends wrong, and its pull is at most θS. A weight that w*
pushes by g > θS does not stay. If it is pulled back by h > θS when wrong, its latent stays near zero, so it
is wrong for the share (g − θS)/(g + h − 2θS) of the time. So a run can end at w* although w* does not absorb.
To stay there, no weight may be pushed by more than θS at w* itself.

The probability that no weight fails is a product of n conditional ones: weight k does not fail, given that
the weights before it do not. The others' path is a mixture of the paths that do not fail and, for the part
that comes after k, of all paths. The logarithm is integrated over this part by Simpson's rule. A group of up
to four weights that fail only together then counts once. The law leaves out that the samples respond to the
run (reaction): runs come to w* more slowly than the law says, the more so the smaller N/n is.
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
from sterling.theory.quadrature import hermite
from sterling.theory.typical import angle, variance

_SOURCE = "sterling.theory.threshold; docs/science"
_CELLS = (
    "m = 1, ReLU and identity, σ = 0.5 and 1, θ = 0.5, N where `expected_absorbed` is 0.3, 0.6 and 0.9, 100 "
    "to 400 data sets each"
)
_LARGE = f"n = 96, 192 and 384, {_CELLS}"

_CHECKED = (
    "n = 64, the same σ, θ and N, 200 data sets each: within 0.07 in 12 cells. n = 48 and 128, 400 data sets "
    "each: six shares within 0.05, and the six shares of the runs that stay within 0.04. 200 data sets each: "
    "σ = 0, n = 64, θ = 0.5 and n = 96, θ = 0.3: 0.53 and 0.55 where 0.44 and 0.58 of the runs ended; "
    "n = 96, θ = 0.3, σ = 0.25, where w* absorbs in 0.07: far too low, 0.15 and 0.20 for 0.41 and 0.38"
)

#: Weights up to which paths are simulated.
MOST_PATH_WEIGHTS = 4096
_MEMORY = 30  # steps in which a latent forgets: the rate of these runs is 1/(30 θS)
_STEPS = 60  # of a path; the pushes after it decide
_FEWEST_PATHS, _MOST_PATHS, _PATHS = 20_000, 40_000, 100  # latents, and latents per weight
_CAUGHT = 5_000  # latents of the runs in which a weight is held
_PATH_SEED = 20261201  # seed of their noise: the same arguments give the same result
_TABLE = np.concatenate(([0.0], np.geomspace(1e-8, 1, 400)))  # shares of wrong weights of a table of angles
_FRESH = 1e-4  # part of the variance of a step that is new, so that equal states can be factored
_WIDER = 1.25  # steps of the search for a sample size
_SIMPSON = ((0.0, 1 / 6), (0.5, 4 / 6), (1.0, 1 / 6))  # shares of the weights known not to fail, and factors
_UNITS = 64  # of these shares: whole numbers, so that float32 sums over the paths are exact
_POINTS, _NODES = 200, 20  # of the integral over the last two pushes
_TINY = 1e-30
_CLOSE = 3e-3  # error of ln N
_WEAK, _QUIET = 0.25, 0.1  # below this damping and this σ/‖v‖ the law asks for too many samples
_NEVER = -1e3  # logarithm of a share that cannot be distinguished from 0


@labelled(
    "mean-field",
    _SOURCE,
    f"{_LARGE}: within 0.08 in 34 of 36 cells; in the others 0.10 and 0.09, and 0.04 with 400 data sets",
)
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


@labelled("mean-field", _SOURCE, f"{_LARGE}: within 0.12 in 36 of 36 cells, within 0.06 in 32. {_CHECKED}")
def expected_last(
    of: Problem | Instance,
    *,
    damping: float = 0.5,
    samples: float | None = None,
    surrogate: str | Surrogate = "relu",
    stays: bool = False,
) -> float:
    """Return the share of damped runs that end at w*.

    The runs are full batch, start at random, and have the constant rate 1/(30 θS). A run may end in a trap
    although w* absorbs. A run may also be at w* in its last step although it will leave w* again. The law
    refuses damping below 1/4 where σ/‖v‖ is below 0.1, because there the noise that a run makes itself
    decides. The function simulates 20,000 to 40,000 latents with a fixed seed; with other seeds the share
    changes by at most 0.02.

    Parameters
    ----------
    surrogate : "relu" or "identity"
        Surrogate gradient: a name or a `Surrogate`.
    stays : bool
        True for the share of the runs that end at w* and stay there, because w* absorbs.

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
    return math.exp(_log_last(numbers, samples_of(of, samples), theta, bool(stays)))


@labelled(
    "mean-field",
    _SOURCE,
    "θ = 0.5, ReLU and identity, 80 to 150 data sets each, share of the runs that ended at w* with these "
    "samples: σ/‖v‖ = 0.5 and 1, n = 16, 32, 64, 192, m = 1, and n = 64, m = 2, 4: 0.47 to 0.58; σ = 0.25: "
    "0.34 to 0.54; σ = 0: 0.38 to 0.57 up to n = 64, 0.22 to 0.30 at n = 192. These are shares at the "
    "samples of an earlier version of the law, which differ by up to 7 %. It asked for 52 % too many at "
    "n = 96, σ = 0, θ = 0.15 (refused)",
)
def samples_for_last(
    of: Problem | Instance,
    *,
    damping: float = 0.5,
    confidence: float = 0.5,
    surrogate: str | Surrogate = "relu",
) -> float:
    """Return the sample size at which a given share of the damped runs ends at w* and stays there.

    It inverts `expected_last` with ``stays=True``. Like that law it refuses damping below 1/4 where σ/‖v‖ is
    below 0.1, so weak damping without label noise.

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
    return first_root(
        lambda samples: _log_last(numbers, samples, theta, True) - goal, n, least, _WIDER, _CLOSE
    )


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
def _log_last(numbers: Numbers, samples: float, theta: float, stays: bool) -> float:
    """Return the logarithm of the share of the runs that end at w*."""
    paths = min(max(_FEWEST_PATHS, _PATHS * numbers.n), _MOST_PATHS)
    right, total = np.ones(paths), 0.0
    for part, factor in _SIMPSON:
        counted = np.rint(_UNITS * (1 - part + part * right / right.mean()))
        chance, wrong = _path(numbers, samples, theta, stays, counted.astype(np.float32))
        right = 1 - wrong
        if chance >= 1 or not right.any():
            return _NEVER
        total += factor * math.log1p(-chance)
    return numbers.n * total


@lru_cache(maxsize=1)
def _numbers(paths: int) -> tuple[np.ndarray, np.ndarray]:
    """Return the normal numbers of all paths, at the start and in each step; 10 to 19 MB."""
    from scipy.special import ndtri

    rng = np.random.default_rng(_PATH_SEED)
    start = ndtri((rng.permutation(paths) + 0.5) / paths)
    return start, rng.standard_normal((2 * _STEPS + 1, paths), np.float32)


def _path(
    numbers: Numbers, samples: float, theta: float, stays: bool, counted: np.ndarray
) -> tuple[float, np.ndarray]:
    """Return the probability that a weight fails, and how far each of the simulated ones does, 0 to 1.

    The other weights take the simulated paths with the weights ``counted``.
    """
    from scipy.linalg import solve_triangular

    n, paths, total = numbers.n, len(counted), float(counted.sum())
    normal, noise = _numbers(paths)
    latent = normal / math.sqrt(n)  # right where positive
    wedges, part = _wedges(n, 1 / numbers.m), PATHS[numbers.surrogate.name]
    scale = numbers.norm2**2 / (samples * pull(numbers) ** 2)  # pushes are in units of S
    signs = np.empty((_STEPS, paths), np.float32)
    root = np.zeros((2 * _STEPS, 2 * _STEPS))  # Cholesky factor; even rows: the weight is right, odd: wrong
    angles = np.empty((_STEPS, 2))
    pushes = np.zeros((2, paths), np.float32)
    for t in range(_STEPS):
        wrong = latent < 0
        signs[t] = np.where(wrong, -1, 1)
        # Sums of whole numbers below 2²⁴ are exact, and `einsum` does not depend on the number of threads.
        apart = (1 - np.einsum("tp,p->t", signs[: t + 1], signs[t] * counted) / total) / 2
        angles[t] = [np.interp(float(counted[wrong].sum()) / total, _TABLE, wedge) for wedge in wedges]
        between = np.column_stack([np.interp(apart, _TABLE, wedge) for wedge in wedges])
        for own in (0, 1):
            apart = between[:, ::-1] if own else between  # both weights the same, or only one of them wrong
            row = scale * covariance(numbers, part, angles[: t + 1], angles[t, own], apart)
            row[:, 1] -= own / samples
            i, size = 2 * t + own, max(float(row[t, own]), _TINY)
            if i:
                known = solve_triangular(root[:i, :i], row.ravel()[:i], lower=True, check_finite=False)
                root[i, :i] = known * min(1.0, math.sqrt(size / max(float(known @ known), _TINY)))
            root[i, i] = math.sqrt((1 + _FRESH) * size - root[i, :i] @ root[i, :i])
            pushes[own] = _push(root[i, : i + 1], noise)
        latent = _moved(latent, pushes, theta)
    # The last row is the push at w* itself, where the weight is right and no other one is wrong.
    row = scale * covariance(numbers, part, angles, 0.0, angles).ravel()
    size = max(scale * float(covariance(numbers, part, 0.0, 0.0, 0.0)), _TINY)
    known = solve_triangular(root, row, lower=True, check_finite=False)
    known *= min(1.0, math.sqrt(size / max(float(known @ known), _TINY)))
    root = np.pad(root, ((0, 1), (0, 1)))
    root[-1] = (*known, math.sqrt((1 + _FRESH) * size - known @ known))
    wrong = _share(pushes[0] - theta, 1 - theta - pushes[1])
    held = (latent < 0) & (pushes[1] >= 1 - theta)
    if stays:
        held |= _push(root[-1], noise) > theta
    chance = _leaves(root, theta, stays) + _caught(root, theta, stays, normal / math.sqrt(n), noise)
    return chance, np.where(held, 1.0, wrong)


def _push(row: np.ndarray, noise: np.ndarray) -> np.ndarray:
    return np.einsum("i,ip->p", row.astype(np.float32), noise[: len(row)])


def _moved(latent: np.ndarray, pushes, theta: float) -> np.ndarray:
    """Return the latents after a step."""
    wrong = latent < 0
    felt = np.where(wrong, pushes[1] - 1, pushes[0])
    return latent + (np.where(wrong, -1, 1) - latent - felt / theta) / _MEMORY


def _share(away: np.ndarray, back: np.ndarray) -> np.ndarray:
    """Return the share of the time for which a weight is wrong that is pushed away, and pulled back."""
    away = np.maximum(away, 0)
    return away / np.maximum(away + np.maximum(back, 0), _TINY)


def _leaves(root: np.ndarray, theta: float, stays: bool) -> float:
    """Return the mean of `_share` over the last pushes; to stay, a weight must not be pushed away at w*."""
    from scipy.special import ndtr, ndtri

    right, wrong, home = root[-3:]
    spread = math.sqrt(right @ right)
    beyond = float(ndtr(-theta / spread))
    first = right / spread
    rest = wrong - (wrong @ first) * first
    width = math.sqrt(rest @ rest)
    chance = float(ndtr(-theta / math.sqrt(home @ home))) if stays else 0.0
    if beyond < _TINY:
        return chance
    x = -ndtri(beyond * (np.arange(_POINTS) + 0.5) / _POINTS)[:, None]
    nodes, weights = hermite(_NODES)
    shares = _share(spread * x - theta, 1 - theta - (wrong @ first) * x - width * nodes)
    if stays:
        one, two = home @ first, home @ rest / max(width, _TINY)
        last = math.sqrt(max(home @ home - one**2 - two**2, _TINY))
        shares *= ndtr((theta - one * x - two * nodes) / last)
    return chance + beyond * float((shares @ weights).mean())


def _caught(root: np.ndarray, theta: float, stays: bool, latent: np.ndarray, noise: np.ndarray) -> float:
    """Return the probability that a weight ends wrong, held by its pull, and is not in `_leaves`."""
    from scipy.special import ndtr, ndtri

    # Pulls that hold a wrong weight are rare, so paths are drawn given that the last pull does.
    last = root[-2].astype(np.float32)
    spread = math.sqrt(last @ last)
    beyond = float(ndtr(-(1 - theta) / spread))
    if beyond < _TINY:
        return 0.0
    latent, noise = latent[:_CAUGHT], noise[:, :_CAUGHT]
    push = -spread * ndtri(beyond * (np.arange(_CAUGHT) + 0.5) / _CAUGHT)
    noise = noise + last[:, None] * ((push - _push(last, noise)) / spread**2).astype(np.float32)
    for t in range(_STEPS):
        pushes = [_push(root[i, : i + 1], noise) for i in (2 * t, 2 * t + 1)]
        latent = _moved(latent, pushes, theta)
    caught = (latent < 0) & (_push(root[-3], noise) <= theta)
    if stays:
        caught &= _push(root[-1], noise) <= theta
    return beyond * float(np.mean(caught))
