"""The shares of time that balance the mean gradients of one data set; what they mean is in `recurrence.py`.

Numbers in, numbers out: nothing here knows of instances.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sterling.theory.response import Response

_ROUNDS = 1000  # of the iteration for the shares; about a hundred are needed
_STEP = 0.2  # of that iteration, in units of the single weight's own solution
_RENEW = 4  # rounds between two looks at how many weights are wrong at a time
_CLOSE = 1e-10  # of two iterates, where it ends
_TURNS = 4  # of the correction by exact gradients
_PASSES = 3  # of the iteration for the share of the time at w*, at each look
_MOST = 0.999  # a probability of crossing is kept below this
_STEEP = 5.0  # bound on the logarithmic slope of the tilt
_TAIL = 1e-12  # numbers of wrong weights beyond this probability are left out


def solve(response: Response, extra: np.ndarray | float = 0.0) -> tuple[np.ndarray, float, float]:
    """Return the shares p (n,) that balance the mean gradients, and the share of the time at w*.

    Last comes by how much the shares still moved at the end. ``extra`` (n,) is what the mean of b*_k G_k over
    the run has beside the prediction's.
    """
    n, pull, levels, weights = len(response.push), response.pull, response.levels, response.weights
    push = response.push + extra
    crossing = _Crossing(response)
    mean: list[np.ndarray] = []
    factor: list[np.ndarray] = []
    shares, step = np.clip(push / pull, 0, 0.5), np.inf
    for count in range(_ROUNDS):
        if count % _RENEW == 0:
            crossing.update(shares)
            others, tilt = _count_others(shares), crossing.tilt
            d = np.arange(others.shape[1])
            # How many others are wrong, given that k is right; that it is wrong; and that l is wrong too.
            laws = [_normalised(others * tilt[d + more]) for more in (0, 1, 2)]
            at = d, d + 1
            mean = [laws[i] @ levels[i, at[i]] for i in (0, 1)]
            for i in (0, 1):
                used = weights[i, at[i]]
                mean[i] += (laws[i] @ used[:, 0]) * response.own + (laws[i] @ used[:, 2]) * response.total
            used = [weights[i, np.minimum(at[i] + 1, n - 1 + i)] for i in (0, 1)]
            factor = [laws[i + 1] @ (used[i][:, 1] - used[i][:, 2]) for i in (0, 1)]
        right, wrong = (mean[i] + (shares * factor[i]) @ response.across for i in (0, 1))
        new = np.clip(shares + _STEP * (push + (1 - shares) * right + shares * wrong) / pull, 0, 1)
        step = float(np.abs(new - shares).max())
        shares = new
        if step < _CLOSE:
            break
    crossing.update(shares)
    return shares, crossing.alone, step


def refine(
    response: Response, exact: Callable[[np.ndarray], np.ndarray], states: int
) -> tuple[np.ndarray, float, float, int]:
    """Return what `solve` does, corrected by exact gradients at states of the run.

    Last comes the number of distinct states at which they were taken.

    States are drawn from the predicted law, the prediction's mean error over them is added to the balance,
    and that is repeated with the new shares and the same random numbers. A weight's random numbers go by the
    rank of its push, so that the order of the weights does not matter. ``exact`` returns b*_k G_k, float64
    (n,), at the state where these weights are wrong, bool (n,); of the draws most are usually of few states.
    """
    n = len(response.push)
    rank = np.argsort(np.argsort(response.push, kind="stable"), kind="stable")
    uniform = np.random.default_rng(0).random((states, n))[:, rank]
    shares, alone, step = solve(response)
    known: dict[bytes, np.ndarray] = {}
    extra = np.zeros(n)
    for turn in range(_TURNS):
        drawn = uniform < shares
        missed = np.zeros((states, n))
        for row in np.flatnonzero(drawn.sum(axis=1) > 1):  # exact below two
            key = drawn[row].tobytes()
            if key not in known:
                known[key] = exact(drawn[row]) - response.at(drawn[row])
            missed[row] = known[key]
        weight = _tilt(shares, alone)[drawn.sum(axis=1)]
        mean = weight @ missed / weight.sum()
        extra = mean if turn == 0 else (extra + mean) / 2
        shares, alone, step = solve(response, extra)
    return shares, alone, step, len(known)


class _Crossing:
    """How wrong weights cluster: a state that pushes several weights outwards flips them together.

    While D is wrong, weight k crosses with a probability proportional to max(0, b*_k G_k(D)), independently
    of the others; the factor is such that its share comes out as p_k. So the share of the time at w* is

        π(∅) = Σ_D π(D) Π_k (1 − f_k max(0, b*_k G_k(D))),

    with the exact gradients for D = ∅ and for single weights, whose π(l) is taken as p_l/(1 − p_l)·π(∅), and
    independent weights for the rest.
    """

    def __init__(self, response: Response):
        self.home = np.maximum(response.push, 0)
        self.away = np.maximum(response.push + response.change, 0)
        np.fill_diagonal(self.away, 0)  # the wrong weight itself returns
        self.alone = 1.0
        self.tilt = np.ones(len(response.push) + 3)

    def update(self, shares: np.ndarray) -> None:
        apart = float(np.prod(1 - shares))
        alone = self.alone if 0 < self.alone < 1 else apart
        for _ in range(_PASSES):
            single = shares / (1 - np.minimum(shares, _MOST)) * alone
            seen = alone + float(single.sum())
            if seen > 1:
                single *= (1 - alone) / float(single.sum())
                seen = 1.0
            mean = (alone * self.home + single @ self.away) / max(seen, np.finfo(float).tiny)
            factor = np.divide(shares, mean, out=np.zeros_like(shares), where=mean > 0)
            stay = np.prod(1 - np.minimum(factor * self.home, _MOST))
            back = np.prod(1 - np.minimum(factor * self.away, _MOST), axis=1)
            new = alone * stay + float(single @ back) + (1 - seen) * apart
            alone = (alone + new) / 2
        self.alone = alone
        self.tilt = _tilt(shares, alone)


def _tilt(shares: np.ndarray, alone: float) -> np.ndarray:
    """Return factors t_d that turn the law of the number of wrong weights into one with t_0·P(0) = alone.

    t_d is geometric from d = 1 on, and the mean stays. Where weights do not cluster all factors are one.
    """
    from scipy.optimize import brentq

    law = _law(shares)
    out = np.ones(len(shares) + 3)
    if len(law) < 3 or law[0] == 0 or not law[0] * (1 + _CLOSE) < alone < 1:
        return out
    rest, d = law[1:], np.arange(len(law) - 1)
    goal = float(shares.sum()) / (1 - alone) - 1

    def excess(x: float) -> float:
        w = rest * np.exp(x * d)
        return float((w * d).sum() / w.sum()) - goal

    if not excess(-_STEEP) < 0 < excess(_STEEP):
        return out
    slope = float(brentq(excess, -_STEEP, _STEEP))  # type: ignore[arg-type]
    w = np.exp(slope * d)
    out[0] = alone / law[0]
    out[1 : len(law)] = w * (1 - alone) / float((rest * w).sum())
    out[len(law) :] = out[len(law) - 1]
    return out


def _normalised(laws: np.ndarray) -> np.ndarray:
    return laws / np.maximum(laws.sum(axis=1, keepdims=True), np.finfo(float).tiny)


def _count_others(shares: np.ndarray) -> np.ndarray:
    """Return the law of the number of wrong weights other than k, float64 (n, J); independent weights.

    Dividing the generating function of all by that of one is stable for shares up to a half.
    """
    n = len(shares)
    law = _law(shares)
    reach = max(1, min(n, int(np.searchsorted(-law[::-1].cumsum()[::-1], -_TAIL)) + 1))
    out = np.zeros((n, reach))
    small = shares <= 0.5
    before = np.zeros(n)
    for j in range(min(reach, len(law))):
        before = np.where(small, (law[j] - shares * before) / (1 - np.where(small, shares, 0)), 0)
        out[:, j] = before
    for k in np.flatnonzero(~small):
        part = _law(np.delete(shares, k))[:reach]
        out[k, : len(part)] = part
    return np.maximum(out, 0)


def _law(shares: np.ndarray) -> np.ndarray:
    law = np.ones(1)
    for share in shares[shares > 0]:
        law = np.convolve(law, (1 - share, share))
    return law
