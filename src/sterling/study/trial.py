"""Running trials, of whatever kind: one, a batch, and the short ones that compile kernels beforehand."""

from __future__ import annotations

import signal
import time
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from sterling import __version__
from sterling.base.registry import register
from sterling.errors import SterlingError, SterlingWarning
from sterling.study.cells import Cell, trial_seeds
from sterling.study.kinds import Cancelled, Kind, get_kind

#: A row of a shard: the cell's text, the number, what the kind measured, seconds and version.
Row = tuple[Any, ...]

Stop = Callable[[], bool]


def run_trial(cell: Cell, number: int, root: int, stop: Stop | None = None) -> dict[str, Any]:
    """Run one trial on one thread and return what its kind measures.

    Parameters
    ----------
    cell, number, root : Cell, int, int
        What the trial is one of, which, and the seed of the study.
    stop : callable, optional
        Without arguments; whether the trial is wanted no more. It is asked several times a second.

    Returns
    -------
    dict
        Column to value.

    Raises
    ------
    Cancelled
        If ``stop()`` came true meanwhile.

    Examples
    --------
    >>> import sterling as st
    >>> from sterling.study import Cell, run_trial
    >>> row = run_trial(Cell("train", st.Problem(n=8, samples=200), {"steps": 1000}), 0, root=0)
    >>> row["verdict"], row["errors"]
    ('OPTIMAL', 0)
    """

    def look(*_progress) -> None:
        if stop is not None and stop():
            raise Cancelled

    kind = get_kind(cell.kind)
    return _checked(kind, kind.run(cell, trial_seeds(root, cell, number), look))


def _checked(kind: Kind, found: Any) -> dict[str, Any]:
    """Return the row that a kind gave, in the order of its columns."""
    rows: list[Mapping[str, Any]] = [found] if isinstance(found, Mapping) else list(found)
    if len(rows) != 1 or set(rows[0]) != set(kind.columns):
        what = f"{len(rows)} rows" if len(rows) != 1 else f"the columns {', '.join(map(str, rows[0]))}"
        raise SterlingError(
            f"a trial of the kind {kind.name!r} gave {what}; it must give one row with "
            f"{', '.join(kind.columns)}"
        )
    return {name: rows[0][name] for name in kind.columns}


@dataclass(frozen=True)
class Batch:
    """Some trials of a cell, as they go to a worker; ``attempt`` counts from one.

    ``own`` are the kind and the surrogate of the cell where they are the user's: other processes do not know
    them.
    """

    cell: Cell
    numbers: np.ndarray
    own: tuple[Any, ...] = ()
    attempt: int = 1


def run_batch(root: int, stop: Stop | None, batch: Batch) -> list[Row]:
    """Run the trials of a batch, one after the other; stop early, with what is done, once ``stop()``."""
    for thing in batch.own:
        register(thing)
    cell, rows = batch.cell, []
    try:
        for number in map(int, batch.numbers):
            if stop is not None and stop():
                break
            begun = time.perf_counter()
            found = run_trial(cell, number, root, stop)
            rows.append((cell.text, number, *found.values(), time.perf_counter() - begun, __version__))
    except Cancelled:
        pass
    return rows


_pressed = False  # whether Ctrl-C came to this worker


def pressed() -> bool:
    """Whether this process, a worker of a pool, was asked to end."""
    return _pressed


def be_worker() -> None:
    """Heed Ctrl-C in a worker: give up the trial under way, without a word, and wait to be stopped."""

    def note(number, frame):
        global _pressed
        _pressed = True

    signal.signal(signal.SIGINT, note)
    if hasattr(signal, "pthread_sigmask"):  # what came while the process began is heard now
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


def kernel_group(cell: Cell) -> tuple:
    """Return what decides which kernels a cell needs."""
    problem = cell.problem
    surrogate = cell.settings.get("surrogate")
    return cell.kind, surrogate, problem.m > 1, problem.noise > 0, str(problem.inputs), problem.normalize


def warm_up(cells: Iterable[Cell]) -> None:
    """Compile (or load) every kernel that the cells need, by short trials on tiny samples."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", SterlingWarning)  # they would speak of the tiny trial
        for cell in {kernel_group(cell): cell for cell in cells}.values():
            small = get_kind(cell.kind).small
            if small is not None:
                try:
                    run_trial(small(cell), 0, 0)
                except Cancelled:
                    raise KeyboardInterrupt from None
