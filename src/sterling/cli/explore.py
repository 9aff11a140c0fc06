"""`sterling explore`: the page on which runs are made and watched; written, and opened in a browser."""

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from sterling.base.files import printable
from sterling.cli.options import PAGES, check_suffix, check_target, make_folder, output
from sterling.cli.render import guarded, note

FILE = Path("out") / "explore.html"


@guarded
def explore(
    out: Annotated[Path, output("Where to write the page: .html.", "-o", "--out", metavar="FILE")] = FILE,
    show: Annotated[
        bool | None,
        output("Open it in a browser. \\[where there is a screen]", "--open/--no-open"),
    ] = None,
) -> None:
    """Write the explorable page: watch weights flip, leave the optimum and come back.

    One HTML file, which needs no network. Its runs are those of `sterling train`, flip for flip; beside each
    stand the lines of Python and of the shell that make it.
    """
    from sterling.report.explore import write_explorable

    check_suffix(out, "--out", *PAGES)
    make_folder(out.parent, "--out")
    check_target(out, "--out")
    write_explorable(out)
    typer.echo(f"page: {printable(out)}")
    if show or (show is None and _has_screen()):
        _open(out)


def _has_screen() -> bool:
    """Whether somebody sits there: a terminal, and a screen beside it."""
    named = any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))
    return sys.stdout.isatty() and (named or sys.platform in ("win32", "darwin"))


def _open(path: Path) -> None:
    import webbrowser

    try:
        opened = webbrowser.open(path.resolve().as_uri())
    except webbrowser.Error:
        opened = False
    if not opened:
        note(f"no browser was found: open {printable(path)} in one")
