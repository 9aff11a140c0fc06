"""What the verbs share: results on stdout, everything else on stderr, errors as one line and an exit code."""

from __future__ import annotations

import functools
import json
import os
import sys
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NoReturn

import typer

from sterling.errors import CheckpointError, InputError, SterlingError, SterlingWarning

if TYPE_CHECKING:
    from rich.table import Table

    from sterling.dynamics.orbit import Orbit

DONE, FAILED, WRONG, INTERRUPTED = 0, 1, 2, 130


def guarded(verb: Callable[..., None]) -> Callable[..., None]:
    """Turn the exceptions of a verb into one line on stderr and an exit code, and its warnings into lines."""

    @functools.wraps(verb)
    def run(*args, **kwargs) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always", SterlingWarning)
            warnings.showwarning = _show_warning
            try:
                verb(*args, **kwargs)
                sys.stdout.flush()
            except (InputError, CheckpointError) as problem:
                _fail(problem, WRONG)
            except SterlingError as problem:
                _fail(problem, FAILED)
            except MemoryError:
                _fail("there is not enough memory: take fewer samples or a smaller n", FAILED)
            except KeyboardInterrupt:
                _fail("interrupted before there was a result", INTERRUPTED)
            except BrokenPipeError:  # the reader, such as `head`, has gone
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit(FAILED) from None

    return run


def _fail(problem: object, code: int) -> NoReturn:
    note(f"error: {one_line(problem)}")
    raise typer.Exit(code) from None


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    if issubclass(category, SterlingWarning):
        note(f"warning: {one_line(message)}")
    else:
        note(warnings.formatwarning(message, category, filename, lineno, line).rstrip())


def one_line(text: object) -> str:
    """Return a message without line breaks."""
    return " ".join(str(text).split())


def note(text: str) -> None:
    """Say something that is no result: on stderr."""
    typer.echo(text, err=True)


def print_json(values: Any) -> None:
    """Print one JSON object on one line of stdout."""
    typer.echo(json.dumps(values, allow_nan=False))


def print_result(orbit: Orbit) -> None:
    """Print the table of a run on stdout."""
    from rich.console import Console

    Console().print(result_table(orbit))


def facts_table(title: str) -> Table:
    """Return an empty table of names and values that fits any width."""
    from rich import box
    from rich.table import Table

    table = Table(
        title=title,
        title_justify="left",
        title_style="dim",
        show_header=False,
        box=box.ROUNDED,
        border_style="dim",
    )
    table.add_column(style="default", overflow="fold", ratio=None)
    table.add_column(overflow="fold")
    return table


def result_table(orbit: Orbit) -> Table:
    """Return the results of a run as a table, with what the verdict means."""
    from rich.text import Text

    from sterling.plot import problem_line
    from sterling.progress import VERDICT_STYLES

    table = facts_table(problem_line(orbit.to_dict()))
    for name, value in orbit.summary():
        text = Text(value)
        if name == "verdict":
            text.stylize(VERDICT_STYLES[orbit.verdict.name], 0, len(orbit.verdict.name))
            text.append(f"\n{orbit.verdict.value}", "italic")
        table.add_row(name, text)
    return table


def announce_kernels() -> None:
    """Say so if the kernels have to be compiled, as they are on the first run after an installation."""
    from sterling._jit import INTERPRETED, cache_folder

    if not INTERPRETED and not any(cache_folder().rglob("*.nbi")):
        note("compiling kernels, once: about 15 s …")
