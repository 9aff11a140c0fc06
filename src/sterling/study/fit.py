"""The power law N₅₀ = C·n^α fitted to counted trials, with intervals, and a test of whether it bends.

N₅₀(n) is the sample size at which half of the trials succeed. Success follows a logistic curve in log N whose
slope is a power of n too. If the data do not determine a fit, `FitError` gives the reason.
"""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from scipy.special import gammaincc

from sterling.base import checks
from sterling.base.text import Result
from sterling.errors import InputError, SterlingError
from sterling.study.likelihood import (
    Counts,
    Model,
    first_guess,
    maximise,
    profile_interval,
    settled,
)

#: p-values of the test of curvature below which no power law fits, and below which one is doubtful.
POOR, DOUBTFUL = 0.01, 0.05


class FitError(SterlingError):
    """The data do not determine the fit; the message gives the reason and a remedy."""


# -- results -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Threshold:
    """N₅₀ fitted to one dimension alone, with its profile-likelihood interval, and its slope β."""

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
        α and its 95 % profile-likelihood interval.
    constant, constant_low, constant_high : float
        C likewise.
    slope_at : dict of int to float
        β of each dimension.
    p_value : float
        p-value of the test of curvature, a likelihood-ratio test against log N₅₀ quadratic in log n; NaN for
        two dimensions. A small value means that no power law fits.
    thresholds : tuple of Threshold
        N₅₀ of each dimension fitted alone, where the data allow it.
    trials, undecided, cells : int
        Numbers of trials and cells.
    notes : tuple of str
        Caveats for the reader.

    Examples
    --------
    >>> from sterling.study import fit_exponent
    >>> fit_exponent([8, 8, 16, 16], [8, 32, 16, 64], [40] * 4, [10, 30, 10, 30])
    ExponentFit(α=1.000 [0.328, 1.672], C=2, trials=160)
    """

    exponent: float
    exponent_low: float
    exponent_high: float
    constant: float
    constant_low: float
    constant_high: float
    slope_at: dict[int, float]
    p_value: float
    thresholds: tuple[Threshold, ...]
    trials: int
    undecided: int
    cells: int
    notes: tuple[str, ...] = field(default=())

    @property
    def width(self) -> float:
        """Width of the interval of α."""
        return self.exponent_high - self.exponent_low

    @property
    def curved(self) -> bool:
        """Whether the data refute a power law (p < 0.01)."""
        return settled(self.p_value) < POOR

    @property
    def top_exponent(self) -> LocalExponent | None:
        """The growth between the two largest dimensions whose N₅₀ is known alone.

        The interval of a difference comes from those of its two parts: Zou and Donner, Statistics in Medicine
        27 (2008) 1693.
        """
        if len(self.thresholds) < 2:
            return None
        one, two = self.thresholds[-2:]
        step = math.log(two.n / one.n)
        with np.errstate(divide="ignore"):  # an end may be 0
            logs = np.log([[each.samples, each.low, each.high] for each in (one, two)])
        (at, low, high), (next_at, next_low, next_high) = logs.tolist()
        growth = next_at - at
        down, up = math.hypot(next_low - next_at, high - at), math.hypot(next_high - next_at, low - at)
        return LocalExponent(one.n, two.n, growth / step, (growth - down) / step, (growth + up) / step)

    def samples_at(self, n: float) -> float:
        """Return the fitted N₅₀ at a dimension, C·n^α.

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

    def to_dict(self) -> dict[str, Any]:
        return {**asdict(self), "width": self.width}

    @property
    def _interval(self) -> str:
        """α with its interval."""
        return f"{self.exponent:.4g} [{self.exponent_low:.4g}, {self.exponent_high:.4g}]"

    def __repr__(self) -> str:
        bent = f", curvature p={self.p_value:.2g}" if self.p_value == self.p_value else ""
        return (
            f"ExponentFit(α={self.exponent:.3f} [{self.exponent_low:.3f}, {self.exponent_high:.3f}], "
            f"C={self.constant:.3g}, trials={self.trials:,}{bent})"
        )


# -- the fit -------------------------------------------------------------------------------------------------


