"""P4: what decides success, the sample size or the step sizes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import xlogy

from sterling.base.text import in_figure, percent
from sterling.claims.catalogue import CLAIMS
from sterling.claims.context import Context, Parameters, seeds
from sterling.claims.efforts import StepSizes
from sterling.claims.finding import Finding, Judgement, Measured, Picture, Reference
from sterling.claims.judge import all_of, near
from sterling.claims.statistics import measured
from sterling.claims.words import said, schedule_words
from sterling.plot.curves import MARKERS, SERIES_COLOURS
from sterling.schedules import Constant, Power, Schedule, parse_schedule
from sterling.study.fit import FitError
from sterling.study.grid import Study
from sterling.study.likelihood import Counts, Model, maximise, profile_interval
from sterling.study.report import with_shares

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

#: The threshold must move by less than this factor over all rates for the step size not to decide.
FACTOR = 2.0
_CRITERION = "optimal"
_NORMAL_95 = 1.959963984540054
_RESAMPLES = 1000


def schedules(plan: StepSizes) -> list[Schedule]:
    """Return every combination of rate and exponent of a plan."""
    return [
        Constant(rate) if exponent == 0 else Power(rate, exponent)
        for exponent in plan.exponents
        for rate in plan.rates
    ]


@dataclass(frozen=True)
class Effects:
    """How the threshold moves, from logit p = β·(log N − log N₅₀ − γ·log rate − δ·exponent).

    Attributes
    ----------
    slope, rate : (value, low, high)
        β and γ with 95 % intervals, by Wald on log β and by profile likelihood.
    by_samples, by_schedule : (value, low, high)
        Shares of the deviance that the sample sizes alone, and the schedules alone, explain as factors; with
        95 % intervals from resampled counts.
    """

    slope: tuple[float, float, float]
    rate: tuple[float, float, float]
    by_samples: tuple[float, float, float]
    by_schedule: tuple[float, float, float]


def effects(samples, rates, exponents, trials, successes) -> Effects:
    """Fit the effects to counts; each argument has one entry a cell.

    Raises
    ------
    FitError
        If the likelihood has no maximum.
    """
    rates, exponents = np.log(np.asarray(rates, float)), np.asarray(exponents, float)
    counts = Counts.of(np.ones(len(rates)), samples, trials, successes)
    ones = np.ones((len(rates), 1))
    columns = [ones[:, 0], rates - rates.mean()]
    if np.ptp(exponents) > 0:
        columns.append(exponents - exponents.mean())
    model = Model(np.column_stack(columns), ones, np.zeros(len(rates)))
    best = maximise(counts, model)
    if not best.converged:
        raise FitError("the change from failure to success is too sharp for these sample sizes")
    log_slope = float(best.parameters[-1])
    reach = _NORMAL_95 * math.sqrt(float(np.linalg.inv(best.information)[-1, -1]))
    schedules = np.unique(np.column_stack([rates, exponents]), axis=0, return_inverse=True)[1].ravel()
    sizes = np.unique(counts.samples, return_inverse=True)[1]
    return Effects(
        (math.exp(log_slope), math.exp(log_slope - reach), math.exp(log_slope + reach)),
        (float(best.parameters[1]), *profile_interval(counts, model, best, 1)),
        _explained(counts, sizes),
        _explained(counts, schedules),
    )


def _explained(counts: Counts, groups: np.ndarray) -> tuple[float, float, float]:
    """Return the share of the deviance that a factor explains, and its percentile interval."""
    t = counts.trials
    drawn = np.random.default_rng(0).binomial(t.astype(int), counts.successes / t, (_RESAMPLES, len(t)))
    members = groups[:, None] == np.arange(groups.max() + 1)

    def share(k: np.ndarray) -> np.ndarray:
        within = ((k @ members) / (t @ members))[..., groups]
        overall = k.sum(-1, keepdims=True) / t.sum()
        rest, whole = (
            (xlogy(k, k / t) + xlogy(t - k, 1 - k / t) - xlogy(k, p) - xlogy(t - k, 1 - p)).sum(-1)
            for p in (within, overall)
        )
        return 1 - rest / whole

    low, high = np.quantile(share(drawn), [0.025, 0.975])
    return float(share(counts.successes)), float(low), float(high)


def factor_rule() -> str:
    """Say in words how `measure` judges."""
    return (
        "Consistent where the whole 95 % interval of the factor by which N₅₀ moves over all rates tried lies "
        f"between {1 / FACTOR:g} and {FACTOR:g}, and every absorbed run of the second part ends in an "
        "absorbing state of its data set; contradicted where that interval lies wholly outside or a run ends "
        "elsewhere; not decided otherwise."
    )


def measure(context: Context) -> Finding:
    """Fit how N₅₀ moves with the rate, and check that absorbing states do not depend on step sizes.

    Rule: let f be the factor by which N₅₀ moves over all rates tried. Consistent where the interval of f lies
    within 1/2 and 2 and every absorbed run of the exact part ended in an absorbing state of its data set;
    contradicted where the interval lies outside, or a run ended elsewhere; not decided otherwise.
    """
    claim, plan = CLAIMS["P4"], context.effort.step_sizes
    kinds = schedules(plan)
    sizes = sorted({math.ceil(factor * plan.n * math.log(plan.n)) for factor in plan.factors})
    study = Study(
        n=plan.n,
        samples=sizes,
        schedule=kinds,
        steps=plan.steps,
        trials=plan.trials,
        criteria=_CRITERION,
        seed=context.seed,
        name="step-sizes",
    )
    store = context.study("step-sizes", study, plan.limit)
    cells = store.counts(_CRITERION)
    described = with_described(cells)
    exact = exact_part(context, plan)
    outside = int((exact["absorbed"] & ~exact["listed"]).sum())
    absorbed = int(exact["absorbed"].sum())
    span = math.log(max(plan.rates) / min(plan.rates))
    try:
        found = effects(
            cells["samples"].to_numpy(),
            described["rate"].to_numpy(),
            described["exponent"].to_numpy(),
            cells["trials"].to_numpy(),
            cells["successes"].to_numpy(),
        )
    except FitError as problem:
        context.note(f"No effect was fitted: {problem}.")
        nothing = (math.nan, math.nan, math.nan)
        found = Effects(nothing, nothing, nothing, nothing)
    ends = found.rate[1] * span, found.rate[2] * span
    moved = near(*ends, 0.0, math.log(FACTOR))
    judgement = all_of(moved, Judgement.CONTRADICTED if outside else Judgement.CONSISTENT)
    undecided = int(cells["undecided"].sum())
    factor = measured(
        f"factor by which N₅₀ moves when the rate grows {max(plan.rates) / min(plan.rates):g}-fold",
        (math.exp(found.rate[0] * span), math.exp(ends[0]), math.exp(ends[1])),
        "profile likelihood",
    )
    return claim.found(
        experiment=(
            f"{int(cells['trials'].sum()):,} runs without label noise at n = {plan.n}, N = {sizes[0]} to "
            f"{sizes[-1]}, under {len(kinds)} schedules: rates "
            f"{', '.join(f'{rate:g}' for rate in plan.rates)} with exponents "
            f"{', '.join(f'{e:g}' for e in plan.exponents)}, {plan.steps:,} steps. Then {len(exact):,} runs "
            f"on {plan.landscapes} data sets with n = {plan.landscape_n} of which every absorbing state is "
            "known."
        ),
        judgement=judgement,
        reason=(
            f"Over rates from {min(plan.rates):g} to {max(plan.rates):g} the threshold moves by a factor "
            f"{said(factor)}{_effect(factor)}; the sample size alone explains "
            f"{percent(found.by_samples[0], 1)} of the deviance, the schedules alone "
            f"{percent(found.by_schedule[0], 2)}. {absorbed - outside} of {absorbed} absorbed runs ended in "
            "an absorbing state that the data alone determine."
        ),
        rule=factor_rule(),
        measured=(
            factor,
            measured(
                "log-odds of success for each doubling of N",
                (math.log(2) * one for one in found.slope),
                "Wald",
            ),
            measured("share of the deviance explained by N alone", found.by_samples, "resampled counts"),
            measured(
                "share of the deviance explained by the schedules alone",
                found.by_schedule,
                "resampled counts",
            ),
            Measured("absorbed runs that ended outside the data's absorbing states", float(outside)),
        ),
        references=(
            Reference(
                "absorbed runs that can end elsewhere, whatever the step sizes", 0.0, "exact", "science.md, 5"
            ),
        ),
        pictures=(
            Picture(
                "p4-success",
                "Success against sample size under every schedule",
                partial(draw_success, cells=described),
            ),
        ),
        tables={
            "step-sizes-trials": store.trials(),
            "step-sizes-cells": described,
            "step-sizes-exact": exact,
        },
        notes=(
            "Absorbing states depend on the data alone, neither on step sizes nor on the start (exact); "
            "which of them a run reaches may depend on both.",
            "Runs scale: the same factor on rate and initial latents leaves the orbit unchanged (exact), so "
            "a small rate is a large start.",
            *(
                [f"{undecided:,} runs spent their steps without a certificate and count as failures."]
                if undecided
                else []
            ),
        ),
    )


def _effect(factor: Measured) -> str:
    """Say what an interval that leaves 1 out means."""
    if factor.low <= 1 <= factor.high or not math.isfinite(factor.value):
        return ""
    return ", so the rate has an effect that this experiment sees"


def with_described(cells: pl.DataFrame) -> pl.DataFrame:
    """Return shares with intervals, and each schedule's rate and exponent."""
    import polars as pl

    kinds = [parse_schedule(text) for text in cells["schedule"].to_list()]
    return with_shares(cells).with_columns(
        cells["schedule"],
        pl.Series("rate", [kind.rate(0) for kind in kinds], pl.Float64),
        pl.Series("exponent", [kind.to_dict().get("exponent", 0.0) for kind in kinds], pl.Float64),
    )


