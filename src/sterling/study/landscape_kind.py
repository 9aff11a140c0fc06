"""Trials of the kind "landscape": all 2ⁿ states of a data set."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import polars as pl

from sterling.model.levels import require_two
from sterling.optimizers.sgd import SGD
from sterling.study.columns import COUNT, FLAG, REAL, Criterion
from sterling.study.kind import Cell, Kind, Look, Seeds


def _run(cell: Cell, seeds: Seeds, look: Look) -> dict[str, Any]:
    from sterling.landscapes.landscape import landscape

    instance = cell.problem.draw(seeds.data)
    surrogate, damping = cell.settings["surrogate"], cell.settings["damping"]
    found = landscape(instance, surrogate, damping=damping, progress=look, threads=1)
    return {
        "trap_free": found.trap_free,
        "absorbing": len(found.absorbing_states),
        "minimisers": len(found.minimiser_states),
        "lowest_loss": float(found.loss[found.minimiser_states[0]]),
        "deviation": found.deviation,
        "pull": found.pull,
    }


def check_states(cell: Cell) -> None:
    """Refuse a cell with too many states, or a surrogate that is not piecewise constant."""
    from sterling.landscapes.landscape import check_dimension, check_surrogate

    require_two(cell.problem, f"the kind {cell.kind!r} is")
    check_dimension(cell.problem.n)
    check_surrogate(cell.settings["surrogate"])
    SGD(damping=cell.settings.get("damping", 0.0))


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
    settings={"surrogate": "relu", "damping": 0.0},
    criteria={
        "trap_free": Criterion(
            "trap_free",
            "the teacher is the only absorbing state, so no run can get stuck",
            ("trap_free",),
            pl.col("trap_free"),
        )
    },
    check=check_states,
    later=("damping",),
)
