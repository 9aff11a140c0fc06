"""The response of the mean gradient to several wrong weights, predicted from the responses to single ones.

Let F_k(D) be b*_k (G_k(D) − G_k(w*)) minus its mean over data sets. For Gaussian inputs it is a random field
on sets D of wrong weights with a known covariance: a sum of z_ik times a coefficient over the rows on which H
differs between D and w*. The covariance of two sets D and E comes from the rows on which both differ from w*.
Indicators obey 2·1{both} = 1{D} + 1{E} − 1{D|E}, with D|E the rows on which D and E differ. So

    cov(F_k(D), F_k(E)) ∝ κ_k(D) + κ_k(E) − κ_k(D Δ E),      κ_k(D) = θ_d + γ sin θ_d · (1/d or −1/(n − d))

with d = |D| and cos θ_d = 1 − 2d/n. The last factor is 1/d if k ∈ D and −1/(n − d) if not: E z_k² over a
double wedge of angle θ. γ is the part of the variance from the row itself on which H differs. It is 1 for
m = 1; with more units most of the variance comes from the other rows of the sample. So the
response to two flips is about 0.52 times the sum of the two responses, which linear response would take.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np

from sterling.errors import InputError


class Response:
    """The best linear prediction of b*_k G_k(D) from the gradients at w* and its n neighbours.

    ``push`` is b*_k G_k(w*), positive if weight k is pushed outwards. Row l of ``change`` is b*_k (G_k(w*
    with l flipped) − G_k(w*)). ``levels`` is the mean of b*_k G_k at distance d by `profile`, here scaled to
    the mean ``pull`` on a single wrong weight in the data. ``own_part`` is γ. ``own`` is the response to the
    weight's own flip, minus its mean; row l of ``across`` is the same for the flip of weight l.
    """

    def __init__(self, push: np.ndarray, change: np.ndarray, levels: np.ndarray, own_part: float):
        self.push, self.change = push, change
        self.pull = -float(np.diag(change).mean())
        if self.pull <= 0:
            raise InputError(
                "at the reference the mean gradient does not undo single flips: the sample is far too small, "
                "or runs do not return to the reference"
            )
        self.levels = levels * (self.pull / -levels[1, 1])
        self.own = np.diag(change) - self.levels[1, 1]
        self.across = change - self.levels[0, 1]
        np.fill_diagonal(self.across, 0.0)
        self.total = self.across.sum(axis=0)
        self.weights = prediction_weights(len(push), own_part)

    def at(self, wrong: np.ndarray) -> np.ndarray:
        """Return the prediction of b*_k G_k at the states where these weights are wrong, (…, n) of bool."""
        d = wrong.sum(axis=-1)[..., None]
        inside = wrong.astype(np.int64)
        own, member, outside = np.moveaxis(self.weights[inside, d], -1, 0)
        members = wrong @ self.across
        return (
            self.push
            + np.where(d > 0, self.levels[inside, d], 0.0)
            + own * self.own
            + member * members
            + outside * (self.total - members)
        )


@lru_cache(maxsize=32)
def prediction_weights(n: int, own_part: float) -> np.ndarray:
    """Return the factors by which responses to single flips predict that to a set, float64 (2, n + 1, 3).

    First index: whether k ∈ D; second: |D|; third: the flip of k, of each other member of D, and of each
    weight outside D. Flips are exchangeable, so the normal equations have three unknowns.
    """

    def kappa(d: int, inside: bool) -> float:
        angle = np.arccos(1 - 2 * d / n)
        return float(angle + own_part * np.sin(angle) * (1 / d if inside else -1 / max(n - d, 1)))

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
