"""Running trials: one, or a batch as a worker does."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from sterling import __version__
from sterling.base import checks
from sterling.base.registry import register
from sterling.errors import SterlingError
from sterling.study.kind import Cancelled, Cell, Kind, Seeds, get_kind

_SHORT = 0.004  # seconds of processor time; threads run shorter trials in turn

#: A row of a shard: the cell's text, the number, what the kind measured, seconds and version.
Row = tuple[Any, ...]

Stop = Callable[[], bool]


class TrialError(SterlingError):
    """A trial returned a value that its kind does not allow."""


def trial_seeds(root: int, cell: Cell, number: int) -> Seeds:
    """Return the seeds of a trial of a study, whose root seed is ``root``.

    Each is the first word of SeedSequence(root, spawn_key=(hash as 32-bit words, number)), without its lowest
    bit. The hash is that of the problem for ``data``, and that of the cell for ``rest``.
    """
    return Seeds(_seed(root, cell.data_key, number), _seed(root, cell.key, number))


def _seed(root: int, key: str, number: int) -> int:
    hashed = np.frombuffer(bytes.fromhex(key), "<u4").tolist()
    sequence = np.random.SeedSequence(root, spawn_key=(*hashed, number))
    return int(sequence.generate_state(1, np.uint64)[0] >> np.uint64(1))


def run_trial(cell: Cell, number: int, root: int, stop: Stop | None = None) -> dict[str, Any]:
    """Run one trial on one thread and return the values of its kind's columns; cancel it once ``stop()``."""

    def look(*_progress) -> None:
        if stop is not None and stop():
            raise Cancelled

    seeds = trial_seeds(root, cell, number)
    kind = get_kind(cell.kind)
    row = _ordered(kind, kind.run(cell, seeds, look))
    for name, value in row.items():
        fault = kind.columns[name]._fault(value)
        if fault:
            raise TrialError(f"the trial {cell.key}-{number} ({kind.name}): {name} {fault}")
    return row


def _ordered(kind: Kind, found: Any) -> dict[str, Any]:
    checks.instance_of(found, Iterable, f"the row of the kind {kind.name!r}", "a mapping of column to value")
    rows = [found] if isinstance(found, Mapping) else list(found)
    if len(rows) != 1 or not isinstance(rows[0], Mapping) or set(rows[0]) != set(kind.columns):
        raise SterlingError(
            f"a trial of the kind {kind.name!r} returned {checks.shown(found)}; it must return one row with "
            f"{', '.join(kind.columns)}"
        )
    return {name: rows[0][name] for name in kind.columns}


@dataclass(frozen=True)
class TrialBatch:
    """Trials of a cell, as they go to a worker.

    ``own`` are the kind, surrogate and optimiser of the cell that a user registered: other processes do not
    know them.
    """

    cell: Cell
    numbers: np.ndarray
    own: tuple[Any, ...] = ()


class Finished(NamedTuple):
    """Result of a batch: the rows, and for each failed trial, by its number, the reason."""

    rows: list[Row]
    failed: dict[int, str]


def run_batch(root: int, stop: Stop | None, batch: TrialBatch, turn: Lock | None = None) -> Finished:
    """Run the trials of a batch one after the other. Once ``stop()`` is true, return those done so far.

    Threads share the lock ``turn``, and run short trials in turn: these are mostly Python, for which threads
    would wait thousands of times a second.
    """
    for thing in batch.own:
        register(thing)
    cell = batch.cell
    finished = Finished([], {})
    with ExitStack() as stack:
        for number in map(int, batch.numbers):
            if stop is not None and stop():
                break
            begun, busy = time.perf_counter(), time.thread_time()
            try:
                found = run_trial(cell, number, root, stop)
            except Cancelled:
                break
            except TrialError as problem:
                finished.failed[number] = str(problem)
                continue
            seconds = time.perf_counter() - begun
            finished.rows.append((cell.text, number, *found.values(), seconds, __version__))
            if turn is not None and time.thread_time() - busy < _SHORT:
                stack.enter_context(turn)
                turn = None
    return finished
