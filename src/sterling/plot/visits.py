"""Pictures of a run's visits to its reference: functions that draw into an ``ax`` and return a caption.

Predictions are dashed or hollow, and their label names the theory.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from sterling.base.text import counted, percent, sentence
from sterling.plot.curves import slope_triangles
from sterling.plot.style import (
    BLUE,
    DASHED,
    GREEN,
    GREY,
    VERMILLION,
    legend_above,
    note,
    tidy,
    whole_ticks,
)
from sterling.returns.batch_means import DRIFT_LEVEL
from sterling.returns.recurrence import home

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sterling.returns.recurrence import Recurrence

_PREDICTED: dict[str, Any] = {"ls": "", "marker": "D", "mfc": "none", "mec": VERMILLION, "mew": 1.3}


def survival(ax: Axes, found: Recurrence) -> str:
    """Draw the share of absences and of stays that last t steps or longer, on logarithmic axes."""
    parts: list[str] = []
    for times, colour, line_style, name in (
        (found.returns, BLUE, "-", "absences"),
        (found.sojourns, GREEN, DASHED, "stays"),
    ):
        if not times.count:
            continue
        t, share = times.survival()
        ends = np.append(t, times.longest), np.append(share, share[-1])
        label = f"{name} ({times.count:,})"
        ax.plot(*ends, color=colour, ls=line_style, lw=1.6, drawstyle="steps-pre", label=label)
        ax.plot(t[-1], share[-1], "o", color=colour, ms=3.5)
        mean = counted(float(f"{times.mean:.3g}"), "step")
        parts.append(f"{name} last {mean} on average and {times.longest:,} at most")
    tidy(
        ax,
        xscale="log",
        yscale="log",
        xlabel="time t (steps, log scale)",
        ylabel="share that lasts t or longer",
        xlim=(0.9, max(12.0, 1.3 * max(found.returns.longest, found.sojourns.longest))),
        ylim=(min(0.5 / max(found.returns.count, found.sojourns.count, 1), 0.05), 1.6),
    )
    return sentence(" and ".join(parts) or "there is no completed absence or stay")


def shares(ax: Axes, measured: np.ndarray, predicted: np.ndarray | None) -> str:
    """Draw the share of the iterates in which each weight is wrong, in order, beside a prediction.

    ``predicted`` holds mean-field shares (`sterling.theory.wrong_share`), or None.
    """
    n = len(measured)
    order = np.argsort(-measured, kind="stable")
    x = np.arange(1, n + 1)
    ax.vlines(x, 0, measured[order], color=BLUE, lw=min(6.0, 160 / n), alpha=0.5, label="measured")
    ax.plot(x, measured[order], "o", color=BLUE, ms=3)
    worst, ever = float(measured.max()), int(np.count_nonzero(measured > 0))
    text = f"None of the {n} weights is ever wrong"
    if ever:
        are = "is" if ever == 1 else "are"
        text = f"{ever} of {n} weights {are} ever wrong, the worst for {percent(worst, 2)} of the steps"
    if predicted is not None:
        ax.plot(x, predicted[order], ms=5.5, label="predicted (mean-field)", **_PREDICTED)
        gap = float(np.abs(measured - predicted).max())
        text += f"; the prediction is off by {gap:.2g} at most"
        if np.ptp(measured) > 0 and np.ptp(predicted) > 0:
            text += f", correlation {np.corrcoef(measured, predicted)[0, 1]:.3f}"
    top = max(worst, 0.0 if predicted is None else float(predicted.max()), 1e-3)
    if 1.12 * top > 0.5:
        ax.axhline(0.5, color=GREY, lw=0.9, ls=":", label="half of the steps")
    tidy(
        ax,
        xlabel="weights, the most often wrong first",
        ylabel="share of the steps in which it is wrong",
        ylim=(0, 1.12 * top),
    )
    whole_ticks(ax.xaxis)
    return f"{text}."


def growth(ax: Axes, found: Recurrence) -> str:
    """Draw the number of visits over the number of steps, and a triangle of slope one."""
    seen = found.mark_visits > 0
    steps, visits = found.mark_steps[seen], found.mark_visits[seen]
    if not len(steps):
        note(ax, "no visit")
        return f"The {home(found)} was not visited."
    ax.plot(steps, visits, color=BLUE, marker="o" if len(steps) < 3 else None, label="visits")
    most = max(12.0, 2.0 * float(visits[-1]))
    ax.set(xlabel="steps (log scale)", ylabel="visits so far")
    tidy(ax, xscale="log", yscale="log", ylim=(0.8, most))
    slope_triangles(ax, {"constant rate": 1.0})
    if found.certified:
        return f"{counted(found.visits, 'visit')}, and no weight flips any more."
    slope = found.grown and f", growing {found.grown}"
    return f"{counted(found.visits, 'visit')}{slope}. {found.thinning}."


def batches(ax: Axes, found: Recurrence) -> str:
    """Draw the occupancy of each batch of steps, those left out in grey, and the long-run interval."""
    occupancy, length = found.batch_occupancy, found.batch_steps
    if not len(occupancy):
        note(ax, "no batch is full")
        return "The run is too short."
    skipped = math.ceil(found.burn_in * len(occupancy))
    x = (np.arange(len(occupancy)) + 0.5) * length
    ax.plot(x[:skipped], occupancy[:skipped], "o", color=GREY, ms=3.5, label=f"left out: {found.left_out}")
    label = f"batches of {counted(length, 'step')}"
    ax.plot(x[skipped:], occupancy[skipped:], "o", color=BLUE, ms=3.5, label=label)
    if found.long_run is not None:
        ax.axhspan(found.long_run.low, found.long_run.high, color=VERMILLION, alpha=0.25, lw=0)
        ax.axhline(found.long_run.value, color=VERMILLION, lw=1.2, label="long run, with its interval")
    ax.ticklabel_format(axis="x", style="sci", scilimits=(-3, 4), useMathText=True)
    tidy(ax, xlabel="step", ylabel=f"share of the batch at the {home(found)}", xlim=(0, found.steps))
    legend_above(ax, 1)
    if found.drift is None:
        reason = f": {found.long_run_note}" if found.long_run_note else ""
        return f"Drift is not tested{reason}."
    verdict = "no drift of the batches is seen" if found.drift >= DRIFT_LEVEL else "the batches drift"
    return f"After {found.left_out} {verdict} (Geweke's test, p = {found.drift:.2g})."
