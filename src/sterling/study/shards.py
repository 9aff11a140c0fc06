"""Shards: what a file of rows looks like, and the checks that it must pass before its rows are believed.

A shard holds trials of one kind: the canonical JSON of the cell, the trial's number, what the kind measures,
seconds and the version of the program. In memory the cell is named by its hash.
"""

from __future__ import annotations

import io
import json
import os
import re
import stat
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import Any

import polars as pl

from sterling.base.parquet import weigh
from sterling.base.resources import available_memory, readable_bytes
from sterling.errors import InputError, SterlingError, StoreError
from sterling.study.cells import Cell, canonical
from sterling.study.kinds import Column, Kind
from sterling.study.trial import Row

FORMAT = "sterling-study-2"

#: Trial numbers lie below.
MAX_TRIALS = 1_000_000_000

_GROUP = 1 << 15  # rows of a Parquet row group; readers hold a few at a time
_LEAST_BYTES = 2  # that a row takes in a file, at least: times alone take more, they do not repeat
_LONGEST_CELL = 1 << 20  # letters

_NAME = re.compile(r"(?P<kind>[a-z][a-z0-9_]{0,39})-(?P<rows>\d{1,10})-(?P<digest>[0-9a-f]{32})\.parquet")
# What rows of every kind have, beside the cell.
_TRIAL = Column("Int64", low=0, high=MAX_TRIALS - 1)
_SECONDS = Column("Float64", low=0)
_VERSION = Column("String")
_VERSION_TEXT = r"^\d[0-9A-Za-z.+!_-]{0,59}$"


def schema_of(kind: Kind) -> dict[str, pl.DataType]:
    """Return the columns of a shard in their order."""
    measured = {name: column.polars for name, column in kind.columns.items()}
    return {
        "cell": pl.String(),
        "trial": pl.Int64(),
        **measured,
        "seconds": pl.Float64(),
        "version": pl.String(),
    }


def read_name(name: str) -> tuple[str, int]:
    """Return the kind and the number of rows that a shard's name states; "" and 0 if it is none."""
    match = _NAME.fullmatch(name)
    return (match["kind"], int(match["rows"])) if match else ("", 0)


def frame_of(kind: Kind, rows: Iterable[Row]) -> pl.DataFrame:
    """Return rows of trials as a frame of the kind's shards."""
    return pl.DataFrame(list(rows), schema=schema_of(kind), orient="row")


def encode(frame: pl.DataFrame, kind: Kind, identity: str) -> tuple[str, bytes]:
    """Return the name and the bytes of a shard; the name holds the digest of the bytes.

    Rows are put in the order of their trials, so equal rows give equal files.
    """
    schema = schema_of(kind)
    stored = frame.select(pl.col(name).cast(dtype) for name, dtype in schema.items())
    stored = stored.sort("cell", "trial", "seconds", "version")
    stream = io.BytesIO()
    about = {"format": FORMAT, "study": identity, "kind": kind.name, "version": str(kind.version)}
    stored.write_parquet(stream, row_group_size=_GROUP, metadata=about)
    data = stream.getvalue()
    return f"{kind.name}-{len(stored)}-{_digest(data)}.parquet", data


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


@dataclass(frozen=True)
class Shard:
    """A shard that was opened and checked, but for its rows: `rows` reads them."""

    kind: Kind
    data: bytes
    cells: dict[str, Cell]  # by the text that the file has for them

    def rows(self, columns: Iterable[str]) -> pl.DataFrame:
        """Return columns of the rows, the cells by their hashes; StoreError for a value that the kind cannot
        measure.
        """
        keys = {text: cell.key for text, cell in self.cells.items()}
        names = list(columns)
        wrong = [one for name in names if (one := _wrong(name, self.kind)) is not None]
        read = [
            pl.col(name).replace_strict(keys).cast(pl.Categorical) if name == "cell" else pl.col(name)
            for name in names
        ]
        # The streaming engine goes through the file group by group, which saves most of the memory.
        with _reading():
            scan = pl.scan_parquet(io.BytesIO(self.data))
            if wrong:
                found = scan.select(wrong).collect(engine="streaming").row(0, named=True)
                bad = [name for name, any_wrong in found.items() if any_wrong]
                if bad:
                    raise StoreError(f"{bad[0]} has values that no trial gives")
            return scan.select(read).collect(engine="streaming")


