"""A figure as an inline ``<svg>`` element of an HTML page."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from sterling.plot.style import AMBER, BLUE, GREEN, GREY, INK, PURPLE, VERMILLION, any_letter

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: Points, below which no letter of a picture is: 10 pixels on a phone of 390.
SMALLEST = 9.5

_DOTS = 200  # per inch, in rasterised parts: twice the resolution of a screen

_OUTER = re.compile(r'<svg[^>]* viewBox="([^"]*)"[^>]*>(.*)</svg>', re.DOTALL)
_UNWANTED = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_ID = re.compile(r' id="([^"]*)"')
_TARGET = re.compile(r'(?:href="|url\()#([^")]+)')
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")

#: What differs from Matplotlib's own settings.
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans"],  # for the layout; the page shows its own font
    "font.size": SMALLEST,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
    "xtick.labelcolor": INK,
    "ytick.labelcolor": INK,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": f"cycler(color={[BLUE, VERMILLION, GREEN, AMBER, PURPLE, GREY]})",
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.handlelength": 1.6,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@contextmanager
def canvas(salt: str, size: tuple[float, float]) -> Iterator[tuple[Figure, Axes]]:
    """Give a figure and its axes; the settings hold inside the block only."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context(), any_letter():
        mpl.rcdefaults()  # not the user's
        mpl.rcParams.update({**_SETTINGS, "svg.hashsalt": salt})
        figure = Figure(figsize=size, layout="constrained")
        yield figure, figure.subplots()


def source(figure: Figure) -> str:
    """Return a figure as Matplotlib writes it; the same figure gives the same text."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", dpi=_DOTS, metadata={"Date": None})
    return stream.getvalue()


def inline(written: str, about: str) -> Markup:
    """Return what Matplotlib wrote as an ``<svg>`` element, without what an HTML page does not need."""
    used = set(_TARGET.findall(written))

    def tidy(tag: re.Match) -> str:
        text = _ID.sub(lambda one: one[0] if one[1] in used else "", " ".join(tag[0].split()))
        text = text.replace("xlink:href=", "href=")
        return _LONG_NUMBER.sub(lambda one: f"{float(one[0]):.2f}".rstrip("0").rstrip("."), text)

    box, body = _OUTER.search(written).groups()  # type: ignore[union-attr]
    body = re.sub(r">\s+<", "><", _TAG.sub(tidy, _UNWANTED.sub("", body)))
    return Markup(f'<svg viewBox="{box}" role="img" aria-label="{escape(about)}">{body}</svg>')
