"""Data files: one function that reads .npz, .npy, .csv and .parquet into an `Instance`.

It finds the labels, checks that all else is numbers, and says what is wrong with a file in one sentence.
Shapes, finite values, grids and normalisation are the business of `Instance.from_arrays`.
"""

from __future__ import annotations

import codecs
import csv
import difflib
import os
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from sterling.errors import InputError
from sterling.files import as_path, printable, unreadable
from sterling.instance import Instance
from sterling.memory import require_memory

if TYPE_CHECKING:
    import polars as pl

#: Columns that hold the labels unless the caller names another one.
LABEL_NAMES = ("label", "y")

_SEPARATORS = ",;\t"
_ANOTHER_COPY = "take another copy of it"
_NOT_UTF8 = "is not in UTF-8: save it again in that encoding"


class _Data(NamedTuple):
    inputs: np.ndarray
    labels: np.ndarray
    readout: np.ndarray | None = None
    teacher: np.ndarray | None = None
    label_name: str | None = None
    names: list[str] | None = None  # of the input columns, where the file has names


def load_data(
    path: str | os.PathLike,
    *,
    labels: str | int | None = None,
    normalize: str | None = None,
    readout: Sequence[float] | np.ndarray | None = None,
    precision: str = "int16",
    constant: str = "refuse",
) -> Instance:
    """Read a data file into an instance. The suffix of its name says what it is.

    ======== ==============================================================================================
    .npz     arrays ``inputs`` (N, n) or (N, m, n) and ``labels`` (N,), perhaps ``readout`` (m,) and
             ``teacher`` (n,); other arrays are left alone
    .npy     a table of numbers (N, n + 1); the last column holds the labels
    .csv     the same with a line of column names on top; separated by commas, semicolons or tabs
    .parquet the same as columns
    ======== ==============================================================================================

    Nothing is ever unpickled.

    Parameters
    ----------
    path : path
    labels : str or int, optional
        Column of the labels by name, or by number from 0 (negative: from the end); in an .npz file the name
        of their array. By default a column called "label" or "y", else the last one.
    normalize, precision, constant
        As in `Instance.from_arrays`.
    readout : m numbers, optional
        The readout v; by default the file's own, else ones.

    Returns
    -------
    Instance
        Its ``origin`` tells the file's name, the label column, the names of the inputs (if any) and the
        normalisation.

    Raises
    ------
    InputError
        For a file that is missing, empty, damaged or not what its name says, for columns that are not
        numbers or have gaps, and for what `Instance.from_arrays` refuses.
    CapacityError
        If the data do not fit into memory.
    """
    path = as_path(path)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(_READERS)
        what = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise InputError(f"{printable(path)} has {what}, which says nothing to sterling: known are {known}")
    if isinstance(readout, str):
        raise InputError(f"readout is {readout!r}; data files take the numbers themselves, one for each unit")
    data = reader(path, _checked_bytes(path), labels)
    origin: dict[str, Any] = {"file": path.name, "normalize": normalize}
    if data.label_name is not None:
        origin["labels"] = data.label_name
    if data.names is not None:
        origin["columns"] = data.names
    try:
        return Instance.from_arrays(
            data.inputs,
            data.labels,
            data.readout if readout is None else np.asarray(readout),
            data.teacher,
            normalize=normalize,
            precision=precision,
            constant=constant,
            origin=origin,
        )
    except InputError as problem:
        raise InputError(f"{path}: {_with_column(str(problem), data.names)}") from None


def _with_column(message: str, names: list[str] | None) -> str:
    """Add the column's name to a message that speaks of a feature by its number."""
    found = re.search(r"\bfeature (\d+)", message)
    if names is None or found is None or int(found[1]) >= len(names):
        return message
    return f"{message} (feature {found[1]} is column {names[int(found[1])]!r})"


def _checked_bytes(path: Path) -> bytes:
    """Return the file's first bytes; raise InputError if there is no such file or nothing in it."""
    reason = unreadable(path)
    if reason is not None:
        raise InputError(reason)
    try:
        size = path.stat().st_size
        with path.open("rb") as stream:
            first = stream.read(1 << 16)
    except OSError as problem:
        raise InputError(f"{path} cannot be read: {problem.strerror}") from None
    if not size:
        raise InputError(f"{path} is empty: {_ANOTHER_COPY}")
    require_memory(size, str(path))
    return first


