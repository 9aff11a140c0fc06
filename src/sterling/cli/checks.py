"""What `sterling doctor` finds out: versions, machine, kernel cache, engine against engine, speed, extras."""

from __future__ import annotations

import os
import platform
import re
import sys
import time
from importlib.metadata import PackageNotFoundError, requires, version
from pathlib import Path
from typing import Any

import numpy as np

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


def installed(package: str) -> str | None:
    """Return the version of an installed package, without importing it."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def requirements() -> dict[str, list[str]]:
    """Return the packages that sterling asks for, by extra; those of the core under an empty name."""
    found: dict[str, list[str]] = {"": []}
    for line in requires("sterling") or ():
        name, extra = re.match(r"[\w.-]+", line), re.search(r"extra\s*==\s*['\"]([\w-]+)", line)
        if name:
            found.setdefault(extra[1] if extra else "", []).append(name[0])
    return found


def versions() -> dict[str, str | None]:
    from sterling import __version__

    found = {name: installed(name) for name in requirements()[""]}
    return {"sterling": __version__, "python": platform.python_version(), **found}


def machine() -> dict:
    from sterling.base.resources import available_memory, usable_cores

    return {
        "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
        "cores": os.cpu_count(),
        "usable_cores": usable_cores(),
        "available_memory": available_memory(),
    }


def kernels() -> dict:
    """Look at the folder of compiled kernels."""
    from sterling.exact.jit import INTERPRETED, cache_folder

    folder = cache_folder()
    files = [file for file in folder.rglob("*") if file.is_file()]
    here = next(place for place in (folder, *folder.parents) if place.exists())
    return {
        "folder": str(folder),
        "writable": here.is_dir() and os.access(here, os.W_OK),
        "files": len(files),
        "bytes": sum(file.stat().st_size for file in files),
        "switched_off": INTERPRETED,
    }


def self_test() -> list[dict]:
    """Run the event engine and the step-by-step one on small instances; they must agree flip for flip."""
    from sterling.dynamics.train import train
    from sterling.model.problem import Problem
    from sterling.schedules import parse_schedule

    results = []
    for name, problem, surrogate, schedule in CASES:
        instance = Problem(**problem).draw(seed=1)
        event, dense = (
            train(instance, _CHECK_STEPS, parse_schedule(schedule), surrogate, engine=engine)
            for engine in ("event", "dense")
        )
        if event.interrupted or dense.interrupted:
            raise KeyboardInterrupt  # cut short, they say nothing about each other
        equal = (
            np.array_equal(event.flips, dense.flips)
            and np.array_equal(event.latent, dense.latent)
            and np.array_equal(event.ergodic_mean, dense.ergodic_mean)
            and event.verdict is dense.verdict
        )
        results.append(
            {"case": name, "flips": int(event.flips.size), "verdict": event.verdict.name, "equal": equal}
        )
    return results


def speed() -> dict:
    """Time a small run, once the kernels are compiled."""
    from sterling.dynamics.train import train
    from sterling.model.problem import Problem

    instance = Problem(**_SPEED).draw(seed=0)
    train(instance, 10_000, record=())
    begun = time.perf_counter()
    orbit = train(instance, _SPEED_STEPS, record=())
    seconds = time.perf_counter() - begun
    if orbit.interrupted:
        raise KeyboardInterrupt
    return {
        "case": f"n={_SPEED['n']}, N={_SPEED['samples']}, σ={_SPEED['noise']}, {_SPEED_STEPS:,} steps",
        "seconds": seconds,
        "steps_per_second": _SPEED_STEPS / seconds,
        "nanoseconds_per_event": 1e9 * seconds / max(1, orbit.stats.events),
    }


def extras() -> dict[str, dict]:
    """Say for each extra what is installed, and how to install the rest."""
    found = {}
    for extra, packages in requirements().items():
        if extra in ("", "dev"):
            continue
        have = {package: installed(package) for package in packages}
        found[extra] = {
            "packages": have,
            "complete": all(have.values()),
            "install": f"pip install 'sterling[{extra}]'",
        }
    return found


def examine() -> dict:
    """Do all of it; ``healthy`` is False if the engines disagree."""
    report = {
        "versions": versions(),
        "executable": str(Path(sys.executable)),
        "machine": machine(),
        "self_test": self_test(),
        "speed": speed(),
        "kernels": kernels(),  # after the kernels were needed
        "extras": extras(),
    }
    report["healthy"] = all(test["equal"] for test in report["self_test"])
    return report
