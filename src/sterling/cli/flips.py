"""`sterling flips`: which codes change between saved checkpoints."""

from pathlib import Path
from typing import Annotated

import typer

from sterling.cli import options
from sterling.cli.render import console, need, print_json


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
    need("torch", "torch", "flips")
    from sterling.torch.between import flips_between

    found = flips_between(checkpoints, quantizer, include or ["*"], exclude or [])
    if json:
        print_json({"checkpoints": found.files, "tensors": found.rows})
        return
    console().print(found)
