"""Laws of sample complexity, fitted to counted trials: N₅₀ = C·n^α and its rivals, with intervals.

N₅₀(n) is the sample size at which half of the trials succeed. Where the counts show that no power law holds,
α is the mean exponent: the slope of the line through log N₅₀ against log n, every dimension with the same
weight. That is a property of the thresholds alone, whatever the trials were spent on, and its interval allows
for any curve. A fit that the data cannot carry is refused with the reason, as a `FitError`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from sterling.base import checks
from sterling.base.text import Result, number
from sterling.errors import SterlingError
from sterling.study.laws import CURVED, POWER, RIVALS, SLOPES, Law
from sterling.study.likelihood import (
    Counts,
    Maximum,
    Model,
    first_guess,
    goodness_of_fit,
    maximise,
    profile_interval,
    settled,
)

#: How undecided trials can be treated.
TREATMENTS = ("failure", "left out")

#: p-value of the goodness of fit below which it is called poor.
POOR = 0.01


class FitError(SterlingError):
    """The data cannot carry the fit; the message says why and what would help."""


@dataclass(frozen=True)
class LawFit:
    """How well one law does: its constant and its AIC; ``delta`` is the AIC less the power law's."""

    law: str
    kind: str
    constant: float
    log_likelihood: float
    aic: float
    delta: float


@dataclass(frozen=True)
class Threshold:
    """N₅₀ of one dimension by itself, with its profile-likelihood interval."""

    n: int
    samples: float
    low: float
    high: float
    slope: float


@dataclass(frozen=True)
class LocalExponent:
    """Growth of N₅₀ from one dimension to the next, as an exponent with its interval."""

    n: int
    next_n: int
    exponent: float
    low: float
    high: float


@dataclass(frozen=True)
class ExponentFit(Result):
    """N₅₀(n) = C·n^α fitted to one series of cells.

    Parameters
    ----------
    exponent, exponent_low, exponent_high : float
        α and its profile-likelihood interval.
    constant, constant_low, constant_high : float
        C likewise.
    slopes : str
        How β depends on n in this fit ("common", "power" or "free"), the best by AIC.
    slope_at, middle_at : dict of int to float
        β and N₅₀ of each dimension in this fit; N₅₀ lies on the line C·n^α unless ``curved``.
    curved : bool
        True where the power law fits poorly (p < 0.01): α is then the mean exponent over the dimensions, and
        C·n^α the line nearest to the thresholds.
    stretch : float
        Where even that fits poorly, by how much the intervals of α and C were stretched: √(deviance/expected
        deviance), as for binomial counts with overdispersion. Else 1.
    power_p_value : float
        Goodness of fit of the power law, also where α is the mean exponent.
    thresholds : tuple of Threshold
        N₅₀ of each dimension fitted alone, where its data allow.
    local_exponents : tuple of LocalExponent
        Between neighbours among them.
    deviance, expected_deviance, p_value : float
        Goodness of fit; a small p-value says that the curve does not fit.
    aic, log_likelihood : float
        Of the power law.
    rivals : tuple of LawFit
        Other laws with the same slopes; a negative ``delta`` speaks for the rival.
    treatment : str
        Undecided trials counted as "failure", or "left out".
    trials, undecided, cells : int
        How many were counted.
    level : float
        Of the intervals.
    notes : tuple of str
        What a reader must know besides.

    Examples
    --------
    >>> from sterling.study import fit_exponent
    >>> fit_exponent([8, 8, 16, 16], [8, 32, 16, 64], [40] * 4, [10, 30, 10, 30])
    ExponentFit(α=1.000 [0.328, 1.672], C=2, trials=160, fit p=1)
    """

    exponent: float
    exponent_low: float
    exponent_high: float
    constant: float
    constant_low: float
    constant_high: float
    slopes: str
    slope_at: dict[int, float]
    middle_at: dict[int, float]
    curved: bool
    stretch: float
    power_p_value: float
    thresholds: tuple[Threshold, ...]
    local_exponents: tuple[LocalExponent, ...]
    deviance: float
    expected_deviance: float
    p_value: float
    aic: float
    log_likelihood: float
    rivals: tuple[LawFit, ...]
    treatment: str
    trials: int
    undecided: int
    cells: int
    level: float
    notes: tuple[str, ...] = field(default=())

    @property
    def width(self) -> float:
        """Width of the interval of α."""
        return self.exponent_high - self.exponent_low

    def samples_at(self, n: float) -> float:
        """Return the fitted N₅₀ at a dimension: a point on the line C·n^α.

        Parameters
        ----------
        n : float
            Dimension.

        Returns
        -------
        float
            The sample size.
        """
        return self.constant * n**self.exponent

    @property
    def curvature(self) -> str:
        """Which exponents the local ones go through, in words; empty where a power law fits."""
        if not self.curved:
            return ""
        steps = ", ".join(
            f"{number(one.exponent, 2)} from {one.n} to {one.next_n}" for one in self.local_exponents
        )
        told = f"no power law fits (p = {self.power_p_value:.1g})"
        return f"{told}; local exponents: {steps}" if steps else told

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "width": self.width}

    def __repr__(self) -> str:
        return (
            f"ExponentFit(α={self.exponent:.3f} [{self.exponent_low:.3f}, {self.exponent_high:.3f}], "
            f"C={self.constant:.3g}, trials={self.trials:,}, fit p={self.p_value:.2g})"
        )


