"""P5: success on inputs of other distributions, raw and normalised, and what makes runs fail there."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import numpy as np
import polars as pl

from sterling.base.registry import register
from sterling.base.text import percent
from sterling.claims.claim import PAPER, SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Measured, evidence, picture, share
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.words import listed
from sterling.model.families import AutoRegressive, Gaussian, Shifted, get_family
from sterling.plot.curves import dots
from sterling.study.columns import SHARE
from sterling.study.kind import Cell, Look, Seeds
from sterling.study.train_kind import KIND as TRAIN
from sterling.study.train_kind import row_of, run_orbit

#: A family succeeds or fails if its interval lies wholly above or below this share.
HALF = 0.5
_WORDS = {"none": "as they are", "standard": "standardised", "whiten": "whitened"}

#: Shapes of the second part, each with its distribution of mean zero.
SHAPES = {
    "gaussian": "gaussian",
    "uniform": "uniform",
    "rademacher": "rademacher",
    "student_t:4": "student_t:4",
    "exponential": "exponential",
    "rectified": f"rectified+{-1 / math.sqrt(math.pi - 1):.4f}",
}

#: Intervals (low, high) of the success share by family and normalisation.
Shares = Mapping[str, Mapping[str, tuple[float, float]]]
#: By surrogate with mean, and by shape: the share of successes, and the mean share of the positive samples
#: that the last weights miss.
Crossed = dict[str, dict[str, tuple[Measured, Any]]]


@dataclass(frozen=True)
class InputBudget:
    """Runs on each input family and normalisation, at sample sizes ``factors`` in units of n·ln n.

    The second part crosses shapes, means and surrogates at the largest of these sizes.

    Power: with 50 trials a measured share of at least 0.66, or at most 0.34, differs from one half.
    """

    n: int
    factors: tuple[float, ...]
    trials: int
    steps: int
    families: tuple[str, ...] = (*SHAPES, "shifted:0.5", "ar1:0.8", "ar1:0.98")
    shapes: tuple[str, ...] = tuple(SHAPES)
    means: tuple[float, ...] = (0.0, 1.0)
    surrogates: tuple[str, ...] = ("relu", "identity")
    crossed: int = 100
    crossed_steps: int = 200_000


def _run(cell: Cell, seeds: Seeds, look: Look) -> Mapping[str, Any]:
    instance = cell.problem.draw(seeds.data, threads=1)
    orbit = run_orbit(cell, seeds, look=look, instance=instance)
    missed = instance.predict(orbit.signs)[instance.labels > 0] <= 0
    return {**row_of(orbit), "missed": float(missed.mean()) if missed.size else None}


KIND = replace(
    TRAIN,
    name="labelled",
    run=_run,
    # The share of the positive samples whose final output is zero.
    columns={**TRAIN.columns, "missed": SHARE.maybe()},
)
register(KIND)


def restored(shares: Shares) -> dict[str, list[str]]:
    """Return the families that fail without normalisation, each with the normalisations that restore it."""
    return {
        family: [kind for kind, (low, _) in row.items() if kind != "none" and low > HALF]
        for family, row in shares.items()
        if row["none"][1] < HALF
    }


def _refutes(shares: Shares) -> bool:
    rows = shares.values()
    lost = any(all(high < HALF for _, high in row.values()) for row in rows)
    return lost or all(row["none"][0] > HALF for row in rows)


def rule(size: int) -> Rule:
    """Return the rule for the shares at a sample size and the families with Gaussian entries.

    Those may have a mean or correlations, so their failure says nothing about non-Gaussian inputs.
    """
    return Rule(
        (
            consistent(
                "a distribution with non-Gaussian entries fails",
                lambda shares, normal: bool(set(restored(shares)) - set(normal)),
                "each distribution that fails is restored",
                lambda shares, normal: all(restored(shares).values()),
            ),
            contradicted(
                "all distributions succeed as they are, or one fails with every normalisation",
                lambda shares, normal: _refutes(shares),
            ),
        ),
        f"The rule uses the 95 % interval of each success share at N = {size:,}; its upper end counts runs "
        f"left open by their budget as successes. An input distribution fails if its interval lies below "
        f"{percent(HALF)} without normalisation. A normalisation restores it if the interval then lies above "
        f"{percent(HALF)}.",
    )


def measure(context: Context, budget: InputBudget) -> Finding:
    """Count absorptions at w* for each input distribution and normalisation, and judge the largest N."""
    sizes = [math.ceil(factor * budget.n * math.log(budget.n)) for factor in budget.factors]
    store = context.run(
        "inputs",
        n=budget.n,
        samples=sizes,
        inputs=budget.families,
        normalize=list(_WORDS),
        steps=budget.steps,
        trials=budget.trials,
    )
    cells = store.counts("optimal")
    names = {str(get_family(family)): family for family in budget.families}
    found = {}
    shares = {family: {} for family in budget.families}
    for row in cells.filter(samples=sizes[-1]).iter_rows(named=True):
        family, kind, runs = names[row["inputs"]], row["normalize"], row["trials"]
        text = f"success on {family} inputs, {_WORDS[kind]}"
        found[family, kind] = share(text, row["successes"], runs, row["undecided"])
        shares[family][kind] = found[family, kind].ends
    normal = [f for f in budget.families if isinstance(get_family(f), Gaussian | Shifted | AutoRegressive)]
    healed = restored(shares)
    # First those that the claim is about: failing ones with non-Gaussian entries.
    order = sorted(budget.families, key=lambda one: (one not in healed or one in normal, one not in healed))
    crossed, counts = cross(context, budget, sizes[-1])
    shown: dict[str, Any] = {
        "axis": "share of runs absorbed at w*",
        "line": HALF,
        "xlim": (-0.03, 1.03),
        "caption": "Each row is an input distribution. Bars are 95 % Jeffreys intervals, and left of the "
        "dashed line most runs fail. Marks of one colour stand above each other where the distribution makes "
        "no difference.",
    }
    return CLAIM.found(
        rule(sizes[-1]),
        [(shares, normal)],
        experiment=(
            f"{int(cells['trials'].sum()):,} runs without label noise at n = {budget.n}, N = "
            f"{listed(sizes)}, {budget.steps:,} steps of 0.5/√(t+1), on "
            f"{len(budget.families)} input distributions of unit variance, as they are, standardised and "
            "whitened. w* makes the labels from the normalised inputs. Then, chosen beforehand, "
            f"{counts['trials'].sum():,} runs at N = {sizes[-1]:,} on {len(budget.shapes)} shapes of unit "
            f"variance, each with a mean of {' and of '.join(f'{one:g}' for one in budget.means)}, with "
            f"{' and '.join(budget.surrogates)}."
        ),
        reason=f"{_reason(shares, healed, normal, sizes[-1], crossed)} {causes_in_words(crossed)}",
        measured=(
            *(found[family, kind] for family in order for kind in _WORDS),
            *(one for row in crossed.values() for one, _ in row.values()),
        ),
        pictures=(
            picture(
                "Success by input distribution",
                dots,
                budget.families,
                {
                    words: np.array(evidence(*(found[family, kind] for family in budget.families)))
                    for kind, words in _WORDS.items()
                },
                **shown,
            ),
            picture(
                "Success by shape, mean and surrogate",
                dots,
                budget.shapes,
                {
                    label: np.array(evidence(*(one for one, _ in row.values())))
                    for label, row in crossed.items()
                },
                **shown,
            ),
        ),
        tables={"inputs-trials": store.trials(), "inputs-crossed": counts},
        notes=(
            "We chose the distributions, ar1:0.98 because weaker correlations do no harm here. Ar1 inputs "
            "have the correlation ρ^|k−l| between features k and l. Rectified inputs are positive parts of "
            "normal ones, as a ReLU layer outputs them.",
            "Standardised shifted inputs, and whitened shifted or ar1 inputs, are the Gaussian problem "
            "itself up to estimated moments, so they are restored by construction. Only distributions with "
            "non-Gaussian entries test restoration.",
            "If inputs have a mean, all outputs of a ReLU unit can become zero at once: the unit is dead and "
            f"has no gradient ({SCIENCE}, 15). The identity reads every sample.",
            f"{cells['undecided'].sum():,} runs ended without a certified verdict. They count as failures, "
            "and at the upper ends of intervals as successes.",
        ),
    )


def distribution(shape: str, mean: float) -> str:
    """Return the input distribution of a shape around a mean."""
    centred, _, moved = SHAPES[shape].partition("+")
    total = mean + float(moved or 0)
    return f"{centred}+{total:.4f}" if total else centred


def cross(context: Context, budget: InputBudget, samples: int) -> tuple[Crossed, pl.DataFrame]:
    """Return the share of successes at each shape, surrogate and mean, and the counts of all cells.

    Runs left open by their budget count as failures at the lower end and as successes at the upper one.
    """
    inputs = {
        (mean, shape): distribution(shape, mean) for mean, shape in product(budget.means, budget.shapes)
    }
    store = context.run(
        "inputs-crossed",
        kind="labelled",
        n=budget.n,
        samples=samples,
        inputs=list(inputs.values()),
        surrogate=budget.surrogates,
        steps=budget.crossed_steps,
        trials=budget.crossed,
    )
    trials, cells = store.trials(), store.counts("optimal")
    found: Crossed = {}
    for surrogate, mean in product(budget.surrogates, budget.means):
        label = f"{surrogate}, mean {mean:g}"
        row = found[label] = {}
        for shape in budget.shapes:
            where = {"inputs": str(get_family(inputs[mean, shape])), "surrogate": surrogate}
            runs, won, left = cells.filter(**where).select("trials", "successes", "undecided").row(0)
            one = share(f"success, {label}, {shape}", won, runs, left)
            row[shape] = one, trials.filter(**where)["missed"].drop_nulls().mean()
    return found, cells


def causes_in_words(crossed: Crossed) -> str:
    """Count the shapes that succeed and fail with each surrogate and mean, and say what failing runs miss."""
    parts, missed = [], []
    for label, row in crossed.items():
        lost = [share for one, share in row.values() if one.high < HALF]
        won = sum(one.low > HALF for one, _ in row.values())
        parts.append(f"{label}: {won} of {len(row)} shapes succeed, {len(lost)} fail")
        missed += lost
    text = f"Surrogate and mean together decide, shape by shape: {'; '.join(parts)}."
    if not missed:
        return text
    dead = ": the unit is dead" if min(missed) > HALF else ""
    return (
        f"{text} Where runs fail, the last weights miss {percent(min(missed))} to {percent(max(missed))} "
        f"of the positive samples{dead}."
    )


def _reason(
    shares: Shares, healed: dict[str, list[str]], normal: list[str], size: int, crossed: Crossed
) -> str:
    lost = []
    for family, kinds in healed.items():
        cures = " or ".join(_WORDS[kind] for kind in kinds) or "with nothing tried"
        lost.append(f"{family} ({cures} they succeed)")
    won = [family for family, row in shares.items() if row["none"][0] > HALF]
    left = [family for family in shares if family not in won and family not in healed]
    dead = [label for label, row in crossed.items() if all(one.high < HALF for one, _ in row.values())]
    text = f"At N = {size:,} runs fail on these inputs: {', '.join(lost) or 'none'}"
    text += "".join(f"; with {label} they fail on each shape" for label in dead)
    text += f". They succeed on: {', '.join(won) or 'none'}."
    text += f" Neither is shown for: {', '.join(left)}." if left else ""
    if set(healed) <= set(normal):
        text += " No distribution with non-Gaussian entries failed here."
    return text


CLAIM = Claim(
    "P5",
    "Non-Gaussian inputs and normalisation",
    "On general non-Gaussian inputs the method fails, and normalising the inputs restores it. The paper "
    "finds this in experiments.",
    "measured",
    f"{PAPER}, second version, abstract",
    measure,
    {
        "quick": InputBudget(n=24, factors=(4.0, 16.0), trials=30, steps=10_000, crossed=24),
        "default": InputBudget(n=32, factors=(4.0, 16.0, 64.0), trials=50, steps=20_000, crossed=60),
    },
)
