"""The pictures of P3, and what they show in words, computed from what is drawn."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from sterling.claims.finding import Picture
from sterling.plot.curves import MARKERS, SERIES_COLOURS
from sterling.plot.style import GREY, PALE

if TYPE_CHECKING:
    import polars as pl
    from matplotlib.axes import Axes

_QUANTILES = (0.5, 0.99)


def pictures(
    lasting: pl.DataFrame,
    marks: pl.DataFrame,
    weights: pl.DataFrame,
    times: pl.DataFrame,
) -> tuple[Picture, ...]:
    """Return the pictures of runs that came back to w*; none where none did."""
    if lasting.is_empty():
        return ()
    occupied = lasting.drop_nulls("predicted_occupancy")
    return (
        Picture("p3-visits", "Visits to w* grow with the steps", partial(draw_visits, marks=marks)),
        Picture("p3-occupancy", "Occupancy, predicted and measured", partial(draw_occupancy, runs=occupied)),
        Picture(
            "p3-weights",
            "Wrong share of each weight, predicted and measured",
            partial(draw_weights, weights=weights),
        ),
        Picture("p3-returns", "How long absences from w* last", partial(draw_times, times=times)),
    )


def _places(frame: pl.DataFrame) -> list[tuple[int, int]]:
    return sorted(set(frame.select("n", "samples").iter_rows()))


def _at(frame: pl.DataFrame, place: tuple[int, int]) -> pl.DataFrame:
    return frame.filter((frame["n"] == place[0]) & (frame["samples"] == place[1]))


def draw_visits(ax: Axes, marks: pl.DataFrame) -> str:
    """Draw the number of visits against T for every run."""
    most = 1.0
    for rank, place in enumerate(_places(marks)):
        label = f"n = {place[0]}, N = {place[1]:,}"
        for _, one in _at(marks, place).group_by("instance", maintain_order=True):
            one = one.filter(one["mark_visits"] > 0).sort("mark_steps")
            steps, visits = one["mark_steps"].to_numpy(), one["mark_visits"].to_numpy()
            ax.plot(
                steps,
                visits,
                lw=1,
                color=SERIES_COLOURS[rank % len(SERIES_COLOURS)],
                label=label,
            )
            label = None
            most = max(most, float(steps.max(initial=1)))
    line = np.array([10.0, most])
    ax.plot(line, 0.02 * line, color=GREY, lw=1, ls="--", label="slope one")
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_ylim(bottom=0.8)
    ax.set_xlabel("steps T")
    ax.set_ylabel("visits to w* (number)")
    ax.legend(frameon=False, fontsize=8)
    return "A line of slope one means that visits keep coming at the same pace, however long the run."


def draw_occupancy(ax: Axes, runs: pl.DataFrame) -> str:
    """Draw measured against predicted occupancy."""
    _against(ax, runs, "predicted_occupancy", "occupancy", 1.0, size=6)
    ax.set_xlabel("predicted occupancy (mean-field)")
    ax.set_ylabel("measured occupancy")
    return "Each point is one data set; on the line the prediction, made from the data alone, is right."


def draw_weights(ax: Axes, weights: pl.DataFrame) -> str:
    """Draw measured against predicted wrong share of every weight."""
    known = weights.drop_nulls()
    end = max(0.05, _most(known, "wrong_share"), _most(known, "predicted_share"))
    _against(ax, known, "predicted_share", "wrong_share", end, size=4)
    ax.set_xlabel("predicted wrong share (mean-field)")
    ax.set_ylabel("measured wrong share")
    return f"Each point is one weight; on the line the prediction is right. {_distances_in_words(weights)}"


def _against(ax: Axes, frame: pl.DataFrame, x: str, y: str, end: float, size: float) -> None:
    """Draw one column against another, a mark a row, with the diagonal up to ``end``."""
    ax.plot([0, end], [0, end], color=PALE, lw=1.4, zorder=0)
    ax.set_xlim(-0.02 * end, 1.02 * end)
    ax.set_ylim(-0.02 * end, 1.02 * end)
    for rank, place in enumerate(_places(frame)):
        one = _at(frame, place)
        ax.plot(
            one[x].to_numpy(),
            one[y].to_numpy(),
            ls="",
            ms=size,
            mfc="none",  # marks that lie on each other stay apart, at the full contrast of their colour
            marker=MARKERS[rank % len(MARKERS)],
            color=SERIES_COLOURS[rank % len(SERIES_COLOURS)],
            label=f"n = {place[0]}, N = {place[1]:,}",
        )
    ax.legend(frameon=False, fontsize=8)


def _distances_in_words(weights: pl.DataFrame) -> str:
    """Say how far measured wrong shares lie from predicted ones, without the weights that both give none."""
    known = weights.drop_nulls()
    known = known.filter((known["wrong_share"] > 0) | (known["predicted_share"] > 0))
    if known.is_empty():
        return "No weight is wrong at any time or predicted to be."
    distance = (known["wrong_share"] - known["predicted_share"]).abs().to_numpy()
    return (
        f"Of the {len(distance):,} weights that are wrong at some time or predicted to be, half lie within "
        f"{np.median(distance):.2g} of it and the farthest {distance.max():.2g} away."
    )


def draw_times(ax: Axes, times: pl.DataFrame) -> str:
    """Draw the share of absences that last so long or longer, all data sets of a place together."""
    for rank, place in enumerate(_places(times)):
        one = _at(times, place).drop_nulls().group_by("return_times").sum().sort("return_times")
        counts = one["return_counts"].to_numpy()
        if counts.size:
            ax.step(
                one["return_times"].to_numpy(),
                counts[::-1].cumsum()[::-1] / counts.sum(),
                where="post",
                lw=1.4,
                color=SERIES_COLOURS[rank % len(SERIES_COLOURS)],
                label=f"n = {place[0]}, N = {place[1]:,}",
            )
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlabel("absence from w*, steps")
    ax.set_ylabel("share that lasts so long or longer")
    ax.legend(frameon=False, fontsize=8)
    return times_in_words(times)


def times_in_words(times: pl.DataFrame) -> str:
    """Return the median, the 99th percentile and the longest of all absences at each n and N."""
    parts = []
    for n, samples in _places(times):
        one = _at(times, (n, samples)).drop_nulls().group_by("return_times").sum().sort("return_times")
        if len(one):
            lengths, counts = one["return_times"].to_numpy(), one["return_counts"].to_numpy()
            share = counts.cumsum() / counts.sum()
            middle, far = (lengths[np.searchsorted(share, level)] for level in _QUANTILES)
            parts.append(f"n = {n}, N = {samples:,}: {middle:,}, {far:,} and {lengths[-1]:,}")
    ends = "Steps that half of the absences last at most, that 99 % last at most, and the longest"
    return f"{ends}: {'; '.join(parts)}."


def _most(frame: pl.DataFrame, column: str) -> float:
    return float(frame[column].drop_nulls().to_numpy().max(initial=-np.inf))
