"""Data files: one function that reads .npz, .npy, .csv and .parquet into an `Instance`.

`columns.py` finds the labels; `Instance` checks shapes and values, rounds, and normalises.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from sterling.base.files import as_path, printable, unreadable
from sterling.base.resources import require_memory
from sterling.errors import InputError, RangeError, SterlingError
from sterling.model.columns import Data, column_index, refuse_twins, split, whole
from sterling.model.instance import Instance
from sterling.model.normalise import check_normalize

if TYPE_CHECKING:
    import polars as pl

_SEPARATORS = ",;\t"
_ENTRY_BYTES = 28  # memory of a number at the peak: as read, as float64 twice, and as a code
_STARTS = {".npz": b"PK", ".npy": b"\x93NUMPY", ".parquet": b"PAR1"}


def load_data(path: str | os.PathLike, *, labels: str | int | None = None, **options: Any) -> Instance:
    """Read a data file into an instance. The suffix of the file's name gives the format.

    ======== ==============================================================================================
    .npz     arrays ``inputs`` (N, n) or (N, m, n) and ``labels`` (N,), optionally ``readout`` (m,) and
             ``teacher`` (n,); other arrays are ignored
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
    **options
        As in `Instance`: normalize, readout (by default the one in the file, else ones), precision, constant,
        levels.

    Returns
    -------
    Instance
        Its ``origin`` holds the file's name, the label column, the names of the inputs (if any) and the
        normalisation.

    Raises
    ------
    InputError
        If the file is missing, empty, damaged or not in the format of its suffix, if a column is not numeric
        or has gaps, or if `Instance` refuses the data.
    CapacityError
        If the data do not fit into memory. The size is estimated before the data are read.

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
    reason = unreadable(path)
    if reason is not None:
        raise InputError(reason)
    name, suffix = printable(path), path.suffix.lower()
    if suffix not in _READERS:
        raise InputError(f"{name}: unsupported file type {suffix!r}: use .npz, .npy, .csv or .parquet")
    normalize = check_normalize(options.get("normalize"))
    origin: dict[str, Any] = {"file": printable(path.name), "normalize": normalize}
    try:
        with path.open("rb") as file:
            start = file.read(8)
        if not start:
            raise InputError("the file is empty")
        if not start.startswith(_STARTS.get(suffix, b"")):
            raise InputError(f"it is not a {suffix} file, in spite of its name")
        data = _read(path, suffix, labels)
        if data.label_name is not None:
            origin["labels"] = data.label_name
        if data.names is not None:
            origin["columns"] = data.names
        if options.get("readout") is None:
            options["readout"] = data.readout
        return Instance(data.inputs, data.labels, teacher=data.teacher, origin=origin, **options)
    except InputError as problem:
        kind = RangeError if isinstance(problem, RangeError) else InputError
        raise kind(f"{name}: {problem}{_columns_of(problem, origin)}", about=problem.about) from None


def _columns_of(problem: InputError, origin: dict[str, Any]) -> str:
    """Return the names of the columns in a message, in brackets."""
    names = []
    for what in problem.about:
        if what == "labels" and "labels" in origin:
            names.append(f"the labels are {origin['labels']!r}")
        elif isinstance(what, int) and "columns" in origin:
            names.append(f"feature {what} is column {origin['columns'][what]!r}")
    return f" ({', '.join(names)})" if names else ""


def _read(path: Path, suffix: str, labels) -> Data:
    """Return the content of a file; a damaged one raises many kinds of errors."""
    import polars as pl

    try:
        return _READERS[suffix](path, labels)
    except SterlingError:
        raise
    except (Exception, pl.exceptions.PanicException) as problem:
        reason = (str(problem) or type(problem).__name__).splitlines()[0].rstrip(".:")
        if isinstance(problem, pl.exceptions.PanicException):
            reason = "it is damaged"
        raise InputError(f"it cannot be read as a {suffix} file: {reason}") from None


