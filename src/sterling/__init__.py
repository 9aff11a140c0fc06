"""sterling: a laboratory for the straight-through estimator.

The public names load what they need on first use, so ``import sterling`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

from sterling._version import __version__

if TYPE_CHECKING:
    from sterling import theory
    from sterling.advice.plan import plan
    from sterling.compare import compare_surrogates
    from sterling.data import load_data
    from sterling.dynamics.orbit import Orbit, Verdict
    from sterling.dynamics.train import resume, train
    from sterling.errors import (
        CapacityError,
        CheckpointError,
        InputError,
        SterlingError,
        SterlingWarning,
        StoreError,
    )
    from sterling.exhaustive.landscape import Landscape, landscape
    from sterling.instance import Instance
    from sterling.problem import Problem
    from sterling.schedules import Constant, Power, Table
    from sterling.surrogates import SURROGATES, Surrogate

_HOME = {
    "CapacityError": "errors",
    "CheckpointError": "errors",
    "Constant": "schedules",
    "InputError": "errors",
    "Instance": "instance",
    "Landscape": "exhaustive.landscape",
    "Orbit": "dynamics.orbit",
    "Power": "schedules",
    "Problem": "problem",
    "SURROGATES": "surrogates",
    "SterlingError": "errors",
    "SterlingWarning": "errors",
    "StoreError": "errors",
    "Surrogate": "surrogates",
    "Table": "schedules",
    "Verdict": "dynamics.orbit",
    "compare_surrogates": "compare",
    "landscape": "exhaustive.landscape",
    "load_data": "data",
    "plan": "advice.plan",
    "resume": "dynamics.train",
    "theory": "theory",  # the module itself
    "train": "dynamics.train",
}

__all__ = [
    "SURROGATES",
    "CapacityError",
    "CheckpointError",
    "Constant",
    "InputError",
    "Instance",
    "Landscape",
    "Orbit",
    "Power",
    "Problem",
    "SterlingError",
    "SterlingWarning",
    "StoreError",
    "Surrogate",
    "Table",
    "Verdict",
    "__version__",
    "compare_surrogates",
    "landscape",
    "load_data",
    "plan",
    "resume",
    "theory",
    "train",
]


def __getattr__(name: str):
    if name in _HOME:
        module = import_module(f"sterling.{_HOME[name]}")
        value = module if _HOME[name] == name else getattr(module, name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'sterling' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
