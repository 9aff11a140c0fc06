"""Trials of the kind "starts": runs as of "train" from several starts, with shares of the mass H(T).

The balance (docs/science, 13) bounds shares of mass, not of steps; these columns are compared with it.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import Any

import numpy as np

from sterling.base import checks
from sterling.base.registry import register
from sterling.dynamics.orbit import Orbit
from sterling.model.instance import Instance
from sterling.model.levels import require_two
from sterling.schedules import Schedule
from sterling.study.columns import REAL, SHARE
from sterling.study.kind import Cell, Look, Seeds
from sterling.study.train_kind import KIND as TRAIN
from sterling.study.train_kind import check_run, row_of, run_orbit

#: The start with every weight wrong; each latent has the standard deviation of random ones.
OPPOSITE = -1
_STARTS = 6  # extends the seed of the data, beside the parts of a draw (`sterling.model.problem`)


def start_of(instance: Instance, seeds: Seeds, number: int) -> Any:
    """Return ``init`` of `train`: number 0 is the start of the kind "train", the others are new ones."""
    if number == OPPOSITE:
        assert instance.teacher is not None  # it was drawn
        return -instance.teacher / np.sqrt(instance.n)
    return np.random.SeedSequence(seeds.data, spawn_key=(_STARTS, number)) if number else seeds.data


def _run(cell: Cell, seeds: Seeds, look: Look) -> dict[str, Any]:
    instance = cell.problem.draw(seeds.data, threads=1)
    start = start_of(instance, seeds, cell.settings["start"])
    orbit = run_orbit(cell, seeds, ("flips",), look, start, instance)
    scale = 1.0 if orbit.optimizer.scale_free else 1 / instance.readout_norm2
    share = (1 - orbit.ergodic_mean * np.sqrt(instance.n) * orbit.reference) / 2
    return {
        **row_of(orbit),
        "mass_occupancy": mass_occupancy(orbit),
        "mass_wrong": np.clip(share, 0, 1).tolist(),
        "start_latent": orbit.start_latent.tolist(),
        "mass": orbit.schedule.mass(orbit.steps) * scale,
        "largest_step": orbit.schedule.at(0) * scale,
    }


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
    columns={
        **TRAIN.columns,
        "mass_occupancy": SHARE.maybe(),
        "mass_wrong": SHARE.list(),  # of each weight, the share of mass in which it differs from the teacher
        "start_latent": REAL.list(),
        "mass": replace(REAL, low=0),
        "largest_step": replace(REAL, low=0),  # of a schedule that does not grow
    },
    settings={**{name: value for name, value in TRAIN.settings.items() if name != "restart"}, "start": 0},
    check=_check,
    replay=None,
)
register(KIND)
