"""The findings of `sterling doctor`: versions, machine, kernel cache, both engines, extras."""

from __future__ import annotations

import platform
from typing import Any

import numpy as np

from sterling import __version__
from sterling.base.extras import how_to_install, installed, requirements
from sterling.base.resources import usable_cores
from sterling.dynamics.train import train
from sterling.exact.jit import cache_folder, drop_damaged, kept_kernels, why_not_kept
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


def kernels() -> dict:
    """Count the kernels in the cache, remove damaged ones, and try whether more can be kept."""
    damaged = drop_damaged()
    return {
        "folder": None if cache_folder() is None else str(cache_folder()),
        "files": len(kept_kernels()),
        "damaged": damaged,
        "not_writable": why_not_kept(),
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


def examine() -> dict:
    """Return all findings; ``healthy`` is False if the engines disagree."""
    damaged = kernels()["damaged"]  # first, so that damaged kernels are compiled anew
    needed = requirements()
    tests = self_test()
    return {
        "versions": {
            "sterling": __version__,
            "python": platform.python_version(),
            **{name: installed(name) for name in needed[""]},
        },
        "machine": {
            "system": f"{platform.system()} {platform.release()}, {platform.machine()}",
            "usable_cores": usable_cores(),
        },
        "self_test": tests,
        "kernels": {**kernels(), "damaged": damaged},  # again, now that they have been used
        "extras": {
            extra: {
                "packages": {package: installed(package) for package in needed.get(extra, {})},
                "install": how_to_install(extra),
            }
            for extra in ("cluster", "learn", "torch")
        },
        "healthy": all(test["equal"] for test in tests),
    }
