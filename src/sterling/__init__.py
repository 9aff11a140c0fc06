"""sterling: a laboratory for the straight-through estimator.

The public names load what they need on first use, so ``import sterling`` costs next to nothing.
"""

from __future__ import annotations

from importlib import import_module

#: The version, in this one place: the build, the package and the command line read it from here.
__version__ = "0.1.0"

TYPE_CHECKING = False  # type checkers know the name; to import `typing` takes longer than all else here
if TYPE_CHECKING:
    from sterling import study as study
    from sterling import theory as theory
    from sterling.base.registry import register as register
    from sterling.dynamics.orbit import Orbit as Orbit
    from sterling.dynamics.orbit import Verdict as Verdict
    from sterling.dynamics.restart import Restart as Restart
    from sterling.dynamics.train import resume as resume
    from sterling.dynamics.train import train as train
    from sterling.errors import CapacityError as CapacityError
    from sterling.errors import CheckpointError as CheckpointError
    from sterling.errors import InputError as InputError
    from sterling.errors import InputTypeError as InputTypeError
    from sterling.errors import SterlingError as SterlingError
    from sterling.errors import SterlingWarning as SterlingWarning
    from sterling.errors import StoreError as StoreError
    from sterling.model.data import load_data as load_data
    from sterling.model.families import Family as Family
    from sterling.model.families import get_family as get_family
    from sterling.model.instance import Instance as Instance
    from sterling.model.instance import Rounding as Rounding
    from sterling.model.normalise import Normalizer as Normalizer
    from sterling.model.normalise import Standardize as Standardize
    from sterling.model.normalise import Whiten as Whiten
    from sterling.model.problem import Problem as Problem
    from sterling.plans.plan import plan as plan
    from sterling.schedules import Constant as Constant
    from sterling.schedules import Power as Power
    from sterling.schedules import Table as Table
    from sterling.states.certificate import Certificate as Certificate
    from sterling.states.certificate import certify as certify
    from sterling.states.landscape import Landscape as Landscape
    from sterling.states.landscape import landscape as landscape
    from sterling.study.compare import compare_surrogates as compare_surrogates
    from sterling.surrogates import SURROGATES as SURROGATES
    from sterling.surrogates import Surrogate as Surrogate
    from sterling.surrogates import get_surrogate as get_surrogate

#: Where the public names are at home; `study` and `theory` are modules themselves.
_ROOMS = {
    "base.registry": "register",
    "dynamics.orbit": "Orbit Verdict",
    "dynamics.restart": "Restart",
    "dynamics.train": "resume train",
    "errors": "CapacityError CheckpointError InputError InputTypeError SterlingError SterlingWarning "
    "StoreError",
    "model.data": "load_data",
    "model.families": "Family get_family",
    "model.instance": "Instance Rounding",
    "model.normalise": "Normalizer Standardize Whiten",
    "model.problem": "Problem",
    "plans.plan": "plan",
    "schedules": "Constant Power Table",
    "states.certificate": "Certificate certify",
    "states.landscape": "Landscape landscape",
    "study": "study",
    "study.compare": "compare_surrogates",
    "surrogates": "SURROGATES Surrogate get_surrogate",
    "theory": "theory",
}
_HOME = {name: room for room, names in _ROOMS.items() for name in names.split()}

__all__ = ["__version__", *sorted(_HOME)]  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str):
    if name in _HOME:
        module = import_module(f"sterling.{_HOME[name]}")
        value = module if _HOME[name] == name else getattr(module, name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'sterling' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
