"""The columns of a shard, and the checks that a file must pass before its rows are believed."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import polars as pl

from sterling.errors import SterlingError, StoreError
from sterling.study.trial import CELL_COLUMNS, COLUMNS, RESULT_COLUMNS, SEMANTICS, Cell, Row

FORMAT = "sterling-study-1"

VERDICTS = pl.Enum(["OPTIMAL", "TRAPPED", "RECURRENT", "WANDERING", "STALLED"])

SCHEMA = pl.Schema(
    {
        "cell": pl.String(),
        "trial": pl.Int64(),
        "seed": pl.Int64(),
        "n": pl.Int32(),
        "samples": pl.Int64(),
        "m": pl.Int32(),
        "noise": pl.Float64(),
        "readout": pl.String(),
        "inputs": pl.String(),
        "normalize": pl.String(),
        "schedule": pl.String(),
        "surrogate": pl.String(),
        "steps": pl.Int64(),
        "verdict": pl.String(),
        "certified": pl.Boolean(),
        "errors": pl.Int32(),
        "ergodic_errors": pl.Int32(),
        "occupancy": pl.Float64(),
        "visits": pl.Int64(),
        "first_hit": pl.Int64(),
        "events": pl.Int64(),
        "states": pl.Int64(),
        "passes": pl.Float64(),
        "seconds": pl.Float64(),
        "version": pl.String(),
        "semantics": pl.Int32(),
    }
)
assert tuple(SCHEMA.names()) == COLUMNS

#: In memory, columns of few values are dictionaries.
_CATEGORIES = ("cell", "readout", "inputs", "normalize", "schedule", "surrogate", "version")

_NAME = re.compile(r"trials-(?P<rows>\d+)-(?P<digest>[0-9a-f]{32})\.parquet")


def is_shard_name(name: str) -> bool:
    """Whether a file of this name is one of ours."""
    return _NAME.fullmatch(name) is not None


def rows_in_name(name: str) -> int:
    """Return the number of rows that a shard's name states."""
    match = _NAME.fullmatch(name)
    return int(match["rows"]) if match else 0


def frame_of(rows: Iterable[Row]) -> pl.DataFrame:
    """Return rows of trials as a frame of the shard's schema."""
    return pl.DataFrame(list(rows), schema=SCHEMA, orient="row")


def encode(frame: pl.DataFrame, identity: str) -> tuple[str, bytes]:
    """Return the name and the bytes of a shard; the name holds the digest of the bytes.

    Rows are put in the order of their trials, so equal rows give equal files.
    """
    stored = frame.select(pl.col(name).cast(kind) for name, kind in SCHEMA.items()).sort(*COLUMNS)
    stream = io.BytesIO()
    stored.write_parquet(stream, compression="zstd", metadata={"format": FORMAT, "study": identity})
    data = stream.getvalue()
    return f"trials-{len(stored)}-{_digest(data)}.parquet", data


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def decode(path: Path, identity: str, columns: Iterable[str] | None = None) -> pl.DataFrame:
    """Return the rows of a shard, text columns as categories.

    Raises
    ------
    StoreError
        If the file is damaged, cut off, no shard, or of another study; the message says which.
    FileNotFoundError
        If it is gone: another process has merged it into a larger one.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise StoreError(f"{path.name} is no shard of a study")
    data = path.read_bytes()
    if _digest(data) != match["digest"]:
        raise StoreError(
            f"{path.name} is damaged or cut off ({len(data):,} bytes, and not those once written)"
        )
    try:
        metadata = pl.read_parquet_metadata(io.BytesIO(data))
        if metadata.get("format") != FORMAT:
            raise StoreError(f"{path.name} has the format {metadata.get('format')!r}, not {FORMAT!r}")
        if metadata.get("study") != identity:
            raise StoreError(f"{path.name} belongs to a study with another seed or another semantics version")
        names = list(COLUMNS if columns is None else columns)
        frame = pl.read_parquet(io.BytesIO(data), columns=names)
    except (pl.exceptions.PolarsError, OSError) as problem:
        if isinstance(problem, StoreError):
            raise
        raise StoreError(f"{path.name} cannot be read: {problem}") from None
    wanted = {name: SCHEMA[name] for name in names}
    if dict(frame.schema) != wanted:
        raise StoreError(f"{path.name} has other columns than a shard of {FORMAT}")
    if len(frame) != int(match["rows"]):
        raise StoreError(f"{path.name} holds {len(frame)} rows")
    return frame.with_columns(
        *(pl.col(name).cast(pl.Categorical) for name in names if name in _CATEGORIES),
        *(pl.col(name).cast(VERDICTS) for name in names if name == "verdict"),
    )


def merge(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Return the rows of several frames, each trial once.

    Of a trial that was run twice the smaller row stays (they differ in seconds only), so the result does
    not depend on the order of the frames.

    Raises
    ------
    StoreError
        If two rows of one trial differ in what was measured.
    """
    frame = pl.concat(frames) if len(frames) != 1 else frames[0]
    if len(frames) < 2 and frame.n_unique(["cell", "trial"]) == len(frame):
        return frame
    repeated = frame.filter(pl.struct("cell", "trial").is_duplicated())
    if repeated.is_empty():
        return frame
    measured = [name for name in RESULT_COLUMNS if name in frame.columns]
    if repeated.n_unique(["cell", "trial", *measured]) != repeated.n_unique(["cell", "trial"]):
        raise StoreError(_contradiction(repeated, measured))
    rest = [name for name in frame.columns if name not in ("cell", "trial")]
    kept = repeated.sort(*rest, nulls_last=False).unique(["cell", "trial"], keep="first", maintain_order=True)
    return pl.concat([frame.filter(~pl.struct("cell", "trial").is_duplicated()), kept])


def _contradiction(repeated: pl.DataFrame, measured: list[str]) -> str:
    groups = repeated.group_by("cell", "trial", maintain_order=True).agg(pl.col(measured).n_unique())
    bad = groups.filter(pl.max_horizontal(measured) > 1).row(0, named=True)
    names = ", ".join(name for name in measured if bad[name] > 1)
    return (
        f"two rows of the trial {bad['cell']}-{bad['trial']} differ in {names}: one of them was made by an "
        "altered program; remove the shards of one program"
    )


def check_cells(frame: pl.DataFrame) -> None:
    """Raise StoreError unless each cell's hash is that of the columns which describe it."""
    cells = frame.select("cell", *CELL_COLUMNS, "semantics").unique()
    for row in cells.iter_rows(named=True):
        try:
            key = Cell.from_content(row).key
        except (SterlingError, ValueError, TypeError) as problem:
            raise StoreError(f"the cell {row['cell']} is described by impossible values: {problem}") from None
        if key != row["cell"] or row["semantics"] != SEMANTICS:
            raise StoreError(f"the cell {row['cell']} is not what its columns say: its rows were altered")
