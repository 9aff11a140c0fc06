"""Surrogates under noise: each on the same data sets, occupancy and ergodic success beside predictions."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sterling.base.text import number, percent
from sterling.claims.claim import SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Measured, Reference, measured, picture
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.words import listed, said
from sterling.model.problem import Problem
from sterling.plot.curves import dots, intervals, predictions
from sterling.schedules import Power
from sterling.stats import mean_interval
from sterling.study.compare import KIND, NOTE, Comparison, in_order

if TYPE_CHECKING:
    from matplotlib.axes import Axes

HALF = 0.5
#: A measured share this far from the predicted one contradicts it.
TOLERANCE = 0.15
LEVEL = 0.95
_SELF = ("relu", "predicted_samples_ratio")  # one, and no prediction


@dataclass(frozen=True)
class Budget:
    """Surrogates on the same noisy data sets, ``instances`` for each sample size.

    On ``smooth_instances`` of them smooth surrogates are run too; they take every step and so cost most.
    """

    n: int
    samples: tuple[int, ...]
    instances: int
    smooth_instances: int
    steps: int
    noise: float = 0.5
    surrogates: tuple[str, ...] = ("relu", "identity", "clipped_relu", "hard_tanh")
    smooth: tuple[str, ...] = ("sigmoid", "approx_sign", "swish_sign")


def rule(predicted: float) -> Rule:
    """Return the rule for the interval of the share of ReLU's samples that the identity needs."""
    return Rule(
        (
            consistent(
                "the 95 % interval of the share of ReLU's samples that the identity needs holds the "
                f"predicted {number(predicted)} and lies below 1",
                lambda low, high: low <= predicted <= high < 1,
            ),
            contradicted(
                f"it lies at 1 or above, or wholly further than {TOLERANCE:g} from the predicted share",
                lambda low, high: low >= 1 or not _close(low, high, predicted),
            ),
        )
    )


def _close(low: float, high: float, predicted: float) -> bool:
    return not (high < predicted - TOLERANCE or low > predicted + TOLERANCE)


def measure(context: Context, budget: Budget) -> Finding:
    """Compare the surrogates on the same noisy data sets, the smooth ones on the first few of them.

    What is judged is the identity's share of ReLU's samples at the largest sample size.
    """
    many, few = compare(context, budget)
    tables, small = ([one.summary() for one in comparisons] for comparisons in (many, few))
    rows = {row["surrogate"]: row for row in tables[-1].iter_rows(named=True)}
    others = [rows[name] for name in budget.surrogates if name != "relu"]
    smooth = small[-1].filter(pl.col("surrogate").is_in(budget.smooth)).rows(named=True)
    size, bootstrap = f"N = {budget.samples[-1]:,}", "bootstrap over data sets"
    predicted = rows["identity"]["predicted_samples_ratio"]
    ratio = _measured(
        rows["identity"],
        "samples_ratio",
        "share of ReLU's samples that identity needs",
        f"{bootstrap}, from the squared ratio of wrong weights",
    )
    lead = lead_over_identity(many[-1])
    occupied = f"occupancy of w* at {size}"
    paired = f"occupancy less ReLU's, paired, at {size}"
    ergodic = f"ergodic success at N = {budget.samples[0]:,}"
    shown = [
        *((row, "occupancy", occupied, bootstrap) for row in rows.values()),
        *((row, "difference", paired, bootstrap) for row in (*others, *smooth)),
        *((row, "ergodic", ergodic, "Jeffreys") for row in tables[0].iter_rows(named=True)),
    ]
    numbers = [_measured(row, column, f"{name}, {row['surrogate']}", how) for row, column, name, how in shown]
    return CLAIM.found(
        rule(predicted),
        [ratio.ends],
        experiment=(
            f"{budget.instances} data sets with n = {budget.n}, m = 1, σ = {budget.noise:g} for each of N = "
            f"{listed(budget.samples)}; on every one {', '.join(budget.surrogates)} "
            f"from the same start, {budget.steps:,} steps of 0.5/√(t+1), and on the first "
            f"{budget.smooth_instances} of them also {', '.join(budget.smooth) or 'no other'}."
        ),
        reason=(
            f"At {size} the identity does with {said(ratio)} of ReLU's samples; predicted are "
            f"{number(predicted)} at this size and {HALF} to leading order. {best_in_words(tables[-1], lead)}"
        ),
        measured=(ratio, *([lead] if lead else []), *numbers),
        references=(
            Reference(
                "identity's share of ReLU's samples, leading order", HALF, "mean-field", f"{SCIENCE}, 7"
            ),
            *(
                Reference(f"predicted {what}, {row['surrogate']}", row[column], "mean-field", source)
                for row in rows.values()
                for what, column, source in (
                    ("share of ReLU's samples", "predicted_samples_ratio", "sterling.theory.laws"),
                    (f"occupancy at {size}", "predicted_occupancy", "sterling.theory.balance"),
                )
                if row[column] is not None and (row["surrogate"], column) != _SELF
            ),
        ),
        pictures=(
            *(
                picture(f"Occupancy of w* at N = {samples:,}", draw_table, table)
                for samples, table in zip(budget.samples, tables, strict=True)
            ),
            picture(f"Measured against predicted occupancy at {size}, all surrogates", predictions, few[-1]),
        ),
        tables={
            "surrogates-runs": _joined(budget.samples, [one.rows for one in many]),
            "surrogates-summary": _joined(budget.samples, tables),
            "surrogates-smooth-runs": _joined(budget.samples, [one.rows for one in few]),
            "surrogates-smooth-summary": _joined(budget.samples, small),
        },
        notes=(
            NOTE,
            "The share of samples is the squared ratio of mean numbers of wrong weights, which fall as "
            "1/√N; the predicted one holds occupancy at one half for a typical data set of this n.",
        ),
    )


