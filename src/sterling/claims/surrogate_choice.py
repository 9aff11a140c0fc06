"""Surrogates under noise: each on the same data sets, occupancy and ergodic success beside predictions."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sterling.base.text import number, percent
from sterling.claims.catalogue import CLAIMS
from sterling.claims.context import Context, Parameters, cell_seed
from sterling.claims.finding import Finding, Judgement, Measured, Picture, Reference
from sterling.claims.statistics import measured, t_interval
from sterling.claims.words import said
from sterling.model.problem import Problem
from sterling.plot.curves import dots
from sterling.schedules import Power
from sterling.study.compare import NOTE, Comparison, compare_surrogates

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

HALF = 0.5
#: A measured share this far from the predicted one contradicts it.
TOLERANCE = 0.15


def judge_ratio(low: float, high: float, predicted: float) -> Judgement:
    """Judge the interval of the share of ReLU's samples that the identity needs, against the predicted share.

    Consistent: it holds the prediction and lies below 1. Contradicted: it lies above 1, or further than
    `TOLERANCE` from the prediction. Not decided: otherwise.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return Judgement.NOT_DECIDED
    if low >= 1 or high < predicted - TOLERANCE or low > predicted + TOLERANCE:
        return Judgement.CONTRADICTED
    return Judgement.CONSISTENT if low <= predicted <= high < 1 else Judgement.NOT_DECIDED


def ratio_rule(predicted: float) -> str:
    """Say `judge_ratio` in words."""
    return (
        "Consistent where the 95 % interval of the share of ReLU's samples that the identity needs holds the "
        f"predicted {number(predicted)} and lies below 1; contradicted where it lies at 1 or above, or "
        f"wholly further than {TOLERANCE:g} from the predicted share; not decided otherwise."
    )


def measure(context: Context) -> Finding:
    """Compare the surrogates on the same noisy data sets, the smooth ones on the first few of them.

    Rule: `judge_ratio` on the identity's share of ReLU's samples at the largest sample size.
    """
    claim, plan = CLAIMS["surrogates"], context.effort.surrogates
    many = [compare(context, samples, smooth=False) for samples in plan.samples]
    few = [compare(context, samples, smooth=True) for samples in plan.samples]
    tables, small = [one.summary() for one in many], [one.summary() for one in few]
    last = tables[-1]
    ratio = _ratio(last, "identity")
    rows = {row["surrogate"]: row for row in last.iter_rows(named=True)}
    predicted = rows["identity"]["predicted_samples_ratio"]
    smooth = [row for row in small[-1].iter_rows(named=True) if row["surrogate"] in plan.smooth]
    size = plan.samples[-1]
    lead = lead_over_identity(many[-1], last)
    return claim.found(
        experiment=(
            f"{plan.instances} data sets with n = {plan.n}, m = 1, σ = {plan.noise:g} for each of N = "
            f"{', '.join(f'{one:,}' for one in plan.samples)}; on every one {', '.join(plan.surrogates)} "
            f"from the same start, {plan.steps:,} steps of 0.5/√(t+1), and on the first "
            f"{plan.smooth_instances} of them also {', '.join(plan.smooth) or 'no other'}."
        ),
        judgement=judge_ratio(ratio.low, ratio.high, predicted),
        reason=(
            f"At N = {size:,} the identity does with {said(ratio)} of ReLU's samples; predicted are "
            f"{number(predicted)} at this size and {HALF} to leading order. {best_in_words(last, lead)}"
        ),
        rule=ratio_rule(predicted),
        measured=(
            ratio,
            *(
                _cell(row, "occupancy", f"occupancy of w* at N = {size:,}", "bootstrap over data sets")
                for row in rows.values()
            ),
            *(
                _cell(
                    row,
                    "difference",
                    f"occupancy less ReLU's, paired, at N = {size:,}",
                    "bootstrap over data sets",
                )
                for row in (*rows.values(), *smooth)
                if row["surrogate"] != "relu"
            ),
            *([] if lead is None else [lead]),
            *(
                _cell(row, "ergodic", f"ergodic success at N = {plan.samples[0]:,}", "Jeffreys")
                for row in tables[0].iter_rows(named=True)
            ),
        ),
        references=(
            Reference(
                "identity's share of ReLU's samples, leading order", HALF, "mean-field", "science.md, 7"
            ),
            *(
                Reference(f"{words}, {row['surrogate']}", row[column], "mean-field", source)
                for column, words, source in (
                    ("predicted_samples_ratio", "predicted share of ReLU's samples", "sterling.theory.laws"),
                    (
                        "predicted_occupancy",
                        f"predicted occupancy at N = {size:,}",
                        "sterling.theory.balance",
                    ),
                )
                for row in rows.values()
                if row[column] is not None
                and not (column == "predicted_samples_ratio" and row["surrogate"] == "relu")
            ),
        ),
        pictures=(
            *(
                Picture(
                    f"surrogates-occupancy-{samples}",
                    f"Occupancy of w* at N = {samples:,}",
                    partial(draw_table, table=table),
                )
                for samples, table in zip(plan.samples, tables, strict=True)
            ),
            Picture(
                "surrogates-predicted",
                f"Measured against predicted occupancy at N = {size:,}, all surrogates",
                few[-1].draw,
            ),
        ),
        tables={
            "surrogates-runs": _joined(plan.samples, [one.rows for one in many]),
            "surrogates-summary": _joined(plan.samples, tables),
            "surrogates-smooth-runs": _joined(plan.samples, [one.rows for one in few]),
            "surrogates-smooth-summary": _joined(plan.samples, small),
        },
        notes=(
            NOTE,
            "The share of samples is the squared ratio of mean numbers of wrong weights, which fall as "
            "1/√N; the predicted one holds occupancy at one half for a typical data set of this n.",
        ),
    )


