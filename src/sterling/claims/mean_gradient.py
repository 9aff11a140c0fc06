"""The population-gradient law: gradients averaged over data sets against E G(w), for every surrogate."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sterling.base.text import number, percent
from sterling.claims.catalogue import CLAIMS
from sterling.claims.context import Context, Parameters, seeds
from sterling.claims.finding import Finding, Judgement, Measured, Picture, Reference
from sterling.claims.judge import all_of
from sterling.claims.statistics import measured, t_interval
from sterling.claims.words import said
from sterling.plot.curves import dots
from sterling.plot.style import BLUE, GREY, VERMILLION

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

_GROUPS = {"wrong": (VERMILLION, "o", "--"), "right": (BLUE, "s", ":")}

#: Confidence, over all surrogates together, at which a law is said to be contradicted.
JOINT = 0.999
#: Widest interval of a slope, in parts of one, with which a law counts as tested.
WIDEST = 0.1


def judge_slope(low: float, high: float) -> Judgement:
    """Judge a slope against theory by its interval at the joint level.

    Consistent: it contains 1 and is no wider than 0.1. Contradicted: it does not contain 1. Not decided:
    it contains 1 and is wider.
    """
    if not (math.isfinite(low) and math.isfinite(high)):
        return Judgement.NOT_DECIDED
    if not low <= 1 <= high:
        return Judgement.CONTRADICTED
    return Judgement.CONSISTENT if high - low <= WIDEST else Judgement.NOT_DECIDED


def slope_rule(surrogates: int) -> str:
    """Say in words how `measure` judges."""
    return (
        f"Consistent where for each of the {surrogates} surrogates the interval of the slope holds 1 and is "
        f"at most {WIDEST:g} wide; contradicted where one of them leaves 1 out; not decided otherwise. These "
        f"intervals hold together at {percent(JOINT, 1)} (Bonferroni), so they are wider than the ones shown."
    )


def measure(context: Context) -> Finding:
    """Regress measured gradients on the theory's, data set by data set.

    Rule: `judge_slope` for every surrogate, at a level that makes the family hold at 99.9 % (Bonferroni),
    joined by `judge.all_of`. The intervals that are shown are at 95 %.
    """
    claim, plan = CLAIMS["population"], context.effort.population
    cells = [
        {
            "n": plan.n,
            "m": plan.m,
            "samples": plan.samples,
            "instance": number,
            "distances": plan.distances,
            "surrogates": list(plan.surrogates),
        }
        for number in range(plan.instances)
    ]
    raw = context.rows("population", cells, partial(gradients, context))
    slopes = by_instance(raw)
    joint = 1 - (1 - JOINT) / len(plan.surrogates)
    found, judged = [], []
    for name in plan.surrogates:
        values = slopes.filter(slopes["surrogate"] == name)["slope"].to_numpy()
        found.append(measured(f"slope against E G, {name}", t_interval(values), "t over data sets"))
        judged.append(judge_slope(*t_interval(values, joint)[1:]))
    across = slopes["across"].to_numpy()
    widest = max(found, key=lambda one: abs(one.value - 1))
    return claim.found(
        experiment=(
            f"{plan.instances} data sets of Gaussian inputs with n = {plan.n}, m = {plan.m}, N = "
            f"{plan.samples:,}, no noise; on each, gradients at {plan.distances} random states of different "
            f"distances to w* with {len(plan.surrogates)} surrogates, regressed on E G(w) without a constant."
        ),
        judgement=all_of(*judged),
        reason=(
            f"All slopes lie within {percent(abs(widest.value - 1), 2)} of one; the farthest is "
            f"{_surrogate(widest)} with {said(widest)}. Across the predicted direction the gradient of one "
            f"data set has {percent(float(np.median(across)), 1)} of its length (median)."
        ),
        rule=slope_rule(len(plan.surrogates)),
        measured=tuple(found),
        references=(
            Reference("slope against E G for every surrogate", 1.0, "exact", "sterling.theory.population"),
            Reference(
                "1/(2√(2π)), ReLU's factor of ‖v‖²·(w − w*)",
                1 / (2 * math.sqrt(2 * math.pi)),
                "exact",
                claim.source,
            ),
        ),
        pictures=(
            Picture(
                "population-slopes",
                "Measured against predicted gradient",
                partial(draw_slopes, slopes=found),
            ),
            Picture(
                "population-gradient",
                "Gradient entries against theory, ReLU",
                partial(draw_entries, raw=raw),
            ),
        ),
        tables={"population-gradients": raw, "population-slopes": slopes},
        notes=(
            f"Chance of a false alarm by this rule, if the law holds: {percent(1 - JOINT, 1)}.",
            "The law holds for Gaussian inputs and a readout that student and teacher share.",
        ),
    )


def gradients(context: Context, cell: Parameters, seed: int):
    """Give the gradients of one data set: a row for each state, surrogate and kind of weight."""
    from sterling.model.problem import Problem
    from sterling.theory.population import population_gradient

    n = cell["n"]
    instance = Problem(n=n, samples=cell["samples"], m=cell["m"], readout="gaussian").draw(seed)
    teacher = instance.teacher
    assert teacher is not None
    distances = np.unique(np.linspace(1, n, cell["distances"]).round().astype(int))
    for place, state in enumerate(seeds(seed, len(distances))):
        signs = teacher.copy()
        wrong = np.random.default_rng(state).permutation(n)[: distances[place]]
        signs[wrong] *= -1
        for surrogate in cell["surrogates"]:
            context.look()
            measured = instance.gradient(signs, surrogate)
            expected = population_gradient(instance, signs, surrogate=surrogate)
            for group, mask in (("wrong", signs != teacher), ("right", signs == teacher)):
                if mask.any():
                    yield {
                        "surrogate": surrogate,
                        "distance": int(distances[place]),
                        "weights": group,
                        "count": int(mask.sum()),
                        "norm2": instance.readout_norm2,
                        "expected": float(np.mean((expected * signs)[mask])),
                        "measured": float(np.mean((measured * signs)[mask])),
                        "product": float(measured[mask] @ expected[mask]),
                        "square_expected": float(expected[mask] @ expected[mask]),
                        "square_measured": float(measured[mask] @ measured[mask]),
                    }


def by_instance(raw: pl.DataFrame) -> pl.DataFrame:
    """Return the slope of measured on expected gradients, and the share across, of each data set."""
    import polars as pl

    total = raw.group_by("surrogate", "instance", maintain_order=True).agg(
        pl.col("product", "square_expected", "square_measured").sum()
    )
    slope = pl.col("product") / pl.col("square_expected")
    rest = (pl.col("square_measured") - slope * pl.col("product")).clip(0)
    return total.select(
        "surrogate",
        "instance",
        slope.alias("slope"),
        (rest / pl.col("square_measured")).sqrt().alias("across"),
    )


def draw_slopes(ax: Axes, slopes: list[Measured]) -> str:
    """Draw every slope with its interval."""
    table = np.array([(one.value, one.low, one.high) for one in slopes])
    dots(ax, [_surrogate(one) for one in slopes], {"slope": table}, "slope of G on E G", 1.0)
    return "A slope of one (dashed) is the law; bars are 95 % intervals over data sets."


def _surrogate(slope: Measured) -> str:
    """Return the surrogate that a measured slope is of: the last word of its name."""
    return slope.name.rpartition(" ")[2]


def entries(raw: pl.DataFrame) -> pl.DataFrame:
    """Return mean ReLU gradient entries in ‖v‖²/√n and along w, and E G, by distance and kind of weight.

    ``reach`` is half of the 95 % interval of the mean over data sets.
    """
    import polars as pl
    from scipy.stats import t

    scale = pl.col("n").sqrt() / pl.col("norm2")
    quantile = float(t.ppf(0.975, max(1, raw["instance"].n_unique() - 1)))
    found = pl.col("measured") * scale
    return (
        raw.filter(pl.col("surrogate") == "relu")
        .group_by("distance", "weights", maintain_order=True)
        .agg(
            (pl.col("expected") * scale).mean(),
            found.mean(),
            (quantile * found.std() / pl.len().sqrt()).fill_null(0).alias("reach"),
        )
        .sort("distance", "weights")
    )


def entries_in_words(raw: pl.DataFrame) -> str:
    """Return between what bounds the entries lie, measured and by theory."""
    table = entries(raw)
    parts = []
    for group in _GROUPS:
        mine = table.filter(table["weights"] == group)
        ends = [
            number(round(float(value), 4))
            for column in ("measured", "expected")
            for value in (mine[column].to_numpy().min(), mine[column].to_numpy().max())
        ]
        parts.append(f"{group} weights: measured {ends[0]} to {ends[1]}, by theory {ends[2]} to {ends[3]}")
    return f"{'; '.join(parts).capitalize()}."


def draw_entries(ax: Axes, raw: pl.DataFrame) -> str:
    """Draw `entries` against the number of wrong weights."""
    table = entries(raw)
    for group, (colour, marker, dash) in _GROUPS.items():
        mine = table.filter(table["weights"] == group)
        distance = mine["distance"].to_numpy()
        ax.errorbar(
            distance,
            mine["measured"].to_numpy(),
            mine["reach"].to_numpy(),
            fmt=marker,
            ms=5,
            color=colour,
            label=f"{group} weights, measured",
        )
        ax.plot(
            distance, mine["expected"].to_numpy(), color=GREY, lw=1.2, ls=dash, label=f"{group} weights, E G"
        )
    ax.set_xlabel("wrong weights (number)")
    ax.set_ylabel("gradient along the weight, in ‖v‖²/√n")
    ax.legend(frameon=False, fontsize=8)
    return (
        "By the law wrong weights are pushed home with the same force at every distance, and right ones not "
        f"at all. {entries_in_words(raw)}"
    )
