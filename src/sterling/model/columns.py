"""The columns of a table: which one holds the labels, and numbers out of all of them."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sterling.errors import InputError

if TYPE_CHECKING:
    import polars as pl

#: Columns that hold the labels unless the caller names another one; in any case, if none is written so.
LABEL_NAMES = ("label", "y")


class Data(NamedTuple):
    """What a file holds."""

    inputs: np.ndarray
    labels: np.ndarray
    readout: np.ndarray | None = None
    teacher: np.ndarray | None = None
    label_name: str | None = None
    names: list[str] | None = None  # of the input columns, where the file has names
    numbered: bool = False  # whether a column without a name, left out here, numbers the rows


def split(frame: pl.DataFrame, labels) -> Data:
    """Part the labels from the inputs, and turn both into numbers."""
    names = [name.strip() for name in frame.columns]
    refuse_twins("it", names)
    if not frame.height:
        raise InputError("it has column names but no rows: take another copy of it")
    column = _label_column(names, labels)
    inputs, kept = [], []
    for index, (series, name) in enumerate(zip(frame.iter_columns(), names, strict=True)):
        if index == column or (not name and _is_row_number(series, index)):
            continue
        inputs.append(_numbers(series, f"column {name!r}"))
        kept.append(name)
    targets = _numbers(frame.to_series(column), f"the label column {names[column]!r}", is_label=True)
    if not inputs:
        raise InputError("it has no inputs beside the labels and the numbers of the rows: add some")
    numbered = len(kept) < len(names) - 1
    return Data(np.stack(inputs, axis=1), targets, label_name=names[column], names=kept, numbered=numbered)


def is_frame(table: Any) -> bool:
    """Whether a table is a frame of Polars or pandas, told by what it can do: neither need be there."""
    return hasattr(table, "columns") and hasattr(table, "to_numpy")


def from_frame(frame: Any) -> tuple[np.ndarray, tuple[str, ...]]:
    """Return the values of a frame of Polars or pandas as float64, and the names of its columns."""
    names = tuple(str(name).strip() for name in frame.columns)
    refuse_twins("the frame", names)
    columns = []
    for key, name in zip(frame.columns, names, strict=True):
        column = np.asarray(frame[key])
        if column.dtype.kind not in "biuf":
            raise InputError(
                f"column {name!r} of the inputs holds no real numbers: turn it into some, or drop it"
            )
        columns.append(column.astype(np.float64))
    return np.stack(columns, axis=1) if columns else np.empty((len(frame), 0)), names


def refuse_twins(what: str, names: Sequence[str]) -> None:
    """Refuse two columns of one name: the labels might be among the inputs."""
    twice = next((name for name, count in Counter(names).items() if count > 1), None)
    if twice is not None:
        told = f"named {twice!r}" if twice else "without a name"
        raise InputError(f"{what} has two columns {told}: rename one, or drop it")


def _is_row_number(series: pl.Series, index: int) -> bool:
    """Whether a column without a name only numbers the rows, as an index that a table was saved with does."""
    count = len(series)
    running = series.dtype.is_integer() and any(
        (series == np.arange(first, first + count)).all() for first in (0, 1)
    )
    if not running:
        raise InputError(f"it has a column without a name, column {index} from 0: name it, or drop it")
    return True


def _label_column(names: list[str], labels) -> int:
    if len(names) < 2:
        raise InputError(
            f"it has one column only, {names[0][:40]!r}: give inputs and labels, separated by commas, "
            "semicolons or tabs"
        )
    if labels is None:
        usual = [name for name in LABEL_NAMES if name in names]
        usual = usual or [name for name in names if name.lower() in LABEL_NAMES]
        if len(usual) > 1:
            raise InputError(f"it has columns {usual[0]!r} and {usual[1]!r}: say which one holds the labels")
        return names.index(usual[0]) if usual else len(names) - 1
    if labels in names:
        return names.index(labels)
    number = whole(labels)
    if number is not None:
        return place(number, len(names))
    near = difflib.get_close_matches(str(labels), names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {_listed(names)}"
    raise InputError(f"it has no column {labels!r}: {hint}")


def _listed(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def _numbers(series: pl.Series, what: str, is_label: bool = False) -> np.ndarray:
    """Return one column as float64, or say which value is none."""
    import polars as pl

    if series.null_count():
        row = series.is_null().arg_max() or 0
        cut = " (the last one: is the file cut off?)" if row == len(series) - 1 else ""
        raise InputError(
            f"it has no value in {what}, row {row + 1}{cut}: fill the gap or drop the row "
            f"({series.null_count()} missing in this column)"
        )
    if series.dtype == pl.String:
        cast = series.str.strip_chars().cast(pl.Float64, strict=False)
        if cast.null_count():
            raise _text(series, cast, what, is_label)
        series = cast
    if not (series.dtype.is_numeric() or series.dtype == pl.Boolean):
        raise InputError(f"{what} has type {series.dtype}: turn it into numbers, or drop it")
    values = series.cast(pl.Float64).to_numpy()
    bad = np.flatnonzero(~np.isfinite(values))
    if bad.size:
        raise InputError(
            f"it has {values[bad[0]]:g} in {what}, row {bad[0] + 1}: clean or drop the row "
            f"({bad.size} such in this column)"
        )
    return values


def _text(series: pl.Series, cast: pl.Series, what: str, is_label: bool) -> InputError:
    row, advice = cast.is_null().arg_max() or 0, "turn it into numbers, or drop it"
    if is_label:
        classes, advice = series.unique(maintain_order=True), "map its values to numbers"
        if len(classes) == 2:
            first, second = (repr(value[:20]) for value in sorted(classes))
            return InputError(f"{what} holds {first} and {second}: map one to 0 and the other to 1")
    return InputError(f"{what} holds text ({series[row][:20]!r} in row {row + 1}): {advice}")


def place(number: int, count: int) -> int:
    """Return the place of a column out of so many, from 0; negative numbers count from the end."""
    if not -count <= number < count:
        raise InputError(f"it has no column {number}: it has {count}, counted from 0")
    return number % count


def whole(label) -> int | None:
    """Return a column number given as an integer or as its text, else None."""
    if isinstance(label, int | np.integer) and not isinstance(label, bool):
        return int(label)
    return int(label) if isinstance(label, str) and re.fullmatch(r"-?\d{1,9}", label) else None
