"""P3: under label noise the iterates leave w* and return, proved for data sets and counted in runs."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import polars as pl

from sterling.base.registry import register
from sterling.claims import proofs
from sterling.claims.claim import PAPER, SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Reference, mean, picture, share
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.words import places, said
from sterling.plot.curves import visits_over_steps
from sterling.study.columns import COUNT, FLAG, REAL, SHARE, Column
from sterling.study.kind import Cell, Kind, Look, Seeds
from sterling.study.train_kind import run_orbit
from sterling.theory import drift

#: Visits must grow faster than T to this power.
GROWTH = 0.5
#: Recurrence must be proved for more than this share of the data sets.
HALF = 0.5
_RUN = ["n", "samples", "trial"]
_MARKS = ["mark_steps", "mark_visits"]
_PROVED = "runs at w* for less than is proved, by more than the term of a finite run", 0.0

#: Evidence: the interval (low, high) of the exponent with which visits grow, whether the exact check held,
#: the number of runs without a visit in their last half, the lower end of the share of data sets with proved
#: recurrence, and the number of runs at w* for less than is proved. Runs are finite and a proof may be
#: missed, so few visits or few proofs contradict nothing.
RULE = Rule(
    (
        consistent(
            "recurrence is proved for more than half of the data sets of the largest n and N certified "
            "(the whole 95 % interval of that share)",
            lambda low, high, exact, stopped, proved, below: proved > HALF,
            "each proof passes its check, no run is at w* for less than is proved, and of the runs that "
            "reach w* just those with an absorbing w* end there",
            lambda low, high, exact, stopped, proved, below: exact and not below,
            "the exponent of visits over the last two decades of T is above "
            f"{GROWTH:g} (the whole 95 % interval)",
            lambda low, high, exact, stopped, proved, below: low > GROWTH,
            "each run that returned does so in the last half of its steps too",
            lambda low, high, exact, stopped, proved, below: not stopped,
        ),
        contradicted(
            "(2) fails",
            lambda low, high, exact, stopped, proved, below: not exact or bool(below),
        ),
    )
)


@dataclass(frozen=True)
class ReturnsBudget:
    """Long runs under label noise on ``instances`` data sets at each place (n, N), and proofs for small n."""

    places: tuple[tuple[int, int], ...]
    steps: int
    instances: int
    proofs: proofs.ProofsBudget
    noise: float = 0.5


def _run(cell: Cell, seeds: Seeds, look: Look) -> Mapping[str, Any]:
    instance = cell.problem.draw(seeds.data)
    assert instance.teacher is not None
    push = instance.teacher * drift(instance)
    orbit = run_orbit(cell, seeds, ("recurrence",), look, instance=instance)
    found = orbit.recurrence()
    return {
        "verdict": orbit.verdict.name,
        "certified": orbit.certified,
        "holds": bool((push <= 0).all()),
        "visits": found.visits,
        "occupancy": found.occupancy,
        "growth": found.growth,
        "mark_steps": found.mark_steps.tolist(),
        "mark_visits": found.mark_visits.tolist(),
    }


KIND = Kind(
    "recurrence",
    _run,
    {
        "verdict": Column("String"),
        "certified": FLAG,
        "holds": FLAG,
        "visits": COUNT,
        "occupancy": SHARE,
        "growth": REAL.maybe(),
        "mark_steps": COUNT.list(),
        "mark_visits": COUNT.list(),
    },
    settings={"schedule": "power:0.5,0.5", "surrogate": "relu", "steps": 1_000_000},
)
register(KIND)


def measure(context: Context, budget: ReturnsBudget) -> Finding:
    """Prove recurrence for small data sets, and count visits to w* in long runs.

    The exponent of the visits in the last two decades of steps is judged, as a mean over data sets. Runs that
    never reached w* have no exponent; a note counts them.
    """
    certificates, bounded = proofs.prove(context, budget.proofs, budget.noise)
    shares = proofs.proved_shares(certificates)
    asked = {"noise": budget.noise, "steps": budget.steps, "trials": budget.instances}
    runs = context.at(budget.places, "recurrence", kind="recurrence", **asked).sort(_RUN)

    free = runs.filter(~pl.col("holds"))
    lasting = free.filter(pl.col("visits") >= 2)
    exponent = mean("exponent of visits to w* over T", lasting["growth"].drop_nulls())
    stopped = stopped_runs(lasting)
    came = runs.filter(pl.col("visits") >= 1)
    holding = bool((came["holds"] == (came["verdict"] == "OPTIMAL")).all())
    exact = holding and bool(certificates["verified"].all())
    visits = lasting["visits"]
    missing = len(free) - len(lasting)
    returned = share(
        "share of the runs that returned to w*, where w* is not absorbing", len(lasting), len(free)
    )
    return CLAIM.found(
        RULE,
        [(*exponent.ends, exact, stopped, shares[0].low, proofs.below(bounded))],
        experiment=(
            f"Certificates of {len(certificates)} data sets with σ = {budget.noise:g}, m = 1, and "
            f"{len(bounded):,} runs of {budget.proofs.steps:,} steps on them. Then {len(runs)} runs of "
            f"{budget.steps:,} steps of 0.5/√(t+1) with the same noise, at "
            + "; ".join(f"n = {n}, N = {samples:,}" for n, samples in budget.places)
            + f" ({budget.instances} data sets each)."
        ),
        reason=(
            f"{proofs.in_words(certificates, bounded)} Visits grow like T^{said(exponent)}; {len(lasting)} "
            f"of {len(free)} runs with a w* that is not absorbing returned, with {visits.min() or 0:,} to "
            f"{visits.max() or 0:,} visits each."
        ),
        measured=(
            *shares,
            exponent,
            returned,
            *(
                mean(f"occupancy of w* at {label}", one["occupancy"])
                for label, one in places(lasting).items()
            ),
        ),
        references=(Reference(*_PROVED, "exact", f"{SCIENCE}, 13"),),
        pictures=(
            picture("Share of the mass at w*: proved and measured", proofs.draw_bounds, bounded),
            picture(
                "Visits to w* grow with the steps",
                visits_over_steps,
                places(runs),
                {"1": 1.0},
                caption="Each line is one run. Along the slope of the triangle, 1, visits come at a constant "
                "pace.",
            ),
        ),
        tables={
            "certificates": certificates,
            "certified-runs": bounded,
            "recurrence-runs": runs.select(pl.exclude(pl.List)),
            "recurrence-visits": runs.select(*_RUN, *_MARKS).explode(_MARKS),
        },
        notes=(
            *proofs.notes(certificates, bounded, budget.proofs),
            "Runs leave w* if and only if some weight has b*_k G_k(w*) > 0; else w* is absorbing (exact). "
            f"It is absorbing for {len(runs) - len(free)} of {len(runs)} data sets, and the runs "
            f"{'agree' if holding else 'do NOT agree'}.",
            "No finite run proves infinitely many visits; steady growth with T is evidence for them. The "
            "exponent tends to 1 as runs get longer, but the first visits come late.",
            f"{missing} of {len(free)} runs did not return to w* within their steps and have no exponent; "
            f"{stopped} made no visit in the last half of their steps after they had returned.",
        ),
    )


def stopped_runs(runs: pl.DataFrame) -> int:
    """Count the runs without a visit in the last half of their steps, from the visits before each mark."""
    stopped = 0
    for steps, visits in runs.select(_MARKS).iter_rows():
        half = bisect_right(steps, steps[-1] / 2) - 1  # the last mark in the first half
        stopped += visits[half] == visits[-1]
    return stopped


CLAIM = Claim(
    "P3",
    "Recurrence under label noise",
    "Under label noise the iterates escape from w* and return to it, again and again.",
    "theorem",
    PAPER,
    measure,
    {
        "quick": ReturnsBudget(
            places=((16, 400), (16, 1600), (32, 6400)),
            steps=1_000_000,
            instances=8,
            proofs=proofs.ProofsBudget(places=((8, 400), (12, 1600)), instances=10, starts=2, steps=100_000),
        ),
        "default": ReturnsBudget(
            places=((16, 400), (16, 1600), (32, 6400), (32, 12_800)),
            steps=10_000_000,
            instances=12,
            proofs=proofs.ProofsBudget(
                places=((8, 400), (12, 1600), (16, 400), (16, 1600)), instances=16, starts=2, steps=300_000
            ),
        ),
    },
)
