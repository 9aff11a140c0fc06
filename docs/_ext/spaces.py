"""Keeps a number on one line with its per cent sign, and a letter with its value (85 %, n = 64)."""

import re

from docutils import nodes

_KEPT = re.compile(r"(?<=\d) (?=%)|(?<=\b\w) (?== )|(?<=\b\w =) ")


def keep(app, doctree, docname):
    """Put no-break spaces into running text; code stays as it is."""
    for text in list(doctree.findall(nodes.Text)):
        parent = text.parent
        if _KEPT.search(text) and not isinstance(parent, nodes.literal | nodes.literal_block | nodes.raw):
            parent.replace(text, nodes.Text(_KEPT.sub("\u00a0", text)))


def setup(app):
    app.connect("doctree-resolved", keep)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
