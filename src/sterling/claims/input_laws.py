"""P5: success on inputs of other laws, as they are and normalised."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sterling.base.text import percent
from sterling.claims.catalogue import CLAIMS
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Judgement, Measured, Picture
from sterling.model.families import AutoRegressive, Gaussian, Rectified, Shifted, get_family
from sterling.plot.curves import dots
from sterling.study.grid import Study
from sterling.study.kinds import family_text
from sterling.study.report import with_shares

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

_CRITERION = "optimal"
_DISPLACED = (Shifted, Rectified, AutoRegressive)  # laws with a mean, or with correlations
#: Success and failure of a family are told by its interval against this share.
HALF = 0.5
_NORMALISATIONS = ("none", "standard", "whiten")
_WORDS = {"none": "as they are", "standard": "standardised", "whiten": "whitened"}


def judge_families(
    table: dict[str, dict[str, tuple[float, float]]], normal: Iterable[str] = ()
) -> tuple[Judgement, dict[str, list[str]]]:
    """Judge by intervals of the success share: ``table[family][normalisation] = (low, high)``.

    ``normal`` names the families whose entries are Gaussian, if not independent and of mean zero: their
    failure says nothing about non-Gaussian inputs. A family fails where its interval as drawn ("none") lies
    below 1/2; a normalisation restores it where the interval then lies above 1/2. Consistent: some family
    that is not in ``normal`` fails, and some normalisation restores each family that does. Contradicted: all
    families succeed, or a family fails however it is normalised. Not decided: otherwise. Returned with the
    failing families and what restores each.
    """
    failing = {name: row for name, row in table.items() if row["none"][1] < HALF}
    healed = {
        name: [kind for kind, (low, _) in row.items() if kind != "none" and low > HALF]
        for name, row in failing.items()
    }
    if any(all(high < HALF for _, high in row.values()) for row in failing.values()):
        return Judgement.CONTRADICTED, healed
    if not failing and all(row["none"][0] > HALF for row in table.values()):
        return Judgement.CONTRADICTED, healed
    told = set(failing) - set(normal)
    return (Judgement.CONSISTENT if told and all(healed.values()) else Judgement.NOT_DECIDED), healed


def families_rule(size: int) -> str:
    """Say `judge_families` in words."""
    half = percent(HALF)
    return (
        f"By the 95 % interval of each success share at N = {size:,}: an input law fails where it lies below "
        f"{half} as it is, and a normalisation restores it where it then lies above {half}. Consistent where "
        "a law with non-Gaussian entries fails and every failing law is restored; contradicted where all "
        "laws succeed as they are, or one fails however it is normalised; not decided otherwise."
    )


def in_order(families: Sequence[str], failing: Iterable[str], normal: Iterable[str]) -> list[str]:
    """Return the families as the numbers list them, the one that the claim is about first.

    That is a failing one with non-Gaussian entries, or a succeeding one where none fails; the other failing
    ones follow.
    """
    first = [name for name in families if name in failing and name not in normal]
    first = first or [name for name in families if name not in normal][:1]
    return sorted(families, key=lambda name: (name not in first, name not in failing))


def measure(context: Context) -> Finding:
    """Count absorptions at w* for every input law and normalisation.

    Rule: `judge_families` at the largest sample size.
    """
    import polars as pl

    claim, plan = CLAIMS["P5"], context.effort.inputs
    sizes = [math.ceil(factor * plan.n * math.log(plan.n)) for factor in plan.factors]
    study = Study(
        n=plan.n,
        samples=sizes,
        inputs=list(plan.families),
        normalize=list(_NORMALISATIONS),
        steps=plan.steps,
        trials=plan.trials,
        criteria=_CRITERION,
        seed=context.seed,
        name="inputs",
    )
    store = context.study("inputs", study, plan.limit)
    cells = store.counts(_CRITERION)
    table = with_shares(cells).with_columns(cells["inputs"], cells["normalize"])
    names = {family_text(get_family(family)): family for family in plan.families}
    table = table.with_columns(table["inputs"].replace_strict(names, return_dtype=pl.String))
    last = table.filter(table["samples"] == sizes[-1])
    intervals = {
        family: {
            kind: (low, high)
            for kind, low, high in last.filter(last["inputs"] == family)
            .select("normalize", "share_low", "share_high")
            .iter_rows()
        }
        for family in plan.families
    }
    normal = [f for f in plan.families if isinstance(get_family(f), Gaussian | Shifted | AutoRegressive)]
    judgement, healed = judge_families(intervals, normal)
    groups = {
        name: [f for f in plan.families if condition(intervals[f]["none"])]
        for name, condition in (
            ("succeed", lambda ends: ends[0] > HALF),
            ("fail", lambda ends: ends[1] < HALF),
        )
    }
    undecided = int(cells["undecided"].sum())
    pictures = tuple(
        Picture(
            f"p5-inputs-{size}",
            f"Success by input law at N = {size:,}",
            partial(draw_families, cells=table.filter(table["samples"] == size), families=plan.families),
        )
        for size in sizes
    )
    return claim.found(
        experiment=(
            f"{int(cells['trials'].sum()):,} runs without label noise at n = {plan.n}, N = "
            f"{', '.join(f'{size:,}' for size in sizes)}, {plan.steps:,} steps of 0.5/√(t+1), on "
            f"{len(plan.families)} input laws of unit variance, as they are, standardised and whitened. The "
            "teacher labels the normalised inputs."
        ),
        judgement=judgement,
        reason=_reason(groups, healed, normal, sizes[-1]),
        rule=families_rule(sizes[-1]),
        measured=tuple(
            Measured(f"success on {family} inputs, {_WORDS[kind]}", share, low, high, how="Jeffreys")
            for family in in_order(plan.families, healed, normal)
            for kind, share, low, high in last.filter(last["inputs"] == family)
            .sort("normalize")
            .select("normalize", "share", "share_low", "share_high")
            .iter_rows()
        ),
        pictures=pictures,
        tables={"inputs-trials": store.trials(), "inputs-cells": table},
        notes=(
            "Standardising removes the mean of each feature, whitening the correlations too; neither makes "
            "an entry Gaussian.",
            "The laws were chosen by us, ar1:0.98 because weaker correlations do no harm here; others may "
            "behave otherwise.",
            "The shifted and ar1 laws are normal but for their mean and their correlations; ar1 inputs have "
            "correlation ρ^|k−l| between features k and l. Rectified inputs are positive parts of normal "
            "ones, as a ReLU layer gives them: neither normal nor of mean zero.",
            "The teacher labels the normalised inputs. So a shifted law standardised, and a shifted or ar1 "
            "law whitened, is the Gaussian problem itself but for estimated moments, and its restoration "
            "holds by construction; laws with non-Gaussian entries are what tests it.",
            *(
                ["No normalisation is needed for: " + ", ".join(groups["succeed"]) + "."]
                if groups["succeed"]
                else []
            ),
            *(
                [f"{undecided:,} runs spent their steps without a certificate and count as failures."]
                if undecided
                else []
            ),
        ),
    )


def _reason(groups: dict[str, list[str]], healed: dict[str, list[str]], normal: list[str], size: int) -> str:
    succeed = ", ".join(groups["succeed"]) or "none"
    if not groups["fail"]:
        return f"At N = {size:,} no input law fails for certain; these succeed: {succeed}."
    parts = [
        f"{family} ({' or '.join(_WORDS[kind] for kind in kinds)} it succeeds)"
        if kinds
        else f"{family} (no normalisation tried restores it)"
        for family, kinds in healed.items()
    ]
    text = f"At N = {size:,} these fail as they are: {'; '.join(parts)}. These succeed: {succeed}."
    if set(healed) <= set(normal):
        text += (
            " So a mean and strong correlations break the method and normalisation restores it, but no law "
            "with non-Gaussian entries failed here."
        )
    elif all(isinstance(get_family(family), _DISPLACED) for family in healed):
        text += (
            " All that fail have a mean or strong correlations; none of the laws tried with independent "
            "entries of mean zero fails, whatever its shape."
        )
    return text


def _groups(cells: pl.DataFrame, families: tuple[str, ...]) -> dict[str, np.ndarray]:
    groups = {}
    for kind in _NORMALISATIONS:
        rows = {
            name: values
            for name, *values in cells.filter(cells["normalize"] == kind)
            .select("inputs", "share", "share_low", "share_high")
            .iter_rows()
        }
        groups[_WORDS[kind]] = np.array([rows.get(name, [np.nan] * 3) for name in families], float)
    return groups


def draw_families(ax: Axes, cells: pl.DataFrame, families: tuple[str, ...]) -> str:
    """Draw the success share of every family and normalisation at one sample size."""
    dots(ax, families, _groups(cells, families), "share of runs absorbed at w*", HALF)
    ax.set_xlim(-0.03, 1.03)
    return "Points are shares with 95 % Jeffreys intervals; left of the dashed line most runs fail."