def exact_part(context: Context, plan: StepSizes) -> pl.DataFrame:
    """Run every schedule on small data sets and look each end up among the data set's absorbing states."""
    from sterling.dynamics.train import train
    from sterling.model.problem import Problem
    from sterling.states.landscape import landscape, number_of

    kinds = schedules(plan)
    n = plan.landscape_n
    samples = math.ceil(n * math.log(n))  # near the threshold, so that there are traps

    def compute(cell: Parameters, seed: int):
        instance = Problem(n=n, samples=cell["samples"]).draw(seed)
        known = set(landscape(instance, progress=context.look, threads=1).absorbing_states.tolist())
        for schedule in kinds:
            for start in seeds(seed, plan.starts):
                orbit = train(
                    instance,
                    steps=plan.steps,
                    schedule=schedule,
                    init=start,
                    record=(),
                    threads=1,
                    progress=context.look,
                )
                yield {
                    "absorbing_states": len(known),
                    "schedule": str(schedule),
                    "verdict": orbit.verdict.name,
                    "absorbed": orbit.absorbed,
                    "listed": number_of(orbit.signs) in known,
                }

    cells = [
        {
            "n": n,
            "samples": samples,
            "instance": number,
            "schedules": [str(kind) for kind in kinds],
            "starts": plan.starts,
            "steps": plan.steps,
        }
        for number in range(plan.landscapes)
    ]
    return context.rows("step-sizes-exact", cells, compute)


