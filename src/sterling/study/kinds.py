"""Kinds of trials: what a kind says of itself, and the registry. What a kind does is in a file of its own.

A kind has a name, a version, settings, the columns that it measures and a function that runs one trial.
Nothing here knows of workers, files or orders, so a trial gives the same row wherever and whenever it runs.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from sterling.base import checks
from sterling.base.registry import Registry
from sterling.base.text import Described
from sterling.errors import InputError
from sterling.model.problem import Problem
from sterling.schedules import MAX_STEPS, Schedule, parse_schedule
from sterling.study.criteria import Criterion
from sterling.surrogates import SURROGATES, get_surrogate

if TYPE_CHECKING:
    from sterling.study.cells import Cell, Seeds

#: What all kinds have: the parameters of the problem, in the order of tables.
PROBLEM = tuple(one.name for one in fields(Problem))
_RESERVED = (*PROBLEM, "cell", "trial", "seconds", "version", "outcome", "trials", "successes", "undecided")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")

Look = Callable[..., None]


class Cancelled(Exception):
    """A trial was given up on request; it leaves no row."""


# -- columns -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column(Described):
    """What a kind measures: the type of a column, and which values can be.

    Ready-made are COUNT, SHARE, REAL, FLAG and `words`; ``maybe()`` and ``list()`` make others of them.

    Parameters
    ----------
    dtype : str
        Name of a Polars type: "Int64", "Float64", "Boolean", "String", or "List(…)" of one.
    low, high : float, optional
        Bounds of a number. Numbers are finite.
    words : tuple of str, optional
        The texts that there can be.
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
        if self.scalar not in ("Int64", "Int32", "Float64", "Boolean", "String"):
            raise InputError(
                f"a column has the type {self.dtype!r:.60}; give Int64, Float64, Boolean, String or a List"
            )

    @property
    def scalar(self) -> str:
        """The type of one value: of a list, what it holds."""
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
        """Return the column of which values may be missing.

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


COUNT = Column("Int64", low=0)
SHARE = Column("Float64", low=0, high=1)
REAL = Column("Float64")
FLAG = Column("Boolean")


def words(*known: str) -> Column:
    """Return a column of texts that are among those.

    Parameters
    ----------
    *known : str
        The texts that there can be.

    Returns
    -------
    Column
        Of texts, none of which may be missing.

    Examples
    --------
    >>> from sterling.study import words
    >>> words("left", "right").words
    ('left', 'right')
    """
    return Column("String", words=known)


# -- kinds ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Kind(Described):
    """A kind of trial.

    Parameters
    ----------
    name : str
        Lower-case letters, digits and underscores.
    run : callable
        ``run(cell, seeds, look)`` runs one trial on one thread and returns its row: a mapping of column to
        value. What is random comes from ``seeds``; ``look()`` should be called several times a second, it
        raises when the trial is not wanted any more, and can be given as ``progress`` to what takes long.
    columns : mapping of str to Column or str
        What a trial measures, all of it in every row. A text is the name of a Polars type, with values that
        may be missing.
    version : int
        Raised whenever the same trial would give another row.
    settings : mapping of str to value
        What a cell of this kind says beside its problem, and the value by default. "schedule", "surrogate"
        and "steps" mean the same in every kind; any other value must be of the type of its default.
    criteria : mapping of str to Criterion
        What can be called a success; the first is a study's by default.
    check : callable, optional
        ``check(cell)`` raises `InputError` for a cell that cannot be run.
    work : callable, optional
        ``work(cell)`` returns a Polars expression over the columns: what a trial costs, in seconds of some
        machine, from counted operations.
    small : callable, optional
        ``small(cell)`` returns a tiny cell that needs the same kernels.
    replay : callable, optional
        ``replay(cell, seeds, record)`` returns what a trial was in full; see `replay`.

    Examples
    --------
    How far from the origin a teacher's labels are:

    >>> import sterling as st
    >>> from sterling.study import Kind, REAL, Study
    >>> def run(cell, seeds, look):
    ...     return {"mean": float(cell.problem.draw(seeds.data).labels.mean())}
    >>> st.register(Kind("label_mean", run, {"mean": REAL}))
    <Kind 'label_mean', version 1: mean>
    >>> Study(n=4, samples=8, kind="label_mean")
    Study('study': label_mean, n=4, 1 cells, seed=0)
    """

    name: str
    run: Callable[[Cell, Seeds, Look], Mapping[str, Any] | Iterable[Mapping[str, Any]]]
    columns: Mapping[str, Any]
    version: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    criteria: Mapping[str, Criterion] = field(default_factory=dict)
    check: Callable[[Cell], None] | None = None
    work: Callable[[Cell], pl.Expr] | None = None
    small: Callable[[Cell], Cell] | None = None
    replay: Callable[[Cell, Seeds, Iterable[str]], Any] | None = None

    def __post_init__(self):
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            name = checks.shown(self.name)
            raise InputError(f"a kind is named {name}; take lower-case letters, digits and underscores")
        checks.integer(self.version, "the version of a kind", 1)
        columns = {
            name: Column(one, optional=True) if isinstance(one, str) else one
            for name, one in self.columns.items()
        }
        for name in (*columns, *self.settings):
            if not isinstance(name, str) or not name.isidentifier() or name in _RESERVED:
                raise InputError(f"the kind {self.name!r} has {checks.shown(name)}; give it another name")
        both = [name for name in columns if name in self.settings]
        if both:
            raise InputError(f"the kind {self.name!r} has {both[0]!r} twice: as a column and as a setting")
        for name in ("settings", "criteria"):
            object.__setattr__(self, name, MappingProxyType(dict(getattr(self, name))))
        object.__setattr__(self, "columns", MappingProxyType(columns))

    def __repr__(self) -> str:
        return f"<Kind {self.name!r}, version {self.version}: {', '.join(self.columns)}>"

    def __reduce__(self):
        # To a worker goes what running a trial takes; expressions and checks are of no use there.
        return Kind, (self.name, self.run, dict(self.columns), self.version, dict(self.settings))

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "settings": dict(self.settings),
            "columns": {name: column.to_dict() for name, column in self.columns.items()},
            "criteria": [criterion.to_dict() for criterion in self.criteria.values()],
        }

    def _plain(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings as plain values, those left out at their defaults."""
        return {name: self._setting(name, value) for name, value in {**self.settings, **settings}.items()}

    def _setting(self, name: str, value: Any) -> Any:
        """Return a value of one setting as a plain one, checked."""
        if name not in self.settings:
            names = ", ".join(self.settings) or "none"
            near = difflib.get_close_matches(name, self.settings, n=1)
            hint = f"; did you mean {near[0]!r}?" if near else ""
            raise InputError(f"trials of the kind {self.name!r} have no {name}; known are {names}{hint}")
        default = self.settings[name]
        if name == "schedule":
            return schedule_text(value)
        if name == "surrogate":
            known = get_surrogate(value)
            if SURROGATES.get(known.name) != known:
                raise InputError(
                    f"the surrogate {known.name!r} is not registered: sterling.register it first"
                )
            return known.name
        if name == "restart" and value != "none":
            from sterling.dynamics.restart import parse_restart

            return str(parse_restart(value))
        if name == "steps":
            return checks.integer(value, name, 1, MAX_STEPS)
        if isinstance(default, bool):
            return checks.flag(value, name)
        if isinstance(default, int):
            return checks.integer(value, name)
        if isinstance(default, float):
            return checks.real(value, name) + 0.0  # −0 is 0
        if default is not None and not isinstance(default, str):
            raise InputError(f"the default of {name} is {checks.shown(default)}; give a number or a text")
        return None if value is None else checks.instance_of(value, str, name, "a text")


