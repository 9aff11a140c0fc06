"""Running a study: rounds of trials, handed to workers in batches, stored as they come back.

What is run is decided in rounds by `plans.py` from complete earlier rounds alone, so it depends neither on
the workers nor on when a study was broken off; trials in the store already are not run again.
"""

from __future__ import annotations

import os
import random
import time
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, CancelledError, Executor, Future, wait
from dataclasses import dataclass, replace

import numpy as np

from sterling.errors import InputError, SterlingError
from sterling.study.criteria import parse_criterion
from sterling.study.executors import Workers, open_workers
from sterling.study.grid import Study
from sterling.study.ledger import Ledger, Plan
from sterling.study.plans import rounds
from sterling.study.schema import frame_of
from sterling.study.store import Store
from sterling.study.trial import Cell, Row, kernel_kind, split_key

_BATCH_SECONDS = 0.25  # a batch should last about so long
_BATCH_TRIALS = 500
_FIRST_BATCH = 4  # trials of a cell whose pace is unknown
_FLUSH_SECONDS = 2.0
_FLUSH_ROWS = 20_000
_LOOK_SECONDS = 0.2  # between looks at clocks and Ctrl-C
_SCAN_SECONDS = 2.0  # between looks for other processes' shards
_ATTEMPTS = 3  # for a batch whose worker was lost


