"""Many trials: grids of problems, a store that survives kills, workers of any kind, fits with intervals.

A trial is of some kind: a run, a landscape, gradients, or what a user registers. A study is a grid of
problems and settings; `run` runs its trials into a folder, `fit_store` says how the needed sample size grows.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sterling.study.cluster import open_cluster
    from sterling.study.collect import Outcome, Progress, iterate, replay, run
    from sterling.study.criteria import Criterion
    from sterling.study.fit import ExponentFit, fit_exponent
    from sterling.study.grid import Study
    from sterling.study.kinds import (
        COUNT,
        FLAG,
        REAL,
        SHARE,
        Cancelled,
        Cell,
        Column,
        Kind,
        Seeds,
        get_kind,
        parse_criterion,
        trial_key,
        trial_seeds,
        words,
    )
    from sterling.study.report import SeriesFit, Status, fit_store, status
    from sterling.study.store import Store
    from sterling.study.sufficiency import FitError
    from sterling.study.trial import run_trial

_HOME = {
    "COUNT": "kinds",
    "Cancelled": "kinds",
    "Cell": "kinds",
    "Column": "kinds",
    "Criterion": "criteria",
    "ExponentFit": "fit",
    "FLAG": "kinds",
    "FitError": "sufficiency",
    "Kind": "kinds",
    "Outcome": "collect",
    "Progress": "collect",
    "REAL": "kinds",
    "SHARE": "kinds",
    "Seeds": "kinds",
    "SeriesFit": "report",
    "Status": "report",
    "Store": "store",
    "Study": "grid",
    "fit_exponent": "fit",
    "fit_store": "report",
    "get_kind": "kinds",
    "iterate": "collect",
    "open_cluster": "cluster",
    "parse_criterion": "kinds",
    "replay": "collect",
    "run": "collect",
    "run_trial": "trial",
    "status": "report",
    "trial_key": "kinds",
    "trial_seeds": "kinds",
    "words": "kinds",
}

__all__ = [
    "COUNT",
    "Cancelled",
    "Cell",
    "Column",
    "Criterion",
    "ExponentFit",
    "FLAG",
    "FitError",
    "Kind",
    "Outcome",
    "Progress",
    "REAL",
    "SHARE",
    "Seeds",
    "SeriesFit",
    "Status",
    "Store",
    "Study",
    "fit_exponent",
    "fit_store",
    "get_kind",
    "iterate",
    "open_cluster",
    "parse_criterion",
    "replay",
    "run",
    "run_trial",
    "status",
    "trial_key",
    "trial_seeds",
    "words",
]


def __getattr__(name: str):
    if name in _HOME:
        value = getattr(import_module(f"sterling.study.{_HOME[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'sterling.study' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
