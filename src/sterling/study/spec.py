"""What a study asks for: its cells, how many trials each gets, and when enough is known; and its TOML file.

A `Study` is a plain value. Running its trials is left to `collect.py`.
"""

from __future__ import annotations

import itertools
import json
import math
import re
import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from os import PathLike
from typing import Any

import numpy as np

from sterling.base import checks
from sterling.base.drawn import Drawn
from sterling.base.files import as_path, printable, unreadable
from sterling.base.text import Described, shortened
from sterling.errors import InputError
from sterling.model.levels import MAX_LEVELS
from sterling.model.normalise import check_normalize
from sterling.model.problem import Problem
from sterling.study.columns import Criterion
from sterling.study.kind import PROBLEM, SEMANTICS, Cell, Kind, canonical, digest, get_kind, parse_criterion

TARGETS = ("exponent", "proportion")

#: Bounds of cells in a study, and of trials in a cell or series.
MAX_CELLS = 100_000
MAX_TRIALS = 1_000_000_000

#: Upper bound of n, m and N: no computer holds a larger instance.
MAX_SIZE = 10**15

#: Default width of the 95 % interval of an exponent.
DEFAULT_WIDTH = 0.1

_MOST_POWER = 8.0  # a of samples = c·n^a
_TABLES = {  # of a study file, with their keys
    "problem": PROBLEM,
    "run": ("kind", "trials"),  # and the settings of the kind
    "stop": ("target", "width", "time", "max_trials"),
}
_UNITS = {"s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86400.0}


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


class Study(Described, Drawn):
    """Many trials over a grid of problems.

    Most arguments may be lists; the study then has every combination of their values.

    Parameters
    ----------
    n : int or list of int
        Input dimensions.
    samples : list of int, or dict(c=[…], a=…), optional
        Sample sizes N: absolute, or ⌈c·n^a⌉. Without them the study chooses its sample sizes while it runs,
        and its target is "exponent".
    m, noise, readout, inputs, normalize, levels : values or lists of values
        As in `Problem`. A list of numbers is one readout.
    kind : str
        The kind of trial: "train" (a run), "landscape" (all 2ⁿ states), "certificate" (a proof), or your own.
    trials : int
        Trials in a cell, up to 10⁹; with target "proportion" their upper bound. A run keeps one byte in
        memory for each trial, and one more for each criterion.
    criteria : str or list of str, optional
        Definitions of success, by default the first criterion of the kind: its name, or a threshold such as
        "occupancy>=0.5".
    seed : int
        The root of all seeds.
    target : "exponent", "proportion" or None
        The quantity to measure to the given width: the exponent α of N₅₀ = C·n^α in each series, or the share
        of successes in each cell. None: run all trials.
    width : float, optional
        The width of the 95 % interval at which the target is reached; of an exponent 0.1 by default.
    time : float or str, optional
        Time limit of a call of `run`, in seconds or as a string such as "15min". The number of trials until
        then depends on the machine.
    max_trials : int, optional
        Upper bound of the trials of one series with target "exponent".
    name : str
        Name of the study, for headings.
    settings : mapping, optional
        Settings of the kind; keywords work as well.
    **more : values or lists of values
        Settings of the kind: of "train" ``surrogate``, ``schedule`` (such as "power:0.5,0.5"), ``steps`` (the
        step budget of a trial), ``restart``, ``optimizer`` and ``batch``, as in `train`. The schedule "auto"
        is the one that `train` takes if it gets none.

    Examples
    --------
    >>> from sterling.study import Study
    >>> study = Study(n=[8, 16], samples={"c": [1, 2], "a": 1.5}, noise=[0.0, 0.5], steps=10_000)
    >>> len(study.series), len(study.cells)
    (2, 8)
    >>> study.samples_at(16)
    [64, 128]
    """

    _pictures = "sterling.plot.study", ("grid",)

    def __init__(
        self,
        n: Any,
        samples: Any = None,
        m: Any = 1,
        noise: Any = 0.0,
        readout: Any = "ones",
        inputs: Any = "gaussian",
        normalize: Any = None,
        *,
        levels: Any = 2,
        kind: str | Kind = "train",
        trials: int = 100,
        criteria: Any = None,
        seed: int = 0,
        target: str | None = None,
        width: float | None = None,
        time: float | str | None = None,
        max_trials: int = 200_000,
        name: str = "study",
        settings: Mapping[str, Any] | None = None,
        **more: Any,
    ):
        if not isinstance(name, str) or name.encode(errors="ignore").decode() != name:
            raise InputError(f"name is {checks.shown(name)}; it must be a string")
        kind = get_kind(kind.name if isinstance(kind, Kind) else kind)
        given = checks.instance_of(settings or {}, Mapping, "settings", "a mapping")
        named = list(kind.criteria)[:1] if criteria is None else criteria
        self.n = _integers(n, "n")
        self.samples = _samples(samples)
        self.m = _integers(m, "m")
        self.noise = _values(noise, "noise", lambda one: checks.real(one, "noise") + 0.0)  # −0 is 0
        self.readout = _readouts(readout)
        self.inputs = _values(inputs, "inputs", str)
        self.normalize = _values(normalize, "normalize", check_normalize)
        self.levels = _values(levels, "levels", lambda one: checks.integer(one, "levels", 2, MAX_LEVELS))
        self.kind = kind
        self.trials = checks.integer(trials, "trials", 1, MAX_TRIALS)
        self.criteria: tuple[Criterion, ...] = (
            _values(named, "criteria", partial(parse_criterion, kind=kind)) if named else ()
        )
        self.seed = checks.integer(seed, "seed", 0)
        self.target = None if target is None else checks.choice(target, "target", TARGETS)
        self.width = None if width is None else checks.real(width, "width", above=0)
        self.time = None if time is None else checks.real(seconds(time), "time", above=0)
        self.max_trials = checks.integer(max_trials, "max_trials", 1, MAX_TRIALS)
        self.name = name
        self.settings = {
            setting: _values(value, setting, partial(kind._setting, setting))
            for setting, value in {**kind.settings, **given, **more}.items()
        }
        self._check_target()
        self._check_cells()

    def _check_target(self) -> None:
        if self.target is None and (self.samples is None or self.width is not None):
            self.target = "exponent" if self.samples is None else "proportion"
        if self.samples is None and self.target != "exponent":
            raise InputError(
                "samples are missing: list them, or give samples = {c = […], a = …}; only target = "
                '"exponent" chooses them by itself'
            )
        if self.target == "proportion" and self.width is None:
            raise InputError('target = "proportion" needs a width, such as 0.1')
        if self.target is not None and not self.criteria:
            raise InputError(
                f"the target {self.target!r} needs a criterion, and trials of this kind have none"
            )
        if self.target == "exponent":
            if len(self.n) < 2 or min(self.n) < 2:
                hint = "" if self.samples is not None else ": give them, or list the samples"
                raise InputError(f"an exponent needs at least two values of n, each at least 2{hint}")
            self.width = self.width or DEFAULT_WIDTH

    def _check_cells(self) -> None:
        series = math.prod(len(values) for values in (*self._axes().values(), *self.settings.values()))
        sizes = 0 if self.samples is None else sum(len(self.samples_at(n)) for n in self.n)
        if series * max(sizes, len(self.n)) > MAX_CELLS:
            raise InputError(f"the study would have more than {MAX_CELLS:,} cells: give fewer values")
        for one in self.series:  # so that a wrong value is refused here, not in a worker
            for n in {min(self.n), max(self.n)}:
                cell = one._at(n, 1 if self.samples is None else self.samples_at(n)[0])
                if self.kind.check is not None:
                    self.kind.check(cell)

    def _axes(self) -> dict[str, tuple]:
        return {name: getattr(self, name) for name in PROBLEM if name not in ("n", "samples")}

    @property
    def adaptive(self) -> bool:
        """Whether the study chooses sample sizes and trials as it goes."""
        return self.target == "exponent"

    @cached_property
    def series(self) -> tuple[Cell, ...]:
        """One cell of each series; the cells of a series differ in n and samples only, and get one fit."""
        samples = 1 if self.samples is None else self.samples_at(self.n[0])[0]
        return tuple(
            Cell._trusted(self.kind.name, Problem(self.n[0], samples, **problem), settings)
            for problem in _combinations(self._axes())
            for settings in _combinations(self.settings)
        )

    def samples_at(self, n: int) -> list[int]:
        """Return the sample sizes listed for dimension n; none if the study chooses them.

        Parameters
        ----------
        n : int
            The dimension.

        Returns
        -------
        list of int
            Sample sizes, rising.
        """
        if self.samples is None:
            return []
        return self.samples.at(n) if isinstance(self.samples, Scaled) else list(self.samples)

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """The listed cells; none where the study chooses the sample sizes."""
        return tuple(one._at(n, size) for one in self.series for n in self.n for size in self.samples_at(n))

    @property
    def _asked(self) -> set[str]:
        """What the study asks for: its cells, or its series at each n where it chooses the sample sizes."""
        cells = self.cells or [one._at(n, 1) for one in self.series for n in self.n]
        return {cell.text for cell in cells}

    @cached_property
    def identity(self) -> str:
        """Hash of the root seed and the semantics version: one store holds only rows of equal identity."""
        return digest(canonical({"seed": self.seed, "semantics": SEMANTICS}))

    @classmethod
    def from_toml(cls, path: str | PathLike) -> Study:
        """Read a study from a TOML file. If the file is wrong, the InputError says where.

        A study without a name gets that of its file, or of its folder if the file is called study.toml.

        Parameters
        ----------
        path : path
            Path of the file.

        Returns
        -------
        Study
            The study.
        """
        path = as_path(path, "the study")
        reason = unreadable(path)
        if reason is not None:
            raise InputError(reason)
        try:
            name = path.absolute().parent.name if path.name == "study.toml" else path.stem
            return cls(**{"name": printable(name), **arguments(path.read_text(encoding="utf-8"))})
        except (OSError, UnicodeDecodeError) as problem:
            raise InputError(f"cannot read {printable(path)} as text in UTF-8: {problem}") from None
        except InputError as problem:
            raise InputError(f"{path}: {problem}") from None

    def to_toml(self) -> str:
        """Return the study as a TOML text that `from_toml` reads.

        Returns
        -------
        str
            The text.
        """
        lines = []
        for key, value in self.to_dict().items():
            if isinstance(value, dict):
                lines += ["", f"[{key}]", *(f"{name} = {_toml(inner)}" for name, inner in value.items())]
            else:
                lines.append(f"{key} = {_toml(value)}")
        return "\n".join(lines) + "\n"

    def to_dict(self) -> dict[str, Any]:
        samples = self.samples
        if isinstance(samples, Scaled):
            samples = {"c": list(samples.c), "a": samples.a}
        readout = tuple(value if isinstance(value, str) else list(value) for value in self.readout)
        problem = {
            "n": _one(self.n),
            "samples": list(samples) if isinstance(samples, tuple) else samples,
            "m": _one(self.m),
            "noise": _one(self.noise),
            "readout": _one(readout),
            "inputs": _one(self.inputs),
            "normalize": _one(tuple(value or "none" for value in self.normalize)),
            "levels": None if self.levels == (2,) else _one(self.levels),
        }
        run = {name: _one(values) for name, values in self.settings.items()}
        run = self.kind._canonical(run)
        stop = {name: getattr(self, name) for name in ("target", "width", "time", "max_trials")}
        return {
            "name": self.name,
            "seed": self.seed,
            "criteria": [str(criterion) for criterion in self.criteria],
            "problem": {key: value for key, value in problem.items() if value is not None},
            "run": {"kind": self.kind.name, **run, "trials": self.trials},
            "stop": {key: value for key, value in stop.items() if value is not None},
        }

    def __eq__(self, other: object) -> bool:
        return self.to_dict() == other.to_dict() if isinstance(other, Study) else NotImplemented

    def __hash__(self) -> int:
        return hash(canonical(self.to_dict()))

    def __repr__(self) -> str:
        n = self.n[0] if len(self.n) == 1 else f"{self.n[0]}…{self.n[-1]}"
        cells = f"{len(self.series)} series" if self.samples is None else f"{len(self.cells)} cells"
        return f"Study({self.name!r}: {self.kind.name}, n={n}, {cells}, seed={self.seed})"

    def _rows(self) -> list[tuple[str, str]]:
        values = self.to_dict()
        values |= {**values.pop("problem"), **values.pop("run"), **values.pop("stop")}
        return [(name, shortened(value)) for name, value in values.items()]


def _combinations(axes: Mapping[str, Sequence]) -> list[dict[str, Any]]:
    """Return every combination of one value from each axis, by the names of the axes."""
    return [dict(zip(axes, values, strict=True)) for values in itertools.product(*axes.values())]


def _values(value: Any, name: str, plain=lambda one: one) -> tuple:
    """Return a value, or a list of different values, as a tuple of plain values."""
    values = value if isinstance(value, list | tuple | range | np.ndarray) else [value]
    if not len(values):
        raise InputError(f"{name} is an empty list; give at least one value")
    result = tuple(plain(one) for one in values)
    text, count = Counter(map(repr, result)).most_common(1)[0]
    if count > 1:
        raise InputError(f"{name} holds {text:.60} twice")
    return result


def _integers(value: Any, name: str) -> tuple[int, ...]:
    return _values(value, name, lambda one: checks.integer(one, name, 1, MAX_SIZE))


def _samples(value: Any) -> tuple[int, ...] | Scaled | None:
    if value is None or isinstance(value, Scaled):
        return value
    if not isinstance(value, Mapping):
        return _integers(value, "samples")
    if set(value) != {"c", "a"}:
        raise InputError(
            f"samples as c·n^a need exactly c and a; got {', '.join(map(str, value)) or 'nothing'}"
        )
    factors = _values(value["c"], "samples.c", lambda one: checks.real(one, "samples.c", above=0))
    return Scaled(factors, checks.real(value["a"], "samples.a", -_MOST_POWER, _MOST_POWER))


def _readouts(value: Any) -> tuple:
    """One readout is a name or a list of numbers; several are a list of those."""
    if not isinstance(value, list | tuple | np.ndarray):
        return (value,)
    if len(value) and all(map(checks.is_number, value)):
        return (tuple(float(one) for one in value),)
    return _values(list(value), "readout", _readout)


def _readout(value: Any) -> Any:
    if isinstance(value, np.ndarray) or (isinstance(value, Sequence) and not isinstance(value, str)):
        return tuple(checks.real(one, "readout") for one in value)
    return value


def _one(values: tuple[Any, ...]) -> Any:
    return values[0] if len(values) == 1 else list(values)


def seconds(value: float | str) -> float:
    """Return a duration such as 90, "90s", "15min" or "2h" in seconds."""
    if not isinstance(value, str):
        return value
    match = re.fullmatch(r"\s*([0-9.]+)\s*([a-z]*)\s*", value)
    try:
        return float(match[1]) * _UNITS[match[2] or "s"]  # type: ignore[index]
    except (TypeError, KeyError, ValueError):
        raise InputError(f"{value!r:.60} is not a duration; write 90, '90s', '15min' or '2h'") from None


# -- the file ----------------------------------------------------------------------------------------------


def arguments(text: str) -> dict[str, Any]:
    """Return the arguments of the study that a TOML text describes; InputError names the key."""
    try:
        tables = tomllib.loads(text)
    except (ValueError, RecursionError) as problem:  # TOMLDecodeError is a ValueError
        raise InputError(f"not valid TOML: {problem}") from None
    for title in _TABLES:
        if not isinstance(tables.get(title, {}), dict):
            raise InputError(f"{title} must be a table, [{title}]")
    run = tables.get("run", {})
    kind = get_kind(run.get("kind", "train"))
    top = {key: value for key, value in tables.items() if key not in _TABLES}
    for key in top:
        checks.choice(key, "a key", ("name", "seed", "criteria", *_TABLES))
    known = {**_TABLES, "run": (*_TABLES["run"], *kind.settings)}
    for title, keys in known.items():
        for key in tables.get(title, {}):
            checks.choice(key, f"a key of [{title}]", keys)
    if "n" not in tables.get("problem", {}):
        raise InputError("problem.n is missing: give the dimensions, such as n = [8, 16, 32]")
    return {**top, **tables["problem"], **run, **tables.get("stop", {})}


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(inner)}" for name, inner in value.items()) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(_toml(inner) for inner in value) + "]"
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
