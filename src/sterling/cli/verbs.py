"""All verbs in one command line, and how each of them ends. Nothing heavy is imported before a verb runs."""

import errno
import sys
import warnings
from typing import Annotated, Any, NoReturn

import typer

from sterling import __version__
from sterling.base.files import printable
from sterling.cli import study
from sterling.cli.audit import audit
from sterling.cli.certify import certify
from sterling.cli.doctor import doctor
from sterling.cli.explore import explore
from sterling.cli.flips import flips
from sterling.cli.landscape import landscape
from sterling.cli.options import Group, add_verb
from sterling.cli.plan import plan
from sterling.cli.predict import predict
from sterling.cli.render import FAILED, INTERRUPTED, WRONG, note
from sterling.cli.reproduce import reproduce
from sterling.cli.score import score
from sterling.cli.train import train
from sterling.cli.verify import verify
from sterling.errors import InputError, SterlingError, SterlingWarning, UnreadableError


class _Verbs(Group):
    """Runs a verb; its error becomes one line on stderr and an exit code, its warnings become lines."""

    def invoke(self, ctx: Any) -> Any:
        typed = list(ctx.args)
        with warnings.catch_warnings():
            warnings.simplefilter("always", SterlingWarning)
            warnings.showwarning = _show_warning
            try:
                super().invoke(ctx)
                sys.stdout.flush()
            except KeyboardInterrupt as stop:  # Ctrl-C or SIGTERM
                _end(str(stop) or "interrupted: unsaved results are lost", INTERRUPTED)
            except (InputError, UnreadableError) as problem:
                _end(f"error: {_as_typed(problem, typed)}", WRONG)
            except SterlingError as problem:
                _end(f"error: {problem}", FAILED)
            except MemoryError:
                _end("error: out of memory: take fewer samples, or a smaller n or m", FAILED)
            except OSError as problem:  # of the system: out of space, of handles
                if problem.errno == errno.EPIPE:  # a reader such as `head` has gone; Typer ends quietly
                    raise
                where = "what it prints cannot be written: " if problem.errno == errno.ENOSPC else ""
                where = where if problem.filename is None else f"{printable(problem.filename)}: "
                _end(f"error: {where}{problem.strerror or problem}", FAILED)


app = typer.Typer(
    name="sterling",
    cls=_Verbs,
    help="A laboratory for the straight-through estimator: exact, fast dynamics of binary-weight training.",
    epilog="Exit codes: 0 done, 1 failed, 2 wrong usage or input, 130 interrupted by Ctrl-C.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
_MEASURE = reproduce, train, landscape, certify, plan, explore
for verb in (*_MEASURE, score, predict, audit, flips, verify, doctor):
    add_verb(app, verb)
app.add_typer(study.app, name="study")


@app.callback(invoke_without_command=True)
def options(
    version: Annotated[
        bool, typer.Option("--version", help="Show the version and exit.", metavar="")
    ] = False,
) -> None:
    if version:
        typer.echo(f"sterling {__version__}")
        raise typer.Exit


def _end(text: str, code: int) -> NoReturn:
    note(" ".join(text.split()))
    raise typer.Exit(code) from None


def _as_typed(problem: Exception, typed: list[str]) -> str:
    """Return the message; where it begins with the name of an option that was given, as it was typed."""
    message, name = str(problem), getattr(problem, "argument", None) or ""
    option = f"--{name.replace('_', '-')}"
    given = any(word == option or word.startswith(f"{option}=") for word in typed)
    return f"{option}{message.removeprefix(name)}" if given and message.startswith(name) else message


def _show_warning(message, *_) -> None:
    note(f"warning: {' '.join(str(message).split())}")