def fit_exponent(
    n,
    samples,
    trials,
    successes,
    undecided=None,
    *,
    treatment: str = "failure",
    slopes: str = "auto",
    level: float = 0.95,
    thresholds: bool = True,
) -> ExponentFit:
    """Fit N₅₀ = C·n^α to counted trials.

    Parameters
    ----------
    n, samples, trials, successes, undecided : sequences
        One entry a cell. Undecided trials are among the trials and not among the successes.
    treatment : "failure" or "left out"
        Whether undecided trials count as failures or not at all.
    slopes : "auto", "common", "power" or "free"
        How β may depend on n; "auto" takes the best by AIC.
    level : float
        Of the intervals.
    thresholds : bool
        Whether to fit each dimension by itself too.

    Returns
    -------
    ExponentFit
        The fit.

    Raises
    ------
    FitError
        If the data cannot carry the fit.
    InputError
        For another treatment or slope.

    Examples
    --------
    >>> import numpy as np
    >>> from sterling.study import fit_exponent
    >>> n = np.repeat([8, 16, 32], 4)
    >>> samples = n * np.tile([1, 2, 4, 8], 3)
    >>> successes = np.tile([4, 20, 36, 40], 3)
    >>> fit = fit_exponent(n, samples, np.full(12, 40), successes)
    >>> round(fit.exponent, 2)
    1.0
    """
    checks.choice(treatment, "treatment", TREATMENTS)
    checks.choice(slopes, "slopes", ("auto", *SLOPES))
    open_ones = np.zeros(len(n)) if undecided is None else np.asarray(undecided, np.float64)
    left = open_ones if treatment == "left out" else np.zeros_like(open_ones)
    counts = Counts.of(n, samples, np.asarray(trials, np.float64) - left, successes)
    _require_information(counts)
    dimensions = np.unique(counts.n)
    # With two dimensions a power of n is free enough.
    names = (slopes,) if slopes != "auto" else SLOPES if len(dimensions) > 2 else ("common", "power")
    power = _best(counts, POWER, names)
    if power is None:
        raise FitError(
            "the likelihood has no maximum: the change from failure to success is too sharp for these sample "
            "sizes; add sample sizes in between"
        )
    chosen = power
    if settled(power.quality[2]) < POOR and len(dimensions) > 2:
        chosen = _best(counts, CURVED, names) or power
    return _report(counts, chosen, power, treatment, float(open_ones.sum()), level, thresholds)


@dataclass(frozen=True)
class _Fitted:
    """A law at its maximum: with the slopes that do best, and how well it describes the counts."""

    law: Law
    slopes: str
    centre: float
    model: Model
    best: Maximum
    quality: tuple[float, float, float]  # deviance, its expectation, p-value


