"""Trials of the kind "train": one run of the dynamics on a data set."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from operator import attrgetter
from typing import TYPE_CHECKING, Any

import polars as pl

from sterling.dynamics.verdict import Verdict
from sterling.errors import InputError
from sterling.optimizers.batch import as_batch
from sterling.schedules import parse_schedule
from sterling.study.columns import COUNT, FLAG, REAL, SHARE, Criterion, words
from sterling.study.kind import Cell, Kind, Look, Seeds

if TYPE_CHECKING:
    from sterling.dynamics.orbit import Orbit
    from sterling.model.instance import Instance

_CACHE_BYTES = 1 << 28  # fixed, so that the count of evaluated states does not depend on the machine


def run_orbit(
    cell: Cell,
    seeds: Seeds,
    record: Iterable[str] = (),
    look: Look | bool = False,
    init: Any = None,
    instance: Instance | None = None,
) -> Orbit:
    """Run one trial and return the whole run; by default it starts from the seed of the data.

    ``instance`` is the data set of the seed, if it has been drawn already.
    """
    from sterling.dynamics.train import train

    return train(
        cell.problem.draw(seeds.data) if instance is None else instance,
        **_options(cell),
        init=seeds.data if init is None else init,
        seed=seeds.rest,
        record=("recurrence", *record),  # the verdict CHATTERING needs these counts
        progress=look,
        threads=1,
        cache_bytes=_CACHE_BYTES,
    )


def _options(cell: Cell) -> dict[str, Any]:
    """Return the settings of a cell as arguments of `train`."""
    from sterling.dynamics.restart import as_restart

    values = cell.settings
    schedule, restart = values["schedule"], values.get("restart", "none")
    return {
        "steps": values["steps"],
        "schedule": None if schedule == "auto" else parse_schedule(schedule),
        "surrogate": values["surrogate"],
        "restart": None if restart == "none" else as_restart(restart),
        "optimizer": values.get("optimizer", "sgd"),
        "batch": as_batch(values.get("batch", "none")),
    }


def check_run(cell: Cell) -> None:
    """Refuse settings that no run can have together."""
    from sterling.dynamics.options import Options

    optimizer = cell.settings.get("optimizer", "sgd")
    schedule = cell.settings["schedule"]
    if optimizer.partition(":")[0] == "bop" and schedule != "auto":
        raise InputError(f'the optimizer {optimizer} has no step sizes: give schedule = "auto"')
    Options(**_options(cell))


def _run(cell: Cell, seeds: Seeds, look: Look) -> dict[str, Any]:
    return row_of(run_orbit(cell, seeds, look=look))


#: What a run measures: each column with the attribute of the orbit that it holds.
MEASURED = {
    "verdict": (words(*(verdict.name for verdict in Verdict)), "verdict.name"),
    "certified": (FLAG, "certified"),
    "errors": (COUNT, "errors"),
    "ergodic_errors": (COUNT, "ergodic_errors"),
    "occupancy": (SHARE, "occupancy"),
    "visits": (COUNT, "visits"),
    "first_hit": (COUNT.maybe(), "first_hit"),
    "events": (COUNT, "stats.events"),
    "states": (COUNT, "stats.states"),
    "passes": (replace(REAL, low=0), "stats.passes"),
}


def row_of(orbit: Orbit) -> dict[str, Any]:
    """Return the row of a run."""
    return {name: attrgetter(path)(orbit) for name, (_, path) in MEASURED.items()}


CRITERIA = (
    Criterion(
        "optimal",
        "the run reaches the teacher and never leaves it again",
        ("verdict", "certified", "errors"),
        # A run absorbed at zero empirical risk is OPTIMAL too; with few samples that is often elsewhere.
        (pl.col("verdict") == "OPTIMAL") & pl.col("certified") & (pl.col("errors") == 0),
        ~pl.col("certified"),
    ),
    Criterion(
        "ergodic",
        "the time average decodes to the teacher at the end",
        ("ergodic_errors",),
        pl.col("ergodic_errors") == 0,
    ),
    Criterion(
        "visit",
        "the teacher was reached",
        ("first_hit", "certified"),
        pl.col("first_hit").is_not_null(),
        pl.col("first_hit").is_null() & ~pl.col("certified"),
    ),
    Criterion(
        "certified",
        "the verdict holds for all time",
        ("certified",),
        pl.col("certified"),
    ),
)


KIND = Kind(
    "train",
    _run,
    {name: column for name, (column, _) in MEASURED.items()},
    settings={
        "schedule": "power:0.5,0.5",
        "surrogate": "relu",
        "steps": 1_000_000,
        "restart": "none",
        "optimizer": "sgd",
        "batch": "none",
    },
    criteria={one.text: one for one in CRITERIA},
    check=check_run,
    replay=run_orbit,
    later=("optimizer", "batch"),
)
