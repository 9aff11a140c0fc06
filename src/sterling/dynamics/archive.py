"""Saved runs: a zip of plain arrays and one JSON text, checked before use. Nothing is ever unpickled."""

from __future__ import annotations

import json
import os
import zipfile
from typing import Any

import numpy as np
from numpy.lib import format as npy

from sterling import __version__
from sterling.base.files import as_path, unreadable, write_atomically
from sterling.dynamics.orbit import Orbit
from sterling.dynamics.walk import ANCHOR, DISTANCE, FLIP, Walk
from sterling.errors import CheckpointError
from sterling.schedules import schedule_from_dict
from sterling.surrogates import SURROGATES
from sterling.visits.counts import check as counts_fit

FORMAT = "sterling-orbit"
#: Raised when a run saved before would not go on to the same bits.
VERSION = 2
#: Before 2 there was no tally of the visits to the reference; such runs go on without one.
_READABLE = (1, VERSION)

_HEADER = "header.json"
_WALK_SHAPES = {"clock": 16, "mass": 3}  # the others have one entry for each weight
_TYPES = {
    "clock": np.int64,
    "latent": np.float64,
    "signs": np.int8,
    "reference": np.int8,
    "since": np.int64,
    "plus": np.int64,
    "since_mass": np.float64,
    "balance": np.float64,
    "mass": np.float64,
    "tally": np.int64,
}


def save(orbit: Orbit, path: str | os.PathLike) -> None:
    """Write an orbit, whole or not at all."""
    header = {
        "format": FORMAT,
        "version": VERSION,
        "sterling": __version__,
        "steps": orbit.steps,
        "planned": orbit.planned,
        "absorbed": orbit.absorbed,
        "stalled": orbit.stalled,
        "interrupted": orbit.interrupted,
        "zero_risk": orbit.zero_risk,
        "mass": orbit.mass.hex(),
        "schedule": orbit.schedule.to_dict(),
        "surrogate": orbit.surrogate,
        "engine": orbit.engine,
        "recorded": orbit.recorded,
        "flips_complete_to": orbit.flips_complete_to,
        "seconds": orbit.stats.seconds,
        "instance": orbit.instance,
    }
    arrays = {f"walk-{name}": part for name, part in orbit.walk._asdict().items()}
    arrays["gradient"] = orbit.gradient
    arrays["start_latent"] = orbit.start_latent
    arrays["returns"], arrays["sojourns"] = orbit.recorded_times
    if orbit.recorded:
        arrays["flips"] = orbit.flips

    def fill(stream):
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_HEADER, json.dumps(header, indent=1))
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    npy.write_array(member, np.ascontiguousarray(array), allow_pickle=False)

    write_atomically(path, fill)


def load(path: str | os.PathLike) -> Orbit:
    """Read an orbit; raise CheckpointError with the reason if the file cannot be used."""
    path = as_path(path)
    reason = unreadable(path)
    if reason is not None:
        raise CheckpointError(reason)
    try:
        with zipfile.ZipFile(path) as archive:
            header = json.loads(archive.read(_HEADER))
            if not isinstance(header, dict) or header.get("format") != FORMAT:
                raise CheckpointError(f"{path} is no saved run of sterling")
            if header.get("version") not in _READABLE:
                raise CheckpointError(
                    f"{path} has format version {header.get('version')}, and this sterling reads "
                    f"{' and '.join(map(str, _READABLE))}: "
                    f"use sterling {header.get('sterling')} for it"
                )
            return _restore(header, archive)
    except CheckpointError as problem:
        if str(path) in str(problem):
            raise
        raise CheckpointError(f"{path} cannot be used: {problem}") from problem
    except Exception as problem:  # a damaged or hostile file can raise almost anything
        raise CheckpointError(
            f"{path} is damaged, truncated or no saved run ({problem}): use another copy, or start anew"
        ) from problem


def _restore(header: dict[str, Any], archive: zipfile.ZipFile) -> Orbit:
    n = header["instance"]["n"]
    parts = {
        name: _array(archive, f"walk-{name}", _TYPES[name], _WALK_SHAPES.get(name, n))  # type: ignore[arg-type]
        for name in Walk._fields
        if name != "tally"
    }
    uncounted = header["version"] < 2
    counts = np.zeros(0, np.int64) if uncounted else _array(archive, "walk-tally", np.int64, None)
    walk = Walk(**parts, tally=counts)
    for name in ("signs", "reference"):
        if not np.isin(getattr(walk, name), (-1, 1)).all():
            raise CheckpointError(f"{name} hold values other than -1 and +1")
    for key in ("steps", "planned", "flips_complete_to"):
        if not isinstance(header[key], int) or header[key] < 0:
            raise CheckpointError(f"{key} is {header[key]!r}")
    if header["surrogate"] not in SURROGATES or header["engine"] not in ("event", "dense"):
        raise CheckpointError("its surrogate or engine is unknown")
    mass = float.fromhex(header["mass"])
    if not 0 <= mass < float("inf") or header["steps"] < walk.clock[ANCHOR]:
        raise CheckpointError("its steps and step sizes contradict each other")
    if counts.size and not (
        walk.clock[DISTANCE] == np.count_nonzero(walk.signs != walk.reference)
        and counts_fit(counts, n, int(walk.clock[ANCHOR]))
    ):
        raise CheckpointError("its counts of the visits to the reference contradict the rest")
    flips = _array(archive, "flips", FLIP, None) if header["recorded"] else None
    if (
        flips is not None
        and flips.size
        and not (0 <= flips["coordinate"].min() <= flips["coordinate"].max() < n)
    ):
        raise CheckpointError("a recorded flip has a coordinate out of range")
    times = (_array(archive, "returns", np.int64, None), _array(archive, "sojourns", np.int64, None))
    return Orbit(
        walk=walk,
        steps=header["steps"],
        planned=header["planned"],
        absorbed=bool(header["absorbed"]),
        stalled=bool(header["stalled"]),
        interrupted=bool(header["interrupted"]),
        gradient=_array(archive, "gradient", np.float64, n),
        mass=mass,
        schedule=schedule_from_dict(header["schedule"]),
        surrogate=header["surrogate"],
        engine=header["engine"],
        start_latent=_array(archive, "start_latent", np.float64, n),
        flips=flips,
        flips_complete_to=header["flips_complete_to"],
        times=times,
        seconds=float(header["seconds"]),
        instance=header["instance"],
        zero_risk=bool(header["zero_risk"]),
    )


def _array(archive: zipfile.ZipFile, name: str, dtype, size: int | None) -> np.ndarray:
    """Read one array and check its type and shape; reading to the end also checks its checksum."""
    with archive.open(f"{name}.npy") as member:
        array = npy.read_array(member, allow_pickle=False)
        if member.read(1):
            raise CheckpointError(f"{name} has bytes beyond its end")
    if array.dtype == np.float64 and not np.isfinite(array[:2] if name == "walk-mass" else array).all():
        raise CheckpointError(f"{name} holds a value that is not finite")
    if array.dtype != np.dtype(dtype) or array.ndim != 1 or (size is not None and len(array) != size):
        raise CheckpointError(f"{name} has type {array.dtype} and shape {array.shape}, not what it should")
    return array
