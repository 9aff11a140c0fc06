"""Running a study, or going on with one; and running one of its trials again."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Generator, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import replace
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from sterling.base.files import as_path
from sterling.base.pool import Pool
from sterling.base.progress import ProgressCallback, reporting
from sterling.errors import InputError
from sterling.study.cells import split_key, trial_seeds
from sterling.study.collector import Collector, Outcome, Progress
from sterling.study.grid import Study
from sterling.study.store import Store
from sterling.study.trial import run_trial

if TYPE_CHECKING:
    from sterling.dynamics.orbit import Orbit


def iterate(
    study: Study | str | os.PathLike,
    folder: str | os.PathLike | None = None,
    *,
    threads: int | None = None,
    executor: Executor | None = None,
    width: float | None = None,
    time_limit: float | None = None,
) -> Generator[Progress, None, Outcome]:
    """Run a study, or go on with one, giving progress with the new rows several times a second.

    Leaving the loop early stops the workers; what is finished by then is in the store.

    Parameters
    ----------
    study : Study or path
        A study, its TOML file, or the folder of one begun earlier.
    folder : path, optional
        Where to keep it. Needed unless ``study`` is a folder or a file.
    threads : int, optional
        Trials at a time: all cores by default. No result depends on it.
    executor : concurrent.futures.Executor, optional
        Where trials run instead of threads; see `open_cluster`. After Ctrl-C threads give up what they are
        at; processes do so where Ctrl-C reaches them too, as at a terminal, and else end their batches.
        Whether all trials at a time fit into memory is checked for threads and for a ProcessPoolExecutor;
        the memory of other executors' workers is not known here.
    width, time_limit : float, optional
        Instead of the study's own ``width`` and ``time`` in this call.

    Returns
    -------
    Outcome
        As the value of the generator.

    Yields
    ------
    Progress
        With ``rows``, the trials finished since the one before.

    Raises
    ------
    InputError
        If an argument cannot be used, or a folder is missing.
    StoreError
        If a shard cannot be written; shards before it are safe.
    SterlingError
        If workers die again and again.
    KeyboardInterrupt
        After Ctrl-C, with ``error.outcome``; what was finished is in the store.

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
    narrowed = store.study if width is None else replace(store.study, width=width)
    limit = time_limit if time_limit is not None else narrowed.time
    store._tidy()
    try:
        with Pool(threads, executor) as pool:
            collector = Collector(store, narrowed, pool, limit)
            try:
                yield from collector.go()
            except KeyboardInterrupt as error:
                error.outcome = collector.outcome  # type: ignore[attr-defined]
                error.add_note(
                    f"interrupted after {collector.written:,} new trials, which are in {store.folder}: the "
                    "next run goes on"
                )
                raise
    finally:
        with contextlib.suppress(OSError):  # many small shards cost speed only
            store._gather()
    return collector.outcome


def run(
    study: Study | str | os.PathLike,
    folder: str | os.PathLike | None = None,
    *,
    threads: int | None = None,
    executor: Executor | None = None,
    width: float | None = None,
    time_limit: float | None = None,
    progress: bool | ProgressCallback = False,
) -> Outcome:
    """Run a study, or go on with one.

    Parameters
    ----------
    study, folder, threads, executor, width, time_limit
        As in `iterate`.
    progress : bool or callable
        Shows progress, or gets a `Progress` several times a second.

    Returns
    -------
    Outcome
        How it ended; it raises as `iterate` does.

    Examples
    --------
    >>> import tempfile
    >>> from sterling.study import Store, Study, run
    >>> folder = tempfile.mkdtemp()
    >>> outcome = run(Study(n=8, samples=[20, 40], trials=10, steps=500), folder)
    >>> outcome.reason, outcome.new
    ('complete', 20)
    >>> run(folder).new
    0
    >>> Store(folder).counts("optimal").select("samples", "trials").rows()
    [(20, 10), (40, 10)]
    """
    steps = iterate(study, folder, threads=threads, executor=executor, width=width, time_limit=time_limit)
    with contextlib.closing(steps), reporting(progress, "trials") as show:
        while True:
            try:
                now = next(steps)
            except StopIteration as end:
                return end.value
            if show is not None:
                show(now)


@contextmanager
def passing_store(
    study: Study, threads: int | None = None, progress: bool | ProgressCallback = False
) -> Iterator[Store]:
    """Run a study in a folder that is gone at the end, and give its store."""
    with TemporaryDirectory(prefix="sterling-") as folder:
        try:
            run(study, folder, threads=threads, progress=progress)
        except KeyboardInterrupt:
            raise KeyboardInterrupt from None  # without the word that the next run goes on
        yield Store(folder)


def open_store(study: Study | str | os.PathLike, folder: str | os.PathLike | None = None) -> Store:
    """Return the store of a study, made if it is new."""
    if isinstance(study, Study):
        if folder is None:
            raise InputError("name the folder in which the study shall lie")
        return Store(folder, study)
    path = as_path(study, "the study")
    if os.path.isdir(path):
        if folder is not None:
            raise InputError(f"{path} is the folder of a study, which goes on where it is: give no other")
        return Store(path)
    read = Study.from_toml(path)
    return Store(path.with_suffix("") if folder is None else folder, read)


def replay(
    folder: str | os.PathLike, key: str, record: tuple[str, ...] = ("flips",)
) -> Orbit | dict[str, Any]:
    """Run one trial of a study again, bit for bit as in the study.

    Parameters
    ----------
    folder : path
        The folder of the study.
    key : str
        The trial's name, HASH-NUMBER: the columns ``cell`` and ``trial`` of its row. The trial need not have
        been run before.
    record : tuple of str
        What the orbit shall keep of its course, as in `train`.

    Returns
    -------
    Orbit or dict
        The whole run; of a trial that is no run, what its kind measures.

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
    name, number = split_key(key)
    cells = {cell.key: cell for cell in store.study.cells}
    if name not in cells:
        store.trials(["cell"])  # the shards know the cells of an adaptive study
        cells = store.cells
    if name not in cells:
        raise InputError(f"the study in {store.folder} has no cell {name}")
    cell = cells[name]
    if store.study.kind.replay is not None:
        return store.study.kind.replay(cell, trial_seeds(store.study.seed, cell, number), record)
    return run_trial(cell, number, store.study.seed)
