"""Many trials: grids of problems, a store that survives crashes, workers of any kind, fits with intervals.

Each trial has a kind: a run, a landscape, a certificate, or a kind that a user registers. A study is a grid
of problems and settings; `run` writes its trials to a folder, `fit_store` fits how the needed sample size
grows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from sterling.base.lazy import lazily

if TYPE_CHECKING:
    from sterling.study.cluster import open_cluster as open_cluster
    from sterling.study.collect import Outcome as Outcome
    from sterling.study.collect import Progress as Progress
    from sterling.study.collect import iterate as iterate
    from sterling.study.collect import run as run
    from sterling.study.columns import COUNT as COUNT
    from sterling.study.columns import FLAG as FLAG
    from sterling.study.columns import REAL as REAL
    from sterling.study.columns import SHARE as SHARE
    from sterling.study.columns import Column as Column
    from sterling.study.columns import Criterion as Criterion
    from sterling.study.columns import words as words
    from sterling.study.fit import ExponentFit as ExponentFit
    from sterling.study.fit import FitError as FitError
    from sterling.study.fit import fit_exponent as fit_exponent
    from sterling.study.kind import Cancelled as Cancelled
    from sterling.study.kind import Cell as Cell
    from sterling.study.kind import Kind as Kind
    from sterling.study.kind import Seeds as Seeds
    from sterling.study.kind import get_kind as get_kind
    from sterling.study.report import SeriesFit as SeriesFit
    from sterling.study.report import Status as Status
    from sterling.study.report import fit_store as fit_store
    from sterling.study.report import status as status
    from sterling.study.spec import Study as Study
    from sterling.study.store import Store as Store
    from sterling.study.store import replay as replay

__getattr__, __dir__, __all__ = lazily(globals())
