"""Pages from templates. All values are escaped, and a page loads nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from sterling import __version__
from sterling.base.text import NO_BREAK, legible

if TYPE_CHECKING:
    from jinja2 import Environment

#: Folder of the built documentation's science pages, seen from the default folder of a reproduction.
DOCS = "../../build/docs/science"
#: The page of each section, from section 1 on: sections are numbered across all pages.
_PAGES = (
    *(["setting"] * 4 + ["orbits"] * 2 + ["laws"] * 2 + ["states"] * 2 + ["averages"] * 2),
    *("proofs", "limits", "limits", "optimizers", "threshold"),
)
_NUMBER = r"(?:1[0-7]|[1-9])(?!\d)"
_SCIENCE = re.compile(rf"docs/science, {_NUMBER}(?: and {_NUMBER})?")
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
    from sterling.claims.words import amount, interval

    environment = Environment(
        loader=PackageLoader("sterling.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters.update(amount=amount, interval=interval, linked=linked, number=number, raised=raised)
    return environment


def raised(text: str) -> Markup:
    """Return the text, escaped, with powers as in N^(−1/2) raised and indices as in G_k lowered.

    A number stays on one line with its "n =" and its "%".
    """
    joined = _VALUE.sub(f"\\1{NO_BREAK}={NO_BREAK}", str(text)).replace(" %", f"{NO_BREAK}%")
    powers = _POWER.sub(lambda found: f"<sup>{found[1] or found[2] or found[3]}</sup>", str(escape(joined)))
    return Markup(_INDEX.sub(r"\1<sub>\2</sub>", powers))


def linked(text: str) -> Markup:
    """Return the text as `raised` does, with a link to each section of docs/science that it names."""

    def page_of(found: re.Match) -> str:
        return f'<a href="{DOCS}/{_PAGES[int(found[1]) - 1]}.html">{found[0]}</a>'

    return Markup(
        _SCIENCE.sub(lambda named: re.sub(r"(?:docs/science, )?(\d+)", page_of, named[0]), raised(text))
    )
