"""Four numbers: how many samples it takes, before there are any data.

The typical data set is that of `typical.py`, for Gaussian inputs. At n = 16 and 64, σ from 0.001 to 1 and
sample sizes from 6n and 11n on, the median occupancy of runs lay within 0.08 of it.
"""

from __future__ import annotations

import math

import numpy as np

from sterling.errors import InputError
from sterling.surrogates import Surrogate, get_surrogate
from sterling.theory.labels import labelled
from sterling.theory.population import check_count, check_positive, signal
from sterling.theory.slopes import mean_square_turned, slope_covariance
from sterling.theory.typical import Law, solution

#: Sample sizes beyond which the laws are not solved.
MOST_SAMPLES = 1e15
#: Samples at which half of the runs without label noise end at w*, in units of n·ln(n), ReLU. Measured.
NOISELESS = 0.8

_MEAN_FIELD = "sterling.theory.laws; to leading order science.md, 7"

_MOST = 1 - 1e-12  # a share is kept below this
_LARGEST = 1e70  # n of which the fourth power is a float
_QUARTER = math.pi / 3  # angle between w and w* with a quarter of the weights wrong


class BeyondError(InputError):
    """More samples would be needed than the laws are solved for."""


def _law(n, samples, noise, readout_norm2, surrogate, m) -> Law:
    return solution(
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
    """Return how many weights are wrong at a time, on average over a long run and over data sets.

    Parameters
    ----------
    n : int
        Dimension, the number of weights.
    samples : float
        N, the size of the data sets.
    noise : float
        σ, standard deviation of the label noise.
    readout_norm2 : float
        ‖v‖².
    surrogate : str or Surrogate
    m : int
        Hidden units, taken to have readouts of the same size.

    Returns
    -------
    float

    Raises
    ------
    InputError
        For an argument out of its range.
    """
    return float(n * _law(n, samples, noise, readout_norm2, surrogate, m).shares.mean())


@labelled("mean-field", _MEAN_FIELD)
def expected_occupancy(
    n: int,
    samples: float,
    noise: float,
    readout_norm2: float = 1.0,
    surrogate: str | Surrogate = "relu",
    m: int = 1,
) -> float:
    """Return the occupancy of w*, the share of the iterates that are w*, in a typical data set.

    Typical is the geometric mean over data sets. They differ: to leading order ln(occupancy) of one is off by
    √((π − 1)/n) of its mean. For the one at hand use `occupancy`, which is far sharper.

    Parameters
    ----------
    n : int
        Dimension, the number of weights.
    samples : float
        N, the size of the data sets.
    noise : float
        σ, standard deviation of the label noise.
    readout_norm2 : float
        ‖v‖².
    surrogate : str or Surrogate
    m : int
        Hidden units, taken to have readouts of the same size.

    Returns
    -------
    float
        Between 0 and 1.

    Raises
    ------
    InputError
        For an argument out of its range.
    """
    law = _law(n, samples, noise, readout_norm2, surrogate, m)
    within = np.minimum(law.shares / law.excursions, _MOST)
    return 1 - law.excursions + law.excursions * float(np.exp(n * np.log1p(-within).mean()))


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

    Parameters
    ----------
    rho : float
        Occupancy, strictly between 0 and 1.
    n : int
        Dimension, the number of weights.
    noise : float
        σ, standard deviation of the label noise.
    readout_norm2 : float
        ‖v‖².
    surrogate : str or Surrogate
    m : int
        Hidden units, taken to have readouts of the same size.

    Returns
    -------
    float

    Raises
    ------
    InputError
        For an argument out of its range, and where more than 10¹⁵ samples would be needed.
    """
    rho = _check_inside(rho, "rho")
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

    That needs p_k < 1/2 for all k: with pushes that are nearly independent, Φ(S √N/(2 √V))ⁿ = confidence. To
    leading order 8π n ln(n) σ²/‖v‖² for ReLU, half of it for the identity. It is never less than
    `samples_noiseless`, where half of the runs find w* at all, and that is what it is without label noise.

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
    confidence : float
        Share of the data sets, strictly between 0 and 1.

    Returns
    -------
    float

    Raises
    ------
    InputError
        For an argument out of its range, and where more than 10¹⁵ samples would be needed.
    """
    from scipy.special import log_ndtr

    confidence = _check_inside(confidence, "confidence")
    pull = signal(n, readout_norm2, surrogate)
    finds = samples_noiseless(n, readout_norm2, surrogate, m) if n > 1 else 1.0
    if check_positive(noise, "noise", zero=True) == 0:
        return finds

    def excess(samples: float) -> float:
        variance = _law(n, samples, noise, readout_norm2, surrogate, m).variance
        if variance == 0:  # of a noise so little that its square is
            return 1.0
        return float(n * log_ndtr(pull * math.sqrt(samples / variance) / 2)) - math.log(confidence)

    return max(finds, _solve(excess))


def _check_inside(value, name: str) -> float:
    share = check_positive(value, name)
    if share >= 1:
        raise InputError(f"{name} is {share}; it must lie strictly between 0 and 1")
    return share


def _solve(excess) -> float:
    """Return the sample size at which an increasing function crosses zero, at least one."""
    from scipy.optimize import brentq

    if excess(1.0) > 0:
        return 1.0
    if excess(MOST_SAMPLES) < 0:
        raise BeyondError(
            f"more than {MOST_SAMPLES:g} samples would be needed, beyond what this law is solved for: take "
            "less label noise or a smaller n"
        )
    high = math.log(MOST_SAMPLES)
    return math.exp(brentq(lambda x: excess(math.exp(x)), 0.0, high, xtol=1e-10))  # type: ignore[arg-type]


@labelled("mean-field", "science.md, 8; the constant is measured")
def samples_noiseless(
    n: int, readout_norm2: float = 1.0, surrogate: str | Surrogate = "relu", m: int = 1
) -> float:
    """Return the samples at which half of the runs without label noise end at w*.

    0.8·n·ln n for ReLU and m = 1, where runs gave 0.87, 0.82 and 0.76 at n = 16, 32 and 64. For others it is
    scaled by V/S², V being the variance that wrong weights cause (top of `typical.py`) with a quarter of them
    wrong: half as many for the identity and hard tanh (0.43 and 0.44 measured, n = 32), and fewer with
    several units (0.62 for ReLU, m = 4). The readout's norm cancels.

    Parameters
    ----------
    n : int
        Dimension, the number of weights; at least 2.
    readout_norm2 : float
        ‖v‖², taken so that all laws have the same arguments.
    surrogate : str or Surrogate
    m : int
        Hidden units, taken to have readouts of the same size.

    Returns
    -------
    float

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


def _turning_variance(surrogate: Surrogate, m: int, apart: float, turned: float) -> float:
    """Return the second bracket of V at single states, in units of ‖v‖⁴, for m equal readouts."""
    return mean_square_turned(surrogate, turned) / m + (1 - 1 / m) * slope_covariance(surrogate, apart)


def _one_flip(n: int) -> float:
    """Return θ_1."""
    return math.acos(1 - 2 / n)


@labelled("theorem", "Jeong, Xin and Yin, arXiv 2505.18113")
def samples_proved(n: int, claim: str = "ergodic") -> float:
    """Return the order of the sample size that the paper proves to suffice, with its constant left at one.

    Parameters
    ----------
    n : int
        Dimension, the number of weights.
    claim : "ergodic" or "recurrent"
        n² for convergence of the time average to w* without label noise; n⁴ for iterates that visit w*
        infinitely often.

    Returns
    -------
    float

    Raises
    ------
    InputError
        For another claim, or an n of which the power is no float.
    """
    powers = {"ergodic": 2, "recurrent": 4}
    if claim not in powers:
        raise InputError(f"claim is {claim!r}; it must be one of {', '.join(powers)}")
    n = check_count(n, "n")
    if n > _LARGEST:
        raise InputError(f"n is of {len(str(n))} digits; the law is given up to n = {_LARGEST:g}")
    return float(n) ** powers[claim]
