"""Running a study, or going on with one; and running one of its trials again."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from sterling.errors import InputError
from sterling.study.collector import Collector, Outcome, Progress
from sterling.study.executors import open_workers
from sterling.study.grid import Study
from sterling.study.kinds import Cell, split_key, trial_seeds
from sterling.study.store import Store
from sterling.study.trial import run_trial

if TYPE_CHECKING:
    from sterling.dynamics.orbit import Orbit

__all__ = ["Outcome", "Progress", "find_cell", "open_store", "replay", "run"]


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
    plan_study = store.study if width is None else replace(store.study, width=width)
    limit = time_limit if time_limit is not None else plan_study.time
    with store.working():
        store.tidy()
        with open_workers(threads, cluster, executor) as workers:
            collector = Collector(store, plan_study, workers, limit, progress)
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

    Raises
    ------
    InputError
        If ``key`` names no trial of this study.
    StoreError
        If the folder holds no study.

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
    cell = find_cell(store, name)
    seeds = trial_seeds(store.study.seed, cell, number)
    if store.study.kind.replay is not None:
        return store.study.kind.replay(cell, seeds, record)
    return run_trial(cell, number, store.study.seed)


def find_cell(store: Store, name: str) -> Cell:
    """Return the cell of a study with this hash, from its grid or from its rows."""
    for cell in store.study.cells:
        if cell.key == name:
            return cell
    if name not in store.cells:
        store.trials(["cell"])  # the shards know the cells of an adaptive study
    if name not in store.cells:
        raise InputError(f"the study in {store.folder} has no cell {name}")
    return store.cells[name]
