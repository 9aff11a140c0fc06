"""Colours, axes, legends and files of all pictures.

No function here changes a global setting of Matplotlib or loads `matplotlib.pyplot`.
"""

from __future__ import annotations

import os
import textwrap
import warnings
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from sterling.base.files import as_path, write_atomically
from sterling.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.axis import Axis
    from matplotlib.figure import Figure

#: File types that `save_figure` can write.
FORMATS = ("png", "svg", "pdf")

# The palette of Okabe and Ito, which colour-blind readers can distinguish; darker where text has the colour.
BLUE, VERMILLION, GREEN, AMBER, PURPLE = "#0072B2", "#D55E00", "#00815E", "#A66A00", "#A8487E"
OLIVE, TEAL, VIOLET = "#6B7030", "#3A98A8", "#8A3FD6"
INK, GREY, PALE = "#222222", "#6B6B6B", "#DDDDDD"
VERDICT_COLOURS = {
    "OPTIMAL": GREEN,
    "TRAPPED": VERMILLION,
    "RECURRENT": BLUE,
    "CHATTERING": TEAL,
    "WANDERING": VIOLET,
    "STALLED": OLIVE,
}

DASHED = (0, (5, 1.5))  # predictions and averages, beside measurements
SMALL = 0.85  # size of legends and ticks, of the size of other type
_NARROW = 3.0  # inches: in such axes a legend has at most two columns
_NAME = 28  # longest name shown, in letters


@contextmanager
def column(width: float = 3.4, height: float = 2.4) -> Iterator[None]:
    """Draw new figures for one column of a paper: small type, thin lines, letters that can be selected.

    Parameters
    ----------
    width, height : float
        Size of a figure in inches.

    Yields
    ------
    None
        Inside ``with column():`` Matplotlib has these settings; afterwards it has the old ones.

    Examples
    --------
    >>> import sterling as st
    >>> orbit = st.train(st.Problem(n=8, samples=200).draw(seed=0), steps=1000)
    >>> with st.plot.column():
    ...     orbit.plot().figure.get_size_inches().tolist()
    [3.4, 2.4]
    """
    import matplotlib as mpl

    look: dict[Any, Any] = {
        "figure.figsize": (width, height),
        "axes.linewidth": 0.6,
        "pdf.fonttype": 42,
        "savefig.dpi": 300,
    }
    type_sizes = dict.fromkeys(("font.size", "axes.labelsize", "axes.titlesize"), 8)
    with mpl.rc_context({**look, **type_sizes}):
        yield


def small() -> float:
    """Return the size of the type of legends and ticks, in points."""
    import matplotlib as mpl

    return SMALL * mpl.rcParams["font.size"]


def tidy(ax: Axes, legend: Literal["best", "lower right"] = "best", **given: Any) -> None:
    """Style axes, and add a legend if anything has a label; ``given`` goes to ``ax.set``."""
    ax.set(**given)
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set_color(GREY)
    ax.tick_params(which="both", colors=INK, labelsize=small())
    ax.xaxis.label.set_color(INK)
    ax.yaxis.label.set_color(INK)
    ax.grid(axis="y", color=PALE, lw=0.6)
    ax.set_axisbelow(True)
    if ax.get_legend_handles_labels()[0]:
        ax.legend(loc=legend, frameon=False, fontsize=small())


def legend_above(ax: Axes, columns: int, **given: Any) -> None:
    """Put the legend above the axes."""
    given = {"loc": "lower center", "bbox_to_anchor": (0.5, 1.0), "columnspacing": 1.1, **given}
    narrow = ax.get_window_extent().width < _NARROW * ax.figure.dpi
    ax.legend(frameon=False, fontsize=small(), ncols=min(columns, 2) if narrow else columns, **given)


def caption(ax: Axes, text: str, width: int) -> None:
    """Put a sentence below the axes, wrapped to ``width`` letters."""
    lines = textwrap.fill(text, width)
    ax.annotate(lines, (0, 0), (0, -38), "axes fraction", "offset points", color=GREY, va="top", fontsize=9)


