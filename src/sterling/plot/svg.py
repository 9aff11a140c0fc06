"""A figure as an inline ``<svg>`` element: the settings that it is drawn with, and what is left out of it."""

from __future__ import annotations

import io
import re
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from sterling.plot.style import AMBER, BLUE, GREEN, GREY, INK, PALE, PURPLE, VERMILLION

if TYPE_CHECKING:
    from matplotlib.figure import Figure

#: Points, below which no letter of a picture is: 10 pixels on a phone of 390.
SMALLEST = 9.5

_DOTS = 200  # per inch, in parts that are drawn as pixels: twice what a screen shows

_OUTER = re.compile(r'<svg[^>]* viewBox="([^"]*)"[^>]*>(.*)</svg>', re.DOTALL)
_UNWANTED = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_ID = re.compile(r' id="([^"]*)"')
_TARGET = re.compile(r'(?:href="|url\()#([^")]+)')
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")

_SETTINGS = {
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.sans-serif": ["DejaVu Sans"],  # for the layout; the page shows its own font
    "font.size": SMALLEST,
    "axes.titlesize": 10,
    "axes.labelsize": SMALLEST,
    "legend.fontsize": SMALLEST,
    "xtick.labelsize": SMALLEST,
    "ytick.labelsize": SMALLEST,
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
    "axes.linewidth": 0.8,
    "axes.axisbelow": True,
    "grid.color": PALE,
    "grid.linewidth": 0.6,
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.frameon": False,
    "legend.handlelength": 1.6,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


def settings(salt: str) -> dict[str, Any]:
    """Return the settings of Matplotlib for a picture; its ids are salted with a name."""
    from cycler import cycler

    colours = cycler(color=[BLUE, VERMILLION, GREEN, AMBER, PURPLE, GREY])
    return {**_SETTINGS, "svg.hashsalt": salt, "axes.prop_cycle": colours}


def source(figure: Figure) -> str:
    """Return a figure as Matplotlib writes it; the same figure gives the same text."""
    stream = io.StringIO()
    figure.savefig(stream, format="svg", dpi=_DOTS, metadata={"Date": None})
    return stream.getvalue()


def inline(written: str, about: str, style: str = "") -> Markup:
    """Return what Matplotlib wrote as an ``<svg>`` element for an HTML page, without what serves no page.

    Ids that something refers to are digests, salted with the figure's name, so figures share none.
    """
    used = set(_TARGET.findall(written))

    def tidy(tag: re.Match) -> str:
        text = _ID.sub(lambda one: one[0] if one[1] in used else "", " ".join(tag[0].split()))
        text = text.replace("xlink:href=", "href=")
        return _LONG_NUMBER.sub(lambda one: f"{float(one[0]):.2f}".rstrip("0").rstrip("."), text)

    box, body = _OUTER.search(written).groups()  # type: ignore[union-attr]
    body = re.sub(r">\s+<", "><", _TAG.sub(tidy, _UNWANTED.sub("", body)))
    look = f' style="{style}"' if style else ""
    return Markup(f'<svg viewBox="{box}" role="img" aria-label="{escape(about)}"{look}>{body}</svg>')
