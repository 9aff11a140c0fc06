"""P2: visits of the iterates to w*, for ever without label noise, half of the time with it."""

from __future__ import annotations

from sterling.claims.catalogue import CLAIMS
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Reference
from sterling.claims.judge import all_of
from sterling.claims.scaling import (
    NOISELESS_CRITERIA,
    NOISY_CRITERIA,
    curves_picture,
    exponent,
    fits_by_budget,
    growth_rule,
    growth_sentence,
    judge_growth,
    law_picture,
    local_exponent,
    notes_on,
    regimes_picture,
    run_scaling,
    top_exponent,
)
from sterling.model.problem import Problem
from sterling.theory import samples_for_ergodic, samples_for_occupancy

PROVED = 4.0
_LAWS = "sterling.theory.laws; to leading order science.md, 7"


def measure(context: Context) -> Finding:
    """Fit N₅₀ = C·n^α for absorption at w* (no noise) and for spending half of the steps at w* (noise).

    Rule: `scaling.judge_growth` for both against the proved exponent 4, joined by `judge.all_of`.
    """
    claim, plan, noisy = CLAIMS["P2"], context.effort.noiseless, context.effort.noisy
    quiet_store = run_scaling(context, "noiseless", plan, NOISELESS_CRITERIA)
    store = run_scaling(context, "noisy", noisy, NOISY_CRITERIA)
    optimal = fits_by_budget(quiet_store, "optimal")
    half = fits_by_budget(store, "occupancy>=0.5")
    average = fits_by_budget(store, "ergodic")
    quiet = exponent(optimal[-1], "exponent α of N₅₀ for absorption at w*, no noise")
    loud = exponent(half[-1], f"exponent α of N₅₀ for half of the steps at w*, σ = {noisy.noise:g}")
    mean = exponent(average[-1], f"exponent α of N₅₀ for the time average, σ = {noisy.noise:g}")
    half_law = {n: samples_for_occupancy(Problem(n, 1, noise=noisy.noise)) for n in noisy.n}
    mean_law = {n: samples_for_ergodic(Problem(n, 1, noise=noisy.noise)) for n in noisy.n}
    judgement = all_of(*(judge_growth(series[-1], PROVED) for series in (optimal, half)))
    trials, counts = store.trials(), store.counts("ergodic")
    counts = counts.filter(counts["steps"] == noisy.steps[-1])
    return claim.found(
        experiment=(
            f"{len(quiet_store.trials(['n'])):,} runs without label noise (those of P1) and {len(trials):,} "
            f"with σ = {noisy.noise:g}, n = {', '.join(map(str, noisy.n))}, m = 1, "
            f"{' and '.join(f'{steps:,}' for steps in noisy.steps)} steps of 0.5/√(t+1)."
        ),
        judgement=judgement,
        reason=(
            f"{growth_sentence('for absorption at w* without noise', optimal[-1])} "
            f"{growth_sentence('for half of the steps at w* with noise', half[-1])} "
            f"Samples of the order n^{PROVED:g} are proved to suffice."
        ),
        rule=growth_rule("each exponent of w* itself (absorption, half of the steps)", PROVED),
        measured=(
            quiet,
            *top_exponent(optimal[-1], "the same"),
            loud,
            *top_exponent(half[-1], "the same"),
            mean,
            *top_exponent(average[-1], "the same"),
        ),
        references=(
            Reference("proved to suffice: exponent", PROVED, "theorem", claim.source),
            Reference(
                "proved to suffice for the time average, without label noise: exponent",
                2.0,
                "theorem",
                claim.source,
            ),
            Reference("half of the steps at w* under noise: leading exponent", 3.0, "mean-field", _LAWS),
            Reference(
                "the same law over the dimensions run: exponent",
                local_exponent(half_law),
                "mean-field",
                _LAWS,
            ),
            Reference(
                "time average under noise: leading exponent, up to a logarithm", 1.0, "mean-field", _LAWS
            ),
            Reference(
                "the same law over the dimensions run: exponent",
                local_exponent(mean_law),
                "mean-field",
                _LAWS,
            ),
        ),
        pictures=(
            law_picture("p2-threshold-quiet", "Samples to be absorbed at w*, no noise", optimal[-1]),
            law_picture("p2-threshold-noise", "Samples to be at w* half of the time, with noise", half[-1]),
            curves_picture("p2-success-noise", "Half of the time at w*, with noise", half[-1]),
            law_picture("p2-threshold-average", "Samples for the time average, with noise", average[-1]),
            regimes_picture("p2-regimes-noise", "How runs end with label noise", counts),
        ),
        tables={"noisy-trials": trials, "noisy-occupancy-cells": half[-1].cells},
        notes=(
            *notes_on(optimal, "Absorption, no noise"),
            *notes_on(half, "Half of the steps at w*"),
            *notes_on(average, "Time average under noise"),
            "Absorption at w* is certified from the data: the run visits w* at every later step (exact).",
            "Under noise no run of finite length proves infinitely many visits; half of the steps at w* is a "
            "stronger demand than visits that recur, so its threshold lies higher.",
        ),
    )