def whole_ticks(axis: Axis) -> None:
    """Put ticks at whole numbers only."""
    from matplotlib.ticker import MaxNLocator

    axis.set_major_locator(MaxNLocator(integer=True))


def whole_numbers(axis: Axis) -> None:
    """Label a logarithmic axis with whole numbers: powers of ten, and other multiples of them if few."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

    low, high = sorted(axis.get_view_interval())
    few = range(1, 10) if high < 5 * low else (1, 2, 5)
    axis.set_major_locator(LogLocator(subs=few if high < 100 * low else (1,)))
    axis.set_major_formatter(FuncFormatter(lambda x, _: f"{x:,.0f}"))
    axis.set_minor_formatter(NullFormatter())


def dimensions_axis(ax: Axes, dimensions: Iterable[float]) -> None:
    """Scale the x axis by factors of two, with a tick at each dimension."""
    ticks = list(dimensions)
    ax.set_xscale("log", base=2)
    ax.set_xticks(ticks, [f"{n:g}" for n in ticks])
    ax.minorticks_off()


def note(ax: Axes, text: str) -> None:
    """Write into the middle of the axes why nothing is drawn."""
    ax.tick_params(which="both", length=0, labelbottom=False, labelleft=False)
    ax.grid(False)
    ax.text(0.5, 0.5, text, transform=ax.transAxes, ha="center", va="center", color=GREY, fontsize=11)


def escaped(text: str) -> str:
    """Return a user's text, such as a column's name, with dollar signs escaped for Matplotlib."""
    return text.replace("$", r"\$")


def name_rows(ax: Axes, names: Sequence[str]) -> None:
    """Write users' names, shortened in the middle, to the left of the rows 0, 1, 2, …"""
    end = _NAME // 2
    short = [escaped(name if len(name) <= _NAME else f"{name[: end - 1]}…{name[-end:]}") for name in names]
    ax.set_yticks(range(len(short)), short, fontsize=7.5)


def named_bars(ax: Axes, names: Sequence[str], shares: Sequence[float], axis: str) -> None:
    """Draw a share for each name, rows downwards; ``axis`` is the label of the x axis."""
    ax.barh(range(len(shares)), shares, color=PURPLE, height=0.7)
    tidy(ax, xlabel=axis, xlim=(0, None))
    name_rows(ax, names)
    ax.invert_yaxis()
    ax.grid(axis="x", color=PALE, lw=0.6)
    ax.grid(axis="y", visible=False)


def save_figure(fig: Figure, path: str | os.PathLike) -> Path:
    """Write a figure to a file, whole or not at all.

    Parameters
    ----------
    fig : matplotlib.figure.Figure
        The figure.
    path : path
        A name that ends in .png, .svg or .pdf.

    Returns
    -------
    Path
        The file.

    Raises
    ------
    InputError
        If the name ends in anything else.

    Examples
    --------
    >>> import tempfile
    >>> import sterling as st
    >>> ax = st.certify(st.Problem(n=6, samples=400, noise=0.5).draw(seed=0)).plot()
    >>> st.plot.save_figure(ax.figure, f"{tempfile.mkdtemp()}/proof.svg").name
    'proof.svg'
    """
    kind = as_path(path).suffix.lower().removeprefix(".")
    if kind not in FORMATS:
        raise InputError(f"cannot draw {os.fspath(path)!r:.200}: its name must end in .png, .svg or .pdf")
    stamp = {"svg": {"Date": None}, "pdf": {"CreationDate": None}}.get(kind)  # equal pictures, equal files
    import matplotlib as mpl

    with any_letter(), mpl.rc_context({"svg.hashsalt": "sterling"}):
        return write_atomically(
            path, lambda stream: fig.savefig(stream, format=kind, dpi=150, metadata=stamp)
        )


@contextmanager
def any_letter() -> Iterator[None]:
    """Silence warnings of letters that the font lacks; the picture shows a box for each."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r"Glyph \d+")
        yield
