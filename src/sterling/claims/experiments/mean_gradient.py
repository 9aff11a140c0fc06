"""The population-gradient law: gradients averaged over data sets against E G(w), for every surrogate."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sterling.base.text import percent
from sterling.claims.claim import Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Measured, Reference, mean, picture
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.words import said
from sterling.plot.curves import dots
from sterling.plot.style import BLUE, GREY, VERMILLION, tidy, whole_ticks
from sterling.stats import mean_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_FACTOR = 0.5 / math.sqrt(math.tau)
_GROUPS = {"wrong": (VERMILLION, "o", "--"), "right": (BLUE, "s", ":")}

SOURCE = "follows from Yin et al. 2019, arXiv 1903.05662"
#: Confidence, over all surrogates together, at which a law is said to be contradicted.
JOINT = 0.999
#: Widest interval of a slope, in parts of one, with which a law counts as tested.
WIDEST = 0.1

#: Judges the interval (low, high) of the slope of each surrogate, at the joint level.
RULE = Rule(
    (
        consistent(
            f"for each surrogate the interval of the slope holds 1 and is at most {WIDEST:g} wide",
            lambda low, high: low <= 1 <= high and high - low <= WIDEST,
        ),
        contradicted("one of them leaves 1 out", lambda low, high: low > 1 or high < 1),
    ),
    f"These intervals hold together at {percent(JOINT, 1)} (Bonferroni), so they are wider than the ones "
    "shown.",
)


@dataclass(frozen=True)
class Budget:
    """Gradients averaged over data sets at states of several distances from w*."""

    n: int
    m: int
    samples: int
    instances: int
    distances: int
    surrogates: tuple[str, ...] = (
        "relu",
        "identity",
        "clipped_relu",
        "hard_tanh",
        "sigmoid",
        "approx_sign",
        "swish_sign",
    )


def measure(context: Context, budget: Budget) -> Finding:
    """Regress measured gradients on the theory's, data set by data set.

    All surrogates are judged together; the intervals that are shown are at 95 %.
    """
    trials = context.trials(
        "population",
        kind="gradients",
        n=budget.n,
        m=budget.m,
        samples=budget.samples,
        readout="gaussian",
        surrogate=budget.surrogates,
        distances=budget.distances,
        trials=budget.instances,
    )
    raw = entries_of(trials)
    slopes = by_instance(raw)
    joint = 1 - (1 - JOINT) / len(budget.surrogates)
    values = {name: slopes.filter(surrogate=name)["slope"] for name in budget.surrogates}
    found = {name: mean(f"slope against E G, {name}", slope) for name, slope in values.items()}
    across = slopes["across"].to_numpy()
    farthest, widest = max(found.items(), key=lambda one: abs(one[1].value - 1))
    return CLAIM.found(
        RULE,
        [mean_interval(slope, joint)[1:] for slope in values.values()],
        experiment=(
            f"{budget.instances} data sets of Gaussian inputs with n = {budget.n}, m = {budget.m}, N = "
            f"{budget.samples:,}, no noise; on each, gradients at {budget.distances} random states of "
            f"different distances to w* with {len(budget.surrogates)} surrogates, regressed on E G(w) "
            "without a constant."
        ),
        reason=(
            f"All slopes lie within {percent(abs(widest.value - 1), 2)} of one; the farthest is "
            f"{farthest} with {said(widest)}. Across the predicted direction the gradient of one "
            f"data set has {percent(float(np.median(across)), 1)} of its length (median)."
        ),
        measured=tuple(found.values()),
        references=(
            Reference("slope against E G for every surrogate", 1.0, "exact", "sterling.theory.population"),
            Reference("1/(2√(2π)), ReLU's factor of ‖v‖²·(w − w*)", _FACTOR, "exact", SOURCE),
        ),
        pictures=(
            picture("Measured against predicted gradient", draw_slopes, found),
            picture("Gradient entries against theory, ReLU", draw_entries, raw),
        ),
        tables={"population-gradients": raw, "population-slopes": slopes},
        notes=(
            f"Chance of a false alarm by this rule, if the law holds: {percent(1 - JOINT, 1)}.",
            "The law holds for Gaussian inputs and a readout that is known.",
        ),
    )


def entries_of(trials: pl.DataFrame) -> pl.DataFrame:
    """Return one row for each data set, surrogate, distance and kind of weight."""
    lists = [name for name, kind in trials.schema.items() if isinstance(kind, pl.List)]
    return trials.select("n", "surrogate", "trial", "norm2", *lists).explode(lists)


def by_instance(raw: pl.DataFrame) -> pl.DataFrame:
    """Return the slope of measured on expected gradients, and the share across, of each data set."""
    product, expected, found = (
        pl.col(name).sum() for name in ("product", "square_expected", "square_measured")
    )
    slope = product / expected
    across = ((found - slope * product).clip(0) / found).sqrt()
    return raw.group_by("surrogate", "trial", maintain_order=True).agg(slope=slope, across=across)


def draw_slopes(ax: Axes, slopes: dict[str, Measured]) -> str:
    """Draw the slope of every surrogate with its interval."""
    table = np.array([(one.value, one.low, one.high) for one in slopes.values()])
    dots(ax, list(slopes), {"slope": table}, "slope of G on E G", 1.0)
    return "A slope of one (dashed) is the law; bars are 95 % intervals over data sets."


def entries(raw: pl.DataFrame) -> pl.DataFrame:
    """Return mean ReLU gradient entries in ‖v‖²/√n and along w, and E G, by distance and kind of weight.

    ``reach`` is half of the 95 % interval of the mean over data sets.
    """
    from scipy.stats import t

    scale = pl.col("n").sqrt() / pl.col("norm2")
    quantile = float(t.ppf(0.975, max(1, raw["trial"].n_unique() - 1)))
    found = pl.col("measured") * scale
    return (
        raw.filter(surrogate="relu")
        .group_by("distance", "weights", maintain_order=True)
        .agg(
            (pl.col("expected") * scale).mean(),
            found.mean(),
            reach=(quantile * found.std() / pl.len().sqrt()).fill_null(0),
        )
        .sort("distance", "weights")
    )


def draw_entries(ax: Axes, raw: pl.DataFrame) -> str:
    """Draw `entries` against the number of wrong weights."""
    table = entries(raw)
    for group, (colour, marker, dash) in _GROUPS.items():
        mine = table.filter(weights=group)
        distance = mine["distance"].to_numpy()
        found, reach = mine["measured"].to_numpy(), mine["reach"].to_numpy()
        name = f"{group} weights"
        ax.errorbar(distance, found, reach, fmt=marker, ms=5, color=colour, label=f"{name}, measured")
        ax.plot(distance, mine["expected"].to_numpy(), color=GREY, lw=1.2, ls=dash, label=f"{name}, E G")
    tidy(ax, xlabel="wrong weights (number)", ylabel="gradient along the weight, in ‖v‖²/√n")
    whole_ticks(ax.xaxis)
    return (
        "By the law wrong weights are pushed home with the same force at every distance, and right ones not "
        "at all."
    )


CLAIM = Claim(
    "population",
    "The mean gradient of the infinite sample",
    "For Gaussian inputs E G(w) = ‖v‖²/(2√(2π))·(w − w*) with the ReLU surrogate, and twice that with the "
    "identity.",
    "exact",
    SOURCE,
    measure,
    {
        "quick": Budget(n=24, m=2, samples=20_000, instances=12, distances=4),
        "default": Budget(n=64, m=4, samples=50_000, instances=20, distances=6),
        "full": Budget(n=128, m=8, samples=200_000, instances=50, distances=10),
    },
)
