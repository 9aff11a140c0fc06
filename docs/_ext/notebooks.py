"""The tutorials as notebooks: quiet kernels, pictures as SVG, and a line of links below each title."""

import os
from pathlib import Path

# Kernels read this in place of the user's own settings, and leave no history behind.
SETTINGS = """c = get_config()
c.IPKernelApp.log_level = "ERROR"
c.InlineBackend.figure_formats = {"svg"}
c.HistoryManager.enabled = False
"""


def settings(app):
    """Write the settings of the kernels that run the tutorials."""
    home = Path(app.srcdir, "_generated", "ipython")
    (home / "profile_default").mkdir(parents=True, exist_ok=True)
    (home / "profile_default" / "ipython_kernel_config.py").write_text(SETTINGS, encoding="utf-8")
    os.environ["IPYTHONDIR"] = str(home)


def links(app, docname, source):
    """Put the links below the title of a tutorial."""
    folder, _, name = docname.rpartition("/")
    if folder != "tutorials" or name == "index":
        return
    found = [f"{{nb-download}}`Download this notebook <{name}.ipynb>`"]
    if app.config.public_notebooks:
        owner, repository, branch, path = app.config.public_notebooks.split("/", 3)
        file = f"{path}/{name}.ipynb"
        colab = f"https://colab.research.google.com/github/{owner}/{repository}/blob/{branch}/{file}"
        binder = f"https://mybinder.org/v2/gh/{owner}/{repository}/{branch}?labpath={file}"
        found += [f"[open it in Colab]({colab})", f"[open it in Binder]({binder})"]
    head, title, rest = source[0].partition("\n# ")
    line, _, text = rest.partition("\n")
    source[0] = f"{head}{title}{line}\n\n{' · '.join(found)}\n{text}"


def setup(app):
    app.add_config_value("public_notebooks", "", "env", str)
    app.connect("builder-inited", settings)
    app.connect("source-read", links)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
