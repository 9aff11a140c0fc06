"""Laws of sample complexity, fitted to counted trials: N₅₀ = C·n^α and its rivals, with intervals.

N₅₀(n) is the sample size at which half of the trials succeed. A fit that the data cannot carry is refused
with the reason, as a `FitError`.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np

from sterling.errors import InputError, SterlingError
from sterling.study.likelihood import (
    Counts,
    Maximum,
    Model,
    first_guess,
    goodness_of_fit,
    maximise,
    profile_interval,
)

#: How undecided trials can be treated.
TREATMENTS = ("failure", "left out")
#: How the slope β may depend on n: not at all, as a power of n, or freely.
SLOPES = ("common", "power", "free")

_POOR = 0.01  # p-value of the goodness of fit below which it is called poor


class FitError(SterlingError):
    """The data cannot carry the fit; the message says why and what would help."""


@dataclass(frozen=True)
class Law:
    """log N₅₀ = log C + α·log n + κ·log log n, with α free or held."""

    name: str
    exponent: float | None = None
    loglog: float = 0.0

    def model(self, n: np.ndarray, slopes: str, centre: float = 0.0) -> Model:
        """Return the designs for cells of dimension n; the first location parameter is log N₅₀ at e^centre.

        With a held exponent, or a log log n, the first parameter is log C whatever the centre.
        """
        log_n = np.log(n)
        location = [np.ones_like(log_n)]
        offset = np.zeros_like(log_n)
        if self.exponent is None:
            location.append(log_n - centre)
        else:
            offset = offset + self.exponent * log_n
        if self.loglog:
            offset = offset + self.loglog * np.log(log_n)
        return Model(np.column_stack(location), slope_design(n, slopes), offset)


POWER = Law("C n^α")
#: What the power law is compared with: the quasi-linear law of the mean-field theory, the proved bounds.
RIVALS = (Law("C n log n", 1.0, 1.0), Law("C n²", 2.0), Law("C n⁴", 4.0))


@dataclass(frozen=True)
class LawFit:
    """How well one law does: its constant and its AIC; ``delta`` is the AIC less the power law's."""

    law: str
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
class ExponentFit:
    """N₅₀(n) = C·n^α fitted to one series of cells.

    Attributes
    ----------
    exponent, exponent_low, exponent_high : float
        α and its profile-likelihood interval.
    constant, constant_low, constant_high : float
        C likewise.
    slopes : str
        How β depends on n in this fit ("common", "power" or "free"), the best by AIC.
    thresholds : tuple of Threshold
        N₅₀ of each dimension fitted alone, where its data allow.
    deviance, expected_deviance, p_value : float
        Goodness of fit; a small p-value says that the curve does not fit.
    aic : float
    rivals : tuple of LawFit
        Other laws with the same slopes; a negative ``delta`` speaks for the rival.
    treatment : str
        Undecided trials counted as "failure", or "left out".
    trials, undecided, cells : int
    notes : tuple of str
        What a reader must know besides.
    """

    exponent: float
    exponent_low: float
    exponent_high: float
    constant: float
    constant_low: float
    constant_high: float
    slopes: str
    slope_at: dict[int, float]
    thresholds: tuple[Threshold, ...]
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
        """Return the fitted N₅₀ at a dimension."""
        return self.constant * n**self.exponent

    def to_dict(self) -> dict[str, Any]:
        """Return the fit as plain values."""
        return {**asdict(self), "width": self.width}

    def __repr__(self) -> str:
        return (
            f"ExponentFit(α={self.exponent:.3f} [{self.exponent_low:.3f}, {self.exponent_high:.3f}], "
            f"C={self.constant:.3g}, trials={self.trials:,}, fit p={self.p_value:.2g})"
        )


