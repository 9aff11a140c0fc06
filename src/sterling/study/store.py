"""The folder of a study: its TOML and shards of finished trials; and one of its trials run again.

A shard is a Parquet file of trials of one kind: the canonical JSON of the cell, the trial's number, what the
kind measures, seconds and the version of the program. It is written under a temporary name, synced and
renamed, so it is whole or absent; its name holds the digest of its bytes, so damage is seen. No shard is ever
changed. Several processes may share a folder: each adds shards, and a trial that two of them ran counts once.
"""

from __future__ import annotations

import io
import json
import os
import re
import warnings
from collections.abc import Iterable
from functools import cached_property
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from sterling.base import checks
from sterling.base.drawn import Drawn
from sterling.base.files import as_path, printable, write_atomically
from sterling.errors import InputError, SterlingError, SterlingWarning, StoreError, UnreadableError
from sterling.study.columns import SUCCESS, UNDECIDED, Criterion
from sterling.study.kind import Cell, Kind, parse_criterion
from sterling.study.spec import Study
from sterling.study.trial import Row, run_trial, trial_seeds

if TYPE_CHECKING:
    from sterling.dynamics.orbit import Orbit

STUDY_FILE = "study.toml"
SHARD_FOLDER = "trials"
FORMAT = "sterling-study-2"

_GROUP = 1 << 15  # rows of a Parquet row group; readers hold a few at a time
_NAME = re.compile(r"(?P<kind>[a-z][a-z0-9_]{0,39})-\d{1,10}-(?P<digest>[0-9a-f]{32})\.parquet")


