"""Kinds of trials, and the cells and seeds of trials of any kind. What a kind does is in a file of its own.

A kind has a name, a version, settings, the columns that it measures and a function that runs one trial.
Nothing here knows of workers, files or orders, so a trial gives the same row wherever and whenever it runs.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from functools import cached_property
from hashlib import blake2b
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from sterling.base import checks
from sterling.base.registry import Registry
from sterling.errors import InputError
from sterling.model.problem import Problem
from sterling.schedules import MAX_STEPS, Power, Schedule, Table, parse_schedule, schedule_from_dict
from sterling.study.criteria import Criterion, at_least
from sterling.surrogates import SURROGATES, Surrogate, get_surrogate

if TYPE_CHECKING:
    import polars as pl

    from sterling.model.families import Family

#: Raised whenever the same cell and number would give another trial; rows of another one are not mixed.
SEMANTICS = 2

_DIGEST = 12  # bytes of a cell's hash
#: What all kinds have: the parameters of the problem, in the order of tables.
PROBLEM = tuple(one.name for one in fields(Problem))
_RESERVED = (*PROBLEM, "cell", "trial", "seconds", "version", "outcome", "trials", "successes", "undecided")
_THRESHOLD = re.compile(r"(?P<column>\w+)\s*>=\s*(?P<share>[0-9.eE+-]+)")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,39}")

Look = Callable[..., None]


class Cancelled(Exception):
    """A trial was given up on request; it leaves no row."""


# -- columns -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Column:
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
        import polars as pl

        scalar = getattr(pl, self.scalar)()
        return pl.List(scalar) if self.listed else scalar

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values.

        Returns
        -------
        dict
            Plain values.
        """
        return asdict(self)

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
        A changed copy.
    """
    return Column("String", words=known)


# -- kinds ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, eq=False)
class Kind:
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

    Raises
    ------
    InputError
        For a name that cannot be one.

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
        """Return what a user should know as plain values.

        Returns
        -------
        dict
            Plain values.
        """
        return {
            "name": self.name,
            "version": self.version,
            "settings": dict(self.settings),
            "columns": {name: column.to_dict() for name, column in self.columns.items()},
            "criteria": [criterion.to_dict() for criterion in self.criteria.values()],
        }

    def plain(self, settings: Mapping[str, Any]) -> dict[str, Any]:
        """Return settings as plain values, those left out at their defaults.

        Parameters
        ----------
        settings : mapping
            Values by name.

        Returns
        -------
        dict
            Plain values.
        """
        self.refuse_unknown(settings)
        return {
            name: plain_setting(name, settings.get(name, default), default)
            for name, default in self.settings.items()
        }

    def refuse_unknown(self, settings: Iterable[str]) -> None:
        """Raise InputError for the name of a setting that the kind does not have.

        Parameters
        ----------
        settings : iterable of str
            Names.
        """
        for name in settings:
            if name not in self.settings:
                raise InputError(
                    f"trials of the kind {self.name!r} have no {name}{_near(name, self.settings)}"
                )

    def criterion(self, text: str | Criterion) -> Criterion:
        """Return the criterion of a name, or of a threshold such as "occupancy>=0.5".

        Parameters
        ----------
        text : str or Criterion
            Such as "optimal".

        Returns
        -------
        Criterion
            The criterion.

        Raises
        ------
        InputError
            If there is none of that name, or the column cannot reach the threshold.
        """
        if isinstance(text, Criterion):
            return text
        if not isinstance(text, str):
            raise InputError(f"a criterion is a text such as 'optimal', not {checks.shown(text)}")
        word = text.strip()
        if word in self.criteria:
            return self.criteria[word]
        match = _THRESHOLD.fullmatch(word)
        if match and match["column"] in self._numbers():
            return self._threshold(text, match["column"], match["share"])
        near = difflib.get_close_matches(word, self.criteria, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        raise InputError(
            f"unknown criterion {checks.shown(text)}{hint} Known for trials of the kind {self.name!r} are "
            f"{', '.join([*self.criteria, *(f'{name}>=R' for name in self._numbers())])}."
        )

    def _numbers(self) -> list[str]:
        return [name for name, one in self.columns.items() if one.dtype in ("Int64", "Int32", "Float64")]

    def _threshold(self, text: str, name: str, number: str) -> Criterion:
        column = self.columns[name]
        assert isinstance(column, Column)
        try:
            value = checks.real(float(number), name, above=column.low, most=column.high)
        except ValueError as problem:
            raise InputError(f"criterion {text!r}: {problem}") from None
        return at_least(name, value, f"the {name.replace('_', ' ')} of the trial is at least the threshold")


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

    Raises
    ------
    InputError
        If there is none of that name.

    Examples
    --------
    >>> from sterling.study import parse_criterion
    >>> parse_criterion("ergodic").meaning
    'the sign of the time average is the teacher when the budget is spent'
    """
    return get_kind(kind).criterion(text)


