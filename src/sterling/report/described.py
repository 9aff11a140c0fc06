"""Figures told to readers who cannot see them, from what was drawn and from nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from sterling.base.text import number

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

_POINTS, _ROWS = 8, 24  # of a series, or with names; of longer ones the ends and the range are told


def described(figure: Figure) -> str:
    """Return what the axes of a drawn figure are, and each series of the legend with its values.

    A drawing that is no series of points tells about itself with ``ax.set_label``.
    """
    return " ".join(_axes(ax) for ax in figure.axes)


def _axes(ax: Axes) -> str:
    names = [
        f"{' '.join(axis.get_label_text().split())}{' (logarithmic)' if axis.get_scale() != 'linear' else ''}"
        for axis in (ax.yaxis, ax.xaxis)
    ]
    parts = [" against ".join(filter(None, names))]
    handles, labels = ax.get_legend_handles_labels()
    if ax.get_label() and not str(ax.get_label()).startswith(("_", "<")):  # Matplotlib's own names
        parts.append(str(ax.get_label()))
    elif handles:
        for handle, label in zip(handles, labels, strict=True):
            told = _values(ax, _points(handle))
            parts.append(f"{label}: {told}" if told else str(label))
    else:
        parts += [_values(ax, _points(line)) for line in ax.lines] + ["a map of colours" for _ in ax.images]
    parts += [text.get_text() for text in ax.texts]
    return "; ".join(filter(None, parts)).rstrip(".") + "."


def _points(handle: Any) -> np.ndarray:
    """Return the points (k, 2) of a series; none for what is no series, such as a band."""
    if hasattr(handle, "lines"):  # with error bars
        handle = handle.lines[0]
    if hasattr(handle, "datavalues"):  # bars
        boxes = [bar.get_bbox() for bar in handle]
        across = handle.orientation == "horizontal"
        middle = [(box.y0 + box.y1) / 2 if across else (box.x0 + box.x1) / 2 for box in boxes]
        return np.column_stack([handle.datavalues, middle] if across else [middle, handle.datavalues])
    if hasattr(handle, "get_xydata"):
        points = np.asarray(handle.get_xydata(), float)
    elif hasattr(handle, "get_offsets"):
        points = np.ma.filled(np.ma.asarray(handle.get_offsets(), float), np.nan)
    else:
        return np.empty((0, 2))
    return points[np.isfinite(points).all(1)]


def _values(ax: Axes, points: np.ndarray) -> str:
    named = bool(_ticks(ax.yaxis))  # rows with names, values to the right
    told = [
        f"{_at(ax.yaxis, y)} {_at(ax.xaxis, x)}" if named else f"{_at(ax.yaxis, y)} at {_at(ax.xaxis, x)}"
        for x, y in points
    ]
    if len(told) <= (_ROWS if named else _POINTS):
        return ", ".join(told)
    low, high = (_at(ax.yaxis, end) for end in (points[:, 1].min(), points[:, 1].max()))
    return f"{len(told):,} points from {told[0]} to {told[-1]}, between {low} and {high}"


def _ticks(axis: Axis) -> dict[float, str]:
    """Return the names at the ticks of an axis by their places; none where ticks are numbers."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, FuncFormatter

    named = isinstance(axis.get_major_formatter(), FixedFormatter | FuncFormatter)
    if not (named and isinstance(axis.get_major_locator(), FixedLocator)):
        return {}
    places = axis.get_ticklocs()
    return {float(at): one.get_text() for at, one in zip(places, axis.get_ticklabels(), strict=False)}


def _at(axis: Axis, value: float) -> str:
    ticks = _ticks(axis)
    return ticks[min(ticks, key=lambda at: abs(at - value))] if ticks else number(float(f"{value:.3g}"))