def _damaged(path: Path, kind: str, problem: BaseException) -> InputError:
    reason = (str(problem) or type(problem).__name__).splitlines()[0].rstrip(".:")
    return InputError(f"{path} is a damaged or truncated {kind} ({reason}): {_ANOTHER_COPY}")


def _unlike(path: Path, kind: str) -> InputError:
    return InputError(f"{path} is no {kind}, whatever its name says: rename it, or save it again as one")


def _whole(label) -> int | None:
    """Return a column number given as an integer or as its text, else None."""
    if isinstance(label, int | np.integer) and not isinstance(label, bool):
        return int(label)
    return int(label) if isinstance(label, str) and re.fullmatch(r"-?\d{1,9}", label) else None


# .npz and .npy


def _read_npz(path: Path, first: bytes, labels) -> _Data:
    if not first.startswith(b"PK"):
        raise _unlike(path, "NumPy archive")
    name = "labels" if labels is None else labels
    if not isinstance(name, str):
        raise InputError(f"{path}: labels is {labels!r}; in an .npz file give the name of their array")
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as archive:
            for needed in ("inputs", name):
                if needed not in archive.files:
                    held = ", ".join(archive.files) or "nothing"
                    raise InputError(
                        f"{path} has no array {needed!r}, it holds {held}: save it under this name"
                    )
            wanted = ("inputs", name, "readout", "teacher")
            parts = [_plain(archive[key], path, key) if key in archive.files else None for key in wanted]
    except InputError:
        raise
    except (
        ValueError,
        OSError,
        EOFError,
        KeyError,
        MemoryError,
        zlib.error,
        zipfile.BadZipFile,
        SyntaxError,
    ) as problem:
        if "allow_pickle" in str(problem):
            raise _pickled(path) from None
        raise _damaged(path, "NumPy archive", problem) from None
    inputs, targets, readout, teacher = parts
    assert inputs is not None
    assert targets is not None
    return _Data(inputs, targets, readout, teacher, None if name == "labels" else name)


def _read_npy(path: Path, first: bytes, labels) -> _Data:
    if not first.startswith(b"\x93NUMPY"):
        raise _unlike(path, "NumPy array")
    try:
        table = np.load(path, allow_pickle=False)
    except (ValueError, OSError, EOFError, MemoryError, SyntaxError, TypeError) as problem:
        if "allow_pickle" in str(problem):
            raise _pickled(path) from None
        raise _damaged(path, "NumPy array", problem) from None
    table = _plain(table, path, "its table")
    if table.ndim != 2:
        raise InputError(
            f"{path} has shape {table.shape}; give a table of rows and columns, the labels in the last one, "
            "or an .npz file"
        )
    column = _column_number(path, labels, table.shape[1])
    return _Data(np.delete(table, column, axis=1), table[:, column], label_name=f"column {column}")


def _pickled(path: Path) -> InputError:
    return InputError(f"{path} holds pickled Python objects, which sterling never loads: save plain numbers")


def _plain(array: Any, path: Path, name: str) -> np.ndarray:
    if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
        kind = getattr(array, "dtype", type(array).__name__)
        raise InputError(f"{path}: {name} has type {kind}: save plain real numbers")
    return array


def _column_number(path: Path, labels, count: int) -> int:
    number = -1 if labels is None else _whole(labels)
    if number is None:
        raise InputError(f"{path} has no column names, so labels={labels!r} means nothing: give a number")
    if count < 2:
        raise InputError(f"{path} has {count} column, so no inputs beside the labels: give both")
    if not -count <= number < count:
        raise InputError(f"{path} has no column {number}: it has {count}, counted from 0")
    return number % count


# .csv and .parquet


