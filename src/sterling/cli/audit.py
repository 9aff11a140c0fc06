"""`sterling audit`: what the quantisers of a PyTorch model do, and what is wrong with them."""

from typing import Annotated, Literal

import typer

from sterling.cli import options
from sterling.cli.build import Build, built
from sterling.cli.render import FAILED, console, print_json


def audit(
    source: Build,
    fail_on: Annotated[
        Literal["none", "note", "defect"],
        typer.Option(help="Exit with 1 if a finding has this grade or a worse one.", show_default=True),
    ] = "none",
    json: options.Json = False,
) -> None:
    """Report what each quantiser of a PyTorch model does: levels, stopped gradients, zeros, surrogate.

    Python imports MODULE from this folder and calls FUNCTION: that runs code, so name only code that you
    trust. The first line of the result says what is wrong. With an example input, sterling finds the
    quantised weights of any framework, and quantised activations; without one, the weights of binarize,
    torchao, Brevitas and transformers' BitNet. For CI: --fail-on defect.
    """
    with built(source) as model:
        from sterling.torch import audit as examine

        found = examine(*model)
    if json:
        first = {"headline": found.headline(), "grade": found.grade, "findings": found.findings}
        print_json({**first, "tensors": found.frame().to_dicts()})
    else:
        console().print(found)
    if found.grade is not None and fail_on in (found.grade, "note"):
        raise typer.Exit(FAILED)
