"""What counts as success in a trial, decided from its row, and when a trial decides nothing."""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sterling.errors import InputError

if TYPE_CHECKING:
    import polars as pl

#: Outcome codes of a trial.
FAILURE, SUCCESS, UNDECIDED = 0, 1, 2

_MEANING = {
    "optimal": "absorbed at the teacher, for all time",
    "ergodic": "the sign of the time average is the teacher when the budget is spent",
    "visit": "the teacher was reached",
    "certified": "the verdict holds for all time, whatever it is",
    "occupancy": "the share of steps at the teacher is at least the threshold",
    "trap_free": "no weights but the teacher's absorb, so no start can be caught",
}
_OCCUPANCY = re.compile(r"occupancy\s*>=\s*(?P<share>[0-9.eE+-]+)")


@dataclass(frozen=True)
class Criterion:
    """A criterion: "optimal", "ergodic", "visit", "certified", "occupancy>=R" or "trap_free".

    A trial is undecided where its budget was spent and more steps could still change the answer: for
    "optimal" a run without certificate, for "visit" one that neither came by nor was caught elsewhere.
    "ergodic", "certified" and "occupancy" speak of the run as long as the budget, so every trial decides
    them. "trap_free" speaks of the data set, not of the run: trials of a study that asks for it search the
    exhaustive landscape (n ≤ 24), and a trial that did not is undecided.
    """

    kind: str
    share: float | None = None

    def __str__(self) -> str:
        if self.share is None:
            return self.kind
        return f"{self.kind}>={float(self.share)!r}".removesuffix(".0")  # every digit, so that it reads back

    def to_dict(self) -> dict[str, str]:
        """Return the criterion and what it means as plain values."""
        return {"criterion": str(self), "meaning": self.meaning}

    @property
    def meaning(self) -> str:
        """What success means, in words."""
        return _MEANING[self.kind]

    @property
    def landscape(self) -> bool:
        """Whether it needs the exhaustive landscape of a trial's data."""
        return self.kind == "trap_free"

    def outcome(self) -> pl.Expr:
        """Return the expression over a store's columns: FAILURE, SUCCESS or UNDECIDED, int8 "outcome"."""
        import polars as pl

        column = pl.col
        undecided = pl.lit(False)
        if self.kind == "optimal":
            # A run absorbed at zero empirical risk is OPTIMAL too, with few samples often not at the teacher.
            success = (column("verdict") == "OPTIMAL") & column("certified") & (column("errors") == 0)
            undecided = ~column("certified")
        elif self.kind == "ergodic":
            success = column("ergodic_errors") == 0
        elif self.kind == "visit":
            success = column("first_hit").is_not_null()
            undecided = column("first_hit").is_null() & ~column("certified")
        elif self.kind == "certified":
            success = column("certified")
        elif self.kind == "trap_free":
            success = column("trap_free").fill_null(False)
            undecided = column("trap_free").is_null()
        else:
            success = column("occupancy") >= self.share
        code = pl.when(success).then(SUCCESS).when(undecided).then(UNDECIDED).otherwise(FAILURE)
        return code.cast(pl.Int8).alias("outcome")

    @property
    def columns(self) -> tuple[str, ...]:
        """Columns that `outcome` reads."""
        return {
            "optimal": ("verdict", "certified", "errors"),
            "ergodic": ("ergodic_errors",),
            "visit": ("first_hit", "certified"),
            "certified": ("certified",),
            "occupancy": ("occupancy",),
            "trap_free": ("trap_free",),
        }[self.kind]


def parse_criterion(text: str | Criterion) -> Criterion:
    """Return the criterion that a text such as "optimal" or "occupancy>=0.5" names.

    Raises
    ------
    InputError
        If there is none of that name, or the threshold is no share in (0, 1].
    """
    if isinstance(text, Criterion):
        return text
    if not isinstance(text, str):
        raise InputError(f"a criterion is a text such as 'optimal', not {text!r:.60}")
    word = text.strip()
    if word in _MEANING and word != "occupancy":
        return Criterion(word)
    match = _OCCUPANCY.fullmatch(word)
    if match:
        try:
            share = float(match["share"])
        except ValueError:
            share = -1.0
        if not 0 < share <= 1:
            raise InputError(f"criterion {text!r}: the share must lie above 0 and be at most 1")
        return Criterion("occupancy", share)
    near = difflib.get_close_matches(word, _MEANING, n=1)
    hint = f"; did you mean {near[0]!r}?" if near and near[0] != "occupancy" else "."
    raise InputError(
        f"unknown criterion {text!r}{hint} Known are optimal, ergodic, visit, certified, trap_free and "
        "occupancy>=R."
    )
