"""Ergodic restart: the samples with which half of the noiseless runs end at w*, and their growth with n."""

from __future__ import annotations

import math
from dataclasses import dataclass

from matplotlib.axes import Axes

from sterling.base.text import number, percent
from sterling.claims.claim import SCIENCE, Claim
from sterling.claims.context import Context
from sterling.claims.finding import Finding, Measured, Reference, measured, picture
from sterling.claims.judge import Rule, consistent, contradicted
from sterling.claims.scaling import exponent, growth_words, notes_on
from sterling.claims.words import listed, said
from sterling.dynamics.restart import Restart
from sterling.model.problem import Problem
from sterling.plot.curves import over_dimensions
from sterling.plot.study import success_curves
from sterling.stats import Interval, share_interval
from sterling.study.report import fit_store
from sterling.theory import samples_for_average, samples_for_information, samples_for_messages

#: Tolerance of the exponent around 1, and largest N₅₀ in units of the edge of message passing.
TOLERANCE, ABOVE = 0.1, 1.2
#: Samples in units of n, for the comparison of runs with and without restarts.
PLENTY = 4
_READ = 2  # without noise ReLU reads only the negative samples, which are half of all

#: Evidence: the intervals of the exponent of N₅₀, and of N₅₀ at the largest n in units of the edge.
RULE = Rule(
    (
        consistent(
            f"with restarts the 95 % interval of the exponent of N₅₀ lies within 1 ± {TOLERANCE:g}",
            lambda slope, height: slope[0] >= 1 - TOLERANCE and slope[1] <= 1 + TOLERANCE,
            "with restarts the 95 % interval of N₅₀ at the largest n lies below "
            f"{ABOVE:g} times the edge of message passing",
            lambda slope, height: height[1] <= ABOVE,
        ),
        contradicted(
            "one of the two lies wholly outside",
            lambda slope, height: slope[1] < 1 - TOLERANCE or slope[0] > 1 + TOLERANCE or height[0] > ABOVE,
        ),
    )
)


@dataclass(frozen=True)
class RestartBudget:
    """Runs with restarts at N = ratio·n for each ratio, and runs with and without at N = 4n."""

    n: tuple[int, ...]
    trials: int  # with restarts, at each n and N
    plain: int  # at each n and N = 4n, with restarts and without on the same data sets
    ratios: tuple[float, ...] = (2.8, 2.95, 3.1, 3.25, 3.45)
    steps: int = 12_600


