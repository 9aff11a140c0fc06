"""A classifier with the columns of the table that it takes: what `sterling score` writes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sterling.base.arrays import real_array
from sterling.base.files import read_json
from sterling.cli.samples import Column, encode
from sterling.errors import InputError
from sterling.learn import StraightThroughClassifier
from sterling.learn.export import LARGEST, write
from sterling.model.columns import refuse_twins

if TYPE_CHECKING:
    import polars as pl


class TableModel(NamedTuple):
    """A fitted classifier, the column of its labels, and the columns and training means of its inputs."""

    classifier: StraightThroughClassifier
    target: str
    columns: list[Column]
    means: np.ndarray

    def inputs(self, frame: pl.DataFrame) -> tuple[pl.DataFrame, list[str]]:
        """Return the inputs of the rows of a table, without gaps, and sentences on what was filled."""
        values, notes = encode(frame, self.columns)
        return filled(values, self.columns, self.means), notes

    def save(self, path: Path) -> None:
        """Write the model as JSON, which `StraightThroughClassifier.load` reads as well."""
        columns = [[one.name, one.texts] for one in self.columns]
        table = {"target": self.target, "columns": columns, "means": self.means.tolist()}
        write(path, {**self.classifier.to_dict(), "table": table})


def load(path: Path) -> TableModel:
    """Return the model of a file, all of which is checked."""
    fault = "is not a model that `sterling score DATA.csv -o MODEL.json` wrote"
    return read_json(path, _model, fault, LARGEST)


def filled(values: np.ndarray, columns: list[Column], means: np.ndarray) -> pl.DataFrame:
    """Return inputs as a frame with their names, the means in the place of NaN."""
    import polars as pl

    names = [name for one in columns for name in one.inputs]
    refuse_twins(names)
    return pl.DataFrame(np.where(np.isnan(values), means, values), names, orient="row")


def _model(given: Any) -> TableModel:
    classifier = StraightThroughClassifier.from_dict(given)
    table = given["table"]
    target, pairs = table["target"], table["columns"]
    columns = [Column(name, None if texts is None else tuple(texts)) for name, texts in pairs]
    words = [target, *(word for one in columns for word in (one.name, *(one.texts or ())))]
    names = [name for one in columns for name in one.inputs]
    if not all(isinstance(word, str) for word in words):
        raise InputError("its columns must have texts as names")
    if names != given["features"]:
        raise InputError("its columns are not those of its classifier")
    means = real_array(table["means"], "means", ("input",), (len(names),), "these columns")
    return TableModel(classifier, target, columns, means)
