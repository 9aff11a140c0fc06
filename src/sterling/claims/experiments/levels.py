"""Weights of several levels: time averages of long runs beside the chatter law."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from sterling.claims.claim import SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.experiments.optimisers import KIND as SHARES
from sterling.claims.finding import Finding, Measured, Reference, agreement, evidence, picture
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.words import said
from sterling.model.levels import level_values
from sterling.model.problem import Problem
from sterling.plot.curves import against
from sterling.theory import chatter_mean

#: Bars: the largest mean difference in units of the distance between levels, and the least correlation.
CLOSE, ALIKE = 0.015, 0.999
NAMES = {3: "ternary", 4: "2-bit"}

#: Evidence of each number of levels: (value, low, high) of the mean difference and of the correlation.
RULE = Rule(
    (
        consistent(
            "for each number of levels the mean difference of the time averages from the law is at most "
            f"{CLOSE:g} of the distance between levels",
            lambda apart, alike: apart[0] <= CLOSE,
            f"for each the correlation is at least {ALIKE:g}",
            lambda apart, alike: alike[0] >= ALIKE,
        ),
        contradicted(
            "a 95 % interval of one of the two lies wholly beyond its bar",
            lambda apart, alike: apart[1] > CLOSE or alike[2] < ALIKE,
        ),
    )
)


@dataclass(frozen=True)
class LevelsBudget:
    """Runs without label noise on ``instances`` data sets for each number of levels, at a constant rate."""

    n: int
    samples: int
    instances: int
    steps: int
    levels: tuple[int, ...] = tuple(NAMES)


def measure(context: Context, budget: LevelsBudget) -> Finding:
    """Compare time averages of weights of several levels with the chatter law, on the same data sets."""
    tables = []
    shown: dict[str, tuple[np.ndarray, np.ndarray]] = {}
    found: dict[str, tuple[Measured, Measured]] = {}
    for count in budget.levels:
        problem = Problem(budget.n, budget.samples, levels=count)
        name = NAMES.get(count, f"{count} levels")
        rows = context.trials(
            f"levels-{count}",
            kind=SHARES.name,
            n=budget.n,
            samples=budget.samples,
            levels=count,
            surrogate="identity",
            schedule="constant:0.5",
            steps=budget.steps,
            trials=budget.instances,
        ).select("levels", "trial", "seed", "certified", "average")
        laws = [chatter_mean(problem.draw(seed), "identity") for seed in rows["seed"]]
        tables.append(rows.with_columns(predicted=pl.Series([one.tolist() for one in laws])))
        pairs = list(zip(laws, map(np.array, rows["average"]), strict=True))
        values = level_values(count)
        predicted, measured = (np.concatenate(pairs, axis=1) / values[-1] + 1) / 2
        shown[name] = predicted, measured
        found[name] = agreement(
            pairs,
            apart=f"mean difference from the law, {name}",
            alike=f"correlation with the law over weights, {name}",
            scale=values[1] - values[0],
            unit="levels",
        )
    table = pl.concat(tables)
    return CLAIM.found(
        RULE,
        [evidence(*both) for both in found.values()],
        experiment=(
            f"{budget.instances} data sets for each number of levels, n = {budget.n}, m = 1, N = "
            f"{budget.samples:,}, no label noise, identity, full batch, {budget.steps:,} steps of constant "
            "size 0.5."
        ),
        reason=" ".join(
            f"For {name} weights the averages differ from the law by {said(apart)} on average; the "
            f"correlation is {said(alike)}."
            for name, (apart, alike) in found.items()
        ),
        measured=tuple(one for both in found.values() for one in both),
        references=(Reference("agreement: mean difference", 0.0, "mean-field", f"{SCIENCE}, 16", "levels"),),
        pictures=(
            picture(
                "Time averages of weights of several levels",
                against,
                shown,
                1.0,
                ("predicted average, mean-field (0: lowest, 1: highest level)", "measured average"),
                "equal",
                caption="Each mark is the time average of one weight, as a share of the way from the lowest "
                "to the highest level. Marks on the dashed line agree with the law.",
            ),
        ),
        tables={"levels-averages": table},
        notes=(
            "A weight that does not come to rest uses mainly the two levels next to its average, and its "
            "variance is that of unbiased randomised rounding between them. The law is the two-level chatter "
            "law with this variance; it has no free parameter.",
            f"{table['certified'].sum()} of {len(table)} runs came to rest. The law is about runs that do "
            "not. With n = 48 and N = 4n two of three earlier ternary runs came to rest at w*, where the law "
            "foretold averages between levels. Runs at rest count in the rule too.",
        ),
    )


CLAIM = Claim(
    "levels",
    "The chatter law for more than two levels",
    "The time averages of ternary and 2-bit weights follow the chatter law, with the variance of randomised "
    "rounding between two neighbouring levels.",
    "mean-field",
    f"sterling.theory.chatter_mean; {SCIENCE}, 16",
    measure,
    {
        "quick": LevelsBudget(n=96, samples=288, instances=3, steps=5_000),
        "default": LevelsBudget(n=96, samples=288, instances=12, steps=10_000),
    },
)
