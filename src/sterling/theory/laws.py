"""How many samples a goal needs, and what a sample size gives, for the typical data set (`typical.py`).

At n = 16 and 64, σ from 0.001 to 1, N from 6n and 11n on, the law met the median occupancy of runs to 0.08.
"""

from __future__ import annotations

import math
from functools import cache

import numpy as np

from sterling.base.checks import choice, real
from sterling.errors import InputError
from sterling.model.instance import Instance
from sterling.model.problem import Problem
from sterling.surrogates import Surrogate, get_surrogate
from sterling.theory.labels import labelled
from sterling.theory.numbers import Numbers, numbers_of, samples_of
from sterling.theory.population import pull
from sterling.theory.slopes import mean_square_turned, slope_covariance
from sterling.theory.typical import angle, solution

#: Largest sample size for which the laws are solved.
MOST_SAMPLES = 1e15
#: Measured coefficients of `samples_untrapped`.
UNTRAPPED, UNTRAPPED_LOG, UNTRAPPED_UNITS = 1.8, 0.28, 0.8

_MEAN_FIELD = "sterling.theory.laws; to leading order docs/science, 7"
_OCCUPANCY_CHECKED = (
    "n = 16 to 128, m = 1 to 8, σ = 0.1 to 2, occupancies of 0.05 to 0.95, 10⁵ steps, N of 10 n or more "
    "(`benchmarks/papers/prediction.py`, `benchmarks/papers/plan.py`)"
)

_MOST = 1 - 1e-12  # upper bound of a share
_MOST_EACH = 1e6  # samples of a weight at which `first_root` ends
_ENOUGH = 1e-3  # error of ln N where there is no solution below
_QUARTER = math.pi / 3  # angle between w and w* with a quarter of the weights wrong
_POWERS = {"ergodic": 2, "recurrent": 4}


class BeyondError(InputError):
    """The result would need more samples than the range in which the laws are solved."""


@labelled("mean-field", _MEAN_FIELD)
def expected_occupancy(
    of: Problem | Instance, *, samples: float | None = None, surrogate: str | Surrogate = "relu"
) -> float:
    """Return the occupancy of w*, the share of the iterates that are w*, in a typical data set.

    Typical means the geometric mean over data sets. To leading order the relative standard deviation of
    ln(occupancy) is √((π − 1)/n). For a given data set use `occupancy`, which is far sharper.

    Returns
    -------
    float
        Between 0 and 1.

    Examples
    --------
    >>> round(expected_occupancy(Problem(n=64, samples=60_000, noise=0.5)), 2)
    0.48
    """
    numbers = numbers_of(of, surrogate)
    law = solution(numbers, samples_of(of, samples))
    within = np.minimum(law.shares / law.excursions, _MOST)
    return 1 - law.excursions + law.excursions * float(np.exp(numbers.n * np.log1p(-within).mean()))


@labelled("mean-field", _MEAN_FIELD, _OCCUPANCY_CHECKED)
def samples_for_occupancy(
    of: Problem | Instance, *, occupancy: float = 0.5, surrogate: str | Surrogate = "relu"
) -> float:
    """Return the samples at which a long run has the given occupancy.

    To leading order it is n³σ²/(2‖v‖² ln²(1/occupancy)) for ReLU and half of that for the identity. Without
    noise w* absorbs and the result is zero: use `samples_for_iterate`.

    Parameters
    ----------
    occupancy : float
        Share of the iterates at w*, strictly between 0 and 1.

    Returns
    -------
    float
        Number of samples N, at least one.

    Examples
    --------
    >>> round(samples_for_occupancy(Problem(n=64, samples=1, noise=0.5)))
    66938
    """
    share = real(occupancy, "occupancy", above=0, below=1)
    numbers = numbers_of(of, surrogate)
    if numbers.sigma == 0:
        return 0.0
    return _solve(lambda samples: expected_occupancy(of, samples=samples, surrogate=surrogate) - share)


