"""The picture of a landscape: loss against distance to the teacher, with what absorbs marked.

It draws into an `ax` and touches nothing global.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from sterling.plot.style import BLUE, GREEN, GREY, INK, VERMILLION
from sterling.states.summary import sentence

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from sterling.states.landscape import Landscape

_BINS = 90  # of the loss
_MARKED = 2000  # traps drawn, at most: those of lowest loss
_WIDTH = 0.4  # half the width of a column
_SMALL = 8.5  # points


def plot_landscape(ax: Axes, landscape: Landscape) -> str:
    """Draw the loss of all states against their Hamming distance to the teacher; return what there is to see.

    Each column is a histogram, darker where more of the states at that distance lie, with a line through the
    medians. Traps (absorbing states other than the teacher), minimisers and the teacher are marked.

    Parameters
    ----------
    ax : matplotlib Axes
    landscape : Landscape

    Returns
    -------
    str
        One sentence for a caption.
    """
    from matplotlib.colors import LinearSegmentedColormap, LogNorm
    from matplotlib.ticker import MaxNLocator

    n, loss, distance = landscape.n, landscape.loss, landscape.distance
    low, high = float(loss.min()), float(loss.max())
    margin = 0.04 * (high - low) or 0.5
    edges = np.linspace(low, high if high > low else low + 1, _BINS + 1)
    shade = LinearSegmentedColormap.from_list("states", ["#FFFFFF", BLUE])
    medians = np.empty(n + 1)
    for d in range(n + 1):
        values = loss[distance == d]
        medians[d] = np.median(values)
        share = np.histogram(values, edges)[0] / len(values)
        ax.pcolormesh(
            [d - _WIDTH, d + _WIDTH],
            edges,
            np.where(share > 0, share, np.nan)[:, None],
            cmap=shade,
            norm=LogNorm(1e-5, 0.3, clip=True),
            rasterized=True,
        )
    ax.plot(range(n + 1), medians, color=INK, lw=1.2, label="median")
    traps = landscape.trap_states
    if traps.size:
        drawn = traps[np.argsort(loss[traps], kind="stable")[:_MARKED]]
        more = f" ({len(drawn):,} of {traps.size:,})" if len(drawn) < traps.size else f" ({traps.size:,})"
        ax.plot(distance[drawn], loss[drawn], "x", ms=6, mew=1.3, color=VERMILLION, label=f"trap{more}")
    if landscape.instance.teacher is not None:
        fill = BLUE if landscape.reference_absorbs else "none"
        name = "teacher (absorbs)" if landscape.reference_absorbs else "teacher (is left)"
        ax.plot(
            0,
            loss[landscape.reference_state],
            "o",
            ms=12,
            mfc=fill,
            mec=BLUE,
            mew=1.6,
            label=name,
            clip_on=False,
        )
    best = landscape.minimiser_states  # often the teacher: last and smaller, so that both can be seen
    ax.plot(
        distance[best],
        loss[best],
        "v",
        ms=7,
        mfc="#FFFFFF",
        mec=GREEN,
        mew=1.4,
        label="lowest loss",
        clip_on=False,
    )
    reference = "teacher" if landscape.instance.teacher is not None else "lowest minimiser"
    ax.set_xlabel(f"Hamming distance to the {reference} (weights)")
    ax.set_ylabel("loss (empirical risk)")
    ax.set_xlim(-0.7, n + 0.7)
    ax.set_ylim(low - margin, high + margin)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.spines[["top", "right"]].set_visible(False)
    ax.tick_params(labelsize=_SMALL, color=GREY)
    ax.legend(fontsize=_SMALL, frameon=False, loc="lower right")
    return sentence(landscape)
