"""The command line, `sterling VERB`: one thin file a verb, over the functions that Python users call.

This file only joins the verbs. Nothing heavy is imported before a verb runs.
"""

import io
import os
import signal
import sys
from typing import Annotated

import typer

from sterling import __version__
from sterling.cli import study
from sterling.cli.doctor import doctor
from sterling.cli.landscape import landscape
from sterling.cli.plan import plan
from sterling.cli.render import FAILED, about_output, lose_output, note
from sterling.cli.reproduce import reproduce
from sterling.cli.train import train

app = typer.Typer(
    name="sterling",
    help="A laboratory for the straight-through estimator: exact, fast dynamics of binary-weight training.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or input, 130 interrupted by Ctrl-C.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command()(reproduce)
app.command()(train)
app.command()(landscape)
app.command()(plan)
app.command()(doctor)
app.add_typer(study.app, name="study")


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"sterling {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    pass


class _Pressed(KeyboardInterrupt):
    """Ctrl-C, as a subclass: KeyboardInterrupt itself, where it passes through the exec() of an import, makes
    CPython kill the process at its end, whatever the exit code.
    """


def _press(number: int, frame: object) -> None:
    raise _Pressed


def main() -> None:
    """Run the command line; what the `sterling` command calls."""
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, _press)
    if signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:  # a polite end is as good as Ctrl-C
        signal.signal(signal.SIGTERM, lambda number, frame: signal.raise_signal(signal.SIGINT))
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # without Unicode: question marks, no traceback
    if sys.stderr is None:  # notes and progress go nowhere, rather than to stdout
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    try:
        _run()
    except OSError as problem:
        if not about_output(problem):
            raise
        lose_output(problem)
        sys.exit(FAILED)


def _run() -> None:
    """Run the verb; texts such as `--help`, which no verb guards, leave the buffer before the end too."""
    if sys.stdout is None:
        note("error: standard output is closed, so a result has no place to go: leave it open")
        sys.exit(FAILED)
    try:
        app(prog_name="sterling")
    finally:
        # All is said and the exit code is settled: a Ctrl-C while Python ends must not change it.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        sys.stdout.flush()
