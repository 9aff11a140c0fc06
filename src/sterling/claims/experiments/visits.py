"""P2: visits of the iterates to w*: at every later step without label noise, half of the time with it."""

from __future__ import annotations

from dataclasses import dataclass

from sterling.claims import scaling
from sterling.claims.claim import PAPER, SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Reference, picture
from sterling.claims.scaling import NOISELESS, ScalingBudget
from sterling.claims.words import listed
from sterling.plot.study import threshold_law

PROVED = 4.0
RULE = scaling.growth_rule("each exponent of w* itself (absorption, half of the steps)", PROVED)
_LAWS = f"sterling.theory.laws; leading order: {SCIENCE}, 7"


@dataclass(frozen=True)
class VisitsBudget:
    """Two studies: the one of P1 without label noise, and one with it."""

    quiet: ScalingBudget
    noisy: ScalingBudget


def measure(context: Context, budget: VisitsBudget) -> Finding:
    """Fit N₅₀ = C·n^α for absorption at w* (no noise) and for spending half of the steps at w* (noise).

    Both are judged at their largest step budgets.
    """
    noisy = budget.noisy
    quiet_store = scaling.run_noiseless(context, budget.quiet)
    store = scaling.run_scaling(context, "noisy", noisy, ("occupancy>=0.5", "ergodic"))
    sigma = f"σ = {noisy.noise:g}"
    over_n = "exponent of the same law over these n"
    fits = {
        "absorption at w*, no noise": scaling.fits_by_budget(quiet_store, "optimal"),
        f"half of the steps at w*, {sigma}": scaling.fits_by_budget(store, "occupancy>=0.5"),
        f"the time average, {sigma}": scaling.fits_by_budget(store, "ergodic"),
    }
    absorbed, half, average = fits.values()
    trials = store.trials()
    return CLAIM.found(
        RULE,
        scaling.ends(absorbed[-1], scaling.left_open(quiet_store, budget.quiet.steps[-1]))
        + scaling.ends(half[-1], scaling.left_open(store, noisy.steps[-1])),
        experiment=(
            f"{len(quiet_store.trials(['n'])):,} runs without label noise (those of P1) and {len(trials):,} "
            f"with {sigma}, n = {listed(noisy.n)}, m = 1, {listed(noisy.steps)} steps of 0.5/√(t+1)."
        ),
        reason=(
            f"{scaling.growth_words('for absorption at w* without noise', absorbed[-1])}; "
            f"{scaling.growth_words('for half of the steps at w* with noise', half[-1])}; "
            f"samples of the order n^{PROVED:g} are proved to suffice."
        ),
        measured=tuple(
            one
            for what, fit in fits.items()
            for one in scaling.exponents(fit[-1], f"exponent α of N₅₀ for {what}")
        ),
        references=(
            Reference("exponent that is proved to suffice", PROVED, "theorem", PAPER, beside=True),
            Reference("the same for the time average, without label noise", 2.0, "theorem", PAPER),
            scaling.proved_here("recurrent", noisy),
            Reference("half of the steps at w* under noise: leading exponent", 3.0, "mean-field", _LAWS),
            *scaling.law_exponents(half[-1], over_n, _LAWS),
            Reference(
                "time average under noise: leading exponent, up to a logarithm", 1.0, "mean-field", _LAWS
            ),
            *scaling.law_exponents(average[-1], over_n, _LAWS),
        ),
        pictures=tuple(picture(f"Samples for {what}", threshold_law, fit[-1]) for what, fit in fits.items()),
        tables={"noisy-trials": trials},
        notes=(
            *(note for what, fit in fits.items() for note in scaling.notes_on(fit, what.capitalize())),
            "Absorption at w* is certified from the data: the run visits w* at every later step (exact).",
            "Under noise no finite run proves infinitely many visits. Half of the steps at w* is a stronger "
            "condition than recurrent visits, so its threshold lies higher.",
            f"Our own theorem ({SCIENCE}, 13) proves visits with all constants; its leading exponent is 3.",
        ),
    )


CLAIM = Claim(
    "P2",
    "Non-ergodic convergence: visits to w*",
    "The iterates themselves visit w* infinitely often; O(n⁴) samples suffice.",
    "theorem",
    PAPER,
    measure,
    {
        "quick": VisitsBudget(
            NOISELESS["quick"],
            ScalingBudget(n=(6, 8, 12, 16), width=0.6, steps=(20_000,), max_trials=4_000, noise=0.5),
        ),
        "default": VisitsBudget(
            NOISELESS["default"],
            ScalingBudget(
                n=(8, 12, 16, 24, 32, 48), width=0.25, steps=(50_000,), max_trials=20_000, noise=0.5
            ),
        ),
    },
)
