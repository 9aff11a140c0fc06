"""95 % intervals for counts and for values of independent draws, each once for the whole package.

An end that the data do not bound is infinite; without data all numbers are NaN. The same values give the
same ends, on any machine.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

Interval = tuple[float, float, float]

_TAIL = (1 - 0.95) / 2  # probability beyond each end


def jeffreys(successes: ArrayLike, trials: ArrayLike) -> tuple[np.ndarray, np.ndarray]:
    """Return Jeffreys intervals of proportions k/t, arrays of one shape: quantiles of Beta(k + ½, t − k + ½).

    They cover on average over the prior; for a single proportion the coverage swings about 95 %. The lower
    end is 0 without a success and the upper end 1 without a failure. Source: Brown, Cai and DasGupta,
    Statistical Science 16 (2001) 101.

    >>> low, high = jeffreys([0, 5], 10)
    >>> low.round(3).tolist(), high.round(3).tolist()
    ([0.0, 0.224], [0.217, 0.776])
    """
    from scipy.special import betaincinv

    k, t = np.asarray(successes, np.float64), np.asarray(trials, np.float64)
    low = np.where(k > 0, betaincinv(k + 0.5, t - k + 0.5, _TAIL), 0.0)
    high = np.where(k < t, betaincinv(k + 0.5, t - k + 0.5, 1 - _TAIL), 1.0)
    return low, high


def share_interval(successes: int, trials: int) -> Interval:
    """Return a share and its Jeffreys interval."""
    if not trials:
        return math.nan, math.nan, math.nan
    low, high = jeffreys(successes, trials)
    return successes / trials, float(low), float(high)


def mean_interval(values: ArrayLike) -> Interval:
    """Return the mean of independent values and Student's interval; one value bounds nothing."""
    from scipy.special import stdtrit

    values = np.asarray(values, np.float64)
    count = len(values)
    if count == 0:
        return math.nan, math.nan, math.nan
    middle = float(np.mean(values))
    if count == 1:
        return middle, -math.inf, math.inf
    reach = float(stdtrit(count - 1, 1 - _TAIL)) * float(np.std(values, ddof=1)) / math.sqrt(count)
    return middle, middle - reach, middle + reach
