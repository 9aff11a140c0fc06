"""All verbs in one command line, and its way out. Nothing heavy is imported before a verb runs."""

import io
import os
import sys
from typing import Annotated

import typer

from sterling import __version__
from sterling.cli import study
from sterling.cli.audit import audit
from sterling.cli.certify import certify
from sterling.cli.doctor import doctor
from sterling.cli.explore import explore
from sterling.cli.landscape import landscape
from sterling.cli.plan import plan
from sterling.cli.render import FAILED, OutputError, lose_output, note, open_output
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
app.command()(certify)
app.command()(plan)
app.command()(explore)
app.command()(audit)
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


def run() -> None:
    """Run the verb; texts such as `--help`, which no verb guards, leave the buffer before the end too."""
    if sys.stderr is None:  # notes and progress go nowhere, rather than to stdout
        sys.stderr = open(os.devnull, "w")  # noqa: SIM115
    if isinstance(sys.stderr, io.TextIOWrapper):
        sys.stderr.reconfigure(errors="replace")  # without Unicode: question marks, no traceback
    if sys.stdout is None:
        note("error: standard output is closed, so a result has no place to go: leave it open")
        sys.exit(FAILED)
    sys.stdout = open_output(sys.stdout)
    try:
        try:
            app(prog_name="sterling")
        finally:
            sys.stdout.flush()
    except OutputError as problem:
        sys.exit(lose_output(problem))
