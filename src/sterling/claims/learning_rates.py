"""The theorem's conditions on the step sizes: verdicts under schedules that meet them and that do not."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sterling.claims.catalogue import CLAIMS
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Judgement, Picture, Reference
from sterling.claims.statistics import measured, share_interval
from sterling.dynamics.orbit import Verdict
from sterling.plot import VERDICT_COLOURS
from sterling.schedules import parse_schedule
from sterling.study.grid import Study
from sterling.study.likelihood import jeffreys

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

_VERDICTS = tuple(verdict.name for verdict in Verdict)


def judge_rates(meeting: list[tuple[int, int, int]], failing: list[tuple[int, int, int]]) -> Judgement:
    """Judge by (trials, stalled, optimal) of each schedule.

    Consistent: every schedule that fails a term of the theorem stalled at least once, none that meets them
    ever did, and each of these succeeded in more than half of its runs for certain (Jeffreys interval).
    Contradicted: one that meets the terms stalled, or succeeded in less than half for certain. Not decided:
    otherwise.
    """
    ends = [jeffreys(optimal, trials) for trials, _, optimal in meeting]
    if any(stalled for _, stalled, _ in meeting) or any(float(high) < 0.5 for _, high in ends):
        return Judgement.CONTRADICTED
    if all(stalled for _, stalled, _ in failing) and all(float(low) > 0.5 for low, _ in ends):
        return Judgement.CONSISTENT
    return Judgement.NOT_DECIDED


def measure(context: Context) -> Finding:
    """Count the verdicts of runs under each schedule, at an N where success is the rule.

    Rule: `judge_rates`.
    """
    import polars as pl

    claim, plan = CLAIMS["rates"], context.effort.rates
    samples = math.ceil(plan.factor * plan.n * math.log(plan.n))
    texts = [*plan.meeting, *plan.failing]
    stores = [
        context.study(
            f"learning-rates-{name}",
            Study(
                n=plan.n,
                samples=[samples],
                schedule=list(chosen),
                steps=steps,
                trials=plan.trials,
                criteria="optimal",
                seed=context.seed,
                name=f"learning-rates-{name}",
            ),
            plan.limit,
        )
        for name, chosen, steps in (
            ("meeting", plan.meeting, plan.steps),
            ("failing", plan.failing, plan.failing_steps),
        )
    ]
    cells = pl.concat([store.counts("optimal") for store in stores])
    kinds = [parse_schedule(text) for text in cells["schedule"].to_list()]
    rows = {kind: row for kind, row in zip(kinds, cells.iter_rows(named=True), strict=True)}
    counted = {
        text: (row["trials"], row["STALLED"], row["OPTIMAL"])
        for text in texts
        if (row := rows.get(parse_schedule(text))) is not None
    }
    meeting = [counted[text] for text in plan.meeting if text in counted]
    failing = [counted[text] for text in plan.failing if text in counted]
    numbers = []
    for column, words, order in (
        (1, "stalled share", (*plan.failing, *plan.meeting)),
        (2, "absorbed at w*", texts),
    ):
        numbers += [
            measured(
                f"{words} under {describe(text)}",
                share_interval(counted[text][column], counted[text][0]),
                "Jeffreys",
            )
            for text in order
            if text in counted
        ]
    table = _table(texts, rows)
    return claim.found(
        experiment=(
            f"{int(cells['trials'].sum()):,} runs without label noise at n = {plan.n}, N = {samples}, under "
            f"{len(meeting)} schedules that meet the terms ({plan.steps:,} steps at most) and "
            f"{len(failing)} of finite "
            f"sum ({plan.failing_steps:,} steps)."
        ),
        judgement=judge_rates(meeting, failing),
        reason=_reason(plan, counted),
        measured=tuple(numbers),
        references=(
            Reference("stalled share of any schedule of infinite sum", 0.0, "exact", "science.md, 5"),
        ),
        pictures=(
            Picture(
                "rates-verdicts",
                "How runs end under each schedule",
                partial(draw_verdicts, table=table),
                _alt(table),
            ),
        ),
        tables={
            "learning-rates-trials": pl.concat([store.trials() for store in stores]),
            "learning-rates-cells": table,
        },
        notes=(
            "Under a summable schedule a run can also wander: one weight flips for ever around zero "
            "while the mass "
            "that is left is too small to move the others. Such a run counts neither as stalled nor as "
            "absorbed.",
            "A stalled verdict is certified: the mass that is left cannot reach the next flip (exact).",
            "Stalling also depends on the start: the larger the initial latents against the total mass, the "
            "more runs stall.",
        ),
    )


def describe(text: str) -> str:
    """Return a schedule in words."""
    kind, _, values = text.partition(":")
    numbers = values.split(",")
    if kind == "constant":
        return f"η = {numbers[0]}"
    if kind == "power":
        return f"η = {numbers[0]}/(t+1)^{numbers[1]}"
    return f"η = {numbers[0]}, and {numbers[-1]} from step {len(numbers) - 1} on"


def _reason(plan, counted) -> str:
    stalled = "; ".join(
        f"{describe(text)}: {counted[text][1]} of {counted[text][0]}"
        for text in plan.failing
        if text in counted
    )
    fine = sum(counted[text][1] for text in plan.meeting if text in counted)
    runs = sum(counted[text][0] for text in plan.meeting if text in counted)
    optimal = sum(counted[text][2] for text in plan.meeting if text in counted)
    return (
        f"Runs that stalled under summable schedules: {stalled}. Under schedules of infinite sum {fine} "
        f"of {runs} "
        f"stalled and {optimal} were absorbed at w*."
    )


def _table(texts: list[str], rows) -> pl.DataFrame:
    import polars as pl

    out = []
    for text in texts:
        schedule = parse_schedule(text)
        if schedule in rows:
            meets = not schedule.conditions().failed
            counts = {name: rows[schedule][name] for name in _VERDICTS}
            out.append(
                {
                    "schedule": describe(text),
                    "meets_the_terms": meets,
                    "total_mass": schedule.remaining_mass(0),
                    "trials": rows[schedule]["trials"],
                    **counts,
                }
            )
    return pl.DataFrame(out)


def draw_verdicts(ax: Axes, table: pl.DataFrame) -> str:
    """Draw the shares of the verdicts under each schedule."""
    y = np.arange(len(table))
    left = np.zeros(len(table))
    for name in _VERDICTS:
        share = (table[name] / table["trials"]).to_numpy()
        if share.any():
            ax.barh(y, share, 0.7, left, color=VERDICT_COLOURS[name], label=name.lower())
            left = left + share
    ax.set_yticks(y, table["schedule"].to_list())
    ax.invert_yaxis()
    ax.set_xlim(0, 1)
    ax.set_xlabel("share of runs")
    ax.legend(
        frameon=False,
        fontsize=8,
        ncols=5,
        loc="lower center",
        bbox_to_anchor=(0.5, 1.0),
        handlelength=1,
        columnspacing=1,
    )
    summable = (~table["meets_the_terms"]).sum()
    stalled = int(table.filter(table["meets_the_terms"])["STALLED"].sum())
    return (
        f"The lower {summable} schedules have a finite sum; under the others {stalled} "
        f"run{' has' if stalled == 1 else 's have'} stalled."
    )


def _alt(table: pl.DataFrame) -> str:
    parts = []
    for row in table.iter_rows(named=True):
        counts = ", ".join(f"{row[name]} {name.lower()}" for name in _VERDICTS if row[name])
        parts.append(f"{row['schedule']}: {counts}")
    return f"Stacked bars of verdicts. {'; '.join(parts)}."
