"""A study: which cells there are, how many trials each gets, and when enough is known.

A `Study` is a plain value. Files are read and written by `spec.py`; running trials is left to `collect.py`.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from hashlib import blake2b
from os import PathLike
from typing import Any

import numpy as np

from sterling.errors import InputError
from sterling.model.problem import Problem
from sterling.schedules import MAX_STEPS, Schedule, parse_schedule, schedule_from_dict
from sterling.study.criteria import parse_criterion
from sterling.study.trial import SEMANTICS, Cell, is_number
from sterling.surrogates import get_surrogate

TARGETS = ("exponent", "proportion")

#: More cells than this in one study are taken for a slip, and so are more trials in a cell or series.
MAX_CELLS = 100_000
MAX_TRIALS = 1_000_000_000

#: n, m and N beyond which no computer holds an instance.
MAX_SIZE = 10**12


@dataclass(frozen=True)
class Scaled:
    """Sample sizes ⌈c·n^a⌉ for each c."""

    c: tuple[float, ...]
    a: float

    def at(self, n: int) -> list[int]:
        """Return the sample sizes for dimension n, rising, each once."""
        largest = max(self.c) * n**self.a
        if largest > MAX_SIZE:
            raise InputError(
                f"samples c·n^a with c = {max(self.c):g} and a = {self.a:g} are {largest:.3g} at n = {n}; "
                f"they may be at most {MAX_SIZE:,}"
            )
        return sorted({math.ceil(round(c * n**self.a, 9)) for c in self.c})


@dataclass(frozen=True)
class Series:
    """The cells of a study that differ in n and samples only: what one fit is made of."""

    m: int
    noise: float
    readout: Any
    inputs: Any
    normalize: str | None
    schedule: Schedule
    surrogate: str
    steps: int
    landscape: bool = False

    def cell(self, n: int, samples: int) -> Cell:
        """Return the cell of this series with the given n and samples."""
        problem = Problem(n, samples, self.m, self.noise, self.readout, self.inputs, self.normalize)
        return Cell(problem, self.schedule, self.surrogate, self.steps, self.landscape)


@dataclass(frozen=True)
class Study:
    """Many trials over a grid of problems.

    Every argument that may be a list stands for all of its values; the study has every combination.

    Parameters
    ----------
    n : int or list of int
        Input dimensions.
    samples : list of int, or dict(c=[…], a=…), optional
        Sample sizes N: absolute, or ⌈c·n^a⌉. Left out, the study finds them by itself; it then needs the
        target "exponent".
    m, noise, readout, inputs, normalize : values or lists of values
        As in `Problem`. A list of numbers is one readout.
    schedule : Schedule, text or list of them
        Such as "power:0.5,0.5".
    surrogate : str or list of str
    steps : int or list of int
        Step budget of a trial.
    trials : int
        Trials in a cell, up to 10⁹; with target "proportion" at most so many. With target "exponent",
        `max_trials` bounds them instead. A run keeps 4 bytes and one for each criterion in memory of every
        trial done, so a study of 10⁹ trials that is finished needs some 5 to 10 GB.
    criteria : str or list of str
        See `Criterion`.
    seed : int
        The root of all seeds.
    target : "exponent", "proportion" or None
        What to know well: the exponent α of N₅₀ = C·n^α in each series, or the share of successes in each
        cell. None: take all trials.
    width : float, optional
        The width of the 95 % interval at which the target is reached.
    time : float, optional
        Seconds after which a call of `run` stops.
    max_trials : int, optional
        Trials of one series at most, where placement is adaptive.
    name : str
        For headings; it decides nothing.

    Raises
    ------
    InputError
        For an argument that cannot be used, with its name and value.
    """

    n: Any
    samples: Any = None
    m: Any = 1
    noise: Any = 0.0
    readout: Any = "ones"
    inputs: Any = "gaussian"
    normalize: Any = None
    schedule: Any = "power:0.5,0.5"
    surrogate: Any = "relu"
    steps: Any = 1_000_000
    trials: int = 100
    criteria: Any = "optimal"
    seed: int = 0
    target: str | None = None
    width: float | None = None
    time: float | None = None
    max_trials: int = 200_000
    name: str = "study"
    _series: tuple[Series, ...] = field(init=False, repr=False, compare=False, default=())

    def __post_init__(self):
        put = lambda name, value: object.__setattr__(self, name, value)  # noqa: E731
        put("n", _integers(self.n, "n"))
        put("m", _integers(self.m, "m"))
        put("steps", _integers(self.steps, "steps", MAX_STEPS))
        put("samples", _samples(self.samples))
        put("readout", _readouts(self.readout))
        for name in ("noise", "inputs", "normalize", "surrogate"):
            put(name, _values(getattr(self, name), name))
        put("normalize", tuple(None if value == "none" else value for value in self.normalize))
        put("surrogate", tuple(get_surrogate(value).name for value in self.surrogate))
        put("schedule", tuple(_schedule(value) for value in _values(self.schedule, "schedule")))
        put("criteria", tuple(parse_criterion(value) for value in _values(self.criteria, "criteria")))
        for name in ("trials", "max_trials"):
            put(name, _number_of_trials(getattr(self, name), name))
        if isinstance(self.seed, bool) or not isinstance(self.seed, int | np.integer) or self.seed < 0:
            raise InputError(f"seed is {self.seed!r}; it must be a non-negative integer")
        put("seed", int(self.seed))
        if not isinstance(self.name, str) or self.name.encode(errors="ignore").decode() != self.name:
            raise InputError(f"name is {self.name!r:.60}; it must be a text")
        self._check_target()
        self._check_landscape()
        put("_series", tuple(self._make_series()))
        for series in self._series:  # every value is met once: a wrong one is refused here, not in a worker
            series.cell(self.n[0], 1 if self.samples is None else self.samples_at(self.n[0])[0])
        self._count_cells()

    def _check_target(self) -> None:
        if self.target is not None and self.target not in TARGETS:
            raise InputError(f"target is {self.target!r}; it must be one of {', '.join(TARGETS)}")
        for name in ("width", "time"):
            value = getattr(self, name)
            if value is not None and not (is_number(value) and value > 0):
                raise InputError(f"{name} is {value!r:.60}; it must be a positive number")
        if self.samples is None and self.target is None:
            object.__setattr__(self, "target", "exponent")
        if self.samples is None and self.target != "exponent":
            raise InputError(
                "samples are missing: list them, or give samples = {c = […], a = …}; only target = "
                '"exponent" finds them by itself'
            )
        if self.width is not None and self.target is None:
            object.__setattr__(self, "target", "proportion")
        if self.target == "proportion" and self.width is None:
            raise InputError('target = "proportion" needs a width, such as 0.1')
        if self.target == "exponent" and len(self.n) < 2:
            raise InputError("an exponent needs at least two values of n")
        if self.target == "exponent" and min(self.n) < 2:
            raise InputError("an exponent needs n of at least 2")

    def _check_landscape(self) -> None:
        from sterling.states.landscape import MAX_DIMENSION

        if self.landscape and max(self.n) > MAX_DIMENSION:
            raise InputError(
                f"the criterion trap_free visits all 2^n states, so n may be at most {MAX_DIMENSION}: leave "
                f"out n = {max(self.n)}"
            )

    def _make_series(self) -> Iterator[Series]:
        for m, noise, readout, inputs, normalize, schedule, surrogate, steps in itertools.product(
            self.m,
            self.noise,
            self.readout,
            self.inputs,
            self.normalize,
            self.schedule,
            self.surrogate,
            self.steps,
        ):
            yield Series(m, noise, readout, inputs, normalize, schedule, surrogate, steps, self.landscape)

    def _count_cells(self) -> None:
        sizes = 0 if self.samples is None else sum(len(self.samples_at(n)) for n in self.n)
        if len(self._series) * max(sizes, len(self.n)) > MAX_CELLS:
            raise InputError(f"the study would have more than {MAX_CELLS:,} cells: give fewer values")

    @property
    def adaptive(self) -> bool:
        """Whether the study chooses its sample sizes as it goes."""
        return self.target == "exponent"

    @property
    def landscape(self) -> bool:
        """Whether trials also search their landscapes, as a criterion asks."""
        return any(criterion.landscape for criterion in self.criteria)

    @property
    def series(self) -> tuple[Series, ...]:
        """The parts of the study that are fitted apart."""
        return self._series

    def samples_at(self, n: int) -> list[int]:
        """Return the sample sizes listed for dimension n, none if the study finds them."""
        if self.samples is None:
            return []
        return self.samples.at(n) if isinstance(self.samples, Scaled) else list(self.samples)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The listed cells; none where the study finds the sample sizes by itself."""
        return tuple(
            series.cell(n, size) for series in self._series for n in self.n for size in self.samples_at(n)
        )

    @cached_property
    def identity(self) -> str:
        """Hash of the root seed and the semantics version: rows of equal identity may lie in one store."""
        text = json.dumps({"seed": self.seed, "semantics": SEMANTICS}, sort_keys=True)
        return blake2b(text.encode(), digest_size=8).hexdigest()

    @classmethod
    def from_toml(cls, path: str | PathLike) -> Study:
        """Read a study from a TOML file. Raises InputError that says where the file is wrong."""
        from sterling.study.spec import read_study

        return read_study(path)

    def to_toml(self) -> str:
        """Return the study as a TOML text that `from_toml` reads."""
        from sterling.study.spec import write_study

        return write_study(self)

    def to_dict(self) -> dict[str, Any]:
        """Return the study as plain values, in the layout of its file."""
        from sterling.study.spec import to_tables

        return to_tables(self)


