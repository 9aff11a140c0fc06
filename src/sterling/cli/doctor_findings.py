"""The findings of `sterling doctor`: versions, machine, kernel cache, both engines, speed, extras."""

from __future__ import annotations

import os
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from sterling import __version__
from sterling.base.extras import extras, how_to_install, installed, requirements
from sterling.base.resources import available_memory, usable_cores
from sterling.dynamics.train import train
from sterling.exact.jit import INTERPRETED, cache_folder, drop_damaged, kept_kernels, why_not_kept
from sterling.model.problem import Problem
from sterling.schedules import parse_schedule

#: Instances on which the engines must agree: (name, problem, surrogate, schedule).
CASES: tuple[tuple[str, dict[str, Any], str, str], ...] = (
    ("one unit, no noise", {"n": 20, "samples": 200}, "relu", "power:0.5,0.5"),
    ("label noise", {"n": 12, "samples": 300, "noise": 0.5}, "relu", "power:0.5,0.5"),
    (
        "three units",
        {"n": 9, "samples": 150, "m": 3, "noise": 0.3, "readout": "signs"},
        "identity",
        "constant:0.05",
    ),
    ("heavy tails", {"n": 15, "samples": 90, "inputs": "student_t:4"}, "hard_tanh", "power:0.5,0.75"),
)
_CHECK_STEPS = 2000
_SPEED: dict[str, Any] = {"n": 16, "samples": 1600, "noise": 0.5}
_SPEED_STEPS = 2_000_000


def versions() -> dict[str, str | None]:
    found = {name: installed(name) for name in requirements()[""]}
    return {"sterling": __version__, "python": platform.python_version(), **found}


def machine() -> dict:
    return {
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "available_memory": available_memory(),
    }


def kernels() -> dict:
    """Count the kernels in the cache, remove damaged ones, and try whether more can be kept."""
    damaged = drop_damaged()
    files = kept_kernels()
    return {
        "folder": None if cache_folder() is None else str(cache_folder()),
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
        "damaged": damaged,
        "not_writable": why_not_kept(),
        "switched_off": INTERPRETED,
    }


def self_test() -> list[dict]:
    """Run both engines on small instances; they must agree flip for flip."""
    results = []
    for name, problem, surrogate, schedule in CASES:
        instance = Problem(**problem).draw(seed=1)
        event, dense = (
            train(instance, _CHECK_STEPS, parse_schedule(schedule), surrogate, engine=engine)
            for engine in ("event", "dense")
        )
        equal = (
            np.array_equal(event.flips, dense.flips)
            and np.array_equal(event.latent, dense.latent)
            and np.array_equal(event.ergodic_mean, dense.ergodic_mean)
            and event.verdict is dense.verdict
        )
        facts = {"flips": int(event.flips.size), "verdict": event.verdict.name}
        results.append({"case": name, **facts, "equal": equal})
    return results


def speed() -> dict:
    """Time a small run, once the kernels are compiled."""
    instance = Problem(**_SPEED).draw(seed=0)
    train(instance, 10_000, record=())
    begun = time.perf_counter()
    orbit = train(instance, _SPEED_STEPS, record=())
    seconds = time.perf_counter() - begun
    return {
        "case": f"n={_SPEED['n']}, N={_SPEED['samples']}, σ={_SPEED['noise']}, {_SPEED_STEPS:,} steps",
        "seconds": seconds,
        "steps_per_second": _SPEED_STEPS / seconds,
        "nanoseconds_per_event": 1e9 * seconds / max(1, orbit.stats.events),
    }


def optional() -> dict[str, dict]:
    """Return for each extra what is installed, and how to install the rest."""
    found = {}
    for extra in extras():
        have = {package: installed(package) for package in requirements().get(extra, {})}
        found[extra] = {"packages": have, "complete": all(have.values()), "install": how_to_install(extra)}
    return found


def examine() -> dict:
    """Return all findings; ``healthy`` is False if the engines disagree."""
    kept = kernels()  # first, so that damaged kernels are compiled anew
    report = {
        "versions": versions(),
        "executable": str(Path(sys.executable)),
        "machine": machine(),
        "self_test": self_test(),
        "speed": speed(),
        "kernels": {**kernels(), "damaged": kept["damaged"]},  # again, now that they have been used
        "extras": optional(),
    }
    report["healthy"] = all(test["equal"] for test in report["self_test"])
    return report
