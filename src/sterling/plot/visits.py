"""Pictures of a run's visits to its reference: functions that draw into an ``ax`` and return a caption.

Predictions are dashed or hollow, and their label names the theory.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sterling.base.text import counted, percent, sentence
from sterling.plot.style import BLUE, DASHED, GREEN, GREY, VERMILLION, tidy, whole_ticks

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sterling.returns.recurrence import Recurrence


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
    tidy(ax, xscale="log", yscale="log", xlabel="time t (steps)", ylabel="share that lasts t or longer")
    ax.set_xlim(0.9, max(12.0, ax.get_xlim()[1]))  # an axis shorter than a decade has no labels
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
    text = f"{ever} of {n} weights wrong at some time, the worst in {percent(worst, 2)} of the steps"
    if predicted is not None:
        hollow = {"ls": "", "marker": "D", "mfc": "none", "mec": VERMILLION, "mew": 1.3}
        ax.plot(x, predicted[order], ms=5.5, label="predicted (mean-field)", **hollow)
        gap = float(np.abs(measured - predicted).max())
        text += f"; the prediction is off by {gap:.2g} at most"
        if np.ptp(measured) > 0 and np.ptp(predicted) > 0:
            text += f", correlation {np.corrcoef(measured, predicted)[0, 1]:.3f}"
    tidy(ax, xlabel="weights, the most often wrong first", ylabel="share of the steps in which it is wrong")
    if ax.get_ylim()[1] > 0.5:
        ax.axhline(0.5, color=GREY, lw=0.9, ls=":")
    ax.set_ylim(bottom=0)
    whole_ticks(ax.xaxis)
    return f"{text}."
