"""The shares of time that balance the mean gradients of one data set; what they mean is in `balance.py`.

Numbers in, numbers out: nothing here knows of instances.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sterling.errors import InputError
from sterling.surrogates import Surrogate

_ROUNDS = 4000  # of the iteration for the shares; about a hundred are needed
_STEP = 0.2  # of that iteration, in units of the single weight's own solution
_RENEW = 4  # rounds between two looks at how many weights are wrong at a time
_CLOSE = 1e-10  # of two iterates, where it ends
_PASSES = 3  # of the iteration for the share of the time at w*, at each look
_MOST = 0.999  # a probability of crossing is kept below this
_STEEP = 5.0  # bound on the logarithmic slope of the tilt
_TAIL = 1e-12  # numbers of wrong weights beyond this probability are left out


@lru_cache(maxsize=64)
def mean_square_slope(surrogate: Surrogate) -> float:
    """Return E μ′(a)² for standard Gaussian a."""
    from scipy.integrate import quad

    def square(x: float) -> float:
        return float(surrogate.derivative(x)) ** 2 * np.exp(-x * x / 2) / np.sqrt(2 * np.pi)

    return sum(quad(square, low, low + 1, epsabs=1e-13)[0] for low in range(-9, 9))


def solve(
    push: np.ndarray, response: np.ndarray, levels: np.ndarray, own_part: float
) -> tuple[np.ndarray, float]:
    """Return the shares p (n,) that balance the mean gradients, and the share of the time at w*.

    Parameters
    ----------
    push : float64 (n,)
        b*_k G_k(w*); positive where w*_k is pushed out.
    response : float64 (n, n)
        b*_k (G_k(w* with l flipped) − G_k(w*)), row l.
    levels : float64 (2, n + 1)
        The mean of b*_k G_k at distance d by `profile`, for right and wrong k. Its scale is fitted to the
        data by the mean pull, so inputs need not have unit variance.
    own_part : float
        γ.
    """
    n = len(push)
    pull = -float(np.diag(response).mean())
    if pull <= 0:
        raise InputError(
            "flipping one weight of the reference is not undone on average, so no weight is held there: the "
            "sample is far too small, or the reference is not a state that runs return to"
        )
    levels = levels * (pull / -levels[1, 1])
    own = np.diag(response) - levels[1, 1]
    across = response - levels[0, 1]
    np.fill_diagonal(across, 0.0)
    total = across.sum(axis=0)
    weights = _prediction_weights(n, own_part)
    crossing = _Crossing(push, response)
    mean: list[np.ndarray] = []
    factor: list[np.ndarray] = []
    shares = np.clip(push / pull, 0, 0.5)
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
                mean[i] += (laws[i] @ used[:, 0]) * own + (laws[i] @ used[:, 2]) * total
            used = [weights[i, np.minimum(at[i] + 1, n - 1 + i)] for i in (0, 1)]
            factor = [laws[i + 1] @ (used[i][:, 1] - used[i][:, 2]) for i in (0, 1)]
        right, wrong = (mean[i] + (shares * factor[i]) @ across for i in (0, 1))
        new = np.clip(shares + _STEP * (push + (1 - shares) * right + shares * wrong) / pull, 0, 1)
        step = float(np.abs(new - shares).max())
        shares = new
        if step < _CLOSE:
            break
    crossing.update(shares)
    return shares, crossing.alone


class _Crossing:
    """How wrong weights cluster: a state that pushes several weights outwards flips them together.

    While D is wrong, weight k crosses with a probability proportional to max(0, b*_k G_k(D)), independently
    of the others; the factor is such that its share comes out as p_k. So the share of the time at w* is

        π(∅) = Σ_D π(D) Π_k (1 − f_k max(0, b*_k G_k(D))),

    with the exact gradients for D = ∅ and for single weights, whose π(l) is taken as p_l/(1 − p_l)·π(∅), and
    independent weights for the rest.
    """

    def __init__(self, push: np.ndarray, response: np.ndarray):
        self.home = np.maximum(push, 0)
        self.away = np.maximum(push + response, 0)
        np.fill_diagonal(self.away, 0)  # the wrong weight itself returns
        self.alone = 1.0
        self.tilt = np.ones(len(push) + 3)

    def update(self, shares: np.ndarray) -> None:
        apart = float(np.prod(1 - shares))
        alone = self.alone if 0 < self.alone < 1 else apart
        for _ in range(_PASSES):
            single = shares / (1 - np.minimum(shares, _MOST)) * alone
            seen = alone + float(single.sum())
            if seen > 1:
                single *= (1 - alone) / float(single.sum())
                seen = 1.0
            mean = (alone * self.home + single @ self.away) / seen
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
    if len(law) < 3 or not law[0] * (1 + _CLOSE) < alone < 1:
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


@lru_cache(maxsize=32)
def _prediction_weights(n: int, own_part: float) -> np.ndarray:
    """Return the weights by which responses to single flips predict that to a set D, float64 (2, n + 1, 3).

    First index: whether k ∈ D; second: |D|. Third: weight of k's own flip, of each other member of D, and of
    each weight outside D. Flips are exchangeable, so the normal equations of the covariance at the top of
    this file have three unknowns.
    """

    def kappa(d: int, inside: bool) -> float:
        angle = np.arccos(1 - 2 * d / n)
        spread = 1 / d if inside else -1 / (n - d) if d < n else 0.0
        return float(angle + own_part * np.sin(angle) * spread)

    out = np.zeros((2, n + 1, 3))
    single, itself = kappa(1, False), kappa(1, True)
    with_own = (itself + single - kappa(2, True)) / 2 if n > 1 else 0.0
    pair = single - kappa(2, False) / 2 if n > 2 else 0.0
    for inside in (False, True):
        for d in range(1, n + (1 if inside else 0)):
            here = kappa(d, inside)
            members, rest = d - inside, n - 1 - d + inside
            # Covariances of F(D) with the three kinds of single flips; dropping k swaps inside and outside.
            own = here + itself - (kappa(d - 1, False) if inside else kappa(d + 1, True))
            member = here + single - kappa(d - 1, inside) if members else 0.0
            outside = here + single - kappa(d + 1, inside) if rest else 0.0
            left = np.array(
                [
                    [itself, with_own * members, with_own * rest],
                    [with_own, single - pair + pair * members, pair * rest],
                    [with_own, pair * members, single - pair + pair * rest],
                ]
            )
            kept = [i for i in (0, 1, 2) if i == 0 or (i == 1 and members) or (i == 2 and rest)]
            rhs = np.array([own, member, outside]) / 2
            out[int(inside), d, kept] = np.linalg.solve(left[np.ix_(kept, kept)], rhs[kept])
    return out
