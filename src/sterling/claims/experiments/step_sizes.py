"""P4: does the sample size decide success, or do the step sizes and the start?"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import polars as pl
from scipy.special import expit

from sterling.base.registry import register
from sterling.base.text import in_figure, number
from sterling.claims.claim import PAPER, SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Measured, Reference, measured, picture
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.starts import OPPOSITE, start_of
from sterling.claims.words import listed, said, schedule_words
from sterling.landscapes.landscape import landscape, number_of
from sterling.plot.curves import dots, intervals
from sterling.schedules import parse_schedule
from sterling.study.columns import FLAG
from sterling.study.kind import Cell, Kind, Look, Seeds, schedule_text
from sterling.study.likelihood import Counts, Maximum, Model, maximise, predictor
from sterling.study.train_kind import KIND as TRAIN
from sterling.study.train_kind import run_orbit

#: The threshold must move by less than this factor over all rates for the step size not to decide.
FACTOR = 2.0
_NORMAL_95 = 1.959963984540054
_OPTIMAL = TRAIN.criteria["optimal"].success
SCHEDULES = {
    200_000: (
        *("constant:0.05", "constant:0.5", "constant:5", "power:0.5,0.25", "power:5,0.25"),
        *("power:0.05,0.5", "power:0.5,0.5", "power:5,0.5"),
    ),
    1_000_000: ("power:0.5,0.75", "power:5,0.75", "power:5,1", "power:50,1"),
}

#: Evidence: the interval (low, high) of a factor by which N₅₀ moves, and the number of runs that ended where
#: no run can end. The interval covers both cases: that runs left open by their budget fail, or succeed.
RULE = Rule(
    (
        consistent(
            "the whole 95 % interval of each factor by which N₅₀ moves (over all rates tried, from "
            "exponent 0 to 1, and from random starts to the farthest one) lies between "
            f"{number(1 / FACTOR)} and {number(FACTOR)}",
            lambda low, high, outside: low >= 1 / FACTOR and high <= FACTOR,
            "every absorbed run of the last part ends in an absorbing state of its data set",
            lambda low, high, outside: not outside,
        ),
        contradicted(
            "a run ends elsewhere, or one of these intervals lies wholly outside",
            lambda low, high, outside: bool(outside) or high < 1 / FACTOR or low > FACTOR,
        ),
    )
)


@dataclass(frozen=True)
class StepSizeBudget:
    """Success at one n over sample sizes, schedules and starts; ``exact_…`` are for the exact part.

    ``schedules`` has schedules by number of steps, so that each has a mass of at least some dozens. Runs have
    ``starts`` random starts and one with every weight wrong.

    Power: with 40 trials the intervals of the factors are about ±6 %, so a factor of 1.2 would be seen.
    """

    n: int
    trials: int
    exact_n: int
    exact_trials: int
    factors: tuple[float, ...] = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
    schedules: Mapping[int, tuple[str, ...]] = field(default_factory=lambda: SCHEDULES)
    starts: int = 4

    @property
    def steps(self) -> int:
        """The fewest steps of a schedule, for runs of the usual schedule."""
        return min(self.schedules)


def _run(cell: Cell, seeds: Seeds, look: Look) -> Mapping[str, Any]:
    instance = cell.problem.draw(seeds.data)
    known = set(landscape(instance, progress=look, threads=1).absorbing_states.tolist())
    start = start_of(instance, seeds, cell.settings["start"])
    orbit = run_orbit(cell, seeds, look=look, init=start, instance=instance)
    return {"absorbed": orbit.verdict.absorbed, "listed": number_of(orbit.signs) in known}


KIND = Kind(
    "run_ends",
    _run,
    {"absorbed": FLAG, "listed": FLAG},
    settings={"schedule": "power:0.5,0.5", "surrogate": "relu", "steps": 1_000_000, "start": 0},
)
register(KIND)


def effects(samples, rates, exponents, won) -> np.ndarray:
    """Fit how the threshold moves: logit p = β·(log N − log N₅₀ − γ·log rate − δ·exponent).

    Returns γ and δ as rows (value, low, high) with 95 % intervals by Wald, float (2, 3). A row is NaN where
    the likelihood has no maximum; that of δ, where there is one exponent. Runs on the same data set are
    dependent, so the covariance is the sandwich with data sets as clusters. ``won``, bool (k, s, d), has the
    successes of the d data sets of each of k sample sizes under each of s schedules.
    """
    sizes, kinds, sets = won.shape
    columns = [np.ones(kinds), np.log(rates) - np.log(rates).mean()]
    if np.ptp(exponents) > 0:
        columns.append(exponents - np.mean(exponents))
    design = np.tile(np.column_stack(columns), (sizes, 1))
    n = np.repeat(np.asarray(samples), kinds)
    counts, model, best = _fitted(n, np.full(len(n), sets), won.sum(-1).ravel(), design)
    found = np.full((2, 3), math.nan)
    if best.converged:
        log_odds, lean = predictor(model, np.log(counts.samples), best.parameters)
        missed = won - expit(log_odds).reshape(sizes, kinds, 1)
        score = np.einsum("ksd,ksp->kdp", missed, lean.reshape(sizes, kinds, -1))  # of each data set
        inverse = np.linalg.inv(best.information)
        sandwich = inverse @ np.einsum("kdp,kdq->pq", score, score) @ inverse
        value = best.parameters
        reach = _NORMAL_95 * np.sqrt(np.diag(sandwich))
        rows = np.column_stack([value, value - reach, value + reach])
        found[: len(columns) - 1] = rows[1 : len(columns)]  # the first parameter is log N₅₀
    return found


def _fitted(samples, trials, won, design) -> tuple[Counts, Model, Maximum]:
    """Return the counts of successes and the maximum of their likelihood, with one slope for all."""
    ones = np.ones(len(samples))
    counts = Counts.of(ones, samples, trials, won)
    model = Model(location=design, slope=ones[:, None])
    return counts, model, maximise(counts, model)


def fits(sizes, rates, powers, won: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Return `effects` with runs left open as failures, and as successes: float (2, 2, 3)."""
    return np.array([effects(sizes, rates, powers, flags) for flags in (won, won | left)])