class Store(Drawn):
    """A study's folder.

    Parameters
    ----------
    folder : path
        The folder.
    study : Study, optional
        The study to write to the folder if it is new or has changed; by default the study in the folder. If
        cells of the study in the folder are not in the new one, its file is kept beside the new one.

    Raises
    ------
    StoreError
        If the folder holds no study, or a study with another seed.

    Examples
    --------
    >>> import tempfile
    >>> from sterling.study import Store, Study, run
    >>> folder = tempfile.mkdtemp()
    >>> _ = run(Study(n=8, samples=[20, 40], trials=5, steps=500), folder)
    >>> store = Store(folder)
    >>> store.trials(["n", "samples", "trial"]).height
    10
    >>> store.counts("optimal")["trials"].to_list()
    [5, 5]
    """

    _pictures = "sterling.plot.study", ("shares", "regimes")

    def __init__(self, folder: str | os.PathLike, study: Study | None = None):
        self.folder = as_path(folder, "the folder of a study")
        if study is not None:
            checks.instance_of(study, Study, "study", "a Study")
        self._left_out: set[str] = set()
        file = self.folder / STUDY_FILE
        try:
            held = Study.from_toml(file) if os.path.lexists(file) else None
        except InputError as problem:
            raise UnreadableError(f"the study in {self.folder} cannot be read: {problem}") from None
        if held is None and study is None:
            raise UnreadableError(
                f"{printable(self.folder)} holds no {STUDY_FILE}: name the folder of a study, or run one "
                "there first"
            )
        if held is not None and study is not None and held.identity != study.identity:
            raise UnreadableError(
                f"{self.folder} belongs to a study with seed {held.seed}, this one has seed {study.seed}: "
                "take another folder"
            )
        self.study: Study = study or held  # type: ignore[assignment]
        if held != self.study:
            self._make_folder()
            if held is not None and not held._asked <= self.study._asked:
                self._keep(file)
            write_atomically(file, self.study.to_toml().encode())

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r})"

    @cached_property
    def _cells(self) -> dict[str, Cell]:
        """The cells by their texts: those of the grid, and then those of shards that were read."""
        return {cell.text: cell for cell in self.study.cells}

    @property
    def _shards(self) -> Path:
        return self.folder / SHARD_FOLDER

    def _make_folder(self) -> None:
        try:
            self._shards.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            folder = printable(self._shards)
            raise StoreError(f"cannot make the folder {folder}: {problem.strerror}") from problem

    def _keep(self, file: Path) -> None:
        """Keep the file of a study that another one replaces, and warn."""
        data = file.read_bytes()
        kept = write_atomically(file.with_stem(f"{file.stem}-{_digest(data)[:8]}"), data)
        warnings.warn(
            f"{printable(self.folder)} held another study: its file is now {kept.name}, and its trials stay",
            SterlingWarning,
            stacklevel=3,
        )

    # -- reading ---------------------------------------------------------------------------------------------

    def _names(self) -> list[str]:
        """Return the names of the shards of the study's kind, sorted; warn of other files, once."""
        try:
            names = sorted(entry.name for entry in os.scandir(self._shards) if entry.name[0] != ".")
        except FileNotFoundError:
            return []
        except OSError as problem:
            raise StoreError(f"cannot list {self._shards}: {problem.strerror}") from problem
        found = []
        for name in names:
            match = _NAME.fullmatch(name)
            if match is None:
                self._leave_out(name, "it is no shard of a study")
            elif match["kind"] == self.study.kind.name:
                found.append(name)
        return found

    def _read(self, name: str, columns: Iterable[str]) -> pl.DataFrame | None:
        """Return columns of the rows of one shard, cells by their hashes; None, with a warning, if it is
        damaged or of another study.
        """
        if name in self._left_out:
            return None
        path = self._shards / name
        try:
            if not path.is_file():
                raise StoreError("it is not a regular file")
            data = path.read_bytes()
            if _digest(data) not in name:
                raise StoreError(f"it is damaged or cut off ({len(data):,} bytes are left)")
            self._check_origin(data)
            scan = pl.scan_parquet(io.BytesIO(data))
            texts = scan.select(pl.col("cell").unique()).collect(engine="streaming")["cell"]
            keys = {text: self._cell(text).key for text in texts}
            hashed = pl.col("cell").replace_strict(keys).cast(pl.Categorical)
            # The streaming engine reads group by group, which saves most of the memory.
            return scan.select(hashed if column == "cell" else pl.col(column) for column in columns).collect(
                engine="streaming"
            )
        except OSError as problem:  # a StoreError is one
            self._leave_out(name, str(problem))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, ValueError) as problem:
            self._leave_out(name, f"it cannot be read ({' '.join(str(problem).split())[:100]})")
        return None

    def _check_origin(self, data: bytes) -> None:
        """Refuse a Parquet file of another program, study, kind or version."""
        found = pl.read_parquet_metadata(io.BytesIO(data))
        for name, value in about(self.study).items():
            if found.get(name) != value:
                raise StoreError(f"its {name} is {found.get(name)!r:.60}, not {value!r}")
        if dict(pl.read_parquet_schema(io.BytesIO(data))) != schema_of(self.study.kind):
            raise StoreError(f"its columns are not those of the kind {self.study.kind.name!r}")

    def _cell(self, text: str) -> Cell:
        if text not in self._cells:
            try:
                cell = Cell.from_dict(json.loads(text))
            except (SterlingError, ValueError, TypeError, RecursionError) as problem:
                raise StoreError(f"a cell has impossible values ({problem!s:.100})") from None
            self._cells[text] = cell
        return self._cells[text]

    def _leave_out(self, name: str, reason: str) -> None:
        if name not in self._left_out:
            self._left_out.add(name)
            warnings.warn(
                f"{self._shards / name}: {reason}; the file is left out and its trials count as not done",
                SterlingWarning,
                stacklevel=4,
            )

    @property
    def cells(self) -> dict[str, Cell]:
        """The cells by their hashes: those of the grid, and of the shards that were read."""
        return {cell.key: cell for cell in self._cells.values()}

    def _read_all(self, columns: list[str]) -> pl.DataFrame:
        read = [self._read(name, columns) for name in self._names()]
        frames = [frame for frame in read if frame is not None]
        return merge(frames) if frames else frame_of(self.study.kind, []).select(columns)

    @property
    def _content(self) -> dict[str, object]:
        """The columns that describe the cells of the study."""
        return self.study.series[0].content

    def _described(self) -> pl.DataFrame:
        rows = [{"cell": key, **cell.content} for key, cell in self.cells.items()]
        return pl.DataFrame(rows or [{"cell": "", **self._content}], infer_schema_length=None)

    @property
    def columns(self) -> list[str]:
        """The columns of `trials`: the cell, the measured values, seconds and version."""
        return ["cell", "trial", *self._content, *self.study.kind.columns, "seconds", "version"]

    def trials(self, columns: Iterable[str] | None = None) -> pl.DataFrame:
        """Return every finished trial, one row each.

        Parameters
        ----------
        columns : names, optional
            The columns wanted; all by default. Fewer columns take less memory and time.

        Returns
        -------
        Polars frame
            One row a trial.

        Raises
        ------
        StoreError
            If two rows of a trial contradict each other. Damaged and strange files are left out, with a
            warning.
        """
        wanted = self.columns if columns is None else list(columns)
        for name in wanted:
            checks.choice(name, "a column of trials", self.columns)
        stored = schema_of(self.study.kind)
        read = list(dict.fromkeys(["cell", "trial", *(name for name in wanted if name in stored)]))
        rows = self._read_all(read).with_columns(pl.col("cell").cast(pl.String))
        about = self._described().select("cell", *(name for name in wanted if name not in stored))
        return rows.join(about, on="cell", how="left", maintain_order="left").select(wanted)

    def counts(self, criterion: str | Criterion | None = None) -> pl.DataFrame:
        """Return one row for each cell: its values, trials, successes, undecided, mean seconds, and regimes.

        Parameters
        ----------
        criterion : str, optional
            The criterion; by default the study's first. If the study has none, no trial counts as a success.

        Returns
        -------
        Polars frame
            The regimes count the trials with each word that the kind measures, such as each verdict.
        """
        kind = self.study.kind
        chosen = self.study.criteria[0] if criterion is None and self.study.criteria else criterion
        chosen = None if chosen is None else parse_criterion(chosen, kind)
        regimes = [name for name, column in kind.columns.items() if column.words and not column.listed]
        needed = dict.fromkeys(["cell", "trial", "seconds", *regimes, *(chosen.columns if chosen else ())])
        outcome = pl.lit(UNDECIDED).alias("outcome") if chosen is None else chosen.outcome()
        counted = {"successes": pl.col("outcome") == SUCCESS, "undecided": pl.col("outcome") == UNDECIDED}
        for name in regimes:
            counted |= {word: pl.col(name) == word for word in kind.columns[name].words or ()}
        table = (
            self._read_all(list(needed))
            .with_columns(outcome)
            .group_by("cell")
            .agg(
                pl.len().cast(pl.Int64).alias("trials"),
                pl.col("seconds").mean(),
                *(flag.sum().cast(pl.Int64).alias(name) for name, flag in counted.items()),
            )
            .with_columns(pl.col("cell").cast(pl.String))
        )
        described = self._described()
        order = [name for name in described.columns if name not in ("cell", "n", "samples")]
        return described.join(table, on="cell").sort(*order, "n", "samples")

    # -- writing ---------------------------------------------------------------------------------------------

    def _add(self, rows: Iterable[Row]) -> str:
        """Write finished trials, rows as `run_batch` returns them, as one new shard and return its name."""
        name, data = encode(frame_of(self.study.kind, rows), self.study)
        self._make_folder()
        write_atomically(self._shards / name, data)
        return name

    def export(self, path: str | os.PathLike) -> Path:
        """Write all trials to one CSV, Parquet or JSON file.

        Parameters
        ----------
        path : path
            Path of the file; its suffix gives the format. CSV files hold lists as text.

        Returns
        -------
        Path
            The path.
        """
        path = as_path(path)
        form = checks.choice(path.suffix.lstrip(".").lower(), "the suffix", ("csv", "parquet", "json"))
        frame = self.trials().sort("cell", "trial")
        if form == "csv":  # has no lists
            lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
            frame = frame.with_columns(pl.col(lists).cast(pl.List(pl.String)).list.join(" "))
        return write_atomically(path, getattr(frame, f"write_{form}"))