def slope_design(n: np.ndarray, slopes: str) -> np.ndarray:
    """Return the design of log β for cells of dimension n."""
    if slopes == "common":
        return np.ones((len(n), 1))
    if slopes == "power":
        return np.column_stack([np.ones(len(n)), np.log(n) - np.log(n).mean()])
    if slopes == "free":
        return (n[:, None] == np.unique(n)[None, :]).astype(np.float64)
    raise InputError(f"slopes is {slopes!r}; it must be one of auto, {', '.join(SLOPES)}")


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

    Raises
    ------
    FitError
        If the data cannot carry the fit.
    """
    if treatment not in TREATMENTS:
        raise InputError(f"treatment is {treatment!r}; it must be one of {', '.join(TREATMENTS)}")
    open_ones = np.zeros(len(n)) if undecided is None else np.asarray(undecided, np.float64)
    left = open_ones if treatment == "left out" else np.zeros_like(open_ones)
    counts = Counts.of(n, samples, np.asarray(trials, np.float64) - left, successes)
    require_information(counts)
    names = SLOPES if slopes == "auto" else (slopes,)
    if slopes == "auto" and len(np.unique(counts.n)) < 3:
        names = ("common", "power")
    centre = float(np.average(np.log(counts.n), weights=counts.trials))
    tried = [(name, POWER.model(counts.n, name, centre)) for name in names]
    fits = [(name, model, maximise(counts, model)) for name, model in tried]
    sound = [one for one in fits if one[2].converged]
    if not sound:
        raise FitError("the likelihood has no maximum: the change from failure to success is too sharp "
                       "for these sample sizes; add sample sizes in between")  # fmt: skip
    name, model, best = min(sound, key=lambda one: _aic(one[1], one[2]))
    return _report(counts, centre, name, model, best, treatment, float(open_ones.sum()), level, thresholds)


def _report(counts, centre, name, model, best, treatment, undecided, level, thresholds) -> ExponentFit:
    exponent = float(best.parameters[1])
    low, high = profile_interval(counts, model, best, 1, level)
    origin = POWER.model(counts.n, name)
    at_one = best.parameters.copy()
    at_one[0] -= exponent * centre
    best_at_one = maximise(counts, origin, at_one)
    constant_low, constant_high = profile_interval(counts, origin, best_at_one, 0, level)
    total, expected, p_value = goodness_of_fit(counts, best.shares, model.size)
    aic = _aic(model, best)
    dimensions = np.unique(counts.n)
    logs = {int(n): float((model.slope @ best.parameters[2:])[counts.n == n][0]) for n in dimensions}
    notes = []
    if p_value < _POOR:
        notes.append(f"the curve fits poorly (p = {p_value:.1g}): read the interval with care")
    if not (math.isfinite(low) and math.isfinite(high)):
        notes.append("the interval of the exponent has no end on one side: more trials are needed")
    if undecided:
        how = "count as failures" if treatment == "failure" else "are left out"
        notes.append(f"{undecided:.0f} undecided trials (budget spent) {how}")
    return ExponentFit(
        exponent=exponent,
        exponent_low=low,
        exponent_high=high,
        constant=math.exp(at_one[0]),
        constant_low=_exp(constant_low),
        constant_high=_exp(constant_high),
        slopes=name,
        slope_at={n: math.exp(value) for n, value in logs.items()},
        thresholds=tuple(_thresholds(counts, level)) if thresholds else (),
        deviance=total,
        expected_deviance=expected,
        p_value=p_value,
        aic=aic,
        log_likelihood=best.value,
        rivals=tuple(_rivals(counts, name, aic)),
        treatment=treatment,
        trials=int(counts.trials.sum()),
        undecided=int(undecided),
        cells=len(counts.trials),
        level=level,
        notes=tuple(notes),
    )


def _exp(value: float) -> float:
    return math.exp(min(value, 700.0)) if math.isfinite(value) else (math.inf if value > 0 else 0.0)


def _aic(model: Model, best: Maximum) -> float:
    return 2 * model.size - 2 * best.value


def _rivals(counts: Counts, slopes: str, aic: float):
    if counts.n.min() < 2:
        return
    for law in RIVALS:
        model = law.model(counts.n, slopes)
        best = maximise(counts, model)
        own = _aic(model, best)
        yield LawFit(law.name, _exp(float(best.parameters[0])), best.value, own, own - aic)


def _thresholds(counts: Counts, level: float):
    for n in np.unique(counts.n):
        one = counts.where(counts.n == n)
        if not overlaps(one):
            continue
        model = Model(np.ones((len(one.n), 1)), np.ones((len(one.n), 1)), np.zeros(len(one.n)))
        best = maximise(one, model)
        if not best.converged:
            continue
        low, high = profile_interval(one, model, best, 0, level)
        yield Threshold(
            int(n), _exp(float(best.parameters[0])), _exp(low), _exp(high), _exp(float(best.parameters[1]))
        )


def overlaps(counts: Counts) -> bool:
    """Whether, at one n, failures are seen at a sample size as large as one with successes.

    Without that a jump between two sample sizes explains everything, and the slope has no bound.
    """
    failed = counts.samples[counts.successes < counts.trials]
    passed = counts.samples[counts.successes > 0]
    return failed.size > 0 and passed.size > 0 and len(counts.n) > 1 and failed.max() >= passed.min()


def require_information(counts: Counts) -> None:
    """Raise FitError, with the reason and a remedy, if no exponent can come out of these counts."""
    dimensions = np.unique(counts.n)
    if len(counts.n) == 0:
        raise FitError("there are no trials: run the study first")
    if len(dimensions) < 2:
        raise FitError(f"all trials have n = {dimensions[0]:g}: an exponent needs at least two dimensions")
    if dimensions[0] < 1:
        raise FitError("dimensions must be at least 1")
    mixed, never, always, jumps = [], [], [], []
    for n in dimensions:
        one = counts.where(counts.n == n)
        if not one.successes.any():
            never.append(f"{n:g}")
        elif (one.successes == one.trials).all():
            always.append(f"{n:g}")
        elif overlaps(one):
            mixed.append(f"{n:g}")
        else:
            jumps.append(f"{n:g}")
    if len(mixed) < 2:
        reasons = []
        if never:
            reasons.append(f"no success at n = {', '.join(never)} (take larger samples)")
        if always:
            reasons.append(f"no failure at n = {', '.join(always)} (take smaller samples)")
        if jumps:
            reasons.append(
                f"a jump from failure to success at n = {', '.join(jumps)} (take samples in between)"
            )
        raise FitError("fewer than two dimensions have successes and failures that overlap: "
                       + "; ".join(reasons))  # fmt: skip
    guess = Model(np.column_stack([np.ones(len(counts.n)), np.log(counts.n)]), np.ones((len(counts.n), 1)),
                  np.zeros(len(counts.n)))  # fmt: skip
    start = first_guess(counts, guess)
    if start[-1] <= math.log(0.0501):
        raise FitError(
            "success does not become more frequent as the samples grow: there is no threshold here"
        )