KINDS: Registry[Kind] = Registry(
    "kind of trial",
    "sterling.kinds",
    lambda thing: isinstance(thing, Kind),
    modules={
        **{name: f"sterling.study.{name}_kind" for name in ("train", "landscape", "gradients")},
        "occupancy": "sterling.study.compare",
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

    Raises
    ------
    InputError
        If there is none.

    Examples
    --------
    >>> from sterling.study import get_kind
    >>> sorted(get_kind("train").criteria)
    ['certified', 'ergodic', 'optimal', 'visit']
    """
    return name if isinstance(name, Kind) else KINDS.find(name)


def _near(name: Any, known: Iterable[str]) -> str:
    known = list(known)
    near = difflib.get_close_matches(name, known, n=1) if isinstance(name, str) else []
    return f"; did you mean {near[0]!r}?" if near else f"; known are {', '.join(known) or 'none'}"


# -- settings ------------------------------------------------------------------------------------------------


def plain_setting(name: str, value: Any, default: Any) -> Any:
    """Return one value of a setting as a plain one, checked."""
    if name == "schedule":
        return schedule_text(value)
    if name == "surrogate":
        known = get_surrogate(value)
        if SURROGATES.get(known.name) != known:
            raise InputError(f"the surrogate {known.name!r} is not registered: sterling.register it first")
        return known.name
    if name == "steps":
        return checks.integer(value, name, 1, MAX_STEPS)
    if isinstance(default, bool):
        return checks.flag(value, name)
    if isinstance(default, int):
        return checks.integer(value, name)
    if isinstance(default, float):
        return checks.real(value, name) + 0.0  # −0 is 0
    if isinstance(default, str) or default is None:
        if value is not None and not isinstance(value, str):
            raise InputError(f"{name} is {checks.shown(value)}; it must be a text")
        return value
    raise InputError(f"the setting {name} has the default {checks.shown(default)}; give a number or a text")


def schedule_text(schedule: Schedule | str | Mapping[str, Any]) -> str:
    """Return a schedule as `parse_schedule` reads it, in full precision."""
    if isinstance(schedule, str):
        schedule = parse_schedule(schedule)
    elif isinstance(schedule, Mapping):
        schedule = schedule_from_dict(schedule)
    if isinstance(schedule, Table):
        return "table:" + ",".join(repr(rate) for rate in schedule.rates)
    if isinstance(schedule, Power):
        return f"power:{schedule.rate!r},{schedule.exponent!r}"
    if not isinstance(schedule, Schedule):
        raise InputError(f"schedule is {checks.shown(schedule)}; give one such as Power(0.5, 0.5)")
    values = schedule.to_dict()
    return f"{values['kind']}:{values['rate']!r}"


def family_text(family: str | Family) -> str:
    """Return the name of an input family with its parameters in full precision."""
    if isinstance(family, str):
        return family
    name = str(family).partition(":")[0]
    values = ",".join(repr(float(getattr(family, one.name))) for one in fields(family))
    return f"{name}:{values}" if values else name


# -- cells ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Cell:
    """What all trials of one point of a study have in common.

    Parameters
    ----------
    kind : str
        The kind of trial.
    problem : Problem
        What data are drawn from.
    settings : mapping
        The kind's settings; those left out have their defaults.

    Raises
    ------
    InputError
        For a cell that cannot be run.

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
        object.__setattr__(self, "settings", kind.plain(self.settings))
        if kind.check is not None:
            kind.check(self)

    def __hash__(self) -> int:
        return hash(self.text)

    def to_dict(self) -> dict[str, Any]:
        """Return everything that decides the trials as plain values, for `from_dict`.

        Returns
        -------
        dict
            Plain values.
        """
        kind = get_kind(self.kind)
        values = {
            "kind": self.kind,
            "version": kind.version,
            "problem": problem_dict(self.problem),
            "settings": dict(self.settings),
        }
        own = self.own_surrogate
        return values if own is None else {**values, "surrogate": own.to_dict()}

    @property
    def own_surrogate(self) -> Surrogate | None:
        """The surrogate, if it is none of sterling's own: its definition is then a part of the cell."""
        name = self.settings.get("surrogate")
        return None if name is None or SURROGATES.is_built_in(name) else get_surrogate(name)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cell:
        """Return the cell that `to_dict` described.

        Parameters
        ----------
        values : mapping
            Plain values.

        Returns
        -------
        Cell
            The cell.

        Raises
        ------
        InputError
            For values that describe no cell, or one of another version of its kind.
        """
        try:
            kind, version = get_kind(values["kind"]), values["version"]
            problem, settings = Problem(**values["problem"]), dict(values["settings"])
        except (KeyError, TypeError, AttributeError) as problem:
            raise InputError(f"this describes no cell: {problem}") from None
        if version != kind.version:
            raise InputError(f"trials of the kind {kind.name!r} have version {kind.version}, not {version!r}")
        cell = cls(kind.name, problem, settings)
        if cell.to_dict().get("surrogate") != values.get("surrogate"):
            raise InputError(f"the surrogate {settings.get('surrogate')!r} is not the one of that name here")
        return cell

    @cached_property
    def text(self) -> str:
        """The canonical JSON of `to_dict`: what the store keeps."""
        return canonical(self.to_dict())

    @cached_property
    def key(self) -> str:
        """Hash (hexadecimal) of the canonical JSON: the cell's name."""
        return digest(self.text)

    @cached_property
    def data_key(self) -> str:
        """Hash of the problem alone: cells of equal problems share data sets and starts."""
        return digest(canonical(problem_dict(self.problem)))

    @cached_property
    def content(self) -> dict[str, Any]:
        """Problem and settings in one flat dictionary, as columns of tables."""
        problem = problem_dict(self.problem)
        problem["normalize"] = problem["normalize"] or "none"
        for name in ("readout", "normalize"):
            if not isinstance(problem[name], str):
                problem[name] = json.dumps(problem[name])
        return {**problem, **self.settings}

    def with_problem(self, **changes: Any) -> Cell:
        """Return the cell of a problem that differs in some parameters.

        Parameters
        ----------
        **changes
            Parameters of the problem.

        Returns
        -------
        Cell
            The cell.
        """
        return Cell(self.kind, replace(self.problem, **changes), self.settings)

    def with_settings(self, **changes: Any) -> Cell:
        """Return the cell with other settings.

        Parameters
        ----------
        **changes
            Settings.

        Returns
        -------
        Cell
            The cell.
        """
        return Cell(self.kind, self.problem, {**self.settings, **changes})


def problem_dict(problem: Problem) -> dict[str, Any]:
    """Return a problem as plain values in full precision, for `Problem(**values)`."""
    return {**problem.to_dict(), "inputs": family_text(problem.inputs)}


def canonical(value: Any) -> str:
    """Return plain values as the one JSON text that stands for them."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """Return the hash that names a canonical text."""
    return blake2b(text.encode(), digest_size=_DIGEST).hexdigest()


# -- seeds ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Seeds:
    """The seeds of a trial, two 63-bit integers.

    Parameters
    ----------
    data : int
        From the root seed, the problem and the trial's number: for `Problem.draw` and for ``init``. Cells of
        one problem that differ in kind or settings meet the same data sets and starts, so comparisons between
        them are paired.
    rest : int
        From the root seed, the cell and the number: for everything else that is random.
    """

    data: int
    rest: int

    def to_dict(self) -> dict[str, int]:
        """Return both as plain values.

        Returns
        -------
        dict
            Plain values.
        """
        return asdict(self)


def trial_seeds(root: int, cell: Cell, number: int) -> Seeds:
    """Return the seeds of a trial.

    Each is the first word of SeedSequence(root, spawn_key=(a hash as 32-bit words, number)), less its lowest
    bit: the hash of the problem, or of the cell.

    Parameters
    ----------
    root : int
        The seed of the study.
    cell : Cell
        What the trial is one of.
    number : int
        Of the trial.

    Returns
    -------
    Seeds
        Of the data and of the rest.

    Examples
    --------
    >>> import sterling as st
    >>> from sterling.study import Cell, trial_seeds
    >>> problem = st.Problem(n=8, samples=50)
    >>> cells = [Cell("train", problem, {"surrogate": name}) for name in ("relu", "identity")]
    >>> one, two = (trial_seeds(0, cell, 3) for cell in cells)
    >>> one.data == two.data, one.rest == two.rest
    (True, False)
    """
    return Seeds(_seed(root, cell.data_key, number), _seed(root, cell.key, number))


def _seed(root: int, key: str, number: int) -> int:
    words = np.frombuffer(bytes.fromhex(key), "<u4").tolist()
    sequence = np.random.SeedSequence(root, spawn_key=(*words, number))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def trial_key(cell: Cell, number: int) -> str:
    """Return the name of a trial: the cell's hash and the trial's number.

    Parameters
    ----------
    cell : Cell
        What the trial is one of.
    number : int
        Of the trial.

    Returns
    -------
    str
        Such as `replay` takes.

    Examples
    --------
    >>> import sterling as st
    >>> from sterling.study import Cell, trial_key
    >>> trial_key(Cell("train", st.Problem(n=8, samples=50)), 3)
    '0bda5086f7ccd87b03029bd7-3'
    """
    return f"{cell.key}-{number}"


def split_key(key: str) -> tuple[str, int]:
    """Return the cell's hash and the number that a trial's name holds, or raise InputError."""
    cell, _, number = key.partition("-") if isinstance(key, str) else ("", "", "")
    if len(cell) != 2 * _DIGEST or not (number.isascii() and number.isdecimal() and len(number) < 12):
        raise InputError(f"{checks.shown(key)} is no trial: one is named HASH-NUMBER, as in the store's rows")
    return cell, int(number)
