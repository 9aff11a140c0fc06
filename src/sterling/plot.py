"""Pictures of a run: functions that draw into an `ax`, and one figure of all three with a reading of each.

Nothing global is touched: no pyplot, no style. Everything shown is computed from the orbit.
"""

from __future__ import annotations

import math
import os
import textwrap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from sterling.errors import InputError
from sterling.files import write_atomically
from sterling.schedules import Schedule, Table

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sterling.dynamics.orbit import Orbit

#: Suffixes that `save_figure` can write.
FORMATS = ("png", "svg", "pdf")

# Okabe and Ito's colours, told apart by colour-blind readers and in grey.
BLUE, VERMILLION, GREEN, YELLOW, PURPLE = "#0072B2", "#D55E00", "#009E73", "#E69F00", "#CC79A7"
INK, GREY, PALE = "#222222", "#6B6B6B", "#DDDDDD"
VERDICT_COLOURS = {
    "OPTIMAL": GREEN, "TRAPPED": VERMILLION, "RECURRENT": BLUE, "WANDERING": YELLOW, "STALLED": PURPLE,
}  # fmt: skip

_BINS = 240  # time bins of the curves, at most
_CELLS = 360  # time cells of the raster
_ROWS = 24  # weights in the raster, at most


@dataclass(frozen=True)
class History:
    """How wrong a run was over time, in time bins that grow with time.

    Bin i holds the iterates w_t with edges[i] ≤ t < edges[i + 1].

    Attributes
    ----------
    edges : int64 (bins + 1,)
    mean, low, high : (bins,)
        Hamming distance to the reference over the bin's iterates.
    ergodic : int64 (bins,)
        Hamming distance of the sign of the ergodic mean over all iterates before the bin's end.
    """

    edges: np.ndarray
    mean: np.ndarray
    low: np.ndarray
    high: np.ndarray
    ergodic: np.ndarray

    @property
    def centres(self) -> np.ndarray:
        """Geometric middle of each bin, with iterates counted from 1."""
        return np.sqrt((self.edges[:-1] + 1.0) * self.edges[1:])


def history(orbit: Orbit) -> History:
    """Return the errors over time, as far as flips were recorded.

    Raises
    ------
    InputError
        If flips were not recorded.
    """
    end = max(1, orbit.flips_complete_to)
    edges = np.unique(np.rint(np.geomspace(1, end, _BINS)).astype(np.int64))
    edges = np.concatenate([[0], edges])
    flips = orbit.flips[: np.searchsorted(orbit.flips["step"], end)]
    steps = flips["step"]
    change = np.where(flips["sign"] == orbit.reference[flips["coordinate"]], -1, 1)
    start = np.count_nonzero(orbit.start_signs != orbit.reference)
    after = np.concatenate([[start], start + np.cumsum(change)])  # distance after so many flips
    moments = np.concatenate([[0], np.cumsum(change * steps)])
    before = np.searchsorted(steps, edges)  # flips before each edge
    sums = edges * after[before] - moments[before]  # Σ distance over t < edge
    mean = np.diff(sums) / np.diff(edges)
    last = np.ones(len(steps), bool)  # of several flips in one step only the last leaves a true distance
    last[:-1] = steps[1:] != steps[:-1]
    moved, reached = steps[last], after[1:][last]
    at_edge = after[np.searchsorted(steps, edges[:-1], side="right")]
    first, stop = np.searchsorted(moved, edges[:-1]), np.searchsorted(moved, edges[1:])
    low, high = at_edge.copy(), at_edge.copy()
    for i in np.flatnonzero(stop > first):
        low[i] = min(low[i], reached[first[i] : stop[i]].min())
        high[i] = max(high[i], reached[first[i] : stop[i]].max())
    return History(edges, mean, low, high, _ergodic_errors(orbit, flips, edges))


