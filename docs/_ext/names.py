"""Public names link to their pages: literals such as `st.train` and `Orbit`, and `st.train` in code blocks.

Such a name with `st.`, `stt.` or `sterling.` before it that is not documented is a warning.
"""

import re
from html import escape

from docutils import nodes
from sphinx.util import logging
from sphinx.util.nodes import make_refnode

LOG = logging.getLogger(__name__)

ALIASES = {"st": "sterling", "stt": "sterling.torch"}
#: Where pages use names without a prefix.
ROOMS = {
    "howto/qat": "sterling.torch",
    "howto/verify": "sterling.torch",
    "howto/classifier": "sterling.learn",
    "howto/study": "sterling.study",
    "tutorials/pytorch": "sterling.torch",
    "api/torch": "sterling.torch",
    "api/study": "sterling.study",
}
#: The variables of the pages, and the classes of what they hold.
VARIABLES = {
    "instance": "sterling.Instance",
    "orbit": "sterling.Orbit",
    "proof": "sterling.Certificate",
    "certificate": "sterling.Certificate",
    "landscape": "sterling.Landscape",
    "series": "sterling.study.SeriesFit",
    "store": "sterling.study.Store",
    "study": "sterling.study.Study",
    "monitor": "sterling.torch.OrbitMonitor",
    "report": "sterling.torch.Audit",
}
_NAME = re.compile(r"[A-Za-z_][\w.]*")
_CODE = re.compile(r'<span class="n">(stt?)</span>((?:<span class="o">\.</span><span class="n">\w+</span>)+)')


def _find(app, docname, text):
    """Return the full public name that a literal means, or None."""
    known = app.env.get_domain("py").objects
    match = _NAME.match(text)
    if match is None or (text[match.end() :] and text[match.end()] != "("):
        return None
    name = match[0].rstrip(".")
    head, _, rest = name.partition(".")
    if rest:
        candidates = [
            f"{ALIASES.get(head, VARIABLES.get(head, head))}.{rest}",
            VARIABLES.get(head, ""),  # an attribute without its own entry
        ]
    else:
        candidates = [f"{ROOMS.get(docname, 'sterling')}.{name}", f"sterling.{name}"]
        if name[0].isupper():
            candidates += [f"sterling.{room}.{name}" for room in ("study", "learn", "torch", "theory")]
        if name.isupper():
            candidates.append(f"sterling.Verdict.{name}")
    found = next((one for one in candidates if one in known), None)
    checked = docname.startswith(("howto/", "science/")) or docname in ("start", "glossary", "index")
    if found is None and checked and head in (*ALIASES, "sterling") and rest:
        LOG.warning("%s names nothing that is documented", text, location=docname)
    return found


def link_text(app, doctree, docname):
    """Put a link around every literal that names something public."""
    if docname.startswith("api/generated") or docname == "changelog":
        return
    for literal in list(doctree.findall(nodes.literal)):
        if isinstance(literal.parent, nodes.reference | nodes.title) or "code" in literal.get("classes", []):
            continue
        full = _find(app, docname, literal.astext())
        if full is not None:
            entry = app.env.get_domain("py").objects[full]
            link = make_refnode(
                app.builder, docname, entry.docname, entry.node_id, literal.deepcopy(), title=full
            )
            literal.replace_self(link)


def link_code(app, pagename, templatename, context, doctree):
    """Put links around `st.name` in blocks of code."""
    known = app.env.get_domain("py").objects

    def linked(match):
        parts = re.findall(r"\w+(?=</span>)", match[2])
        parts = [part for part in parts if part != "span"]
        for end in range(len(parts), 0, -1):
            full = ".".join([ALIASES[match[1]], *parts[:end]])
            if full in known:
                entry = known[full]
                address = f"{app.builder.get_relative_uri(pagename, entry.docname)}#{entry.node_id}"
                return f'<a class="reference internal" href="{escape(address)}">{match[0]}</a>'
        LOG.warning("%s.%s names nothing that is documented", match[1], ".".join(parts), location=pagename)
        return match[0]

    if doctree is not None and "body" in context:
        context["body"] = _CODE.sub(linked, context["body"])


def setup(app):
    app.connect("doctree-resolved", link_text)
    app.connect("html-page-context", link_code)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
