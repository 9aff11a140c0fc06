"""Trials of the kind "baseline": other estimators of the teacher, on the data of a run of the same problem.

Each takes inputs, float (N, n) or (N, 1, n), and labels, float (N,), and returns signs, int8 (n,), with
sign(0) = +1. `theory/ladder.py` gives the limits of any estimator.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import polars as pl

from sterling.base import checks
from sterling.errors import InputError
from sterling.landscapes.landscape import check_dimension, landscape
from sterling.model.levels import require_two
from sterling.study.columns import COUNT, FLAG, Criterion
from sterling.study.kind import Cell, Kind, Look, Seeds

_ROOT = math.sqrt(2 * math.pi)
_SETTLED = 1e-6  # change of the mean guess in a round, at which the iteration ends
_SURE = 1e-3  # mean uncertainty of the weights below which the guess counts as certain
_DOUBT = 6.0  # standard errors of the mean square error
_SMALL = 1e-12
_FLAT = 1e-9  # slope of the logistic loss of a sample, at its minimum


class Messages(NamedTuple):
    """The result of `gamp`; not settled if it diverged, still moved in the last round, or was certain of
    signs that do not explain the labels.
    """

    signs: np.ndarray  # int8 (n,), the rounded guess
    mean: np.ndarray  # float64 (n,), the guess, from −1 to 1
    settled: bool


def _arrays(inputs, labels) -> tuple[np.ndarray, np.ndarray]:
    values = np.asarray(labels, np.float64)
    return np.asarray(inputs, np.float64).reshape(len(values), -1), values


def _signs(values: np.ndarray) -> np.ndarray:
    return np.where(values >= 0, 1, -1).astype(np.int8)


def hebb(inputs, labels) -> np.ndarray:
    """Return the sign of Σ (y − ȳ) z, the majority vote of the samples; the units of labels do not matter.

    Golea and Marchand 1993; Fang and Venkatesh 1996: π n ln n samples suffice to leading order.
    """
    rows, values = _arrays(inputs, labels)
    return _signs((values - values.mean()) @ rows)


def least_squares(inputs, labels) -> np.ndarray:
    """Return the sign of the least-squares fit of y − ȳ; if it is not unique, of the shortest one."""
    rows, values = _arrays(inputs, labels)
    return _signs(np.linalg.lstsq(rows, values - values.mean(), rcond=None)[0])


def logistic(inputs, labels) -> np.ndarray:
    """Return the sign of the logistic regression of y > ½ without intercept.

    It minimises Σ ln(1 + exp(∓ z·w)) + |w|²/2: without the penalty separable data have no minimum.
    """
    from scipy.optimize import minimize
    from scipy.special import expit

    rows, values = _arrays(inputs, labels)
    rows = rows * np.where(values > 0.5, 1.0, -1.0)[:, None]

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = rows @ w
        value = np.logaddexp(0, -margin).sum() + w @ w / 2
        return float(value), w - expit(-margin) @ rows

    return _signs(minimize(loss, np.zeros(rows.shape[1]), jac=True, options={"gtol": _FLAT * len(rows)}).x)


def gamp(
    inputs, labels, *, noise: float = 0.0, readout: float = 1.0, damping: float = 0.3, rounds: int = 500
) -> Messages:
    """Find the teacher by generalised approximate message passing, for y = readout·H(z·w*) + noise·ξ.

    The weights' prior is ±1, and both the channel and the prior are the true ones: for Gaussian inputs of
    variance one and many weights no algorithm of polynomial time is known that needs fewer samples. Without
    noise a label counts only by whether it is above or below readout/2. Damping is the share of the old
    messages that is kept; without it small systems oscillate. The result is not settled if its signs do not
    explain the labels: all of them without noise, and to within six standard errors with noise.

    Rangan 2011, arXiv 1010.5141; for the edge Barbier et al. 2019, PNAS 116, 5451.

    >>> from sterling.model.problem import Problem
    >>> data = Problem(n=64, samples=160).draw(0)
    >>> found = gamp(data.inputs, data.labels)
    >>> bool(np.all(found.signs == data.teacher)), found.settled
    (True, True)
    """
    from scipy.special import log_ndtr

    rows, values = _arrays(inputs, labels)
    count, n = rows.shape
    rows = rows / math.sqrt(n)
    squares = rows**2
    half = readout / 2
    odds = readout * (values - half) / noise**2 if noise else None  # ln P(y | 1)/P(y | 0)
    side = np.where((values > half) == (readout > 0), 1.0, -1.0)
    mean, spread = np.zeros(n), np.ones(n)
    force = np.zeros(count)
    for _ in range(rounds):
        width = np.maximum(squares @ spread, _SMALL)
        root = np.sqrt(width)
        u = (rows @ mean - width * force) / root
        if odds is None:
            log_z, log_size = log_ndtr(side * u), 0.0
            sign = side
        else:
            # The likelier answer's probability is taken out of Z, so that nothing overflows.
            log_z = np.logaddexp(log_ndtr(u) + np.minimum(odds, 0), log_ndtr(-u) - np.maximum(odds, 0))
            log_size, sign = np.log(np.maximum(-np.expm1(-np.abs(odds)), 1e-300)), np.sign(odds)
        new = sign * np.exp(np.minimum(-u * u / 2 + log_size - log_z, 300)) / (_ROOT * root)
        force = damping * force + (1 - damping) * new
        slope = force * (force + u / root)  # minus the derivative of the force
        precision = np.maximum(slope @ squares, _SMALL)
        guess = np.tanh(np.clip(mean * precision + force @ rows, -400, 400))
        change = np.abs(guess - mean).max()
        mean = damping * mean + (1 - damping) * guess
        if not np.isfinite(mean).all():
            return Messages(_signs(np.nan_to_num(mean)), np.nan_to_num(mean), False)
        spread = 1 - mean**2
        if change < _SETTLED:
            sure = spread.mean() < _SURE
            settled = not sure or _explains(rows, values, mean, noise, readout)
            return Messages(_signs(mean), mean, settled)
    return Messages(_signs(mean), mean, False)


def _explains(rows: np.ndarray, values: np.ndarray, mean: np.ndarray, noise: float, readout: float) -> bool:
    """Whether these weights and label noise of this size explain the labels."""
    answer = rows @ _signs(mean) > 0
    if noise == 0:
        return bool(np.all((values > readout / 2) == (answer if readout > 0 else ~answer)))
    error = float(np.mean((values - readout * answer) ** 2)) / noise**2
    return error < 1 + _DOUBT * math.sqrt(2 / len(values))


_VOTES = {"least_squares": least_squares, "hebb": hebb, "logistic": logistic}
ESTIMATORS = (*_VOTES, "gamp", "least_risk")


def _run(cell: Cell, seeds: Seeds, look: Look) -> dict[str, Any]:
    instance = cell.problem.draw(seeds.data, threads=1)
    name = cell.settings["estimator"]
    settled = True
    look()
    if name == "least_risk":
        signs = landscape(instance).minimisers  # several if they are equally good
    elif name == "gamp":
        noise, readout = cell.problem.noise, float(instance.readout[0])
        found = gamp(instance.inputs, instance.labels, noise=noise, readout=readout)
        signs = found.signs[None]
        settled = bool(found.settled)
    else:
        signs = _VOTES[name](instance.inputs, instance.labels)[None]
    errors = np.count_nonzero(signs != instance.teacher, axis=1)
    return {"errors": int(errors.max()), "answers": len(errors), "settled": settled}


def _check(cell: Cell) -> None:
    problem = cell.problem
    require_two(problem, f"the kind {cell.kind!r} is")
    name = checks.choice(cell.settings["estimator"], "estimator", ESTIMATORS)
    if problem.m != 1:
        raise InputError(f"the estimators of the kind 'baseline' are for m = 1, not {problem.m}")
    if name == "gamp" and (str(problem.inputs) != "gaussian" or problem.normalize is not None):
        raise InputError("gamp needs Gaussian inputs without normalisation: use another estimator or inputs")
    if name == "least_risk":
        check_dimension(problem.n)


KIND = Kind(
    "baseline",
    _run,
    {"errors": COUNT, "answers": COUNT, "settled": FLAG},
    version=2,
    settings={"estimator": "least_squares"},
    criteria={
        "exact": Criterion(
            "exact",
            "the estimate is the teacher, in every weight and in every answer",
            ("errors",),
            pl.col("errors") == 0,
        )
    },
    check=_check,
)
