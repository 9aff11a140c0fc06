"""Cells of a study and the seeds of their trials: what names a trial, and what it is drawn from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from hashlib import blake2b
from typing import Any

import numpy as np

from sterling.base import checks
from sterling.base.text import Described
from sterling.errors import InputError
from sterling.model.problem import Problem
from sterling.study.kinds import get_kind
from sterling.surrogates import SURROGATES, Surrogate, get_surrogate

#: Raised whenever the same cell and number would give another trial; rows of another one are not mixed.
SEMANTICS = 2

_DIGEST = 12  # bytes of a cell's hash


@dataclass(frozen=True)
class Cell(Described):
    """What all trials of one point of a study have in common.

    Parameters
    ----------
    kind : str
        The kind of trial.
    problem : Problem
        What data are drawn from.
    settings : mapping
        The kind's settings; those left out have their defaults.

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
        object.__setattr__(self, "settings", kind._plain(self.settings))
        if kind.check is not None:
            kind.check(self)

    def __hash__(self) -> int:
        return hash(self.text)

    def to_dict(self) -> dict[str, Any]:
        kind = get_kind(self.kind)
        values = {
            "kind": self.kind,
            "version": kind.version,
            "problem": self.problem.to_dict(),
            "settings": dict(self.settings),
        }
        own = self.own_surrogate
        return values if own is None else {**values, "surrogate": own.to_dict()}

    @property
    def own_surrogate(self) -> Surrogate | None:
        """The surrogate, if it is none of sterling's own: its definition is then a part of the cell."""
        name = self.settings.get("surrogate")
        return None if name is None or name in SURROGATES.built_in else get_surrogate(name)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Cell:
        """Return the cell that `to_dict` described; InputError says that it is none, or one of another
        version.

        Parameters
        ----------
        values : mapping
            Plain values.

        Returns
        -------
        Cell
            The cell.
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

    def at(self, n: int, samples: int) -> Cell:
        """Return the cell with another dimension and sample size.

        Parameters
        ----------
        n, samples : int
            As in `Problem`.

        Returns
        -------
        Cell
            A changed copy.
        """
        return replace(self, problem=replace(self.problem, n=n, samples=samples))

    def small(self, n: int | None = None, **settings: Any) -> Cell:
        """Return a cell of few samples that needs the same kernels, as `Kind` asks for.

        Parameters
        ----------
        n : int, optional
            Dimension, where it has to be smaller too.
        **settings : value
            Settings that are to be others.

        Returns
        -------
        Cell
            Of the same kind.
        """
        few = min(self.problem.samples, 4 * self.problem.n + 16)  # enough to whiten
        return replace(self.at(n or self.problem.n, few), settings={**self.settings, **settings})

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
        return digest(canonical(self.problem.to_dict()))

    @cached_property
    def content(self) -> dict[str, Any]:
        """Problem and settings in one flat dictionary, as columns of tables."""
        problem = self.problem.to_dict()
        problem["normalize"] = problem["normalize"] or "none"
        for name in ("readout", "normalize"):
            if not isinstance(problem[name], str):
                problem[name] = json.dumps(problem[name])
        return {**problem, **self.settings}


def canonical(value: Any) -> str:
    """Return plain values as the one JSON text that stands for them."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)


def digest(text: str) -> str:
    """Return the hash that names a canonical text."""
    return blake2b(text.encode(), digest_size=_DIGEST).hexdigest()


@dataclass(frozen=True)
class Seeds(Described):
    """The seeds of a trial, two 63-bit integers.

    Parameters
    ----------
    data : int
        From the root seed, the problem and the trial's number: for `Problem.draw` and for ``init``. Cells of
        one problem that differ in kind or settings meet the same data sets and starts, so comparisons between
        them are paired.
    rest : int
        From the root seed, the cell and the number: for everything else that is random.

    Examples
    --------
    >>> from sterling.study import Seeds
    >>> Seeds(data=1, rest=2).to_dict()
    {'data': 1, 'rest': 2}
    """

    data: int
    rest: int


def trial_seeds(root: int, cell: Cell, number: int) -> Seeds:
    """Return the seeds of a trial.

    Each is the first word of SeedSequence(root, spawn_key=(a hash as 32-bit words, number)), less its lowest
    bit: the hash of the problem, or of the cell.

    Parameters
    ----------
    root, cell, number : int, Cell, int
        The seed of the study, what the trial is one of, and which.

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


def split_key(key: str) -> tuple[str, int]:
    """Return the cell's hash and the number that a trial's name holds, or raise InputError."""
    cell, _, number = key.partition("-") if isinstance(key, str) else ("", "", "")
    if len(cell) != 2 * _DIGEST or not (number.isascii() and number.isdecimal() and len(number) < 12):
        raise InputError(f"{checks.shown(key)} is no trial: one is named HASH-NUMBER, as in the store's rows")
    return cell, int(number)
