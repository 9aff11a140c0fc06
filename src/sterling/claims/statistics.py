"""Intervals that several claims share, for values of independent data sets."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from sterling.claims.finding import Measured
from sterling.study.likelihood import jeffreys


def t_interval(values: np.ndarray, level: float = 0.95) -> tuple[float, float, float]:
    """Return the mean of independent values and Student's interval; NaN without values, no ends for one."""
    from scipy.stats import t

    count = len(values)
    if count == 0:
        return math.nan, math.nan, math.nan
    middle = float(np.mean(values))
    if count == 1:
        return middle, -math.inf, math.inf
    reach = float(t.ppf((1 + level) / 2, count - 1)) * float(np.std(values, ddof=1)) / math.sqrt(count)
    return middle, middle - reach, middle + reach


def quantile_interval(values: np.ndarray, share: float, level: float = 0.95) -> tuple[float, float, float]:
    """Return a quantile of independent values and its distribution-free interval from order statistics.

    The ends are the order statistics between which the quantile lies with at least this probability, by the
    binomial law; an end is NaN where there are too few values.
    """
    from scipy.stats import binom

    count = len(values)
    if count == 0:
        return math.nan, math.nan, math.nan
    ordered = np.sort(values)
    tail = (1 - level) / 2
    low = int(binom.ppf(tail, count, share)) - 1
    high = int(binom.ppf(1 - tail, count, share))
    return (
        float(np.quantile(ordered, share)),
        float(ordered[low]) if low >= 0 else math.nan,
        float(ordered[high]) if high < count else math.nan,
    )


def share_interval(successes: int, trials: int) -> tuple[float, float, float]:
    """Return a share and its 95 % Jeffreys interval; NaN without trials."""
    if not trials:
        return math.nan, math.nan, math.nan
    low, high = jeffreys(successes, trials)
    return successes / trials, float(low), float(high)


def measured(name: str, triple: Iterable[float], how: str, unit: str = "") -> Measured:
    """Return a measured number from (value, low, high) at 95 %."""
    value, low, high = triple
    return Measured(name, value, low, high, unit=unit, how=how)
