"""How the long times fall off: by a constant factor a step, by a power, or neither, told only if it can be.

Beyond the ninth decile a geometric law and a power law are fitted to binned counts by maximum likelihood. A
law is named only if a chi-square test does not reject it and the other one is clearly worse.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

#: A law is rejected where a worse fit than the one found would be this rare under it.
FIT_LEVEL = 0.05

_SHARE = 0.1  # the tail is this share of all times, or a little less
_FEWEST = 200  # times in the tail
_CELLS = 5  # cells with at least five expected times each
_CLEARLY = 3.0  # difference of the log-likelihoods


@dataclass(frozen=True)
class Tail:
    """What can be said of the tail.

    Attributes
    ----------
    law : "exponential", "power" or None
        S(t) = S(start)·exp(−(t − start)/scale), S(t) = S(start)·(t/start)^(−scale), or neither.
    scale : float
        Steps, or the exponent; NaN without a law.
    low, high : float
        Likelihood interval of the scale at 95 %, which takes the times for independent.
    start : int
        Time from which on it holds, 0 if there is no tail to look at.
    count : int
        Times that long.
    reason : str
        In words: what fits, or why nothing is said.
    """

    law: str | None
    scale: float
    low: float
    high: float
    start: int
    count: int
    reason: str


def tail(counts: np.ndarray, starts: np.ndarray) -> Tail:
    """Return what can be said of the tail of binned times.

    Parameters
    ----------
    counts : int64 (bins,)
    starts : int64 (bins + 1,)
        Smallest time of each bin, and the end of the last.
    """
    survivors = counts[::-1].cumsum()[::-1]
    total = int(survivors[0]) if len(counts) else 0
    if total * _SHARE < _FEWEST:
        return _silent(f"{total:,} times are too few to tell how the long ones fall off", 0, 0)
    first = int(np.argmax(survivors <= _SHARE * total))
    last = int(np.flatnonzero(counts)[-1])
    start, size = int(starts[first]), int(survivors[first])
    if size < _FEWEST or last - first + 1 < _CELLS:
        return _silent("the long times take too few different values to show a law", start, size)
    edges = starts[first : last + 1].astype(np.float64)  # the last cell is open
    seen = np.append(counts[first:last], survivors[last])
    laws = {
        "exponential": lambda scale: np.exp(-(edges - start) / scale),
        "power": lambda scale: (edges / start) ** -scale,
    }
    fits = {law: _fit(survival, seen, start, law) for law, survival in laws.items()}
    good = [law for law, fit in fits.items() if fit[4] >= FIT_LEVEL]
    if not good:
        return _silent("neither an exponential nor a power law fits the long times", start, size)
    best = max(good, key=lambda law: fits[law][3])
    other = "power" if best == "exponential" else "exponential"
    if fits[best][3] - fits[other][3] < _CLEARLY:
        return _silent("an exponential and a power law fit the long times alike", start, size)
    scale, low, high, _, p = fits[best]
    words = (
        f"by a factor e every {scale:.3g} steps ({low:.3g} to {high:.3g})"
        if best == "exponential"
        else f"as a power of time with the exponent −{scale:.3g} ({low:.3g} to {high:.3g})"
    )
    reason = f"beyond {start:,} steps they fall off {words}, p = {p:.2g}"
    return Tail(best, scale, low, high, start, size, reason)


def _silent(reason: str, start: int, count: int) -> Tail:
    return Tail(None, math.nan, math.nan, math.nan, start, count, reason)


def _fit(survival, seen: np.ndarray, start: int, law: str) -> tuple[float, float, float, float, float]:
    """Return the scale, its interval, the log-likelihood and the p-value of the fit."""
    from scipy.optimize import brentq, minimize_scalar
    from scipy.stats import chi2

    def likelihood(log_scale: float) -> float:
        return float(seen @ np.log(np.maximum(_shares(survival, log_scale), 1e-300)))

    bounds = (math.log(1e-2), math.log(1e3 * max(start, 1)) if law == "exponential" else math.log(1e3))
    best = float(minimize_scalar(lambda x: -likelihood(x), bounds=bounds, method="bounded").x)  # type: ignore[union-attr]
    top = likelihood(best)
    drop = top - chi2.ppf(0.95, 1) / 2
    sides = []
    for end in bounds:
        crosses = likelihood(end) < drop
        between = min(end, best), max(end, best)
        sides.append(brentq(lambda x: likelihood(x) - drop, *between) if crosses else end)
    low, high = (math.exp(side) for side in sides)
    return math.exp(best), low, high, top, _goodness(seen, _shares(survival, best) * seen.sum())


def _shares(survival, log_scale: float) -> np.ndarray:
    beyond = survival(math.exp(log_scale))
    return np.append(beyond[:-1] - beyond[1:], beyond[-1])


def _goodness(seen: np.ndarray, expected: np.ndarray) -> float:
    """Return the p-value of Pearson's test, over cells of at least five expected times."""
    from scipy.stats import chi2

    cells: list[list[float]] = []
    have, want = 0.0, 0.0
    for one, other in zip(seen, expected, strict=True):
        have, want = have + float(one), want + float(other)
        if want >= 5:
            cells.append([have, want])
            have = want = 0.0
    if cells:
        cells[-1][0] += have
        cells[-1][1] += want
    if len(cells) < _CELLS:
        return 0.0
    statistic = sum((have - want) ** 2 / want for have, want in cells)
    return float(chi2.sf(statistic, len(cells) - 2))
