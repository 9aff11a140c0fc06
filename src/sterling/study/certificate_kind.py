"""Trials of the kind "certificate": bounds proved for a data set, for every start and schedule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from sterling.study.columns import FLAG, REAL, SHARE, Criterion
from sterling.study.kind import Cell, Kind, Look, Seeds
from sterling.study.landscape_kind import check_states
from sterling.surrogates import get_surrogate


def _run(cell: Cell, seeds: Seeds, look: Look) -> dict[str, Any]:
    from sterling.landscapes.certificate import certify
    from sterling.landscapes.sweep import balances

    instance = cell.problem.draw(seeds.data, threads=1)
    surrogate = get_surrogate(cell.settings["surrogate"])
    found = certify(instance, surrogate, threads=1, progress=look)
    return {
        "proved": found.recurrent,
        "absorbs": found.absorbs,
        "occupancy": found.occupancy,
        "by_balance": found.balance_occupancy,
        "decodes": found.decodes,
        "wrong_share": float(found.wrong_share.max()),
        "verified": found.verify(instance),
        "duals": found.duals[0].tolist(),
        "steepest": float(np.abs(balances(instance, surrogate, found.reference, 1, look)).max()),
    }


KIND = Kind(
    "certificate",
    _run,
    {
        "proved": FLAG,
        "absorbs": FLAG,
        "occupancy": SHARE,
        "by_balance": SHARE,  # the bound that ``duals`` correct for a finite run
        "decodes": FLAG,
        "wrong_share": SHARE,  # the largest bound of a weight
        "verified": FLAG,  # checked by the definition of the gradient alone
        "duals": replace(REAL, low=0).list(),  # of ``by_balance``
        "steepest": replace(REAL, low=0),  # the largest |G_k| of all states
    },
    version=2,
    settings={"surrogate": "relu"},
    criteria={
        "proved": Criterion(
            "proved",
            "a proof shows that every run returns to the teacher infinitely often",
            ("proved",),
            pl.col("proved"),
        ),
        "decodes": Criterion(
            "decodes",
            "a proof shows that the sign of the time average is the teacher in the long run",
            ("decodes",),
            pl.col("decodes"),
        ),
    },
    check=check_states,
)
