"""Pictures of all states, and of what is proved: functions that draw into an ``ax`` and return a caption."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LinearSegmentedColormap, LogNorm

from sterling.landscapes.certificate import Certificate
from sterling.landscapes.landscape import Landscape
from sterling.plot.style import BLUE, GREEN, GREY, INK, VERMILLION, tidy, whole_ticks

_BINS = 90  # bins of the loss
_MARKED = 2000  # largest number of traps drawn: those of lowest loss
_WIDTH = 0.4  # half the width of a column


def loss_by_distance(ax: Axes, landscape: Landscape) -> str:
    """Draw a histogram of the loss at each Hamming distance to the teacher; return a caption."""
    n, loss, distance = landscape.n, landscape.loss, landscape.distance
    edges = np.histogram_bin_edges(loss, _BINS)
    colours = LinearSegmentedColormap.from_list("states", ["#FFFFFF", BLUE])
    shades = {"cmap": colours, "norm": LogNorm(1e-5, 0.3, clip=True)}
    medians = np.empty(n + 1)
    for d in range(n + 1):
        values = loss[distance == d]
        medians[d] = np.median(values)
        share = np.histogram(values, edges)[0] / len(values)
        column = np.where(share > 0, share, np.nan)[:, None]
        ax.pcolormesh([d - _WIDTH, d + _WIDTH], edges, column, rasterized=True, **shades)
    ax.plot([], [], "s", ms=7, color=BLUE, alpha=0.6, label="states (colour: share)")
    ax.plot(range(n + 1), medians, color=INK, lw=1.2, label="median")
    traps = landscape.trap_states
    if traps.size:
        drawn = traps[np.argsort(loss[traps], kind="stable")[:_MARKED]]
        more = f" ({len(drawn):,} of {traps.size:,})" if len(drawn) < traps.size else f" ({traps.size:,})"
        ax.plot(distance[drawn], loss[drawn], "x", ms=6, mew=1.3, color=VERMILLION, label=f"trap{more}")
    if landscape.instance.teacher is not None:
        fill, name = (BLUE, "absorbs") if landscape.reference_absorbs else ("none", "is left")
        ring = {"ms": 12, "mfc": fill, "mec": BLUE, "mew": 1.6, "clip_on": False}
        ax.plot(0, loss[landscape.reference_state], "o", label=f"teacher ({name})", **ring)
    best = landscape.minimiser_states  # often the teacher: drawn last and smaller, so both are visible
    mark = {"ms": 7, "mfc": "#FFFFFF", "mec": GREEN, "mew": 1.4, "clip_on": False}
    ax.plot(distance[best], loss[best], "v", label="lowest loss", **mark)
    reference = "teacher" if landscape.instance.teacher is not None else "lowest minimiser"
    ax.set(xlabel=f"Hamming distance to the {reference} (weights)", ylabel="loss (empirical risk)")
    tidy(ax, legend="lower right")
    whole_ticks(ax.xaxis)
    ax.grid(False)
    return landscape.sentence()


def proved_shares(ax: Axes, certificate: Certificate) -> str:
    """Draw the proved bound of the share of the mass in which each weight is wrong; return a caption."""
    bounds = np.sort(certificate.wrong_share)[::-1]
    x = np.arange(1, certificate.n + 1)
    ax.bar(x, bounds, color=VERMILLION, alpha=0.5, label="wrong at most, proved")
    ax.axhline(0.5, color=GREY, lw=0.9, ls=":", label="below it the time average is right")
    ax.set(xlabel="weights, the largest bound first", ylabel="share of the time, weighted by step size")
    tidy(ax, ylim=(0, max(0.6, 1.1 * bounds[0])))
    ax.set_xticks([])  # ranks are no numbers of weights
    return certificate.sentence()
