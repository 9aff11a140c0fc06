"""P1: ergodic convergence without label noise, N₅₀ of the time average against n."""

from __future__ import annotations

from sterling.claims import scaling
from sterling.claims.claim import PAPER, SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Reference, picture
from sterling.claims.scaling import NOISELESS, ScalingBudget
from sterling.claims.words import listed
from sterling.plot.study import phase_map, success_curves, threshold_law

PROVED = 2.0
RULE = scaling.growth_rule("the exponent of the time average", PROVED)


def measure(context: Context, budget: ScalingBudget) -> Finding:
    """Fit N₅₀ = C·n^α for "the sign of the time average is w*"; it is judged at the largest step budget."""
    store = scaling.run_noiseless(context, budget)
    ergodic = scaling.fits_by_budget(store, "ergodic")
    average = ergodic[-1]
    trials = store.trials()
    counts = store.counts("ergodic").filter(steps=budget.steps[-1])
    return CLAIM.found(
        RULE,
        scaling.ends(average, scaling.left_open(store, budget.steps[-1])),
        experiment=(
            f"{len(trials):,} runs without label noise, n = {listed(budget.n)}, m = 1, step sizes "
            f"0.5/√(t+1), {listed(budget.steps)} steps; the sample sizes were placed where they "
            "narrow the interval of α."
        ),
        reason=(
            f"{scaling.growth_words('of the time average', average)}; samples of the order n^{PROVED:g} "
            "are proved to suffice."
        ),
        measured=tuple(scaling.exponents(average, "exponent α of N₅₀ for the time average")),
        references=(
            Reference("exponent that is proved to suffice", PROVED, "theorem", PAPER, beside=True),
            scaling.proved_here("ergodic", budget),
            *scaling.law_exponents(average, "exponent of the law over these n", f"{SCIENCE}, 8", beside=True),
        ),
        pictures=(
            picture("Samples for the time average", threshold_law, average),
            picture("Success of the time average", success_curves, average),
            picture("How runs end without label noise", phase_map, counts),
        ),
        tables={"noiseless-trials": trials},
        notes=(
            *scaling.notes_on(ergodic, "Time average"),
            "A run absorbed at w* stays there (exact), so its time average converges to w* too.",
            f"Our own theorem ({SCIENCE}, 13) has all constants and the order n^(5/3)·(ln n)^(2/3).",
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
