"""The result of one claim: numbers with intervals, a judgement, figures and tables.

Figures are functions that draw into an ``ax`` and return a caption; the rest is plain data. `sterling.report`
makes pages of findings without knowing the experiments.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from numpy.typing import ArrayLike

from sterling.base import checks
from sterling.stats import Interval, mean_interval, share_interval
from sterling.theory.labels import KINDS


class Judgement(StrEnum):
    """Whether a measurement agrees with the statement."""

    CONSISTENT = "consistent"
    FAR_INSIDE = "far inside the bound"
    CONTRADICTED = "contradicted"
    NOT_DECIDED = "not decided"


@dataclass(frozen=True)
class Measured:
    """One number from data, with its 95 % interval, which is NaN for exact numbers and counts.

    ``name`` says what was measured, such as "exponent α of N₅₀ = C·n^α"; ``how`` names the method of the
    interval, such as "Jeffreys".
    """

    name: str
    value: float
    low: float = math.nan
    high: float = math.nan
    unit: str = ""
    how: str = ""
    count: str = ""  # of a share, such as "7 of 20"

    @property
    def has_interval(self) -> bool:
        return not (math.isnan(self.low) or math.isnan(self.high))

    @property
    def ends(self) -> tuple[float, float]:
        """The interval."""
        return self.low, self.high


def measured(name: str, interval: Iterable[float], how: str, unit: str = "") -> Measured:
    """Return a measured number from (value, low, high)."""
    value, low, high = interval
    return Measured(name, value, low, high, unit=unit, how=how)


def share(name: str, successes: int, trials: int, left: int = 0) -> Measured:
    """Return a measured share of trials; the upper end counts ``left`` undecided ones as successes."""
    how = f"Jeffreys; upper end with {left:,} undecided as successes" if left else "Jeffreys"
    found = measured(name, both_ways(successes, left, trials), how)
    return replace(found, count=f"{successes:,} of {trials:,}")


def both_ways(successes: int, left: int, trials: int) -> Interval:
    """Return a share of runs; its ends count the runs ``left`` open as failures and as successes."""
    value, low, _ = share_interval(successes, trials)
    return value, low, share_interval(successes + left, trials)[2]


def mean(name: str, values: ArrayLike, unit: str = "") -> Measured:
    """Return the measured mean of values, one for each data set."""
    return measured(name, mean_interval(values), "t over data sets", unit)


#: Predicted and found values of the weights, (n,) each, for each data set.
Pairs = list[tuple[np.ndarray, np.ndarray]]


def evidence(*found: Measured) -> tuple[Interval, ...]:
    """Return measured numbers as (value, low, high), which rules judge."""
    return tuple((one.value, *one.ends) for one in found)


def agreement(
    pairs: Pairs, apart: str, alike: str, scale: float = 1.0, unit: str = ""
) -> tuple[Measured, Measured]:
    """Return how well predicted and found values of the weights agree, as two means over data sets.

    The first is the mean difference in units of ``scale``, named ``apart``; the second is the correlation,
    named ``alike``. Constant values have the correlation 0: they say nothing about other values.
    """
    gaps, near = [], []
    for predicted, found in pairs:
        gaps.append(float(np.abs(predicted - found).mean() / scale))
        known = np.ptp(predicted) and np.ptp(found)
        near.append(float(np.corrcoef(predicted, found)[0, 1]) if known else 0.0)
    correlation = mean(alike, near)
    return mean(apart, gaps, unit), replace(correlation, high=min(correlation.high, 1.0))


@dataclass(frozen=True)
class Reference:
    """A number from theory. ``kind`` is one of `sterling.theory.labels.KINDS`; every page shows it."""

    name: str
    value: float
    kind: str
    source: str
    unit: str = ""
    beside: bool = False  # whether it is about the headline, so that a summary shows the two side by side

    def __post_init__(self) -> None:
        checks.choice(self.kind, "kind", KINDS)


@dataclass(frozen=True)
class Picture:
    """A figure: ``draw(ax)`` draws into one ``Axes`` and returns the caption."""

    title: str
    draw: Callable[[Axes], str]


def picture(
    title: str, draw: Callable[..., str | None], *given: Any, caption: str = "", **named: Any
) -> Picture:
    """Return the picture that ``draw(ax, *given, **named)`` draws; it returns the caption, or none."""
    return Picture(title, lambda ax: draw(ax, *given, **named) or caption)


@dataclass(frozen=True)
class Statement:
    """The statement of a source."""

    key: str  # "P1" … "P5" as in docs/science, or a short name such as "constants"
    title: str  # the claim in a few words
    statement: str  # in a sentence
    kind: str  # one of `sterling.theory.labels.KINDS`
    source: str


@dataclass(frozen=True)
class Finding(Statement):
    """The result of one claim."""

    experiment: str  # what was done, with the numbers that were used
    judgement: Judgement
    reason: str  # of the judgement, with the numbers that were measured; its first sentence stands alone
    measured: tuple[Measured, ...] = ()
    references: tuple[Reference, ...] = ()
    pictures: tuple[Picture, ...] = ()
    tables: dict[str, pl.DataFrame] = field(default_factory=dict)  # raw rows by the name of their file
    notes: tuple[str, ...] = ()  # undecided trials, poor fits, dependence on the budget, and the like
    seconds: float = 0.0  # duration of the experiment in this call; rows in the store take none
    rule: str = ""  # in words; its numbers come from the code that judges
    open: tuple[str, ...] = ()  # conditions of agreement that are not met where nothing is decided

    def __post_init__(self) -> None:
        checks.choice(self.kind, "kind", KINDS)

    @property
    def headline(self) -> Measured | None:
        """The number in the summary table: the first measured one."""
        return self.measured[0] if self.measured else None

    @property
    def theory(self) -> tuple[Reference, ...]:
        """What theory says about the headline."""
        return tuple(one for one in self.references if one.beside)