def fit_exponent(n, samples, trials, successes, undecided=None, *, thresholds: bool = True) -> ExponentFit:
    """Fit N₅₀ = C·n^α to counted trials.

    Parameters
    ----------
    n, samples, trials, successes, undecided : sequences
        One entry for each cell. Trials include undecided ones, which count as failures.
    thresholds : bool
        Whether to fit each dimension separately as well.

    Returns
    -------
    ExponentFit
        The fit.

    Raises
    ------
    FitError
        If the data do not allow the fit.
    InputError
        If counts are impossible.

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
    left = np.zeros(np.shape(n)) if undecided is None else undecided
    given = _columns(n=n, samples=samples, trials=trials, successes=successes, undecided=left)
    open_ones = given.pop("undecided")
    counts = Counts.of(*given.values())
    _require_information(counts)
    centre = float(np.average(np.log(counts.n), weights=counts.trials))
    line = np.column_stack([np.ones_like(counts.n), np.log(counts.n) - centre])
    # The slope is a power of n, or one for all n where the data do not bound that.
    for model in (Model(line, line), Model(line, line[:, :1])):
        best = maximise(counts, model)
        if best.converged:
            break
    else:
        raise FitError(
            "the likelihood has no maximum: the change from failure to success is too sharp for these "
            "sample sizes; add sample sizes in between"
        )
    exponent, at_one = float(best.parameters[1]), best.parameters.copy()
    at_one[0] -= exponent * centre
    low, high = profile_interval(counts, model, best, 1)
    origin = replace(model, location=line + np.array([0, centre]))  # its first parameter is log C
    constant = profile_interval(counts, origin, maximise(counts, origin, at_one), 0)
    slopes = np.exp(model.slope @ best.parameters[2:])
    p_value = math.nan
    if len(np.unique(counts.n)) > 2:  # against log N₅₀ quadratic in log n
        bent = replace(model, location=np.column_stack([model.location, line[:, 1] ** 2]))
        ratio = 2 * (maximise(counts, bent, np.insert(best.parameters, 2, 0.0)).value - best.value)
        p_value = float(gammaincc(0.5, max(0.0, ratio) / 2))  # the tail of χ² of one degree of freedom
    return ExponentFit(
        exponent=exponent,
        exponent_low=low,
        exponent_high=high,
        constant=math.exp(at_one[0]),
        constant_low=_exp(constant[0]),
        constant_high=_exp(constant[1]),
        slope_at={int(one): float(slopes[counts.n == one][0]) for one in np.unique(counts.n)},
        p_value=p_value,
        thresholds=tuple(_thresholds(counts)) if thresholds else (),
        trials=int(counts.trials.sum()),
        undecided=int(open_ones.sum()),
        cells=len(counts.trials),
        notes=tuple(_notes(p_value, (low, high), open_ones.sum())),
    )


def _columns(**given: Any) -> dict[str, np.ndarray]:
    """Return counts as float64 arrays, by name; raise InputError if they cannot be counts."""
    arrays = {}
    for name, values in given.items():
        try:
            arrays[name] = np.asarray(values, np.float64)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{name} is {checks.shown(values)}; give numbers, one for each cell") from None
        if arrays[name].ndim != 1 or arrays[name].shape != arrays["n"].shape:
            raise InputError(f"{name} has the shape {arrays[name].shape}; give one number for each cell")
        least = 1 if name in ("n", "samples") else 0
        if not (np.isfinite(arrays[name]) & (arrays[name] >= least)).all():
            raise InputError(f"{name} holds a number below {least}, or one that is not finite")
    if (arrays["successes"] + arrays["undecided"] > arrays["trials"]).any():
        raise InputError("successes and undecided trials together are more than the trials of a cell")
    return arrays


def _notes(p_value: float, ends: tuple[float, float], undecided: float):
    if settled(p_value) < POOR:
        yield f"no power law fits (curvature: p = {p_value:.2g}), so the exponent depends on the range of n"
    elif settled(p_value) < DOUBTFUL:
        yield f"a power law is doubtful (curvature: p = {p_value:.2g}): a bend this large is rare by chance"
    if not all(map(math.isfinite, ends)):
        yield "the interval of the exponent has no end on one side: more trials are needed"
    if undecided:
        yield f"{undecided:.0f} undecided trials (budget spent) count as failures"


@np.errstate(over="ignore")
def _exp(value: float) -> float:
    return float(np.exp(value))


def _thresholds(counts: Counts):
    for n in np.unique(counts.n):
        one = counts.where(counts.n == n)
        if not overlaps(one, strictly=True):
            continue
        model = Model(np.ones((len(one.n), 1)), np.ones((len(one.n), 1)))
        best = maximise(one, model)
        if best.converged:
            middle, slope = best.parameters.tolist()
            ends = profile_interval(one, model, best, 0)
            yield Threshold(int(n), *map(_exp, (middle, *ends, slope)))


def overlaps(counts: Counts, strictly: bool = False) -> bool:
    """Whether, at one n, some failure has at least as many samples as some success.

    Without an overlap the slope has no bound: a jump between two sample sizes explains all counts. If only
    one size has both failures and successes, ``strictly`` also requires smaller and larger sizes; without
    them this n alone bounds its threshold on one side only.
    """
    failed = counts.samples[counts.successes < counts.trials]
    passed = counts.samples[counts.successes > 0]
    if not failed.size or not passed.size or len(counts.n) < 2:
        return False
    top, bottom = failed.max(), passed.min()
    return top > bottom or (
        top == bottom and (not strictly or counts.samples.min() < top < counts.samples.max())
    )


def _lack(counts: Counts) -> str:
    """Return why successes and failures do not overlap at one n, and which samples would help."""
    failed = counts.samples[counts.successes < counts.trials]
    passed = counts.samples[counts.successes > 0]
    if not passed.size:
        return "no trial succeeds, so take larger samples"
    if not failed.size:
        return "every trial succeeds, so take smaller samples"
    if len(counts.n) < 2:
        return "there is one sample size, so take others near it"
    ends = f"up to N = {failed.max():,.0f} and succeed from {passed.min():,.0f} on"
    return f"trials fail {ends}, so take some between"


def _require_information(counts: Counts) -> None:
    """Raise FitError, with the reason and a remedy, if these counts determine no exponent."""
    dimensions = np.unique(counts.n)
    if len(counts.n) == 0:
        raise FitError("there are no trials: run the study first")
    if len(dimensions) < 2:
        raise FitError(f"all trials have n = {dimensions[0]:g}: an exponent needs at least two dimensions")
    if not counts.successes.any():
        raise FitError("no trial succeeds: take larger samples, or another criterion")
    poor = [n for n in dimensions if not overlaps(counts.where(counts.n == n))]
    if len(dimensions) - len(poor) < 2:
        lacks = "; ".join(f"at n = {n:g} {_lack(counts.where(counts.n == n))}" for n in poor)
        raise FitError(f"an exponent needs two dimensions where successes and failures overlap: {lacks}")
    ones = np.ones((len(counts.n), 1))
    line = Model(np.column_stack([ones, np.log(counts.n)]), ones)
    start = first_guess(counts, line)
    if start[-1] <= math.log(0.0501):
        raise FitError(
            "success does not become more frequent as the samples grow: there is no threshold here"
        )
