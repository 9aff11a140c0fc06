"""Parts of pictures that several claims share; they draw into an ``ax``."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import polars as pl
from matplotlib.axes import Axes

from sterling.plot.style import (
    AMBER,
    BLUE,
    GREEN,
    GREY,
    INK,
    PURPLE,
    VERMILLION,
    dimensions_axis,
    legend_above,
    tidy,
    whole_numbers,
)

#: Colours and markers of series by their order.
SERIES_COLOURS = (BLUE, VERMILLION, GREEN, AMBER, PURPLE, GREY, INK)
MARKERS = "osD^vP*X"


def style(index: int) -> dict[str, Any]:
    """Return the colour and the marker of a series by its number."""
    return {"color": SERIES_COLOURS[index % len(SERIES_COLOURS)], "marker": MARKERS[index % len(MARKERS)]}


def shares(ax: Axes, cells: pl.DataFrame, **given: Any) -> None:
    """Draw the columns share, share_low and share_high of cells against samples, by ``ax.errorbar``."""
    cells = cells.sort("samples")
    share, low, high = intervals(cells, "share").T
    bars = np.maximum([share - low, high - share], 0)
    ax.errorbar(cells["samples"].to_numpy(), share, bars, **given)


def intervals(table: pl.DataFrame, column: str) -> np.ndarray:
    """Return a column with its interval, ``column_low`` and ``column_high``, as float (rows, 3)."""
    return table.select(column, f"{column}_low", f"{column}_high").to_numpy()


def with_intervals(ax: Axes, where: Any, table: np.ndarray, sideways: bool = False, **look: Any) -> None:
    """Draw float (rows, 3) of value, low, high; an arrow to the edge is an interval without an upper end."""
    value, low, high = table.T
    spread = np.array([value - low, high - value])
    spread = np.where(np.isfinite(spread), np.maximum(spread, 0), 0)
    if sideways:
        drawn = ax.errorbar(value, where, xerr=spread, ls="", **look)
    else:
        drawn = ax.errorbar(where, value, spread, ls="", **look)
    arrow = {"arrowstyle": "->", "color": drawn[0].get_color(), "lw": 1.4, "shrinkA": 0, "shrinkB": 0}
    for place, start in zip(np.asarray(where)[high == np.inf], value[high == np.inf], strict=True):
        here, edge = ((start, place), (1, place)) if sideways else ((place, start), (place, 1))
        reach = ("axes fraction", "data") if sideways else ("data", "axes fraction")
        ax.annotate("", edge, here, xycoords=reach, textcoords="data", arrowprops=arrow)


def dots(
    ax: Axes,
    rows: Sequence[str],
    groups: dict[str, np.ndarray],
    axis: str,
    line: float | None = None,
    **given,
) -> None:
    """Draw a value with its interval for each row and group: float (rows, 3) of value, low, high."""
    if line is not None:
        ax.axvline(line, color=GREY, lw=1, ls="--", zorder=0)
    height = 0.62 / max(1, len(groups))
    for index, (label, table) in enumerate(groups.items()):
        y = np.arange(len(rows)) + (index - (len(groups) - 1) / 2) * height
        with_intervals(ax, y, table, sideways=True, ms=5.5, lw=1.4, label=label, **style(index))
    ax.set_yticks(range(len(rows)), list(rows))
    ax.set(ylim=(len(rows) - 0.5, -0.5), xlabel=axis, **given)
    ax.locator_params(axis="x", nbins=6)
    if len(groups) > 1:
        legend_above(ax, len(groups) if len(groups) < 4 else 2, handletextpad=0.2)


def over_dimensions(
    ax: Axes,
    points: Mapping[str, Iterable[tuple[float, ...]]],
    laws: Mapping[str, Mapping[int, float]],
    axis: str,
    slopes: Mapping[str, float] | None = None,
    **given: Any,
) -> None:
    """Draw series of (n, value, low, high) against n, laws n → value as dashed lines, and slopes."""
    ticks = {n for law in laws.values() for n in law}
    for index, (label, rows) in enumerate(points.items()):
        table = np.array(list(rows), float).reshape(-1, 4)
        look = {"ms": 5.5, "lw": 1.4, "label": f"{label}, 95 %", **style(index)}
        with_intervals(ax, table[:, 0], table[:, 1:], **look)
        ticks |= set(table[:, 0])
    for index, (label, law) in enumerate(laws.items()):
        ax.plot(list(law), list(law.values()), ls="--", lw=1.2, color=style(index)["color"], label=label)
    dimensions_axis(ax, sorted(ticks))
    tidy(ax, xlabel="dimension n", ylabel=axis, **given)
    if given.get("yscale") == "log":
        whole_numbers(ax.yaxis)
    if slopes:
        slope_triangles(ax, slopes)


def against(
    ax: Axes,
    series: Mapping[str, tuple[np.ndarray, np.ndarray]],
    end: float,
    axes: tuple[str, str],
    line: str | None = None,
) -> None:
    """Draw the points of each named series and the diagonal up to ``end``, with the label ``line``."""
    ax.plot([0, end], [0, end], color=GREY, lw=1.2, ls="--", zorder=0, label=line)
    for index, (label, points) in enumerate(series.items()):
        # Hollow marks stay visible where they overlap.
        ax.plot(*points, ls="", ms=5, mfc="none", label=label, **style(index))
    whole = (-0.02 * end, 1.02 * end)
    tidy(ax, "lower right", xlim=whole, ylim=whole, xlabel=axes[0], ylabel=axes[1])


def slope_triangles(ax: Axes, slopes: Mapping[str, float]) -> None:
    """Draw a labelled triangle of each slope into the empty corner of logarithmic axes, below the data."""
    xlim, ylim = ax.get_xlim(), ax.get_ylim()
    (left, right), (bottom, top) = np.log(xlim), np.log(ylim)
    width = min(0.12 * (right - left), 0.3 * (top - bottom) / max(map(abs, slopes.values())))
    y = bottom + 0.06 * (top - bottom)
    for index, (label, slope) in enumerate(slopes.items()):
        aside = (0.05 + 0.17 * index) * (right - left)
        x, upright = (left + aside, 0) if slope < 0 else (right - aside - width, width)
        high = y + abs(slope) * width
        ax.plot(np.exp([x, x + width, x + upright, x]), np.exp([y, y, high, y]), color=GREY, lw=1)
        given = {"color": GREY, "fontsize": 8.5, "ha": "left" if slope < 0 else "right", "va": "bottom"}
        ax.text(np.exp(x + upright), np.exp(high), label, **given)
    ax.set(xlim=xlim, ylim=ylim)


def visits_over_steps(ax: Axes, groups: Mapping[str, pl.DataFrame], slopes: Mapping[str, float]) -> None:
    """Draw the number of visits before each mark, a line for each run and a colour for each group."""
    for index, (label, runs) in enumerate(groups.items()):
        for number, lists in enumerate(runs.select("mark_steps", "mark_visits").iter_rows()):
            steps, visits = map(np.array, lists)
            line = steps[visits > 0], visits[visits > 0]
            ax.plot(*line, lw=1, label=None if number else label, color=style(index)["color"])
    tidy(ax, xscale="log", yscale="log", xlabel="steps T", ylabel="visits to w* (number)")
    ax.set_ylim(bottom=0.8)
    slope_triangles(ax, slopes)
