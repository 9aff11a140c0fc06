"""Chatter: wrong weights that keep each other wrong, and when a run finds w* nevertheless; docs/science, 8.

The equations have two branches of solutions. On the *upper branch* a steady share of wrong weights sustains
itself: this is chatter. The share solves the equations of `box.py` for one hidden unit and of `units.py` for
several. The *lower branch* is w* itself, which is absorbing only without label noise.

A run that chatters reaches w* by chance. With decaying step sizes it may reach w* earlier, in the *dip*: the
share of wrong weights first falls close to zero, then rises to the upper branch (`_path`). Everything here is
mean-field.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from sterling.base.checks import instance_of, integer, real
from sterling.base.text import Result
from sterling.errors import InputError
from sterling.model.instance import Instance
from sterling.model.levels import level_values
from sterling.model.problem import Problem
from sterling.schedules import Power, Schedule
from sterling.surrogates import Surrogate
from sterling.theory.box import fit
from sterling.theory.labels import labelled
from sterling.theory.laws import BeyondError, first_root, samples_untrapped
from sterling.theory.numbers import Numbers, numbers_of, samples_of, window_of
from sterling.theory.typical import normal_quantiles
from sterling.theory.units import fit_units

_SOURCE = "sterling.theory.chatter and box; docs/science, 8"

#: Surrogates whose path from a random start is known, each with the share of the samples whose slope is 1.
PATHS = {"identity": 1.0, "relu": 0.5}
_POINTS = 4000  # quantiles that represent the normal distribution over weights
_STUCK = 0.95  # cap on p_k: data sets above it do not end at w*
_FEWEST_PATHS, _MOST_PATHS = 4000, 16_000  # latents simulated in `_path`
_PATHS = 16  # latents per weight between these bounds, so that exp(−n x) is accurate
_PATH_SEED = 20250518  # seed of their noise: the same arguments give the same result
_MOST_RATE = 1e30  # a larger step forgets its start as well, and float32 cannot hold its size
_APPROACH = 120  # the usual step sizes come closest to w* within this number of steps
_COARSE = 1e-3  # error of ln N at a threshold
_MANY_ENDS = 20.0  # logarithm of a number of ends from which on a run surely ends
_LEAST_VARIANCE = 1e-300  # the variance vanishes where no weight is ever wrong


@dataclass(frozen=True)
class Chatter(Result):
    """Predictions of `chatter` for a long run.

    Parameters
    ----------
    share : float
        Mean share of wrong weights.
    moving : float
        Share of the weights that are sometimes wrong and sometimes right.
    misread : float
        Share of the weights that are wrong for more than half of the time.
    log_lifetime : float
        Logarithm of the number of steps until all weights are right at once.

    Examples
    --------
    >>> Chatter(share=0.06, moving=0.48, misread=0.0, log_lifetime=9.2).to_dict()["share"]
    0.06
    """

    share: float
    moving: float
    misread: float
    log_lifetime: float


@labelled(
    "mean-field",
    _SOURCE,
    "share: n = 256, 512, 1024, m = 1, N/n = 2.5 to 4.5 for the identity and twice that for ReLU, σ = 0, "
    "constant rate: within 4 % of the mean over data sets; n = 256, σ = 0.1 to 1 and m = 4: within 16 %. "
    "log_lifetime: σ = 0, n = 64, 128, 256, 80 to 60,000 steps: within 0.8",
)
def chatter(
    of: Problem | Instance, *, samples: float | None = None, surrogate: str | Surrogate = "relu"
) -> Chatter:
    """Return the share of wrong weights that sustains itself (the upper branch), and how long it lasts.

    ``share`` is stationary. Runs at a constant rate reach it within about 200 steps. Runs with step sizes
    like 1/√t approach it from below, within about 10⁴ steps. The lifetime is that of the typical data set at
    a constant rate, 1/Π(1 − p_k): at each step weight k is wrong with probability p_k, independently of the
    others. With label noise it is the time between visits to w*.

    Returns
    -------
    Chatter
        Shares of the n weights, and the logarithm of the lifetime in steps.

    Examples
    --------
    >>> found = chatter(Problem(n=512, samples=3 * 512), surrogate="identity")
    >>> round(found.share, 4), round(found.log_lifetime, 1)
    (0.0718, 42.3)
    """
    numbers = numbers_of(of, surrogate)
    return _chatter(numbers, samples_of(of, samples))


def _chatter(numbers: Numbers, samples: float) -> Chatter:
    from scipy.special import ndtr

    centre, spread = _single(numbers, samples)
    shares = np.clip((1 - centre - spread * normal_quantiles(_POINTS)) / 2, 0, 1)
    capped = np.minimum(shares, _STUCK)
    return Chatter(
        share=float(shares.mean()),
        moving=float(np.mean((shares > 0) & (shares < 1))),
        misread=float(ndtr(-centre / spread)),
        log_lifetime=float(-numbers.n * np.log1p(-capped).mean()),
    )


def _log_right(numbers: Numbers, samples: float) -> float:
    """Return the mean logarithm of the probability that the level nearest to an average is that of w*."""
    from scipy.special import log_ndtr, ndtr

    centre, spread = _single(numbers, samples)
    if numbers.levels == 2:
        return float(log_ndtr(centre / spread))
    values = np.array(level_values(numbers.levels), float)
    gap, width = values[1] - values[0], spread * math.sqrt(np.mean(values**2))
    edges = (values[:-1] + gap / 2 - centre * values[:, None]) / width
    below = ndtr(np.pad(edges, ((0, 0), (1, 1)), constant_values=(-np.inf, np.inf)))
    right = np.diff(below, axis=1).diagonal()
    return float(np.log(np.maximum(right, _LEAST_VARIANCE)).mean())


def _single(numbers: Numbers, samples: float) -> tuple[float, float]:
    """Return r and t of `box.py` or `units.py`."""
    ratio, noise = samples / numbers.n, numbers.sigma / math.sqrt(numbers.norm2)
    if numbers.m == 1:
        found = fit(ratio, noise, numbers.surrogate, numbers.levels)
    else:
        found = fit_units(ratio, noise, numbers.surrogate, numbers.m, numbers.levels)
    if found is None:
        raise InputError(
            f"with {samples:g} samples at n={numbers.n} a run has no stationary state near w*: take more "
            "samples"
        )
    return found.centre, found.spread


@labelled(
    "mean-field",
    _SOURCE,
    "3,500 steps at a constant rate: n = 128 to 1024, m = 1, σ = 0, ReLU, identity and hard tanh, n = 128, "
    "m = 4, σ = 0 and 0.5, n = 64, σ = 0.5, n = 180, m = 2, σ = 0, n = 90, m = 2 (hard tanh) and 3 (ReLU), "
    "σ = 0.7: within 5 %; n = 90, 128, 180 and 256, m = 1 to 4, σ = 0 and 0.7, 600 runs a cell "
    "(`benchmarks/papers/average.txt`): within 5 %. At n = 64 and σ = 0 it is 24 % too high, because the "
    "chatter ends within the run. "
    "3 levels, n = 64 and 96, m = 1 and 2, σ = 0 and 0.5, and 4 levels, n = 96: 35 to 65 % of 40 to 60 data "
    "sets decode. 6 and 8 levels, n = 64, σ = 0.2, identity: 9 and 6 of 24 after 10⁴ default steps, 8 and 13 "
    "after 2·10⁴ at the rate 0.1",
)
def samples_for_average(
    of: Problem | Instance,
    *,
    confidence: float = 0.5,
    steps: int | None = None,
    schedule: Schedule | None = None,
    surrogate: str | Surrogate = "relu",
) -> float:
    """Return the sample size at which the time average decodes to w* in a given share of the data sets.

    The average decodes if each weight k is wrong for a share p_k < 1/2 of the time; the p_k of different
    weights are nearly independent. Without label noise N/n grows like (ln n)^(3/4), so a fitted power law is
    slightly steeper than linear.

    Parameters
    ----------
    confidence : float
        Share of the data sets in which the time average decodes, strictly between 0 and 1. It is not the
        confidence level of an interval.
    steps : int, optional
        Number of steps of a run. Without label noise half of the runs may end at w* within these steps with
        fewer samples (`samples_for_iterate`); then the function returns that smaller number. Without
        ``steps`` it ignores such ends.

    Returns
    -------
    float
        N.

    Examples
    --------
    >>> [round(samples_for_average(Problem(n=n, samples=1)) / n, 1) for n in (128, 1024)]
    [5.7, 7.6]
    >>> round(samples_for_average(Problem(n=128, samples=1), steps=10**5) / 128, 1)
    5.3
    """
    share = real(confidence, "confidence", above=0, below=1)
    numbers = numbers_of(of, surrogate, levels=True)
    noise = numbers.sigma  # raises InputError if it is unknown, before `first_root` catches such errors
    window_of(numbers.surrogate)  # and so does this

    def excess(samples: float) -> float:
        return numbers.n * _log_right(numbers, samples) - math.log(share)

    samples = first_root(excess, numbers.n)
    if steps is None:
        return samples
    budget, chosen = integer(steps, "steps", 1), _checked_schedule(schedule)
    known = numbers.n > 1 and numbers.levels == 2 and numbers.surrogate.name in PATHS
    if noise or share != 0.5 or not known:
        return samples
    try:
        return min(samples, samples_for_iterate(of, steps=budget, schedule=chosen, surrogate=surrogate))
    except BeyondError:
        return samples


@labelled(
    "mean-field",
    _SOURCE,
    "m = 1, σ = 0: n = 64 to 1024, 400 steps at 0.5/√(t + 1): within 14 %; n = 64 to 256, 10⁴ steps at a "
    "constant 0.5: within 7 %; n = 64 to 512, 10⁵ steps at 0.5/√(t + 1) (runs of docs/science, 8): "
    "within 17 %; n = 16 to 64, m = 1, and n = 16 and 32, m = 4, 10⁴ steps at 0.5/√(t + 1): 37 to 60 % of "
    "the runs ended at w*; the same steps, m = 1, n = 64 to 300: within 5 % with the identity; with ReLU "
    "1 to 7 % too many samples for n up to 150, and 19 % for 200 and 300",
)
def samples_for_iterate(
    of: Problem | Instance,
    *,
    steps: int,
    schedule: Schedule | None = None,
    surrogate: str | Surrogate = "relu",
) -> float:
    """Return the sample size at which half of the noiseless runs end at w* within a number of steps.

    If the share of wrong weights is x at a step, all weights are right at once with probability exp(−n x),
    and the run ends. This can happen in two ways. *In the dip*: with decaying step sizes the latents that
    will chatter return to zero late, so few weights are wrong early, in the first 120 steps. *By
    chance*: later the probability at each step is that of `chatter`. A constant rate has no dip. At 10⁵ steps
    the dip determines the result from about n = 400.

    Up to about n = 64 runs may also end in traps. With n·(1.8 + 0.28 ln n) samples half of them do, as
    measured for ReLU and m = 1 (`laws.samples_untrapped` has the others). A trap holds a weight against its
    pull by a normal push of variance 1/N. So the mean number of traps is n Φ(−x √N), where that half fixes x.
    A run ends at w* if it finds w* and avoids traps; the law takes the two as independent.

    Parameters
    ----------
    steps : int
        Number of steps of a run.
    surrogate : "relu" or "identity"
        Surrogate gradient: a name or a `Surrogate`.

    Returns
    -------
    float
        N.

    Examples
    --------
    >>> problem = Problem(n=128, samples=1)
    >>> [round(samples_for_iterate(problem, steps=t) / 128) for t in (10**4, 10**5)]
    [7, 5]
    """
    numbers = path_numbers(of, surrogate)._replace(noise=0.0)
    return _ends(numbers, integer(steps, "steps", 1), _checked_schedule(schedule))


@lru_cache(maxsize=32)
def _ends(numbers: Numbers, budget: int, chosen: Schedule) -> float:
    from scipy.special import ndtr, ndtri

    early = min(budget, _APPROACH)
    n, untrapped = numbers.n, samples_untrapped(numbers)
    margin = -float(ndtri(math.log(2) / max(n, 2)))

    def excess(samples: float) -> float:
        """Return the logarithm of twice the share of the runs that end at w*."""
        late = math.log(max(budget - early, 1e-300)) - _chatter(numbers, samples).log_lifetime
        path = n * _path(numbers, samples, early, chosen)
        ends = min(float(np.logaddexp(np.logaddexp.reduce(-path), late)), _MANY_ENDS)
        found = ends if ends < -_MANY_ENDS else math.log(-math.expm1(-math.exp(ends)))
        traps = n * float(ndtr(-margin * math.sqrt(samples / untrapped)))
        return found - traps + math.log(2)

    return first_root(excess, numbers.n, close=_COARSE)


def _checked_schedule(schedule) -> Schedule:
    if schedule is None:
        return Power(0.5, 0.5)
    return instance_of(
        schedule, Schedule, "schedule", "Constant(rate), Power(rate, exponent) or Table(rates)"
    )


def path_numbers(of: Problem | Instance, surrogate: str | Surrogate) -> Numbers:
    """Return the numbers of a problem whose surrogate is in `PATHS`; InputError if it is not."""
    numbers = numbers_of(of, surrogate)
    if numbers.surrogate.name not in PATHS:
        raise InputError(
            f"surrogate is {numbers.surrogate.name}; the path is known for identity and relu only"
        )
    return numbers


def _path(numbers: Numbers, samples: float, steps: int, schedule: Schedule) -> np.ndarray:
    from scipy.linalg import solve_triangular
    from scipy.special import ndtri

    part = PATHS[numbers.surrogate.name]
    rng = np.random.default_rng(_PATH_SEED)
    paths = min(max(_FEWEST_PATHS, _PATHS * numbers.n), _MOST_PATHS)
    latent = ndtri((rng.permutation(paths) + 0.5) / paths)  # √n·u, right where positive
    signs = np.empty((steps, paths), np.float32)
    noise = rng.standard_normal((steps, paths), np.float32)
    root = np.zeros((steps, steps))  # Cholesky factor of the noise's covariance
    means = np.empty(steps)
    size = 1 / math.sqrt(samples / numbers.n)
    for t in range(steps):
        signs[t] = np.where(latent >= 0, 1, -1)
        means[t] = signs[t].mean()
        common = np.clip(signs[: t + 1] @ signs[t] / paths, -1, 1)
        away = np.arccos(np.clip(means[: t + 1], -1, 1))
        row = covariance(numbers, part, away, away[t], np.arccos(common))
        if t:
            root[t, :t] = solve_triangular(root[:t, :t], row[:t], lower=True)
        root[t, t] = math.sqrt(max(row[t] - root[t, :t] @ root[t, :t], 1e-10))
        push = size * np.einsum("i,ip->p", root[t, : t + 1].astype(np.float32), noise[: t + 1])
        rate = min(schedule.at(t), _MOST_RATE)
        latent = latent - rate * (part * (signs[t] - 1) / math.sqrt(2 * math.pi) + push)
    return (1 - means) / 2


def covariance(numbers: Numbers, part: float, one, two, apart):
    """Return N·cov of a coordinate of G/‖v‖² at two states, from their angles to w* and between them."""
    turned = np.maximum(0.0, one + two - apart) / (2 * math.pi)
    both = 1.0 if part == 1 else 0.5 - apart / (2 * math.pi)  # M of `slopes.py`
    m = numbers.m
    return numbers.sigma**2 / numbers.norm2 * both + turned * (part / m + (1 - 1 / m) * both)
