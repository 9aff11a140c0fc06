"""Pictures of a study: functions that draw into an ``ax`` and return a caption."""

from __future__ import annotations

import math
import textwrap

import numpy as np
import polars as pl
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from scipy.special import expit

from sterling.base.text import counted, number
from sterling.errors import InputError
from sterling.plot import curves
from sterling.plot.curves import MARKERS, slope_triangles
from sterling.plot.style import (
    BLUE,
    INK,
    PALE,
    PURPLE,
    VERDICT_COLOURS,
    caption,
    dimensions_axis,
    escaped,
    legend_above,
    note,
    tidy,
    whole_numbers,
)
from sterling.study.report import SeriesFit, fit_store
from sterling.study.spec import Study
from sterling.study.store import Store

#: The paper's exponents, drawn as triangles: the time average, and visits to the teacher.
PROVED = {"n⁴": 4.0, "n²": 2.0}

#: Verdicts in the order of the bars.
_REGIMES = ("OPTIMAL", "RECURRENT", "CHATTERING", "WANDERING", "TRAPPED", "STALLED")
_OPTIMAL = (
    " Optimal runs stay at the teacher or, where samples are few, at other weights of zero empirical risk."
)
#: Colours of rising n; each has a contrast of at least 3 to 1 with light and dark pages.
SHADES = ("#440154", "#4f41a8", "#1f6fb0", "#12808a", "#1c8a5a", "#5c8a1a", "#a06f00", "#c8402a")


def success_curves(ax: Axes, series: SeriesFit) -> str:
    """Draw the share of successes against N, one colour and marker for each n; return a caption.

    Bars are 95 % Jeffreys intervals; lines are the fitted curves if there is a fit.
    """
    fit = series.fit
    dimensions = sorted(series.cells["n"].unique())
    for index, n in enumerate(dimensions):
        cells = series.cells.filter(series.cells["n"] == n)
        shade = SHADES[round(index * (len(SHADES) - 1) / max(1, len(dimensions) - 1))]
        marker = MARKERS[index % len(MARKERS)]
        curves.shares(ax, cells, ls="", label=f"n = {n}", marker=marker, ms=4, lw=1, color=shade)
        if fit is not None and n in fit.slope_at:
            x = cells["samples"].to_numpy()
            line = np.geomspace(x.min(), x.max(), 200)
            curve = expit(fit.slope_at[n] * (np.log(line) - math.log(fit.samples_at(n))))
            ax.plot(line, curve, color=shade, lw=1.2)
    ax.axhline(0.5, color=PALE, lw=1, zorder=0)
    tidy(ax, xscale="log", ylim=(-0.03, 1.03), xlabel="samples N", ylabel="share of trials that succeed")
    legend_above(ax, min(4, len(dimensions)), handletextpad=0.2)
    whole_numbers(ax.xaxis)
    if fit is None:
        curve = f"No curve is drawn: {series.refusal}"
    else:
        curve = "Curves: the power law" + (", which does not fit" if fit.curved else "")
    return (
        f"Success: {series.meaning}. Each point is one sample size, with its 95 % interval (by Jeffreys’ "
        f"method for shares). {curve}."
    )


def threshold_law(ax: Axes, series: SeriesFit) -> str:
    """Draw N₅₀ against n on logarithmic axes with the fit and the proved exponents; return a caption."""
    fit = series.fit
    if fit is None:
        note(ax, "no fit")
        return f"There is no fit: {series.refusal}."
    points = np.array([(one.n, one.samples, one.low, one.high) for one in fit.thresholds]).reshape(-1, 4)
    dimensions = np.array(sorted(series.cells["n"].unique()), float)
    line = np.geomspace(dimensions.min(), dimensions.max(), 50)
    ends = f"{number(fit.exponent_low, 3)} to {number(fit.exponent_high, 3)}"
    band = f"C·nᵅ, α = {number(fit.exponent, 3)} ({ends})"
    ax.plot(line, fit.samples_at(1) * line**fit.exponent, color=BLUE, lw=1.6, label=band)
    look = {"marker": "o", "ms": 5, "color": INK, "label": "N₅₀ of each n alone, 95 %"}
    curves.with_intervals(ax, points[:, 0], points[:, 1:], **look)
    predicted = ""
    law = next((one for one in series.expected if one.samples), None)
    if law is not None:
        look = {
            "color": PURPLE,
            "lw": 1.4,
            "ls": (0, (4, 1.5, 1, 1.5)),
            "marker": "D",
            "ms": 10,
            "mfc": "none",
        }
        ax.plot(list(law.samples), list(law.samples.values()), label=f"predicted ({law.kind})", **look)
        predicted = " The purple line is the mean-field prediction, which uses no run."
    dimensions_axis(ax, dimensions)
    what = f"samples N₅₀ {series.budget}".rstrip()
    tidy(ax, yscale="log", xlabel="dimension n", ylabel=what)
    whole_numbers(ax.yaxis)
    slope_triangles(ax, PROVED)
    growth = "No power law fits; the nearest one grows" if fit.curved else "The threshold grows"
    power = f"{number(fit.exponent, 2)} {series.budget}".rstrip()
    return (
        f"{growth} as n to the power {power}. The triangles have the slopes of the orders that are proved to "
        f"suffice, n² for the time average and n⁴ for visits to the teacher.{predicted}"
    )


