"""The binomial likelihood of success against sample size, and its profiles.

A cell of dimension n and sample size N gives k successes in t trials, k ~ Binomial(t, p), with

    logit p = β(n) · (log N − log N₅₀(n)),   log N₅₀ = Σ aⱼ xⱼ(n) + offset(n),   log β = Σ bⱼ zⱼ(n).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from scipy.special import expit, gammaincinv, gammaln

_STEEPEST = 12.0  # log β; with a steeper slope the data look separated
_GRADIENT = 1e-6  # gradient of the log-likelihood per trial, below which it counts as flat
_DAMPING, _STEPS = 1e-4, 200  # damping at the start, and largest number of steps
_TINY = float(np.finfo(float).tiny)


def settled(values: Any) -> Any:
    """Return numbers rounded to six significant digits, on which decisions are based.

    The last bits of a fit depend on BLAS and the C library. With rounded numbers, decisions are the
    same on every machine, except about once in a million, when a number lies next to the edge of a rounding.
    """
    rounded = [float(f"{value:.6g}") for value in np.ravel(values)]
    return rounded[0] if np.ndim(values) == 0 else np.reshape(rounded, np.shape(values))


@dataclass(frozen=True)
class Counts:
    """Cells: float64 arrays n, samples, trials, successes of one length."""

    n: np.ndarray
    samples: np.ndarray
    trials: np.ndarray
    successes: np.ndarray

    @classmethod
    def of(cls, n, samples, trials, successes) -> Counts:
        """Return counts from any sequences; cells without trials are dropped."""
        arrays = [np.asarray(values, np.float64) for values in (n, samples, trials, successes)]
        some = arrays[2] > 0
        return cls(*(values[some] for values in arrays))

    def where(self, mask: np.ndarray) -> Counts:
        """Return the cells that the mask selects."""
        return Counts(self.n[mask], self.samples[mask], self.trials[mask], self.successes[mask])


@dataclass(frozen=True)
class Model:
    """Designs of the location log N₅₀ and of the log slope: (cells, parameters) each, and an offset."""

    location: np.ndarray
    slope: np.ndarray
    offset: np.ndarray | float = 0.0

    def without(self, column: int, value: float) -> Model:
        """Return the model with one location parameter held at a value."""
        return replace(
            self,
            location=np.delete(self.location, column, axis=1),
            offset=self.offset + value * self.location[:, column],
        )


@dataclass(frozen=True)
class Maximum:
    """A maximum of the likelihood: parameters (location first), log-likelihood, information."""

    parameters: np.ndarray
    value: float
    information: np.ndarray
    converged: bool


def predictor(model: Model, log_samples: np.ndarray, parameters: np.ndarray):
    """Return η and its derivatives (cells, parameters)."""
    count = model.location.shape[1]
    # The log slope is kept finite, so that a wild step of the optimiser gives a bad value, not overflow.
    slope = np.exp((model.slope @ parameters[count:]).clip(-_STEEPEST, _STEEPEST))
    distance = log_samples - model.offset - model.location @ parameters[:count]
    eta = slope * distance
    return eta, np.concatenate([-slope[:, None] * model.location, eta[:, None] * model.slope], axis=1)


@np.errstate(over="ignore", invalid="ignore")  # a step that overflows is not taken
def maximise(counts: Counts, model: Model, start: np.ndarray | None = None) -> Maximum:
    """Return the maximum of the likelihood, from a start or from weighted least squares on logits.

    The method is Fisher scoring, with Levenberg's damping if a step lowers the likelihood. (`scipy.optimize`
    takes three times as long.)
    """
    log_samples, t, k = np.log(counts.samples), counts.trials, counts.successes
    constant = float(np.sum(gammaln(t + 1) - gammaln(k + 1) - gammaln(t - k + 1)))
    flat = _GRADIENT * max(1.0, float(t.sum()))

    def at(parameters: np.ndarray) -> tuple[Maximum, np.ndarray]:
        eta, derivative = predictor(model, log_samples, parameters)
        value = constant - float(k @ np.logaddexp(0, -eta) + (t - k) @ np.logaddexp(0, eta))
        shares = expit(eta)
        fisher = derivative.T @ ((t * shares * (1 - shares))[:, None] * derivative)
        score = derivative.T @ (k - t * shares)
        steepest = (model.slope @ parameters[model.location.shape[1] :]).max()
        converged = np.abs(score).max(initial=0.0) < flat and steepest < _STEEPEST - 1
        return Maximum(parameters, value, fisher, bool(converged)), score

    best, score = at(first_guess(counts, model) if start is None else start)
    damping = _DAMPING
    for _ in range(_STEPS):
        if best.converged or damping > 1 / _DAMPING**2:
            break
        damped = best.information.copy()
        damped.flat[:: len(damped) + 1] *= 1 + damping
        damped.flat[:: len(damped) + 1] += _TINY
        tried, there = at(best.parameters + np.linalg.solve(damped, score))
        if tried.value >= best.value:
            best, score, damping = tried, there, max(damping / 10, _DAMPING**2)
        else:
            damping *= 10
    return best


def first_guess(counts: Counts, model: Model) -> np.ndarray:
    """Return a start: weighted least squares on empirical logits, one slope for all n."""
    t, k = counts.trials, counts.successes
    logit = np.log((k + 0.5) / (t - k + 0.5))
    weight = np.sqrt((k + 0.5) * (t - k + 0.5) / (t + 1))
    distance = np.log(counts.samples) - model.offset
    design = np.column_stack([distance, -model.location]) * weight[:, None]
    solution = np.linalg.lstsq(design, logit * weight, rcond=None)[0]
    slope = solution[0] if solution[0] > 0.05 else 0.05
    logs = np.full(len(distance), math.log(slope))
    return np.concatenate([solution[1:] / slope, np.linalg.lstsq(model.slope, logs, rcond=None)[0]])


def profile_interval(counts: Counts, model: Model, best: Maximum, column: int) -> tuple[float, float]:
    """Return the 95 % profile-likelihood interval of a location parameter; an end may be infinite."""
    from scipy.optimize import brentq  # slow to load

    limit = math.sqrt(2 * float(gammaincinv(0.5, 0.95)))  # the quantile of χ² of one degree of freedom
    middle = float(best.parameters[column])
    try:
        covariance = np.linalg.inv(best.information)[:, column]
    except np.linalg.LinAlgError:
        return -math.inf, math.inf
    if not 0 < covariance[column] < math.inf:
        return -math.inf, math.inf
    step = limit * math.sqrt(covariance[column])
    rest = np.delete(best.parameters, column)
    # To first order, how the other parameters move with this one.
    moves = np.delete(covariance, column) / covariance[column]

    @cache
    def depth(away: float) -> float:
        """The root of the likelihood ratio: it is nearly linear, so its zero is found fast."""
        if away == 0:
            return -limit
        held = maximise(counts, model.without(column, middle + away * step), rest + away * step * moves)
        return math.sqrt(max(0.0, 2 * (best.value - held.value))) - limit

    ends = []
    for sign in (-1, 1):
        inner, outer = 0.0, 1.0
        while depth(sign * outer) < 0 and outer < 64:
            inner, outer = outer, 1.5 * outer
        if outer >= 64:
            ends.append(sign * math.inf)
            continue
        root = brentq(lambda x, sign=sign: depth(sign * x), inner, outer, xtol=1e-4)
        ends.append(middle + sign * float(root) * step)  # type: ignore[arg-type]
    return ends[0], ends[1]
