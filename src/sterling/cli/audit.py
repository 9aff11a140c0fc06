"""`sterling audit`: what the quantisers of a PyTorch model do, and what is wrong with them."""

import contextlib
import importlib
import os
import re
import shlex
import sys
from enum import StrEnum
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from sterling.base.extras import how_to_install
from sterling.base.files import printable
from sterling.cli import options
from sterling.cli.options import FILE, PAGES, check_targets, output
from sterling.cli.render import FAILED, console, note, print_json
from sterling.errors import InputError, SterlingError

if TYPE_CHECKING:
    from sterling.torch.audit_report import Audit


class FailOn(StrEnum):
    """Grades at which the audit fails."""

    none = "none"
    note = "note"
    defect = "defect"


_NAME = re.compile(r"[^\W\d]\w*(\.[^\W\d]\w*)*:[^\W\d]\w*(\.[^\W\d]\w*)*")


def audit(
    source: Annotated[
        str,
        typer.Argument(
            metavar="MODULE:FUNCTION",
            help="Function without arguments that returns a model, or a model and an example input.",
            show_default=False,
        ),
    ],
    fail_on: Annotated[
        FailOn,
        typer.Option(help="Exit with 1 if a finding has this grade or a worse one.", show_default=True),
    ] = FailOn.none,
    report: Annotated[Path | None, output(help="Write a page with the findings: .html.", **FILE)] = None,
    json: options.Json = False,
    quiet: options.Quiet = False,
) -> None:
    """Report what each quantiser of a PyTorch model does: levels, stopped gradients, zeros, ties, surrogate.

    Python imports MODULE from this folder and calls FUNCTION: that runs code, so name only code that you
    trust. The first line of the result says what is wrong. With an example input, sterling finds the
    quantised weights of any framework, and quantised activations; without one, the weights of binarize,
    torchao, Brevitas and transformers' BitNet. For CI: --fail-on defect.
    """
    check_targets(None, (report, "--report", *PAGES))
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
    if found.grade is not None and fail_on.value in (found.grade, "note"):
        raise typer.Exit(FAILED)


def _examined(source: str) -> "Audit":
    """Call the user's function and audit what it returns; what the user's code prints goes to stderr."""
    from sterling.torch.auditing import audit as examine

    with contextlib.redirect_stdout(sys.stderr):
        try:
            model = _call(source)
            return examine(*model) if isinstance(model, tuple) else examine(model)
        except SystemExit as problem:
            raise InputError(
                f"{source} cannot be used (it called sys.exit, {problem.code!r:.100}): put what a script "
                'does under `if __name__ == "__main__"`'
            ) from problem


def _call(source: str) -> Any:
    if _NAME.fullmatch(source) is None:
        raise InputError(f"{source!r} is not a function: give MODULE:FUNCTION, such as train:make_model")
    module, _, name = source.partition(":")
    folder = os.getcwd()
    if folder not in sys.path:
        sys.path.insert(0, folder)
    import torch

    try:
        function = importlib.import_module(module)
        for part in name.split("."):
            function = getattr(function, part)
        is_model = isinstance(function, torch.nn.Module)
        model = function() if callable(function) and not is_model else function
    except SterlingError:
        raise
    except Exception as problem:  # the user's code may raise anything
        kind = type(problem).__name__
        raise InputError(f"{source} cannot be used ({kind}: {problem!s:.200})") from problem
    if isinstance(model, tuple) and len(model) != 2:
        raise InputError(
            f"{source} returns {len(model)} objects: return a model, or a model and an example input"
        )
    return model
