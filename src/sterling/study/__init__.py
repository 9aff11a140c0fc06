"""Many trials: grids of problems, a store that survives kills, workers of any kind, fits with intervals.

A trial is of some kind: a run, a landscape, gradients, or what a user registers. A study is a grid of
problems and settings; `run` runs its trials into a folder, `fit_store` says how the needed sample size grows.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from sterling.study.cells import Cell, Seeds, trial_key, trial_seeds
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
        Column,
        Kind,
        get_kind,
        parse_criterion,
        words,
    )
    from sterling.study.report import SeriesFit, Status, fit_store, status
    from sterling.study.store import Store
    from sterling.study.sufficiency import FitError
    from sterling.study.trial import run_trial

_HOME = {
    "cells": ("Cell", "Seeds", "trial_key", "trial_seeds"),
    "cluster": ("open_cluster",),
    "collect": ("Outcome", "Progress", "iterate", "replay", "run"),
    "criteria": ("Criterion",),
    "fit": ("ExponentFit", "fit_exponent"),
    "grid": ("Study",),
    "kinds": (
        "COUNT",
        "FLAG",
        "REAL",
        "SHARE",
        "Cancelled",
        "Column",
        "Kind",
        "get_kind",
        "parse_criterion",
        "words",
    ),
    "report": ("SeriesFit", "Status", "fit_store", "status"),
    "store": ("Store",),
    "sufficiency": ("FitError",),
    "trial": ("run_trial",),
}
_MODULES = {name: module for module, names in _HOME.items() for name in names}

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
    if name in _MODULES:
        value = getattr(import_module(f"sterling.study.{_MODULES[name]}"), name)
        globals()[name] = value
        return value
    raise AttributeError(f"module 'sterling.study' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
