"""Pages from templates. All values are escaped, and a page loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from sterling import __version__
from sterling.base.text import NO_BREAK, legible

if TYPE_CHECKING:
    from jinja2 import Environment

    from sterling.claims.finding import Measured, Reference

_POWER = re.compile(r"\^(?:\(([^()]{1,40})\)|(\|[^|]{1,40}\|)|([−-]?\w+(?:[./]\w+)*))")
_VALUE = re.compile(r"\b(\w) = (?=[−\d])")
_INDEX = re.compile(r"(?<!\w)(\w\*?|‖)_([\w∞])(?!\w)")  # b*_k and G_k, but not student_t


def page(template: str, script: str = "", code: str = "", **values: Any) -> str:
    """Return a page as text: the template that extends ``base.html``, with values.

    The page runs the JavaScript of the file ``script`` or of ``code``; its content policy forbids any other.
    """
    text = (files("sterling.report") / "templates" / script).read_text("utf-8") if script else code
    digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
    shown = (
        _environment()
        .get_template(template)
        .render(
            version=__version__,
            script=Markup(text),
            script_source=Markup(f"'sha256-{digest}'" if text else "'none'"),
            **values,
        )
    )
    return legible(shown)


@cache
def _environment() -> Environment:
    from jinja2 import Environment, PackageLoader, StrictUndefined

    from sterling.base.text import number
    from sterling.claims.words import amount, interval, level

    environment = Environment(
        loader=PackageLoader("sterling.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(
        amount=amount, interval=interval, level=level, number=number, raised=raised, key=key
    )
    return environment


def key(one: Measured | Reference | None) -> str:
    """Return the key by which a table sorts a number: empty for a missing number."""
    return "" if one is None or math.isnan(one.value) else repr(float(one.value))


def raised(text: str) -> Markup:
    """Return the text, escaped, with powers as in N^(−1/2) raised and indices as in G_k lowered.

    A number stays on one line with its "n =" and its "%".
    """
    joined = _VALUE.sub(f"\\1{NO_BREAK}={NO_BREAK}", str(text)).replace(" %", f"{NO_BREAK}%")
    powers = _POWER.sub(lambda found: f"<sup>{found[1] or found[2] or found[3]}</sup>", str(escape(joined)))
    return Markup(_INDEX.sub(r"\1<sub>\2</sub>", powers))
