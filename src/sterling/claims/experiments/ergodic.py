"""P1: ergodic convergence without label noise, N₅₀ of the time average against n."""

from __future__ import annotations

import math

from sterling.claims.claim import PAPER, SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Reference
from sterling.claims.scaling import (
    NOISELESS,
    Scaling,
    curves_picture,
    ends,
    exponent,
    fits_by_budget,
    growth_rule,
    growth_sentence,
    law_picture,
    left_open,
    local_exponent,
    notes_on,
    regimes_picture,
    run_noiseless,
    top_exponent,
)

PROVED = 2.0
RULE = growth_rule("the exponent of the time average", PROVED)


def measure(context: Context, budget: Scaling) -> Finding:
    """Fit N₅₀ = C·n^α for "the sign of the time average is w*", and beside it for absorption at w*.

    It is judged at the largest step budget.
    """
    store = run_noiseless(context, budget)
    ergodic = fits_by_budget(store, "ergodic")
    optimal = fits_by_budget(store, "optimal")
    main = exponent(ergodic[-1], "exponent α of N₅₀ for the time average")
    beside = exponent(optimal[-1], "exponent α of N₅₀ for absorption at w*")
    trials = store.trials()
    counts = store.counts("ergodic")
    counts = counts.filter(counts["steps"] == budget.steps[-1])
    return CLAIM.found(
        RULE,
        ends(ergodic[-1], left_open(store, budget.steps[-1])),
        experiment=(
            f"{len(trials):,} runs without label noise, n = {', '.join(map(str, budget.n))}, m = 1, step "
            f"sizes 0.5/√(t+1), {' and '.join(f'{steps:,}' for steps in budget.steps)} steps; the sample "
            "sizes were placed where they narrow the interval of α."
        ),
        reason=(
            f"{growth_sentence('of the time average', ergodic[-1])} Samples of the order n^{PROVED:g} are "
            "proved to suffice."
        ),
        measured=(
            main,
            *top_exponent(ergodic[-1], "the same"),
            beside,
            *top_exponent(optimal[-1], "the same for absorption"),
        ),
        references=(
            Reference("proved to suffice: exponent", PROVED, "theorem", PAPER),
            Reference(
                "the n log n law over the dimensions run: exponent",
                local_exponent({n: n * math.log(n) for n in budget.n}),
                "mean-field",
                f"{SCIENCE}, 8",
            ),
        ),
        pictures=(
            law_picture("p1-threshold", "Samples for the time average", ergodic[-1]),
            curves_picture("p1-success", "Success of the time average", ergodic[-1]),
            regimes_picture("p1-regimes", "How runs end without label noise", counts),
        ),
        tables={"noiseless-trials": trials, "noiseless-ergodic-cells": ergodic[-1].cells},
        notes=(
            *notes_on(ergodic, "Time average"),
            *notes_on(optimal, "Absorption at w*"),
            "A run absorbed at w* stays there for ever (exact), so its time average converges to w* too.",
            "Exponents are those of the range of n that was run; the theorem speaks of all large n.",
        ),
    )


CLAIM = Claim(
    "P1",
    "Ergodic convergence without label noise",
    "Without label noise the time average of the iterates converges to the global minimum w*; O(n²) samples "
    "suffice.",
    "theorem",
    PAPER,
    measure,
    NOISELESS,
)
