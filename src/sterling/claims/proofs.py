"""What certificates prove for data sets, and runs on the same data sets beside: the exact part of P3.

A certificate bounds the share π(∅) of the mass H(T) that a run spends at w* in the long run. For a run of T
steps the balance (docs/science, 13) gives the same bound less a term: with the dual vector λ of the bound,
Σ_k λ_k (|u_k(0)| + max η · max |G|)/H(T). Both are exact, so one run below both would contradict the proof.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from sterling.claims.context import Context
from sterling.claims.finding import Measured, measured
from sterling.plot.curves import style
from sterling.plot.style import GREY, tidy
from sterling.stats import share_interval
from sterling.study.grid import Study

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

#: What a measured share of mass may lie below a bound by: sums of up to a million step sizes are rounded.
ROUNDING = 1e-9
_SET = ["n", "samples", "trial"]
_PLACE = ["n", "samples"]


@dataclass(frozen=True)
class Budget:
    """Certificates of so many data sets at each place (n, N), and runs on each of them.

    Attributes
    ----------
    places : tuple of (n, N)
        Proofs are judged at the largest n, and the largest N there.
    starts : int
        Random ones, besides the one that has every weight wrong.
    schedules : tuple of str
        Bounded and of infinite sum, as the proofs ask.
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


def prove(context: Context, budget: Budget, noise: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return one row a certificate, and one a run with the bound that holds for it."""
    import polars as pl

    def study(kind: str, n: int, samples: int, **settings) -> pl.DataFrame:
        return context.study(
            Study(
                kind=kind,
                n=n,
                samples=[samples],
                noise=noise,
                trials=budget.instances,
                seed=context.seed,
                name=f"proofs-{kind}-{n}-{samples}",
                **settings,
            )
        ).trials()

    starts = list(range(-1, budget.starts))
    certificates = pl.concat([study("certificate", *place) for place in budget.places])
    runs = pl.concat(
        [
            study("starts", *place, start=starts, schedule=list(budget.schedules), steps=budget.steps)
            for place in budget.places
        ]
    )
    return certificates.sort(_SET), with_bounds(runs, certificates).sort(*_SET, "schedule", "start")


def with_bounds(runs: pl.DataFrame, certificates: pl.DataFrame) -> pl.DataFrame:
    """Return runs with ``bound``, the share of mass at w* in the long run, and ``term``, as above."""
    import polars as pl

    proofs = certificates.select(*_SET, "duals", "steepest", bound="by_balance")
    rows = runs.join(proofs, on=_SET)
    term = [
        np.dot(row["duals"], np.abs(row["start_latent"]) + row["largest_step"] * row["steepest"])
        / row["mass"]
        for row in rows.iter_rows(named=True)
    ]
    names = (*_SET, "schedule", "start", "verdict", "mass", "mass_occupancy", "bound")
    return rows.select(*names).with_columns(pl.Series("term", term))


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
        measured(
            f"data sets with recurrence proved at {label}: {int(one['proved'].sum())} of {len(one)}",
            share_interval(int(one["proved"].sum()), len(one)),
            "Jeffreys",
        )
        for label, one in reversed(list(_by_place(certificates)))
    ]


def in_words(certificates: pl.DataFrame, runs: pl.DataFrame) -> str:
    """Say for how many data sets recurrence is proved, and how runs on them stand to the bounds."""
    proved, all_ = int(certificates["proved"].sum()), len(certificates)
    parts = [f"{int(one['proved'].sum())} of {len(one)} at {label}" for label, one in _by_place(certificates)]
    under = below(runs)
    return (
        f"Recurrence is proved for {proved} of {all_} data sets ({'; '.join(parts)}), for every start and "
        f"all bounded step sizes of infinite sum. {under or 'None'} of {len(runs):,} runs on them spent less "
        "of its mass at w* than is proved."
    )


def notes(certificates: pl.DataFrame, runs: pl.DataFrame, budget: Budget) -> list[str]:
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
    import polars as pl

    ax.plot([0, 1], [0, 1], color=GREY, lw=1.2, ls="--", zorder=0, label="the proved bound")
    for rank, (label, one) in enumerate(_by_place(runs)):
        share = pl.col("mass_occupancy")
        sets = one.group_by("trial").agg(
            pl.first("bound"), share.min().alias("least"), share.max().alias("most")
        )
        bound, least, most = (sets[name].to_numpy() for name in ("bound", "least", "most"))
        ax.vlines(bound, least, most, color=style(rank)["color"], lw=1)
        ax.plot(bound, least, ls="", ms=5, mfc="none", label=label, **style(rank))
    ax.set(xlabel="proved: at least this share of the mass at w*", ylabel="measured share of the mass at w*")
    tidy(ax, "lower right", xlim=(-0.03, 1.03), ylim=(-0.03, 1.03))
    return (
        "Each mark is the run of one data set that was least at w*, the line above it reaches to the run "
        "that was most. No mark can lie far below the dashed line: every run is at w* at least as long as "
        "proved, up to a term that falls with its length. At zero nothing is proved."
    )


def _by_place(frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """Give the rows at each n and N, named."""
    for (n, samples), one in sorted(frame.group_by(_PLACE, maintain_order=True), key=lambda pair: pair[0]):
        yield f"n = {n}, N = {samples:,}", one
