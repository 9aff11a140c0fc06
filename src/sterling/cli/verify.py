"""`sterling verify`: whether an artefact holds the quantised weights that were trained."""

from pathlib import Path
from typing import Annotated

import typer

from sterling.cli import options
from sterling.cli.build import Build, built
from sterling.cli.render import FAILED, console, print_json


def verify(
    source: Build,
    artefact: Annotated[
        Path,
        typer.Argument(
            metavar="ARTEFACT", help="File .safetensors, .pt, .onnx or .gguf.", show_default=False
        ),
    ],
    json: options.Json = False,
) -> None:
    """Compare the quantised weights of a trained PyTorch model with those in a file, code by code.

    Python imports MODULE from this folder and calls FUNCTION, which loads the trained weights: that runs
    code, so name only code that you trust. The file is only read.

    Exit codes: 0 nothing differs, 1 something differs, 2 wrong usage, or the file cannot be read.
    """
    with built(source) as (model, example):
        from sterling.torch import verify as compare

        found = compare(model, artefact, example)
    if json:
        print_json({"ok": found.ok, "findings": found.findings, "tensors": found.frame().to_dicts()})
    else:
        console().print(found)
    if not found.ok:
        raise typer.Exit(FAILED)
