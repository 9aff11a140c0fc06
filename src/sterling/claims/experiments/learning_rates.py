"""The theorem's conditions on the step sizes: verdicts under schedules that meet them and that do not."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sterling.base.text import in_figure, percent
from sterling.claims.claim import PAPER, SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Reference, both_ways, picture, share
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.words import schedule_words
from sterling.dynamics.verdict import Verdict
from sterling.plot.style import legend_above, verdict_bar
from sterling.schedules import parse_schedule
from sterling.study.kind import schedule_text

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Schedules of infinite sum that decay slowly, as the theorems require, but are unbounded.
UNBOUNDED = ("power:0.5,-0.5", "power:0.5,-1")
#: A schedule brings runs to w* if the interval of their share lies above this.
HALF = 0.5
_VERDICTS = tuple(verdict.name for verdict in Verdict)


@dataclass(frozen=True)
class RateBudget:
    """Runs under step sizes that meet the theorem's conditions, and under some that do not.

    N is ``factor``·n·ln n. Schedules of finite sum run for ``failing_steps``.
    """

    n: int
    factor: float
    trials: int
    steps: int
    failing_steps: int = 100_000
    meeting: tuple[str, ...] = ("constant:0.5", "power:0.5,0.5", "power:2,1")
    failing: tuple[str, ...] = ("power:0.5,1.5", "power:0.5,2", "table:0.5,0.5,0.5,0.5,0")


#: Evidence: (trials, stalled, optimal, left open) of each schedule that meets the conditions, and of each
#: schedule of finite sum.
RULE = Rule(
    (
        consistent(
            "under each schedule that meets the conditions no run stalls and the 95 % interval of the "
            f"share of runs absorbed at w* lies wholly above {percent(HALF)}",
            lambda meeting, failing: all(
                not stalled and both_ways(optimal, left, trials)[1] > HALF
                for trials, stalled, optimal, left in meeting
            ),
            "under each schedule of finite sum a run stalls",
            lambda meeting, failing: all(stalled for _, stalled, *_ in failing),
        ),
        contradicted(
            f"a schedule that meets the conditions stalls a run or brings less than {percent(HALF)} to w*, "
            "even if runs left open by their budget count as successes",
            lambda meeting, failing: (
                any(stalled for _, stalled, *_ in meeting)
                or any(both_ways(optimal, left, trials)[2] < HALF for trials, _, optimal, left in meeting)
            ),
        ),
    ),
    "Unbounded schedules are shown for comparison and decide nothing.",
)


def measure(context: Context, budget: RateBudget) -> Finding:
    """Count the verdicts of runs under each schedule, at an N where most runs succeed."""
    samples = math.ceil(budget.factor * budget.n * math.log(budget.n))
    groups = {
        "meeting": (budget.meeting, budget.steps),
        "unbounded": (UNBOUNDED, budget.steps),
        "failing": (budget.failing, budget.failing_steps),
    }
    trials, parts = [], {}
    for group, (schedules, steps) in groups.items():
        store = context.run(
            f"learning-rates-{group}",
            n=budget.n,
            samples=samples,
            schedule=schedules,
            steps=steps,
            trials=budget.trials,
        )
        trials.append(store.trials())
        parts[group] = verdicts(store.counts("optimal"), schedules)
    table = pl.concat(parts.values())
    meeting, unbounded = (parts[group].sum().row(0, named=True) for group in ("meeting", "unbounded"))
    ends = ("trials", "STALLED", "OPTIMAL", "left")
    stalled = parts["failing"].select("schedule", "STALLED", "trials").iter_rows()
    return CLAIM.found(
        RULE,
        [(parts["meeting"].select(ends).rows(), parts["failing"].select(ends).rows())],
        experiment=(
            f"{table['trials'].sum():,} runs without label noise at n = {budget.n}, N = {samples}, under "
            f"{len(budget.meeting)} schedules that meet the conditions, {len(UNBOUNDED)} unbounded ones "
            f"({budget.steps:,} steps at most), and {len(budget.failing)} of finite sum "
            f"({budget.failing_steps:,} steps)."
        ),
        reason=(
            "Runs that stalled under step sizes of finite sum: "
            f"{'; '.join(f'{schedule}: {count} of {runs}' for schedule, count, runs in stalled)}. Under "
            f"schedules that meet the conditions {meeting['STALLED']} of {meeting['trials']} stalled and "
            f"{meeting['OPTIMAL']} were absorbed at w*; under unbounded ones {unbounded['OPTIMAL']} of "
            f"{unbounded['trials']} were."
        ),
        measured=tuple(
            share(f"{words} under {schedule}", count, runs)
            for words, column, order in (
                ("stalled share", "STALLED", ("failing", "meeting", "unbounded")),
                ("absorbed at w*", "OPTIMAL", groups),
            )
            for group in order
            for schedule, count, runs in parts[group].select("schedule", column, "trials").iter_rows()
        ),
        references=(
            Reference("stalled share of any schedule of infinite sum", 0.0, "exact", f"{SCIENCE}, 5"),
        ),
        pictures=(picture("How runs end under each schedule", draw_verdicts, table),),
        tables={"learning-rates-trials": pl.concat(trials)},
        notes=(
            "Some of this is proved, so the experiment only checks the program (exact). With an infinite sum "
            "no run stalls, because a run leaves every state that is not absorbing after a finite mass. A "
            "table that ends in zero stops every run that is not absorbed before. A stalled verdict is "
            "certified: the remaining mass cannot reach the next flip.",
            "The theorems require bounded steps; they do not say that unbounded steps fail. Slow decay is "
            "not tested alone: all power laws decay slowly, and the table that does not has a finite sum.",
            "With a finite sum a run can also wander: one weight keeps flipping, and the remaining mass is "
            "too small to move the others. Such a run counts neither as stalled nor as absorbed.",
        ),
    )


def verdicts(counts: pl.DataFrame, schedules: Sequence[str]) -> pl.DataFrame:
    """Return the verdicts under each schedule, in this order, from the counts of a store."""
    parsed = {schedule_text(text): parse_schedule(text) for text in schedules}
    order = {text: index for index, text in enumerate(parsed)}
    counts = counts.sort(pl.col("schedule").replace_strict(order))
    kinds = [parsed[text] for text in counts["schedule"]]
    return counts.select(
        pl.Series("schedule", [schedule_words(kind) for kind in kinds]),
        pl.Series("meets_the_terms", [not kind.conditions().failed for kind in kinds]),
        pl.Series("total_mass", [kind.remaining_mass(0) for kind in kinds]),
        "trials",
        *_VERDICTS,
        left=pl.col("trials") - pl.sum_horizontal("STALLED", "OPTIMAL", "TRAPPED"),
    )


def draw_verdicts(ax: Axes, table: pl.DataFrame) -> str:
    """Draw the shares of the verdicts under each schedule."""
    y = np.arange(len(table))
    left = np.zeros(len(table))
    for name in _VERDICTS:
        share = (table[name] / table["trials"]).to_numpy()
        if share.any():
            ax.barh(y, share, 0.7, left, label=name.lower(), **verdict_bar(name))
            left = left + share
    ax.set_yticks(y, [in_figure(text) for text in table["schedule"]])
    ax.invert_yaxis()
    ax.set(xlim=(0, 1), xlabel="share of runs")
    legend_above(ax, 5, handlelength=1)
    summable = np.isfinite(table["total_mass"].to_numpy())
    stalled = int(table["STALLED"].to_numpy()[~summable].sum())
    return (
        f"The lower {summable.sum()} schedules have a finite sum; under the others {stalled} "
        f"run{' has' if stalled == 1 else 's have'} stalled."
    )


CLAIM = Claim(
    "rates",
    "Conditions on the step sizes",
    "The theorems require step sizes that are bounded, have an infinite sum and decay slowly. With a finite "
    "sum a run can stall.",
    "theorem",
    PAPER,
    measure,
    {
        "quick": RateBudget(n=24, factor=4.0, trials=60, steps=10**8, failing_steps=100_000),
        "default": RateBudget(n=32, factor=4.0, trials=300, steps=10**9, failing_steps=200_000),
        "full": RateBudget(n=64, factor=4.0, trials=2000, steps=10**10, failing_steps=1_000_000),
    },
)