def draw_success(ax: Axes, cells: pl.DataFrame) -> str:
    """Draw the share of successes against N, one line for each schedule."""
    kinds = cells.select("rate", "exponent").unique().sort("exponent", "rate").rows()
    rates = sorted(cells["rate"].unique().to_list())
    exponents = sorted(cells["exponent"].unique().to_list())
    for place, (rate, exponent) in enumerate(kinds):
        one = cells.filter((cells["rate"] == rate) & (cells["exponent"] == exponent)).sort("samples")
        share = one["share"].to_numpy()
        bars = np.vstack([share - one["share_low"].to_numpy(), one["share_high"].to_numpy() - share])
        shift = 1.012 ** (place - (len(kinds) - 1) / 2)  # so that bars do not cover each other
        ax.errorbar(
            one["samples"].to_numpy() * shift,
            share,
            np.maximum(bars, 0),
            lw=1.3,
            ms=5,
            capsize=0,
            color=SERIES_COLOURS[rates.index(rate) % len(SERIES_COLOURS)],
            marker=MARKERS[exponents.index(exponent) % len(MARKERS)],
            ls=("-", "--", ":")[exponents.index(exponent) % 3],
            label=in_figure(schedule_words(Power(rate, exponent))),
        )
    ax.set_xscale("log")
    ax.set_ylim(-0.03, 1.03)
    ax.set_xlabel("samples N")
    ax.set_ylabel("share of runs absorbed at w*")
    ax.legend(frameon=False, fontsize=8)
    return (
        "Bars are 95 % Jeffreys intervals. Where the curves lie on each other, the step size makes no "
        "difference and N decides."
    )