def outcomes(trials: pl.DataFrame, column: str, order: list) -> tuple[np.ndarray, np.ndarray]:
    """Return runs as flags (sizes, values of a column, data sets): absorbed at w*, and left open."""
    index = pl.Series([order.index(value) for value in trials[column]])
    rows = trials.select("samples", "trial", won=_OPTIMAL, left=~pl.col("certified"), index=index)
    rows = rows.sort("samples", "index", "trial")
    shape = (rows["samples"].n_unique(), len(order), -1)
    return rows["won"].to_numpy().reshape(shape), rows["left"].to_numpy().reshape(shape)


def measure(context: Context, budget: StepSizeBudget) -> Finding:
    """Fit how N₅₀ moves with rate, exponent and start, and compare the ends of runs with absorbing states."""
    sizes = sorted({math.ceil(factor * budget.n * math.log(budget.n)) for factor in budget.factors})
    schedules = [text for texts in budget.schedules.values() for text in texts]
    kinds = [parse_schedule(text) for text in schedules]
    rates = [kind.at(0) for kind in kinds]
    powers = [kind.to_dict().get("exponent", 0.0) for kind in kinds]
    starts = list(range(OPPOSITE, budget.starts))
    asked = {"n": budget.n, "samples": sizes, "trials": budget.trials}
    trials = pl.concat(
        context.trials(f"step-sizes-{steps}", schedule=texts, steps=steps, **asked)
        for steps, texts in sorted(budget.schedules.items())
    )
    begun = context.trials("step-sizes-starts", kind="starts", start=starts, steps=budget.steps, **asked)
    near = math.ceil(budget.exact_n * math.log(budget.exact_n))  # the threshold: with traps
    small = {"n": budget.exact_n, "samples": near, "trials": budget.exact_trials, "steps": budget.steps}
    others = [one for one in starts if one]  # number 0 is the start of the schedules
    exact = pl.concat(
        context.trials(f"step-sizes-exact-{name}", kind="run_ends", **small, **settings)
        for name, settings in (("schedules", {"schedule": schedules}), ("starts", {"start": others}))
    )
    absorbed = int(exact["absorbed"].sum())
    outside = int((exact["absorbed"] & ~exact["listed"]).sum())
    won, left = outcomes(trials, "schedule", [schedule_text(kind) for kind in kinds])
    begun_won, begun_left = outcomes(begun, "start", starts)
    found = fits(sizes, rates, powers, won, left)
    farther = [math.e if one == OPPOSITE else 1.0 for one in starts]
    far = fits(sizes, farther, [0.0] * len(starts), begun_won, begun_left)
    spread = max(rates) / min(rates)
    how = "Wald, clustered by data set; runs left open count as failures or as successes"
    factors = [
        measured(f"factor by which N₅₀ moves {what}", (ends[0, 0], ends[:, 1].min(), ends[:, 2].max()), how)
        for what, ends in (  # the ends cover both fits
            (f"when the rate grows {spread:g}-fold", np.exp(math.log(spread) * found[:, 0])),
            ("from exponent 0 to 1", np.exp(found[:, 1])),
            ("from random starts to the one with every weight wrong", np.exp(far[:, 0])),
        )
    ]
    names = [schedule_words(kind) for kind in kinds]
    names += ["start with every weight wrong", *(f"random start {k + 1}" for k in starts[1:])]
    thresholds = thresholds_of(sizes, np.concatenate([won, begun_won], axis=1), names)
    open_runs = int(left.sum() + begun_left.sum())
    runs = left.size + begun_left.size
    elsewhere = "absorbed runs that can end elsewhere, for any step sizes and start"
    return CLAIM.found(
        RULE,
        [(*one.ends, outside) for one in factors],
        experiment=(
            f"{len(trials):,} runs without label noise at n = {budget.n}, N = {sizes[0]} to {sizes[-1]}: for "
            f"each N on {budget.trials} data sets, from the same start under each of {len(kinds)} schedules "
            f"rate/(t+1)^exponent, with rates {listed(sorted(set(rates)))} and exponents "
            f"{listed(sorted(set(powers)))}. {len(begun):,} more on the same data sets, from {budget.starts} "
            "random starts and from the one with every weight wrong. Then "
            f"{len(exact):,} runs on {budget.exact_trials} data sets with n = {budget.exact_n}, of which "
            "every absorbing state is known."
        ),
        reason=(
            f"The threshold N₅₀ moves by a factor {said(factors[0])} over rates from {min(rates):g} to "
            f"{max(rates):g}, by {said(factors[1])} from constant steps to 1/(t+1), and by "
            f"{said(factors[2])} from random starts to the farthest one. "
            f"{absorbed - outside} of {absorbed} absorbed runs ended in an absorbing state that the data "
            "alone determine."
        ),
        measured=(
            *factors,
            Measured("absorbed runs that ended outside the data’s absorbing states", float(outside)),
        ),
        references=(Reference(elsewhere, 0.0, "exact", f"{SCIENCE}, 5"),),
        pictures=(
            picture(
                "Samples that half of the runs need",
                dots,
                list(map(in_figure, names)),
                {"N₅₀": intervals(thresholds, "samples")},
                "samples N₅₀",
                xlim=(0, None),
                caption="Each row is one schedule from the same start, or one start under the usual "
                "schedule, with its 95 % interval. If they decided success, the marks would not line up.",
            ),
        ),
        tables={
            "step-sizes-trials": trials,
            "step-sizes-thresholds": thresholds,
            "step-sizes-starts": begun.select(pl.exclude(pl.List)),
            "step-sizes-exact": exact,
        },
        notes=(
            "Absorbing states depend on the data alone, not on step sizes or start (exact). Which of them a "
            "run reaches may depend on both.",
            "With steps like 1/(t+1) the mass grows like the logarithm of T. Those schedules get larger "
            "rates and more steps, since a run with too little mass to move says nothing about the data.",
            f"{open_runs:,} of {runs:,} runs ended without a certified verdict. Each fit is made twice: with "
            "them as failures, which gives the value shown, and as successes. Intervals cover both.",
        ),
    )


