"""P4: what decides success, the sample size or the step sizes."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit, xlogy

from sterling.base.registry import register
from sterling.base.text import in_figure, number, percent
from sterling.claims.claim import PAPER, SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Measured, Reference, measured, picture
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.words import listed, said, schedule_words, undecided
from sterling.plot.curves import shares, style
from sterling.plot.style import tidy
from sterling.schedules import Constant, Power, Schedule, parse_schedule
from sterling.study.cells import Cell, Seeds
from sterling.study.fit import FitError
from sterling.study.grid import Study
from sterling.study.kinds import COUNT, FLAG, Column, Kind, Look
from sterling.study.likelihood import Counts, Model, maximise, predictor
from sterling.study.report import with_shares

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

#: The threshold must move by less than this factor over all rates for the step size not to decide.
FACTOR = 2.0
_CRITERION = "optimal"
_NORMAL_95 = 1.959963984540054
_PERMUTATIONS = 200

#: Judges the interval (low, high) of the factor by which N₅₀ moves, and how many runs ended where none can.
RULE = Rule(
    (
        consistent(
            "the whole 95 % interval of the factor by which N₅₀ moves over all rates tried lies between "
            f"{number(1 / FACTOR)} and {number(FACTOR)}, and every absorbed run of the second part ends in "
            "an absorbing state of its data set",
            lambda low, high, outside, left=0: not outside and low >= 1 / FACTOR and high <= FACTOR,
        ),
        contradicted(
            "a run ends elsewhere, or that interval lies wholly outside and no run was left open "
            "by its budget",
            lambda low, high, outside, left=0: (
                bool(outside) or (not left and (high < 1 / FACTOR or low > FACTOR))
            ),
        ),
    )
)


@dataclass(frozen=True)
class Budget:
    """Success at one n over sample sizes and schedules; ``exact_n`` and so on for the exact part."""

    n: int
    trials: int
    steps: int
    exact_n: int
    exact_trials: int
    factors: tuple[float, ...] = (0.25, 0.35, 0.5, 0.7, 1.0, 1.4, 2.0)
    rates: tuple[float, ...] = (0.05, 0.5, 5.0)
    exponents: tuple[float, ...] = (0.0, 0.5)


def schedules(budget: Budget) -> list[Schedule]:
    """Return every combination of rate and exponent of a budget."""
    return [
        Constant(rate) if exponent == 0 else Power(rate, exponent)
        for exponent in budget.exponents
        for rate in budget.rates
    ]


# -- the exact part ------------------------------------------------------------------------------------------


def _run(cell: Cell, seeds: Seeds, look: Look) -> Mapping[str, Any]:
    """Look the end of a run up among the absorbing states of its data."""
    from sterling.states.landscape import landscape, number_of
    from sterling.study.train_kind import run_orbit

    known = set(landscape(cell.problem.draw(seeds.data), progress=look, threads=1).absorbing_states.tolist())
    orbit = run_orbit(cell, seeds, look=look)
    return {
        "absorbing_states": len(known),
        "verdict": orbit.verdict.name,
        "absorbed": orbit.verdict.absorbed,
        "listed": number_of(orbit.signs) in known,
    }


KIND = Kind(
    "run_ends",
    _run,
    {"absorbing_states": COUNT, "verdict": Column("String"), "absorbed": FLAG, "listed": FLAG},
    settings={"schedule": "power:0.5,0.5", "surrogate": "relu", "steps": 1_000_000},
)
register(KIND)


# -- effects -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Effects:
    """How the threshold moves, from logit p = β·(log N − log N₅₀ − γ·log rate − δ·exponent).

    Attributes
    ----------
    slope, rate : (value, low, high)
        β and γ with 95 % intervals by Wald, on log β and on γ. Runs on the same data set are not taken for
        independent: the covariance is the sandwich with data sets as clusters.
    by_samples, by_schedule, by_chance : float
        Shares of the deviance that the sample sizes alone, and the schedules alone, explain as factors. A
        share is never negative, so the last one is what schedules that do nothing would seem to explain, in
        one case of twenty: results of a data set are dealt out to them anew.
    """

    slope: tuple[float, float, float]
    rate: tuple[float, float, float]
    by_samples: float
    by_schedule: float
    by_chance: float


def effects(samples, rates, exponents, won) -> Effects:
    """Fit the effects.

    Parameters
    ----------
    samples : int (k,)
        Sample sizes.
    rates, exponents : float (s,)
        Of the schedules.
    won : bool (k, s, d)
        Whether the run on data set number d of that size, under that schedule, succeeded.

    Raises
    ------
    FitError
        If the likelihood has no maximum.
    """
    won = np.asarray(won, bool)
    sizes, kinds, sets = won.shape
    log_rates, exponents = np.log(np.asarray(rates, float)), np.asarray(exponents, float)
    columns = [np.ones(kinds), log_rates - log_rates.mean()]
    if np.ptp(exponents) > 0:
        columns.append(exponents - exponents.mean())
    design = np.tile(np.column_stack(columns), (sizes, 1))
    n = np.repeat(np.asarray(samples), kinds)
    ones, trials = np.ones((len(n), 1)), np.full(len(n), sets)
    counts = Counts.of(ones[:, 0], n, trials, won.sum(-1).ravel())
    model = Model(design, ones, np.zeros(len(n)))
    best = maximise(counts, model)
    if not best.converged:
        raise FitError("the change from failure to success is too sharp for these sample sizes")
    log_odds, lean = predictor(model, np.log(counts.samples), best.parameters)
    missed = won - expit(log_odds).reshape(sizes, kinds, 1)
    score = np.einsum("ksd,ksp->kdp", missed, lean.reshape(sizes, kinds, -1))  # of each data set
    inverse = np.linalg.inv(best.information)
    sandwich = inverse @ np.einsum("kdp,kdq->pq", score, score) @ inverse
    reach = _NORMAL_95 * np.sqrt(np.diag(sandwich))
    rate, steepness = float(best.parameters[1]), float(best.parameters[-1])
    return Effects(
        (math.exp(steepness), math.exp(steepness - reach[-1]), math.exp(steepness + reach[-1])),
        (rate, rate - reach[1], rate + reach[1]),
        *_explained(won),
    )


def _explained(won: np.ndarray) -> tuple[float, float, float]:
    """Return the shares of the deviance that sizes and schedules explain, and schedules by chance."""
    rng = np.random.default_rng(0)
    chance = [_share(rng.permuted(won, axis=1), 1) for _ in range(_PERMUTATIONS)]
    return _share(won, 0), _share(won, 1), float(np.quantile(chance, 0.95))


def _share(won: np.ndarray, factor: int) -> float:
    """Return the share of the deviance of the cells' counts that one of their factors explains."""
    p = won.mean(-1)
    within, overall = p.mean(1 - factor, keepdims=True), p.mean()
    rest, whole = (
        float((xlogy(p, p) + xlogy(1 - p, 1 - p) - xlogy(p, q) - xlogy(1 - p, 1 - q)).sum())
        for q in (within, overall)
    )
    return 1 - rest / whole if whole > 0 else math.nan


