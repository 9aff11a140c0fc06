"""Wrong weights come together: how far, from how much stronger the pushes are away from w* than at it.

At w* label noise alone pushes; while some weight is wrong the rest are pushed by what it does to them too. If
a weight crosses in a step with a chance in proportion to its outward push, then with A₀ and A₁ the mean
numbers of crossings at w* and away from it, ε = A₀/A₁ the ratio of the pushes and q the share of the steps
away, the number of wrong weights and q are

    x = (1 − q) A₀ + q A₁,        q = (1 − q)(1 − exp(−A₀)) + q (1 − exp(−A₁)).

With much noise ε is near 1 and q = 1 − exp(−x), as for independent weights. With little noise few excursions
leave w*, and several weights are wrong in each. That is written as independent weights within excursions
which take the share w of the time: q = w (1 − exp(−x/w)).
"""

from __future__ import annotations

import math

_FEWEST = 1e-9  # wrong weights, below which nothing clusters
_MOST = 50.0  # crossings in a step, at most


def excursion_share(wrong: float, ratio: float) -> float:
    """Return w for x, the mean number of wrong weights over the run, and the ratio ε from 0 to 1."""
    from scipy.optimize import brentq

    if wrong < _FEWEST or ratio > 1 - _FEWEST:
        return 1.0

    def away(crossings: float) -> float:
        leave = -math.expm1(-ratio * crossings)
        return leave / (math.exp(-crossings) + leave)

    def mean(crossings: float) -> float:
        q = away(crossings)
        return (1 - q) * ratio * crossings + q * crossings

    if mean(_MOST) <= wrong:
        return 1.0
    crossings = float(brentq(lambda c: mean(c) - wrong, 0, _MOST, xtol=1e-14))  # type: ignore[arg-type]
    together = wrong / away(crossings)  # wrong weights at a time while away
    if together <= 1 + _FEWEST:
        return 1.0
    # t/(1 − exp(−t)) = together, t = x/w
    t = float(brentq(lambda t: t + together * math.expm1(-t), _FEWEST / 2, together + 1))  # type: ignore[arg-type]
    return min(1.0, wrong / t)
