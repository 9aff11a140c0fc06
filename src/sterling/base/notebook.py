"""What a notebook shows of an object: a small picture and a table.

Pictures are drawn by `plot/small.py`. That room stands above all whose objects it draws, so it is found by
its name here, and loaded (Matplotlib with it) when a notebook asks.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib import import_module
from typing import Any

from sterling.base.text import html_table

_DRAWERS = "sterling.plot.small"
_BESIDE = "display:flex;flex-wrap:wrap;gap:1em 2em;align-items:center"


def shown(thing: Any, rows: Iterable[tuple[str, Any]]) -> str:
    """Return the HTML that a notebook shows of an object.

    Parameters
    ----------
    thing : object
        One that `plot/small.py` has a picture of.
    rows : iterable of (str, object)
        Names and values for the table.

    Returns
    -------
    str
        The table and beside it the picture, with a description for readers who cannot see it.

    Examples
    --------
    >>> import sterling as st
    >>> from sterling.base.notebook import shown
    >>> text = shown(st.Problem(n=4, samples=30), [("n", 4)])
    >>> "<svg" in text, "<table>" in text
    (True, True)
    """
    picture = import_module(_DRAWERS).picture(thing)
    return f"<div style='{_BESIDE}'>{html_table(rows)}{picture}</div>"
