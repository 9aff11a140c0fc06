"""Data files: one function that reads .npz, .npy, .csv and .parquet into an `Instance`.

It finds the labels, checks that all else is numbers, and says what is wrong with a file in one sentence.
Shapes, finite values, grids and normalisation are the business of `Instance`.
"""

from __future__ import annotations

import codecs
import io
import math
import mmap
import os
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import numpy as np

from sterling.base.files import as_path, printable, unreadable
from sterling.base.parquet import weigh
from sterling.base.resources import require_memory
from sterling.base.text import counted
from sterling.errors import InputError, RangeError, SterlingError, SterlingWarning
from sterling.model.columns import Data, place, refuse_twins, split, whole
from sterling.model.instance import Instance
from sterling.model.normalise import Normalizer, check_normalize, told

_SEPARATORS = ",;\t"
_HEADERS = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
_ENTRY_BYTES = 28  # that a number takes at the peak: as read, as float64 twice, and as a code
_ANOTHER_COPY = "take another copy of it"
_NOT_UTF8 = "is not in UTF-8: save it again in that encoding"


def load_data(
    path: str | os.PathLike,
    *,
    labels: str | int | None = None,
    normalize: str | Normalizer | None = None,
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
        The file.
    labels : str or int, optional
        Column of the labels by name, or by number from 0 (negative: from the end); in an .npz file the name
        of their array. By default a column called "label" or "y", else the last one.
    normalize : None, "standard", "whiten" or Normalizer
        As in `Instance`, and so are ``precision`` and ``constant``.
    readout : m numbers, optional
        The readout v; by default the file's own, else ones.
    precision : "int16" or "int32"
        Width of the stored codes.
    constant : "refuse" or "keep"
        What to do with a column that has one value.

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
        If the data do not fit into memory; what a file claims is looked at before it is read.

    Examples
    --------
    >>> import sterling as st
    >>> from pathlib import Path
    >>> _ = Path("cells.csv").write_text("size,round,label\\n0.5,1,1\\n2,-1,0\\n1,0.5,1\\n")
    >>> instance = st.load_data("cells.csv", normalize="standard")
    >>> instance.feature_names
    ('size', 'round')
    """
    path = as_path(path)
    name, reason = printable(path), unreadable(path)
    if reason is not None:
        raise InputError(reason)
    reader = _READERS.get(path.suffix.lower())
    if reader is None:
        known = ", ".join(_READERS)
        what = f"the suffix {path.suffix!r}" if path.suffix else "no suffix"
        raise InputError(f"{name} has {what}, which says nothing to sterling: known are {known}")
    if isinstance(readout, str):
        raise InputError(f"readout is {readout!r}; data files take the numbers themselves, one for each unit")
    origin: dict[str, Any] = {"file": printable(path.name), "normalize": told(check_normalize(normalize))}
    try:
        data = reader(path, labels)
        if data.numbered:
            text = f"{name} has a column without a name that numbers its rows: it is left out"
            warnings.warn(text, SterlingWarning, stacklevel=2)
        if data.label_name is not None:
            origin["labels"] = data.label_name
        if data.names is not None:
            origin["columns"] = data.names
        return Instance(
            data.inputs,
            data.labels,
            data.readout if readout is None else readout,
            data.teacher,
            normalize=normalize,
            precision=precision,
            constant=constant,
            origin=origin,
        )
    except InputError as problem:
        kind = RangeError if isinstance(problem, RangeError) else InputError
        raise kind(f"{name}: {_with_columns(problem, origin)}", about=problem.about) from None


def _with_columns(problem: InputError, origin: dict[str, Any]) -> str:
    """Return a message with the names of the columns that it speaks of."""
    told = []
    for what in problem.about:
        if what == "labels" and "labels" in origin:
            told.append(f"the labels are {origin['labels']!r}")
        elif isinstance(what, int) and "columns" in origin:
            told.append(f"feature {what} is column {origin['columns'][what]!r}")
    return f"{problem} ({', '.join(told)})" if told else str(problem)


def _check_start(path: Path, start: bytes, kind: str) -> None:
    """Refuse a file of nothing, or of another kind."""
    with path.open("rb") as file:
        found = file.read(max(1, len(start)))
    if not found:
        raise InputError(f"it is empty: {_ANOTHER_COPY}")
    if not found.startswith(start):
        raise _unlike(kind)


def _damaged(kind: str, problem: BaseException | str) -> InputError:
    reason = (str(problem) or type(problem).__name__).splitlines()[0].rstrip(".:")
    return InputError(f"it is a damaged or truncated {kind} ({reason}): {_ANOTHER_COPY}")


def _unlike(kind: str) -> InputError:
    return InputError(f"it is no {kind}, whatever its name says: rename it, or save it again as one")


# .npz and .npy


def _read_npz(path: Path, labels) -> Data:
    name = "labels" if labels is None else labels
    if not isinstance(name, str):
        raise InputError(f"labels is {labels!r}; in an .npz file give the name of their array")
    _check_start(path, b"PK", "NumPy archive")
    with _strict("NumPy archive"), zipfile.ZipFile(path) as archive:
        held = [info.filename.removesuffix(".npy") for info in archive.infolist()]
        parts = []
        for key in ("inputs", name, "readout", "teacher"):
            if held.count(key) == 1:
                info = archive.infolist()[held.index(key)]
                if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
                    raise NotImplementedError("its compression method is not one of NumPy's")
                with archive.open(info) as stream:
                    parts.append(_read_array(stream, info.file_size, path, f"the array {key!r}"))
            elif key in held:
                raise InputError(f"it has two arrays {key!r}: {_ANOTHER_COPY}")
            elif key in ("inputs", name):
                there = ", ".join(map(printable, held)) or "nothing"
                raise InputError(f"it has no array {key!r}, it holds {there}: save it under this name")
            else:
                parts.append(None)
    return Data(*parts, label_name=None if name == "labels" else name)


def _read_npy(path: Path, labels) -> Data:
    _check_start(path, b"\x93NUMPY", "NumPy array")
    with _strict("NumPy array"), path.open("rb") as file:
        table = _read_array(file, path.stat().st_size, path, "the table")
    if table.ndim != 2:
        raise InputError(f"it has shape {table.shape}; give a table with the labels in its last column")
    column = _column_number(labels, table.shape[1])
    return Data(np.delete(table, column, axis=1), table[:, column], label_name=f"column {column}")


@contextmanager
def _strict(kind: str) -> Iterator[None]:
    """Turn whatever a reader of damaged bytes raises into one sentence."""
    try:
        yield
    except SterlingError:
        raise
    except Exception as problem:  # ten kinds are known, from tokenize.TokenError to NotImplementedError
        raise _damaged(kind, problem) from None


def _read_array(stream: IO[bytes], size: int, path: Path, name: str) -> np.ndarray:
    """Read an array of plain numbers from ``size`` bytes, in the format of NumPy.

    What its header claims is held against the size, and the size against the memory, before it is read.
    """
    version = np.lib.format.read_magic(stream)
    if version not in _HEADERS:
        raise _damaged("NumPy array", f"its header is of version {version[0]}")
    shape, by_column, dtype = _HEADERS[version](stream)
    if dtype.hasobject:
        raise InputError("it holds pickled Python objects, which sterling never loads: save plain numbers")
    if dtype.kind not in "biuf":
        raise InputError(f"{name} has type {dtype}: save plain real numbers")
    count, left = math.prod(shape), size - stream.tell()
    if min(shape, default=0) < 0 or count * dtype.itemsize != left:
        raise _damaged("NumPy array", f"it holds {left:,} bytes for an array of shape {shape}")
    require_memory(count * (2 * dtype.itemsize + _ENTRY_BYTES), printable(path))
    data = stream.read(left)
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if by_column else "C")
    if stream.read(1):  # reads to the end, where the checksum of a zip member is looked at
        raise _damaged("NumPy array", "there is more in it")
    return array


def _column_number(labels, count: int) -> int:
    number = -1 if labels is None else whole(labels)
    if number is None:
        raise InputError(f"it has no column names, so labels={labels!r} means nothing: give a number")
    if count < 2:
        raise InputError(f"it has {counted(count, 'column')}, so no inputs beside the labels: give both")
    return place(number, count)


# .csv and .parquet


def _source(path: Path) -> Path | io.BytesIO:
    """Return what Polars can read: it takes no names that are not UTF-8."""
    return path if printable(path) == str(path) else io.BytesIO(path.read_bytes())


def _read_csv(path: Path, labels) -> Data:
    import polars as pl

    size = path.stat().st_size
    require_memory(size, printable(path))
    with path.open("rb") as file:
        first = file.read(1 << 16)
    if b"\0" in first:
        raise InputError("it is no CSV file, or not in UTF-8: it holds binary data; save it again as CSV")
    try:
        text = codecs.getincrementaldecoder("utf-8-sig")().decode(first)
    except UnicodeDecodeError:
        raise InputError(f"it {_NOT_UTF8}") from None
    if not text.strip():
        raise InputError(f"it is empty: {_ANOTHER_COPY}")
    if text.lstrip()[:1] in ("<", "{", "["):
        raise _unlike("CSV file")
    if "\r" in text and "\n" not in text:
        raise InputError("it ends its lines with carriage returns alone: save it again with line feeds")
    head = (text.splitlines() or [""])[0]
    separator = max(_SEPARATORS, key=head.count)  # a comma where none occurs
    fields = (text.count(separator) + text.count("\n") + 1) / len(text)  # a byte
    require_memory(int(size * (1 + _ENTRY_BYTES * fields)), printable(path))
    options: dict[str, Any] = {"separator": separator, "glob": False}
    try:
        top = pl.read_csv(_source(path), has_header=False, n_rows=1, infer_schema=False, **options)
        header = [(name or "").strip() for name in top.row(0)] if top.height else []
        if header and all(map(_is_number, header)):
            raise InputError(f"it starts with numbers ({head[:30]!r}): put a line of column names on top")
        refuse_twins("it", header)
        frame = pl.read_csv(_source(path), infer_schema_length=None, **options)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as problem:
        raise InputError(f"it cannot be read as CSV: {_csv_reason(problem)}") from None
    while frame.height and frame.width > 1 and all(value is None for value in frame.row(-1)):
        frame = frame.head(-1)  # blank lines at the end
    return split(frame, labels)


def _csv_reason(problem: BaseException) -> str:
    text = str(problem)
    if "more fields" in text:
        return "a row has more fields than the header; quote the values that hold a separator"
    if "utf-8" in text:
        return f"it {_NOT_UTF8}"
    if "not properly escaped" in text:
        return "a quotation mark is opened and never closed; is the file cut off?"
    return (text or "it is empty").splitlines()[0].rstrip(".") + "; save it again as plain CSV"


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _read_parquet(path: Path, labels) -> Data:
    import polars as pl

    _check_start(path, b"PAR1", "Parquet file")
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            weight = weigh(data)
    except ValueError as problem:
        raise _damaged("Parquet file", problem) from None
    require_memory(max(path.stat().st_size, weight), printable(path))
    try:
        lazy = pl.scan_parquet(_source(path), glob=False)
        schema, rows = lazy.collect_schema(), lazy.select(pl.len()).collect().item()
        for name, kind in schema.items():
            if kind.is_nested():  # its size is told nowhere beforehand
                raise InputError(f"column {name!r} has type {kind}: turn it into numbers, or drop it")
        require_memory(rows * len(schema) * _ENTRY_BYTES, printable(path))
        frame = pl.read_parquet(_source(path), glob=False)
    except SterlingError:
        raise
    except (Exception, pl.exceptions.PanicException) as problem:
        raise _damaged("Parquet file", problem) from None
    return split(frame, labels)


_READERS = {".npz": _read_npz, ".npy": _read_npy, ".csv": _read_csv, ".parquet": _read_parquet}
