"""The shares of time that balance the mean gradients of one data set; `recurrence.py` explains them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from sterling.theory.response import Response

_ROUNDS = 1000  # largest number of rounds of the iteration for the shares; about a hundred are needed
_STEP = 0.2  # size of its steps, in units of the solution for a single weight
_RENEW = 4  # rounds between updates of the distribution of the number of wrong weights
_CLOSE = 1e-10  # change of the shares at which the iteration ends
_TURNS = 4  # turns of the correction by exact gradients
_PASSES = 3  # passes of the iteration for the share of the time at w*, in an update
_MOST = 0.999  # upper bound of the probability of a flip
_STEEP = 5.0  # bound on the logarithmic slope of the tilt
_LEAST = np.finfo(float).tiny
_TAIL = 1e-12  # probability of the numbers of wrong weights that are left out


def solve(response: Response, extra: np.ndarray | float = 0.0) -> tuple[np.ndarray, float, float]:
    """Return the shares p (n,) that balance the mean gradients, and the share of the time at w*.

    The third value is the last change of the shares. ``extra`` (n,) is added to the predicted mean of
    b*_k G_k over the run.
    """
    n, pull, levels, weights = len(response.push), response.pull, response.levels, response.weights
    push = response.push + extra
    clusters = _Clusters(response)
    mean: list[np.ndarray] = []
    factor: list[np.ndarray] = []
    shares, step = np.clip(push / pull, 0, 0.5), np.inf
    for count in range(_ROUNDS):
        if count % _RENEW == 0:
            clusters.update(shares)
            others, tilt = _count_others(shares), clusters.tilt
            d = np.arange(others.shape[1])
            # Number of other wrong weights, given that k is right, that k is wrong, and that l is wrong too.
            chances = [others * tilt[d + more] for more in (0, 1, 2)]
            chances = [one / np.maximum(one.sum(axis=1, keepdims=True), _LEAST) for one in chances]
            at = d, d + 1
            mean = [chances[i] @ levels[i, at[i]] for i in (0, 1)]
            for i in (0, 1):
                used = weights[i, at[i]]
                mean[i] += (chances[i] @ used[:, 0]) * response.own
                mean[i] += (chances[i] @ used[:, 2]) * response.total
            used = [weights[i, np.minimum(at[i] + 1, n - 1 + i)] for i in (0, 1)]
            factor = [chances[i + 1] @ (used[i][:, 1] - used[i][:, 2]) for i in (0, 1)]
        right, wrong = (mean[i] + (shares * factor[i]) @ response.across for i in (0, 1))
        new = np.clip(shares + _STEP * (push + (1 - shares) * right + shares * wrong) / pull, 0, 1)
        step = float(np.abs(new - shares).max())
        shares = new
        if step < _CLOSE:
            break
    clusters.update(shares)
    return shares, clusters.alone, step


def refine(
    response: Response, exact: Callable[[np.ndarray], np.ndarray], states: int
) -> tuple[np.ndarray, float, float, int]:
    """Return the result of `solve`, corrected by exact gradients, and the number of distinct states used.

    States are drawn from the predicted distribution, and the mean error of the prediction over them is added
    to the balance; both are repeated with the new shares and the same random numbers. ``exact`` returns
    b*_k G_k, float64 (n,), at the state with these wrong weights, bool (n,).
    """
    # Random numbers are assigned by the rank of the push, so the order of the weights does not matter.
    n = len(response.push)
    rank = np.argsort(np.argsort(response.push, kind="stable"), kind="stable")
    uniform = np.random.default_rng(0).random((states, n))[:, rank]
    shares, alone, step = solve(response)
    known: dict[bytes, np.ndarray] = {}
    extra = np.zeros(n)
    for turn in range(_TURNS):
        drawn = uniform < shares
        missed = np.zeros((states, n))
        for row in np.flatnonzero(drawn.sum(axis=1) > 1):  # the prediction is exact below two
            key = drawn[row].tobytes()
            if key not in known:
                known[key] = exact(drawn[row]) - response.at(drawn[row])
            missed[row] = known[key]
        weight = _tilt(shares, alone)[drawn.sum(axis=1)]
        mean = weight @ missed / weight.sum()
        extra = mean if turn == 0 else (extra + mean) / 2
        shares, alone, step = solve(response, extra)
    return shares, alone, step, len(known)


class _Clusters:
    """How wrong weights cluster: a state that pushes several weights outwards flips them together.

    At D weight k flips with a probability proportional to max(0, b*_k G_k(D)), independently of the others;
    the factor f_k makes its share p_k. So the share of the time at w* is

        π(∅) = Σ_D π(D) Π_k (1 − f_k max(0, b*_k G_k(D))),

    with exact gradients for D = ∅ and for single weights, π(l) = p_l/(1 − p_l)·π(∅), and independent weights
    for all other D.
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
            mean = (alone * self.home + single @ self.away) / max(seen, _LEAST)
            factor = np.divide(shares, mean, out=np.zeros_like(shares), where=mean > 0)
            stay = np.prod(1 - np.minimum(factor * self.home, _MOST))
            back = np.prod(1 - np.minimum(factor * self.away, _MOST), axis=1)
            new = alone * stay + float(single @ back) + (1 - seen) * apart
            alone = (alone + new) / 2
        self.alone = alone
        self.tilt = _tilt(shares, alone)


def _tilt(shares: np.ndarray, alone: float) -> np.ndarray:
    """Return factors t_d on the probabilities P(d) of d wrong weights that make t_0·P(0) = ``alone``.

    t_d is geometric from d = 1 on, and the mean does not change. All factors are 1 if weights do not cluster.
    """
    from scipy.optimize import brentq

    chances = _count(shares)
    out = np.ones(len(shares) + 3)
    if len(chances) < 3 or chances[0] == 0 or not chances[0] * (1 + _CLOSE) < alone < 1:
        return out
    rest, d = chances[1:], np.arange(len(chances) - 1)
    goal = float(shares.sum()) / (1 - alone) - 1

    def excess(x: float) -> float:
        w = rest * np.exp(x * d - max(x, 0) * d[-1])  # the factor cancels, and does not overflow
        return float((w * d).sum() / w.sum()) - goal

    if not excess(-_STEEP) < 0 < excess(_STEEP):
        return out
    slope = float(brentq(excess, -_STEEP, _STEEP))  # type: ignore[arg-type]
    w = np.exp(slope * d - max(slope, 0) * d[-1])
    out[0] = alone / chances[0]
    out[1 : len(chances)] = w * (1 - alone) / float((rest * w).sum())
    out[len(chances) :] = out[len(chances) - 1]
    return out


def _count_others(shares: np.ndarray) -> np.ndarray:
    """Return the distribution of the number of independent wrong weights other than k, float64 (n, J)."""
    # Division of the generating function of all weights by that of one is stable for shares up to 1/2.
    n = len(shares)
    chances = _count(shares)
    reach = max(1, min(n, int(np.searchsorted(-chances[::-1].cumsum()[::-1], -_TAIL)) + 1))
    out = np.zeros((n, reach))
    small = shares <= 0.5
    before = np.zeros(n)
    for j in range(min(reach, len(chances))):
        before = np.where(small, (chances[j] - shares * before) / (1 - np.where(small, shares, 0)), 0)
        out[:, j] = before
    for k in np.flatnonzero(~small):
        part = _count(np.delete(shares, k))[:reach]
        out[k, : len(part)] = part
    return np.maximum(out, 0)


def _count(shares: np.ndarray) -> np.ndarray:
    chances = np.ones(1)
    for share in shares[shares > 0]:
        chances = np.convolve(chances, (1 - share, share))
    return chances
