"""How verbs print: results on stdout, everything else on stderr."""

from __future__ import annotations

import contextlib
import os
import shlex
import sys
from collections.abc import Callable, Iterable
from importlib.util import find_spec
from shutil import get_terminal_size
from textwrap import fill
from typing import TYPE_CHECKING, Any

import typer

from sterling.base.extras import how_to_install
from sterling.base.files import write_atomically
from sterling.base.text import as_json
from sterling.errors import InputError

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl
    from rich.console import Console
    from rich.table import Table

    from sterling.model.instance import Instance

FAILED, WRONG, INTERRUPTED = 1, 2, 130  # the last one as after the signal

_UNBROKEN, _PAGE = 10_000, 110  # columns where stdout is no terminal


def note(text: str) -> None:
    """Print something that is not a result, on stderr."""
    with contextlib.suppress(OSError):
        typer.echo(text, err=True)


def speaker(quiet: bool) -> Callable[[str], None]:
    """Return a function that prints notes unless quiet; compiling kernels is then announced as well."""
    from sterling.exact.jit import on_compiling

    if quiet:
        return lambda text: None
    if _say_compiling not in on_compiling:
        on_compiling.append(_say_compiling)
    return note


def _say_compiling(once: bool) -> None:
    note(f"compiling kernels{', once' if once else ''}: up to 15 s …")


def print_json(values: Any) -> None:
    """Print values as JSON on one line of stdout."""
    typer.echo(as_json(values))


def console(unbroken: bool = True) -> Console:
    """Return what prints tables on stdout: as wide as a terminal or COLUMNS.

    Elsewhere no line is broken, or lines have the width of a page.
    """
    from rich.console import Console

    elsewhere = _UNBROKEN if unbroken else _PAGE
    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else elsewhere
    return Console(highlight=False, width=wide)


def facts_table(rows: Iterable[tuple[str, str]]) -> Table:
    """Return names and values side by side, at any width."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", overflow="fold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, Text(value))
    return table


def about(instance: Instance, surrogate: str) -> str:
    """Return one line on the data and the surrogate."""
    from sterling.dynamics.learned import data_line

    return f"{data_line(instance.to_dict())} · surrogate {surrogate}"


def print_verdict(about: str, verdict: str, colour: str, meaning: str, rows: list[tuple[str, str]]) -> None:
    """Print the data, the verdict, what it means and the numbers, in a frame on a terminal."""
    if not sys.stdout.isatty():
        width = max(map(len, dict(rows)))
        wide = get_terminal_size((_UNBROKEN, 1)).columns  # COLUMNS, if it is set
        indent = " " * min(width + 2, wide // 2)
        for line in (about, verdict, meaning, ""):
            typer.echo(fill(line, wide))
        for name, text in rows:
            typer.echo(fill(f"{name:{width}}  {text}", wide, subsequent_indent=indent))
        return
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    content = Group(Text(f"{meaning}\n", "italic"), facts_table(rows))
    title = Text(verdict, f"bold {colour}")
    frame = Panel(content, title=title, title_align="left", border_style=colour, padding=(1, 2), expand=False)
    console().print(Text(about, "dim"), frame, sep="\n")


def command_of(verb: str) -> str:
    """Return the command that runs now; empty where a program called the verb."""
    return shlex.join(["sterling", *sys.argv[1:]]) if sys.argv[1:2] == [verb] else ""


def need(extra: str, package: str, what: str) -> None:
    """Refuse a verb where the package of an extra is missing."""
    if find_spec(package) is None:
        raise InputError(f"sterling {what} needs the package {package}: {how_to_install(extra)}")


def write_table(path: Path, frame: pl.DataFrame) -> None:
    """Write a frame to .csv or .parquet, whole or not at all."""
    write_atomically(path, frame.write_csv if path.suffix.lower() == ".csv" else frame.write_parquet)
