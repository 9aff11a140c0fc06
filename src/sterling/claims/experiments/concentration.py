"""Uniform concentration: sup of ‖G − E G‖_∞ over all states against N, and data sets without a trap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from sterling.claims.claim import PAPER, SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Reference, measured, picture, share
from sterling.claims.judge import near
from sterling.claims.words import listed, said
from sterling.plot import curves
from sterling.plot.style import tidy
from sterling.study.report import with_shares

if TYPE_CHECKING:
    from matplotlib.axes import Axes

RATE = -0.5
#: The exponent's interval must lie within 0.05 of −1/2.
RULE = near("the exponent β", RATE, 0.05)


@dataclass(frozen=True)
class ConcentrationBudget:
    """Exhaustive landscapes over n and N; ``few`` are sample sizes at which only traps are counted."""

    n: tuple[int, ...]
    samples: tuple[int, ...]
    instances: int
    few: tuple[int, ...] = (6, 12, 25, 50)


def measure(context: Context, budget: ConcentrationBudget) -> Finding:
    """Fit sup ‖G − E G‖_∞ = C(n)·N^β over data sets, with the supremum over all states."""
    sizes = [*budget.few, *budget.samples]
    store = context.run("concentration", kind="landscape", n=budget.n, samples=sizes, trials=budget.instances)
    raw = store.trials().sort("n", "samples", "trial")  # sums are then the same after a break
    shares = with_shares(store.counts("trap_free"))
    fitted = raw.filter(raw["samples"].is_in(budget.samples))
    slope = decay(*(fitted[name].to_numpy() for name in ("n", "samples", "deviation")))
    beta = measured("exponent β of sup ‖G − E G‖ ∝ N^β", slope, "least squares, t")
    largest = shares.filter(shares["n"] == budget.n[-1]).select("samples", "successes", "trials")
    return CLAIM.found(
        RULE,
        [beta.ends],
        experiment=(
            f"All 2ⁿ states of {len(raw):,} data sets without label noise, n = {listed(budget.n)}, "
            f"{budget.instances} for each N = {listed(sizes)}; the power law is fitted from N = "
            f"{budget.samples[0]:,} on."
        ),
        reason=f"The largest deviation over all states falls like N^{said(beta)}. {traps_in_words(shares)}",
        measured=(
            beta,
            *(
                share(f"trap-free share at n = {budget.n[-1]}, N = {size:,}", free, count)
                for size, free, count in largest.iter_rows()
            ),
        ),
        references=(
            Reference("exponent of uniform concentration", RATE, "exact", f"{SCIENCE}, 13", beside=True),
        ),
        pictures=(
            picture("Largest deviation over all states", draw_deviation, fitted),
            picture("Data sets without a trap", draw_traps, shares),
        ),
        tables={"concentration-landscapes": raw},
        notes=(
            "The supremum is over all states and is not approximated; E G comes from its closed formula.",
            "On a trap-free data set no run can get stuck, with any step sizes and start (exact).",
        ),
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


def traps_in_words(shares: pl.DataFrame) -> str:
    """Say for each n the N from which on all data sets tried are trap free."""
    parts = []
    for (n,), cells in shares.sort("n", "samples").group_by("n", maintain_order=True):
        free = (cells["successes"] == cells["trials"]).to_numpy()
        tail = int(free[::-1].cumprod().sum())  # sizes at the upper end at which all are trap free
        if tail:
            count, size = int(cells["trials"].tail(tail).sum()), int(cells["samples"][-tail])
            parts.append(f"all {count:,} with N of {size:,} or more at n = {n}")
        else:
            parts.append(f"not all at the largest N at n = {n}")
    return f"Trap free among the data sets tried: {'; '.join(parts)}."


def draw_deviation(ax: Axes, raw: pl.DataFrame) -> str:
    """Draw the deviation of every data set against N, and a triangle of slope −1/2."""
    dimensions = sorted(raw["n"].unique())
    for index, n in enumerate(dimensions):
        one, style = raw.filter(raw["n"] == n), curves.style(index)
        sizes, deviation = one["samples"].to_numpy().astype(float), one["deviation"].to_numpy()
        drawn = ax.plot(sizes, deviation, ls="", ms=4, mfc="none", label=f"n = {n}", **style)
        curves.set_aside(ax, drawn, index, len(dimensions))
    tidy(ax, xscale="log", yscale="log", xlabel="samples N", ylabel="sup over all states of ‖G − E G‖∞")
    curves.slope_triangles(ax, {"−1/2": RATE})
    return (
        "Each point is one data set, its largest deviation over all 2ⁿ states. The triangle has slope −1/2."
    )


def draw_traps(ax: Axes, shares: pl.DataFrame) -> str:
    """Draw the share of trap-free data sets against N, one line for each n."""
    groups = shares.sort("n").group_by("n", maintain_order=True)
    lines = {f"n = {n}": one for (n,), one in groups}
    curves.share_lines(ax, lines, "share of data sets without a trap")
    return "Where w* is the only absorbing state, no run can get stuck; bars are 95 % Jeffreys intervals."


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
