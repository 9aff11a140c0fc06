"""What a trial is: its kind, the cell that it belongs to, and the seeds that it is drawn from.

The built-in kinds are in files NAME_kind.py. Nothing here depends on workers, files or the order of
work, so a trial gives the same row wherever and whenever it runs.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np
import polars as pl

from sterling.base import checks
from sterling.base.registry import Registry
from sterling.base.text import Described
from sterling.errors import InputError
from sterling.model.problem import Problem
from sterling.optimizers.base import OPTIMIZERS, Optimizer, as_optimizer
from sterling.optimizers.batch import as_batch
from sterling.schedules import MAX_STEPS, Schedule, parse_schedule
from sterling.study.columns import Column, Criterion
from sterling.surrogates import SURROGATES, Surrogate, get_surrogate

#: Increased whenever the same cell and number would give another trial; rows of two versions are not mixed.
SEMANTICS = 2

#: The parameters of a problem, in the order of tables.
PROBLEM = tuple(one.name for one in fields(Problem))

# Names that settings and columns may not have. "levels" is allowed: some kinds had it before problems did.
_RESERVED = {*PROBLEM, "cell", "trial", "seconds", "version", "outcome", "trials", "successes", "undecided"}
_RESERVED -= {"levels"}
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")

Look = Callable[..., None]


class Cancelled(Exception):
    """The caller cancelled this trial; it leaves no row."""


@dataclass(frozen=True)
class Seeds(Described):
    """The seeds of a trial, two 63-bit integers.

    Parameters
    ----------
    data : int
        Seed for `Problem.draw` and ``init``, derived from the root seed, the problem and the trial's number.
        Cells of one problem that differ in kind or settings get the same data sets and starts, so comparisons
        between them are paired.
    rest : int
        Seed for all other randomness, derived from the root seed, the cell and the number.

    Examples
    --------
    >>> from sterling.study import Seeds
    >>> Seeds(data=1, rest=2).to_dict()
    {'data': 1, 'rest': 2}
    """

    data: int
    rest: int


# -- cells ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell(Described):
    """One point of a study: the problem and the settings that its trials share.

    Parameters
    ----------
    kind : str
        The kind of trial.
    problem : Problem
        The distribution of the data.
    settings : mapping
        Settings of the kind; missing ones take their defaults.

    Examples
    --------
    >>> import sterling as st
    >>> from sterling.study import Cell
    >>> cell = Cell("train", st.Problem(n=8, samples=50), {"steps": 1000})
    >>> cell.settings["surrogate"]
    'relu'
    >>> Cell.from_dict(cell.to_dict()) == cell
    True
    """

    kind: str
    problem: Problem
    settings: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        kind = get_kind(self.kind)
        checks.instance_of(self.problem, Problem, "the problem of a cell", "a Problem")
        given = checks.instance_of(self.settings, Mapping, "the settings of a cell", "a mapping")
        plain = {name: kind._setting(name, value) for name, value in {**kind.settings, **given}.items()}
        self.__dict__.update(kind=kind.name, settings=plain)
        if kind.check is not None:
            kind.check(self)

    @classmethod
    def _trusted(cls, kind: str, problem: Problem, settings: Mapping[str, Any]) -> Cell:
        """Return the cell of values that were checked before."""
        cell = object.__new__(cls)
        cell.__dict__.update(kind=kind, problem=problem, settings=settings)
        return cell

    def __hash__(self) -> int:
        return hash(self.text)

    def to_dict(self) -> dict[str, Any]:
        values = {
            "kind": self.kind,
            "version": get_kind(self.kind).version,
            "problem": self.problem.to_dict(),
            "settings": get_kind(self.kind)._canonical(self.settings),
        }
        return values | {name: own.to_dict() for name, own in self.own.items()}

    @property
    def own(self) -> dict[str, Surrogate | Optimizer]:
        """The surrogate and the optimiser, if a user registered them; they are then part of the cell."""
        found: dict[str, Surrogate | Optimizer] = {}
        name, optimizer = self.settings.get("surrogate"), self.settings.get("optimizer")
        if name is not None and name not in SURROGATES.built_in:
            found["surrogate"] = get_surrogate(name)
        if optimizer is not None and optimizer.partition(":")[0] not in OPTIMIZERS.built_in:
            found["optimizer"] = as_optimizer(optimizer)
        return found

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cell:
        """Return the cell that `to_dict` described. Raises InputError for any other values, and where a kind,
        surrogate or optimiser of that name has another version or definition here.

        Parameters
        ----------
        values : mapping
            Described values.

        Returns
        -------
        Cell
            The cell.
        """
        try:
            cell = cls(values["kind"], Problem(**values["problem"]), values["settings"])
            same = canonical(values) == cell.text
        except (LookupError, TypeError, ValueError, AttributeError) as problem:
            raise InputError(f"these values do not describe a cell: {problem}") from None
        if not same:
            raise InputError("the kind, surrogate or optimizer of a cell has another definition here")
        return cell

    def _at(self, n: int, samples: int) -> Cell:
        """Return the cell with another dimension and sample size."""
        if (n, samples) == (self.problem.n, self.problem.samples):
            return self
        return self._trusted(self.kind, replace(self.problem, n=n, samples=samples), self.settings)

    @cached_property
    def text(self) -> str:
        """The canonical JSON of `to_dict`, which the store keeps."""
        return canonical(self.to_dict())

    @cached_property
    def key(self) -> str:
        """Hash (hexadecimal) of the canonical JSON: the cell's name."""
        return digest(self.text)

    @cached_property
    def data_key(self) -> str:
        """Hash of the problem alone: cells of equal problems share data sets and starts."""
        return digest(canonical(self.problem.to_dict()))

    @cached_property
    def content(self) -> dict[str, Any]:
        """Problem and settings in one flat dictionary, as columns of tables."""
        problem = {**self.problem.to_dict(), "levels": self.problem.levels}
        problem["normalize"] = problem["normalize"] or "none"
        if not isinstance(problem["readout"], str):
            problem["readout"] = json.dumps(problem["readout"])
        return {**problem, **self.settings}


