"""One run of a study: rounds of trials, handed to workers in batches, stored as they come back.

What is run is decided in rounds by `rounds.py` from complete earlier rounds alone, so it depends neither on
the workers nor on when a study was broken off. Trials in the store already are not run again; what other
processes on the folder write is looked at now and then.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Generator, Iterator
from concurrent.futures import BrokenExecutor, CancelledError
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from sterling.base import progress as base
from sterling.base.pool import Done, Pool
from sterling.base.resources import require_memory
from sterling.base.text import Described
from sterling.errors import SterlingError
from sterling.study.cells import Cell
from sterling.study.grid import Study
from sterling.study.kinds import KINDS
from sterling.study.ledger import Ledger, Wanted
from sterling.study.missing import Missing
from sterling.study.rounds import Rounds
from sterling.study.shards import frame_of
from sterling.study.store import Store
from sterling.study.trial import Batch, Row, kernel_group, pressed, run_batch, warm_up

_BATCH_SECONDS, _SHARED_BATCH = 0.1, 0.02  # a batch should last about so long; where others are at work
_BATCH_TRIALS = 500
_FIRST_BATCH = 4  # trials of a cell whose pace is unknown
_BATCHES = 8  # for each worker in what is left of a round: others on the folder may be at the rest
_LOOK_SECONDS = 0.2  # between looks at clocks and Ctrl-C
_FLUSH_SHARE = 0.1  # rows are written after so much of the time spent, for others to see,
_FLUSH_SECONDS = 0.1, 2.0  # within these bounds
_AWAITED = 0.1  # rows that nobody else can see, of those that are missing: they are written soon
_ATTEMPTS = 3  # for a batch whose worker was lost, or that came back empty


@dataclass(frozen=True)
class Outcome(Described):
    """How a run of a study ended.

    Parameters
    ----------
    reason : str
        "complete", "width reached", "trials spent", "time", or another reason why an exponent is not known.
    new : int
        Trials that were added; one that another process on the folder wrote sooner does not count.
    done : int
        Trials of the study in the store that its last round asked for.
    seconds : float
        That it took.
    messages : tuple of str
        What there is to say, such as why no exponent could be fitted.

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
        return self.reason not in ("time", "interrupted")

    def to_dict(self) -> dict[str, Any]:
        return {**super().to_dict(), "finished": self.finished}


