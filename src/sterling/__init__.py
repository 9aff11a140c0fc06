"""sterling: a laboratory for the straight-through estimator.

The public names load what they need on first use, so ``import sterling`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module

#: The version, in this one place: the build, the package and the command line read it from here.
__version__ = "0.1.0"

TYPE_CHECKING = False  # type checkers know the name; to import `typing` takes longer than all else here
if TYPE_CHECKING:
    from sterling import study, theory
    from sterling.base.registry import register
    from sterling.dynamics.orbit import Orbit, Verdict
    from sterling.dynamics.train import resume, train
    from sterling.errors import (
        CapacityError,
        CheckpointError,
        InputError,
        InputTypeError,
        SterlingError,
        SterlingWarning,
        StoreError,
    )
    from sterling.model.data import load_data
    from sterling.model.families import Family, get_family
    from sterling.model.instance import Instance, Rounding
    from sterling.model.normalise import Normalizer, Standardize, Whiten
    from sterling.model.problem import Problem
    from sterling.plans.plan import plan
    from sterling.schedules import Constant, Power, Table
    from sterling.states.landscape import Landscape, landscape
    from sterling.study.compare import compare_surrogates
    from sterling.surrogates import SURROGATES, Surrogate, get_surrogate

_HOME = {
    "CapacityError": "errors",
    "CheckpointError": "errors",
    "Constant": "schedules",
    "Family": "model.families",
    "InputError": "errors",
    "InputTypeError": "errors",
    "Instance": "model.instance",
    "Landscape": "states.landscape",
    "Normalizer": "model.normalise",
    "Orbit": "dynamics.orbit",
    "Power": "schedules",
    "Problem": "model.problem",
    "Rounding": "model.instance",
    "SURROGATES": "surrogates",
    "Standardize": "model.normalise",
    "SterlingError": "errors",
    "SterlingWarning": "errors",
    "StoreError": "errors",
    "Surrogate": "surrogates",
    "Table": "schedules",
    "Verdict": "dynamics.orbit",
    "Whiten": "model.normalise",
    "compare_surrogates": "study.compare",
    "get_family": "model.families",
    "get_surrogate": "surrogates",
    "landscape": "states.landscape",
    "load_data": "model.data",
    "plan": "plans.plan",
    "register": "base.registry",
    "resume": "dynamics.train",
    "study": "study",  # the module itself, and so is the next
    "theory": "theory",
    "train": "dynamics.train",
}

__all__ = [
    "CapacityError",
    "CheckpointError",
    "Constant",
    "Family",
    "InputError",
    "InputTypeError",
    "Instance",
    "Landscape",
    "Normalizer",
    "Orbit",
    "Power",
    "Problem",
    "Rounding",
    "SURROGATES",
    "Standardize",
    "SterlingError",
    "SterlingWarning",
    "StoreError",
    "Surrogate",
    "Table",
    "Verdict",
    "Whiten",
    "__version__",
    "compare_surrogates",
    "get_family",
    "get_surrogate",
    "landscape",
    "load_data",
    "plan",
    "register",
    "resume",
    "study",
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