def canonical(value: Any) -> str:
    """Return plain values as canonical JSON: equal values give equal strings."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """Return the hash that names a canonical text."""
    return blake2b(text.encode(), digest_size=12).hexdigest()


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
        value. Take all randomness from ``seeds`` and call ``look()`` several times a second. It
        raises when the trial is cancelled; long computations accept it as ``progress``.
    columns : mapping of str to Column
        The columns that a trial measures; every row has all of them.
    version : int
        Increase it whenever the same trial would give another row.
    settings : mapping of str to value
        The settings of a cell besides its problem, with their default values. "schedule", "surrogate",
        "steps", "restart", "optimizer" and "batch" mean the same in every kind; any other value must be of
        the type of its default.
    criteria : mapping of str to Criterion
        Definitions of success; the first is a study's default.
    check : callable, optional
        ``check(cell)`` raises `InputError` for a cell that cannot run.
    replay : callable, optional
        ``replay(cell, seeds, record)`` returns a trial in full; see `replay`.
    later : collection of str
        Settings that were added after trials had been stored. Cells with their default values keep their
        names, seeds and rows.

    Examples
    --------
    A kind that measures the mean label of a data set:

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
    columns: Mapping[str, Column]
    version: int = 1
    settings: Mapping[str, Any] = field(default_factory=dict)
    criteria: Mapping[str, Criterion] = field(default_factory=dict)
    check: Callable[[Cell], None] | None = None
    replay: Callable[[Cell, Seeds, Iterable[str]], Any] | None = None
    later: Collection[str] = ()

    def __post_init__(self):
        if not isinstance(self.name, str) or not _NAME.fullmatch(self.name):
            name = checks.shown(self.name)
            raise InputError(f"a kind is named {name}; use lower-case letters, digits and underscores")
        checks.integer(self.version, "the version of a kind", 1)
        if not callable(self.run):
            raise InputError(f"run of a kind is {checks.shown(self.run)}; give a function")
        for name in (*self.columns, *self.settings):
            if not isinstance(name, str) or not name.isidentifier() or name in _RESERVED:
                raise InputError(f"the kind {self.name!r} has {checks.shown(name)}; give it another name")
        for name, column in self.columns.items():
            checks.instance_of(column, Column, f"the column {name!r}", "a Column such as COUNT")
        for name, one in self.criteria.items():
            checks.instance_of(one, Criterion, f"the criterion {checks.shown(name)}", "a Criterion")

    def __repr__(self) -> str:
        return f"<Kind {self.name!r}, version {self.version}: {', '.join(self.columns)}>"

    def to_dict(self) -> dict[str, Any]:
        return {
            "name": self.name,
            "version": self.version,
            "settings": dict(self.settings),
            "columns": {name: column.to_dict() for name, column in self.columns.items()},
            "criteria": [criterion.to_dict() for criterion in self.criteria.values()],
        }

    def _canonical(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings without later ones at their default."""
        return {
            name: value
            for name, value in settings.items()
            if name not in self.later or value != self.settings[name]
        }

    def _setting(self, name: str, value: Any) -> Any:
        """Return a value of one setting as a plain one, checked."""
        checks.choice(name, f"a setting of the kind {self.name!r}", self.settings)
        if name == "schedule" and value == "auto" and "optimizer" in self.settings:
            return "auto"
        if name in _SHARED:
            return _SHARED[name](value)
        default = self.settings[name]
        if isinstance(default, bool):
            return checks.flag(value, name)
        if isinstance(default, int):
            return checks.integer(value, name)
        if isinstance(default, float):
            return checks.real(value, name) + 0.0  # −0 is 0
        return None if value is None else checks.instance_of(value, str, name, "a string")


