"""Data files: one function that reads .npz, .npy, .csv and .parquet into an `Instance`.

It finds the labels, checks that all else is numbers, and says what is wrong with a file in one sentence.
Shapes, finite values, grids and normalisation are the business of `Instance`.
"""

from __future__ import annotations

import codecs
import csv
import io
import os
import re
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from sterling.base.files import as_path, printable, unreadable
from sterling.base.resources import require_memory
from sterling.errors import InputError, RangeError
from sterling.model.columns import split, whole
from sterling.model.instance import Instance

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
        As in `Instance`.
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
        numbers or have gaps, and for what `Instance` refuses.
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
    origin: dict[str, Any] = {"file": printable(path.name), "normalize": normalize}
    if data.label_name is not None:
        origin["labels"] = data.label_name
    if data.names is not None:
        origin["columns"] = data.names
    try:
        return Instance(
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
        kind = RangeError if isinstance(problem, RangeError) else InputError
        raise kind(f"{path}: {_with_columns(str(problem), data)}") from None


def _with_columns(message: str, data: _Data) -> str:
    """Add the columns' names to a message that speaks of features by their numbers, or of the labels."""
    found = re.search(r"\bfeatures? (\d+)(?: and (\d+))?", message)
    told = []
    for number in filter(None, found.groups() if found and data.names else ()):
        if data.names and int(number) < len(data.names):
            told.append(f"feature {number} is column {data.names[int(number)]!r}")
    if not told and data.label_name is not None and re.match("(the )?labels ", message):
        told.append(f"the labels are {data.label_name!r}")
    return f"{message} ({', '.join(told)})" if told else message


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
    require_memory(size, printable(path))
    return first


def _damaged(path: Path, kind: str, problem: BaseException) -> InputError:
    reason = (str(problem) or type(problem).__name__).splitlines()[0].rstrip(".:")
    return InputError(f"{path} is a damaged or truncated {kind} ({reason}): {_ANOTHER_COPY}")


def _unlike(path: Path, kind: str) -> InputError:
    return InputError(f"{path} is no {kind}, whatever its name says: rename it, or save it again as one")


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
    number = -1 if labels is None else whole(labels)
    if number is None:
        raise InputError(f"{path} has no column names, so labels {labels!r} name none: give a number")
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
        frame = pl.read_csv(_source(path), separator=separator, infer_schema_length=None, glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as problem:
        raise InputError(f"{path} cannot be read as CSV: {_csv_reason(problem)}") from None
    while frame.height and frame.width > 1 and all(value is None for value in frame.row(-1)):
        frame = frame.head(-1)  # blank lines at the end
    return _Data(**split(path, frame, labels)._asdict())


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
        frame = pl.read_parquet(_source(path), glob=False)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as problem:
        raise _damaged(path, "Parquet file", problem) from None
    return _Data(**split(path, frame, labels)._asdict())


def _source(path: Path) -> Path | BinaryIO:
    """Return a path as Polars takes it: names that are no UTF-8 it does not."""
    try:
        os.fsencode(path).decode("utf-8")
    except UnicodeDecodeError:
        return io.BytesIO(path.read_bytes())
    return path


_READERS = {".npz": _read_npz, ".npy": _read_npy, ".csv": _read_csv, ".parquet": _read_parquet}
