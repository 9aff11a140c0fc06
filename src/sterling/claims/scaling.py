"""What P1 and P2 share: an adaptive study of N₅₀ against n, and its fits as numbers and notes."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass

from sterling.claims.claim import SCIENCE
from sterling.claims.context import Context
from sterling.claims.finding import Measured, Reference
from sterling.claims.judge import Rule, consistent, contradicted, far_inside
from sterling.claims.words import said
from sterling.model.problem import Problem
from sterling.study.fit import POOR
from sterling.study.report import SeriesFit, fit_store, slope
from sterling.study.store import Store
from sterling.theory import samples_for_proof

#: An exponent whose interval ends by more than this below the proved one is far inside the bound.
FAR = 0.5


@dataclass(frozen=True)
class ScalingBudget:
    """An adaptive study of N₅₀ against n, until the 95 % interval of the exponent is at most ``width``.

    Each number of steps has its own fit and at most ``max_trials`` trials; the last one is the main fit.

    Power: an exponent that is above the proved one by ``width`` would be seen.
    """

    n: tuple[int, ...]
    width: float
    steps: tuple[int, ...]
    max_trials: int
    noise: float = 0.0


#: Budgets of P1 and of the first half of P2: without label noise.
NOISELESS = {
    "quick": ScalingBudget(n=(8, 16, 32, 64), width=0.25, steps=(1_000, 10_000), max_trials=20_000),
    "default": ScalingBudget(
        n=(8, 16, 32, 64, 128), width=0.08, steps=(1_000, 10_000, 100_000), max_trials=50_000
    ),
}


def run_scaling(context: Context, name: str, budget: ScalingBudget, criteria: tuple[str, ...]) -> Store:
    """Run the adaptive study of a budget and return its store."""
    return context.run(name, criteria=criteria, target="exponent", **asdict(budget))


def run_noiseless(context: Context, budget: ScalingBudget) -> Store:
    """Run the study that P1 and P2 share; the second call finds it done."""
    return run_scaling(context, "noiseless", budget, ("ergodic", "optimal"))


def fits_by_budget(store: Store, criterion: str) -> list[SeriesFit]:
    """Return the fits of a criterion, one for each step budget, the largest budget last."""
    return sorted(fit_store(store, criterion), key=lambda one: one.series["steps"])


def exponent(series: SeriesFit, name: str) -> Measured:
    """Return the exponent of a fit as a measured number; its name includes the number of steps."""
    fit = series.fit
    name = f"{name}, {_budget(series)}"
    if fit is None:
        return Measured(name, math.nan, how=f"refused: {series.refusal}")
    return Measured(name, fit.exponent, fit.exponent_low, fit.exponent_high, how="profile likelihood")


def exponents(series: SeriesFit, name: str) -> list[Measured]:
    """Return `exponent`, and that between the two largest dimensions if no power law fits over all n."""
    fit = series.fit
    top = fit.top_exponent if fit is not None and fit.curved else None
    found = [exponent(series, name)]
    if top is not None:
        name = f"{name}, from n = {top.n} to {top.next_n}, {_budget(series)}"
        found.append(Measured(name, top.exponent, top.low, top.high, how="difference of two N₅₀"))
    return found


def _budget(series: SeriesFit) -> str:
    return f"T = {series.series['steps']:,} steps"


def ends(series: SeriesFit, left: int = 0) -> list[tuple[float, float, int]]:
    """Return the evidence of a fit for `growth_rule`, with the number of runs left open."""
    return [(one.low, one.high, left) for one in exponents(series, "")]


def left_open(store: Store, steps: int) -> int:
    """Count the runs with this number of steps that ended without a verdict for all time."""
    cells = store.counts("certified").filter(steps=steps)
    return int((cells["trials"] - cells["successes"]).sum())


def growth_rule(what: str, value: float) -> Rule:
    """Return the rule for the exponent of N₅₀, which is proved to be at most ``value``.

    Evidence: the interval (low, high) of the exponent, and the number of runs left open by their budget. Such
    runs may succeed later, so an exponent at this budget contradicts nothing.
    """
    return Rule(
        (
            far_inside(
                f"the 95 % interval of {what} ends more than {FAR:g} below the proved {value:g}",
                lambda low, high, left: math.isfinite(low) and high < value - FAR,
            ),
            consistent(
                f"the 95 % interval of {what} ends at {value:g} or below",
                lambda low, high, left: math.isfinite(low) and high <= value,
            ),
            contradicted(
                f"it begins above {value:g} and no run was left open by its budget",
                lambda low, high, left: low > value and not left,
            ),
        ),
        f"Where no power law fits (p < {POOR:g}), the exponent between the two largest dimensions is judged "
        "as well. No finite run can contradict the theorem: it is about large n and leaves a constant open. "
        "These runs could contradict that its order holds over these n.",
    )


def growth_words(what: str, series: SeriesFit) -> str:
    """Say how N₅₀ grows, and with how many steps; the words end without a full stop."""
    what = f"{what} ({_budget(series)})"
    if series.fit is None:
        return f"No exponent of N₅₀ {what} could be fitted: {series.refusal}"
    main, *top = exponents(series, "")
    text = f"N₅₀ {what} grows like n^{said(main)}"
    return text + "".join(f" over all n, and like n^{said(one)} between the two largest n" for one in top)


def law_exponents(series: SeriesFit, name: str, source: str, beside: bool = False) -> list[Reference]:
    """Return the exponent of the mean-field law over the dimensions that were run, if there is a law."""
    return [
        Reference(name, one.exponent, one.kind, source, beside=beside)
        for one in series.expected
        if one.kind == "mean-field"
    ]


def proved_here(claim: str, budget: ScalingBudget) -> Reference:
    """Return the exponent, over the dimensions run, of the samples that our theorem needs."""
    law = {n: samples_for_proof(Problem(n, 1, noise=budget.noise), claim=claim) for n in budget.n}
    largest = budget.n[-1]
    name = (
        f"proved here, with constants: exponent over the dimensions run, σ = {budget.noise:g}; at n = "
        f"{largest}, N = {law[largest]:,.0f} for 95 % of the data sets"
    )
    return Reference(name, slope(law), "exact", f"{SCIENCE}, 13")


def notes_on(series: list[SeriesFit], label: str) -> list[str]:
    """Return the notes on the fits of one criterion with all numbers of steps."""
    main = series[-1]
    if main.fit is None:
        return [f"{label}: no exponent was fitted: {main.refusal}."]
    notes = [*main.notes]
    if len(series) > 1:
        parts = [f"{said(exponent(one, ''))} with {one.series['steps']:,} steps" for one in series if one.fit]
        notes.append(f"the exponent at each step budget is {'; '.join(parts)}")
    return [f"{label}: {note}." for note in notes]
