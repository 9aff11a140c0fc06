"""Trials of the kind "starts": runs as of "train" from several starts, with shares of the mass H(T).

The balance (docs/science, 13) bounds shares of mass, not of steps; these columns are compared with it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from sterling.base import checks
from sterling.model.levels import require_two
from sterling.schedules import Schedule, Table
from sterling.study.columns import REAL, SHARE
from sterling.study.kind import Cell, Look, Seeds
from sterling.study.train_kind import KIND as TRAIN
from sterling.study.train_kind import check_run, row_of, run_orbit

if TYPE_CHECKING:
    from sterling.dynamics.orbit import Orbit
    from sterling.model.instance import Instance

#: The start with every weight wrong; each latent has the standard deviation of random ones.
OPPOSITE = -1
#: Longer runs have no share of mass at the teacher: it is computed from recorded flips.
RECORDED = 1_000_000
_STARTS = 6  # extends the seed of the data, beside the parts of a draw (`sterling.model.problem`)


def start_of(instance: Instance, seeds: Seeds, number: int) -> Any:
    """Return ``init`` of `train`: number 0 is the start of the kind "train", the others are new ones."""
    if number == OPPOSITE:
        assert instance.teacher is not None  # it was drawn
        return -instance.teacher / np.sqrt(instance.n)
    if number == 0:
        return seeds.data
    return np.random.SeedSequence(seeds.data, spawn_key=(_STARTS, number))


def _run(cell: Cell, seeds: Seeds, look: Look) -> dict[str, Any]:
    instance = cell.problem.draw(seeds.data, threads=1)
    known = cell.settings["steps"] <= RECORDED
    start = start_of(instance, seeds, cell.settings["start"])
    orbit = run_orbit(cell, seeds, ("flips",) if known else (), look, start, instance)
    schedule, scale = orbit.schedule, 1.0 if orbit.optimizer.scale_free else 1 / instance.readout_norm2
    ends = [schedule.at(0), schedule.at(orbit.steps - 1)]  # power laws are monotone
    share = (1 - orbit.ergodic_mean * np.sqrt(instance.n) * orbit.reference) / 2
    return {
        **row_of(orbit),
        "mass_occupancy": mass_occupancy(orbit) if known else None,
        "mass_wrong": np.clip(share, 0, 1).tolist(),
        "start_latent": orbit.start_latent.tolist(),
        "mass": schedule.mass(orbit.steps) * scale,
        "largest_step": max(schedule.rates if isinstance(schedule, Table) else ends) * scale,
    }


def _replay(cell: Cell, seeds: Seeds, record: Iterable[str]) -> Orbit:
    instance = cell.problem.draw(seeds.data, threads=1)
    start = start_of(instance, seeds, cell.settings["start"])
    return run_orbit(cell, seeds, record, init=start, instance=instance)


def mass_occupancy(orbit: Orbit) -> float:
    """Return the share of the mass H(T) that a run with recorded flips spent at its reference."""
    clock = _clock(orbit.schedule, orbit.steps)
    flips = np.concatenate([[0], orbit.flips["step"]])  # in order; `np.unique` would take longer than the run
    begins = flips[(np.diff(flips, prepend=-1) > 0) & (flips < orbit.steps)]
    there = orbit.distance(begins) == 0
    spent = np.diff(clock[np.append(begins, orbit.steps)])
    return float(spent[there].sum() / clock[-1])


@lru_cache(maxsize=16)
def _clock(schedule: Schedule, steps: int) -> np.ndarray:
    return np.concatenate([[0.0], np.cumsum(schedule.at(np.arange(steps)))])


def _check(cell: Cell) -> None:
    require_two(cell.problem, f"the kind {cell.kind!r} is")
    checks.integer(cell.settings["start"], "start", OPPOSITE)
    check_run(cell)


KIND = replace(
    TRAIN,
    name="starts",
    run=_run,
    version=1,
    columns={
        **TRAIN.columns,
        "mass_occupancy": SHARE.maybe(),
        "mass_wrong": SHARE.list(),  # of each weight, the share of mass in which it differs from the teacher
        "start_latent": REAL.list(),
        "mass": replace(REAL, low=0),
        "largest_step": replace(REAL, low=0),
    },
    settings={**{name: value for name, value in TRAIN.settings.items() if name != "restart"}, "start": 0},
    check=_check,
    replay=_replay,
)
