"""The folder of a study: its TOML, and shards of finished trials.

A shard is written under a temporary name, synced and renamed, so it is whole or absent, and its name holds
the digest of its bytes, so damage is seen. No shard is ever changed. Several processes may share a folder:
each adds shards of its own, and a trial that two of them ran counts once. A process merges the small shards
that it wrote itself, and no others; they go after the large one is on disk, so a kill at any moment leaves at
worst a row twice.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

import polars as pl

from sterling.base import checks
from sterling.base.files import as_path, printable, remove_left, write_atomically
from sterling.errors import InputError, SterlingWarning, StoreError
from sterling.study.cells import Cell
from sterling.study.criteria import SUCCESS, UNDECIDED, Criterion
from sterling.study.grid import Study
from sterling.study.kinds import parse_criterion
from sterling.study.shards import encode, frame_of, merge, open_shard, read_name, schema_of
from sterling.study.trial import Row

STUDY_FILE = "study.toml"
SHARD_FOLDER = "trials"

_SMALL = 25_000  # rows; shards below are merged
_MANY = 40  # small shards that are worth a merge


class Store:
    """A study's folder.

    Parameters
    ----------
    folder : path
        Where the study lies.
    study : Study, optional
        Made or extended there; by default the one that the folder holds.

    Raises
    ------
    StoreError
        If the folder holds no study, or one with another seed.

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

    def __init__(self, folder: str | os.PathLike, study: Study | None = None):
        self.folder = as_path(folder, "the folder of a study")
        self._mine: dict[str, int] = {}  # shards that were written here, and their rows
        self._bad: set[str] = set()
        self._cells: dict[str, Cell] = {}
        held = self._read_study()
        if held is None and study is None:
            raise StoreError(
                f"{printable(self.folder)} holds no {STUDY_FILE}: name the folder of a study, or run one "
                "there first"
            )
        if held is not None and study is not None and held.identity != study.identity:
            raise StoreError(
                f"{self.folder} belongs to a study with seed {held.seed}, this one has seed {study.seed}: "
                "take another folder"
            )
        chosen = study or held
        assert chosen is not None
        self.study: Study = chosen
        if study is not None and held != study:
            self._write_study(study)

    def __repr__(self) -> str:
        return f"Store({str(self.folder)!r})"

    @property
    def _shards(self) -> Path:
        return self.folder / SHARD_FOLDER

    def _read_study(self) -> Study | None:
        path = self.folder / STUDY_FILE
        if not os.path.lexists(path):
            return None
        try:
            return Study.from_toml(path)
        except InputError as problem:
            raise StoreError(f"the study in {self.folder} cannot be read: {problem}") from None

    def _write_study(self, study: Study) -> None:
        try:
            self._shards.mkdir(parents=True, exist_ok=True)
        except OSError as problem:
            folder = printable(self._shards)
            raise StoreError(f"cannot make the folder {folder}: {problem.strerror}") from problem
        write_atomically(self.folder / STUDY_FILE, study.to_toml().encode())

    # -- reading ---------------------------------------------------------------------------------------------

    def _names(self) -> list[str]:
        """Return the names of the shards of the study's kind, sorted; a stray file is told of, once."""
        try:
            names = sorted(entry.name for entry in os.scandir(self._shards) if entry.name[0] != ".")
        except FileNotFoundError:
            return []
        except OSError as problem:
            raise StoreError(f"cannot list {self._shards}: {problem.strerror}") from problem
        kinds = {name: read_name(name)[0] for name in names}
        for name in names:
            if not kinds[name]:
                self._leave_out(name, "it is no shard of a study")
        return [name for name in names if kinds[name] == self.study.kind.name]

    def _read(self, name: str, columns: Iterable[str]) -> pl.DataFrame | None:
        """Return columns of the rows of one shard; None, with a warning, if they cannot be believed.

        FileNotFoundError says that it has been merged into another meanwhile.
        """
        if name in self._bad:
            return None
        try:
            shard = open_shard(self._shards / name, self.study.kind, self.study.identity)
            rows = shard.rows(columns)
        except FileNotFoundError:
            raise
        except OSError as problem:  # a StoreError, too
            self._leave_out(name, str(problem))
            return None
        self._cells |= {cell.key: cell for cell in shard.cells.values()}
        return rows

    def _leave_out(self, name: str, reason: str) -> None:
        if name not in self._bad:
            self._bad.add(name)
            warnings.warn(
                f"{self._shards / name}: {reason}; the file is left out and its trials count as not done",
                SterlingWarning,
                stacklevel=4,
            )

    @property
    def cells(self) -> Mapping[str, Cell]:
        """The cells met so far, by their hashes: those of the grid, and of the shards that were read."""
        return self._cells

    def _read_all(self, columns: list[str]) -> pl.DataFrame:
        """Return columns of all rows, each trial once."""
        for _ in range(100):
            try:
                frames = [frame for name in self._names() if (frame := self._read(name, columns)) is not None]
            except FileNotFoundError:  # another process has merged shards away under our hands
                continue
            return merge(frames) if frames else frame_of(self.study.kind, []).select(columns)
        raise StoreError(f"{self._shards} changes faster than it can be read")

    @property
    def _content(self) -> dict[str, object]:
        """What describes some cell of the study."""
        return self.study.series[0].content

    def _described(self) -> pl.DataFrame:
        """Return one row for each cell: its hash, and what describes it."""
        rows = [{"cell": key, **cell.content} for key, cell in self._cells.items()]
        return pl.DataFrame(rows or [{"cell": "", **self._content}], infer_schema_length=None)

    @property
    def columns(self) -> list[str]:
        """The columns of `trials`: what describes the cell, what was measured, seconds and version."""
        return ["cell", "trial", *self._content, *self.study.kind.columns, "seconds", "version"]

    def trials(self, columns: Iterable[str] | None = None) -> pl.DataFrame:
        """Return every trial done, one row each.

        Parameters
        ----------
        columns : names, optional
            The columns wanted; all by default. Fewer columns take less memory and time.

        Returns
        -------
        Polars frame
            One row a trial.

        Warns
        -----
        SterlingWarning
            For each file that had to be left out.
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
        """Return one row a cell: what describes it, trials, successes, undecided, mean seconds, and regimes.

        Parameters
        ----------
        criterion : str, optional
            By default the study's first; without any, nothing succeeds.

        Returns
        -------
        Polars frame
            Regimes are the numbers of trials of each word that the kind measures, such as each verdict.
        """
        kind = self.study.kind
        chosen = self.study.criteria[0] if criterion is None and self.study.criteria else criterion
        chosen = None if chosen is None else parse_criterion(chosen, kind)
        regimes = [name for name, column in kind.columns.items() if column.words and not column.listed]
        needed = dict.fromkeys(["cell", "trial", "seconds", *regimes, *(chosen.columns if chosen else ())])
        outcome = pl.lit(UNDECIDED).alias("outcome") if chosen is None else chosen.outcome()
        count = lambda condition, name: condition.sum().cast(pl.Int64).alias(name)  # noqa: E731
        table = (
            self._read_all(list(needed))
            .with_columns(outcome)
            .group_by("cell")
            .agg(
                pl.len().cast(pl.Int64).alias("trials"),
                count(pl.col("outcome") == SUCCESS, "successes"),
                count(pl.col("outcome") == UNDECIDED, "undecided"),
                pl.col("seconds").mean(),
                *(count(pl.col(name) == word, word) for name in regimes for word in kind.columns[name].words),
            )
            .with_columns(pl.col("cell").cast(pl.String))
        )
        described = self._described()
        order = [name for name in described.columns if name not in ("cell", "n", "samples")]
        return described.join(table, on="cell").sort(*order, "n", "samples")

    # -- writing ---------------------------------------------------------------------------------------------

    def add(self, rows: Iterable[Row]) -> str | None:
        """Write finished trials as one new shard and return its name.

        Parameters
        ----------
        rows : iterable of rows
            As `run_batch` gives them.

        Returns
        -------
        str or None
            None where there are no rows.

        Raises
        ------
        StoreError
            If it cannot be written, for a full disk say. Nothing half-written is left.
        """
        rows = list(rows)
        if not rows:
            return None
        name = self._put(frame_of(self.study.kind, rows))
        if sum(size < _SMALL for size in self._mine.values()) >= _MANY:
            self._gather()
        return name

    def _put(self, rows: pl.DataFrame) -> str:
        name, data = encode(rows, self.study.kind, self.study.identity)
        self._shards.mkdir(parents=True, exist_ok=True)
        write_atomically(self._shards / name, data)
        self._mine[name] = len(rows)
        return name

    def _gather(self) -> None:
        """Merge the small shards that were written here: nobody else takes them away."""
        columns = list(schema_of(self.study.kind))
        small = [name for name, size in self._mine.items() if size < _SMALL]
        frames = {name: frame for name in small if (frame := self._read(name, columns)) is not None}
        if len(frames) < 2:
            return
        texts = {key: cell.text for key, cell in self._cells.items()}
        rows = merge(list(frames.values())).with_columns(pl.col("cell").cast(pl.String).replace_strict(texts))
        target = self._put(rows)
        for name in frames.keys() - {target}:
            (self._shards / name).unlink(missing_ok=True)
            del self._mine[name]

    def _tidy(self) -> None:
        """Remove the temporary files that killed writers left behind."""
        for folder in (self.folder, self._shards):
            remove_left(folder)

    def export(self, path: str | os.PathLike, kind: str | None = None) -> Path:
        """Write all trials to one CSV, Parquet or JSON file.

        Parameters
        ----------
        path : path
            Where to write.
        kind : "csv", "parquet" or "json", optional
            By default as the suffix says. In CSV lists are written as words, and a text that a spreadsheet
            would compute gets a quotation mark before it.

        Returns
        -------
        Path
            The path.

        Raises
        ------
        InputError
            For another kind.
        StoreError
            If it cannot be written, or rows contradict each other.
        """
        path = as_path(path)
        kind = (kind or path.suffix.lstrip(".")).lower()
        writers: dict[str, Callable] = {
            "csv": lambda frame, stream: _for_spreadsheets(frame).write_csv(stream),
            "parquet": lambda frame, stream: frame.write_parquet(stream),
            "json": lambda frame, stream: frame.write_json(stream),
        }
        checks.choice(kind, "the kind of export", tuple(writers))
        frame = self.trials().sort("cell", "trial")
        return write_atomically(path, lambda stream: writers[kind](frame, stream))


def _for_spreadsheets(frame: pl.DataFrame) -> pl.DataFrame:
    """Return a table of numbers and texts: lists written out, and no text that a program would compute."""
    lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
    frame = frame.with_columns(pl.col(lists).cast(pl.List(pl.String)).list.join(" "))
    texts = [name for name, kind in frame.schema.items() if kind == pl.String]
    return frame.with_columns(pl.col(name).str.replace(r"^([=+\-@\t\r])", r"'$1") for name in texts)
