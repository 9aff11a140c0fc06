"""The columns of a table: finds the labels, and turns all columns into numbers."""

from __future__ import annotations

import difflib
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sterling.base.text import shortened
from sterling.errors import InputError, SterlingWarning

if TYPE_CHECKING:
    import polars as pl

#: Default names of the label column, in upper or lower case.
LABEL_NAMES = ("label", "y")


class Data(NamedTuple):
    """The contents of a file."""

    inputs: np.ndarray
    labels: np.ndarray
    readout: np.ndarray | None = None
    teacher: np.ndarray | None = None
    label_name: str | None = None
    names: list[str] | None = None  # of the input columns, where the file has names


def split(frame: pl.DataFrame, labels) -> Data:
    """Separate the labels from the inputs, and turn both into numbers."""
    names = [name.strip() for name in frame.columns]
    refuse_twins(names)
    if len(names) < 2:
        raise InputError("it has one column only: give inputs and labels, separated by commas")
    if not frame.height:
        raise InputError("it has column names but no rows")
    column = label_column(names, labels)
    inputs, kept = [], []
    for index, (series, name) in enumerate(zip(frame.iter_columns(), names, strict=True)):
        if index != column and (name or not _is_row_number(series, index)):
            inputs.append(_numbers(series, f"column {name!r}", "drop it"))
            kept.append(name)
    targets = _numbers(frame.to_series(column), f"the label column {names[column]!r}", "map it to 0 and 1")
    if not inputs:
        raise InputError("it has labels but no inputs")
    return Data(np.stack(inputs, axis=1), targets, label_name=names[column], names=kept)


def is_frame(table: Any) -> bool:
    """Whether a table is a frame of Polars or pandas, by its attributes: pandas may not be installed."""
    return hasattr(table, "columns") and hasattr(table, "to_numpy")


def from_frame(frame: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the values of a frame of Polars or pandas as float64, and the names of its columns."""
    names = tuple(str(name).strip() for name in frame.columns)
    refuse_twins(names)
    columns = []
    for key, name in zip(frame.columns, names, strict=True):
        column = np.asarray(frame[key])
        if column.dtype.kind not in "biuf":
            raise InputError(f"column {name!r} is not numeric: turn it into numbers, or drop it")
        columns.append(column.astype(np.float64))
    return np.stack(columns, axis=1) if columns else np.empty((len(frame), 0)), names


def refuse_twins(names: Sequence[str]) -> None:
    """Raise InputError if two columns have the same name."""
    name, count = Counter(names).most_common(1)[0] if names else ("", 0)
    if count > 1:
        raise InputError(f"there are two columns named {name!r}: rename one, or drop it")


def _is_row_number(series: pl.Series, index: int) -> bool:
    """Whether a column without a name numbers the rows, like the index that pandas saves."""
    rows = np.arange(len(series))
    if series.dtype.is_integer() and any((series.to_numpy() == rows + first).all() for first in (0, 1)):
        text = "the column without a name is left out, because it only numbers the rows"
        warnings.warn(text, SterlingWarning, stacklevel=6)
        return True
    raise InputError(f"column {index} (counted from 0) has no name: name it, or drop it")


def label_column(names: list[str], labels, option: str = "labels=") -> int:
    """Return the index of the column with the labels; messages name the ``option`` that chooses it."""
    usual = [name for name in LABEL_NAMES if name in names]
    usual = usual or [name for name in names if name.lower() in LABEL_NAMES]
    if labels is None:
        if len(usual) > 1:
            raise InputError(f"it has columns {usual[0]!r} and {usual[1]!r}: give {option}, the name of one")
        return names.index(usual[0]) if usual else len(names) - 1
    if labels in names:
        return names.index(labels)
    number = whole(labels)
    if number is not None:
        return column_index(number, len(names))
    near = difflib.get_close_matches(str(labels), names, n=1)
    likely = usual or names[-1:]
    likely_first = [*map(repr, likely), *(repr(name) for name in names if name not in likely)]
    hint = f"did you mean {near[0]!r}?" if near else f"it has {shortened(likely_first)}"
    raise InputError(f"it has no column {labels!r}: {hint}")


def _numbers(series: pl.Series, what: str, advice: str) -> np.ndarray:
    """Return a column as float64; InputError names the first value that is not a finite number."""
    import polars as pl

    numbers = series.str.strip_chars() if series.dtype == pl.String else series
    numbers = numbers.cast(pl.Float64, strict=False)
    if not numbers.null_count():
        values = numbers.to_numpy()
        bad = np.flatnonzero(~np.isfinite(values))
        if bad.size:
            value = values[bad[0]]
            row = bad[0] + 1
            raise InputError(f"it has {value:g} in {what}, row {row}: correct the value, or drop the row")
        return values
    row = numbers.is_null().arg_max() or 0
    if series[row] is None:
        cut = " (the last one: is the file cut off?)" if row == len(series) - 1 else ""
        raise InputError(f"it has no value in {what}, row {row + 1}{cut}: fill the gap, or drop the row")
    raise InputError(
        f"{what} holds text ({str(series[row])[:20]!r} in row {row + 1}): turn it into numbers, or {advice}"
    )


def column_index(number: int, count: int) -> int:
    """Return the index from 0 of one of ``count`` columns; negative numbers count from the end."""
    if not -count <= number < count:
        raise InputError(f"it has no column {number}: it has {count}, counted from 0")
    return number % count


def whole(label: Any) -> int | None:
    """Return a column number given as an integer or as its text, else None."""
    try:
        return int(label) if isinstance(label, int | np.integer | str) and label is not True else None
    except ValueError:
        return None