def _surrogate(value: Any) -> str:
    known = get_surrogate(value)
    if SURROGATES.get(known.name) != known:
        raise InputError(f"the surrogate {known.name!r} is not registered: call sterling.register first")
    return known.name


def _restart(value: Any) -> str:
    from sterling.dynamics.restart import as_restart

    return str(as_restart(None if value == "none" else value) or "none")


def schedule_text(schedule: Schedule | str) -> str:
    """Return a schedule as `parse_schedule` reads it, in full precision."""
    if isinstance(schedule, str):
        schedule = parse_schedule(schedule)
    checks.instance_of(schedule, Schedule, "the schedule", "one such as Power(0.5, 0.5)")
    kind, *values = schedule.to_dict().values()
    return f"{kind}:" + ",".join(repr(rate) for rate in np.hstack(values).tolist())


#: Settings that mean the same in every kind, and what makes a plain value of each.
_SHARED: dict[str, Callable[[Any], Any]] = {
    "schedule": schedule_text,
    "surrogate": _surrogate,
    "restart": _restart,
    "optimizer": lambda value: str(as_optimizer(value)),
    "batch": lambda value: str(as_batch(value) or "none"),
    "steps": lambda value: checks.integer(value, "steps", 1, MAX_STEPS),
}

KINDS: Registry[Kind] = Registry(
    "kind of trial",
    "sterling.kinds",
    lambda thing: isinstance(thing, Kind),
    modules={
        name: f"sterling.study.{name}_kind" for name in ("train", "landscape", "baseline", "certificate")
    },
)


def get_kind(name: str | Kind) -> Kind:
    """Return the kind of trial of that name.

    Parameters
    ----------
    name : str or Kind
        A kind is returned unchanged.

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
    """Return the criterion that a string such as "optimal" or "occupancy>=0.5" names for a kind of trial."""
    if isinstance(text, Criterion):
        return text
    kind = get_kind(kind)
    numbers = [name for name, one in kind.columns.items() if one.dtype in ("Int64", "Float64")]
    word = text.strip() if isinstance(text, str) else text
    column, reaches, number = map(str.strip, str(word).partition(">="))
    if reaches and column in numbers:
        try:
            bounds = kind.columns[column]
            share = checks.real(float(number), column, above=bounds.low, most=bounds.high)
        except ValueError as problem:
            raise InputError(f"criterion {text!r}: {problem}") from None
        number = repr(share).removesuffix(".0")  # every digit, so that it reads back
        meaning = _THRESHOLDS.get((kind.name, column), f"{column.replace('_', ' ')} at least {{}}")
        success = pl.col(column) >= share
        return Criterion(f"{column}>={number}", meaning.format(number), (column,), success, threshold=share)
    known = [*kind.criteria, *(f"{name}>=R" for name in numbers)]
    return kind.criteria[checks.choice(word, "the criterion", known)]
