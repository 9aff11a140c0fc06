"""The exact part of P3: what certificates prove for data sets, compared with runs on the same data sets.

A certificate bounds the share π(∅) of its mass H(T) that a run spends at w* in the long run. For T steps the
balance (docs/science, 13) proves this bound minus Σ_k λ_k (|u_k(0)| + max η · max |G|)/H(T), where λ is the
dual vector of the bound. Both are exact, so one run below both would contradict the proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from sterling.claims.context import Context
from sterling.claims.finding import Measured, share
from sterling.claims.starts import OPPOSITE
from sterling.claims.words import places
from sterling.plot.curves import against, style

#: Tolerance below a bound: sums of up to a million step sizes are rounded.
ROUNDING = 1e-9
_SET = ["n", "samples", "trial"]


@dataclass(frozen=True)
class ProofsBudget:
    """Certificates of ``instances`` data sets at each place (n, N), and runs on each of them.

    Proofs are judged at the last place, which has the largest n. Runs have ``starts`` random starts and one
    with every weight wrong. Their schedules are bounded and of infinite sum, as the proofs require.

    Power: with 16 data sets and proofs for 95 % of all, one in 1,000 calls cannot tell this from one half.
    """

    places: tuple[tuple[int, int], ...]
    instances: int
    starts: int
    steps: int
    schedules: tuple[str, ...] = (
        "constant:0.05",
        "constant:0.5",
        "power:0.5,0.25",
        "power:0.5,0.5",
        "power:5,0.75",
    )


def prove(context: Context, budget: ProofsBudget, noise: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return one row for each certificate, and one for each run with its bound."""
    asked: dict[str, Any] = {"noise": noise, "trials": budget.instances}
    certificates = context.at(budget.places, "proofs-certificate", kind="certificate", **asked)
    asked |= {
        "start": list(range(OPPOSITE, budget.starts)),
        "schedule": budget.schedules,
        "steps": budget.steps,
    }
    runs = context.at(budget.places, "proofs-starts", kind="starts", **asked)
    return certificates.sort(_SET), with_bounds(runs, certificates).sort(*_SET, "schedule", "start")


def with_bounds(runs: pl.DataFrame, certificates: pl.DataFrame) -> pl.DataFrame:
    """Return runs with ``bound``, of the share of mass at w* in the long run, and ``term``: how far a run may
    lie below its bound because it is finite.
    """
    rows = runs.join(certificates.select(*_SET, "duals", "steepest", bound="by_balance"), on=_SET)
    terms = [
        np.dot(row["duals"], np.abs(row["start_latent"]) + row["largest_step"] * row["steepest"])
        / row["mass"]
        for row in rows.iter_rows(named=True)
    ]
    names = (*_SET, "schedule", "start", "verdict", "mass", "mass_occupancy", "bound")
    return rows.select(*names, pl.Series("term", terms, pl.Float64))


def below(runs: pl.DataFrame) -> int:
    """Count the runs that spent less of their mass at w* than is proved."""
    least = runs["bound"] - runs["term"] - ROUNDING
    return int((runs["mass_occupancy"] < least).sum())


def proved_shares(certificates: pl.DataFrame) -> list[Measured]:
    """Return the share of data sets with proved recurrence at each place, the last one first."""
    found = [
        share(f"data sets with recurrence proved at {label}", int(one["proved"].sum()), len(one))
        for label, one in places(certificates).items()
    ]
    return found[::-1]


def in_words(certificates: pl.DataFrame, runs: pl.DataFrame) -> str:
    """Count the data sets with proved recurrence, and the runs below their bounds."""
    parts = [f"{one['proved'].sum()} of {len(one)} at {label}" for label, one in places(certificates).items()]
    return (
        f"Recurrence is proved for {int(certificates['proved'].sum())} of {len(certificates)} data sets "
        f"({'; '.join(parts)}), for every start and all bounded step sizes of infinite sum. "
        f"{below(runs) or 'None'} of {len(runs):,} runs on them spent less of its mass at w* than is proved."
    )


def notes(certificates: pl.DataFrame, runs: pl.DataFrame, budget: ProofsBudget) -> list[str]:
    """Return the notes on the proofs."""
    verified, tested = int(certificates["verified"].sum()), int((runs["bound"] > runs["term"]).sum())
    return [
        "The mass of a run is the sum of its step sizes. A certificate proves a lower bound of the share of "
        "the mass at w* in the long run (exact). A second program, which computes the gradient at all states "
        f"from its definition, confirmed {verified} of {len(certificates)}. Without a certificate a run may "
        "still recur.",
        "A finite run may stay below the bound by a known term, which falls like one over its mass. For "
        f"{tested:,} of {len(runs):,} runs the bound minus this term is above zero, so they test it. "
        f"Each data set has {budget.starts} random starts and one with every weight wrong, under "
        f"{len(budget.schedules)} schedules.",
    ]


def draw_bounds(ax: Axes, runs: pl.DataFrame) -> str:
    """Draw the shares of mass of the runs of each data set, from least to most, against its bound."""
    share = pl.col("mass_occupancy")
    series = {}
    for index, (label, rows) in enumerate(places(runs).items()):
        sets = rows.group_by("trial", maintain_order=True)
        sets = sets.agg(pl.first("bound"), least=share.min(), most=share.max())
        bound, least = sets["bound"].to_numpy(), sets["least"].to_numpy()
        ax.vlines(bound, least, sets["most"].to_numpy(), color=style(index)["color"], lw=1)
        series[label] = bound, least
    axes = "proved: at least this share of the mass at w*", "measured share of the mass at w*"
    against(ax, series, 1.0, axes, "the proved bound")
    return (
        "For each data set a mark shows the run with the smallest share of mass at w*; the line above it "
        "ends at the largest share. No mark can lie far below the dashed line: every run is at w* at least "
        "as long as proved, up to a term that falls with its length. At zero nothing is proved."
    )
