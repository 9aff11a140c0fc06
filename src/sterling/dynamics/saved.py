"""Saved runs. Of one that is read all that it says is checked, for kernels trust it and people believe it.

Whether it fits the data can be asked only with them at hand: `train.check_belongs` does.
"""

from __future__ import annotations

import math
import os
from typing import TYPE_CHECKING, Any

import numpy as np

from sterling.dynamics import walk as cell
from sterling.dynamics.archive import Archive, opened, write
from sterling.dynamics.restart import restart_from_dict
from sterling.dynamics.walk import FLIP, FLIP_BOUND, TIME_BOUND, Course, Walk
from sterling.errors import CheckpointError, InputError
from sterling.returns import counts
from sterling.schedules import MAX_STEPS, schedule_from_dict
from sterling.surrogates import surrogate_from_dict

if TYPE_CHECKING:
    from sterling.dynamics.orbit import Orbit

_FAR = 1 << 62
_MOST_WEIGHTS = 10**7  # n; no data set of that width fits into memory
_MOST_RATES = 10**8  # of a table
_TYPES = {  # of the parts of a walk, and sizes where they are not n
    "clock": (np.int64, cell.CLOCK),
    "latent": (np.float64, None),
    "signs": (np.int8, None),
    "reference": (np.int8, None),
    "since": (np.int64, None),
    "plus": (np.int64, None),
    "since_mass": (np.float64, None),
    "balance": (np.float64, None),
    "epoch": (np.float64, None),
    "mass": (np.float64, 3),
}


def store(orbit: Orbit, path: str | os.PathLike) -> None:
    """Write a run to a file, whole or not at all."""
    schedule = orbit.schedule.to_dict()
    arrays = {f"walk-{name}": part for name, part in orbit._walk._asdict().items()}
    arrays |= {"gradient": orbit._gradient, "start_latent": orbit.start_latent}
    arrays["returns"], arrays["sojourns"] = orbit._times
    if orbit.recorded:
        arrays["flips"] = orbit.flips
    if "rates" in schedule:  # there may be millions
        arrays["rates"] = np.array(schedule.pop("rates"), np.float64)
    header = {
        "steps": orbit.steps,
        "planned": orbit.planned,
        "schedule": schedule,
        "surrogate": orbit._surrogate.to_dict(),
        "engine": orbit.engine,
        "restart": None if orbit.restart is None else orbit.restart.to_dict(),
        "recorded": orbit.recorded,
        "flips_complete_to": orbit.flips_complete_to,
        "seconds": orbit.stats.seconds,
        "instance": orbit.instance,
    }
    write(path, header, arrays)


def restore(path: str | os.PathLike) -> Course:
    """Return the course of a run; raise CheckpointError with the reason if the file cannot be used."""
    with opened(path) as archive:
        header = archive.header
        instance, n = _instance(header["instance"])
        steps = _whole(header, "steps", 0, MAX_STEPS)
        planned = _whole(header, "planned", steps, MAX_STEPS)
        complete_to = _whole(header, "flips_complete_to", 0, steps)
        walk = _walk(archive, n)
        _check_clock(walk, steps)
        _check_walk(walk)
        clock = walk.clock
        gradient = archive.array("gradient", np.float64, most=n)
        start = archive.array("start_latent", np.float64, n)
        known = gradient.size == n or (not gradient.size and steps == clock[cell.ANCHOR])
        _require(known and _finite(gradient, start), "its gradient or start is none of a run")
        seconds = header["seconds"]
        _require(type(seconds) in (int, float) and 0 <= seconds < math.inf, "its time is no time")
        _require(header["engine"] in ("event", "dense"), "its engine is unknown")
        try:
            surrogate = surrogate_from_dict(header["surrogate"])
        except InputError as problem:
            raise CheckpointError(f"{problem}: register it first") from None
        _require(
            header["engine"] == "dense" or surrogate.piecewise_constant, "its engine and surrogate contradict"
        )
        return Course(
            walk=walk,
            steps=steps,
            planned=planned,
            gradient=gradient,
            schedule=_schedule(archive),
            surrogate=surrogate,
            engine=header["engine"],
            restart=restart_from_dict(header["restart"]),
            start_latent=start,
            flips=_flips(archive, walk, complete_to) if header["recorded"] is True else None,
            flips_complete_to=complete_to,
            times=(
                _times(archive, "returns", int(clock[cell.RETURNS]), steps),
                _times(archive, "sojourns", int(clock[cell.SOJOURNS]), steps),
            ),
            seconds=float(seconds),
            instance=instance,
        )


def _require(holds: bool | np.bool_, otherwise: str) -> None:
    if not holds:
        raise CheckpointError(otherwise)


def _finite(*arrays: np.ndarray) -> bool:
    return all(bool(np.isfinite(array).all()) for array in arrays)


def _within(array: np.ndarray, low: int, high: int) -> bool:
    return not array.size or low <= int(array.min()) <= int(array.max()) <= high


def _whole(values: dict[str, Any], name: str, least: int, most: int) -> int:
    value = values[name]
    _require(type(value) is int and least <= value <= most, f"{name} is {value!r:.40}")
    return value


