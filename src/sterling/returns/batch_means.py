"""Long-run means of a correlated series, from its sums over batches of equal length.

Means over long batches are nearly independent and nearly normal for any behaviour within a batch, so
Student's interval holds for them: the method of batch means. Neighbours that are still correlated are merged
first. Return cycles would not do instead: latents differ from one visit of w* to the next, so cycles are
correlated.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from sterling.stats import mean_interval

#: Confidence level of the intervals.
LEVEL = 0.95
#: Share of the batches left out at the beginning, where the run still depends on its start.
BURN_IN = 0.25
#: The same where the step sizes spend little mass, so that weights first flip late in the run.
LONG_BURN_IN = 0.75

_FEWEST = 12  # batches that an interval needs
_MERGE_LEVEL = 0.1  # one-sided: batches are merged while their correlation is significant at this level


@dataclass(frozen=True)
class Estimate:
    """A mean with its interval."""

    value: float
    low: float
    high: float
    level: float  # confidence level
    batches: int  # number of batch means behind the interval
    length: int  # steps in a batch
    correlated: bool  # whether even the longest batches are: the interval may then be too narrow

    @property
    def percent(self) -> Estimate:
        """The same in per cent."""
        return replace(self, value=100 * self.value, low=100 * self.low, high=100 * self.high)

    @property
    def text(self) -> str:
        """The value with as many digits as its interval."""
        return f"{self.value:.{self._digits}f}"

    @property
    def bounds(self) -> str:
        """The ends of the interval, with enough digits to tell them apart."""
        return f"{self.low:.{self._digits}f} to {self.high:.{self._digits}f}"

    @property
    def _digits(self) -> int:
        width = self.high - self.low
        return 2 if width <= 0 else max(0, 1 - math.floor(math.log10(width)))


def coarsen(means: np.ndarray, length: int, least: float) -> tuple[np.ndarray, int]:
    """Merge batches, pair by pair, until one has at least ``least`` steps; return the means and the length.

    Values at the beginning that do not fill a merged batch are left out.
    """
    while length < least and len(means) > 1:
        means, length = _paired(means), 2 * length
    return means, length


def interval(means: np.ndarray, length: int) -> Estimate | None:
    """Return the mean of a stationary series with its interval, from means over batches of ``length`` steps.

    None where there are fewer than 12 batches, or where they do not vary at all.
    """
    if len(means) < _FEWEST or np.ptp(means) == 0:
        return None
    merged, factor, correlated = decorrelate(means)
    return Estimate(*mean_interval(merged), LEVEL, len(merged), factor * length, correlated)


def decorrelate(means: np.ndarray) -> tuple[np.ndarray, int, bool]:
    """Merge neighbours, pair by pair, while von Neumann's ratio says that they are correlated.

    Returns the means, the number of batches in each, and whether they are still correlated. Batches at the
    beginning that do not fill a merged one are left out.
    """
    factor = 1
    while _correlated(means):
        if len(means) // 2 < _FEWEST:
            return means, factor, True
        means = _paired(means)
        factor *= 2
    return means, factor, False


def _paired(means: np.ndarray) -> np.ndarray:
    return means[len(means) % 2 :].reshape(-1, 2).mean(axis=1)


def _correlated(means: np.ndarray) -> bool:
    """Whether neighbours are positively correlated, by von Neumann's ratio.

    For independent means it is nearly normal with variance (k−2)/(k²−1).
    """
    from scipy.special import ndtri

    k = len(means)
    spread = float(((means - means.mean()) ** 2).sum())
    if spread == 0:
        return False
    likeness = 1 - float((np.diff(means) ** 2).sum()) / (2 * spread)
    return bool(likeness * math.sqrt((k * k - 1) / (k - 2)) > -ndtri(_MERGE_LEVEL))


def ratio_of_halves(means: np.ndarray, length: int) -> Estimate | None:
    """Return the mean of the second half over that of the first, with its interval (delta method).

    None where there are too few batches, or nothing in the first half.
    """
    from scipy.special import stdtrit

    half = len(means) // 2
    if half < _FEWEST // 2 or not means[:half].sum():
        return None
    first, factor, one = decorrelate(means[:half])
    second, other_factor, other = decorrelate(means[-half:])
    value = float(second.mean() / first.mean())
    relative = _relative_variance(first) + (_relative_variance(second) if value else 0.0)
    fewest, batches = min(len(first), len(second)), len(first) + len(second)
    reach = math.exp(float(stdtrit(fewest - 1, (1 + LEVEL) / 2)) * math.sqrt(relative))
    steps = length * max(factor, other_factor)
    return Estimate(value, value / reach, value * reach, LEVEL, batches, steps, one or other)


def _relative_variance(means: np.ndarray) -> float:
    return float(means.var(ddof=1)) / len(means) / float(means.mean()) ** 2