# -- the measurement -----------------------------------------------------------------------------------------


def measure(context: Context, budget: Budget) -> Finding:
    """Fit how N₅₀ moves with the rate, and check that absorbing states do not depend on step sizes."""
    kinds = schedules(budget)
    sizes = sorted({math.ceil(factor * budget.n * math.log(budget.n)) for factor in budget.factors})
    store = context.study(
        Study(
            n=budget.n,
            samples=sizes,
            schedule=kinds,
            steps=budget.steps,
            trials=budget.trials,
            criteria=_CRITERION,
            seed=context.seed,
            name="step-sizes",
        )
    )
    exact = context.study(
        Study(
            kind="run_ends",
            n=budget.exact_n,
            samples=[math.ceil(budget.exact_n * math.log(budget.exact_n))],  # near the threshold: with traps
            schedule=kinds,
            steps=budget.steps,
            trials=budget.exact_trials,
            seed=context.seed,
            name="step-sizes-exact",
        )
    ).trials()
    trials, cells = store.trials(), store.counts(_CRITERION)
    described = with_described(cells)
    outside, absorbed = int((exact["absorbed"] & ~exact["listed"]).sum()), int(exact["absorbed"].sum())
    spread = max(budget.rates) / min(budget.rates)
    found = _fitted(context, trials, kinds, sizes)
    factor = measured(
        f"factor by which N₅₀ moves when the rate grows {spread:g}-fold",
        (math.exp(one * math.log(spread)) for one in found.rate),
        "Wald, runs on one data set not taken for independent",
    )
    seen = ", so the rate has an effect that this experiment sees"
    effect = seen if factor.low > 1 or factor.high < 1 else ""
    return CLAIM.found(
        RULE,
        [(factor.low, factor.high, outside, undecided)],
        experiment=(
            f"{len(trials):,} runs without label noise at n = {budget.n}, N = {sizes[0]} to {sizes[-1]}: for "
            f"each N on {budget.trials} data sets, each run under {len(kinds)} schedules from the same "
            f"start, with rates {listed(budget.rates)} and exponents {listed(budget.exponents)}, "
            f"{budget.steps:,} steps. Then {len(exact):,} "
            f"runs on {budget.exact_trials} data sets with n = {budget.exact_n} of which every absorbing "
            "state is known."
        ),
        reason=(
            f"Over rates from {min(budget.rates):g} to {max(budget.rates):g} the threshold moves by a factor "
            f"{said(factor)}{effect}; the sample size alone explains "
            f"{percent(found.by_samples, 1)} of the deviance, the schedules alone "
            f"{percent(found.by_schedule, 2)}, where chance alone would reach "
            f"{percent(found.by_chance, 2)}. {absorbed - outside} of {absorbed} absorbed runs ended in "
            "an absorbing state that the data alone determine."
        ),
        measured=(
            factor,
            measured(
                "log-odds of success for each doubling of N",
                (math.log(2) * one for one in found.slope),
                "Wald, runs on one data set not taken for independent",
            ),
            *(
                Measured(f"share of the deviance {what}", 100 * value, unit="%", how=how)
                for what, value, how in (
                    ("that N alone explains", found.by_samples, "as a factor"),
                    ("that the schedules alone explain", found.by_schedule, "as a factor"),
                    (
                        "that schedules which do nothing seem to explain",
                        found.by_chance,
                        "results dealt out anew, 95th percentile",
                    ),
                )
            ),
            Measured("absorbed runs that ended outside the data's absorbing states", float(outside)),
        ),
        references=(
            Reference(
                "absorbed runs that can end elsewhere, whatever the step sizes",
                0.0,
                "exact",
                f"{SCIENCE}, 5",
            ),
        ),
        pictures=(
            picture(
                "p4-success",
                "Success against sample size under every schedule",
                draw_success,
                cells=described,
            ),
        ),
        tables={"step-sizes-trials": trials, "step-sizes-cells": described, "step-sizes-exact": exact},
        notes=(
            "Absorbing states depend on the data alone, neither on step sizes nor on the start (exact); "
            "which of them a run reaches may depend on both.",
            "Runs scale: the same factor on rate and initial latents leaves the orbit unchanged (exact), so "
            "a small rate is a large start.",
            "A share of the deviance is never negative and chance makes it positive, so it has no interval; "
            "what chance alone explains is found by dealing results out anew.",
            *undecided(int(cells["undecided"].sum())),
        ),
    )


