"""One call of `run`: rounds of trials, handed to workers in batches, stored as they come back.

What is run is decided in rounds by `plans.py` from complete earlier rounds alone, so it depends neither on
the workers nor on when a study was broken off; trials in the store already are not run again, nor those that
other processes on the folder are at.
"""

from __future__ import annotations

import contextlib
import os
import random
import time
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Future, wait
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import polars as pl

from sterling.errors import SterlingError
from sterling.study.executors import Workers
from sterling.study.gaps import Gaps
from sterling.study.grid import Study
from sterling.study.kinds import Cell
from sterling.study.ledger import Ledger, Wanted
from sterling.study.notices import Notices, Work
from sterling.study.plans import rounds
from sterling.study.shards import frame_of
from sterling.study.store import Store
from sterling.study.trial import Row, kernel_group

_BATCH_SECONDS = 0.25  # a batch should last about so long
_BATCH_TRIALS = 500
_FIRST_BATCH = 4  # trials of a cell whose pace is unknown
_FLUSH_SECONDS = 2.0
_FLUSH_ROWS = 20_000
_LOOK_SECONDS = 0.2  # between looks at clocks and Ctrl-C
_SCAN_SECONDS = 2.0  # between looks for other processes' shards, while no other process is known
_NOTICE_SHARE = 0.02  # of the time goes into notices for others while there are none
_NOTICE_SECONDS = 2.0  # between notices, at most
_AWAITED_SECONDS = 0.1  # between flushes while others may wait for the rows
_WAIT_SECONDS = 0.05  # between looks while other processes are at all that is left
_ATTEMPTS = 3  # for a batch whose worker was lost, or that came back empty