def measure(context: Context, budget: RestartBudget) -> Finding:
    """Fit N₅₀ = C·n^α of absorption at w* with restarts, and compare runs with and without at N = 4n."""
    common = {"n": list(budget.n), "steps": budget.steps, "criteria": "optimal"}
    restart = str(Restart())
    near = {"c": list(budget.ratios), "a": 1}
    store = context.run("restart", samples=near, restart=restart, trials=budget.trials, **common)
    (series,) = fit_store(store, "optimal")
    both = {"samples": {"c": [PLENTY], "a": 1}, "restart": ["none", restart]}
    beside = context.run("restart-beside", trials=budget.plain, **both, **common)
    counts = beside.counts("optimal")
    rates, top = exponent(series, "exponent α of N₅₀ with restarts"), max(budget.n)
    found = () if series.fit is None else series.fit.thresholds
    heights = {one.n: (one.samples / one.n, one.low / one.n, one.high / one.n) for one in found}
    edges = {  # limits for the negatives alone, in units of n
        name: _READ * limit(Problem(top, 1)) / top
        for name, limit in (
            ("message passing", samples_for_messages),
            ("information", samples_for_information),
        )
    }
    last = heights.get(top, (math.nan,) * 3)
    shares = {
        (row["n"], row["restart"]): share_interval(row["successes"], row["trials"])
        for row in counts.select("n", "restart", "successes", "trials").to_dicts()
    }
    plain, restarted = (shares[top, name] for name in ("none", restart))
    return CLAIM.found(
        RULE,
        [(rates.ends, tuple(one / edges["message passing"] for one in last[1:]))],
        experiment=(
            f"{series.cells['trials'].sum():,} runs without label noise with {Restart()!r}, n = "
            f"{listed(budget.n)}, m = 1, step sizes 0.5/√(t+1), {budget.steps:,} steps, N = "
            f"{listed(budget.ratios)} times n; {counts['trials'].sum():,} more at N = {PLENTY}n, half of "
            "them without restart on the same data sets."
        ),
        reason=(
            f"{growth_words('with restarts', series)}. At n = {top} N₅₀/n is "
            f"{said(measured('', last, ''))}; message passing on the samples that ReLU reads begins to "
            f"succeed at {number(edges['message passing'], 2)}. With {PLENTY}n samples "
            f"{percent(restarted[0])} of the runs end at w* at n = {top}, without restart "
            f"{percent(plain[0])}."
        ),
        measured=(
            rates,
            *(
                measured(f"N₅₀/n with restarts, n = {n}", one, "profile likelihood")
                for n, one in heights.items()
            ),
            *(
                Measured(
                    f"absorbed at w* at N = {PLENTY}n, n = {n}, {'plain' if name == 'none' else 'restart'}",
                    *interval,
                    how="Jeffreys",
                )
                for (n, name), interval in shares.items()
            ),
        ),
        references=(
            Reference("exponent of linear growth", 1.0, "mean-field", f"{SCIENCE}, 12", beside=True),
            Reference(
                "message passing on the negative samples, n → ∞: N/n",
                edges["message passing"],
                "theorem",
                _LADDER,
            ),
            Reference(
                "below it no method finds w* from those samples, n → ∞: N/n",
                edges["information"],
                "theorem",
                _LADDER,
            ),
            Reference(
                f"plain STE, time average, n = {top}: N₅₀/n",
                samples_for_average(Problem(top, 1)) / top,
                "mean-field",
                f"{SCIENCE}, 8",
            ),
        ),
        pictures=(
            picture("Samples per weight with restarts", draw_heights, heights, edges),
            picture("Success with restarts", success_curves, series),
        ),
        tables={"restart-trials": store.trials(), "restart-beside": counts},
        notes=(
            "A run that ends at w* is certified: it stays there with any step sizes (exact). "
            "How many runs end there is measured; nothing is proved about restarts.",
            f"The result is for {budget.steps:,} steps and these n. The defaults of Restart come from "
            "runs with other seeds (python -m benchmarks.papers.restart).",
            *notes_on([series], "Absorption at w* with restarts"),
        ),
    )


def draw_heights(ax: Axes, heights: dict[int, Interval], edges: dict[str, float]) -> str:
    """Draw N₅₀/n against n, with the limits and the law of the plain time average."""
    laws = {
        "time average of plain STE (mean-field)": {
            n: samples_for_average(Problem(n, 1)) / n for n in heights
        },
        **{f"{name}, n → ∞": dict.fromkeys(heights, value) for name, value in edges.items()},
    }
    points = {"STE with restarts": [(n, *found) for n, found in heights.items()]}
    over_dimensions(ax, points, laws, "N₅₀/n", ylim=(0, None))
    return (
        "Points on a level line mean growth in proportion to n. Level lines are the limits for the samples "
        "that ReLU reads: the negative ones, about half of all."
    )


_LADDER = f"{SCIENCE}, 14"

CLAIM = Claim(
    "restart",
    "Ergodic restart",
    "Without label noise, half of the runs with ergodic restarts end at w* within 12,600 steps with a number "
    "of samples proportional to n. This number is near the edge of message passing (ReLU, m = 1, n from 64 "
    "to at most 1,024).",
    "measured",
    f"{SCIENCE}, 12",
    measure,
    {
        "quick": RestartBudget(n=(64, 128, 256), trials=24, plain=8),
        "default": RestartBudget(n=(64, 128, 256, 512), trials=24, plain=8),
    },
)
