"""Pictures drawn for a page: one `Picture` in, one inline SVG out, with its caption and a description.

Drawing touches no global state of Matplotlib: no pyplot, and settings hold inside a context only. Figures are
drawn once, in ink on nothing; on dark pages the style sheet turns their lightness round.
"""

from __future__ import annotations

import io
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from markupsafe import Markup, escape

from sterling.base.text import RAISED
from sterling.plot.style import AMBER, BLUE, GREEN, GREY, INK, PALE, PURPLE, VERMILLION, any_letter
from sterling.report.described import described

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sterling.claims.finding import Picture

#: Inches. A phone of 390 pixels shows a picture of this width at about its own size.
SIZE = (4.4, 3.4)
#: Points, below which no letter of a picture is: 10 pixels on that phone.
SMALLEST = 9.5

_DOTS = 200  # per inch, in parts that are drawn as pixels: twice what a screen shows
_HEAVY = 2500  # points of one artist beyond which pixels are smaller than lines

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


@dataclass(frozen=True)
class Drawing:
    """A picture on the page.

    Attributes
    ----------
    svg : Markup
        An ``<svg>`` element with a description for readers who cannot see it, made from what was drawn.
    title, caption : str
        Its name, and the sentence that says what to see.
    """

    svg: Markup
    title: str
    caption: str


def render(picture: Picture, name: str = "", size: tuple[float, float] = SIZE) -> Drawing:
    """Draw a picture for a page.

    Parameters
    ----------
    picture : Picture
    name : str
        Tells the drawing apart from the others of the page; the picture's own name if empty.
    size : (width, height)
        Inches; figures wider than `SIZE` have small letters on a phone.

    Artists of very many points are drawn as pixels, all else as lines and text. The same picture gives the
    same bytes.
    """
    from cycler import cycler
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    prefix = f"figure-{identifier(name or picture.name)}"
    colours = cycler(color=[BLUE, VERMILLION, GREEN, AMBER, PURPLE, GREY])
    settings: Any = {**_SETTINGS, "svg.hashsalt": prefix, "axes.prop_cycle": colours}
    with rc_context(settings), any_letter():
        figure = Figure(figsize=size, layout="constrained")
        FigureCanvasSVG(figure)
        ax = figure.subplots()
        caption = picture.draw(ax)
        for one in figure.axes:
            _lighten(one)
            _flatten(one)
        _enlarge(figure)
        stream = io.StringIO()
        figure.savefig(stream, format="svg", dpi=_DOTS, metadata={"Date": None})
        about = described(figure)
    return Drawing(_inline(stream.getvalue(), about), picture.title, caption)


def _inline(source: str, about: str) -> Markup:
    """Return what Matplotlib wrote as an ``<svg>`` element for an HTML page, without what serves no page.

    Ids that something refers to are digests, salted with the figure's name, so figures share none.
    """
    used = set(_TARGET.findall(source))

    def tidy(tag: re.Match) -> str:
        text = _ID.sub(lambda one: one[0] if one[1] in used else "", " ".join(tag[0].split()))
        text = text.replace("xlink:href=", "href=")
        return _LONG_NUMBER.sub(lambda one: f"{float(one[0]):.2f}".rstrip("0").rstrip("."), text)

    box, body = _OUTER.search(source).groups()  # type: ignore[union-attr]
    body = re.sub(r">\s+<", "><", _TAG.sub(tidy, _UNWANTED.sub("", body)))
    return Markup(f'<svg viewBox="{box}" role="img" aria-label="{escape(about)}">{body}</svg>')


def identifier(text: str) -> str:
    """Return the text as a name for ids and files: letters, digits and hyphens."""
    return re.sub(r"[^A-Za-z0-9]+", "-", text).strip("-") or "x"


def _enlarge(figure: Figure) -> None:
    """Raise the letters that a drawing function made small for paper to `SMALLEST`."""
    from matplotlib.text import Text

    for text in figure.findobj(Text):
        assert isinstance(text, Text)
        text.set_fontsize(max(text.get_fontsize(), SMALLEST))


def _flatten(ax: Axes) -> None:
    """Have powers of ten at ticks written in letters of one size, since raised small ones are too small."""
    from matplotlib.ticker import LogFormatterSciNotation

    class Letters(LogFormatterSciNotation):
        def __call__(self, x: float, pos: int | None = None) -> str:
            return _letters(super().__call__(x, pos))

    for axis in (ax.xaxis, ax.yaxis):
        base = getattr(axis.get_transform(), "base", 10.0)
        for old, exchange in (
            (axis.get_major_formatter(), axis.set_major_formatter),
            (axis.get_minor_formatter(), axis.set_minor_formatter),
        ):
            if type(old) is LogFormatterSciNotation:
                exchange(Letters(base, old.labelOnlyBase, old.minor_thresholds))


def _letters(label: str) -> str:
    """Return "2×10³" for Matplotlib's formula of it."""
    text = re.sub(r"\^\{(-?\d+)\}", lambda power: power[1].translate(RAISED), label)
    return re.sub(r"\$|\\mathdefault|[{}]", "", text).replace(r"\times", "×")


def _lighten(ax: Axes) -> None:
    """Have artists of very many points drawn as pixels."""
    for line in ax.lines:
        if np.size(line.get_path().vertices) > 2 * _HEAVY:
            line.set_rasterized(True)
    for collection in ax.collections:
        shapes = sum(np.size(path.vertices) for path in collection.get_paths())
        if max(shapes, np.size(collection.get_offsets())) > 2 * _HEAVY:
            collection.set_rasterized(True)
    if 5 * len(ax.patches) > _HEAVY:  # a bar has five points
        for patch in ax.patches:
            patch.set_rasterized(True)
