"""Many trials: grids of problems, a store that survives kills, workers of any kind, fits with intervals.

A trial is of some kind: a run, a landscape, a certificate, or what a user registers. A study is a grid of
problems and settings; `run` runs its trials into a folder, `fit_store` says how the needed sample size grows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sterling.base.lazy import lazily

if TYPE_CHECKING:
    from sterling.study.cells import Cell as Cell
    from sterling.study.cells import Seeds as Seeds
    from sterling.study.cells import trial_seeds as trial_seeds
    from sterling.study.cluster import open_cluster as open_cluster
    from sterling.study.collect import Outcome as Outcome
    from sterling.study.collect import Progress as Progress
    from sterling.study.collect import iterate as iterate
    from sterling.study.collect import replay as replay
    from sterling.study.collect import run as run
    from sterling.study.criteria import Criterion as Criterion
    from sterling.study.fit import ExponentFit as ExponentFit
    from sterling.study.fit import FitError as FitError
    from sterling.study.fit import fit_exponent as fit_exponent
    from sterling.study.grid import Study as Study
    from sterling.study.kinds import COUNT as COUNT
    from sterling.study.kinds import FLAG as FLAG
    from sterling.study.kinds import REAL as REAL
    from sterling.study.kinds import SHARE as SHARE
    from sterling.study.kinds import Cancelled as Cancelled
    from sterling.study.kinds import Column as Column
    from sterling.study.kinds import Kind as Kind
    from sterling.study.kinds import get_kind as get_kind
    from sterling.study.kinds import parse_criterion as parse_criterion
    from sterling.study.kinds import words as words
    from sterling.study.report import SeriesFit as SeriesFit
    from sterling.study.report import Status as Status
    from sterling.study.report import fit_store as fit_store
    from sterling.study.report import status as status
    from sterling.study.store import Store as Store
    from sterling.study.trial import run_trial as run_trial

__getattr__, __dir__, __all__ = lazily(globals())
