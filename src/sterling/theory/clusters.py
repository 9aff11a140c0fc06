"""How much wrong weights cluster in time, from the ratio of the pushes at w* to those away from it.

At w* only label noise pushes; away from it wrong weights push the others as well. Let a weight flip in a step
with a probability proportional to its outward push. With A₀ and A₁ the mean numbers of flips in a step at w*
and away from it, ε = A₀/A₁, and q the share of the steps away from w*, the mean number x of wrong weights and
q are

    x = (1 − q) A₀ + q A₁,        q = (1 − q)(1 − exp(−A₀)) + q (1 − exp(−A₁)).

With much noise ε is near 1 and q = 1 − exp(−x), as for independent weights. With little noise excursions from
w* are rare, and several weights are wrong in each. The model for this is independent weights within
excursions that take the share w of the time: q = w (1 − exp(−x/w)).
"""

from __future__ import annotations

import math

_FEWEST = 1e-9  # least number of wrong weights that can cluster
_MOST = 50.0  # flips in a step, at most


def excursion_share(wrong: float, ratio: float) -> float:
    """Return w for the mean number x of wrong weights and the ratio ε from 0 to 1."""
    from scipy.optimize import brentq

    if wrong < _FEWEST or ratio > 1 - _FEWEST:
        return 1.0

    def away(flips: float) -> float:
        leave = -math.expm1(-ratio * flips)
        return leave / (math.exp(-flips) + leave)

    def mean(flips: float) -> float:
        q = away(flips)
        return (1 - q) * ratio * flips + q * flips

    if mean(_MOST) <= wrong:
        return 1.0
    flips = float(brentq(lambda c: mean(c) - wrong, 0, _MOST, xtol=1e-14))  # type: ignore[arg-type]
    together = wrong / away(flips)  # mean number of wrong weights in a step away from w*
    if together <= 1 + _FEWEST:
        return 1.0
    # t/(1 − exp(−t)) = together, t = x/w
    t = float(brentq(lambda t: t + together * math.expm1(-t), _FEWEST / 2, together + 1))  # type: ignore[arg-type]
    return min(1.0, wrong / t)
