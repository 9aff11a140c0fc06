"""Keeps a number on one line with its per cent sign, and a letter with its value (85 %, n = 64).

Tables that a program wrote have hyphens before numbers; the page has minus signs.
"""

import re

from docutils import nodes

_KEPT = re.compile(r"(?<=\d) (?=%)|(?<=\b\w) (?== )|(?<=\b\w =) ")
_HYPHEN = re.compile(r"(?<![\w)-])-(?=\d)")
_CODE = nodes.literal | nodes.math | nodes.raw | nodes.FixedTextElement


def keep(app, doctree, docname):
    """Put no-break spaces and minus signs into running text; code stays as it is."""
    if docname.startswith("api/"):  # of signatures and examples
        return
    for text in list(doctree.findall(nodes.Text)):
        shown = _HYPHEN.sub("−", _KEPT.sub("\u00a0", text))
        if shown != text and not isinstance(text.parent, _CODE):
            text.parent.replace(text, nodes.Text(shown))


def setup(app):
    app.connect("doctree-resolved", keep)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