def _ergodic_errors(orbit: Orbit, flips: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Distance of sign(Σ η_s w_s, s < edge) to the reference at the end of each bin."""
    clock = _mass_at(orbit.schedule, edges, edges)
    bins = len(edges) - 1
    cell = (np.searchsorted(edges, flips["step"], side="right") - 1) * orbit.n + flips["coordinate"]
    turn = 2.0 * flips["sign"]  # a flip adds this to the sign, from its step on
    weighted = turn * _mass_at(orbit.schedule, flips["step"], edges)
    shape = (bins, orbit.n)
    signs = np.bincount(cell, turn, bins * orbit.n).reshape(shape).cumsum(axis=0) + orbit.start_signs
    balance = signs * clock[1:, None] - np.bincount(cell, weighted, bins * orbit.n).reshape(shape).cumsum(axis=0)
    return np.count_nonzero(np.where(balance >= 0, 1, -1) != orbit.reference, axis=1)


def _mass_at(schedule: Schedule, steps: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Return H at many steps: exact for a table, else interpolated between the edges.

    The integral of the power law is the axis of the interpolation, so H is a straight line there up to the
    small terms of Euler and Maclaurin.
    """
    if isinstance(schedule, Table):
        sums = np.concatenate([[0.0], np.cumsum(schedule.base)])
        length = len(schedule.base)
        return sums[np.minimum(steps, length)] + np.maximum(steps - length, 0) * schedule.base[-1]
    power = 1.0 - float(schedule.kernel_arguments()[2])

    def axis(t):
        middle = np.asarray(t) + 0.5
        return np.log(middle) if abs(power) < 1e-9 else middle**power / power

    return np.interp(axis(steps), axis(edges), [schedule.mass(int(edge)) for edge in edges])


# Panels


def errors_over_time(ax: Axes, orbit: Orbit) -> str:
    """Draw the distance to the reference over a logarithmic time axis; return a one-sentence reading.

    The line is the mean over each time bin and the band its range; the other line is the time average's.
    """
    from matplotlib.ticker import FuncFormatter, MaxNLocator

    ax.set_ylabel("wrong weights (number)")
    _time_axis(ax, orbit)
    if not orbit.recorded:
        return _unrecorded(ax, f"The run ends with {orbit.errors} of {orbit.n} weights wrong")
    h = history(orbit)
    ax.fill_between(h.centres, h.low, h.high, color=BLUE, alpha=0.22, lw=0, label="last iterate: range")
    marker = "o" if len(h.mean) == 1 else None
    ax.plot(h.centres, h.mean, color=BLUE, lw=1.6, marker=marker, label="last iterate: mean")
    ax.plot(h.edges[1:], h.ergodic, color=VERMILLION, lw=1.6, ls=(0, (5, 1.5)), label="time average")
    top = max(float(h.high.max()), float(h.ergodic.max()), 1.0)
    if top > 12:
        ax.set_yscale("symlog", linthresh=1, linscale=0.5)
        ticks = [0] + [step * 10**k for k in range(7) for step in (1, 2, 5) if step * 10**k <= 1.25 * top]
        ax.set_yticks(ticks, minor=False)
        ax.set_yticks([], minor=True)
        ax.yaxis.set_major_formatter(FuncFormatter(lambda y, _: f"{y:g}"))
        ax.set_ylim(-0.15, 1.4 * top)
    else:
        ax.yaxis.set_major_locator(MaxNLocator(integer=True))
        ax.set_ylim(-0.05 * top, 1.12 * top)
    if orbit.flips_complete_to < orbit.steps:
        ax.axvspan(orbit.flips_complete_to, orbit.steps, color=PALE, lw=0, label="not recorded")
    ax.legend(frameon=False, fontsize=8.5, loc="upper right")
    return _read_errors(orbit, h)


def _read_errors(orbit: Orbit, h: History) -> str:
    average = _read_average(orbit, h)
    if orbit.certified:
        rest = f"no weight moves after step {int(orbit.flips['step'][-1]):,}" if orbit.flips.size else "no weight ever moves"
        return f"{rest[0].upper()}{rest[1:]}, and none ever will: {orbit.errors} of {orbit.n} wrong."
    late = h.edges[:-1] >= h.edges[-1] // 10
    low, high = int(h.low[late].min()), int(h.high[late].max())
    lengths = np.diff(h.edges)[late]
    mean = float((h.mean[late] * lengths).sum() / lengths.sum())
    span = f"{low}" if low == high else f"{low} to {high}"
    since = int(h.edges[:-1][late][0])
    return f"From step {since:,} on the last iterate has {span} wrong weights, {mean:.2g} on average; {average}."


def _read_average(orbit: Orbit, h: History) -> str:
    if h.ergodic[-1]:
        return f"the time average ends with {h.ergodic[-1]}"
    wrong = np.flatnonzero(h.ergodic)
    if not wrong.size:
        return "the time average never has one"
    return f"the time average has none after about step {int(h.edges[wrong[-1] + 2]):,}"


def flip_raster(ax: Axes, orbit: Orbit, rows: int = _ROWS) -> str:
    """Draw when the most active weights flipped, and which way; return a one-sentence reading.

    Upper half of a row: to +1; lower half: to −1. The colour deepens with the share of steps with a flip.
    """
    from matplotlib.patches import Patch

    _time_axis(ax, orbit)
    ax.set_ylabel("weight (its number)")
    if not orbit.recorded:
        ax.set_yticks([])
        return _unrecorded(ax, "When each weight flipped is not known")
    flips = orbit.flips
    counts = np.bincount(flips["coordinate"], minlength=orbit.n)
    busy = np.argsort(-counts, kind="stable")[: min(rows, np.count_nonzero(counts))]
    if not busy.size:
        ax.set_yticks([])
        _note(ax, "no flips")
        return f"None of the {orbit.n} weights ever flips."
    cells = np.geomspace(1, orbit.steps + 1, _CELLS + 1)
    place = np.full(orbit.n, -1)
    place[busy] = np.arange(len(busy))
    kept = flips[place[flips["coordinate"]] >= 0]
    time = np.clip(np.searchsorted(cells, kept["step"] + 1, side="right") - 1, 0, _CELLS - 1)
    half = 2 * place[kept["coordinate"]] + (kept["sign"] < 0)
    image = np.bincount(half * _CELLS + time, minlength=2 * len(busy) * _CELLS).reshape(-1, _CELLS)
    share = np.minimum(image / np.maximum(np.diff(cells), 1.0), 0.5) / 0.5  # a weight can turn to + every other step
    colours = np.zeros((*image.shape, 4))
    for offset, colour in enumerate((BLUE, VERMILLION)):
        colours[offset::2, :, :3] = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    colours[..., 3] = np.where(image > 0, 0.35 + 0.65 * np.sqrt(share), 0.0)
    levels = np.arange(2 * len(busy) + 1) / 2 - 0.5
    ax.pcolormesh(cells, levels, colours, rasterized=True)
    ax.set_ylim(len(busy) - 0.5, -0.5)
    ax.set_yticks(range(len(busy)), [str(k) for k in busy], fontsize=7.5)
    ax.tick_params(axis="y", length=0)
    for line in range(1, len(busy)):
        ax.axhline(line - 0.5, color="white", lw=1.2)
    if orbit.flips_complete_to < orbit.steps:
        ax.axvspan(orbit.flips_complete_to, orbit.steps, color=PALE, lw=0)
    handles = [Patch(color=BLUE, label="to +1 (upper half)"), Patch(color=VERMILLION, label="to −1 (lower half)")]
    ax.legend(handles=handles, frameon=False, fontsize=8.5, ncols=2, loc="lower right",
              bbox_to_anchor=(1.01, 0.995), borderaxespad=0.1)  # fmt: skip
    return _read_flips(orbit, counts, busy)


def _read_flips(orbit: Orbit, counts: np.ndarray, busy: np.ndarray) -> str:
    total = int(counts.sum())
    active = int(np.count_nonzero(counts))
    word = "flip" if total == 1 else "flips"
    shown = f"; the {len(busy)} busiest are shown" if len(busy) < active else ""
    few = int(np.searchsorted(np.cumsum(np.sort(counts)[::-1]), 0.9 * total)) + 1
    most = f"{few} weights make" if few > 1 else "one weight makes"
    if total < 100 or few > active / 2:
        return f"{total:,} {word} by {active} of {orbit.n} weights{shown}."
    return f"{total:,} {word} by {active} of {orbit.n} weights{shown}; {most} nine tenths of them."


def ergodic_mean(ax: Axes, orbit: Orbit) -> str:
    """Draw √n times the ergodic mean, times the reference's sign, in order; return a one-sentence reading.

    1 is always right, 0 undecided, below 0 the time average has the wrong sign.
    """
    against = _reference(orbit)
    margin = np.clip(orbit.ergodic_mean * math.sqrt(orbit.n) * orbit.reference, -1, 1)
    order = np.argsort(margin, kind="stable")
    margin, right = margin[order], (orbit.ergodic_signs == orbit.reference)[order]
    missing = (orbit.signs != orbit.reference)[order]
    x = np.arange(1, orbit.n + 1)
    size = float(np.clip(900 / orbit.n, 8, 36))
    ax.axhspan(-1.08, 0, color=VERMILLION, alpha=0.06, lw=0)
    ax.axhline(0, color=GREY, lw=0.9)
    ax.vlines(x, 0, margin, color=np.where(right, BLUE, VERMILLION), lw=min(2.0, 120 / orbit.n), alpha=0.45)
    ax.scatter(x[right], margin[right], size, color=BLUE, zorder=3, label=f"time average right ({right.sum()})")
    if not right.all():
        ax.scatter(x[~right], margin[~right], 1.5 * size, color=VERMILLION, marker="X", zorder=4,
                   label=f"time average wrong ({(~right).sum()})")  # fmt: skip
    if missing.any():
        ax.scatter(x[missing], margin[missing], 4.5 * size, facecolor="none", edgecolor=INK, lw=1.1, zorder=5,
                   label=f"last iterate wrong ({missing.sum()})")  # fmt: skip
    ax.set_xlim(0.5 - 0.02 * orbit.n, 0.5 + 1.02 * orbit.n)
    ax.set_ylim(-1.08, 1.08)
    ax.set_xlabel("weights, from the least to the most decided")
    ax.set_ylabel(f"√n · time average × sign of the {against}")
    if orbit.n == 1:
        ax.set_xticks([1])
    _clean(ax)
    ax.legend(frameon=False, fontsize=8.5, loc="lower right")
    return _read_mean(orbit, margin, int(order[0]))


def _read_mean(orbit: Orbit, margin: np.ndarray, weakest: int) -> str:
    against = _reference(orbit)
    wrong = orbit.ergodic_errors
    if wrong:
        what = "weight has" if wrong == 1 else "weights have"
        return f"{wrong} of {orbit.n} {what} another sign than the {against} in the time average."
    closest = f"; the closest is weight {weakest}, {margin[0]:.2f} from 0" if orbit.n > 1 else ""
    return f"Every sign of the time average is the {against}'s{closest}."


# The whole figure


def figure(orbit: Orbit) -> Figure:
    """Return a figure of the three panels, each with a sentence on what it shows."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    fig = Figure(figsize=(12, 7.2), layout="constrained", facecolor="white")
    FigureCanvasAgg(fig)
    fig.get_layout_engine().set(w_pad=0.12, h_pad=0.1, hspace=0.04, wspace=0.03)  # type: ignore[union-attr]
    axes = fig.subplot_mosaic([["errors", "mean"], ["raster", "mean"]], width_ratios=[1.55, 1])
    _caption(axes["errors"], "Errors over time", errors_over_time(axes["errors"], orbit), 78)
    _caption(axes["raster"], "Which weights flip, and when", flip_raster(axes["raster"], orbit), 78)
    _caption(axes["mean"], f"Time average against the {_reference(orbit)}", ergodic_mean(axes["mean"], orbit), 52)
    sure = "certified, for all time" if orbit.certified else f"after {orbit.steps:,} steps"
    stopped = ", interrupted" if orbit.interrupted else ""
    colour = VERDICT_COLOURS[orbit.verdict.name]
    fig.suptitle(f"{orbit.verdict}, {sure}{stopped}\n", x=0.012, ha="left", fontsize=15, weight="bold", color=colour)
    fig.text(0.012, 0.945, problem_line(orbit), fontsize=9.5, color=GREY, va="top")
    return fig


def problem_line(orbit: Orbit) -> str:
    """Return one line that says what was run: the data, the surrogate and the step sizes."""
    about = orbit.instance
    origin = about.get("origin", {})
    parts = [f"n = {about['n']}", f"N = {about['samples']:,}", f"m = {about['m']}"]
    if "file" in origin:
        parts.insert(0, str(origin["file"]))
    if "noise" in origin:
        parts.append(f"σ = {origin['noise']:g}")
    if "inputs" in origin:
        parts.append(f"{origin['inputs']} inputs")
    if origin.get("normalize"):
        parts.append({"standard": "standardised", "whiten": "whitened"}.get(origin["normalize"], ""))
    return " · ".join([*filter(None, parts), f"surrogate {orbit.surrogate}", repr(orbit.schedule)])


def save_figure(fig: Figure, path: str | os.PathLike) -> Path:
    """Write a figure, whole or not at all; the suffix says how: .png, .svg or .pdf.

    Raises
    ------
    InputError
        For another suffix.
    StoreError
        If the file cannot be written.
    """
    kind = picture_format(path)
    stamp = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)  # equal pictures, equal files
    return write_atomically(path, lambda stream: fig.savefig(stream, format=kind, dpi=150, metadata=stamp))


def picture_format(path: str | os.PathLike) -> str:
    """Return "png", "svg" or "pdf" by the suffix of a name; raise InputError for another one."""
    kind = Path(path).suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise InputError(f"cannot draw {os.fspath(path)!r}: its name must end in .png, .svg or .pdf")
    return kind


def _reference(orbit: Orbit) -> str:
    return "teacher" if orbit.reference_kind == "teacher" else "best state seen"


def _caption(ax: Axes, title: str, sentence: str, width: int) -> None:
    lines = textwrap.wrap(sentence, width)
    ax.set_title(title, loc="left", fontsize=11.5, weight="bold", color=INK, pad=10 + 12 * len(lines))
    ax.annotate("\n".join(lines), (0, 1), (0, 5), xycoords="axes fraction", textcoords="offset points",
                fontsize=9.2, color=GREY, va="bottom", annotation_clip=False)  # fmt: skip


def _time_axis(ax: Axes, orbit: Orbit) -> None:
    ax.set_xscale("log")
    ax.set_xlim(0.9, max(orbit.steps, 1) * 1.15 + 1)
    ax.set_xlabel("iterate, counted from 1 (log scale)")
    _clean(ax)


def _clean(ax: Axes) -> None:
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.tick_params(colors=INK, labelsize=8.5)
    ax.xaxis.label.set_color(INK)
    ax.yaxis.label.set_color(INK)
    ax.grid(axis="y", color=PALE, lw=0.6)
    ax.set_axisbelow(True)


def _note(ax: Axes, text: str) -> None:
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY, fontsize=11)


def _unrecorded(ax: Axes, sentence: str) -> str:
    _note(ax, "flips were not recorded")
    return f'{sentence}: the run kept no flips (record=("flips",) keeps them).'