@dataclass(frozen=True)
class Outcome:
    """How a call of `run` ended.

    Attributes
    ----------
    reason : str
        "complete", "width reached", "trials spent", "time" or "interrupted".
    new : int
        Trials that this call added; one that another process on the folder wrote sooner does not count.
    done : int
        Trials of the study in the store that its plan asked for.
    seconds : float
    messages : tuple of str
        What the plan has to say, such as why no exponent could be fitted.
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
        """Return everything as plain values."""
        return {**asdict(self), "messages": list(self.messages), "finished": self.finished}


@dataclass(frozen=True)
class Progress:
    """How far a run of a study is: what displays are given several times a second."""

    round: int
    planned: int
    done: int
    new: int
    seconds: float
    note: str = ""

    @property
    def seconds_left(self) -> float | None:
        """Seconds that this round will still take at the pace so far, None if unknown."""
        if not self.new or self.done >= self.planned:
            return None
        return (self.planned - self.done) * self.seconds / self.new

    def to_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {**asdict(self), "seconds_left": self.seconds_left}


class Collector:
    """One call of `run` under way."""

    def __init__(self, store: Store, study: Study, workers: Workers, limit: float | None, show):
        self.store, self.study, self.workers, self.show = store, study, workers, show
        self.begun = time.monotonic()
        self.deadline = None if limit is None else self.begun + limit
        self.ledger = Ledger(study.kind, study.criteria)
        self.order = random.Random(os.urandom(16))  # processes that share a folder begin with other cells
        self.notices = Notices(store.folder)
        self.shared = False  # with other processes, as far as is known
        self.gaps = Gaps(self.ledger, {}, self.order)  # of the round under way
        self.seen: set[str] = set()
        self.buffer: list[Row] = []
        self.held: list[tuple[Cell, np.ndarray]] = []  # the trials in the buffer
        self.flushed = self.scanned = self.begun
        self.next_notice = self.begun
        self.running: dict[Future, tuple[Cell, np.ndarray, int]] = {}
        self.new = self.round = 0
        self.halted: str | None = None
        self.note = ""
        self.warmed: set[tuple] = set()

    def go(self) -> Outcome:
        from sterling.base.interrupts import deferred_interrupt

        plan: Wanted = {}
        planning = rounds(self.study, self.ledger)
        self._scan()
        with deferred_interrupt() as interrupted, contextlib.closing(self.notices):
            self.interrupted = interrupted
            try:
                for step in planning:
                    plan, self.note = step.plan, step.note
                    self.round += 1
                    self._run_round(plan)
                    if self.halted:
                        break
            finally:
                try:
                    self._drain()
                finally:
                    self._flush()
        done = sum(self.ledger.known(cell, count) for cell, count in plan.items())
        reason = self.halted or planning.reason
        return Outcome(reason, self.new, done, time.monotonic() - self.begun, tuple(planning.messages))

    def _run_round(self, plan: Wanted) -> None:
        self.gaps = Gaps(self.ledger, plan, self.order)
        planned = sum(plan.values())
        self._warm(self.gaps.cells)
        while (self.gaps or self.running) and not self._halt():
            self._hand_out()
            if self.running:
                self._take_finished(_LOOK_SECONDS)
            elif self.gaps:
                time.sleep(_WAIT_SECONDS)  # other processes are at all that is left
            if self._time_to_flush():
                self._flush()
            if self.show is not None:
                flying = sum(len(numbers) for _, numbers, _ in self.running.values())
                self.show(self._progress(planned, planned - self.gaps.waiting - flying))
        if self.shared:
            self._flush()  # others may wait for these rows

    def _progress(self, planned: int, done: int) -> Progress:
        return Progress(self.round, planned, done, self.new, time.monotonic() - self.begun, self.note)

    def _warm(self, cells: list[Cell]) -> None:
        """Have kernels compiled before trials fan out, once for each kind of cell."""
        kinds = {kernel_group(cell): cell for cell in cells}
        new = [cell for kind, cell in kinds.items() if kind not in self.warmed]
        if new:
            self.workers.warm(new)
            self.warmed.update(kinds)

    def _hand_out(self) -> None:
        """Give batches to workers that have room for them."""
        room = 2 * self.workers.count() - len(self.running)
        with self.notices.turn():
            elsewhere = self._look_for_others()
            batches = 0
            while batches < room and (batch := self.gaps.take(self._batch_size, elsewhere)):
                self._submit(*batch, 1)
                batches += 1
            self._publish(at_once=self.shared and batches > 0)

    def _batch_size(self, cell: Cell) -> int:
        pace = self.ledger.pace(cell)
        size = _FIRST_BATCH if pace is None else _BATCH_SECONDS / max(pace, 1e-6)
        share = self.gaps.waiting / (2 * self.workers.count())  # so that all workers end together
        return int(np.clip(min(size, share), 1, _BATCH_TRIALS))

    def _look_for_others(self) -> Work:
        """Return what other processes are at, once what they have written is known."""
        elsewhere = self.notices.others()  # first: what leaves a notice from now on has been written
        before, self.shared = self.shared, elsewhere is not None
        if before or self.shared or time.monotonic() - self.scanned > _SCAN_SECONDS:
            self._scan()
        return elsewhere or {}

    def _publish(self, at_once: bool = False) -> None:
        """Tell the others what this process is at, but spend little time on it while nobody may need it."""
        begun = time.monotonic()
        if not at_once and begun < self.next_notice:
            return
        work: dict[str, list[np.ndarray]] = {}
        for cell, numbers, *_ in (*self.running.values(), *self.held):
            work.setdefault(cell.key, []).append(numbers)
        self.notices.publish(work)
        now = time.monotonic()
        self.next_notice = now + min((now - begun) / _NOTICE_SHARE, _NOTICE_SECONDS)

    def _submit(self, cell: Cell, numbers: np.ndarray, attempt: int) -> None:
        try:
            future = self.workers.submit(cell, numbers.tolist(), self.study.seed)
        except BrokenExecutor as problem:
            failure = self._failed(problem, cell, numbers, attempt)
            if failure is not None:
                raise failure from None
        else:
            self.running[future] = (cell, numbers, attempt)

    def _take_finished(self, patience: float | None) -> None:
        """Keep the rows of batches that are done; one that failed is reported once the others are kept."""
        wait(self.running, timeout=patience, return_when=FIRST_COMPLETED)
        failure: BaseException | None = None
        for future in [future for future in self.running if future.done()]:
            work = self.running.pop(future)
            error = CancelledError() if future.cancelled() else future.exception()
            problem = self._failed(error, *work) if error else self._keep(future.result(), *work)
            failure = failure or problem
        if failure is not None:
            raise failure

    def _failed(
        self, problem: BaseException, cell: Cell, numbers: np.ndarray, attempt: int
    ) -> BaseException | None:
        """Return what to raise for a batch that failed; nothing where it is tried again or was given up."""
        given_up = CancelledError | BrokenExecutor | KeyboardInterrupt
        if (self.halted or self.interrupted()) and isinstance(problem, given_up):
            return None
        if isinstance(problem, CancelledError):
            return SterlingError("trials were given up: is the cluster or the executor still running?")
        if isinstance(problem, BrokenExecutor):
            return SterlingError(
                f"a worker of the executor died, for lack of memory perhaps ({problem}): finished trials are "
                "kept, and a run with a new executor goes on"
            )
        if isinstance(problem, KeyboardInterrupt):  # of a worker alone
            return self._keep([], cell, numbers, attempt)
        if type(problem).__name__ != "KilledWorker":
            return problem
        return self._again(cell, numbers, attempt, f"workers die on trials of {_place(cell)}: {problem}")

    def _keep(self, rows: list[Row], cell: Cell, numbers: np.ndarray, attempt: int) -> BaseException | None:
        """Take over the rows of a batch; trials of it that gave none are run again."""
        if rows:
            self.buffer += rows
            self.held.append((cell, numbers))
            frame = frame_of(self.study.kind, rows).with_columns(cell=pl.lit(cell.key))
            self.new += sum(map(len, self.ledger.record(frame, {cell.key: cell}).values()))
        left = numbers[~np.isin(numbers, [number for _, number in map(_name, rows)])]
        if not left.size or self.halted or self.interrupted():
            return None
        failure = f"workers return no rows for trials of {_place(cell)}: is something stopping them?"
        return self._again(cell, left, attempt if left.size == numbers.size else 0, failure)

    def _again(self, cell: Cell, numbers: np.ndarray, attempt: int, failure: str) -> BaseException | None:
        """Run a batch once more; return what to raise if that was tried often enough."""
        if attempt >= _ATTEMPTS:
            return SterlingError(failure)
        self._submit(cell, numbers, attempt + 1)
        return None

    def _drain(self) -> None:
        """Stop the workers and take what they finished."""
        if self.halted is None and self.running:
            self.halted = "failed"
        self.workers.stop()
        while self.running and self.halted != "failed":
            self._take_finished(_LOOK_SECONDS)
            self._publish()

    def _time_to_flush(self) -> bool:
        if not self.buffer:
            return False
        awaited = self.shared and len(self.running) < 2 * self.workers.count()  # nothing is left to hand out
        patience = min(_AWAITED_SECONDS, _FLUSH_SECONDS) if awaited else _FLUSH_SECONDS
        return time.monotonic() - self.flushed > patience or len(self.buffer) > _FLUSH_ROWS

    def _flush(self) -> None:
        self.flushed = time.monotonic()
        try:
            self._scan()  # others may have written some of these rows; they are not new then
        finally:
            self._write()

    def _write(self) -> None:
        if self.buffer:
            name = self.store.add(self.buffer)
            assert name is not None
            self.seen.add(name)
            self.buffer, self.held = [], []  # only now: rows that could not be written are tried again

    def _scan(self) -> None:
        """Read the shards that are new."""
        self.scanned = time.monotonic()
        mine = set(map(_name, self.buffer))
        for name in self.store.shards():
            if name in self.seen:
                continue
            try:
                frame = self.store.read(name, self.ledger.columns)
            except FileNotFoundError:  # merged into another shard, which the next look finds
                continue
            self.seen.add(name)
            if frame is None:
                continue
            learnt = self.ledger.record(frame, self.store.cells)
            self.gaps.drop_known(learnt)
            if mine:
                texts = {key: cell.text for key, cell in self.store.cells.items()}
                theirs = ((texts[key], number) for key, number in frame.select("cell", "trial").iter_rows())
                self.new -= len(mine.intersection(theirs))

    def _halt(self) -> bool:
        if self.interrupted():
            self.halted = "interrupted"
        elif self.deadline is not None and time.monotonic() >= self.deadline:
            self.halted = "time"
        return self.halted is not None


def _name(row: Row) -> tuple[str, int]:
    return row[0], row[1]


def _place(cell: Cell) -> str:
    return f"n={cell.problem.n}, samples={cell.problem.samples}"