def open_shard(path: Path, kind: Kind, identity: str) -> Shard:
    """Return a shard, once its name, digest, format, study, columns and cells are as they must be.

    StoreError says what is wrong with it; FileNotFoundError means that another process has merged it.
    """
    match = _NAME.fullmatch(path.name)
    if match is None:
        raise StoreError("it is no shard of a study")
    data = _read(path)
    if _digest(data) != match["digest"]:
        raise StoreError(f"it is damaged or cut off ({len(data):,} bytes, and not those once written)")
    with _reading():
        _affordable(weigh(data))
        about = pl.read_parquet_metadata(io.BytesIO(data))
        schema = pl.read_parquet_schema(io.BytesIO(data))
        if about.get("format") != FORMAT:
            raise StoreError(f"it has the format {about.get('format')!r:.60}, not {FORMAT!r}")
        if about.get("study") != identity:
            raise StoreError("it belongs to a study with another seed or another semantics version")
        if (about.get("kind"), about.get("version")) != (kind.name, str(kind.version)):
            raise StoreError(f"its trials are not those of the kind {kind.name!r}, version {kind.version}")
        if dict(schema) != schema_of(kind):
            raise StoreError(f"it has other columns than trials of the kind {kind.name!r}")
        scan = pl.scan_parquet(io.BytesIO(data))
        count = scan.select(pl.len()).collect().item()
        if count != int(match["rows"]) or _LEAST_BYTES * count > len(data):
            raise StoreError("it holds another number of rows than its name says")
        texts = [
            pl.col(name) if one == pl.String else pl.col(name).explode()
            for name, one in schema.items()
            if one in (pl.String, pl.List(pl.String))
        ]
        lengths = [text.str.len_bytes().sum() for text in texts]
        # A text that takes little in the file may stand in every row.
        _affordable(sum(filter(None, scan.select(lengths).collect().row(0))))
        texts = scan.select(pl.col("cell").unique()).collect(engine="streaming")["cell"].to_list()
        return Shard(kind, data, {text: _cell(text, kind) for text in texts})


def _read(path: Path) -> bytes:
    """Return the bytes of a regular file; anything else, a pipe say, is refused and never waited for."""
    handle = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
    with open(handle, "rb") as stream:
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise StoreError("it is no regular file")
        return stream.read()


@contextmanager
def _reading() -> Iterator[None]:
    """Turn what reading a strange file may raise into a StoreError."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, RecursionError, ValueError) as problem:
        raise StoreError(f"it cannot be read ({' '.join(str(problem).split())[:100]})") from None


def _affordable(count: int) -> None:
    free = available_memory()
    if free is not None and count > free:
        raise StoreError(f"its content takes {readable_bytes(count)}, more than there is memory")


def _cell(text: Any, kind: Kind) -> Cell:
    """Return the cell that a text describes, if it is the one text for it."""
    try:
        if not isinstance(text, str) or len(text) > _LONGEST_CELL:
            raise InputError("no cell")
        cell = Cell.from_dict(json.loads(text))
        same = canonical(cell.to_dict()) == text and cell.kind == kind.name
    except (SterlingError, ValueError, TypeError, RecursionError, OverflowError) as problem:
        raise StoreError(f"a cell is described by impossible values ({problem!s:.100})") from None
    if not same:
        raise StoreError("a cell is not described as this program does: its rows were altered")
    return cell


def _wrong(name: str, kind: Kind) -> pl.Expr | None:
    """Return the expression that says whether any value of a column cannot be."""
    column = {"trial": _TRIAL, "seconds": _SECONDS, "version": _VERSION, **kind.columns}.get(name)
    if not isinstance(column, Column):
        return None
    value, found = pl.col(name), [pl.lit(False)]
    if not column.optional:
        found.append(value.is_null().any())
    if column.listed:
        if not column.optional:
            found.append(value.list.eval(pl.element().is_null().any()).list.any().any())
        value = value.explode()
    if column.scalar == "Float64":
        found.append((~value.is_finite()).any())
    if column.low is not None:
        found.append((value < column.low).any())
    if column.high is not None:
        found.append((value > column.high).any())
    if column.words is not None:
        found.append((~value.is_in(list(column.words))).any())
    if name == "version":
        found.append((~value.str.contains(_VERSION_TEXT)).any())
    return pl.any_horizontal(found).alias(name)


def merge(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Return the rows of several frames, each trial once, or raise StoreError where two rows contradict.

    Of a trial that was run twice the one that took less time stays, so the result does not depend on the
    order.
    """
    frame = pl.concat(frames) if len(frames) != 1 else frames[0]
    cell = pl.col("cell").cast(pl.Categorical).to_physical().cast(pl.UInt64)
    twice = frame.select((cell * 2**40 + pl.col("trial").cast(pl.UInt64)).is_duplicated()).to_series()
    if not twice.any():
        return frame
    repeated = frame.filter(twice)
    measured = [name for name in frame.columns if name not in ("cell", "trial", "seconds", "version")]
    plain = repeated.select("cell", "trial", *(_plain(name, repeated) for name in measured))
    if plain.n_unique() != plain.n_unique(["cell", "trial"]):
        raise StoreError(_contradiction(plain, measured))
    order = [name for name in ("seconds", "version") if name in frame.columns]
    if order:
        repeated = repeated.sort(*order)
    kept = repeated.unique(["cell", "trial"], keep="first", maintain_order=True)
    return pl.concat([frame.filter(~twice), kept])


def _plain(name: str, frame: pl.DataFrame) -> pl.Expr:
    """Return the expression of a column as one that can be compared: lists become texts."""
    listed = isinstance(frame.schema[name], pl.List)
    return pl.col(name).cast(pl.List(pl.String)).list.join(" ") if listed else pl.col(name)


def _contradiction(repeated: pl.DataFrame, measured: list[str]) -> str:
    groups = repeated.group_by("cell", "trial", maintain_order=True).agg(pl.col(measured).n_unique())
    bad = groups.filter(pl.max_horizontal(measured) > 1).row(0, named=True)
    names = ", ".join(name for name in measured if bad[name] > 1)
    return (
        f"two rows of the trial {bad['cell']}-{bad['trial']} differ in {names}: one of them was made by an "
        "altered program; remove the shards of one program"
    )