def lead_over_identity(many: Comparison) -> Measured | None:
    """Return the largest mean paired difference of an occupancy to the identity's; None if none is positive.

    The surrogate is chosen by these data, so its interval is one of all candidates' that hold together
    (Bonferroni): where none is better than the identity, a lead is found in 2.5 % of the cases at most.
    """
    names = [name for name in many.surrogates if name != "identity"]
    occupancy = {
        name: many.rows.filter(many.rows["surrogate"] == name).sort("trial")["occupancy"].to_numpy()
        for name in many.surrogates
    }
    leads = {name: occupancy[name] - occupancy["identity"] for name in names}
    best = max(leads, key=lambda name: float(leads[name].mean()))
    if leads[best].mean() <= 0:
        return None
    level = 1 - (1 - LEVEL) / len(names)
    return measured(
        f"occupancy less the identity's, paired, at N = {many.problem.samples:,}, {best}",
        mean_interval(leads[best], level),
        f"t over data sets, {percent(LEVEL)} for the leads of all {len(names)} together (Bonferroni)",
    )


def best_in_words(table: pl.DataFrame, lead: Measured | None) -> str:
    """Say with which surrogate the mean occupancy is largest, and by how much it leads the identity's."""
    rows = {row["surrogate"]: row for row in table.iter_rows(named=True)}
    best = max(rows.values(), key=lambda row: row["occupancy"])
    text = (
        f"Of {', '.join(rows)}, the mean occupancy of w* is largest with {best['surrogate']}: "
        f"{percent(best['occupancy'])}, against {percent(rows['relu']['occupancy'])} with ReLU"
    )
    if lead is None:
        return f"{text}."
    told = "is" if lead.low > 0 else "is not told from none:"
    return f"{text}; on the same data sets its lead over the identity {told} {said(lead)}."


def compare(context: Context, budget: Budget) -> tuple[list[Comparison], list[Comparison]]:
    """Return for each sample size the comparison on all data sets, and one of all surrogates on the first."""

    def rows(name: str, surrogates: tuple[str, ...], trials: int) -> pl.DataFrame:
        return context.trials(
            name,
            kind=KIND.name,
            n=budget.n,
            samples=budget.samples,
            noise=budget.noise,
            surrogate=surrogates,
            steps=budget.steps,
            trials=trials,
        )

    def at(samples: int, found: pl.DataFrame, names: tuple[str, ...]) -> Comparison:
        problem = Problem(n=budget.n, samples=samples, noise=budget.noise)
        mine = in_order(found.filter(samples=samples), names).drop("seconds")
        return Comparison(mine, problem, Power(0.5, 0.5), budget.steps, context.seed)

    whole = rows("surrogates", budget.surrogates, budget.instances)
    first = whole.filter(whole["trial"] < budget.smooth_instances)
    if budget.smooth:
        smooth = rows("surrogates-smooth", budget.smooth, budget.smooth_instances)
        first = pl.concat([first, smooth.select(first.columns)])
    names = (*budget.surrogates, *budget.smooth)
    return (
        [at(samples, whole, budget.surrogates) for samples in budget.samples],
        [at(samples, first, names) for samples in budget.samples],
    )


def _joined(samples: tuple[int, ...], tables: list[pl.DataFrame]) -> pl.DataFrame:
    named = [table.with_columns(samples=pl.lit(size)) for size, table in zip(samples, tables, strict=True)]
    return pl.concat(named, how="vertical_relaxed")


def _measured(row: dict, column: str, name: str, how: str) -> Measured:
    """Return a number of a summary with its interval."""
    values = (row[f"{column}{end}"] for end in ("", "_low", "_high"))
    return measured(name, (math.nan if value is None else value for value in values), how)


def draw_table(ax: Axes, table: pl.DataFrame) -> str:
    """Draw the occupancy of each surrogate beside its prediction."""
    table = table.sort("occupancy", descending=True)
    predicted = np.full((len(table), 3), np.nan)
    predicted[:, 0] = table["predicted_occupancy"].cast(float).to_numpy()
    groups = {"measured": intervals(table, "occupancy"), "predicted (mean-field)": predicted}
    dots(ax, table["surrogate"].to_list(), groups, "occupancy of w*")
    ax.set_xlim(-0.03, 1.03)
    return "Share of the steps at w*, mean over the same data sets; bars are 95 % bootstrap intervals."


CLAIM = Claim(
    "surrogates",
    "Which surrogate needs fewer samples under noise",
    "With a known readout the identity should be at w* as often as ReLU is, with about half of its samples.",
    "mean-field",
    f"sterling.theory.balance; {SCIENCE}, 7",
    measure,
    {
        "quick": Budget(n=16, samples=(1000,), instances=24, smooth_instances=3, steps=8_000),
        "default": Budget(n=32, samples=(1600, 6400), instances=80, smooth_instances=10, steps=20_000),
        "full": Budget(
            n=64, samples=(6400, 12_800, 25_600), instances=200, smooth_instances=24, steps=200_000
        ),
    },
)
