"""Trials of the kind "certificate": what is proved of data of their own, for every start and schedule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from sterling.study.columns import FLAG, REAL, SHARE, Criterion
from sterling.study.kind import Cell, Kind, Look, Seeds
from sterling.study.landscape_kind import check_states, few_states
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
        "by_balance": SHARE,  # the bound for which ``duals`` tell the term of a finite run
        "decodes": FLAG,
        "wrong_share": SHARE,  # the bound of the weight that has the largest
        "verified": FLAG,  # by the definition of the gradient, without the program that found the proof
        "duals": replace(REAL, low=0).list(),  # of the bound by the balance
        "steepest": replace(REAL, low=0),  # the largest |G_k| of all states
    },
    version=2,
    settings={"surrogate": "relu"},
    criteria={
        "proved": Criterion(
            "proved",
            "it is proved that every run leaves the teacher and visits it again, for ever",
            ("proved",),
            pl.col("proved"),
        ),
        "decodes": Criterion(
            "decodes",
            "it is proved that the sign of the time average is the teacher in the long run",
            ("decodes",),
            pl.col("decodes"),
        ),
    },
    check=check_states,
    small=few_states,
)
