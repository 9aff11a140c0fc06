"""Intervals that several claims share, for values of independent data sets."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from sterling.claims.finding import Measured
from sterling.stats import jeffreys

_RESAMPLES = 4000  # of the bootstrap


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
    binomial law; an end is infinite where there are too few values for one.
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
        float(ordered[low]) if low >= 0 else -math.inf,
        float(ordered[high]) if high < count else math.inf,
    )


def share_interval(successes: int, trials: int) -> tuple[float, float, float]:
    """Return a share and its 95 % Jeffreys interval; NaN without trials."""
    if not trials:
        return math.nan, math.nan, math.nan
    low, high = jeffreys(successes, trials)
    return successes / trials, float(low), float(high)


def clustered_correlation(
    x: np.ndarray, y: np.ndarray, cluster: np.ndarray, level: float = 0.95
) -> tuple[float, float, float]:
    """Return the correlation of values that come in clusters, and its bootstrap interval over whole clusters.

    The ends are percentiles, so Fisher's z in between would not move them. They are NaN for less than three
    clusters, and all is NaN where a value does not vary. The same values give the same ends.
    """
    members = (cluster[:, None] == np.unique(cluster)).astype(float)
    sums = members.T @ np.column_stack([np.ones(len(x)), x, y, x * x, y * y, x * y])
    whole = float(_correlation(sums.sum(0)))
    count = len(sums)
    if count < 3 or math.isnan(whole):
        return whole, math.nan, math.nan
    drawn = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), _RESAMPLES)
    tail = (1 - level) / 2
    low, high = np.nanquantile(_correlation(drawn @ sums), [tail, 1 - tail])
    return whole, float(low), float(high)


def _correlation(sums: np.ndarray) -> np.ndarray:
    """Return correlations from sums of 1, x, y, x², y² and x·y along the last axis."""
    count, x, y, xx, yy, xy = np.moveaxis(sums, -1, 0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return (xy - x * y / count) / np.sqrt((xx - x * x / count) * (yy - y * y / count))


def measured(name: str, triple: Iterable[float], how: str, unit: str = "") -> Measured:
    """Return a measured number from (value, low, high) at 95 %."""
    value, low, high = triple
    return Measured(name, value, low, high, unit=unit, how=how)