@dataclass(frozen=True)
class Outcome:
    """How a call of `run` ended.

    Attributes
    ----------
    reason : str
        "complete", "width reached", "trials spent", "time" or "interrupted".
    new : int
        Trials that this call ran.
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


def run(
    study: Study | str | os.PathLike,
    folder: str | os.PathLike | None = None,
    *,
    threads: int | None = None,
    cluster: str | None = None,
    executor: Executor | None = None,
    width: float | None = None,
    time_limit: float | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> Outcome:
    """Run a study, or go on with one.

    Parameters
    ----------
    study : Study or path
        A study, its TOML file, or the folder of one begun earlier.
    folder : path, optional
        Where to keep it. Needed unless ``study`` is a folder.
    threads, cluster, executor
        Where trials run, see `open_workers`. No result depends on it.
    width, time_limit : float, optional
        Instead of the study's own ``width`` and ``time`` in this call.
    progress : callable, optional
        Gets a `Progress` several times a second.

    Returns
    -------
    Outcome
        Also after Ctrl-C; what was finished is in the store.

    Raises
    ------
    InputError
        If an argument cannot be used, or a folder is missing.
    StoreError
        If a shard cannot be written; shards before it are safe.
    SterlingError
        If the cluster does not answer, or its workers die again and again.
    """
    store = open_store(study, folder)
    plan_study = store.study if width is None else _with_width(store.study, width)
    limit = time_limit if time_limit is not None else plan_study.time
    with store.working():
        store.tidy()
        with open_workers(threads, cluster, executor) as workers:
            collector = _Collector(store, plan_study, workers, limit, progress)
            outcome = collector.go()
        store.tidy(always=outcome.finished and outcome.new > 0)
    return outcome


def open_store(study: Study | str | os.PathLike, folder: str | os.PathLike | None = None) -> Store:
    """Return the store of a study, made if it is new."""
    if isinstance(study, Study):
        if folder is None:
            raise InputError("name the folder in which the study shall lie")
        return Store(folder, study)
    if os.path.isdir(study):
        return Store(study)
    read = Study.from_toml(study)
    return Store(os.path.splitext(study)[0] if folder is None else folder, read)


def replay(folder: str | os.PathLike, key: str, record: tuple[str, ...] = ("flips",)):
    """Run one trial of a study again and return its `Orbit`, bit for bit the run of the study.

    ``key`` is the trial's name, HASH-NUMBER: the columns ``cell`` and ``trial`` of its row.
    """
    from sterling.study.trial import run_orbit

    store = Store(folder)
    name, number = split_key(key)
    return run_orbit(find_cell(store, name), number, store.study.seed, record=record)


def find_cell(store: Store, name: str) -> Cell:
    """Return the cell of a study with this hash, from its grid or from its rows."""
    import polars as pl

    from sterling.study.trial import CELL_COLUMNS

    for cell in store.study.cells:
        if cell.key == name:
            return cell
    frame = store.trials(["cell", *CELL_COLUMNS]).filter(pl.col("cell").cast(pl.String) == name)
    if frame.is_empty():
        raise InputError(f"the study in {store.folder} has no cell {name}")
    return Cell.from_content(frame.row(0, named=True))


def _with_width(study: Study, width: float) -> Study:
    return replace(study, width=width)


class _Collector:
    """One call of `run` under way."""

    def __init__(self, store: Store, study: Study, workers: Workers, limit: float | None, show):
        self.store, self.study, self.workers, self.show = store, study, workers, show
        self.begun = time.monotonic()
        self.deadline = None if limit is None else self.begun + limit
        self.ledger = Ledger(parse_criterion(c) for c in study.criteria)
        self.order = random.Random(os.urandom(16))  # processes that share a folder take other trials first
        self.seen: set[str] = set()
        self.buffer: list[Row] = []
        self.flushed = self.scanned = self.begun
        self.running: dict[Future, tuple[Cell, np.ndarray, int]] = {}
        self.new = self.round = 0
        self.halted: str | None = None
        self.note = ""
        self.warmed: set[tuple] = set()

    def go(self) -> Outcome:
        from sterling.interrupts import deferred_interrupt

        plan: Plan = {}
        planning = rounds(self.study, self.ledger)
        self._scan(self.store.shards())
        with deferred_interrupt() as interrupted:
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
        done = sum(count - self.ledger.missing(cell, count).size for cell, count in plan.items())
        reason = self.halted or planning.reason
        return Outcome(reason, self.new, done, time.monotonic() - self.begun, tuple(planning.messages))

    def _run_round(self, plan: Plan) -> None:
        gaps = self.ledger.missing_in(plan)
        planned = sum(plan.values())
        self._warm(list(gaps))
        queue = list(gaps)
        self.order.shuffle(queue)
        while (queue or self.running) and not self._halt():
            room = 2 * self.workers.count() - len(self.running)
            while queue and room > 0:
                self._submit_from(queue, gaps)
                room -= 1
            self._take_finished(_LOOK_SECONDS)
            self._look_for_others(gaps, queue)
            if time.monotonic() - self.flushed > _FLUSH_SECONDS or len(self.buffer) > _FLUSH_ROWS:
                self._flush()
            if self.show is not None:
                waiting = sum(gaps[cell].size for cell in queue)
                flying = sum(len(numbers) for _, numbers, _ in self.running.values())
                self.show(self._progress(planned, planned - waiting - flying))

    def _progress(self, planned: int, done: int) -> Progress:
        return Progress(self.round, planned, done, self.new, time.monotonic() - self.begun, self.note)

    def _warm(self, cells: list[Cell]) -> None:
        """Have kernels compiled before trials fan out, once for each kind of cell."""
        kinds = {kernel_kind(cell): cell for cell in cells}
        new = [cell for kind, cell in kinds.items() if kind not in self.warmed]
        if new:
            self.workers.warm(new)
            self.warmed.update(kinds)

    def _submit_from(self, queue: list[Cell], gaps: dict[Cell, np.ndarray]) -> None:
        cell = queue[-1]
        gap = gaps[cell]
        pace = self.ledger.pace(cell)
        size = (
            _FIRST_BATCH if pace is None else int(np.clip(_BATCH_SECONDS / max(pace, 1e-6), 1, _BATCH_TRIALS))
        )
        self._submit(cell, gap[:size], 1)
        gaps[cell] = gap[size:]
        if not gaps[cell].size:
            queue.pop()

    def _submit(self, cell: Cell, numbers: np.ndarray, attempt: int) -> None:
        future = self.workers.submit(cell, numbers.tolist(), self.study.seed)
        self.running[future] = (cell, numbers, attempt)

    def _take_finished(self, patience: float) -> None:
        """Keep the rows of batches that are done; one that failed is reported once the others are kept."""
        if not self.running:
            return
        failure: BaseException | None = None
        for future in wait(self.running, timeout=patience, return_when=FIRST_COMPLETED).done:
            work = self.running.pop(future)
            try:
                self._keep(future.result())
            except (CancelledError, Exception) as problem:
                failure = failure or self._failed(problem, *work)
        if failure is not None:
            raise failure

    def _failed(self, problem: BaseException, cell: Cell, numbers: np.ndarray, attempt: int):
        """Return what to raise for a batch that failed; nothing where it is tried again or was given up."""
        if isinstance(problem, CancelledError):
            if self.halted:
                return None
            return SterlingError("the cluster gave trials up: is its scheduler still running?")
        if type(problem).__name__ != "KilledWorker":
            return problem
        if attempt >= _ATTEMPTS:
            return SterlingError(
                f"workers die on trials of n={cell.problem.n}, samples={cell.problem.samples}: {problem}"
            )
        self._submit(cell, numbers, attempt + 1)
        return None

    def _keep(self, rows: list[Row]) -> None:
        if rows:
            self.buffer += rows
            self.new += len(rows)
            self.ledger.record(frame_of(rows))

    def _drain(self) -> None:
        """Stop the workers and take what they finished."""
        if self.halted is None and self.running:
            self.halted = "failed"
        self.workers.stop()
        while self.running and self.halted != "failed":
            self._take_finished(None)  # type: ignore[arg-type]

    def _flush(self) -> None:
        self.flushed = time.monotonic()
        if self.buffer:
            name = self.store.add(self.buffer)
            assert name is not None
            self.seen.add(name)
            self.buffer = []  # only now: rows that could not be written are tried again

    def _scan(self, names: list[str]) -> bool:
        """Read the shards that are new; return whether there were any."""
        fresh = [name for name in names if name not in self.seen]
        for name in fresh:
            try:
                frame = self.store.read(name)
            except FileNotFoundError:  # merged into another shard, which the next look finds
                continue
            self.seen.add(name)
            if frame is not None:
                self.ledger.record(frame)
        return bool(fresh)

    def _look_for_others(self, gaps: dict[Cell, np.ndarray], queue: list[Cell]) -> None:
        if time.monotonic() - self.scanned < _SCAN_SECONDS:
            return
        self.scanned = time.monotonic()
        if not self._scan(self.store.shards()):
            return
        for cell in list(queue):
            gap = gaps[cell]
            known = self.ledger.missing(cell, int(gap.max()) + 1)
            gaps[cell] = gap[np.isin(gap, known)]
            if not gaps[cell].size:
                queue.remove(cell)

    def _halt(self) -> bool:
        if self.interrupted():
            self.halted = "interrupted"
        elif self.deadline is not None and time.monotonic() >= self.deadline:
            self.halted = "time"
        return self.halted is not None
