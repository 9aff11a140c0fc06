"""One trial of a study: what it is, its name, its seed, and how it is run.

A cell is a problem, a schedule, a surrogate and a number of steps, and whether the landscape of its data is
searched as well; a trial is a cell and a number. Nothing here knows of workers, files or orders, so a trial
gives the same row wherever and whenever it runs.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, fields, replace
from functools import cached_property
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

import numpy as np

from sterling import __version__
from sterling.errors import InputError
from sterling.model.problem import Problem
from sterling.schedules import MAX_STEPS, Power, Schedule, Table, parse_schedule
from sterling.surrogates import get_surrogate

if TYPE_CHECKING:
    from sterling.dynamics.orbit import Orbit
    from sterling.model.families import Family
    from sterling.model.instance import Instance

#: Raised whenever the same content would give another result; rows of another one are not mixed.
SEMANTICS = 1

_DIGEST = 12  # bytes of a cell's hash
_CACHE_BYTES = 1 << 28  # fixed, so that the count of evaluated states does not depend on the machine
_WARM_N = 4  # dimension in which the kernels of the landscape are compiled

Row = tuple[Any, ...]


class Cancelled(Exception):
    """A trial was given up on request; it leaves no row."""


@dataclass(frozen=True)
class Cell:
    """What all trials of one point of a study have in common.

    Parameters
    ----------
    problem : Problem
    schedule : Schedule
    surrogate : str
    steps : int
        The step budget T of a trial.
    landscape : bool
        Whether a trial also finds out, from all 2ⁿ states, if its data are trap free.
    """

    problem: Problem
    schedule: Schedule
    surrogate: str
    steps: int
    landscape: bool = False

    def __post_init__(self):
        if not isinstance(self.problem, Problem):
            raise InputError(f"a cell needs a Problem, not {self.problem!r:.60}")
        if not isinstance(self.schedule, Schedule):
            raise InputError(f"a cell needs a schedule such as Power(0.5, 0.5), not {self.schedule!r:.60}")
        object.__setattr__(self, "surrogate", get_surrogate(self.surrogate).name)
        if isinstance(self.steps, bool) or not isinstance(self.steps, int | np.integer):
            raise InputError(f"steps is {self.steps!r}; it must be an integer")
        if not 1 <= self.steps <= MAX_STEPS:
            raise InputError(f"steps is {self.steps}; it must lie between 1 and {MAX_STEPS:,}")
        object.__setattr__(self, "steps", int(self.steps))
        if self.landscape:
            from sterling.states.landscape import check_dimension, check_surrogate

            check_dimension(self.problem.n)
            check_surrogate(self.surrogate)

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values, for `from_content`."""
        return dict(self.content)

    @cached_property
    def content(self) -> dict[str, Any]:
        """What decides the result, as plain values: the row's columns that describe the cell."""
        problem = self.problem
        readout = problem.readout if isinstance(problem.readout, str) else json.dumps(list(problem.readout))
        return {
            "n": problem.n,
            "samples": problem.samples,
            "m": problem.m,
            "noise": problem.noise,
            "readout": readout,
            "inputs": family_text(problem.inputs),
            "normalize": problem.normalize or "none",
            "schedule": schedule_text(self.schedule),
            "surrogate": self.surrogate,
            "steps": self.steps,
            "landscape": self.landscape,
        }

    @cached_property
    def key(self) -> str:
        """Hash (hexadecimal) of the canonical JSON of the content and the semantics version.

        ``landscape`` is left out where it is false: such cells keep the names that they had before it.
        """
        content = {**self.content, "semantics": SEMANTICS}
        if not self.landscape:
            del content["landscape"]
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
        return blake2b(text.encode(), digest_size=_DIGEST).hexdigest()

    @cached_property
    def series(self) -> tuple:
        """The content but for n and samples: cells of one series can be fitted together."""
        return tuple(value for name, value in self.content.items() if name not in ("n", "samples"))

    @classmethod
    def from_content(cls, content: dict[str, Any]) -> Cell:
        """Return the cell that ``content`` describes; the way back from a row."""
        readout = content["readout"]
        problem = Problem(
            n=int(content["n"]),
            samples=int(content["samples"]),
            m=int(content["m"]),
            noise=float(content["noise"]),
            readout=tuple(json.loads(readout)) if readout.startswith("[") else readout,
            inputs=content["inputs"],
            normalize=None if content["normalize"] == "none" else content["normalize"],
        )
        schedule = parse_schedule(content["schedule"])
        landscape = bool(content["landscape"])
        return cls(problem, schedule, content["surrogate"], int(content["steps"]), landscape)


#: Columns that describe the cell, in the order of a row.
CELL_COLUMNS = (
    "n",
    "samples",
    "m",
    "noise",
    "readout",
    "inputs",
    "normalize",
    "schedule",
    "surrogate",
    "steps",
    "landscape",
)
#: Columns that a trial measures.
RESULT_COLUMNS = (
    "verdict",
    "certified",
    "errors",
    "ergodic_errors",
    "occupancy",
    "visits",
    "first_hit",
    "events",
    "states",
    "passes",
    "trap_free",
)
#: All columns of a row.
COLUMNS = ("cell", "trial", "seed", *CELL_COLUMNS, *RESULT_COLUMNS, "seconds", "version", "semantics")


def family_text(family: str | Family) -> str:
    """Return the name of an input family with its parameters in full precision."""
    name = str(family).partition(":")[0]
    if isinstance(family, str):
        return family
    values = ",".join(repr(float(getattr(family, f.name))) for f in fields(family))
    return f"{name}:{values}" if values else name


