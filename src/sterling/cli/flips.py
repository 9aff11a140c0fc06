"""`sterling flips`: which codes change between saved checkpoints."""

from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from sterling.base.extras import how_to_install
from sterling.cli import options
from sterling.cli.render import console, print_json
from sterling.errors import InputError


def flips(
    checkpoints: Annotated[
        list[Path],
        typer.Argument(
            help="Two or more files in the order of training.", show_default=False, metavar="FILE"
        ),
    ],
    quantizer: Annotated[
        str,
        typer.Option(
            help="What makes the codes: stored (integer tensors), sign, absmean, absmean:per=channel, int4, "
            "int4:group=32.",
            metavar="NAME",
        ),
    ] = "stored",
    include: Annotated[
        list[str] | None, typer.Option(help="Only tensors of names like this: '*.mlp.*'.", metavar="PATTERN")
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option(help="No tensors of names like this: 'head.*'.", metavar="PATTERN")
    ] = None,
    json: options.Json = False,
) -> None:
    """Count the codes of quantised weights that change between checkpoints: .safetensors, .pt or .npz.

    It needs no model, and runs no code of the files. The first line of the result has the share of codes that
    differ between the last two.
    """
    if find_spec("torch") is None:
        raise InputError(f"sterling flips needs PyTorch, which is not installed: {how_to_install('torch')}")
    from sterling.torch.between import flips_between

    found = flips_between(checkpoints, quantizer, include or ["*"], exclude or [])
    if json:
        print_json({"checkpoints": found.files, "tensors": found.rows})
        return
    (first, *_), table, notes = found.parts()
    typer.echo(first)
    console().print(table, *notes, sep="\n", markup=False)
