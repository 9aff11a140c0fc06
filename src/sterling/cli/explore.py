"""`sterling explore`: the page on which runs are made and watched; written, and opened in a browser."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from sterling.base.files import printable
from sterling.cli.options import PAGES, check_targets, make_folder, output
from sterling.cli.render import note

FILE = Path("out") / "explore.html"


def explore(
    out: Annotated[Path, output("-o", "--out", help="File of the page: .html.", metavar="FILE")] = FILE,
    show: Annotated[
        bool | None,
        output("--open/--no-open", help="Open the page in a browser. \\[if there is a screen]"),
    ] = None,
) -> None:
    """Write the explorable page: watch weights flip, leave the optimum and come back.

    The page is one HTML file and needs no network. Its runs equal those of `sterling train`, flip for flip.
    It shows the Python code and the command for each run.
    """
    import webbrowser

    from sterling.report.explore import write_explorable

    make_folder(out.parent, "--out")
    check_targets(None, (out, "--out", *PAGES))
    write_explorable(out)
    typer.echo(f"page: {printable(out)}")
    if show or (show is None and _has_screen()):
        try:
            opened = webbrowser.open(out.resolve().as_uri())
        except webbrowser.Error:
            opened = False
        if not opened:
            note(f"no browser was found: open {printable(out)} in one")


def _has_screen() -> bool:
    named = any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    return sys.stdout.isatty() and (named or sys.platform in ("win32", "darwin"))
