"""Many trials: grids of problems, a store that survives kills, workers of any kind, fits with intervals.

>>> from sterling.study import Study, run, fit_store
>>> study = Study(n=[8, 16, 32], samples={"c": [1, 2, 4], "a": 1.2}, trials=200)
>>> run(study, "out/study")                          # doctest: +SKIP
>>> fit_store("out/study")                           # doctest: +SKIP
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sterling.study.collect import Outcome, Progress, replay, run
    from sterling.study.criteria import Criterion, parse_criterion
    from sterling.study.fit import ExponentFit, fit_exponent
    from sterling.study.grid import Study
    from sterling.study.report import SeriesFit, Status, fit_store, status
    from sterling.study.store import Store
    from sterling.study.sufficiency import FitError
    from sterling.study.trial import Cell, run_trial, trial_key, trial_seed

_HOME = {
    "Cell": "trial",
    "Criterion": "criteria",
    "ExponentFit": "fit",
    "FitError": "sufficiency",
    "Outcome": "collect",
    "Progress": "collect",
    "SeriesFit": "report",
    "Status": "report",
    "Store": "store",
    "Study": "grid",
    "fit_exponent": "fit",
    "fit_store": "report",
    "parse_criterion": "criteria",
    "replay": "collect",
    "run": "collect",
    "run_trial": "trial",
    "status": "report",
    "trial_key": "trial",
    "trial_seed": "trial",
}

__all__ = [
    "Cell",
    "Criterion",
    "ExponentFit",
    "FitError",
    "Outcome",
    "Progress",
    "SeriesFit",
    "Status",
    "Store",
    "Study",
    "fit_exponent",
    "fit_store",
    "parse_criterion",
    "replay",
    "run",
    "run_trial",
    "status",
    "trial_key",
    "trial_seed",
]


def __getattr__(name: str):
    if name in _HOME:
        value = getattr(import_module(f"sterling.study.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'sterling.study' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