def _read_csv(path: Path, first: bytes, labels) -> _Data:
    import polars as pl

    if b"\0" in first:
        raise InputError(
            f"{path} is no CSV file, or not in UTF-8: it holds binary data; save it again as CSV"
        )
    try:
        head = (codecs.getincrementaldecoder("utf-8-sig")().decode(first).splitlines() or [""])[0]
    except UnicodeDecodeError:
        raise InputError(f"{path} {_NOT_UTF8}") from None
    separator = max(_SEPARATORS, key=head.count)  # a comma where none occurs
    header = [name.strip() for name in next(csv.reader([head], delimiter=separator), [])]
    if header and all(map(_is_number, header)):
        raise InputError(f"{path} starts with numbers ({head[:30]!r}): put a line of column names on top")
    try:
        frame = pl.read_csv(path, separator=separator, infer_schema_length=None, glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as problem:
        raise InputError(f"{path} cannot be read as CSV: {_csv_reason(problem)}") from None
    while frame.height and frame.width > 1 and all(value is None for value in frame.row(-1)):
        frame = frame.head(-1)  # blank lines at the end
    return _split(path, frame, labels)


def _csv_reason(problem: BaseException) -> str:
    text = str(problem)
    if "more fields" in text:
        return "a row has more fields than the header; quote the values that hold a separator"
    if "utf-8" in text:
        return f"it {_NOT_UTF8}"
    if "not properly escaped" in text:
        return "a quotation mark is opened and never closed; is the file cut off?"
    return text.splitlines()[0].rstrip(".") + "; save it again as plain CSV"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path, first: bytes, labels) -> _Data:
    import polars as pl

    if not first.startswith(b"PAR1"):
        raise _unlike(path, "Parquet file")
    try:
        frame = pl.read_parquet(path, glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as problem:
        raise _damaged(path, "Parquet file", problem) from None
    return _split(path, frame, labels)


def _split(path: Path, frame: pl.DataFrame, labels) -> _Data:
    """Part the labels from the inputs, and turn both into numbers."""
    names = [name.strip() for name in frame.columns]
    if not frame.height:
        raise InputError(f"{path} has column names but no rows: {_ANOTHER_COPY}")
    column = _label_column(path, names, labels)
    numbers = [
        _numbers(path, series, name, is_label=index == column)
        for index, (series, name) in enumerate(zip(frame.iter_columns(), names, strict=True))
    ]
    targets = numbers.pop(column)
    label_name = names.pop(column)
    return _Data(np.stack(numbers, axis=1), targets, label_name=label_name, names=names)


def _label_column(path: Path, names: list[str], labels) -> int:
    if len(names) < 2:
        raise InputError(
            f"{path} has one column only, {names[0][:40]!r}: give inputs and labels, separated by commas, "
            "semicolons or tabs"
        )
    if labels is None:
        usual = [name for name in LABEL_NAMES if name in names]
        if len(usual) > 1:
            raise InputError(
                f"{path} has columns {usual[0]!r} and {usual[1]!r}: say which one holds the labels"
            )
        return names.index(usual[0]) if usual else len(names) - 1
    if labels in names:
        return names.index(labels)
    number = _whole(labels)
    if number is not None and -len(names) <= number < len(names):
        return number % len(names)
    if number is not None:
        raise InputError(f"{path} has no column {number}: it has {len(names)}, counted from 0")
    near = difflib.get_close_matches(str(labels), names, n=1)
    hint = f"did you mean {near[0]!r}?" if near else f"it has {_listed(names)}"
    raise InputError(f"{path} has no column {labels!r}: {hint}")


def _listed(names: list[str], most: int = 8) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(map(repr, names[:most])) + more


def _numbers(path: Path, series: pl.Series, name: str, is_label: bool) -> np.ndarray:
    """Return one column as float64, or say which value is none."""
    import polars as pl

    what = "the label column" if is_label else "column"
    if series.null_count():
        row = series.is_null().arg_max() or 0
        cut = " (the last one: is the file cut off?)" if row == len(series) - 1 else ""
        raise InputError(
            f"{path} has no value in {what} {name!r}, row {row + 1}{cut}: fill the gap or drop the row "
            f"({series.null_count()} missing in this column)"
        )
    if series.dtype == pl.String:
        cast = series.str.strip_chars().cast(pl.Float64, strict=False)
        if cast.null_count():
            raise _text(path, series, cast, what, name, is_label)
        return cast.to_numpy()
    if not (series.dtype.is_numeric() or series.dtype == pl.Boolean):
        raise InputError(f"{path}: {what} {name!r} has type {series.dtype}: turn it into numbers, or drop it")
    return series.cast(pl.Float64).to_numpy()


def _text(path: Path, series: pl.Series, cast: pl.Series, what: str, name: str, is_label: bool) -> InputError:
    row = cast.is_null().arg_max() or 0
    classes = series.unique(maintain_order=True)
    if is_label and len(classes) == 2:
        first, second = (repr(value[:20]) for value in sorted(classes))
        return InputError(
            f"{path}: the label column {name!r} holds {first} and {second}: map one to 0 and the other to 1"
        )
    advice = "map its values to numbers" if is_label else "turn it into numbers, or drop it"
    return InputError(f"{path}: {what} {name!r} holds text ({series[row][:20]!r} in row {row + 1}): {advice}")


_READERS = {".npz": _read_npz, ".npy": _read_npy, ".csv": _read_csv, ".parquet": _read_parquet}
