"""Trials of the kind "certificate": what is proved of data of their own, for every start and schedule."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import polars as pl

from sterling.study.cells import Cell, Seeds
from sterling.study.criteria import Criterion
from sterling.study.kinds import FLAG, REAL, SHARE, Kind, Look
from sterling.study.landscape_kind import check_states, few_states
from sterling.surrogates import get_surrogate

# What a state, a row of it and a price cost, in seconds of one machine; only ratios matter.
_TRIAL, _VISITED_ROW, _PRICED = 5e-2, 8e-9, 3e-8


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


def _work(cell: Cell) -> pl.Expr:
    n, rows = cell.problem.n, float(cell.problem.samples * cell.problem.m)
    return pl.lit(_TRIAL + 2.0**n * (_VISITED_ROW * rows + _PRICED * n * n))


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
    work=_work,
    small=few_states,
)