def replay(
    folder: str | os.PathLike, key: str, record: tuple[str, ...] = ("flips",)
) -> Orbit | dict[str, Any]:
    """Run one trial of a study again, bit for bit as in the study.

    Parameters
    ----------
    folder : path
        The folder of the study.
    key : str
        The trial's name, HASH-NUMBER: the columns ``cell`` and ``trial`` of its row. It need not have
        run before.
    record : tuple of str
        Records of the orbit, as in `train`.

    Returns
    -------
    Orbit or dict
        The whole run; for a trial that is not a run, what its kind measures.

    Examples
    --------
    >>> import tempfile
    >>> from sterling.study import Store, Study, replay, run
    >>> folder = tempfile.mkdtemp()
    >>> _ = run(Study(n=8, samples=40, trials=2, steps=500), folder)
    >>> row = Store(folder).trials().row(1, named=True)
    >>> orbit = replay(folder, f"{row['cell']}-{row['trial']}")
    >>> orbit.occupancy == row["occupancy"]
    True
    """
    store = Store(folder)
    name, _, digits = str(key).partition("-")
    if not digits.isdecimal():
        named = checks.shown(key)
        raise InputError(f"{named} is not the name of a trial: give HASH-NUMBER, as in the store's rows")
    if name not in store.cells:
        store.trials(["cell"])  # the shards know the cells of an adaptive study
    if name not in store.cells:
        raise InputError(f"the study in {store.folder} has no cell {name}")
    cell = store.cells[name]
    number = int(digits)
    study = store.study
    if study.kind.replay is not None:
        return study.kind.replay(cell, trial_seeds(study.seed, cell, number), record)
    return run_trial(cell, number, study.seed)


