"""The columns that trials measure, and the criteria of success that read them."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import polars as pl

from sterling.base import checks
from sterling.base.text import Described
from sterling.errors import InputError

#: Outcome codes of a trial.
FAILURE, SUCCESS, UNDECIDED = 0, 1, 2

_TYPES = {
    "Int64": (int, np.integer),
    "Float64": (int, float, np.integer, np.floating),
    "Boolean": (bool, np.bool_),
    "String": (str,),
}
_RANGES: dict[str, tuple[float, float]] = {
    "Int64": (-(1 << 63), (1 << 63) - 1),
    "Float64": (-sys.float_info.max, sys.float_info.max),
}


@dataclass(frozen=True)
class Column(Described):
    """A column that a kind measures: its type and its valid values.

    COUNT, SHARE, REAL, FLAG and `words` are ready-made; ``maybe()`` and ``list()`` derive others from them.

    Parameters
    ----------
    dtype : str
        Name of a Polars type: "Int64", "Float64", "Boolean", "String", or "List(…)" of one.
    low, high : float, optional
        Bounds of a number. Numbers are finite.
    words : tuple of str, optional
        The allowed strings.
    optional : bool
        Whether a value may be missing.

    Examples
    --------
    >>> from sterling.study import COUNT
    >>> COUNT.maybe().list().dtype
    'List(Int64)'
    """

    dtype: str
    low: float | None = None
    high: float | None = None
    words: tuple[str, ...] | None = None
    optional: bool = False

    def __post_init__(self):
        if not isinstance(self.dtype, str) or self.scalar not in _TYPES:
            names = "Int64, Float64, Boolean, String or a List of one"
            raise InputError(f"the type of a column is {checks.shown(self.dtype)}; give {names}")

    @property
    def scalar(self) -> str:
        """The type of one value: of a list, the type of its entries."""
        return self.dtype.removeprefix("List(").removesuffix(")")

    @property
    def listed(self) -> bool:
        """Whether a value is a list."""
        return self.dtype != self.scalar

    @property
    def polars(self) -> pl.DataType:
        """The Polars type."""
        scalar = getattr(pl, self.scalar)()
        return pl.List(scalar) if self.listed else scalar

    def maybe(self) -> Column:
        """Return the column whose values may be missing.

        Returns
        -------
        Column
            A changed copy.
        """
        return replace(self, optional=True)

    def list(self) -> Column:
        """Return the column of lists of such values.

        Returns
        -------
        Column
            A changed copy.
        """
        return replace(self, dtype=f"List({self.dtype})")

    def _fault(self, value: Any) -> str:
        """Return why the store cannot keep a value, as the end of a sentence; empty if it can."""
        if not self.listed or (value is None and self.optional):
            return self._scalar_fault(value)
        if not isinstance(value, (list, tuple, np.ndarray)):
            return f"is {checks.shown(value)}, not a list"
        return next(filter(None, map(self._scalar_fault, value)), "")

    def _scalar_fault(self, value: Any) -> str:
        if value is None:
            return "" if self.optional else "is missing"
        flag = isinstance(value, (bool, np.bool_))
        if not isinstance(value, _TYPES[self.scalar]) or flag != (self.scalar == "Boolean"):
            return f"is {checks.shown(value)}, not of the type {self.scalar}"
        if isinstance(value, str) and self.words is not None and value not in self.words:
            return f"is {checks.shown(value)}, not one of {', '.join(self.words)}"
        if self.scalar in _RANGES:
            number: Any = value.item() if isinstance(value, np.generic) else value
            least, most = _RANGES[self.scalar]
            low, high = least if self.low is None else self.low, most if self.high is None else self.high
            if not low <= number <= high:  # NaN is not
                return f"is {checks.shown(value)}, not a number from {low:g} to {high:g}"
        return ""


COUNT = Column("Int64", low=0)
SHARE = Column("Float64", low=0, high=1)
REAL = Column("Float64")
FLAG = Column("Boolean")


def words(*known: str) -> Column:
    """Return a column whose values are strings from a given set.

    Parameters
    ----------
    *known : str
        The allowed strings.

    Returns
    -------
    Column
        A column of strings without missing values.

    Examples
    --------
    >>> from sterling.study import words
    >>> words("left", "right").words
    ('left', 'right')
    """
    return Column("String", words=known)


@dataclass(frozen=True)
class Criterion(Described):
    """A criterion: its name as in a study, its meaning, and how a row decides it.

    Two criteria of the same name are equal. Each kind of trial has named criteria; a threshold on a measured
    number, such as "occupancy>=0.5", works for every kind.

    Parameters
    ----------
    text : str
        The name, as studies write it.
    meaning : str
        Definition of success, in words.
    columns : tuple of str
        Measured columns that it reads.
    success, undecided : Polars expression
        Boolean expressions over the columns. A trial is undecided if it took all its steps and more steps
        could still change the answer.
    threshold : float, optional
        Lowest value of the measured number that counts as a success.

    Examples
    --------
    >>> from sterling.study import Study
    >>> (criterion,) = Study(n=8, samples=50, criteria="occupancy>=0.5").criteria
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
        """The column of a threshold, otherwise the name of the criterion."""
        return self.text if self.threshold is None else self.columns[0]

    def to_dict(self) -> dict[str, str]:
        return {"criterion": self.text, "meaning": self.meaning}

    def outcome(self) -> pl.Expr:
        """Return the expression over a kind's columns: FAILURE, SUCCESS or UNDECIDED, int8 "outcome".

        Returns
        -------
        Polars expression
            An expression over the columns of a kind.
        """
        undecided = pl.lit(False) if self.undecided is None else self.undecided
        code = pl.when(self.success).then(SUCCESS).when(undecided).then(UNDECIDED).otherwise(FAILURE)
        return code.cast(pl.Int8).alias("outcome")
