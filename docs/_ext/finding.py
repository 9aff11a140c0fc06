"""What the search of the built site finds: every word of `WANTED`, and no page of `UNSEARCHED`."""

import json
from pathlib import Path

from sphinx.search.en import SearchEnglish
from sphinx.util import logging

LOG = logging.getLogger(__name__)
#: What people search for, and a page that must be among the results.
WANTED = {
    "flip ratio": "glossary",
    "theorem": "science/theorems",
    "oscillation": "glossary",
    "EMA": "glossary",
    "churn": "glossary",
    "conjecture": "science/conjectures",
    "tutorial": "tutorials/index",
}
#: Pages for those who develop sterling; their words would hide the others.
UNSEARCHED = ("decisions", "changelog")


def search(index, query):
    """Return the pages that hold all words of a query, as the search of the site finds them."""
    language = SearchEnglish({})
    found = []
    for word in query.lower().split():
        pages = set()
        for terms in (index["terms"], index["titleterms"]):
            numbers = terms.get(language.stem(word), [])
            pages |= {numbers} if isinstance(numbers, int) else set(numbers)
        found.append({index["docnames"][number] for number in pages})
    return set.intersection(*found)


def leave_out(app, env):
    """Take the words of some pages out of the index."""
    for name in UNSEARCHED:
        env.metadata[name]["nosearch"] = "true"


def check(app, error):
    """Warn of every query that does not find its page, and of every page that should not be found."""
    path = Path(app.outdir, "searchindex.js")
    if error or app.builder.name != "html":
        return
    index = json.loads(path.read_text(encoding="utf-8").removeprefix("Search.setIndex(").rstrip(";")[:-1])
    for query, page in WANTED.items():
        found = search(index, query)
        if page not in found or found & set(UNSEARCHED):
            LOG.warning("the search for %r finds %s", query, sorted(found))


def setup(app):
    app.connect("env-updated", leave_out)
    app.connect("build-finished", check)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
