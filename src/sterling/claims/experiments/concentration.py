"""Uniform concentration: sup of ‖G − E G‖_∞ over all states against N, and data sets without a trap."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from sterling.claims.claim import PAPER, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Reference, measured, picture
from sterling.claims.judge import near
from sterling.claims.words import listed, said
from sterling.plot import curves
from sterling.plot.curves import set_aside, style
from sterling.plot.style import GREY, tidy
from sterling.stats import share_interval
from sterling.study.grid import Study
from sterling.study.report import with_shares

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

RATE = -0.5
#: The exponent's interval must lie within this of −1/2.
TOLERANCE = 0.05
RULE = near("the exponent β", RATE, TOLERANCE)


@dataclass(frozen=True)
class Budget:
    """Exhaustive landscapes over n and N; ``few`` are sample sizes at which only traps are counted."""

    n: tuple[int, ...]
    samples: tuple[int, ...]
    few: tuple[int, ...]
    instances: int


def measure(context: Context, budget: Budget) -> Finding:
    """Fit sup ‖G − E G‖_∞ = C(n)·N^β over data sets of which all states are visited."""
    study = Study(
        kind="landscape",
        n=list(budget.n),
        samples=[*budget.few, *budget.samples],
        trials=budget.instances,
        criteria="trap_free",
        seed=context.seed,
        name="concentration",
    )
    store = context.study(study)
    raw = store.trials()
    shares = with_shares(store.counts("trap_free"))
    fitted = raw.filter(raw["samples"].is_in(budget.samples))
    slope = decay(fitted["n"].to_numpy(), fitted["samples"].to_numpy(), fitted["deviation"].to_numpy())
    beta = measured("exponent β of sup ‖G − E G‖ ∝ N^β", slope, "least squares, t")
    return CLAIM.found(
        RULE,
        [(beta.low, beta.high)],
        experiment=(
            f"All 2ⁿ states of {len(raw):,} data sets without label noise, n = "
            f"{listed(budget.n)}, {budget.instances} for each N = {listed((*budget.few, *budget.samples))}; "
            f"the law is fitted from N = {budget.samples[0]:,} on."
        ),
        reason=f"The largest deviation over all states falls like N^{said(beta)}. {traps_in_words(shares)}",
        measured=(
            beta,
            *(
                measured(f"trap-free share at n = {n}, N = {size:,}", share_interval(free, count), "Jeffreys")
                for n, size, count, free in shares.select("n", "samples", "trials", "successes").iter_rows()
                if n == budget.n[-1]
            ),
        ),
        references=(Reference("exponent of uniform concentration", RATE, "theorem", PAPER),),
        pictures=(
            picture(
                "concentration-deviation", "Largest deviation over all states", draw_deviation, raw=fitted
            ),
            picture("concentration-traps", "Data sets without a trap", draw_traps, shares=shares),
        ),
        tables={"concentration-landscapes": raw, "concentration-traps": shares},
        notes=(
            "The supremum is over all states, computed without approximation; E G is the closed formula.",
            "A trap-free data set cannot catch any run, whatever its step sizes and start (exact).",
        ),
    )


def decay(n: np.ndarray, samples: np.ndarray, deviation: np.ndarray) -> tuple[float, float, float]:
    """Return the slope of log deviation on log N, one constant for each n, with its 95 % t-interval."""
    from scipy.stats import t

    dimensions = np.unique(n)
    x, y = np.log(samples.astype(float)), np.log(deviation)
    for one in dimensions:
        mine = n == one
        x[mine], y[mine] = x[mine] - x[mine].mean(), y[mine] - y[mine].mean()
    free = len(x) - len(dimensions) - 1
    square = float(x @ x)
    if free < 1 or square == 0:
        return math.nan, math.nan, math.nan
    slope = float(x @ y) / square
    rest = y - slope * x
    reach = float(t.ppf(0.975, free)) * math.sqrt(float(rest @ rest) / free / square)
    return slope, slope - reach, slope + reach


def traps_in_words(shares: pl.DataFrame) -> str:
    """Say from which N on all data sets that were tried are trap free, for each n."""
    parts = []
    for n in sorted(shares["n"].unique().to_list()):
        mine = shares.filter(shares["n"] == n).sort("samples")
        free = (mine["successes"] == mine["trials"]).to_numpy()
        tail = int(free[::-1].cumprod().sum())  # sizes at the upper end at which all are trap free
        if tail:
            count, size = int(mine["trials"].tail(tail).sum()), int(mine["samples"][-tail])
            parts.append(f"all {count:,} with N of {size:,} or more at n = {n}")
        else:
            parts.append(f"not all at the largest N at n = {n}")
    return f"Trap free among the data sets tried: {'; '.join(parts)}."


def draw_deviation(ax: Axes, raw: pl.DataFrame) -> str:
    """Draw the deviation of every data set against N, and a line of slope −1/2 through each n."""
    dimensions = sorted(raw["n"].unique().to_list())
    for place, n in enumerate(dimensions):
        one = raw.filter(raw["n"] == n)
        sizes, deviation = one["samples"].to_numpy().astype(float), one["deviation"].to_numpy()
        drawn = ax.plot(sizes, deviation, ls="", ms=4, mfc="none", label=f"n = {n}", **style(place))
        set_aside(ax, drawn, place, len(dimensions))
        level = math.exp(float(np.mean(np.log(deviation) - RATE * np.log(sizes))))
        line = np.array([sizes.min(), sizes.max()])
        ax.plot(line, level * line**RATE, color=style(place)["color"], lw=1)
    ax.plot([], [], color=GREY, lw=1, label="slope −1/2")
    ax.set(xlabel="samples N", ylabel="sup over all states of ‖G − E G‖∞")
    tidy(ax, xscale="log", yscale="log")
    return "Each point is one data set, its largest deviation over all 2ⁿ states; lines have the slope −1/2."


def draw_traps(ax: Axes, shares: pl.DataFrame) -> str:
    """Draw the share of trap-free data sets against N, one line for each n."""
    dimensions = sorted(shares["n"].unique().to_list())
    for place, n in enumerate(dimensions):
        curves.shares(ax, shares.filter(shares["n"] == n), place, len(dimensions), label=f"n = {n}")
    ax.set(xlabel="samples N", ylabel="share of data sets without a trap")
    tidy(ax, xscale="log", ylim=(-0.03, 1.03))
    return "Once no state but w* absorbs, no run can be caught; bars are 95 % Jeffreys intervals."


CLAIM = Claim(
    "concentration",
    "Uniform concentration of the gradient",
    "The proofs rest on sup ‖G(w) − E G(w)‖ over all 2ⁿ weights falling like N^(−1/2).",
    "theorem",
    PAPER,
    measure,
    {
        "quick": Budget(n=(8, 10, 12), samples=(100, 400, 1600, 6400), few=(6, 12, 25, 50), instances=8),
        "default": Budget(
            n=(8, 10, 12, 14), samples=(100, 400, 1600, 6400, 25_600), few=(6, 12, 25, 50), instances=16
        ),
        "full": Budget(
            n=(8, 10, 12, 14, 16, 18),
            samples=(100, 400, 1600, 6400, 25_600, 102_400),
            few=(6, 12, 25, 50),
            instances=24,
        ),
    },
)
