"""Your own claim is one file: beside the others, `sterling reproduce` finds and measures it.

cp examples/own_claim.py src/sterling/claims/experiments/
sterling reproduce --quick --only enough
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sterling.claims.claim import Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, picture, share
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.plot.curves import shares
from sterling.plot.style import tidy
from sterling.study.report import with_shares

HALF = 0.5

#: Judges the interval of the share at the larger sample size: each condition beside its words.
RULE = Rule(
    (
        consistent("the whole 95 % interval of the share lies above 50 %", lambda low, high: low > HALF),
        contradicted("it lies wholly below", lambda low, high: high < HALF),
    )
)


@dataclass(frozen=True)
class Budget:
    """How much is done: trials and sizes, so that the same effort has the same rows on every machine."""

    n: int
    trials: int


def measure(context: Context, budget: Budget) -> Finding:
    """Count how many runs are absorbed at w* with n·ln n and with 4·n·ln n samples."""
    sizes = [math.ceil(factor * budget.n * math.log(budget.n)) for factor in (1, 4)]
    store = context.run("enough", n=budget.n, samples=sizes, steps=10_000, trials=budget.trials)
    cells = with_shares(store.counts("optimal")).sort("samples")
    size, runs, won = cells.select("samples", "trials", "successes").row(-1)
    found = share(f"share absorbed at w* with N = {size}", won, runs)
    return CLAIM.found(
        RULE,
        [found.ends],
        experiment=f"{len(store.trials()):,} runs without label noise at n = {budget.n}.",
        reason=f"With N = {size} samples {won} of {runs} runs were absorbed at w*.",
        measured=(found,),
        pictures=(picture("Absorbed at w* by sample size", draw, cells),),
        tables={"enough-cells": cells},
    )


def draw(ax, cells) -> str:
    """Draw the share against N; return the sentence that says what to see."""
    shares(ax, cells, marker="o")
    tidy(ax, ylim=(-0.03, 1.03), xlabel="samples N", ylabel="share of runs absorbed at w*")
    return "Bars are 95 % Jeffreys intervals."


CLAIM = Claim(
    "enough",
    "Four times n·ln n samples are enough",
    "Without label noise most runs with 4·n·ln n samples are absorbed at w*.",
    "mean-field",
    "sterling.theory.laws",
    measure,
    {"quick": Budget(16, 50), "default": Budget(32, 200)},
)