def _solve(excess) -> float:
    from scipy.optimize import brentq

    if excess(1.0) > 0:
        return 1.0
    if excess(MOST_SAMPLES) < 0:
        raise BeyondError(
            f"more than {MOST_SAMPLES:g} samples would be needed, outside the range of this law: take less "
            "label noise or a smaller n"
        )
    high = math.log(MOST_SAMPLES)
    return math.exp(brentq(lambda x: excess(math.exp(x)), 0.0, high, xtol=1e-10))  # type: ignore[arg-type]


def first_root(excess, n: int, least: float | None = None, factor: float = 2.0, close: float = 1e-6) -> float:
    """Return the N from which an increasing function of N is positive; ``close`` is the error of ln N.

    The search begins at ``least``, n by default. The function may raise InputError for too few samples.
    """
    from scipy.optimize import brentq

    unit = n if least is None else 1

    @cache
    def at(size: float) -> float:
        try:
            return excess(unit * math.exp(size))
        except InputError:
            return -math.inf

    low = high = 0.0 if least is None else math.log(least)
    while at(high) <= 0:
        low, high = high, high + math.log(factor)
        if high > math.log(_MOST_EACH * n / unit):
            raise BeyondError(
                f"more than {_MOST_EACH:g}·n samples would be needed, outside the range of this law"
            )
    while low < high - _ENOUGH and at(low) == -math.inf:
        middle = (low + high) / 2
        low, high = (middle, high) if at(middle) <= 0 else (low, middle)
    if at(low) == -math.inf or low == high:
        return unit * math.exp(high)
    return unit * math.exp(brentq(at, low, high, xtol=close))  # type: ignore[arg-type]


def samples_untrapped(numbers: Numbers) -> float:
    """Return the samples at which half of the runs without label noise avoid traps; for n up to 64.

    The law is n·(1.8 + 0.28 ln n) for ReLU and m = 1, fitted to runs of 10⁴ steps, and 0.8·n·ln n for several
    units. Both are scaled by V/S², where V is the variance from wrong weights (`typical.py`) if a quarter are
    wrong. Runs at n = 32 gave 0.62·n·ln n for ReLU, m = 4, and 0.43 and 0.44 for identity and hard tanh.
    """
    relu = numbers._replace(m=1, norm2=1.0, surrogate=get_surrogate("relu"))
    pulls = pull(relu) / pull(numbers._replace(norm2=1.0))
    more = _turning_variance(numbers) / _turning_variance(relu)
    size = math.log(numbers.n)
    each = UNTRAPPED + UNTRAPPED_LOG * size if numbers.m == 1 else UNTRAPPED_UNITS * size
    return max(1.0, numbers.n * each * more * pulls**2)


def _turning_variance(numbers: Numbers) -> float:
    """Return the second bracket of V with a quarter of the weights wrong, in units of ‖v‖⁴."""
    own = mean_square_turned(numbers.surrogate, float(angle(numbers.n, 1)))
    return own / numbers.m + (1 - 1 / numbers.m) * slope_covariance(numbers.surrogate, _QUARTER)


@labelled("theorem", "Jeong, Xin and Yin, arXiv 2505.18113")
def samples_proved(of: Problem | Instance, *, claim: str = "ergodic") -> float:
    """Return the order of the sample size that the paper proves sufficient: a power of n, no constant.

    Parameters
    ----------
    of : Problem or Instance
        The problem; only its n matters.
    claim : "ergodic" or "recurrent"
        n² for convergence of the time average to w* without label noise; n⁴ for iterates that visit w*
        infinitely often.

    Returns
    -------
    float
        n² or n⁴.

    Examples
    --------
    >>> samples_proved(Problem(n=64, samples=1), claim="recurrent")
    16777216.0
    """
    power = _POWERS[choice(claim, "claim", tuple(_POWERS))]
    return float(numbers_of(of, "relu").n) ** power
