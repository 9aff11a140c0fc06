"""The theorem's conditions on the step sizes: verdicts under schedules that meet them and that do not."""

from __future__ import annotations

import math
from collections.abc import Iterable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sterling.base.text import in_figure, percent
from sterling.claims.catalogue import CLAIMS
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Judgement, Picture, Reference
from sterling.claims.statistics import measured, share_interval
from sterling.claims.words import schedule_words
from sterling.dynamics.orbit import Verdict
from sterling.plot.style import VERDICT_COLOURS
from sterling.schedules import parse_schedule
from sterling.stats import jeffreys
from sterling.study.grid import Study

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

#: Of infinite sum and slowly decaying, as the theorems ask, but growing without end.
UNBOUNDED = ("power:0.5,-0.5", "power:0.5,-1")
#: A schedule brings runs to w* where the interval of their share lies above this.
HALF = 0.5
_VERDICTS = tuple(verdict.name for verdict in Verdict)


def judge_rates(meeting: list[tuple[int, int, int]], failing: list[tuple[int, int, int]]) -> Judgement:
    """Judge by (trials, stalled, optimal) of each schedule.

    Consistent: every schedule that fails a term of the theorem stalled at least once, none that meets them
    ever did, and each of these succeeded in more than half of its runs for certain (Jeffreys interval).
    Contradicted: one that meets the terms stalled, or succeeded in less than half for certain. Not decided:
    otherwise.
    """
    ends = [jeffreys(optimal, trials) for trials, _, optimal in meeting]
    if any(stalled for _, stalled, _ in meeting) or any(float(high) < HALF for _, high in ends):
        return Judgement.CONTRADICTED
    if all(stalled for _, stalled, _ in failing) and all(float(low) > HALF for low, _ in ends):
        return Judgement.CONSISTENT
    return Judgement.NOT_DECIDED


def rates_rule() -> str:
    """Say `judge_rates` in words, and which parts of it need no experiment."""
    return (
        f"Consistent where under each schedule that meets the terms more than {percent(HALF)} of the runs "
        "are absorbed at w* (the whole 95 % interval of their share) and none stalls, and under each "
        "schedule of finite sum a run stalls; contradicted where one that meets the terms stalls a run or "
        f"brings less than {percent(HALF)} to w*; not decided otherwise. Unbounded schedules are shown "
        "beside and decide nothing."
    )


def measure(context: Context) -> Finding:
    """Count the verdicts of runs under each schedule, at an N where success is the rule.

    Rule: `judge_rates`, on the schedules of the plan; those of `UNBOUNDED` are shown beside.
    """
    import polars as pl

    claim, plan = CLAIMS["rates"], context.effort.rates
    samples = math.ceil(plan.factor * plan.n * math.log(plan.n))
    texts = [*plan.meeting, *UNBOUNDED, *plan.failing]
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
            ("unbounded", UNBOUNDED, plan.steps),
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
        (1, "stalled share", (*plan.failing, *plan.meeting, *UNBOUNDED)),
        (2, "absorbed at w*", texts),
    ):
        numbers += [
            measured(
                f"{words} under {_formula(text)}",
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
            f"{len(meeting)} schedules that meet the terms and {len(UNBOUNDED)} that grow without end "
            f"({plan.steps:,} steps at most), and {len(failing)} of finite sum ({plan.failing_steps:,} "
            f"steps)."
        ),
        judgement=judge_rates(meeting, failing),
        reason=_reason(plan, counted),
        rule=rates_rule(),
        measured=tuple(numbers),
        references=(
            Reference("stalled share of any schedule of infinite sum", 0.0, "exact", "science.md, 5"),
        ),
        pictures=(
            Picture(
                "rates-verdicts",
                "How runs end under each schedule",
                partial(draw_verdicts, table=table),
            ),
        ),
        tables={
            "learning-rates-trials": pl.concat([store.trials() for store in stores]),
            "learning-rates-cells": table,
        },
        notes=(
            "By proof, so that the experiment only checks the program (exact): no run stalls under an "
            "infinite sum, bounded or not, since every state that does not absorb is left after a finite "
            "mass; and a table that ends in zero stops every run that is not absorbed by then.",
            "Measured: how many runs reach w* under each schedule, and how many stall under power laws of "
            "finite sum. The theorems ask for bounded steps; they do not say that unbounded ones fail.",
            "Slow decay is not tested by itself: all power laws decay slowly, and a table that does not has "
            "a finite sum as well.",
            "Under a summable schedule a run can also wander: one weight flips for ever around zero while "
            "the mass that is left is too small to move the others. Such a run counts neither as stalled nor "
            "as absorbed.",
            "A stalled verdict is certified: the mass that is left cannot reach the next flip (exact).",
            "Stalling also depends on the start: the larger the initial latents against the total mass, the "
            "more runs stall.",
        ),
    )


def _formula(text: str) -> str:
    return schedule_words(parse_schedule(text))


def _reason(plan, counted) -> str:
    stalled = "; ".join(
        f"{_formula(text)}: {counted[text][1]} of {counted[text][0]}"
        for text in plan.failing
        if text in counted
    )
    runs, fine, optimal = _sums(plan.meeting, counted)
    more, _, reached = _sums(UNBOUNDED, counted)
    return (
        f"Runs that stalled under summable schedules: {stalled}. Under schedules that meet the terms {fine} "
        f"of {runs} stalled and {optimal} were absorbed at w*; under unbounded ones {reached} of {more} were."
    )


def _sums(texts: Iterable[str], counted: dict[str, tuple[int, int, int]]) -> tuple[int, ...]:
    """Return trials, stalled and optimal runs of several schedules together."""
    rows = [counted[text] for text in texts if text in counted]
    return tuple(sum(column) for column in zip(*rows, strict=True)) if rows else (0, 0, 0)


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
                    "schedule": _formula(text),
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
    ax.set_yticks(y, [in_figure(text) for text in table["schedule"]])
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
    summable = np.isfinite(table["total_mass"].to_numpy())
    stalled = int(table["STALLED"].to_numpy()[~summable].sum())
    return (
        f"The lower {summable.sum()} schedules have a finite sum; under the others {stalled} "
        f"run{' has' if stalled == 1 else 's have'} stalled."
    )
