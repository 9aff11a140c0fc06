"""What certificates prove for data sets, and runs on the same data sets beside: the exact part of P3.

A certificate bounds the share π(∅) of the mass H(T) that a run spends at w* in the long run. For a run of T
steps the balance (docs/science, 13) gives the same bound less a term: with the dual vector λ of the bound,
Σ_k λ_k (|u_k(0)| + max η · max |G|)/H(T). Both are exact, so one run below both would contradict the proof.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from sterling.claims.context import Context
from sterling.claims.finding import Measured, share
from sterling.claims.words import places
from sterling.plot.curves import against, style
from sterling.study.starts_kind import OPPOSITE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: What a measured share of mass may lie below a bound by: sums of up to a million step sizes are rounded.
ROUNDING = 1e-9
_SET = ["n", "samples", "trial"]


@dataclass(frozen=True)
class ProofsBudget:
    """Certificates of so many data sets at each place (n, N), and runs on each of them.

    Proofs are judged at the last place, of the largest n. Runs have so many random ``starts``, besides the
    one that has every weight wrong, and schedules that are bounded and of infinite sum, as the proofs ask.
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
    """Return one row a certificate, and one a run with the bound that holds for it."""

    def rows(kind: str, **settings) -> pl.DataFrame:
        asked = {"noise": noise, "trials": budget.instances, **settings}
        return context.at(budget.places, f"proofs-{kind}", kind=kind, **asked)

    certificates = rows("certificate")
    starts = list(range(OPPOSITE, budget.starts))
    runs = rows("starts", start=starts, schedule=budget.schedules, steps=budget.steps)
    return certificates.sort(_SET), with_bounds(runs, certificates).sort(*_SET, "schedule", "start")


def with_bounds(runs: pl.DataFrame, certificates: pl.DataFrame) -> pl.DataFrame:
    """Return runs with ``bound``, the share of mass at w* in the long run, and ``term``, as above."""
    rows = runs.join(certificates.select(*_SET, "duals", "steepest", bound="by_balance"), on=_SET)
    term = pl.Series("term", [_term(row) for row in rows.iter_rows(named=True)])
    names = (*_SET, "schedule", "start", "verdict", "mass", "mass_occupancy", "bound")
    return rows.select(*names).with_columns(term)


def _term(row: dict[str, Any]) -> float:
    """Return what a run may lie below its bound by, for it is finite."""
    slack = np.abs(row["start_latent"]) + row["largest_step"] * row["steepest"]
    return float(np.dot(row["duals"], slack)) / row["mass"]


def below(runs: pl.DataFrame) -> int:
    """Return how many runs spent less mass at w* than is proved of them."""
    least = runs["bound"] - runs["term"] - ROUNDING
    return int((runs["mass_occupancy"] < least).sum())


def proved_shares(certificates: pl.DataFrame) -> list[Measured]:
    """Return the share of data sets with proved recurrence at each place, the last one first."""
    return [
        share(f"data sets with recurrence proved at {label}: {proved} of {count}", proved, count)
        for label, proved, count in reversed(_proved(certificates))
    ]


def _proved(certificates: pl.DataFrame) -> list[tuple[str, int, int]]:
    """Return each place, for how many data sets recurrence is proved there, and how many there are."""
    return [(label, int(one["proved"].sum()), len(one)) for label, one in places(certificates).items()]


def in_words(certificates: pl.DataFrame, runs: pl.DataFrame) -> str:
    """Say for how many data sets recurrence is proved, and how runs on them stand to the bounds."""
    parts = [f"{proved} of {count} at {label}" for label, proved, count in _proved(certificates)]
    return (
        f"Recurrence is proved for {int(certificates['proved'].sum())} of {len(certificates)} data sets "
        f"({'; '.join(parts)}), for every start and all bounded step sizes of infinite sum. "
        f"{below(runs) or 'None'} of {len(runs):,} runs on them spent less of its mass at w* than is proved."
    )


def notes(certificates: pl.DataFrame, runs: pl.DataFrame, budget: ProofsBudget) -> list[str]:
    """Return what a reader must know of the proofs."""
    verified, tested = int(certificates["verified"].sum()), int((runs["bound"] > runs["term"]).sum())
    return [
        "The mass of a run is the sum of its step sizes; its share at w* is the sum over the steps at w*, "
        "divided by the whole. With constant steps it is the share of the steps.",
        "A certificate is a vector that proves a lower bound of that share in the long run, by the balance "
        f"of pushes on each weight (exact); {verified} of {len(certificates)} were confirmed by a second "
        "program that goes through all states by the definition of the gradient. No certificate means that "
        "this way of proof fails, not that the run does not recur.",
        "A run of finite length may stay below the bound by a term that is known too and falls like one over "
        f"its mass; for {tested:,} of {len(runs):,} runs bound less term is above zero, so they test it. "
        f"Each data set has {budget.starts} random starts and one with every weight wrong, under "
        f"{len(budget.schedules)} schedules.",
    ]


def draw_bounds(ax: Axes, runs: pl.DataFrame) -> str:
    """Draw the shares of mass of the runs of each data set, from least to most, against its bound."""
    share, series = pl.col("mass_occupancy"), {}
    for place, (label, one) in enumerate(places(runs).items()):
        sets = one.group_by("trial", maintain_order=True).agg(
            pl.first("bound"), least=share.min(), most=share.max()
        )
        bound, least, most = (sets[name].to_numpy() for name in ("bound", "least", "most"))
        ax.vlines(bound, least, most, color=style(place)["color"], lw=1)
        series[label] = bound, least
    axes = "proved: at least this share of the mass at w*", "measured share of the mass at w*"
    against(ax, series, 1.0, axes, "the proved bound")
    return (
        "Each mark is the run of one data set that was least at w*, the line above it reaches to the run "
        "that was most. No mark can lie far below the dashed line: every run is at w* at least as long as "
        "proved, up to a term that falls with its length. At zero nothing is proved."
    )
