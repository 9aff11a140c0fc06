"""Pictures of a run: functions that draw into an ``ax`` and return a caption, and a figure of all three."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.patches import Patch

from sterling.base.text import counted
from sterling.dynamics.history import History, history
from sterling.dynamics.learned import meaning, problem_line
from sterling.dynamics.orbit import Orbit
from sterling.plot.style import (
    BLUE,
    DASHED,
    GREY,
    INK,
    PALE,
    VERDICT_COLOURS,
    VERMILLION,
    caption,
    escaped,
    legend_above,
    name_rows,
    note,
    tidy,
    whole_ticks,
)
from sterling.returns.recurrence import home

_CELLS = 360  # time cells of the raster
_ROWS = 20  # largest number of weights in the raster
_SURE = 0.9  # least agreement of a weight that needs no words
_LINE = 1580.0  # points of letters that the line about the run may have
#: Position of a legend above the axes, with room for a title to its left.
_BESIDE = {"loc": "lower right", "bbox_to_anchor": (1.01, 1.0), "borderaxespad": 0.1}


def errors_over_time(ax: Axes, orbit: Orbit) -> str:
    """Draw the distance to the reference over a logarithmic time axis.

    The line is the mean over each time bin and the band, if any, its range; the dashed line is the time
    average.
    """
    ax.set_ylabel(f"{'wrong' if orbit.reference_kind == 'teacher' else 'differing'} weights (number)")
    _time_axis(ax, orbit.steps)
    if not orbit.recorded:
        return _unrecorded(ax, f"The run ends with {orbit.errors} of {orbit.n} weights {_wrong(orbit)}")
    h = history(orbit)
    varies = bool((h.high > h.low).any())
    if varies:
        look: dict[str, Any] = {"color": BLUE, "alpha": 0.22, "lw": 0, "label": "iterates: range"}
        ax.fill_between(h.centres, h.low, h.high, step="mid", **look)
    label = "iterates: mean" if varies else "iterates"
    marker = "o" if len(h.mean) == 1 else None
    ax.plot(h.centres, h.mean, color=BLUE, marker=marker, label=label)
    ax.plot(h.edges[1:], h.ergodic, color=VERMILLION, ls=DASHED, marker=marker, label="time average")
    top = max(float(h.high.max()), float(h.ergodic.max()), 1.0)
    if top <= 12:
        whole_ticks(ax.yaxis)
        ax.set_ylim(-0.05 * top, 1.12 * top)
    else:  # logarithmic above one: the count is often zero
        ax.set_yscale("symlog", linthresh=1, linscale=0.5)
        ax.yaxis.set_major_formatter("{x:g}")
        ax.set_ylim(-0.15, 1.4 * top)
    if orbit.flips_complete_to < orbit.steps:
        ax.axvspan(orbit.flips_complete_to, orbit.steps, color=PALE, lw=0, label="not recorded")
    legend_above(ax, 4, **_BESIDE)
    return _read_errors(orbit, h)


def _read_errors(orbit: Orbit, h: History) -> str:
    if orbit.certified:
        whole = orbit.flips_complete_to == orbit.steps
        moves = f"after step {int(orbit.flips['step'][-1]):,}" if orbit.flips.size and whole else ""
        count = f"{orbit.errors:,} of {orbit.n:,} {'is' if orbit.errors == 1 else 'are'}"
        now = f" {moves}" if moves else " in this run" if whole else " any more"
        return f"No weight flips{now}, and none ever will: {count} {_wrong(orbit)}."
    late = h.edges[:-1] >= h.edges[-1] // 10
    low, high = int(h.low[late].min()), int(h.high[late].max())
    mean = float(np.average(h.mean[late], weights=np.diff(h.edges)[late]))
    average = f"{mean:,.0f}" if mean >= 10 else f"{mean:.2g}"
    span = f"{low:,} of {orbit.n:,} weights {'is' if low == 1 else 'are'} {_wrong(orbit)}"
    if low != high:
        span = f"{low:,} to {high:,} of {orbit.n:,} weights are {_wrong(orbit)}, {average} on average"
    decoded = f"{h.ergodic[-1]:,} of {orbit.n:,} {'is' if h.ergodic[-1] == 1 else 'are'} {_wrong(orbit)}"
    cut, start = f"{orbit.flips_complete_to:,}", f"{int(h.edges[:-1][late][0]):,}"
    whole = orbit.flips_complete_to == orbit.steps
    until, then = ("on", "At the end") if whole else (f"to {cut}", f"At step {cut}")
    return f"From step {start} {until}, {span}. {then} {decoded} in the time average."


def flip_raster(ax: Axes, orbit: Orbit, rows: int = _ROWS) -> str:
    """Draw when the most active weights flipped, and in which direction, in at most ``rows`` rows.

    The upper half of a row shows flips upwards, to +1 with two levels, and the lower half flips downwards. A
    deeper colour means more flips.
    """
    _time_axis(ax, orbit.steps)
    ax.grid(False)
    named = orbit.instance.get("origin", {}).get("columns")
    ax.set_ylabel("weight" if named else "weight, counted from 0")
    if not orbit.recorded:
        return _unrecorded(ax, "When each weight flipped is not known")
    counts = np.bincount(orbit.flips["coordinate"], minlength=orbit.n)
    busy = np.argsort(-counts, kind="stable")[: min(rows, np.count_nonzero(counts))]
    if not busy.size:
        note(ax, "no flips")
        return "No weight flips."
    cells = np.geomspace(1, orbit.steps + 1, _CELLS + 1)
    levels = np.arange(2 * len(busy) + 1) / 2 - 0.5
    ax.pcolormesh(cells, levels, _raster(orbit, busy, cells), rasterized=True)
    ax.hlines(np.arange(1, len(busy)) - 0.5, *ax.get_xlim(), color="white", lw=1.4)
    ax.set_ylim(len(busy) - 0.5, -0.5)
    name_rows(ax, [orbit.weight_names[k] for k in busy])
    ax.tick_params(axis="y", length=0)
    if orbit.flips_complete_to < orbit.steps:
        ax.axvspan(orbit.flips_complete_to, orbit.steps, color=PALE, lw=0)
    two = orbit._levels == 2
    halves = {"to +1 (above)" if two else "up": BLUE, "to −1 (below)" if two else "down": VERMILLION}
    patches = [Patch(color=colour, label=label) for label, colour in halves.items()]
    legend_above(ax, 2, handles=patches, **_BESIDE)
    total, active = int(counts.sum()), int(np.count_nonzero(counts))
    few = int(np.searchsorted(np.cumsum(np.sort(counts)[::-1]), 0.9 * total)) + 1
    most = f", nine tenths of them by {few:,}" if total >= 100 and few <= active / 2 else ""
    which = f"the {len(busy)} busiest" if counts.max() > 1 else f"{len(busy)} of them"
    shown = f"; {which} are shown" if len(busy) < active else ""
    return f"{counted(total, 'flip')} by {active:,} of {orbit.n:,} weights{most}{shown}."


def _raster(orbit: Orbit, busy: np.ndarray, cells: np.ndarray) -> np.ndarray:
    """Return the colours (2 rows to a weight, time cells, RGBA) of the raster."""
    row = np.full(orbit.n, -1)
    row[busy] = np.arange(len(busy))
    coordinate = orbit.flips["coordinate"]
    half = np.arange(2 * len(busy) + 1)
    place = np.where(row[coordinate] >= 0, 2 * row[coordinate] + (orbit._moves < 0), -1)
    image, *_ = np.histogram2d(place, orbit.flips["step"], [half, cells])
    # A weight can flip to +1 at most at every other step.
    share = np.minimum(2 * image / np.maximum(np.diff(cells), 1.0), 1.0)
    colours = np.zeros((*image.shape, 4))
    for offset, colour in enumerate((BLUE, VERMILLION)):
        colours[offset::2, :, :3] = to_rgb(colour)
    colours[..., 3] = np.where(image > 0, 0.35 + 0.65 * np.sqrt(share), 0.0)
    return colours


def ergodic_mean(ax: Axes, orbit: Orbit) -> str:
    """Draw √n times the ergodic mean times the sign of the reference, sorted.

    At 1 a weight is always right, at 0 undecided; below 0 the time average has the wrong sign. With more
    levels it is 1 − |√n·average − level|/(half a step): below 0 the time average is nearer to another level.
    """
    two = orbit._levels == 2
    average = orbit.ergodic_mean * math.sqrt(orbit.n)
    if two:
        margin = np.clip(average * orbit.reference, -1, 1)
    else:
        margin = np.clip(1 - 2 * np.abs(average - orbit.reference) / orbit._quantiser.step, -1, 1)
    order = np.argsort(margin, kind="stable")
    margin, right = margin[order], (orbit.ergodic_signs == orbit.reference)[order]
    x = np.arange(1, orbit.n + 1)
    size = float(np.clip(900 / orbit.n, 14, 36))
    ax.axhspan(-1.08, 0, color=VERMILLION, alpha=0.06, lw=0)
    ax.axhline(0, color=GREY, lw=0.9)
    ax.vlines(x, 0, margin, color=np.where(right, BLUE, VERMILLION), lw=min(2.0, 90 / orbit.n), alpha=0.45)
    for where, scale, label, fill, edge, marker in (
        (right, 1.0, "time average agrees", BLUE, BLUE, "o"),
        (~right, 1.5, "time average differs", VERMILLION, VERMILLION, "X"),
        ((orbit.signs != orbit.reference)[order], 4.5, "last iterate differs", "none", INK, "o"),
    ):
        if where.any():
            look: dict[str, Any] = {"fc": fill, "ec": edge, "label": f"{label} ({where.sum()})"}
            ax.scatter(x[where], margin[where], size * scale, marker=marker, zorder=3, **look)
    against = home(orbit)
    tidy(
        ax,
        legend="lower right",
        ylim=(-1.08, 1.08),
        xlabel="weights, in order of agreement",
        ylabel=f"agreement with the {against}",
    )
    ax.set_xticks([])  # ranks are no numbers of weights
    wrong = orbit.ergodic_errors
    if two:
        what = "sign"
        scale = f"the share of time at the {against}’s sign minus that at the other, weighted by step size"
    else:
        what, scale = "level", f"1 at the {against}’s level and 0 halfway to the next"
    if wrong:
        has = "has" if wrong == 1 else "have"
        count = f"{wrong:,} of {orbit.n:,} weights {has}"
        result = f"In the time average {count} a {what} other than the {against}’s"
    else:
        result = f"Every {what} of the time average agrees with the {against}"
        if margin[0] < _SURE:
            result += f"; weight {orbit.weight_names[order[0]]} is the least certain, at {margin[0]:.2f}"
    return f"{result}. Agreement is {scale}."


def figure(orbit: Orbit) -> Figure:
    """Return a figure of the three panels with their captions."""
    engine = ConstrainedLayoutEngine(w_pad=0.12, h_pad=0.08, hspace=0.03, wspace=0.03, rect=(0, 0, 1, 0.9))
    fig = Figure(figsize=(12, 8), layout=engine, facecolor="white")
    axes = fig.subplot_mosaic(
        [["errors", "mean"], ["raster", "mean"]], width_ratios=[1.55, 1], height_ratios=[1, 1.1]
    )
    for name, title, draw, width in (
        ("errors", "Wrong weights over time", errors_over_time, 84),
        ("raster", "Which weights flip, and when", flip_raster, 84),
        ("mean", "Time average of each weight", ergodic_mean, 56),
    ):
        caption(axes[name], draw(axes[name], orbit), width)
        axes[name].set_title(title, loc="left", fontsize=11.5, weight="bold", color=INK)
    axes["errors"].set_xlabel("")
    (_, verdict), *_ = orbit._rows()
    colour = VERDICT_COLOURS[orbit.verdict.name]
    interrupted = ", interrupted" if orbit.interrupted else ""
    fig.text(0.012, 0.983, f"{verdict}{interrupted}", fontsize=15, weight="bold", color=colour, va="top")
    fig.text(0.012, 0.947, meaning(orbit), fontsize=10, color=INK, va="top")
    about = problem_line(orbit)
    small = min(9.0, _LINE / len(about))
    fig.text(0.012, 0.921, escaped(about), fontsize=small, color=GREY, va="top")
    return fig


def _wrong(orbit: Orbit) -> str:
    return "wrong" if orbit.reference_kind == "teacher" else "unlike the best state seen"


def _time_axis(ax: Axes, steps: int) -> None:
    end = max(12.0, 1.15 * steps)  # an axis shorter than a decade has one label
    ax.set_xscale("symlog", linthresh=1, linscale=0.4, subs=range(2, 10))  # step 0 is on it
    tidy(ax, xlabel="step (log scale from 1 on)", xlim=(-0.1, end))


def _unrecorded(ax: Axes, words: str) -> str:
    note(ax, "flips were not recorded")
    return f"{words}: the run kept no flips."
