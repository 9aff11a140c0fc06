"""Generates what the pages show of the package whenever the site is built: tables, help texts, pictures.

Everything goes to ``docs/_generated``, which Git ignores, so nothing there is older than the code. Pages that
need no Sphinx, such as the explorable one, go to ``docs/_generated/extra`` and from there to the site's root.
"""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

# Typer reads these when it is imported, and then writes colours into help texts.
for name in ("FORCE_COLOR", "PY_COLORS", "GITHUB_ACTIONS"):
    os.environ.pop(name, None)

DOCS = Path(__file__).resolve().parents[1]
GENERATED = DOCS / "_generated"
GALLERY = DOCS / "gallery"


def write(name, text):
    """Write a file below `GENERATED` if it says something new."""
    path = GENERATED / name
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


def table(head, rows):
    """Return a table in Markdown."""
    lines = [head, ["---"] * len(head), *rows]
    return "".join("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |\n" for row in lines)


def theory():
    """Every function of `sterling.theory` that carries a label."""
    import sterling as st

    rows = [
        (f"[`{name}`](#sterling.theory.{name})", one.kind, one.source, one.checked)
        for name, one in st.theory.FUNCTIONS.items()
    ]
    return table(("function", "label", "source", "compared with runs"), rows)


def surrogates():
    """Every surrogate with its derivative."""
    import sterling as st

    def cell(formula):
        return "${}$".format(formula.replace("|x|", r"\lvert x\rvert"))

    rows = [
        (f"`{name}`", cell(one.derivative_formula), "yes" if one.piecewise_constant else "no", one.source)
        for name, one in st.SURROGATES.items()
    ]
    return table(("name", r"$\mu'(x)$", "piecewise constant", "source"), rows)


def ladder():
    """The rungs at n = 64, in units of n."""
    import sterling as st

    rungs = {
        "no method finds the teacher with fewer": st.theory.samples_for_information,
        "approximate message passing": st.theory.samples_for_messages,
        "sign of least squares": st.theory.samples_for_least_squares,
        "Hebb's rule": st.theory.samples_for_hebb,
        "STE, time average, identity": lambda p: st.theory.samples_for_average(p, surrogate="identity"),
        "STE, time average, ReLU": st.theory.samples_for_average,
    }
    kinds = {"STE, time average, identity": "mean-field", "STE, time average, ReLU": "mean-field"}
    problems = [st.Problem(n=64, samples=640, noise=noise) for noise in (0.0, 0.5)]
    rows = [
        (name, *(f"{law(problem) / 64:.3g} n" for problem in problems), kinds.get(name) or law.kind)
        for name, law in rungs.items()
    ]
    return table(("", "without noise", "σ = 0.5", "label"), rows)


def commands():
    """The help of every verb, as the command line prints it."""
    from typer.testing import CliRunner

    from sterling.cli.verbs import app

    def names(group):
        return [one.name or one.callback.__name__ for one in group.registered_commands]

    verbs = [[name] for name in names(app)]
    verbs += [[group.name, name] for group in app.registered_groups for name in names(group.typer_instance)]
    parts = []
    for verb in verbs:
        shown = CliRunner().invoke(app, [*verb, "--help"], env={"COLUMNS": "88", "TERM": "dumb"}).output
        text = "\n".join(line.rstrip() for line in shown.strip("\n").splitlines())
        parts.append(f"## `sterling {' '.join(verb)}`\n\n```text\n{text}\n```\n")
    return "\n".join(parts)


def pages():
    """Write what `sterling explore` writes, and the page of `sterling reproduce` for one quick claim."""
    from sterling.report.explore import write_explorable
    from sterling.report.html import DOCS as DOCS_OF_PAGES

    (GENERATED / "extra").mkdir(parents=True, exist_ok=True)
    write_explorable(GENERATED / "extra" / "explore.html")
    claims = ["--quick", "--quiet", "--only", "concentration", "--out", str(GENERATED / "extra" / "claims")]
    subprocess.run(
        [sys.executable, "-m", "sterling", "reproduce", *claims], check=True, stdout=subprocess.DEVNULL
    )
    page = GENERATED / "extra" / "claims" / "index.html"  # it stands beside the science pages here
    page.write_text(page.read_text("utf-8").replace(DOCS_OF_PAGES, "../science"), "utf-8")


def pictures():
    """Run the scripts of the gallery whose picture is older than they or the package."""
    import sterling

    newest = max(path.stat().st_mtime for path in Path(sterling.__file__).parent.rglob("*.py"))
    (GENERATED / "gallery").mkdir(parents=True, exist_ok=True)

    def draw(script):
        picture = GENERATED / "gallery" / f"{script.stem}.svg"
        if not picture.exists() or picture.stat().st_mtime <= max(newest, script.stat().st_mtime):
            subprocess.run([sys.executable, script, picture], check=True)

    with ThreadPoolExecutor(2) as pool:  # most programs use one core most of the time
        list(pool.map(draw, sorted(GALLERY.glob("[a-z]*.py"))))


def generate(app):
    """Generate everything; Sphinx calls this before it reads the pages."""
    for name, text in {
        "theory.md": theory,
        "surrogates.md": surrogates,
        "ladder.md": ladder,
        "commands.md": commands,
    }.items():
        write(name, text())
    pages()
    pictures()


def setup(app):
    app.connect("builder-inited", generate)
    return {"version": "1", "parallel_read_safe": True, "parallel_write_safe": True}
