"""How sure the codes are: what bootstraps say about each code, shrunk by what they say about all."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from sterling.learn.training import Labelled, heads, probabilities
from sterling.model.levels import level_values

_TRUTHS = np.arange(0, 8.25, 0.25)  # true margins above zero, in standard errors
_ROUNDS = 20  # many more would fit the prior to chance


def margins(data: Labelled, found: np.ndarray, codes: np.ndarray, levels: int) -> np.ndarray:
    """Return by how much nearer each weight is to its code than to the next best level, in squares (R, n).

    The weights are real numbers: those of a row after a Newton step from the codes of ``found``, with the
    ridge 1/N. A margin is negative where the data prefer another level.
    """
    scores = data.inputs @ found.T.astype(np.float64)
    scale, intercept = heads(scores, data)
    share = probabilities(scores * scale + intercept)
    inputs = np.column_stack([data.inputs, np.ones(len(scores))])
    free = scale[:, None] * found
    for row, (one, target) in enumerate(zip(share.T, data.targets.T, strict=True)):
        bend = (inputs.T * (data.shares * one * (1 - one))) @ inputs + np.eye(inputs.shape[1]) / data.total
        free[row] -= np.linalg.solve(bend, inputs.T @ (data.shares * (one - target)))[:-1]
    away = (free - np.array(level_values(levels))[:, None, None] * scale[:, None]) ** 2
    own = np.searchsorted(level_values(levels), codes)[None]
    kept = np.take_along_axis(away, own, axis=0)[0]
    np.put_along_axis(away, own, np.inf, axis=0)
    return away.min(axis=0) - kept


def probability(drawn: np.ndarray) -> np.ndarray:
    """Return the probability that each true margin is above zero, from margins of bootstraps (B, R, n).

    A margin's mean over its standard deviation is normal around the truth. The truths of all codes have one
    prior, symmetric around zero, that expectation and maximisation fits from a flat one in few rounds.
    """
    spread = np.maximum(drawn.std(axis=0, ddof=1), 1e-300)
    ratio = norm.isf(student.sf(drawn.mean(axis=0) / spread, len(drawn) - 1)).ravel()
    ratio = np.clip(ratio, -_TRUTHS[-1], _TRUTHS[-1])[:, None]
    above, below = norm.pdf(ratio - _TRUTHS), norm.pdf(ratio + _TRUTHS)
    likely, prior = above + below, np.full(len(_TRUTHS), 1 / len(_TRUTHS))
    for _ in range(_ROUNDS):
        prior = prior * (likely / (likely @ prior)[:, None]).mean(axis=0)
    return (above @ prior / (likely @ prior)).reshape(drawn.shape[1:])
