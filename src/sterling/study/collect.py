"""Running a study: rounds of trials, handed to workers in batches, stored as they come back.

`place.py` chooses the trials from complete rounds alone, so the choice depends neither on the workers nor on
where a study was interrupted. Processes that share a folder do not communicate. Each starts at a random
trial, reads the store before each batch, and jumps to another trial when it meets stored ones.
"""

from __future__ import annotations

import contextlib
import math
import os
import time
from collections import Counter
from collections.abc import Generator, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor
from dataclasses import dataclass
from functools import partial
from itertools import compress
from threading import Lock
from typing import Any

import numpy as np
import polars as pl

from sterling.base import progress as base
from sterling.base.files import remove_left
from sterling.base.pool import Done, Pool
from sterling.base.progress import ProgressCallback, reporting
from sterling.base.resources import require_memory
from sterling.base.text import Described
from sterling.errors import SterlingError
from sterling.optimizers.base import Optimizer
from sterling.study.cluster import pressed
from sterling.study.kind import KINDS, Cell
from sterling.study.place import FAILED, KNOWN, Rounds, Trials
from sterling.study.spec import Study
from sterling.study.store import SHARD_FOLDER, Store, frame_of, open_store
from sterling.study.trial import Finished, Row, TrialBatch, run_batch

_BATCH_SECONDS, _BATCH_TRIALS = (0.01, 0.05), 500  # of a batch: bounds of its time, and its largest size
_BATCHES = 32  # for each worker, into which the rest of a round is cut: other processes may run some
_SLOW = 1.0  # seconds; slower trials are not queued at a worker, so that other processes may run them
_LOOK_SECONDS = 0.2  # between looks at clocks and Ctrl-C
_FLUSH_SHARE = 0.05  # rows are written at intervals of this share of the time spent, for others to see
_AWAITED = 0.1  # and as soon as possible if they are more than this share of what the round still lacks
_FLUSH_SECONDS = 0.05, 20.0  # bounds of the time between two writes
_ATTEMPTS = 3  # for a trial whose worker was lost
_NAMED = 3  # failed trials that a message names


@dataclass(frozen=True)
class Outcome(Described):
    """How a run of a study ended.

    Parameters
    ----------
    reason : str
        "complete", "width reached", "trials spent", "time", "trials failed", or another reason why an
        exponent is not known.
    new : int
        Trials that this run added to the store.
    done : int
        Number of trials of the last round that are in the store.
    seconds : float
        Duration of the run.
    messages : tuple of str
        Messages for the user, such as which trials failed, or why no exponent could be fitted.

    Examples
    --------
    >>> from sterling.study import Outcome
    >>> Outcome("time", new=20, done=20, seconds=60.0).finished
    False
    """

    reason: str
    new: int
    done: int
    seconds: float
    messages: tuple[str, ...] = ()

    @property
    def finished(self) -> bool:
        """Whether there is nothing left to run."""
        return self.reason not in ("time", "interrupted", "trials failed")

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "finished": self.finished}


@dataclass(frozen=True)
class Progress(base.Progress, Described):
    """Progress of a run of a study, in trials of the current round.

    Parameters
    ----------
    done, total, note, facts, seconds_left
        As of all progress.
    round : int
        Number of the round, from 1.
    new : int
        Trials run so far.
    seconds : float
        Since the beginning.
    rows : Polars frame or None
        The trials finished since the last `Progress`, if any: cell, trial, what was measured, seconds and
        version.

    Examples
    --------
    >>> from sterling.study import Progress
    >>> Progress(done=5, total=20, new=5).to_dict()["total"]
    20
    """

    round: int = 0
    new: int = 0
    seconds: float = 0.0
    rows: pl.DataFrame | None = None

    def to_dict(self) -> dict[str, Any]:
        names = ("round", "done", "total", "new", "seconds", "note", "seconds_left")
        return {**{name: getattr(self, name) for name in names}, "facts": list(self.facts)}


