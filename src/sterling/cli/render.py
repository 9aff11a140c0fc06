"""What the verbs share: results on stdout, everything else on stderr, errors as one line and an exit code."""

from __future__ import annotations

import contextlib
import errno
import functools
import inspect
import io
import os
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, NoReturn, TextIO

import typer

from sterling.base.files import printable, write_atomically
from sterling.base.text import as_json
from sterling.cli.presses import heeding, settle
from sterling.errors import CheckpointError, InputError, SterlingError, SterlingWarning

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl
    from rich.console import Console, RenderableType
    from rich.table import Table

    from sterling.model.instance import Instance

Say = Callable[[str], None]
DONE, FAILED, WRONG, INTERRUPTED, PIPE = 0, 1, 2, 130, 141  # the last two as after the signals

_UNBROKEN = 10_000  # columns where stdout is no terminal

STOPPED = "interrupted: what was not shown or saved by now is lost"


def guarded(verb: Callable[..., None]) -> Callable[..., None]:
    """Turn the exceptions of a verb into one line on stderr and an exit code, and its warnings into lines."""

    @functools.wraps(verb)
    def run(*args, **kwargs) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("always", SterlingWarning)
            warnings.showwarning = _show_warning
            try:
                with heeding():
                    verb(*args, **kwargs)
                    sys.stdout.flush()
            except (InputError, CheckpointError) as problem:
                _fail(as_typed(problem, kwargs), WRONG)
            except SterlingError as problem:
                _fail(problem, FAILED)
            except MemoryError:
                _fail("there is not enough memory: take fewer samples, or a smaller n or m", FAILED)
            except KeyboardInterrupt:
                end_interrupted(STOPPED)
            except OutputError as problem:
                raise typer.Exit(lose_output(problem)) from None
            except OSError as problem:  # of the system: a name too long, out of space, of handles
                where = "" if problem.filename is None else f"{printable(problem.filename)}: "
                code = WRONG if problem.errno == errno.ENAMETOOLONG else FAILED
                _fail(f"{where}{problem.strerror or problem}", code)

    paragraphs = inspect.cleandoc(verb.__doc__ or "").split("\n\n")
    run.__doc__ = "\n\n".join(
        " ".join(paragraph.split()) for paragraph in paragraphs
    )  # `--help` keeps breaks
    return run


class OutputError(Exception):
    """Standard output cannot be written to, as opposed to any other file.

    No OSError: the one of a reader that has gone ends Typer with exit code 1, before anybody can say another.
    """

    def __init__(self, problem: OSError):
        super().__init__(problem.strerror or str(problem))
        self.gone = problem.errno == errno.EPIPE  # the reader, such as `head`


class _Output(io.FileIO):
    def write(self, data) -> int | None:
        try:
            return super().write(data)
        except OSError as problem:
            raise OutputError(problem) from None


def open_output(stream: TextIO) -> TextIO:
    """Return a stream to the same place whose errors are `OutputError`; without Unicode it prints "?"."""
    if not isinstance(stream, io.TextIOWrapper):
        return stream
    stream.flush()
    raw = io.BufferedWriter(_Output(stream.fileno(), "wb", closefd=False))
    return io.TextIOWrapper(raw, stream.encoding, "replace", line_buffering=stream.line_buffering)


def lose_output(problem: OutputError) -> int:
    """Say that stdout cannot be written to, let what waits for it go nowhere, and return the exit code."""
    if not problem.gone:
        note(f"error: the result cannot be written to standard output: {problem}")
    with contextlib.suppress(OSError, ValueError):  # in a test or a notebook there is no file behind it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return PIPE if problem.gone else FAILED


def end_interrupted(text: str) -> NoReturn:
    """End a verb that Ctrl-C cut short, with a word on what there is and how to go on."""
    settle()
    note(text)
    raise typer.Exit(INTERRUPTED)


def _fail(problem: object, code: int) -> NoReturn:
    note(f"error: {one_line(problem)}")
    raise typer.Exit(code) from None


def _show_warning(message, category, filename, lineno, file=None, line=None) -> None:
    if issubclass(category, SterlingWarning):
        note(f"warning: {one_line(message)}")
    else:
        note(warnings.formatwarning(message, category, filename, lineno, line).rstrip())


def as_typed(problem: Exception, given: Mapping[str, Any]) -> str:
    """Return the message, with the name of the option where it is about an argument that was one."""
    message, name = str(problem), getattr(problem, "argument", None) or ""
    if given.get(name) is None or not message.startswith(name):
        return message
    return f"--{name.replace('_', '-')}{message.removeprefix(name)}"


def one_line(text: object) -> str:
    """Return a message without line breaks."""
    return " ".join(str(text).split())


def note(text: str) -> None:
    """Say something that is no result: on stderr, if there is one to write to."""
    with contextlib.suppress(OSError):
        typer.echo(text, err=True)


def print_json(values: Any) -> None:
    """Print values as JSON on one line of stdout."""
    typer.echo(as_json(values))


def console() -> Console:
    """Return what prints on stdout: as wide as a terminal is; elsewhere no line is broken."""
    from rich.console import Console

    wide = None if sys.stdout.isatty() or "COLUMNS" in os.environ else _UNBROKEN
    return Console(highlight=False, width=wide)


def facts_table(rows: Iterable[tuple[str, RenderableType]]) -> Table:
    """Return names and values side by side, at any width."""
    from rich.table import Table

    table = Table.grid(padding=(0, 2))
    table.add_column(style="dim", overflow="fold")
    table.add_column(overflow="fold")
    for name, value in rows:
        table.add_row(name, value)
    return table


def about(instance: Instance, surrogate: str) -> str:
    """Return one line on what was looked at."""
    from sterling.plot.run import data_line

    return f"{data_line(instance.to_dict())} · surrogate {surrogate}"


def print_verdict(
    about: str, verdict: str, colour: str, meaning: str, rows: Iterable[tuple[str, RenderableType]]
) -> None:
    """Print what was run, the verdict, what it means and the numbers, on a terminal in a frame."""
    from rich.console import Group
    from rich.panel import Panel
    from rich.text import Text

    out, title = console(), Text(verdict, f"bold {colour}")
    told = Group(Text(f"{meaning}\n", "italic"), facts_table(rows))
    if out.is_terminal:
        look = {"title": title, "title_align": "left", "border_style": colour, "padding": (1, 2)}
        told = Panel(told, **look, expand=False)
    else:
        told = Group(title, told)
    out.print(Text(about, "dim"), told, sep="\n")


def write_table(path: Path, frame: pl.DataFrame) -> None:
    """Write a frame to .csv or .parquet, whole or not at all."""
    write_atomically(path, frame.write_csv if path.suffix.lower() == ".csv" else frame.write_parquet)


def speaker(quiet: bool) -> Say:
    """Return what says notes; unless quiet, it is also said when kernels have to be compiled, as at first."""
    from sterling.exact.jit import on_compiling

    if quiet:
        return lambda text: None
    if _say_compiling not in on_compiling:
        on_compiling.append(_say_compiling)
    return note


def _say_compiling(once: bool) -> None:
    note(f"compiling kernels{', once' if once else ''}: up to 15 s …")
