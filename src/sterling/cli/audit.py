"""`sterling audit`: what the quantisers of a PyTorch model do, and what is wrong with them."""

import contextlib
import importlib
import os
import re
import shlex
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sterling.base.extras import how_to_install
from sterling.base.files import printable
from sterling.cli.options import FILE, PAGES, Json, Quiet, check_target, output
from sterling.cli.render import console, guarded, note, one_line, print_json
from sterling.errors import InputError, SterlingError

if TYPE_CHECKING:
    from sterling.torch.audit_report import Audit

_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


@guarded
def audit(
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FUNCTION",
            help="A function without arguments that returns a model, or a model and an example input.",
            show_default=False,
        ),
    ],
    report: Annotated[Path | None, output("Write a page: .html.", **FILE)] = None,
    json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Say what each quantiser of a PyTorch model does: levels, where gradients stop, zero, ties, surrogate.

    MODULE is imported and FUNCTION called, as Python would from this folder: that runs code, so name your
    own. The first line says what is wrong. With an example input the quantised weights of any framework are
    found; without one, those of binarize, torchao, Brevitas and transformers' BitNet.
    """
    check_target(report, "--report", *PAGES)
    if find_spec("torch") is None:
        raise InputError(f"sterling audit needs PyTorch, which is not installed: {how_to_install('torch')}")
    found = _examined(source)
    if json:
        print_json(found.to_dict())
    else:
        (first, *_), table, notes = found.parts()
        typer.echo(first)
        console().print(table, *notes, sep="\n", markup=False)
    if report is not None:
        found.save(report, f"sterling audit {shlex.quote(source)} --report {shlex.quote(str(report))}")
        if not quiet:
            note(f"page written: {printable(report)}")


def _examined(source: str) -> "Audit":
    """Call the user's function and audit what it returns; what their code prints is no result."""
    from sterling.torch.auditing import audit as examine

    with contextlib.redirect_stdout(sys.stderr):
        try:
            made = _made(source)
            return examine(*made) if isinstance(made, tuple) else examine(made)
        except SystemExit as problem:
            raise InputError(
                f"{source} cannot be used (it called sys.exit, {problem.code!r:.100}): keep what a script "
                'does under `if __name__ == "__main__"`'
            ) from problem


def _made(source: str) -> Any:
    """Import the user's function and call it."""
    if _NAME.fullmatch(source) is None:
        raise InputError(f"{source!r} names no function: give MODULE:FUNCTION, such as train:make_model")
    module, _, name = source.partition(":")
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    import torch

    try:
        function = importlib.import_module(module)
        for part in name.split("."):
            function = getattr(function, part)
        made = function() if callable(function) and not isinstance(function, torch.nn.Module) else function
    except SterlingError:
        raise
    except Exception as problem:  # whatever the user's code raises
        kind = type(problem).__name__
        raise InputError(f"{source} cannot be used ({kind}: {one_line(problem)[:200]})") from problem
    if isinstance(made, tuple) and len(made) != 2:
        raise InputError(
            f"{source} returns {len(made)} things: return a model, or a model and an example input"
        )
    return made