class Collector:
    """One run of a study under way; `go` yields its progress."""

    def __init__(self, store: Store, pool: Pool):
        self.store, self.study, self.pool = store, store.study, pool
        self.begun = self.flushed = time.monotonic()
        self.deadline = self.begun + (self.study.time or math.inf)
        self.trials = Trials(self.study.criteria)
        self.planning = Rounds(self.study, self.trials)
        self.seen: set[str] = set()  # shards
        self.buffer: list[Row] = []  # rows to write
        self.unread: list[Row] = []  # rows whose outcomes are not read yet, with the keys of their cells
        self.fresh: list[pl.DataFrame] = []  # rows for the next progress
        self.flying = 0  # trials that workers have now
        self.paces: dict[str, float] = {}  # seconds a trial, by cell
        self.lost: Counter[tuple[str, int]] = Counter()  # lost workers, by the first trial of their batch
        self.failed: list[str] = []
        self.written = self.round = 0
        self.halted: str | None = None
        self.note = ""

    def go(self) -> Generator[Progress, None, None]:
        """Run rounds until there are no more, and yield progress several times a second."""
        work = partial(run_batch, self.study.seed, pressed)
        if self.pool.in_threads:
            work = partial(run_batch, self.study.seed, lambda: self.pool.stopping, turn=Lock())
        results = self.pool.results(work, self._feed(), _LOOK_SECONDS, errors="give")
        try:
            for done in results:
                if done is not None:
                    self._take(done)
                else:
                    if time.monotonic() >= self.deadline:
                        self.halted, self.pool.stopping = "time", True
                    if self._flush_is_due():
                        self._flush()
                    yield self._progress()
        except KeyboardInterrupt:
            self.halted = "interrupted"
            raise
        finally:
            results.close()
            self._flush()
        yield self._progress()

    @property
    def outcome(self) -> Outcome:
        """How it ended."""
        done = self._done - len(self.failed)
        failed = self.failed[:_NAMED]
        if len(self.failed) > _NAMED:
            failed.append(f"{len(self.failed):,} trials failed in all; the others are kept")
        reason = self.halted or ("trials failed" if failed else self.planning.reason)
        spent = time.monotonic() - self.begun
        return Outcome(reason, self.written, done, spent, (*failed, *self.planning.messages))

    @property
    def _done(self) -> int:
        """Number of trials of the round that are over."""
        return sum(self.trials.wanted.values()) - self.trials.waiting - self.flying

    # -- what goes out ---------------------------------------------------------------------------------------

    def _feed(self) -> Iterator[TrialBatch | None]:
        """Yield batches, round by round; None while all remaining trials of a round are running."""
        self._scan()
        for wanted, note in self.planning:
            self.note = note
            self.round += 1
            self._check_memory(self.trials.open(wanted))
            while self.trials.waiting or self.flying:
                if self.halted:
                    return
                yield self._batch()
            self._flush()  # other processes may wait for these rows

    def _check_memory(self, cells: list[Cell]) -> None:
        """Refuse trials that do not fit into memory."""
        if cells and self.pool.here:
            largest = max((cell.problem for cell in cells), key=lambda one: one.n * one.samples * one.m)
            what = f"{self.pool.count} trials with n={largest.n}, m={largest.m}, {largest.samples} samples"
            require_memory(self.pool.count * largest._memory(), f"{what} at a time")

    def _batch(self) -> TrialBatch | None:
        """Return the next trials to run; None if all are running."""
        if self._flush_is_due():
            self._flush()
        slow = min(self.paces.values(), default=0.0) >= _SLOW
        if not self.trials.waiting or (slow and self.flying >= self.pool.count):
            return None
        cell, numbers = self.trials.take(self._size)
        self.flying += len(numbers)
        if self.pool.in_threads:
            return TrialBatch(cell, numbers)
        kind = self.study.kind
        users: list[Any] = [kind] if kind.name not in KINDS.built_in else []
        for own in cell.own.values():
            users.append(type(own) if isinstance(own, Optimizer) else own)
        return TrialBatch(cell, numbers, tuple(users))

    def _size(self, cell: Cell) -> int:
        pace = self.paces.get(cell.key, max(self.paces.values(), default=math.inf))
        least, most = (seconds / max(pace, 1e-6) for seconds in _BATCH_SECONDS)
        share = self.trials.waiting / (_BATCHES * self.pool.count)
        return int(np.clip(np.clip(share, least, most), 1, _BATCH_TRIALS))

    # -- what comes back -------------------------------------------------------------------------------------

    def _take(self, done: Done) -> None:
        """Keep the rows of a batch; raise the error that stopped it, unless its trials are to be repeated."""
        cell, numbers = done.item.cell, done.item.numbers
        finished: Finished = done.value or Finished([], {})
        self.flying -= len(numbers)
        states = self.trials.states(cell)
        states[list(finished.failed)] = FAILED
        self.failed += finished.failed.values()
        if finished.rows:
            ended = [row[1] for row in finished.rows]
            new = states[ended] != KNOWN  # no other process has stored it
            states[ended] = KNOWN
            self.buffer += compress(finished.rows, new)
            self.unread += ((cell.key, *row[1:]) for row in finished.rows)
            self.paces[cell.key] = sum(row[-2] for row in finished.rows) / len(finished.rows)
        left = self.trials.give_back(cell, numbers)
        if not left.size or self.halted or self.pool.stopping or finished.rows:
            return
        problem, first = done.error, (cell.key, int(left[0]))
        self.lost[first] += 1
        killed = isinstance(problem, KeyboardInterrupt | None) or type(problem).__name__ == "KilledWorker"
        if killed and self.lost[first] <= _ATTEMPTS:
            return
        if problem is not None and not killed and not isinstance(problem, CancelledError | BrokenExecutor):
            raise problem
        where = f"n={cell.problem.n}, samples={cell.problem.samples}"
        raise SterlingError(
            f"workers return no rows for trials of {where} ({problem or 'they end early'!s}): is something "
            "killing them, or is memory short, and is the executor still running? Finished trials are kept"
        )

    def _read(self) -> None:
        """Read the outcomes of the rows that came back since the last call."""
        if self.unread:
            self.fresh.append(frame_of(self.study.kind, self.unread))
            self.trials.record(self.fresh[-1])
            self.unread = []

    def _progress(self) -> Progress:
        self._read()
        rows = pl.concat(self.fresh) if self.fresh else None
        self.fresh = []
        total, done = sum(self.trials.wanted.values()), self._done
        new, spent = self.written + len(self.buffer), time.monotonic() - self.begun
        facts = (f"{new / spent:.3g} a second",) if new else ()
        note = f"round {self.round}: {self.note}" if self.note else ""
        left = (total - done) * spent / new if new and done < total else None
        return Progress(done, total, note, facts, left, round=self.round, new=new, seconds=spent, rows=rows)

    # -- the store -------------------------------------------------------------------------------------------

    def _flush_is_due(self) -> bool:
        now = time.monotonic()
        soonest, latest = _FLUSH_SECONDS
        wait = min(latest, max(soonest, _FLUSH_SHARE * (now - self.begun)))
        if len(self.buffer) > _AWAITED * self.trials.waiting:
            wait = soonest
        return now - self.flushed >= wait

    def _flush(self) -> None:
        """Write rows, and read those that other processes have written."""
        self.flushed = time.monotonic()
        self._read()
        if self.buffer:
            self.seen.add(self.store._add(self.buffer))
            self.written += len(self.buffer)
            self.buffer = []  # only now: rows that could not be written are tried again
        self._scan()

    def _scan(self) -> None:
        for name in self.store._names():
            if name not in self.seen:
                self.seen.add(name)
                frame = self.store._read(name, self.trials.columns)
                if frame is not None:
                    self.trials.record(frame, own=False)