def open_store(study: Study | Store | str | os.PathLike, folder: str | os.PathLike | None = None) -> Store:
    """Return the store of a study; create it if it does not exist."""
    if isinstance(study, Store):
        return study
    if isinstance(study, Study):
        if folder is None:
            raise InputError("name the folder of the study: run(study, folder)")
        return Store(folder, study)
    path = as_path(study, "the study")
    if os.path.isdir(path):
        if folder is not None:
            raise InputError(f"{path} is the folder of a study: run it without another folder")
        return Store(path)
    read = Study.from_toml(path)
    return Store(path.with_suffix("") if folder is None else folder, read)


# -- shards --------------------------------------------------------------------------------------------------


def schema_of(kind: Kind) -> dict[str, pl.DataType]:
    """Return the columns of a shard in their order."""
    measured = {name: column.polars for name, column in kind.columns.items()}
    trial = {"cell": pl.String(), "trial": pl.Int64()}
    return {**trial, **measured, "seconds": pl.Float64(), "version": pl.String()}


def frame_of(kind: Kind, rows: Iterable[Row]) -> pl.DataFrame:
    """Return rows of trials as a frame of the kind's shards."""
    return pl.DataFrame(list(rows), schema=schema_of(kind), orient="row")


def about(study: Study) -> dict[str, str]:
    """Return the metadata of a study's shards."""
    kind = study.kind
    return {"format": FORMAT, "study": study.identity, "kind": kind.name, "version": str(kind.version)}


def encode(frame: pl.DataFrame, study: Study) -> tuple[str, bytes]:
    """Return the name and the bytes of a shard; equal rows give equal files."""
    stored = frame.select(pl.col(name).cast(dtype) for name, dtype in schema_of(study.kind).items())
    stored = stored.sort("cell", "trial", "seconds", "version")
    stream = io.BytesIO()
    stored.write_parquet(stream, row_group_size=_GROUP, metadata=about(study))
    data = stream.getvalue()
    return f"{study.kind.name}-{len(stored)}-{_digest(data)}.parquet", data


def _digest(data: bytes) -> str:
    return blake2b(data, digest_size=16).hexdigest()


def merge(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """Return the rows of several frames, each trial once; raise StoreError if two rows contradict.

    If a trial was run twice, the faster run is kept, so the result does not depend on the order.
    """
    frame = pl.concat(frames) if len(frames) != 1 else frames[0]
    cell = pl.col("cell").cast(pl.Categorical).to_physical().cast(pl.UInt64)
    twice = frame.select((cell * 2**40 + pl.col("trial").cast(pl.UInt64)).is_duplicated()).to_series()
    if not twice.any():
        return frame
    repeated = frame.filter(twice)
    measured = [name for name in frame.columns if name not in ("seconds", "version")]
    different = repeated.unique(measured, maintain_order=True)
    conflicts = different.filter(pl.struct("cell", "trial").is_duplicated())
    if len(conflicts):
        cell, trial = conflicts.select("cell", "trial").row(0)
        raise StoreError(
            f"two rows of the trial {cell}-{trial} differ: one was written by another program; remove the "
            "shards of one program"
        )
    order = [name for name in ("seconds", "version") if name in frame.columns]
    repeated = repeated.sort(order) if order else repeated
    kept = repeated.unique(["cell", "trial"], keep="first", maintain_order=True)
    return pl.concat([frame.filter(~twice), kept])
