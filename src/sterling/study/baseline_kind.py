"""Trials of the kind "baseline": another estimator on the data of a run of the same problem."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl

from sterling.base import checks
from sterling.errors import InputError
from sterling.model.levels import require_two
from sterling.study.columns import COUNT, FLAG, Criterion
from sterling.study.kind import Cell, Kind, Look, Seeds

#: The estimators of `baselines.py`, and the states of least risk.
ESTIMATORS = ("least_squares", "hebb", "logistic", "gamp", "least_risk")


def _run(cell: Cell, seeds: Seeds, look: Look) -> dict[str, Any]:
    from sterling.landscapes.landscape import landscape
    from sterling.study import baselines

    instance, name, settled = cell.problem.draw(seeds.data, threads=1), cell.settings["estimator"], True
    look()
    data = instance.inputs, instance.labels
    if name == "least_risk":
        signs = landscape(instance).minimisers  # several if they are equally good
    elif name == "gamp":
        found = baselines.gamp(*data, noise=cell.problem.noise, readout=float(instance.readout[0]))
        signs, settled = found.signs[None], bool(found.settled)
    else:
        signs = getattr(baselines, name)(*data)[None]
    errors = np.count_nonzero(signs != instance.teacher, axis=1)
    return {"errors": int(errors.max()), "answers": len(errors), "settled": settled}


def _check(cell: Cell) -> None:
    problem = cell.problem
    require_two(problem, f"the kind {cell.kind!r} is")
    name = checks.choice(cell.settings["estimator"], "estimator", ESTIMATORS)
    if problem.m != 1:
        raise InputError(f"the estimators of the kind 'baseline' are for m = 1, not {problem.m}")
    if name == "gamp" and (str(problem.inputs) != "gaussian" or problem.normalize is not None):
        raise InputError("gamp needs Gaussian inputs without normalisation: use another estimator or inputs")
    if name == "least_risk":
        from sterling.landscapes.landscape import check_dimension

        check_dimension(problem.n)


KIND = Kind(
    "baseline",
    _run,
    {"errors": COUNT, "answers": COUNT, "settled": FLAG},
    version=2,
    settings={"estimator": "least_squares"},
    criteria={
        "exact": Criterion(
            "exact",
            "the estimate is the teacher, in every weight and in every answer",
            ("errors",),
            pl.col("errors") == 0,
        )
    },
    check=_check,
    small=Cell.small,
)
