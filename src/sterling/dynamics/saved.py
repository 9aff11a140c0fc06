"""The record of a run, and its file: a zip of plain arrays and one JSON text.

The sizes and checksums in a file are checked before anything is read; nothing is ever unpickled. Arrays must
have the types and sizes that kernels expect.
"""

from __future__ import annotations

import json
import os
import zipfile
from dataclasses import dataclass
from typing import Any

import numpy as np

from sterling import __version__
from sterling.base.files import as_path, printable, unreadable, write_atomically
from sterling.base.resources import require_memory
from sterling.dynamics.options import Options, first_state
from sterling.dynamics.restart import Restart
from sterling.dynamics.state import FLIP, RunState
from sterling.errors import CapacityError, CheckpointError, InputError
from sterling.optimizers.base import optimizer_from_dict
from sterling.optimizers.batch import Batch
from sterling.optimizers.sgd import PLAIN_SGD
from sterling.schedules import schedule_from_dict
from sterling.surrogates import surrogate_from_dict

FORMAT = "sterling-run"
#: Version of the format; it grows when an older run could not be continued to the same bits.
VERSION = 1

_HEADER = "header.json"
_AS_THEY_ARE = "steps", "flips_complete_to", "seconds", "instance"


@dataclass(frozen=True, kw_only=True)
class Course:
    """A run up to its step T: the content of an orbit and of a file."""

    state: RunState  # where the run stood after its last flip
    steps: int
    options: Options  # as `for_data` returns them
    gradient: np.ndarray  # at the last weights; empty if unknown
    rest: int | None  # where every step is taken: 2 if no weight can turn any more, 1 if none is pushed to
    start_latent: np.ndarray
    flips: np.ndarray | None  # None if they were not recorded
    flips_complete_to: int
    times: tuple[np.ndarray, np.ndarray]  # recorded return and sojourn times
    seconds: float
    instance: dict  # as `Instance.to_dict` describes it


def store(course: Course, path: str | os.PathLike) -> None:
    """Write a run to a file, whole or not at all."""
    options = course.options
    schedule = options.schedule.to_dict()
    seed = options.seed
    if isinstance(seed, np.random.SeedSequence):
        seed = {"entropy": seed.entropy, "spawn_key": list(seed.spawn_key)}
    arrays = {f"walk-{name}": part for name, part in course.state._asdict().items()}
    arrays |= {"gradient": course.gradient, "start_latent": course.start_latent}
    arrays["returns"], arrays["sojourns"] = course.times
    if course.flips is not None:
        arrays["flips"] = course.flips
    if "rates" in schedule:  # there may be millions
        arrays["rates"] = np.array(schedule.pop("rates"), np.float64)
    header = {
        "format": FORMAT,
        "version": VERSION,
        "sterling": __version__,
        **{name: getattr(course, name) for name in _AS_THEY_ARE},
        "planned": options.steps,
        "engine": options.engine,
        "schedule": schedule,
        "surrogate": options.surrogate.to_dict(),
        "restart": None if options.restart is None else options.restart.to_dict(),
        "recorded": course.flips is not None,
        "optimizer": options.optimizer.to_dict(),
        "batch": None if options.batch is None else options.batch.to_dict(),
        "whole": None if options.whole is None else options.whole.to_dict(),
        "seed": seed,
        "signal": options.signal,
        "rest": course.rest,
    }

    def fill(stream):
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            archive.writestr(_HEADER, json.dumps(header, indent=1))
            for name, array in arrays.items():
                with archive.open(f"{name}.npy", "w", force_zip64=True) as member:
                    np.save(member, np.ascontiguousarray(array), allow_pickle=False)

    write_atomically(path, fill)


def restore(path: str | os.PathLike) -> Course:
    """Return the course of a run; raise CheckpointError with the reason if the file cannot be used."""
    path = as_path(path)
    reason = unreadable(path)
    if reason is not None:
        raise CheckpointError(reason)
    try:
        with zipfile.ZipFile(path) as archive:
            require_memory(2 * sum(member.file_size for member in archive.infolist()), "what the file holds")
            damaged = archive.testzip()
            if damaged is not None:
                raise CheckpointError(f"{damaged} is damaged")
            return _read(archive)
    except (CheckpointError, CapacityError) as problem:
        raise CheckpointError(f"{printable(path)} cannot be used: {problem}") from problem
    except Exception as problem:  # a damaged file can raise almost anything
        raise CheckpointError(
            f"{printable(path)} is damaged, truncated or not a saved run ({problem!s:.200}): use another "
            "copy, or start again"
        ) from problem


def _read(archive: zipfile.ZipFile) -> Course:
    header: dict[str, Any] = json.loads(archive.read(_HEADER))
    if header.get("format") != FORMAT:
        raise CheckpointError("it is not a saved run of sterling")
    if header.get("version") != VERSION:
        raise CheckpointError(
            f"it has format version {header.get('version')!r:.40}, and this sterling reads {VERSION}: "
            f"use sterling {header.get('sterling')!s:.40} for it"
        )

    def array(name: str, dtype: Any, *sizes: int) -> np.ndarray:
        with archive.open(f"{name}.npy") as member:
            found = np.lib.format.read_array(member, allow_pickle=False)
        if found.dtype != dtype or found.ndim != 1 or (sizes and found.size not in sizes):
            raise CheckpointError(
                f"{name} has type {found.dtype} and shape {found.shape}, which no saved run has"
            )
        return found

    n, levels = header["instance"]["n"], header["instance"].get("levels", 2)
    whole = first_state(np.zeros(n), None, levels=levels)._asdict()
    del whole["moments"]
    parts = {  # an array for the visits is empty where they were not counted
        name: array(f"walk-{name}", one.dtype, one.size, 0 if name == "tally" else one.size)
        for name, one in whole.items()
    }
    schedule = header["schedule"]
    if schedule.get("kind") == "table":
        schedule["rates"] = array("rates", np.float64).tolist()
    try:
        surrogate = surrogate_from_dict(header["surrogate"])
        optimizer = optimizer_from_dict(header["optimizer"]) if "optimizer" in header else PLAIN_SGD
    except InputError as problem:
        raise CheckpointError(f"{problem}: register it first") from None
    moments, seed = np.zeros(0), header.get("seed", 0)
    if "walk-moments.npy" in archive.namelist():
        moments = array("walk-moments", np.float64)
    started = optimizer.start(n)
    if moments.size != (0 if started is None else np.size(started)):
        raise CheckpointError(f"moments have {moments.size} numbers, not what {optimizer!r} needs")
    if isinstance(seed, dict):
        seed = np.random.SeedSequence(seed["entropy"], spawn_key=tuple(seed["spawn_key"]))
    batch, whole = (header.get(name) and Batch(**header[name]) for name in ("batch", "whole"))
    options = Options(
        steps=header["planned"],
        schedule=schedule_from_dict(schedule),
        surrogate=surrogate,
        engine=header["engine"],
        restart=None if header["restart"] is None else Restart(**header["restart"]),
        optimizer=optimizer,
        batch=batch,
        whole=whole,
        seed=seed,
        signal=float(header.get("signal", 0.0)),
        levels=levels,
    )
    return Course(
        state=RunState(**parts, moments=moments),
        **{name: header[name] for name in _AS_THEY_ARE},
        options=options,
        gradient=array("gradient", np.float64, 0, n),
        rest=header.get("rest"),
        start_latent=array("start_latent", np.float64, n),
        flips=array("flips", FLIP) if header["recorded"] else None,
        times=(array("returns", np.int64), array("sojourns", np.int64)),
    )
