"""Pictures drawn for a page: one `Picture` in, one inline SVG with its caption out.

Drawing touches no global state of Matplotlib: no pyplot, and settings hold inside a context only. Figures are
drawn once, in ink on nothing; on dark pages the style sheet inverts their lightness.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import Any

import matplotlib as mpl
import numpy as np
from markupsafe import Markup, escape
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from sterling.claims.finding import Picture
from sterling.plot.style import AMBER, BLUE, GREEN, GREY, INK, PURPLE, VERMILLION, any_letter

#: Inches. A phone of 390 pixels shows a picture of this width at about its own size.
SIZE = (4.4, 3.4)
#: A picture across the whole page of a run.
BROAD = (10.0, 3.8)
_HEAVY = 2500  # points of one artist beyond which pixels are smaller than lines
_DOTS = 200  # per inch, in parts that are drawn as pixels: twice what a screen shows

_OUTER = re.compile(r'<svg[^>]* viewBox="([^"]*)"[^>]*>(.*)</svg>', re.DOTALL)
_UNWANTED = re.compile(r"<metadata>.*?</metadata>|<style.*?</style>|<!--.*?-->", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")
_ID = re.compile(r' id="([^"]*)"')
_TARGET = re.compile(r'(?:href="|url\()#([^")]+)')
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}")

#: Differences from Matplotlib's defaults.
_SETTINGS: dict[Any, Any] = {
    "svg.fonttype": "none",
    "font.sans-serif": ["DejaVu Sans"],  # for the layout; the page shows its own font
    "font.size": 9.5,
    "text.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": f"cycler(color={[BLUE, VERMILLION, GREEN, AMBER, PURPLE, GREY]})",
    "lines.linewidth": 1.6,
    "lines.markersize": 4.5,
    "legend.handlelength": 1.6,
}


@dataclass(frozen=True)
class Drawing:
    """A picture on the page: an ``<svg>`` element, its title, and the sentence that explains it."""

    svg: Markup
    title: str
    caption: str


def render(picture: Picture, name: str = "", size: tuple[float, float] = SIZE) -> Drawing:
    """Draw a picture for a page, with equal bytes each time; its name and title distinguish it there."""
    with mpl.rc_context(), any_letter():
        mpl.rcdefaults()  # the user's settings do not count
        salt = f"figure-{identifier(f'{name} {picture.title}')}"
        mpl.rcParams.update({**_SETTINGS, "svg.hashsalt": salt})
        figure = Figure(figsize=size, layout="constrained")
        caption = picture.draw(figure.subplots())
        for ax in figure.axes:
            _lighten(ax)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", dpi=_DOTS, transparent=True, metadata={"Date": None})
    return Drawing(_inline(stream.getvalue(), caption), picture.title, caption)


def identifier(text: str) -> str:
    """Return the text as a name for ids and files: letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-") or "x"


def _lighten(ax: Axes) -> None:
    """Draw artists with very many points as pixels."""
    points: dict[Artist, int] = {line: np.size(line.get_path().vertices) for line in ax.lines}
    for one in ax.collections:
        points[one] = max(sum(np.size(path.vertices) for path in one.get_paths()), np.size(one.get_offsets()))
    points |= dict.fromkeys(ax.patches, 10 * len(ax.patches))  # a bar has five points
    for artist, size in points.items():
        if size > 2 * _HEAVY:
            artist.set_rasterized(True)


def _inline(written: str, caption: str) -> Markup:
    """Return what Matplotlib wrote as an ``<svg>`` element for an HTML page."""
    # Ids that are referred to are digests, salted with the figure's name, so they are unique; other ids go.
    used = set(_TARGET.findall(written))

    def tidy(tag: re.Match) -> str:
        text = _ID.sub(lambda one: one[0] if one[1] in used else "", " ".join(tag[0].split()))
        text = text.replace("xlink:href=", "href=")
        return _LONG_NUMBER.sub(lambda one: f"{float(one[0]):.2f}".rstrip("0").rstrip("."), text)

    box, body = _OUTER.search(written).groups()  # type: ignore[union-attr]
    body = re.sub(r">\s+<", "><", _TAG.sub(tidy, _UNWANTED.sub("", body)))
    return Markup(f'<svg viewBox="{box}" role="img" aria-label="{escape(caption)}">{body}</svg>')