def thresholds_of(sizes: list[int], won: np.ndarray, names: list[str]) -> pl.DataFrame:
    """Return N₅₀ of each schedule or start alone, with its 95 % interval by Wald."""
    rows = []
    for index, name in enumerate(names):
        trials = np.full(len(sizes), won.shape[-1])
        *_, best = _fitted(sizes, trials, won[:, index].sum(-1), np.ones((len(sizes), 1)))
        middle, reach = math.nan, math.nan
        if best.converged:
            middle = float(best.parameters[0])
            reach = _NORMAL_95 * math.sqrt(np.linalg.inv(best.information)[0, 0])
        rows.append((name, *(math.exp(middle + side * reach) for side in (0, -1, 1))))
    return pl.DataFrame(rows, ["settings", "samples", "samples_low", "samples_high"], orient="row")


CLAIM = Claim(
    "P4",
    "Sample size decides, step size and start do not",
    "The sample size decides whether the STE-gradient method succeeds, as the authors read their theorems. "
    "Whether step sizes and the start decide it too is our own question.",
    "interpretation",
    PAPER,
    measure,
    {
        "quick": StepSizeBudget(
            n=24,
            trials=40,
            exact_n=10,
            exact_trials=24,
            factors=(0.25, 0.4, 0.6, 0.9, 1.4, 2.0),
            schedules={
                100_000: ("constant:0.05", "constant:0.5", "constant:5", "power:0.5,0.5", "power:5,0.5"),
                1_000_000: ("power:5,1",),
            },
            starts=2,
        ),
        "default": StepSizeBudget(n=32, trials=40, exact_n=12, exact_trials=60),
    },
)
