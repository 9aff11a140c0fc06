"""Ergodic restart: the samples with which half of the noiseless runs end at w*, and their growth with n."""

from __future__ import annotations

import math
from dataclasses import dataclass

from sterling.base.text import number
from sterling.claims.claim import SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Reference, measured, picture
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.scaling import exponent, growth_words, notes_on
from sterling.claims.words import listed, said
from sterling.dynamics.restart import Restart
from sterling.model.problem import Problem
from sterling.plot.curves import over_dimensions
from sterling.plot.study import success_curves
from sterling.study.report import fit_store
from sterling.theory import samples_for_average, samples_for_information, samples_for_messages

#: Tolerance of the exponent around 1, and largest N₅₀ in units of the edge of message passing.
TOLERANCE, ABOVE = 0.1, 1.2
_READ = 2  # without noise ReLU reads only the negative samples, which are half of all

#: Evidence: the intervals of the exponent of N₅₀, and of N₅₀ at the largest n in units of the edge.
RULE = Rule(
    (
        consistent(
            f"with restarts the 95 % interval of the exponent of N₅₀ lies within 1 ± {TOLERANCE:g}",
            lambda slope, height: slope[0] >= 1 - TOLERANCE and slope[1] <= 1 + TOLERANCE,
            "with restarts the 95 % interval of N₅₀ at the largest n lies below "
            f"{ABOVE:g} times the edge of message passing",
            lambda slope, height: height[1] <= ABOVE,
        ),
        contradicted(
            "one of the two lies wholly outside",
            lambda slope, height: slope[1] < 1 - TOLERANCE or slope[0] > 1 + TOLERANCE or height[0] > ABOVE,
        ),
    )
)


@dataclass(frozen=True)
class RestartBudget:
    """Runs with restarts at N = ratio·n for each ratio."""

    n: tuple[int, ...]
    trials: int  # at each n and N
    ratios: tuple[float, ...] = (2.8, 2.95, 3.1, 3.25, 3.45)
    steps: int = 12_600


def measure(context: Context, budget: RestartBudget) -> Finding:
    """Fit N₅₀ = C·n^α of absorption at w* with restarts, and compare N₅₀ with the limits of other methods."""
    store = context.run(
        "restart",
        n=list(budget.n),
        samples={"c": list(budget.ratios), "a": 1},
        restart=str(Restart()),
        steps=budget.steps,
        trials=budget.trials,
        criteria="optimal",
    )
    (series,) = fit_store(store, "optimal")
    growth = exponent(series, "exponent α of N₅₀ with restarts")
    top = max(budget.n)
    thresholds = () if series.fit is None else series.fit.thresholds
    heights = {one.n: (one.samples / one.n, one.low / one.n, one.high / one.n) for one in thresholds}
    value, low, high = heights.get(top, (math.nan,) * 3)
    limits = {"message passing": samples_for_messages, "information limit": samples_for_information}
    # Of the negatives alone, in units of n.
    edges = {name: _READ * limit(Problem(top, 1)) / top for name, limit in limits.items()}
    edge = edges["message passing"]
    return CLAIM.found(
        RULE,
        [(growth.ends, (low / edge, high / edge))],
        experiment=(
            f"{series.cells['trials'].sum():,} runs without label noise with {Restart()!r}, n = "
            f"{listed(budget.n)}, m = 1, step sizes 0.5/√(t+1), {budget.steps:,} steps, N = "
            f"{listed(budget.ratios)} times n."
        ),
        reason=(
            f"{growth_words('with restarts', series)}. At n = {top} N₅₀/n is "
            f"{said(measured('', (value, low, high), ''))}; message passing on the samples that ReLU reads "
            f"begins to succeed at {number(edge, 2)}."
        ),
        measured=(
            growth,
            *(
                measured(f"N₅₀/n with restarts, n = {n}", one, "profile likelihood")
                for n, one in heights.items()
            ),
        ),
        references=(
            Reference("exponent of linear growth", 1.0, "mean-field", f"{SCIENCE}, 12", beside=True),
            *(
                Reference(f"{name}, on the negative samples, n → ∞: N/n", limit, "theorem", f"{SCIENCE}, 14")
                for name, limit in edges.items()
            ),
            Reference(
                f"plain STE, time average, n = {top}: N₅₀/n",
                samples_for_average(Problem(top, 1)) / top,
                "mean-field",
                f"{SCIENCE}, 8",
            ),
        ),
        pictures=(
            picture(
                "Samples per weight with restarts",
                over_dimensions,
                {"STE with restarts": [(n, *height) for n, height in heights.items()]},
                {f"{name}, n → ∞": dict.fromkeys(heights, value) for name, value in edges.items()},
                "N₅₀/n",
                ylim=(0, None),
                caption="Points on a level line mean growth in proportion to n. Level lines are the limits "
                "for the samples that ReLU reads: the negative ones, about half of all.",
            ),
            picture("Success with restarts", success_curves, series),
        ),
        tables={"restart-trials": store.trials()},
        notes=(
            "A run that ends at w* is certified: it stays there with any step sizes (exact). "
            "How many runs end there is measured; nothing is proved about restarts.",
            f"The result is for {budget.steps:,} steps and these n. The defaults of Restart come from "
            "runs with other seeds (python -m benchmarks.papers.restart).",
            *notes_on([series], "Absorption at w* with restarts"),
        ),
    )


CLAIM = Claim(
    "restart",
    "Ergodic restart",
    "Without label noise, half of the runs with ergodic restarts end at w* within 12,600 steps with a number "
    "of samples proportional to n. This number is near the edge of message passing (ReLU, m = 1, n from 64 "
    "to at most 1,024).",
    "measured",
    f"{SCIENCE}, 12",
    measure,
    {
        "quick": RestartBudget(n=(64, 128, 256), trials=24),
        "default": RestartBudget(n=(64, 128, 256, 512), trials=24),
    },
)