@dataclass(frozen=True)
class Progress(base.Progress, Described):
    """How far a run of a study is, in trials of the round under way.

    Parameters
    ----------
    done, total, note, facts, seconds_left
        As of all progress.
    round : int
        Which one, from one.
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
    """One run of a study under way; `go` gives its progress."""

    def __init__(self, store: Store, study: Study, pool: Pool, limit: float | None):
        self.store, self.study, self.pool = store, study, pool
        self.begun = time.monotonic()
        self.deadline = None if limit is None else self.begun + limit
        self.ledger = Ledger(study.kind, study.criteria)
        self.planning = Rounds(study, self.ledger)
        self.order = random.Random(os.urandom(16))  # processes that share a folder go ways of their own
        self.wanted: Wanted = {}
        self.missing = Missing(self.ledger, {}, self.order)
        self.seen: set[str] = set()
        self.buffer: dict[tuple[str, int], Row] = {}  # rows to write, by cell and number
        self.again: list[Batch] = []
        self.flying = 0  # trials that workers are at
        self.fresh: list[pl.DataFrame] = []  # rows that nobody was told of
        self.written = self.round = 0
        self.flushed = self.begun
        self.shared = False  # others have written since this process began
        self.halted: str | None = None
        self.note = ""
        self.warmed: set[tuple] = set()

    def go(self) -> Generator[Progress, None, None]:
        """Run rounds until there is none left, giving progress at every look."""
        stop = (lambda: self.pool.stopping) if self.pool.in_threads else pressed
        results = self.pool.results(
            partial(run_batch, self.study.seed, stop), self._feed(), _LOOK_SECONDS, errors="give"
        )
        try:
            for done in results:
                if done is not None:
                    self._take(done)
                else:
                    self._look()
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
        done = sum(self.ledger.known(cell, count) for cell, count in self.wanted.items())
        reason, seconds = self.halted or self.planning.reason, time.monotonic() - self.begun
        return Outcome(reason, self.written, done, seconds, tuple(self.planning.messages))

    def _feed(self) -> Iterator[Batch | None]:
        """Give batches, round by round; None while all that is left of a round is being run."""
        self._scan()
        for wanted, note in self.planning:
            self.wanted, self.note = wanted, note
            self.round += 1
            self.missing = Missing(self.ledger, wanted, self.order)
            self._prepare(self.missing.cells)
            while self.missing or self.again or self.flying:
                if self.halted:
                    return
                batch = self.again.pop() if self.again else self._batch()
                if batch is not None:
                    self.flying += len(batch.numbers)
                yield batch
            self._flush()  # others may wait for these rows

    def _batch(self) -> Batch | None:
        if self._flush_is_due():
            self._flush()
        taken = self.missing.take(self._size)
        if taken is None:
            return None
        return Batch(*taken, self._own(taken[0]))

    def _own(self, cell: Cell) -> tuple:
        """Return what a worker in another process has to be told of."""
        if self.pool.in_threads:
            return ()
        kind, surrogate = self.study.kind, cell.own_surrogate
        mine = () if kind.name in KINDS.built_in else (kind,)
        return mine if surrogate is None else (*mine, surrogate)

    def _size(self, cell: Cell) -> int:
        pace = self.ledger.pace(cell)
        seconds = _SHARED_BATCH if self.shared else _BATCH_SECONDS
        size = _FIRST_BATCH if pace is None else seconds / max(pace, 1e-6)
        share = self.missing.waiting / (_BATCHES * self.pool.count)
        return int(np.clip(min(size, share), 1, _BATCH_TRIALS))

    def _prepare(self, cells: list[Cell]) -> None:
        """Refuse what does not fit, and have kernels compiled before trials fan out."""
        if cells and self.pool.here:
            largest = max((cell.problem for cell in cells), key=lambda one: one.n * one.samples * one.m)
            what = f"{self.pool.count} trials with n={largest.n}, m={largest.m}, {largest.samples} samples"
            require_memory(self.pool.count * largest.memory(), f"{what} at a time")
        groups = {kernel_group(cell): cell for cell in cells}
        warm_up(cell for group, cell in groups.items() if group not in self.warmed)
        self.warmed.update(groups)

    def _look(self) -> None:
        if self.deadline is not None and time.monotonic() >= self.deadline:
            self.halted, self.pool.stopping = "time", True
        if self._flush_is_due():
            self._flush()

    def _progress(self) -> Progress:
        rows = pl.concat(self.fresh) if self.fresh else None
        self.fresh = []
        total = sum(self.wanted.values())
        new, seconds = self.written + len(self.buffer), time.monotonic() - self.begun
        facts = (f"{new / seconds:.3g} a second",) if new else ()
        note = f"round {self.round}: {self.note}" if self.note else ""
        done = total - self.missing.waiting - self.flying - sum(len(batch.numbers) for batch in self.again)
        left = (total - done) * seconds / new if new and done < total else None
        return Progress(done, total, note, facts, left, self.round, new, seconds, rows)

    # -- what comes back -------------------------------------------------------------------------------------

    def _take(self, done: Done) -> None:
        """Keep the rows of a batch; raise what stopped it, unless it shall be tried again."""
        batch, problem = done.item, done.error
        self.flying -= len(batch.numbers)
        rows = done.value or []
        if rows:
            self._keep(batch.cell, rows)
        left = np.setdiff1d(batch.numbers, [number for _, number, *_ in rows])
        if not left.size:
            return
        if self.halted or self.pool.stopping:
            self.ledger.take_back(batch.cell, left)
            self.missing.learnt([batch.cell.key])
            return
        lost = isinstance(problem, KeyboardInterrupt) or type(problem).__name__ == "KilledWorker"  # Dask's
        if problem is not None and not lost:
            raise _told(problem)
        attempt = batch.attempt + 1 if left.size == len(batch.numbers) else 1
        if attempt > _ATTEMPTS:
            place = f"n={batch.cell.problem.n}, samples={batch.cell.problem.samples}"
            why = problem or "they end early"
            raise SterlingError(
                f"workers give no rows for trials of {place} ({why}): is something stopping or killing them?"
            )
        self.again.append(Batch(batch.cell, left, batch.own, attempt))

    def _keep(self, cell: Cell, rows: list[Row]) -> None:
        frame = frame_of(self.study.kind, rows).with_columns(cell=pl.lit(cell.key))
        self.fresh.append(frame)
        new = self.ledger.record(frame, {cell.key: cell})[cell.key]
        self.missing.learnt([cell.key])
        self.buffer |= {(cell.key, row[1]): row for row in rows if row[1] in set(new.tolist())}

    # -- the store -------------------------------------------------------------------------------------------

    def _flush_is_due(self) -> bool:
        now = time.monotonic()
        spent, (least, most) = now - self.flushed, _FLUSH_SECONDS
        if self.shared and len(self.buffer) > _AWAITED * self.missing.waiting:
            return spent >= least / 2  # towards the end of a round others are about to do the same trials
        return spent >= min(most, max(least, _FLUSH_SHARE * (now - self.begun)))

    def _flush(self) -> None:
        """Look for what others have written, and write what they have not."""
        self.flushed = time.monotonic()
        try:
            self._scan()
        finally:
            if self.buffer:
                self.store.add(self.buffer.values())
                self.written += len(self.buffer)
                self.buffer = {}  # only now: rows that could not be written are tried again

    def _scan(self) -> None:
        """Read the shards that are new."""
        for name in self.store._names():
            if name in self.seen or name in self.store._mine:
                continue
            try:
                frame = self.store._read(name, self.ledger.columns)
            except FileNotFoundError:  # merged into another shard, which the next look finds
                continue
            self.seen.add(name)
            self.shared = self.shared or self.round > 0
            if frame is not None:
                self.missing.learnt(self.ledger.record(frame, self.store.cells))
                if self.buffer:
                    for place in frame.select("cell", "trial").iter_rows():
                        self.buffer.pop(place, None)


def _told(problem: BaseException) -> BaseException:
    """Return what to raise for a batch that failed."""
    if isinstance(problem, CancelledError):
        return SterlingError("trials were given up: is the cluster or the executor still running?")
    if isinstance(problem, BrokenExecutor):
        return SterlingError(
            f"a worker of the executor died, for lack of memory perhaps ({problem}): finished trials are "
            "kept, and a run with a new executor goes on"
        )
    return problem
