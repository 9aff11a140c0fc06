"""Trials of the kind "landscape": all 2ⁿ states of data of their own."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

from sterling.study.cells import Cell, Seeds
from sterling.study.criteria import Criterion
from sterling.study.kinds import COUNT, FLAG, REAL, Kind, Look

# What a visit of a state and of its rows costs, in seconds of one machine; only ratios matter.
_TRIAL, _ENTRY, _VISIT, _VISITED_ROW = 2e-3, 1e-8, 3e-7, 4e-9
_WARM_N = 4


def _run(cell: Cell, seeds: Seeds, look: Look) -> dict[str, Any]:
    from sterling.landscapes.landscape import landscape

    instance = cell.problem.draw(seeds.data)
    found = landscape(instance, cell.settings["surrogate"], progress=look, threads=1)
    return {
        "trap_free": found.trap_free,
        "absorbing": len(found.absorbing_states),
        "minimisers": len(found.minimiser_states),
        "lowest_loss": float(found.loss[found.minimiser_states[0]]),
        "deviation": found.deviation,
        "pull": found.pull,
    }


def check_states(cell: Cell) -> None:
    """Refuse a cell whose states cannot all be visited."""
    from sterling.landscapes.landscape import check_dimension, check_surrogate

    check_dimension(cell.problem.n)
    check_surrogate(cell.settings["surrogate"])


def few_states(cell: Cell) -> Cell:
    """Return a cell of few states that needs the same kernels."""
    return cell.small(n=min(cell.problem.n, _WARM_N))


def _work(cell: Cell) -> pl.Expr:
    problem = cell.problem
    rows = float(problem.samples * problem.m)
    return pl.lit(_TRIAL + problem.n * rows * _ENTRY + 2.0**problem.n * (_VISIT + _VISITED_ROW * rows))


KIND = Kind(
    "landscape",
    _run,
    {
        "trap_free": FLAG,
        "absorbing": COUNT,
        "minimisers": COUNT,
        "lowest_loss": replace(REAL, low=0),
        "deviation": replace(REAL, low=0).maybe(),
        "pull": REAL.maybe(),
    },
    settings={"surrogate": "relu"},
    criteria={
        "trap_free": Criterion(
            "trap_free",
            "no weights but the teacher's absorb, so no start can be caught",
            ("trap_free",),
            pl.col("trap_free"),
        )
    },
    check=check_states,
    work=_work,
    small=few_states,
)