def _values(value: Any, name: str) -> tuple:
    values = tuple(value) if isinstance(value, list | tuple | np.ndarray) else (value,)
    if not values:
        raise InputError(f"{name} is an empty list; give at least one value")
    seen = []
    for one in values:
        if one in seen:
            raise InputError(f"{name} holds {one!r} twice")
        seen.append(one)
    return values


def _integers(value: Any, name: str, most: int = MAX_SIZE) -> tuple[int, ...]:
    if isinstance(value, range):
        if len(value) > MAX_CELLS:
            raise InputError(f"{name} has {len(value):,} values; give at most {MAX_CELLS:,}")
        value = list(value)
    values = _values(value, name)
    for one in values:
        if isinstance(one, bool) or not isinstance(one, int | np.integer):
            raise InputError(f"{name} holds {one!r}; it must be an integer")
        if one < 1:
            raise InputError(f"{name} holds {_short(int(one))}; it must be at least 1")
        if one > most:
            raise InputError(f"{name} holds {_short(int(one))}; it may be at most {most:,}")
    return tuple(int(one) for one in values)


def _number_of_trials(value: Any, name: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer):
        raise InputError(f"{name} is {value!r:.60}; it must be an integer")
    if not 1 <= value <= MAX_TRIALS:
        raise InputError(f"{name} is {_short(int(value))}; it must lie between 1 and {MAX_TRIALS:,}")
    return int(value)


