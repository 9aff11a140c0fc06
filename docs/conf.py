"""The documentation: Sphinx, pages in Markdown, the API from its docstrings. `make docs` builds it.

Nothing on a built page comes from the network: formulas are MathML, in a font that lies here.
"""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "_ext"))
sys.path.insert(0, str(HERE))

from members import inherited, public_methods, public_properties  # noqa: E402

import sterling  # noqa: E402

(HERE / "_generated" / "extra").mkdir(parents=True, exist_ok=True)

project = "sterling"
author = "The sterling authors"
copyright = "The sterling authors, Apache-2.0"
version = release = sterling.__version__

extensions = [
    "myst_nb",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.doctest",
    "sphinx_copybutton",
    "sphinxcontrib.bibtex",
    "mathml",
    "finding",
    "generate",
    "members",
    "names",
    "notebooks",
    "spaces",
]
templates_path = ["_templates"]
exclude_patterns = ["_build", "_generated", "_ext"]
nitpicky = False

myst_enable_extensions = ["attrs_inline", "colon_fence", "deflist", "dollarmath", "html_image"]
myst_heading_anchors = 3
html_math_renderer = "mathml"

# The tutorials are executed in each build; an error in a cell ends it.
nb_execution_mode = "force"
nb_execution_raise_on_error = True
nb_execution_timeout = 120  # seconds a cell, against a hang
nb_merge_streams = True
nb_render_image_options = {"class": "figure"}
#: A public GitHub repository with the built notebooks, as "OWNER/REPOSITORY/BRANCH/FOLDER". Without it the
#: tutorials have no links to Colab and Binder.
public_notebooks = ""

bibtex_bibfiles = ["references.bib"]
bibtex_reference_style = "author_year"
bibtex_default_style = "plain"

autosummary_generate = True
autosummary_context = {"public_methods": public_methods, "public_properties": public_properties}
autodoc_typehints = "none"  # docstrings give the types
# A docstring exists, its summary is a sentence, and it describes each parameter and what is returned.
numpydoc_validation_checks = {
    *("GL07", "GL08", "SS02", "SS03", "PR01", "PR02", "PR03", "PR07", "RT01", "RT03", "YD01"),
}
numpydoc_validation_exclude = inherited()
suppress_warnings = ["config.cache"]  # functions in `autosummary_context` cannot be pickled
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False
toc_object_entries = False

copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

html_theme = "pydata_sphinx_theme"
html_title = "sterling"
html_static_path = ["_static"]
html_css_files = ["sterling.css"]
html_extra_path = ["_generated/extra"]
html_context = {"default_mode": "auto"}  # light or dark as the system says
html_show_sourcelink = False
html_copy_source = False
# Pages with none below them need no list of such pages.
html_sidebars = {
    name: []
    for name in (
        *("start", "see", "results", "gallery", "extending", "benchmarks"),
        *("decisions", "glossary", "bibliography", "changelog"),
    )
}
html_theme_options = {
    "logo": {"text": "sterling"},
    "navbar_end": ["theme-switcher"],
    "navbar_persistent": ["search-button"],
    "footer_start": ["copyright"],
    "footer_end": ["sphinx-version"],
    "show_prev_next": True,
    "navigation_with_keys": False,
    "show_toc_level": 2,
    "header_links_before_dropdown": 7,
}