def _instance(about: Any) -> tuple[dict[str, Any], int]:
    _require(isinstance(about, dict), "it does not say what data it belongs to")
    n, m = _whole(about, "n", 1, _MOST_WEIGHTS), _whole(about, "m", 1, 1 << 40)
    _whole(about, "samples", 1, 1 << 50)
    readout = about["readout"]
    _require(isinstance(readout, list) and len(readout) == m, "its readout does not have m weights")
    weights = np.array(readout, np.float64)
    _require(_finite(weights) and bool(weights.any()), "its readout is none that a network has")
    about["readout"] = weights.tolist()
    origin = about.get("origin", {})
    _require(isinstance(origin, dict), "its origin cannot be read")
    names = origin.get("columns", [""] * n)
    named = isinstance(names, list) and len(names) == n and all(isinstance(name, str) for name in names)
    _require(named, "it has other columns than weights")
    return about, n


def _walk(archive: Archive, n: int) -> Walk:
    parts = {name: archive.array(f"walk-{name}", dtype, size or n) for name, (dtype, size) in _TYPES.items()}
    tally = archive.array("walk-tally", np.int64, most=counts.size_of(n))
    return Walk(**parts, tally=tally)


def _check_clock(walk: Walk, steps: int) -> None:
    """Refuse single numbers out of range."""
    n, clock = len(walk.signs), [int(cell) for cell in walk.clock]
    anchor, visits = clock[cell.ANCHOR], clock[cell.VISITS]
    bounds = {
        cell.ANCHOR: (0, steps),
        cell.EVENTS: (0, anchor),
        cell.FLIPS: (clock[cell.EVENTS], n * clock[cell.EVENTS]),
        cell.EVALUATIONS: (0, _FAR),
        cell.DISTANCE: (0, n),
        cell.VISITS: (0, anchor + 1),
        cell.FIRST_HIT: (-1, anchor),
        cell.OCCUPIED: (0, anchor),
        cell.ARRIVED: (-1, anchor),
        cell.LEFT: (-1, anchor),
        cell.SEEKING: (0, 1),
        cell.BEST: (0, np.iinfo(np.int64).max),
        cell.CURRENT: (-1, np.iinfo(np.int64).max),
        cell.RETURNS: (0, visits),
        cell.SOJOURNS: (0, visits),
        cell.READ: (0, _FAR),
        cell.EPOCH: (0, anchor),
    }
    sound = all(low <= clock[cell] <= high for cell, (low, high) in bounds.items())
    _require(sound, "its numbers of steps, flips and visits contradict each other")


def _check_walk(walk: Walk) -> None:
    """Refuse arrays that no run has."""
    clock = walk.clock
    anchor, total = int(clock[cell.ANCHOR]), float(walk.mass[cell.TOTAL])
    for name in ("signs", "reference"):
        _require(np.isin(getattr(walk, name), (-1, 1)).all(), f"{name} hold values other than -1 and +1")
    floats = walk.latent, walk.since_mass, walk.balance, walk.epoch, walk.mass
    _require(_finite(*floats), "it holds a value that is not finite")
    _require(
        np.all((walk.latent >= 0) == (walk.signs > 0)) and _within(walk.since, 0, anchor),
        "its weights and latents contradict each other",
    )
    room = total * (1 + 1e-6)
    _require(
        total >= 0
        and _within(walk.plus, 0, anchor)
        and 0 <= walk.mass[cell.EPOCH_MASS] <= room
        and bool(np.all(np.abs(walk.epoch) <= room))
        and bool(np.all((walk.since_mass >= 0) & (walk.since_mass <= room) & (np.abs(walk.balance) <= room))),
        "its averages contradict its steps",
    )
    _require(
        clock[cell.DISTANCE] == np.count_nonzero(walk.signs != walk.reference)
        and (not walk.tally.size or counts.check(walk.tally, len(walk.signs), anchor)),
        "its counts of the visits to the reference contradict the rest",
    )


def _schedule(archive: Archive):
    told = archive.header["schedule"]
    if isinstance(told, dict) and told.get("kind") == "table":
        told = {**told, "rates": archive.array("rates", np.float64, most=_MOST_RATES).tolist()}
    return schedule_from_dict(told)


def _flips(archive: Archive, walk: Walk, complete_to: int) -> np.ndarray:
    most = int(walk.clock[cell.FLIPS])
    flips = archive.array("flips", FLIP, most=min(most, FLIP_BOUND + len(walk.signs)))
    steps = flips["step"]
    _require(
        _within(flips["coordinate"], 0, len(walk.signs) - 1)
        and _within(steps, 1, complete_to)
        and bool(np.all(np.diff(steps) >= 0))
        and np.isin(flips["sign"], (-1, 1)).all(),
        "a recorded flip is out of range",
    )
    if complete_to >= walk.clock[cell.ANCHOR]:
        _require(len(flips) == most, "its flips are not as many as it counts")
    return flips


def _times(archive: Archive, name: str, count: int, steps: int) -> np.ndarray:
    times = archive.array(name, np.int64, most=min(count, TIME_BOUND))
    _require(_within(times, 1, steps) and int(times.sum()) <= steps, f"{name} do not fit into the run")
    return times
