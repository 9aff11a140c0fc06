"""`sterling explore`: the page on which runs are made and watched; written, and opened in a browser."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from sterling.base.files import printable
from sterling.cli import options
from sterling.cli.options import PAGES, check_targets, make_folder, output, problem_option
from sterling.cli.render import note

FILE = Path("out") / "explore.html"


def explore(
    n: Annotated[int | None, problem_option("Number of weights. \\[12]", "COUNT", "--n")] = None,
    samples: Annotated[int | None, options.samples(1600)] = None,
    noise: Annotated[
        float | None, problem_option("Standard deviation of the label noise. \\[0.5]", "SIGMA")
    ] = None,
    seed: Annotated[int | None, problem_option("Random seed of the data. \\[5]", "SEED")] = None,
    out: Annotated[Path, output("File of the page: .html.", "FILE", "-o", "--out")] = FILE,
) -> None:
    """Write the explorable page: watch weights flip, leave the optimum and come back.

    The page is one HTML file and needs no network. Its runs equal those of `sterling train`, flip for flip.
    It shows the Python code and the command for each run. With options of a problem it opens at these
    settings, otherwise with its story.
    """
    import webbrowser

    from sterling.report.explore import write_explorable

    given = options.given({"n": n, "samples": samples, "noise": noise, "seed": seed})
    text = _settings(given) if given else ""
    make_folder(out.parent, "--out")
    check_targets(None, (out, "--out", *PAGES))
    write_explorable(out, text)
    typer.echo(f"page: {printable(out)}")
    if _has_screen():
        try:
            opened = webbrowser.open(f"{out.resolve().as_uri()}{text and '#' + text}")
        except webbrowser.Error:
            opened = False
        if not opened:
            note(f"no browser was found: open {printable(out)} in one")


def _settings(given: dict[str, Any]) -> str:
    """Return the settings that were given, with the page's usual ones for the others."""
    from sterling.model.problem import Problem
    from sterling.report.explore import USUAL, settings_text

    values = USUAL | given
    seed, init, steps = (values.pop(name) for name in ("seed", "init", "steps"))
    origin = {**Problem(**values).to_dict(), "seed": seed}
    return settings_text(origin, init=init, steps=steps)


def _has_screen() -> bool:
    named = any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    return sys.stdout.isatty() and (named or sys.platform in ("win32", "darwin"))
