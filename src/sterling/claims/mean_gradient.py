"""The population-gradient law: gradients averaged over data sets against E G(w), for every surrogate."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sterling.claims.catalogue import CLAIMS
from sterling.claims.context import Context, Parameters, seeds
from sterling.claims.draw import dots
from sterling.claims.finding import Finding, Judgement, Measured, Picture, Reference
from sterling.claims.judge import all_of
from sterling.claims.statistics import measured, t_interval

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

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
            f"{plan.samples:,}, "
            f"no noise; on each, gradients at {plan.distances} random states of different distances to "
            "w* with "
            f"{len(plan.surrogates)} surrogates, regressed on E G(w) without a constant."
        ),
        judgement=all_of(*judged),
        reason=(
            f"All slopes lie within {max(abs(one.value - 1) for one in found):.2%} of one; the "
            "farthest is "
            f"{widest.name.rpartition(' ')[2]} with {widest.value:.4f} ({widest.low:.4f} to "
            f"{widest.high:.4f}). Off "
            f"the predicted direction the gradient has {np.median(across):.1%} of its length (median), as "
            "sampling noise does."
        ),
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
                "Slope of measured on predicted gradient with 95 % intervals: "
                + "; ".join(f"{one.name.rpartition(' ')[2]} {one.value:.4f}" for one in found)
                + ".",
            ),
            Picture(
                "population-gradient",
                "Gradient entries against theory, ReLU",
                partial(draw_entries, raw=raw),
                f"Entries of the ReLU gradient, averaged over {plan.instances} data sets, against E G; "
                "they lie "
                "on the diagonal.",
            ),
        ),
        tables={"population-gradients": raw, "population-slopes": slopes},
        notes=(
            f"Chance of a false alarm by this rule, if the law holds: {1 - JOINT:.1%}.",
            "The law holds for Gaussian inputs and a readout that student and teacher share.",
        ),
    )


def gradients(context: Context, cell: Parameters, seed: int):
    """Give the gradients of one data set: a row for each state, surrogate and kind of weight."""
    from sterling.problem import Problem
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
            expected = population_gradient(signs, teacher, instance.readout_norm2, surrogate)
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
    dots(ax, [one.name.rpartition(" ")[2] for one in slopes], {"slope": table}, "slope of G on E G", 1.0)
    return "A slope of one (dashed) is the law; bars are 95 % intervals over data sets."


def draw_entries(ax: Axes, raw: pl.DataFrame) -> str:
    """Draw mean ReLU gradient entries, in units of ‖v‖²/√n and along w, against theory."""
    import polars as pl

    from sterling.plot import BLUE, GREY, VERMILLION

    scale = pl.col("n").sqrt() / pl.col("norm2")
    mean = (
        raw.filter(pl.col("surrogate") == "relu")
        .group_by("distance", "weights", maintain_order=True)
        .agg((pl.col("expected") * scale).mean(), (pl.col("measured") * scale).mean(), pl.len())
        .sort("distance", "weights")
    )
    spread = (
        raw.filter(pl.col("surrogate") == "relu")
        .group_by("distance", "weights", maintain_order=True)
        .agg(((pl.col("measured") * scale).std() / pl.len().sqrt()).fill_null(0).alias("error"))
        .sort("distance", "weights")
    )
    for group, colour, marker, label in (
        ("wrong", VERMILLION, "o", "wrong weights"),
        ("right", BLUE, "s", "right weights"),
    ):
        mine = (mean["weights"] == group).to_numpy()
        ax.errorbar(
            mean["distance"].to_numpy()[mine],
            mean["measured"].to_numpy()[mine],
            1.96 * spread["error"].to_numpy()[mine],
            fmt=marker,
            ms=5,
            color=colour,
            label=f"{label}, measured",
        )
        ax.plot(
            mean["distance"].to_numpy()[mine],
            mean["expected"].to_numpy()[mine],
            color=GREY,
            lw=1.2,
            ls="--" if group == "wrong" else ":",
            label=f"{label}, E G",
        )
    ax.set_xlabel("wrong weights (number)")
    ax.set_ylabel("gradient along the weight, in ‖v‖²/√n")
    ax.legend(frameon=False, fontsize=8)
    return "Wrong weights are pushed home with the same force at every distance, right ones not at all."