def _best(counts: Counts, law: Law, names: tuple[str, ...]) -> _Fitted | None:
    """Return the law with those of the slopes that do best by AIC; None if the likelihood has no maximum."""
    centre = float(np.average(np.log(counts.n), weights=counts.trials))
    tried = []
    for name in names:
        model = law.model(counts.n, name, centre)
        best = maximise(counts, model)
        if best.converged:
            quality = goodness_of_fit(counts, best.shares, model.size)
            tried.append(_Fitted(law, name, centre, model, best, quality))
    return min(tried, key=lambda one: settled(one.best.aic), default=None)


def _report(counts, chosen: _Fitted, power: _Fitted, treatment, undecided, level, thresholds) -> ExponentFit:
    best, centre = chosen.best, chosen.centre
    deviance, expected, p_value = chosen.quality
    stretch = math.sqrt(max(1.0, deviance / expected)) if settled(p_value) < POOR and expected > 0 else 1.0
    exponent = float(best.parameters[1])
    low, high = _stretched(profile_interval(counts, chosen.model, best, 1, level), exponent, stretch)
    origin = chosen.law.model(counts.n, chosen.slopes)
    at_one = best.parameters.copy()
    at_one[0] -= exponent * centre
    best_at_one = maximise(counts, origin, at_one)
    constant = _stretched(profile_interval(counts, origin, best_at_one, 0, level), at_one[0], stretch)
    places = chosen.model.location.shape[1]
    logs = chosen.model.slope @ best.parameters[places:]
    middles = chosen.model.location @ best.parameters[:places] + chosen.model.offset
    alone = tuple(_thresholds(counts, level)) if thresholds else ()
    return ExponentFit(
        exponent=exponent,
        exponent_low=low,
        exponent_high=high,
        constant=math.exp(at_one[0]),
        constant_low=_exp(constant[0]),
        constant_high=_exp(constant[1]),
        slopes=chosen.slopes,
        slope_at=_each(counts.n, logs),
        middle_at=_each(counts.n, middles),
        curved=chosen.law.curved,
        stretch=stretch,
        power_p_value=power.quality[2],
        thresholds=alone,
        local_exponents=tuple(_local_exponents(alone)),
        deviance=deviance,
        expected_deviance=expected,
        p_value=p_value,
        aic=power.best.aic,
        log_likelihood=power.best.value,
        rivals=tuple(_rivals(counts, power.slopes, power.best.aic)),
        treatment=treatment,
        trials=int(counts.trials.sum()),
        undecided=int(undecided),
        cells=len(counts.trials),
        level=level,
        notes=tuple(_notes(chosen, stretch, (low, high), treatment, undecided)),
    )


def _each(n: np.ndarray, logs: np.ndarray) -> dict[int, float]:
    """Return e to the value that the cells of each dimension share."""
    return {int(one): _exp(float(logs[n == one][0])) for one in np.unique(n)}


def _notes(chosen: _Fitted, stretch: float, ends: tuple[float, float], treatment: str, undecided: float):
    if chosen.law.curved:
        yield "no power law fits, so α is the mean exponent over the dimensions, each with the same weight"
    if stretch > 1:
        yield f"the curve fits poorly (p = {chosen.quality[2]:.1g}): intervals are stretched by {stretch:.2f}"
    if not all(map(math.isfinite, ends)):
        yield "the interval of the exponent has no end on one side: more trials are needed"
    if undecided:
        how = "count as failures" if treatment == "failure" else "are left out"
        yield f"{undecided:.0f} undecided trials (budget spent) {how}"


def _stretched(ends: tuple[float, float], middle: float, factor: float) -> tuple[float, float]:
    return middle - factor * (middle - ends[0]), middle + factor * (ends[1] - middle)


@np.errstate(over="ignore")
def _exp(value: float) -> float:
    return float(np.exp(value))


