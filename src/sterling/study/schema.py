"""The columns of a shard, and the checks that a file must pass before its rows are believed."""

from __future__ import annotations

import io
import re
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path

import polars as pl

from sterling.dynamics.orbit import Verdict
from sterling.errors import SterlingError, StoreError
from sterling.study.trial import CELL_COLUMNS, COLUMNS, RESULT_COLUMNS, SEMANTICS, Cell, Row

FORMAT = "sterling-study-1"

VERDICTS = pl.Enum([verdict.name for verdict in Verdict])

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
        "landscape": pl.Boolean(),
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
        "trap_free": pl.Boolean(),
        "seconds": pl.Float64(),
        "version": pl.String(),
        "semantics": pl.Int32(),
    }
)
assert tuple(SCHEMA.names()) == COLUMNS

#: Columns that shards of earlier versions lack, and what stands there for their rows.
_ADDED = {"landscape": False, "trap_free": None}
_EARLIER = {name: kind for name, kind in SCHEMA.items() if name not in _ADDED}

#: In memory, columns of few values are dictionaries.
_CATEGORIES = ("cell", "readout", "inputs", "normalize", "schedule", "surrogate", "version")

_GROUP = 1 << 15  # rows of a Parquet row group; readers hold a few at a time

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
    stored.write_parquet(stream, row_group_size=_GROUP, metadata={"format": FORMAT, "study": identity})
    data = stream.getvalue()
    return f"trials-{len(stored)}-{_digest(data)}.parquet", data


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def open_shard(path: Path, identity: str) -> bytes:
    """Return the bytes of a shard, once its name, digest, format, study and columns are as they must be.

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
        schema = pl.read_parquet_schema(io.BytesIO(data))
    except pl.exceptions.PolarsError as problem:
        raise StoreError(f"{path.name} cannot be read: {problem}") from None
    if metadata.get("format") != FORMAT:
        raise StoreError(f"{path.name} has the format {metadata.get('format')!r}, not {FORMAT!r}")
    if metadata.get("study") != identity:
        raise StoreError(f"{path.name} belongs to a study with another seed or another semantics version")
    if dict(schema) not in (dict(SCHEMA), _EARLIER):
        raise StoreError(f"{path.name} has other columns than a shard of {FORMAT}")
    return data


def read_columns(data: bytes, columns: Iterable[str]) -> pl.DataFrame:
    """Return columns of a shard's rows, texts as categories."""
    names = list(columns)
    # The streaming engine turns texts into categories group by group, which saves most of the memory.
    return _scan(data).select(map(_narrow, names)).collect(engine="streaming")


def read_cells(data: bytes) -> pl.DataFrame:
    """Return one row for each cell of a shard: what describes it."""
    rows = _scan(data).select("cell", *CELL_COLUMNS, "semantics")
    return rows.unique().collect(engine="streaming")


def _scan(data: bytes) -> pl.LazyFrame:
    """Return the rows of a shard, those of an earlier version with the columns that it lacks."""
    rows = pl.scan_parquet(io.BytesIO(data))
    held = pl.read_parquet_schema(io.BytesIO(data))
    lacking = {name: value for name, value in _ADDED.items() if name not in held}
    return rows.with_columns(pl.lit(value, SCHEMA[name]).alias(name) for name, value in lacking.items())


def _narrow(name: str) -> pl.Expr:
    if name in _CATEGORIES:
        return pl.col(name).cast(pl.Categorical)
    return pl.col(name).cast(VERDICTS) if name == "verdict" else pl.col(name)


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
    cell = pl.col("cell").cast(pl.Categorical).to_physical().cast(pl.UInt64)
    twice = frame.select((cell * 2**40 + pl.col("trial").cast(pl.UInt64)).is_duplicated()).to_series()
    if not twice.any():
        return frame
    repeated = frame.filter(twice)
    measured = [name for name in (*RESULT_COLUMNS, "outcome") if name in frame.columns]
    if repeated.n_unique(["cell", "trial", *measured]) != repeated.n_unique(["cell", "trial"]):
        raise StoreError(_contradiction(repeated, measured))
    rest = [name for name in frame.columns if name not in ("cell", "trial")]
    if rest:
        repeated = repeated.sort(*rest, nulls_last=False)
    kept = repeated.unique(["cell", "trial"], keep="first", maintain_order=True)
    return pl.concat([frame.filter(~twice), kept])


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
    for row in frame.select("cell", *CELL_COLUMNS, "semantics").unique().iter_rows(named=True):
        try:
            key = Cell.from_content(row).key
        except (SterlingError, ValueError, TypeError) as problem:
            raise StoreError(f"the cell {row['cell']} is described by impossible values: {problem}") from None
        if key != row["cell"] or row["semantics"] != SEMANTICS:
            raise StoreError(f"the cell {row['cell']} is not what its columns say: its rows were altered")