def _read_npz(path: Path, labels) -> Data:
    name = "labels" if labels is None else labels
    if not isinstance(name, str):
        raise InputError(f"labels is {labels!r}; for an .npz file give the name of their array")
    with path.open("rb") as stream, np.load(stream, allow_pickle=False) as archive:
        for key in ("inputs", name):
            if key not in archive.files:
                raise InputError(f"it has no array {key!r}; it has {', '.join(archive.files) or 'none'}")
        require_memory(sum(info.file_size for info in archive.zip.infolist()), printable(path))
        parts = [archive.get(key) for key in ("inputs", name, "readout", "teacher")]
    return Data(*parts, label_name=None if name == "labels" else name)


def _read_npy(path: Path, labels) -> Data:
    table = np.load(path, mmap_mode="r", allow_pickle=False)
    if table.ndim != 2 or table.shape[1] < 2:
        raise InputError(f"it has shape {table.shape}; give a table of inputs, with the labels in a column")
    number = -1 if labels is None else whole(labels)
    if number is None:
        raise InputError(f"it has no column names, and labels is {labels!r}: give a number")
    require_memory(table.size * (table.itemsize + _ENTRY_BYTES), printable(path))
    column = column_index(number, table.shape[1])
    return Data(np.delete(table, column, axis=1), table[:, column], label_name=f"column {column}")


def csv_frame(path: Path, *, texts: bool = False) -> pl.DataFrame:
    """Return the columns of a CSV file, with types that follow from all values, or as texts."""
    import polars as pl

    size = path.stat().st_size
    with path.open("rb") as file:
        text = file.read(1 << 16).decode("utf-8-sig", errors="replace")
    if "\0" in text:
        raise InputError("it is not CSV in UTF-8 but binary data")
    separator = max(_SEPARATORS, key=text.partition("\n")[0].count)  # a comma where none occurs
    entries = size * (text.count(separator) + text.count("\n") + 1) / (len(text) or 1)
    require_memory(size + int(_ENTRY_BYTES * entries), printable(path))
    source = path if printable(path) == str(path) else path.read_bytes()  # Polars takes UTF-8 names only
    try:
        frame = pl.read_csv(
            source, separator=separator, glob=False, infer_schema_length=None, infer_schema=not texts
        )
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError) as problem:
        raise InputError(f"it cannot be read as CSV: {_csv_reason(str(problem))}") from None
    if not pl.Series(frame.columns).cast(pl.Float64, strict=False).null_count():
        raise InputError(f"it starts with numbers ({frame.columns[:8]}): put a line of column names on top")
    refuse_twins([name.partition("_duplicated_")[0] for name in frame.columns])  # as Polars marks them
    while frame.height and frame.width > 1 and all(value is None for value in frame.row(-1)):
        frame = frame.head(-1)  # blank lines at the end
    return frame


def _csv_reason(text: str) -> str:
    if "more fields" in text:
        return "a row has more fields than the header; quote the values that hold a separator"
    if "utf-8" in text:
        return "it is not in UTF-8; save it again in that encoding"
    if "not properly escaped" in text:
        return "a quotation mark is opened and never closed; is the file cut off?"
    return (text or "it is empty").splitlines()[0].rstrip(".") + "; save it again as plain CSV"


def _read_parquet(path: Path, labels) -> Data:
    import polars as pl

    with _silent():
        lazy = pl.scan_parquet(path, glob=False)
        schema, rows = lazy.collect_schema(), lazy.select(pl.len()).collect().item()
    for name, kind in schema.items():  # a repeated text may take few bytes in the file and fill the memory
        if not (kind.is_numeric() or kind == pl.Boolean):
            raise InputError(f"column {name!r} has type {kind}: turn it into numbers, or drop it")
    require_memory(rows * len(schema) * _ENTRY_BYTES, printable(path))
    with _silent():
        frame = lazy.collect()
    return split(frame, labels)


@contextmanager
def _silent() -> Iterator[None]:
    """Keep off stderr what Polars prints there on damaged files, besides its exception."""
    try:
        kept = os.dup(2)
    except OSError:  # closed by the caller
        yield
        return
    try:
        with open(os.devnull, "w") as nowhere:
            os.dup2(nowhere.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


_READERS = {
    ".npz": _read_npz,
    ".npy": _read_npy,
    ".csv": lambda path, labels: split(csv_frame(path), labels),
    ".parquet": _read_parquet,
}
