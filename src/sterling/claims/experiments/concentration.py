"""Uniform concentration: sup of ‖G − E G‖_∞ over all states against N."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from sterling.base.text import number
from sterling.claims.claim import PAPER, SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Reference, measured, picture
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.words import listed, said
from sterling.plot import curves
from sterling.plot.style import tidy

RATE, CLOSE = -0.5, 0.05
#: Evidence: the interval (low, high) of the exponent.
RULE = Rule(
    (
        consistent(
            f"the whole 95 % interval of the exponent β lies within {number(RATE)} ± {CLOSE:g}",
            lambda low, high: low >= RATE - CLOSE and high <= RATE + CLOSE,
        ),
        contradicted("it lies wholly outside", lambda low, high: high < RATE - CLOSE or low > RATE + CLOSE),
    )
)


@dataclass(frozen=True)
class ConcentrationBudget:
    """Exhaustive landscapes over n and N."""

    n: tuple[int, ...]
    samples: tuple[int, ...]
    instances: int


def measure(context: Context, budget: ConcentrationBudget) -> Finding:
    """Fit sup ‖G − E G‖_∞ = C(n)·N^β over data sets, with the supremum over all states."""
    asked = {"n": budget.n, "samples": budget.samples, "trials": budget.instances}
    raw = context.trials("concentration", kind="landscape", **asked)
    slope = decay(*(raw[name].to_numpy() for name in ("n", "samples", "deviation")))
    beta = measured("exponent β of sup ‖G − E G‖ ∝ N^β", slope, "least squares, t")
    return CLAIM.found(
        RULE,
        [beta.ends],
        experiment=(
            f"All 2ⁿ states of {len(raw):,} data sets without label noise, n = {listed(budget.n)}, "
            f"{budget.instances} for each N = {listed(budget.samples)}."
        ),
        reason=f"The largest deviation over all states falls like N^{said(beta)}.",
        measured=(beta,),
        references=(
            Reference("exponent of uniform concentration", RATE, "exact", f"{SCIENCE}, 13", beside=True),
        ),
        pictures=(picture("Largest deviation over all states", draw_deviation, raw),),
        tables={"concentration-landscapes": raw},
    )


def decay(n: np.ndarray, samples: np.ndarray, deviation: np.ndarray) -> tuple[float, float, float]:
    """Return the slope of log deviation on log N, one constant for each n, with its 95 % t-interval."""
    from scipy.stats import t

    dimensions = np.unique(n)
    x, y = np.log(samples.astype(float)), np.log(deviation)
    for dimension in dimensions:
        rows = n == dimension
        x[rows], y[rows] = x[rows] - x[rows].mean(), y[rows] - y[rows].mean()
    free = len(x) - len(dimensions) - 1
    square = float(x @ x)
    if free < 1 or square == 0:
        return math.nan, math.nan, math.nan
    slope = float(x @ y) / square
    rest = y - slope * x
    reach = float(t.ppf(0.975, free)) * math.sqrt(float(rest @ rest) / free / square)
    return slope, slope - reach, slope + reach


def draw_deviation(ax: Axes, raw: pl.DataFrame) -> str:
    """Draw the deviation of every data set against N, and a triangle of slope −1/2."""
    for index, (n, one) in enumerate(raw.group_by("n", maintain_order=True)):
        sizes, deviation = one["samples"].to_numpy(), one["deviation"].to_numpy()
        ax.plot(sizes, deviation, ls="", ms=4, mfc="none", label=f"n = {n[0]}", **curves.style(index))
    tidy(ax, xscale="log", yscale="log", xlabel="samples N", ylabel="sup over all states of ‖G − E G‖∞")
    curves.slope_triangles(ax, {"−1/2": RATE})
    return (
        "Each point is one data set, its largest deviation over all 2ⁿ states. The triangle has slope −1/2."
    )


CLAIM = Claim(
    "concentration",
    "Uniform concentration of the gradient",
    "As we read the paper, its proofs require that sup ‖G(w) − E G(w)‖ over all 2ⁿ weights falls like "
    "N^(−1/2).",
    "interpretation",
    f"our reading of {PAPER}; the rate itself is exact, {SCIENCE}, 13",
    measure,
    {
        "quick": ConcentrationBudget((8, 10, 12), (100, 400, 1600, 6400), instances=8),
        "default": ConcentrationBudget((8, 10, 12, 14), (100, 400, 1600, 6400, 25_600), instances=16),
    },
)
