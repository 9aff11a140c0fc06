"""Pictures drawn for a page: one `Picture` in, one inline SVG out, with its caption and a description.

Drawing touches no global state of Matplotlib: no pyplot, and settings hold inside a context only. Figures are
drawn once, in ink on nothing; on dark pages the style sheet turns their lightness round.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from markupsafe import Markup

from sterling.base.text import RAISED
from sterling.plot.svg import SMALLEST, canvas, inline, source
from sterling.report.described import described

if TYPE_CHECKING:
    from matplotlib.artist import Artist
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from sterling.claims.finding import Picture

#: Inches. A phone of 390 pixels shows a picture of this width at about its own size.
SIZE = (4.4, 3.4)
_HEAVY = 2500  # points of one artist beyond which pixels are smaller than lines


@dataclass(frozen=True)
class Drawing:
    """A picture on the page: an ``<svg>`` element, its title, and the sentence that says what to see.

    The element has a description for readers who cannot see it, made from what was drawn.
    """

    svg: Markup
    title: str
    caption: str


def render(picture: Picture, name: str = "") -> Drawing:
    """Draw a picture for a page; ``name`` and its title tell the drawing apart from the others there.

    Artists of very many points are drawn as pixels, all else as lines and text. The same picture gives the
    same bytes.
    """
    with canvas(f"figure-{identifier(f'{name} {picture.title}')}", SIZE) as (figure, ax):
        caption = picture.draw(ax)
        for one in figure.axes:
            _lighten(one)
            _flatten(one)
        _enlarge(figure)
        return Drawing(inline(source(figure), described(figure)), picture.title, caption)


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
            text = re.sub(
                r"\^\{(-?\d+)\}", lambda power: power[1].translate(RAISED), super().__call__(x, pos)
            )
            return re.sub(r"\$|\\mathdefault|[{}]", "", text).replace(r"\times", "×")

    for axis in (ax.xaxis, ax.yaxis):
        for ticks in (axis.major, axis.minor):
            if type(ticks.formatter) is LogFormatterSciNotation:
                ticks.formatter.__class__ = Letters


def _lighten(ax: Axes) -> None:
    """Have artists of very many points drawn as pixels."""
    points: dict[Artist, int] = {line: np.size(line.get_path().vertices) for line in ax.lines}
    for one in ax.collections:
        points[one] = max(sum(np.size(path.vertices) for path in one.get_paths()), np.size(one.get_offsets()))
    points |= dict.fromkeys(ax.patches, 10 * len(ax.patches))  # a bar has five points
    for artist, size in points.items():
        if size > 2 * _HEAVY:
            artist.set_rasterized(True)
