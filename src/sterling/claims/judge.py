"""Rules that judge measured numbers; each rule can also be put in words."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from sterling.base.text import number, sentence
from sterling.claims.finding import Judgement

#: An exponent whose interval ends by more than this below the proved one is far inside the bound.
FAR = 0.5


@dataclass(frozen=True)
class Case:
    """One judgement, and its condition in words and as a function of the evidence."""

    judgement: Judgement
    where: str
    holds: Callable[..., bool]


@dataclass(frozen=True)
class Rule:
    """Cases that exclude each other; if no case holds, the judgement is "not decided"."""

    cases: tuple[Case, ...]
    note: str = ""  # whole sentences that follow the cases

    def judge(self, pieces: Iterable[tuple[Any, ...]]) -> Judgement:
        """Judge every piece of evidence and return the common judgement.

        This is "contradicted" if one piece is, else "not decided" if one piece is or there is no evidence,
        else "far inside" if all pieces are, else "consistent".
        """
        found = {
            next((case.judgement for case in self.cases if case.holds(*piece)), Judgement.NOT_DECIDED)
            for piece in pieces
        }
        for judgement in (Judgement.CONTRADICTED, Judgement.NOT_DECIDED, Judgement.CONSISTENT):
            if judgement in found:
                return judgement
        return Judgement.FAR_INSIDE if found else Judgement.NOT_DECIDED

    @property
    def words(self) -> str:
        """The rule in a sentence or two."""
        said = "; ".join(f"{case.judgement} where {case.where}" for case in self.cases)
        return f"{sentence(f'{said}; not decided otherwise')} {self.note}".strip()


def consistent(where: str, holds: Callable[..., bool]) -> Case:
    """Return the case in which a measurement agrees with the statement."""
    return Case(Judgement.CONSISTENT, where, holds)


def contradicted(where: str, holds: Callable[..., bool]) -> Case:
    """Return the case in which a measurement speaks against the statement."""
    return Case(Judgement.CONTRADICTED, where, holds)


def bound(what: str, value: float, note: str = "") -> Rule:
    """Return the rule for (low, high, left) of an exponent that is proved to be at most ``value``.

    ``left`` is the number of runs left open by their budget, 0 by default. Such runs may succeed later, so an
    exponent at this budget contradicts nothing.
    """
    return Rule(
        (
            Case(
                Judgement.FAR_INSIDE,
                f"the 95 % interval of {what} ends more than {FAR:g} below the proved {value:g}",
                lambda low, high, left=0: math.isfinite(low) and high < value - FAR,
            ),
            consistent(
                f"it ends at {value:g} or below",
                lambda low, high, left=0: math.isfinite(low) and value - FAR <= high <= value,
            ),
            contradicted(
                f"it begins above {value:g} and no run was left open by its budget",
                lambda low, high, left=0: low > value and not left,
            ),
        ),
        note,
    )


def near(what: str, value: float, tolerance: float) -> Rule:
    """Return the rule for the interval (low, high) of a number that is ``value`` by theory."""
    least, most = value - tolerance, value + tolerance
    return Rule(
        (
            consistent(
                f"the whole 95 % interval of {what} lies within {number(least)} to {number(most)}",
                lambda low, high: least <= low and high <= most,
            ),
            contradicted("it lies wholly outside", lambda low, high: high < least or low > most),
        )
    )