def phase_map(ax: Axes, counts: pl.DataFrame) -> str:
    """Draw which regimes occur at each n and N, from the rows of `Store.counts` of one series.

    Each cell is a bar whose colours show the shares of the verdicts.
    """
    if counts.is_empty():
        raise InputError("there are no trials to draw: run the study first")
    dimensions = sorted(counts["n"].unique())
    present = [name for name in _REGIMES if counts[name].sum() > 0]
    for column, n in enumerate(dimensions):
        cells = counts.filter(counts["n"] == n).sort("samples")
        logs, left = np.log(cells["samples"].to_numpy()), np.full(len(cells), column - 0.46)
        half = np.diff(logs) / 2 if len(logs) > 1 else np.array([0.2])
        edges = np.exp([logs[0] - half[0], *(logs[:-1] + half), logs[-1] + half[-1]])
        for name in present:
            share = 0.92 * (cells[name] / cells["trials"]).to_numpy()
            label = name.lower() if column == 0 else None
            look = {"color": VERDICT_COLOURS[name], "ec": "white", "lw": 0.4, "label": label}
            ax.barh(edges[:-1], share, np.diff(edges), left, align="edge", **look)
            left = left + share
    ax.set_xticks(range(len(dimensions)), [str(n) for n in dimensions])
    tidy(ax, yscale="log", xlim=(-0.5, len(dimensions) - 0.5), xlabel="dimension n", ylabel="samples N")
    whole_numbers(ax.yaxis)
    ax.grid(False)
    legend_above(ax, min(3, len(present)), handlelength=1)
    totals = {name: int(counts[name].sum()) for name in present}
    most = max(totals, key=lambda name: totals[name])
    share = totals[most] / sum(totals.values())
    first = "only" if share == 1 else "commonest"
    return (
        "Each bar is one sample size; its colours show the shares of the verdicts. The "
        f"{first} verdict is {most.lower()}, {100 * share:.0f} % of all trials."
        f"{_OPTIMAL if 'OPTIMAL' in totals else ''}"
    )


def shares(ax: Axes, store: Store) -> str:
    """Draw `success_curves` of the first series of a store; return a caption."""
    return success_curves(ax, _first(store))


def regimes(ax: Axes, store: Store) -> str:
    """Draw `phase_map` of the first series of a store; return a caption."""
    return phase_map(ax, counts_of(store, _first(store)))


def grid(ax: Axes, study: Study) -> str:
    """Draw the listed sample sizes of a study against n; return a caption."""
    sizes = [(n, size) for n in study.n for size in study.samples_at(n)]
    tidy(ax, xlabel="dimension n", ylabel="samples N")
    if not sizes:
        note(ax, "chosen while the study runs")
        return "The study chooses its sample sizes while it runs."
    ax.plot(*np.transpose(sizes), "o", color=BLUE, ms=5)
    ax.set_yscale("log")
    whole_numbers(ax.yaxis)
    dimensions_axis(ax, study.n)
    return f"The sample sizes of the study, {len(sizes)} in each series."


def counts_of(store: Store, series: SeriesFit) -> pl.DataFrame:
    """Return the rows of `Store.counts` of one series."""
    return store.counts(series.criterion).filter(**series.series)


def _first(store: Store) -> SeriesFit:
    fits = fit_store(store)
    if not fits:
        raise InputError(f"{store.folder} holds no trials that succeed or fail: run the study first")
    return fits[0]


def figure(series: SeriesFit, counts: pl.DataFrame, title: str = "") -> Figure:
    """Return a figure of the three pictures of one series, each with its caption."""
    fig = Figure(figsize=(15, 5.6), layout="constrained", facecolor="white")
    first, *middle, last = fig.subplots(1, 2 if series.fit is None else 3)
    caption(first, success_curves(first, series), 58)
    for ax in middle:
        caption(ax, threshold_law(ax, series), 58)
    caption(last, phase_map(last, counts), 58)
    trials = counted(int(counts["trials"].sum()), "trial") + " so far" * bool(series.unfinished)
    heading = ": ".join(part for part in (title, f"{series.meaning} ({series.title}; {trials})") if part)
    fig.suptitle(textwrap.fill(escaped(heading), 150), x=0.01, ha="left", fontsize=11, color=INK)
    return fig
