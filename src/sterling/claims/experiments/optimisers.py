"""Optimisers: how long each weight is wrong under label noise, beside the balance of its mean gradient."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cache
from typing import Any

import numpy as np
import polars as pl

from sterling.base.registry import register
from sterling.claims.claim import SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Reference, agreement, evidence, picture
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.words import said
from sterling.model.problem import Problem
from sterling.plot.curves import against
from sterling.study import train_kind
from sterling.study.columns import COUNT, FLAG, REAL, SHARE
from sterling.study.kind import Cell, Look, Seeds
from sterling.theory import balance

#: Bars: the largest mean |Δp| and the least correlation of an optimiser that keeps the mean.
CLOSE, ALIKE = 0.006, 0.995


@dataclass(frozen=True)
class Method:
    """An optimiser, its batch and its step sizes, and whether it keeps the mean gradient."""

    optimizer: str
    batch: str
    schedule: str
    keeps: bool | None = None  # True and False are judged: agreement, and failure


_RATE = "constant:0.5"
_CLIPPED = "constant:0.05"
_SCALE_FREE = "constant:0.003"
METHODS = {
    "SGD, full batch": Method("sgd", "none", _RATE, True),
    "momentum 0.9, full batch": Method("sgd:momentum=0.9", "none", _RATE, True),
    "clip 0.3, full batch": Method("sgd:clip=0.3", "none", _CLIPPED, True),
    "SGD, batch 8": Method("sgd", "8", _RATE, True),
    "SGD, batch 32": Method("sgd", "32", _RATE, True),
    "clip 0.3, batch 32": Method("sgd:clip=0.3", "32", _CLIPPED, True),
    "Adam, batch 32": Method("adam", "32", _SCALE_FREE, True),
    "Lion, batch 32": Method("lion", "32", _SCALE_FREE),
    "Lion, full batch": Method("lion", "none", _SCALE_FREE),
    "sign, batch 32": Method("signsgd", "32", _SCALE_FREE),
    "sign, full batch": Method("signsgd", "none", _SCALE_FREE, False),
}

#: Evidence of each optimiser: whether it keeps the mean, and (value, low, high) of the mean |Δp| and of the
#: correlation over weights, as means over data sets.
RULE = Rule(
    (
        consistent(
            "for each optimiser that keeps the mean (SGD, momentum, clipping, batches of 8 and 32, Adam) "
            f"the mean difference of wrong shares from the balance is at most {CLOSE:g} and the "
            f"correlation at least {ALIKE:g}",
            lambda keeps, apart, alike: not keeps or (apart[0] <= CLOSE and alike[0] >= ALIKE),
            "for the sign of the full gradient both 95 % intervals lie beyond these bars",
            lambda keeps, apart, alike: keeps or (apart[1] > CLOSE and alike[2] < ALIKE),
        ),
        contradicted(
            "one 95 % interval of an optimiser that keeps the mean lies wholly beyond its bar, or both of "
            "the sign of the full gradient lie inside",
            lambda keeps, apart, alike: (
                apart[1] > CLOSE or alike[2] < ALIKE if keeps else apart[2] <= CLOSE and alike[1] >= ALIKE
            ),
        ),
    ),
    "Lion, and the sign of the gradient of a batch, are shown and not judged.",
)


@dataclass(frozen=True)
class OptimisersBudget:
    """Runs of each optimiser on the same ``instances`` noisy data sets."""

    n: int
    samples: int
    instances: int
    steps: int
    noise: float = 0.5
    methods: tuple[str, ...] = tuple(METHODS)


def _run(cell: Cell, seeds: Seeds, look: Look) -> Mapping[str, Any]:
    orbit = train_kind.run_orbit(cell, seeds, look=look)
    return {
        "seed": seeds.data,
        "certified": orbit.certified,
        "wrong": orbit.wrong_share.tolist(),
        "average": (orbit.ergodic_mean * np.sqrt(orbit.n)).tolist(),
    }


KIND = replace(
    train_kind.KIND,
    name="wrong_shares",
    run=_run,
    columns={"seed": COUNT, "certified": FLAG, "wrong": SHARE.list(), "average": REAL.list()},
    criteria={},
)
register(KIND)


def measure(context: Context, budget: OptimisersBudget) -> Finding:
    """Run each optimiser on the same data sets and compare the wrong shares with those of the balance."""
    problem = Problem(budget.n, budget.samples, noise=budget.noise)
    law = cache(lambda seed: balance(problem.draw(seed)).wrong_share)
    tables, pairs, found = [], {}, {}
    for name in budget.methods:
        method = METHODS[name]
        rows = context.trials(
            f"optimisers-{list(METHODS).index(name)}",
            kind=KIND.name,
            n=budget.n,
            samples=budget.samples,
            noise=budget.noise,
            optimizer=method.optimizer,
            batch=method.batch,
            schedule=method.schedule,
            steps=budget.steps,
            trials=budget.instances,
        ).select(pl.lit(name).alias("method"), "trial", "seed", "wrong")
        tables.append(rows)
        pairs[name] = [(law(row["seed"]), np.array(row["wrong"])) for row in rows.to_dicts()]
        words = f"of wrong shares from the balance, {name}"
        found[name] = agreement(pairs[name], f"mean |Δp| {words}", f"correlation {words}")
    judged = {name: both for name, both in found.items() if METHODS[name].keeps is not None}
    keepers = [name for name in judged if METHODS[name].keeps]
    worst = max(keepers, key=lambda name: found[name][0].value)
    loosest = min(keepers, key=lambda name: found[name][1].value)
    shown = {name: tuple(np.concatenate(pairs[name], axis=1)) for name in keepers}
    failing = [
        f"{name}: {said(apart)} and {said(alike)}"
        for name, (apart, alike) in judged.items()
        if name not in keepers
    ]
    most = f"{worst} has the largest mean difference, {said(found[worst][0])}"
    least = f"the least correlation, {said(found[loosest][1])}"
    extremes = f"{most}, and {least}" if worst == loosest else f"{most}, and {loosest} has {least}"
    return CLAIM.found(
        RULE,
        [(METHODS[name].keeps, *evidence(*both)) for name, both in judged.items()],
        experiment=(
            f"{budget.instances} data sets with n = {budget.n}, m = 1, σ = {budget.noise:g}, N = "
            f"{budget.samples:,}, ReLU; on each of them {len(pairs)} optimisers, {budget.steps:,} steps of "
            "constant size."
        ),
        reason=(
            f"Of the {len(keepers)} optimisers that keep the mean, {extremes}. "
            f"Predicted to fail, with their mean difference and correlation: {'; '.join(failing)}."
        ),
        measured=tuple(one for both in found.values() for one in both),
        references=(Reference("agreement: mean |Δp|", 0.0, "mean-field", f"{SCIENCE}, 16"),),
        pictures=(
            picture(
                "Wrong shares: predicted and measured",
                against,
                shown,
                max(0.05, *(float(np.max(points)) for points in shown.values())),
                ("predicted share of the steps, mean-field", "measured share of the steps"),
                "equal",
                caption="Optimisers that keep the mean: each mark is one weight of one data set, and the "
                "share of the steps in which it is wrong. Marks on the dashed line agree with the balance, "
                "the same for all of them.",
            ),
        ),
        tables={"optimiser-shares": pl.concat(tables)},
        notes=(
            "p_k is the share of the steps in which weight k is wrong; |Δp| is averaged over the weights of "
            "a data set. The prediction has no free parameter and knows neither the optimiser nor the batch. "
            f"For which optimisers the balance is exact: {SCIENCE}, 16.",
            "The sign of the gradient balances its median, not its mean: at full batch a weight with any "
            "outward push is wrong about half of the time.",
        ),
    )


CLAIM = Claim(
    "optimisers",
    "One law for every optimiser that keeps the mean",
    "Under label noise each weight is wrong for the share of the time that balances its mean gradient, with "
    "any optimiser that keeps this mean: SGD, momentum, clipping, batches, Adam. The sign of the full "
    "gradient does not keep it and fails.",
    "mean-field",
    f"sterling.theory.balance; {SCIENCE}, 16",
    measure,
    {
        "quick": OptimisersBudget(n=48, samples=1500, instances=4, steps=100_000),
        "default": OptimisersBudget(n=48, samples=1500, instances=20, steps=300_000),
    },
)
