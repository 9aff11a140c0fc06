"""Pictures that several claims share. As in `sterling.plot.run`, they draw into an ``ax``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from sterling.plot.style import AMBER, BLUE, GREEN, GREY, PURPLE, VERMILLION

if TYPE_CHECKING:
    from matplotlib.axes import Axes

#: Colours and markers of series that have no meaning of their own.
SERIES_COLOURS = (BLUE, VERMILLION, GREEN, AMBER, PURPLE, GREY)
MARKERS = "osD^vPX"


def dots(
    ax: Axes, rows: Sequence[str], groups: dict[str, np.ndarray], axis: str, line: float | None = None
) -> None:
    """Draw a value with its interval for each row and group, rows downwards.

    Parameters
    ----------
    rows : labels
    groups : label → float (rows, 3): value, low, high; NaN where there is none
    axis : str
        Label of the x axis.
    line : float, optional
        Where a vertical line stands.
    """
    if line is not None:
        ax.axvline(line, color=GREY, lw=1, ls="--", zorder=0)
    height = 0.62 / max(1, len(groups))
    for place, (label, table) in enumerate(groups.items()):
        y = np.arange(len(rows)) + (place - (len(groups) - 1) / 2) * height
        value, low, high = table.T
        spread = np.vstack([value - low, high - value])
        ax.errorbar(
            value,
            y,
            xerr=np.nan_to_num(np.maximum(spread, 0)),
            fmt=MARKERS[place % len(MARKERS)],
            ms=5.5,
            lw=1.4,
            color=SERIES_COLOURS[place % len(SERIES_COLOURS)],
            label=label,
        )
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set_ylim(len(rows) - 0.5, -0.5)
    ax.set_xlabel(axis)
    ax.locator_params(axis="x", nbins=6)
    if len(groups) > 1:
        ax.legend(
            frameon=False,
            fontsize=8,
            ncols=len(groups),
            loc="lower center",
            bbox_to_anchor=(0.5, 1.0),
            columnspacing=1.2,
            handletextpad=0.2,
        )
