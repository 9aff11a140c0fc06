"""What counts as success in a trial, decided from its row, and when a trial decides nothing."""

from __future__ import annotations

from dataclasses import dataclass, field

import polars as pl

from sterling.base.text import Described

#: Outcome codes of a trial.
FAILURE, SUCCESS, UNDECIDED = 0, 1, 2


@dataclass(frozen=True)
class Criterion(Described):
    """A criterion: its name as in a study, what it means, and how a row answers it.

    Two of one name are equal. Kinds of trials have criteria by name; a threshold of a measured number, such
    as "occupancy>=0.5", is one for every kind. `parse_criterion` makes them.

    Parameters
    ----------
    text : str
        The name, as studies write it.
    meaning : str
        What success means, in words.
    columns : tuple of str
        Measured columns that it reads.
    success, undecided : Polars expression
        Boolean, over the columns. A trial is undecided where its budget was spent and more steps could still
        change the answer.
    threshold : float, optional
        That a measured number has to reach.

    Examples
    --------
    >>> from sterling.study import parse_criterion
    >>> criterion = parse_criterion("occupancy>=0.5")
    >>> criterion.column, criterion.threshold
    ('occupancy', 0.5)
    """

    text: str
    meaning: str = field(compare=False)
    columns: tuple[str, ...] = field(compare=False)
    success: pl.Expr = field(compare=False, repr=False)
    undecided: pl.Expr | None = field(default=None, compare=False, repr=False)
    threshold: float | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return self.text

    @property
    def column(self) -> str:
        """The column that a threshold is on, else the name of the criterion."""
        return self.text if self.threshold is None else self.columns[0]

    def to_dict(self) -> dict[str, str]:
        return {"criterion": self.text, "meaning": self.meaning}

    def outcome(self) -> pl.Expr:
        """Return the expression over a kind's columns: FAILURE, SUCCESS or UNDECIDED, int8 "outcome".

        Returns
        -------
        Polars expression
            Over the columns of a kind.
        """
        undecided = pl.lit(False) if self.undecided is None else self.undecided
        code = pl.when(self.success).then(SUCCESS).when(undecided).then(UNDECIDED).otherwise(FAILURE)
        return code.cast(pl.Int8).alias("outcome")
