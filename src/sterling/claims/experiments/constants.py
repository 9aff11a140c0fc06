"""The bound p ≤ ε/S on the share of the mass in which a weight is wrong, and its constants of n² and n⁴."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from sterling.base.text import number
from sterling.claims.claim import PAPER, SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.experiments.concentration import decay
from sterling.claims.finding import Finding, Measured, Reference, measured, picture
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.starts import OPPOSITE
from sterling.claims.words import listed, said
from sterling.plot.curves import over_dimensions
from sterling.stats import mean_interval

#: If C grows more slowly than n to this power, samples of the orders n² and n⁴ suffice.
GROWTH = 0.1
#: Tolerance of a bound: linear programs are solved to 10⁻⁷.
ROUNDING = 1e-6
_PULL = {"relu": 1.0, "identity": 2.0}  # S in units of 1/√(2πn)
_SET = ["n", "samples", "trial"]

#: Evidence: the interval (low, high) of the exponent of C, and the number of data sets that break the bound.
RULE = Rule(
    (
        consistent(
            "no certificate and no run breaks the bound",
            lambda low, high, broken: not broken,
            "for each surrogate and noise the 95 % interval of the exponent γ of C ∝ n^γ ends below "
            f"{GROWTH:g}",
            lambda low, high, broken: high < GROWTH,
        ),
        contradicted("a certificate or a run breaks the bound", lambda low, high, broken: bool(broken)),
    ),
    "A growing C would contradict no proof; the bound would then need more samples than n² and n⁴.",
)


@dataclass(frozen=True)
class ConstantsBudget:
    """Landscapes over n for C; certificates and runs at some places for the bound.

    ``instances`` has the number of data sets for each n where C is measured, at ``factor``·n samples.
    Certificates and runs with label noise, on ``checked`` data sets at each place (n, N), test the bound.
    """

    instances: Mapping[int, int]
    places: tuple[tuple[int, int], ...]
    checked: int
    steps: int
    factor: int = 100
    noises: tuple[float, ...] = (0.0, 0.5)
    surrogates: tuple[str, ...] = ("relu", "identity")


def measure(context: Context, budget: ConstantsBudget) -> Finding:
    """Measure C = ε·√(N/n) and its exponent in n, and test p ≤ ε/S with certificates and runs."""
    asked = {"kind": "landscape", "noise": budget.noises, "surrogate": budget.surrogates}
    raw = pl.concat(
        context.trials(f"constants-{n}", n=n, samples=budget.factor * n, trials=instances, **asked)
        for n, instances in budget.instances.items()
    )
    table = raw.with_columns(constant=pl.col("deviation") * (pl.col("samples") / pl.col("n")).sqrt())
    known = series(table)
    slopes = [growth(label, rows) for label, rows in known.items()]
    largest = [one for label, rows in known.items() for one in at_largest(label, rows)]
    checked = check(context, budget)
    broken = broken_bounds(checked)
    main = slopes[0]
    power = main.value
    return CLAIM.found(
        RULE,
        [(*one.ends, broken) for one in slopes],
        experiment=(
            f"ε, the largest distance of the gradient from its mean over all 2ⁿ states and all weights, on "
            f"{len(table):,} data sets: n = {listed(budget.instances)}, N = {budget.factor} n, m = 1, σ = "
            f"{listed(budget.noises)}, {' and '.join(budget.surrogates)}. Then certificates of "
            f"{len(checked)} data sets with σ = {max(budget.noises):g} and runs of {budget.steps:,} steps on "
            f"them, at {'; '.join(f'n = {n}, N = {size:,}' for n, size in budget.places)}."
        ),
        reason=(
            f"With ε = C·√(n/N), C changes like n^{said(main)} ({main.name.partition(', ')[2]}). By this "
            f"bound, samples of the order n^{2 + 2 * power:.2f} suffice for the time average, and of the "
            f"order n^{4 + 2 * power:.2f} for visits. With the C of n = {max(budget.instances)}, ReLU, no "
            f"noise, these are {number(largest[1].value, 1)} n² and {number(largest[2].value, 1)} n⁴ "
            f"samples. {broken or 'None'} of {len(checked)} data sets broke the bound p ≤ ε/S."
        ),
        measured=(*slopes, *largest),
        references=(
            Reference("data sets or runs that break p ≤ ε/S", 0.0, "exact", f"{SCIENCE}, 13"),
            Reference("exponent for the time average: proved to suffice", 2.0, "theorem", PAPER),
            Reference("exponent for visits: proved to suffice", 4.0, "theorem", PAPER),
        ),
        pictures=(
            picture(
                "C = ε·√(N/n) over n",
                over_dimensions,
                {
                    label: [(n, *mean_interval(rows.filter(n=n)["constant"])) for n in budget.instances]
                    for label, rows in known.items()
                },
                {},
                "C = ε·√(N/n)",
                ylim=(0, None),
                caption="Means over data sets. Where they stay level, ε, the largest distance of the "
                "gradient from its mean, is proportional to √(n/N); then n² and n⁴ are the orders.",
            ),
        ),
        tables={"constants-landscapes": table, "constants-checked": checked},
        notes=(
            f"The proof of the bound, and of the two sample sizes that follow from it: {SCIENCE}, 13.",
            "Runs need far fewer samples (P1, P2): ε is the worst of all 2ⁿ states, and runs visit few of "
            "them. C is measured at one N for each n.",
        ),
    )


def series(table: pl.DataFrame) -> dict[str, pl.DataFrame]:
    """Return the rows of each surrogate and noise by label, ReLU without noise first."""
    groups: Any = table.group_by("surrogate", "noise", maintain_order=True)
    ordered = sorted(groups, key=lambda group: (group[0][0] != "relu", group[0]))
    return {f"{surrogate}, σ = {noise:g}": rows for (surrogate, noise), rows in ordered}


def growth(label: str, rows: pl.DataFrame) -> Measured:
    """Return the exponent of C in n."""
    n, constant = rows["n"].to_numpy(), rows["constant"].to_numpy()
    slope = decay(np.ones_like(n), n, constant)
    return measured(f"exponent γ of C ∝ n^γ, {label}", slope, "least squares, t")


def at_largest(label: str, rows: pl.DataFrame) -> list[Measured]:
    """Return the mean C at the largest n, and the constants 8πC² of n² and 2πC² of n⁴ that follow."""
    n = max(rows["n"])
    label, how = f"{label}, n = {n}", "t over data sets"
    constant = mean_interval(rows.filter(n=n)["constant"])
    squares = [one * one / _PULL[rows["surrogate"][0]] ** 2 for one in constant]
    average = [8 * math.pi * one for one in squares]
    visits = [2 * math.pi * one for one in squares]
    return [
        measured(f"C, {label}", constant, how),
        measured(f"c of c·n² samples that suffice for the time average, {label}", average, how),
        measured(f"c of c·n⁴ samples that suffice for visits again and again, {label}", visits, how),
    ]


def check(context: Context, budget: ConstantsBudget) -> pl.DataFrame:
    """Return for each data set ε/S and the certified largest wrong share.

    ``excess`` is the largest amount by which a weight exceeds the bound of a finite run,
    (ε + (|u(0)| + max η·(S + ε))/H(T))/S.
    """
    asked: dict[str, Any] = {"noise": max(budget.noises), "trials": budget.checked}
    states = context.at(budget.places, "constants-landscape", kind="landscape", **asked)
    proofs = context.at(budget.places, "constants-certificate", kind="certificate", **asked)
    asked |= {"start": [OPPOSITE, 0], "steps": budget.steps}
    runs = context.at(budget.places, "constants-starts", kind="starts", **asked)
    runs = runs.select(*_SET, "mass_wrong", "start_latent", "mass", "largest_step")
    runs = runs.join(states.select(*_SET, "deviation", "pull"), on=_SET)
    runs = runs.join(proofs.select(*_SET, "occupancy", certified="wrong_share"), on=_SET)
    excess = []
    for row in runs.iter_rows(named=True):
        pull, deviation = row["pull"], row["deviation"]
        start = np.abs(row["start_latent"]) + row["largest_step"] * (pull + deviation)
        excess.append((np.array(row["mass_wrong"]) - (deviation + start / row["mass"]) / pull).max())
    return (
        runs.with_columns(
            pl.Series("excess", excess),
            bound=pl.col("deviation") / pl.col("pull"),
        )
        .group_by(_SET)
        .agg(pl.first("bound", "certified", "occupancy"), pl.max("excess"))
        .sort(_SET)
    )


def broken_bounds(checked: pl.DataFrame) -> int:
    """Count the data sets whose certificate, or a run on them, breaks the bound."""
    least = 1 - checked["n"] * checked["bound"]
    broken = (
        (checked["certified"] > checked["bound"].clip(upper_bound=1.0) + ROUNDING)
        | (checked["occupancy"] < least - ROUNDING)
        | (checked["excess"] > ROUNDING)
    )
    return int(broken.sum())


CLAIM = Claim(
    "constants",
    "What makes n² and n⁴, with constants",
    "If the gradient is nowhere farther than ε from its mean, each weight is wrong for at most ε/S of the "
    "mass, where S is the mean pull on a wrong weight. If ε = C·√(n/N), then 8πC²·n² samples make the time "
    "average right, and with 2πC²·n⁴ samples the iterates return to w* again and again. Both hold with label "
    "noise too (ReLU; the identity needs a quarter).",
    "exact",
    f"{SCIENCE}, 13, given ε; that C is a constant is measured",
    measure,
    {
        "quick": ConstantsBudget(
            {6: 24, 8: 24, 10: 24, 12: 12}, ((6, 1600), (8, 6400)), checked=6, steps=100_000
        ),
        "default": ConstantsBudget(
            {6: 64, 8: 64, 10: 64, 12: 64, 14: 48, 16: 24},
            ((6, 600), (6, 6400), (8, 1600), (10, 1600), (10, 25_600)),
            checked=12,
            steps=300_000,
        ),
    },
)