def iterate(
    study: Study | Store | str | os.PathLike,
    folder: str | os.PathLike | None = None,
    *,
    threads: int | None = None,
    executor: Executor | None = None,
) -> Generator[Progress, None, Outcome]:
    """Start or continue a study, and yield progress with the new rows several times a second.

    Leaving the loop early stops the workers; the store has all trials finished by then.

    Parameters
    ----------
    study : Study, Store or path
        A study, its store, its TOML file, or its folder.
    folder : path, optional
        Folder for a new study; that of a TOML file goes by default to the folder beside it of the same name.
    threads : int, optional
        Number of trials at a time, all cores by default; results are the same for any value.
    executor : concurrent.futures.Executor, optional
        Runs the trials instead of threads; see `open_cluster`. sterling checks that simultaneous trials fit
        into memory only for threads and for a ProcessPoolExecutor.

    Returns
    -------
    Outcome
        As the value of the generator.

    Yields
    ------
    Progress
        The progress so far; its ``rows`` are the trials finished since the last `Progress`.

    Raises
    ------
    SterlingError
        If an argument cannot be used (`InputError`), a shard cannot be written (`StoreError`), or workers die
        again and again. Finished trials are in the store.
    KeyboardInterrupt
        After Ctrl-C, with ``error.outcome``.

    Examples
    --------
    >>> import tempfile
    >>> from sterling.study import Study, iterate
    >>> study = Study(n=8, samples=[20, 40], trials=10, steps=500)
    >>> rows = [progress.rows for progress in iterate(study, tempfile.mkdtemp())]
    >>> sum(len(frame) for frame in rows if frame is not None)
    20
    """
    store = open_store(study, folder)
    for written in (store.folder, store.folder / SHARD_FOLDER):
        remove_left(written)  # temporary files of writers that were killed
    with Pool(threads, executor) as pool:
        collector = Collector(store, pool)
        try:
            yield from collector.go()
        except KeyboardInterrupt as error:
            error.outcome = collector.outcome  # type: ignore[attr-defined]
            error.add_note(
                f"interrupted after {collector.written:,} new trials, which are in {store.folder}: the next "
                "run goes on"
            )
            raise
    return collector.outcome


def run(
    study: Study | Store | str | os.PathLike,
    folder: str | os.PathLike | None = None,
    *,
    threads: int | None = None,
    executor: Executor | None = None,
    progress: bool | ProgressCallback = False,
) -> Outcome:
    """Start or continue a study.

    Parameters
    ----------
    study, folder, threads, executor
        As in `iterate`.
    progress : bool or callable
        True shows progress; a function is called with a `Progress` several times a second.

    Returns
    -------
    Outcome
        How the run ended. `run` raises the same errors as `iterate`.

    Examples
    --------
    >>> import tempfile
    >>> from sterling.study import Store, Study, run
    >>> folder = tempfile.mkdtemp()
    >>> outcome = run(Study(n=8, samples=[20, 40], trials=10, steps=500), folder)
    >>> outcome.reason, outcome.finished, outcome.new
    ('complete', True, 20)
    >>> run(folder).new
    0
    >>> Store(folder).counts("optimal").select("samples", "trials").rows()
    [(20, 10), (40, 10)]
    """
    steps = iterate(study, folder, threads=threads, executor=executor)
    with contextlib.closing(steps), reporting(progress, "trials") as show:
        while True:
            try:
                now = next(steps)
            except StopIteration as end:
                return end.value
            if show is not None:
                show(now)
