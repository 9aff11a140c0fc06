"""Made-up findings for the tests of the page. The numbers are invented: they measure nothing."""

import numpy as np
import polars as pl
from markupsafe import Markup, escape
from matplotlib.figure import Figure

from sterling.claims.claim import PAPER
from sterling.claims.finding import Finding, Judgement, Measured, Picture, Reference
from sterling.plot.curves import slope_triangles
from sterling.report.figures import Drawing

HOSTILE = '<script>document.title="caught"</script><img src=x onerror="alert(1)"> & "quoted"'


def sketch(picture, name="", size=None):
    """Return a drawing of the usual size without its lines, which take half a second."""
    caption = picture.draw(Figure().subplots())
    svg = Markup(f'<svg viewBox="0 0 316.8 244.8" role="img" aria-label="{escape(caption)}"></svg>')
    return Drawing(svg, picture.title, caption)


def _law(ax):
    n = np.array([8, 16, 32, 64, 128])
    ax.errorbar(n, 5.1 * n, 0.6 * n, fmt="o", label="measured (made up), 95 %")
    ax.plot(n, 5 * n, label="C·n^α")
    ax.set_xscale("log", base=2)
    ax.set_yscale("log")
    ax.set_xlabel("dimension n")
    ax.set_ylabel("N₅₀: half of the trials succeed")
    ax.legend()
    slope_triangles(ax, {"n²": 2.0})
    return "The points follow the fitted line; the triangle has the slope of the order that is proved."


def _tails(ax):
    at = np.geomspace(1, 1e4, 60)
    for place, noise in enumerate((0.25, 0.5, 1.0)):
        ax.loglog(at, at ** -(0.5 + 0.3 * place), label=f"σ = {noise}")
    ax.fill_between(at, at**-0.6, at**-0.4, alpha=0.2, rasterized=True)
    ax.set_xlabel("return time (steps)")
    ax.set_ylabel("share of returns that take longer")
    ax.legend()
    return "Returns become rarer as a power of their length."


def made_up():
    """Return five findings: every kind and judgement, an open interval, no number, markup in all words."""
    table = pl.DataFrame({"n": [8, 16, 32], "samples": [40, 80, 160], "successes": [12, 13, 11]})
    return (
        Finding(
            "P1", "Ergodic convergence without label noise",
            "O(n²) samples suffice for the time average to reach the global minimum.",
            "theorem", f"{PAPER}, theorem 1",
            "1,240 trials at n = 16, 32, 64 and 128, one hidden unit, clean labels.",
            Judgement.FAR_INSIDE,
            "Half of the runs succeed at N₅₀ = 4.1·n^1.043; the proved exponent is 2.",
            (
                Measured("exponent α of N₅₀ = C·n^α", 1.0432, 1.0121, 1.0748, how="profile likelihood"),
                Measured("trials", 1240),
                Measured("constant C", 4.1123, 3.62, 4.71, how="profile likelihood", unit="samples"),
            ),
            (
                Reference("exponent that is proved enough", 2, "theorem", f"{PAPER}, theorem 1", beside=True),
                Reference("exponent of n log n here", 1.24, "mean-field", "docs/science, 8", beside=True),
            ),
            (Picture("Samples needed against dimension", _law),),
            {"cells": table, "trials": table},
            ("12 of 1,240 trials were undecided; left out, α is 1.05.", "The fit agrees with the data."),
            12.5,
            "Far inside the bound where the interval ends more than 0.5 below 2. Not decided otherwise.",
        ),
        Finding(
            "P3", "Recurrence under label noise",
            "With label noise the iterates leave the optimum and return to it, again and again.",
            "theorem", f"{PAPER}, theorem 3",
            "40 runs of 10⁶ steps at n = 16 and 32, σ = 0.5.",
            Judgement.CONSISTENT,
            "All 40 runs came back, on average 23,371 times in a million steps.",
            (Measured("share of runs that returned", 1.0, 0.939, 1.0, how="Jeffreys"),),
            (Reference("visits per step, later half over earlier half", 1, "exact", "stationarity"),),
            (
                Picture("How long an absence takes", _tails),
                Picture("Visits over steps", _law),
            ),
            {"runs": table},
            (),
            30.0,
        ),
        Finding(
            "population", "The population gradient",
            "The expected gradient is proportional to w − w*.",
            "exact", "Yin et al. 2019, arXiv 1903.05662",
            "Averages over 10⁶ samples.",
            Judgement.CONTRADICTED,
            "The slope lies outside the interval.",
            (Measured("slope / ‖v‖²", 0.19951, 0.19921, 0.19981, how="normal"),),
            (Reference("1/(2√(2π))", 0.199471, "exact", "docs/science, 4", beside=True),),
        ),
        Finding(
            "occupancy", "Time spent at the optimum",
            "The share of time at the optimum follows a law in n and N.",
            "mean-field", "docs/science, 7",
            "Too few trials.",
            Judgement.NOT_DECIDED,
            "The interval is open to one side.",
            (Measured("exponent", 2.9, 1.2, float("inf"), how="profile likelihood"),),
            (Reference("exponent", 3, "mean-field", "docs/science, 7", beside=True),),
            (Picture("Samples needed", _law),),
            open=("the whole 95 % interval lies below 4",),
        ),
        Finding(
            "hostile-<&\"'>", HOSTILE, HOSTILE, "exact", HOSTILE, HOSTILE, Judgement.NOT_DECIDED, HOSTILE,
            (Measured(HOSTILE, float("nan"), unit=HOSTILE, how=HOSTILE),),
            (Reference(HOSTILE, 1.5e-7, "exact", HOSTILE, HOSTILE, beside=True),),
            (Picture(HOSTILE, lambda ax: str(ax.set_title("<b> & 'x'") and HOSTILE)),),
            {"../../<evil>": table.head(1)},
            (HOSTILE,),
            rule=HOSTILE,
        ),
    )  # fmt: skip
