"""How sure the codes are: what bootstraps say about each code, shrunk by what they say about all."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm
from scipy.stats import t as student

from sterling.learn.training import Labelled, expansion, heads
from sterling.model.levels import level_values

_TRUTHS = np.arange(0, 8.25, 0.25)  # true margins above zero, in standard errors
_ROUNDS = 20  # many more would fit the prior to chance


def margins(data: Labelled, found: np.ndarray, codes: np.ndarray, levels: int) -> np.ndarray:
    """Return by how much the loss rises as each code is left for the next best level, (R, n).

    The other codes are those of ``found``. A margin is negative where the data prefer another level.
    """
    scores = data.inputs @ found.T.astype(np.float64)
    scale, intercept = heads(scores, data)
    changes = expansion(data, found, levels, scores * scale + intercept, scale)
    own = np.searchsorted(level_values(levels), codes)[None]
    kept = np.take_along_axis(changes, own, axis=0)[0]
    np.put_along_axis(changes, own, np.inf, axis=0)
    return changes.min(axis=0) - kept


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
        share = prior * likely / (likely @ prior)[:, None]
        prior = share.mean(axis=0)
    return (share * above / likely).sum(axis=1).reshape(drawn.shape[1:])