def lead_over_identity(many: Comparison, table: pl.DataFrame) -> Measured | None:
    """Return the paired difference of the largest mean occupancy to the identity's; None where it is that."""
    best = table.sort("occupancy", descending=True)["surrogate"][0]
    if best == "identity":
        return None
    mine, other = (
        many.rows.filter(many.rows["surrogate"] == name).sort("trial")["occupancy"].to_numpy()
        for name in (best, "identity")
    )
    return measured(
        f"occupancy less the identity's, paired, at N = {many.problem.samples:,}, {best}",
        t_interval(mine - other),
        "t over data sets",
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


def compare(context: Context, samples: int, smooth: bool) -> Comparison:
    """Return the comparison at one sample size, its data sets computed or read one by one.

    With ``smooth`` it has all surrogates and the first data sets only.
    """
    import polars as pl

    plan = context.effort.surrogates
    problem = Problem(n=plan.n, samples=samples, noise=plan.noise)
    sets = [
        {"n": plan.n, "samples": samples, "noise": plan.noise, "steps": plan.steps, "trial": number}
        for number in range(plan.smooth_instances if smooth else plan.instances)
    ]

    def rows(names: tuple[str, ...]) -> pl.DataFrame:
        cells = [{**one, "surrogates": list(names)} for one in sets]
        found = context.rows("surrogates", cells, partial(_one_set, context.seed, problem))
        return found.drop("n", "samples", "noise", "steps")

    groups = (plan.surrogates, plan.smooth) if smooth and plan.smooth else (plan.surrogates,)
    return Comparison(
        pl.concat([rows(names) for names in groups], how="vertical_relaxed"),
        problem,
        Power(0.5, 0.5),
        plan.steps,
        context.seed,
    )


def _one_set(root: int, problem: Problem, cell: Parameters, _seed: int) -> list[dict]:
    """Return the rows of one data set, whose seed does not depend on the surrogates asked for."""
    names = cell["surrogates"]
    seed = cell_seed(root, {key: value for key, value in cell.items() if key != "surrogates"})
    found = compare_surrogates(problem, trials=1, surrogates=names, steps=cell["steps"], seed=seed, threads=1)
    return found.rows.drop("trial").to_dicts()


def _joined(samples: tuple[int, ...], tables: list[pl.DataFrame]) -> pl.DataFrame:
    import polars as pl

    return pl.concat(
        [
            table.with_columns(pl.lit(size).alias("samples"))
            for size, table in zip(samples, tables, strict=True)
        ],
        how="vertical_relaxed",
    )


def _cell(row: dict, column: str, words: str, how: str) -> Measured:
    values = (row[f"{column}{end}"] for end in ("", "_low", "_high"))
    return measured(f"{words}, {row['surrogate']}", values, how)


def _ratio(table: pl.DataFrame, name: str) -> Measured:
    row = table.filter(table["surrogate"] == name).row(0, named=True)
    values = [row[f"samples_ratio{end}"] for end in ("", "_low", "_high")]
    return measured(
        f"share of ReLU's samples that {name} needs",
        (math.nan if value is None else value for value in values),
        "bootstrap over data sets, from the squared ratio of wrong weights",
    )


def _columns(table: pl.DataFrame) -> tuple[list[str], dict[str, np.ndarray]]:
    table = table.sort("occupancy", descending=True)
    predicted = table["predicted_occupancy"].cast(float).to_numpy()
    blank = np.full(len(table), np.nan)
    return table["surrogate"].to_list(), {
        "measured": table.select("occupancy", "occupancy_low", "occupancy_high").to_numpy(),
        "predicted (mean-field)": np.column_stack([predicted, blank, blank]),
    }


def draw_table(ax: Axes, table: pl.DataFrame) -> str:
    """Draw the occupancy of each surrogate beside its prediction."""
    dots(ax, *_columns(table), "occupancy of w*")
    ax.set_xlim(-0.03, 1.03)
    return "Share of the steps at w*, mean over the same data sets; bars are 95 % bootstrap intervals."