KINDS: Registry[Kind] = Registry(
    "kind of trial",
    "sterling.kinds",
    lambda thing: isinstance(thing, Kind),
    modules={
        name: f"sterling.study.{name}_kind"
        for name in ("train", "landscape", "baseline", "certificate", "starts")
    },
)


def get_kind(name: str | Kind) -> Kind:
    """Return the kind of trial of that name.

    Parameters
    ----------
    name : str or Kind
        A kind comes back as it is.

    Returns
    -------
    Kind
        The kind.

    Examples
    --------
    >>> from sterling.study import get_kind
    >>> sorted(get_kind("train").criteria)
    ['certified', 'ergodic', 'optimal', 'visit']
    """
    return name if isinstance(name, Kind) else KINDS.find(name)


#: What a threshold on a column of a kind means, where the name of the column does not say it.
_THRESHOLDS = {("train", "occupancy"): "at the teacher for at least {} of the steps"}


def parse_criterion(text: str | Criterion, kind: str | Kind = "train") -> Criterion:
    """Return the criterion that a text such as "optimal" or "occupancy>=0.5" names for a kind of trial.

    Parameters
    ----------
    text : str or Criterion
        Such as "optimal" or "occupancy>=0.5".
    kind : str or Kind
        Of the trials that it is asked of.

    Returns
    -------
    Criterion
        The criterion.

    Examples
    --------
    >>> from sterling.study import parse_criterion
    >>> parse_criterion("ergodic").meaning
    'the sign of the time average is the teacher at the end'
    """
    if isinstance(text, Criterion):
        return text
    kind = get_kind(kind)
    numbers = [name for name, one in kind.columns.items() if one.dtype in ("Int64", "Int32", "Float64")]
    word = text.strip() if isinstance(text, str) else text
    column, reaches, number = map(str.strip, str(word).partition(">="))
    if reaches and column in numbers:
        try:
            bounds = kind.columns[column]
            share = checks.real(float(number), column, above=bounds.low, most=bounds.high)
        except ValueError as problem:
            raise InputError(f"criterion {text!r}: {problem}") from None
        told = f"{column}>={share!r}".removesuffix(".0")  # every digit, so that it reads back
        words = _THRESHOLDS.get((kind.name, column), f"{column.replace('_', ' ')} at least {{}}")
        meaning = words.format(told.partition(">=")[2])
        return Criterion(told, meaning, (column,), pl.col(column) >= share, threshold=share)
    known = [*kind.criteria, *(f"{name}>=R" for name in numbers)]
    return kind.criteria[checks.choice(word, "the criterion", known)]


def schedule_text(schedule: Schedule | str) -> str:
    """Return a schedule as `parse_schedule` reads it, in full precision."""
    if isinstance(schedule, str):
        schedule = parse_schedule(schedule)
    checks.instance_of(schedule, Schedule, "the schedule", "one such as Power(0.5, 0.5)")
    kind, *values = schedule.to_dict().values()
    return f"{kind}:" + ",".join(repr(rate) for rate in np.hstack(values).tolist())
