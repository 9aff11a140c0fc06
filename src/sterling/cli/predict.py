"""`sterling predict`: the classes of the rows of a CSV file, by a model that `sterling score` wrote."""

import sys
import warnings
from pathlib import Path
from typing import Annotated

import typer

from sterling.base.files import printable
from sterling.cli import options
from sterling.cli.options import check_targets, output
from sterling.cli.render import need, note, write_table
from sterling.errors import SterlingWarning

_PARTS = 10_000  # that a probability is a whole number of


def predict(
    model: Annotated[
        Path, typer.Argument(metavar="MODEL", help="File that sterling score wrote.", show_default=False)
    ],
    data: Annotated[Path, typer.Argument(metavar="NEW.csv", help="Data file.", show_default=False)],
    out: Annotated[
        Path | None, output("Write the predictions in this file: .csv.", "FILE", "-o", "--out")
    ] = None,
    quiet: options.Quiet = False,
) -> None:
    """Predict the class of each row of a CSV file.

    Columns are found by their names; others are ignored. The result has a line for each row: its number, the
    predicted class and the probability of that class, rounded down to four digits and always below 1. Use
    rows that training has not seen. Reading a model runs no code.
    """
    need("learn", "sklearn", "predict")
    check_targets(data, (out, "--out", ".csv"))
    import numpy as np
    import polars as pl

    from sterling.cli.samples import about, read
    from sterling.cli.table_model import load

    found = load(model)
    with about(data):
        inputs, notes = found.inputs(read(data))
    for text in notes:
        warnings.warn(text, SterlingWarning, stacklevel=1)
    classes = found.classifier.predict(inputs).tolist()
    parts = np.floor(found.classifier.predict_proba(inputs).max(axis=1) * _PARTS)
    probability = np.minimum(parts, _PARTS - 1) / _PARTS  # no model is sure
    table = pl.DataFrame({"prediction": classes, "probability_of_prediction": probability}).with_row_index(
        "row", offset=1
    )
    if out is None:
        sys.stdout.write(table.write_csv())
    else:
        write_table(out, table)
        if not quiet:
            note(f"{len(table):,} predictions written: {printable(out)}")
