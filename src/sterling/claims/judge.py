"""The rules by which measured numbers decide between the four judgements.

Beside each rule stands a function that says it in words, with the same numbers: `Finding.rule`.
"""

from __future__ import annotations

import math

from sterling.base.text import number
from sterling.claims.finding import Judgement

#: An exponent whose interval ends by more than this below the proved one is far inside the bound.
FAR = 0.5
_OPEN = "not decided otherwise."


def against_bound(high: float, low: float, bound: float) -> Judgement:
    """Judge the interval [low, high] of an exponent by a proved upper bound.

    Far inside: high < bound − 0.5. Consistent: high ≤ bound. Contradicted: low > bound. Not decided: the
    bound lies in the interval, or an end is missing.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return Judgement.NOT_DECIDED
    if high < bound - FAR:
        return Judgement.FAR_INSIDE
    if high <= bound:
        return Judgement.CONSISTENT
    return Judgement.CONTRADICTED if low > bound else Judgement.NOT_DECIDED


def bound_rule(what: str, bound: float) -> str:
    """Say `against_bound` in words; ``what`` is judged, such as "each exponent"."""
    return (
        f"Far inside the bound where the 95 % interval of {what} ends more than {FAR:g} below the proved "
        f"{bound:g}; consistent where it ends at {bound:g} or below; contradicted where it begins above; "
        f"{_OPEN}"
    )


def near(low: float, high: float, value: float, tolerance: float) -> Judgement:
    """Judge the interval [low, high] of a number that theory says is ``value``, up to a tolerance.

    Consistent: the whole interval lies within value ± tolerance. Contradicted: it lies wholly outside. Not
    decided: an end of the band lies in it.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return Judgement.NOT_DECIDED
    if value - tolerance <= low and high <= value + tolerance:
        return Judgement.CONSISTENT
    if high < value - tolerance or low > value + tolerance:
        return Judgement.CONTRADICTED
    return Judgement.NOT_DECIDED


def near_rule(what: str, value: float, tolerance: float) -> str:
    """Say `near` in words."""
    band = f"{number(value - tolerance)} to {number(value + tolerance)}"
    return (
        f"Consistent where the whole 95 % interval of {what} lies within {band}; contradicted where it lies "
        f"wholly outside; {_OPEN}"
    )


def above(low: float, high: float, value: float) -> Judgement:
    """Judge a claim that a number exceeds ``value``, by its interval.

    Consistent: low > value. Contradicted: high < value. Not decided: the value lies in between.
    """
    if low > value:
        return Judgement.CONSISTENT
    return Judgement.CONTRADICTED if high < value else Judgement.NOT_DECIDED


def all_of(*judgements: Judgement) -> Judgement:
    """Join the judgements of the parts of a claim.

    Contradicted if a part is; else not decided if a part is; else far inside if all are; else consistent.
    """
    for judgement in (Judgement.CONTRADICTED, Judgement.NOT_DECIDED):
        if judgement in judgements:
            return judgement
    if judgements and all(one is Judgement.FAR_INSIDE for one in judgements):
        return Judgement.FAR_INSIDE
    return Judgement.CONSISTENT if judgements else Judgement.NOT_DECIDED