def _rivals(counts: Counts, slopes: str, aic: float):
    if counts.n.min() < 2:
        return
    for law in RIVALS:
        best = maximise(counts, law.model(counts.n, slopes))
        constant = _exp(float(best.parameters[0]))
        yield LawFit(law.name, law.kind, constant, best.value, best.aic, best.aic - aic)


def _thresholds(counts: Counts, level: float):
    for n in np.unique(counts.n):
        one = counts.where(counts.n == n)
        if not overlaps(one, strictly=True):
            continue
        model = Model(np.ones((len(one.n), 1)), np.ones((len(one.n), 1)), np.zeros(len(one.n)))
        best = maximise(one, model)
        if best.converged:
            middle, slope = best.parameters.tolist()
            ends = profile_interval(one, model, best, 0, level)
            yield Threshold(int(n), *map(_exp, (middle, *ends, slope)))


def _local_exponents(thresholds: tuple[Threshold, ...]):
    """Give the growth between neighbours; the interval of a difference from those of its two parts (MOVER).

    Source: Zou and Donner, Statistics in Medicine 27 (2008) 1693.
    """
    for one, two in pairwise(thresholds):
        step = math.log(two.n / one.n)
        with np.errstate(divide="ignore"):  # an end may be 0
            logs = np.log([[each.samples, each.low, each.high] for each in (one, two)])
        (at, low, high), (next_at, next_low, next_high) = logs.tolist()
        growth = next_at - at
        down, up = math.hypot(next_low - next_at, high - at), math.hypot(next_high - next_at, low - at)
        yield LocalExponent(one.n, two.n, growth / step, (growth - down) / step, (growth + up) / step)


def overlaps(counts: Counts, strictly: bool = False) -> bool:
    """Whether, at one n, failures are seen at a sample size as large as one with successes, or larger.

    Without that a jump between two sample sizes explains everything, and the slope has no bound. Where only
    one size has both, ``strictly`` asks for smaller ones that all failed and larger ones that all succeeded:
    else n alone says on one side only where its threshold is, though others may lend it a slope.
    """
    failed = counts.samples[counts.successes < counts.trials]
    passed = counts.samples[counts.successes > 0]
    if not failed.size or not passed.size or len(counts.n) < 2:
        return False
    top, bottom = failed.max(), passed.min()
    return top > bottom or (
        top == bottom and (not strictly or counts.samples.min() < top < counts.samples.max())
    )


def _require_information(counts: Counts) -> None:
    """Raise FitError, with the reason and a remedy, if no exponent can come out of these counts."""
    dimensions = np.unique(counts.n)
    if len(counts.n) == 0:
        raise FitError("there are no trials: run the study first")
    if len(dimensions) < 2:
        raise FitError(f"all trials have n = {dimensions[0]:g}: an exponent needs at least two dimensions")
    if dimensions[0] < 1:
        raise FitError("dimensions must be at least 1")
    obstacles: dict[str, list[str]] = {}
    for n in dimensions:
        obstacles.setdefault(_obstacle(counts.where(counts.n == n)), []).append(f"{n:g}")
    if len(obstacles.pop("", [])) < 2:
        reasons = [text.format(", ".join(places)) for text, places in obstacles.items()]
        raise FitError(
            f"fewer than two dimensions have successes and failures that overlap: {'; '.join(reasons)}"
        )
    ones = np.ones((len(counts.n), 1))
    line = Model(np.column_stack([ones, np.log(counts.n)]), ones, np.zeros(len(counts.n)))
    start = first_guess(counts, line)
    if start[-1] <= math.log(0.0501):
        raise FitError(
            "success does not become more frequent as the samples grow: there is no threshold here"
        )


def _obstacle(one: Counts) -> str:
    """Say why the counts of one dimension tell no threshold; empty if they do."""
    if not one.successes.any():
        return "no success at n = {} (take larger samples)"
    if (one.successes == one.trials).all():
        return "no failure at n = {} (take smaller samples)"
    return "" if overlaps(one) else "a jump from failure to success at n = {} (take samples in between)"