def schedule_text(schedule: Schedule) -> str:
    """Return a schedule as `parse_schedule` reads it, in full precision."""
    if isinstance(schedule, Table):
        return "table:" + ",".join(repr(rate) for rate in schedule.base)
    if isinstance(schedule, Power):
        return f"power:{schedule.base!r},{schedule.exponent!r}"
    values = schedule.to_dict()
    return f"{values['kind']}:{values['rate']!r}"


def trial_key(cell: Cell, number: int) -> str:
    """Return the name of a trial: the cell's hash and the trial's number."""
    return f"{cell.key}-{number}"


def split_key(key: str) -> tuple[str, int]:
    """Return the cell's hash and the number that a trial's name holds, or raise InputError."""
    cell, _, number = key.partition("-")
    if len(cell) != 2 * _DIGEST or not number.isdecimal():
        raise InputError(f"{key!r} is no trial: a trial is named HASH-NUMBER, as in the store's rows")
    return cell, int(number)


def trial_seed(root: int, cell: Cell, number: int) -> int:
    """Return the trial's seed, a 63-bit integer for `Problem.draw` and for ``init``.

    It is the first word of SeedSequence(root, spawn_key=(the cell's hash as 32-bit words, number)).
    """
    words = np.frombuffer(bytes.fromhex(cell.key), "<u4").tolist()
    sequence = np.random.SeedSequence(root, spawn_key=(*words, number))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def run_orbit(
    cell: Cell, number: int, root: int, stop: Callable[[], bool] | None = None, record: Iterable[str] = ()
) -> Orbit:
    """Run one trial on one thread and return the whole run.

    Raises
    ------
    Cancelled
        If ``stop()`` came true meanwhile; it is asked several times a second.
    """
    seed = trial_seed(root, cell, number)
    return _run_on(cell.problem.draw(seed), cell, seed, stop, record)


def _run_on(
    instance: Instance, cell: Cell, seed: int, stop: Callable[[], bool] | None, record: Iterable[str] = ()
) -> Orbit:
    from sterling.dynamics.train import train

    return train(
        instance,
        steps=cell.steps,
        schedule=cell.schedule,
        surrogate=cell.surrogate,
        init=seed,
        record=record,
        progress=False if stop is None else _looking(stop),
        threads=1,
        cache_bytes=_CACHE_BYTES,
    )


def _looking(stop: Callable[[], bool]) -> Callable[..., None]:
    """Return a progress callback that raises Cancelled once ``stop()`` is true."""

    def look(*_progress) -> None:
        if stop():
            raise Cancelled

    return look


def _is_trap_free(instance: Instance, cell: Cell, orbit: Orbit, stop: Callable[[], bool] | None) -> bool:
    """Whether no state but the teacher absorbs; a run that was caught elsewhere has answered already."""
    from sterling.states.landscape import trap_free

    assert instance.teacher is not None  # it was drawn
    if orbit.absorbed and not np.array_equal(orbit.signs, instance.teacher):
        return False
    look = False if stop is None else _looking(stop)
    return trap_free(instance, cell.surrogate, progress=look, threads=1)


def run_trial(cell: Cell, number: int, root: int, stop: Callable[[], bool] | None = None) -> Row:
    """Run one trial on one thread and return its row, in the order of `COLUMNS`."""
    begun = time.perf_counter()
    seed = trial_seed(root, cell, number)
    instance = cell.problem.draw(seed)
    orbit = _run_on(instance, cell, seed, stop)
    if orbit.interrupted:
        raise Cancelled
    free = _is_trap_free(instance, cell, orbit, stop) if cell.landscape else None
    return (
        cell.key,
        number,
        seed,
        *cell.content.values(),
        orbit.verdict.name,
        orbit.certified,
        orbit.errors,
        orbit.ergodic_errors,
        orbit.occupancy,
        orbit.visits,
        orbit.first_hit,
        orbit.stats.events,
        orbit.stats.states,
        orbit.stats.passes,
        free,
        time.perf_counter() - begun,
        __version__,
        SEMANTICS,
    )


def run_batch(cell: Cell, numbers: list[int], root: int, stop: Callable[[], bool] | None = None) -> list[Row]:
    """Run some trials of a cell, one after the other; stop early, with what is done, once ``stop()``."""
    rows = []
    try:
        for number in numbers:
            if stop is not None and stop():
                break
            rows.append(run_trial(cell, number, root, stop))
    except Cancelled:
        pass
    return rows


def kernel_kind(cell: Cell) -> tuple:
    """Return what decides which kernels a cell needs."""
    problem = cell.problem
    kind = cell.surrogate, problem.m > 1, problem.noise > 0, str(problem.inputs), problem.normalize
    return *kind, cell.landscape


def warm_up(cells: Iterable[Cell]) -> None:
    """Compile (or load) every kernel that the cells need, by short runs on tiny samples."""
    for cell in {kernel_kind(cell): cell for cell in cells}.values():
        problem = cell.problem
        samples = min(problem.samples, 4 * problem.n + 16)
        small = replace(problem, samples=samples)
        try:
            run_trial(Cell(small, cell.schedule, cell.surrogate, min(cell.steps, 20)), 0, 0)
        except Cancelled:
            raise KeyboardInterrupt from None
        if cell.landscape:
            from sterling.states.landscape import trap_free

            trap_free(replace(small, n=min(problem.n, _WARM_N)).draw(0), cell.surrogate, threads=1)


def is_number(value: Any) -> bool:
    """Whether a value is a finite real number (booleans are not)."""
    if not isinstance(value, int | float | np.number) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(float(value))
    except OverflowError:  # an integer beyond every float
        return False