def _fitted(context: Context, trials: pl.DataFrame, kinds: list[Schedule], sizes: list[int]) -> Effects:
    """Return the effects; all numbers are missing, and a note says why, where none can be fitted."""
    import polars as pl

    success = (pl.col("verdict") == "OPTIMAL") & pl.col("certified") & (pl.col("errors") == 0)
    order = {schedule: place for place, schedule in enumerate(kinds)}
    rows = trials.with_columns(success.alias("won")).with_columns(
        pl.Series("place", [order[parse_schedule(text)] for text in trials["schedule"].to_list()])
    )
    won = rows.sort("samples", "place", "trial")["won"].to_numpy().reshape(len(sizes), len(kinds), -1)
    try:
        return effects(
            sizes,
            [kind.at(0) for kind in kinds],
            [kind.to_dict().get("exponent", 0.0) for kind in kinds],
            won,
        )
    except FitError as problem:
        context.note(f"No effect was fitted: {problem}.")
        nothing = (math.nan, math.nan, math.nan)
        return Effects(nothing, nothing, *_explained(won))


def with_described(cells: pl.DataFrame) -> pl.DataFrame:
    """Return shares with intervals, and each schedule's rate and exponent."""
    import polars as pl

    kinds = [parse_schedule(text) for text in cells["schedule"].to_list()]
    return with_shares(cells).with_columns(
        cells["schedule"],
        pl.Series("rate", [kind.at(0) for kind in kinds], pl.Float64),
        pl.Series("exponent", [kind.to_dict().get("exponent", 0.0) for kind in kinds], pl.Float64),
    )


def draw_success(ax: Axes, cells: pl.DataFrame) -> str:
    """Draw the share of successes against N: a colour for each rate, a marker for each exponent."""
    kinds = cells.select("rate", "exponent").unique().sort("exponent", "rate").rows()
    rates, exponents = (sorted(cells[name].unique().to_list()) for name in ("rate", "exponent"))
    for place, (rate, exponent) in enumerate(kinds):
        rank = exponents.index(exponent)
        shares(
            ax,
            cells.filter((cells["rate"] == rate) & (cells["exponent"] == exponent)),
            place,
            len(kinds),
            color=style(rates.index(rate))["color"],
            marker=style(rank)["marker"],
            ls=("-", "--", ":")[rank % 3],
            label=in_figure(schedule_words(Power(rate, exponent))),
        )
    ax.set(xlabel="samples N", ylabel="share of runs absorbed at w*")
    tidy(ax, xscale="log", ylim=(-0.03, 1.03))
    return (
        "Bars are 95 % Jeffreys intervals. Where the curves lie on each other, the step size makes no "
        "difference and N decides."
    )


CLAIM = Claim(
    "P4",
    "Sample size decides, step size does not",
    "Whether the STE-gradient method succeeds is decided by the sample size, as the authors read their "
    "theorems; that the step size does not decide it is our own question.",
    "interpretation",
    PAPER,
    measure,
    {
        "quick": Budget(
            n=24,
            trials=50,
            steps=100_000,
            exact_n=10,
            exact_trials=36,
            factors=(0.25, 0.4, 0.6, 0.9, 1.4, 2.0),
        ),
        "default": Budget(n=32, trials=100, steps=200_000, exact_n=12, exact_trials=120),
        "full": Budget(
            n=64, trials=500, steps=10_000_000, exact_n=16, exact_trials=500, exponents=(0.0, 0.5, 0.75)
        ),
    },
)