def _short(number: int) -> str:
    """Return a number in digits, a very long one as a power of ten."""
    return (
        str(number) if abs(number) < 10**24 else f"about {'-' * (number < 0)}10^{math.log10(abs(number)):.0f}"
    )


def _samples(value: Any) -> tuple[int, ...] | Scaled | None:
    if value is None or isinstance(value, Scaled):
        return value
    if not isinstance(value, dict):
        return _integers(value, "samples")
    if set(value) != {"c", "a"}:
        raise InputError(f"samples as c·n^a need exactly c and a; got {', '.join(value) or 'nothing'}")
    factors = _values(value["c"], "samples.c")
    for factor in factors:
        if not (is_number(factor) and factor > 0):
            raise InputError(f"samples.c holds {factor!r:.60}; it must be a positive number")
    if not (is_number(value["a"]) and abs(value["a"]) <= 8):
        raise InputError(f"samples.a is {value['a']!r:.60}; it must be a number between -8 and 8")
    return Scaled(tuple(float(factor) for factor in factors), float(value["a"]))


def _readouts(value: Any) -> tuple:
    """One readout is a name or a list of numbers; several are a list of those."""
    if isinstance(value, list | tuple | np.ndarray):
        if len(value) and all(is_number(one) for one in value):
            return (tuple(float(one) for one in value),)
        return tuple(
            tuple(float(x) for x in one) if isinstance(one, Sequence) and not isinstance(one, str) else one
            for one in _values(list(value), "readout")
        )
    return (value,)


def _schedule(value: Any) -> Schedule:
    if isinstance(value, Schedule):
        return value
    if isinstance(value, str):
        return parse_schedule(value)
    return schedule_from_dict(value)
