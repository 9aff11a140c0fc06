"""Where trials run: threads of this process, or a Dask cluster, both as `concurrent.futures.Executor`."""

from __future__ import annotations

import contextlib
import logging
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import BrokenExecutor, CancelledError, Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sterling.base.extras import how_to_install
from sterling.base.resources import usable_cores
from sterling.errors import InputError, SterlingError
from sterling.study.kinds import Cell
from sterling.study.trial import run_batch, warm_up

_CONNECT_SECONDS = 30
_COUNT_SECONDS = 1.0  # between questions how many workers a cluster has
_DASK_LOGGERS = ("distributed", "tornado")


@dataclass
class Workers:
    """An executor, how many trials it runs at a time, and how to prepare and stop it.

    ``submit`` takes (cell, numbers, root); its future's result is a list of rows, fewer than asked for once
    ``stop`` was called.
    """

    submit: Callable[[Cell, list[int], int], Future]
    count: Callable[[], int]
    warm: Callable[[list[Cell]], Any]
    stop: Callable[[], None]


@contextmanager
def open_workers(
    threads: int | None = None, cluster: str | None = None, executor: Executor | None = None
) -> Iterator[Workers]:
    """Open what the user asked for; it is closed again at the end, but for an executor of the user's.

    Parameters
    ----------
    threads : int, optional
        Threads, or processes of a local cluster; all cores by default.
    cluster : "local" or an address such as "tcp://host:8786", optional
        Run on a Dask cluster.
    executor : Executor, optional
        Run on this one. Its tasks must be able to import sterling. After Ctrl-C its threads give up what they
        are at; its processes do so where Ctrl-C reaches them too, as at a terminal, and else end their
        batches.

    Raises
    ------
    InputError
        If Dask is missing, the arguments do not fit, or the executor was shut down.
    SterlingError
        If the cluster does not answer.
    """
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise InputError(f"threads is {threads!r}; it must be a positive integer")
    if cluster is not None and executor is not None:
        raise InputError("give a cluster or an executor, not both")
    if executor is not None:
        if not isinstance(executor, Executor):
            raise InputError(
                f"executor is {executor!r:.60}; it must be a concurrent.futures.Executor, such as a "
                "ProcessPoolExecutor or the get_executor() of a Dask client"
            )
        yield _given(executor, threads)
    elif cluster is not None:
        with _dask(cluster, threads) as opened:
            yield opened
    else:
        workers = threads or usable_cores()
        halt = threading.Event()
        with ThreadPoolExecutor(workers, thread_name_prefix="sterling-study") as pool:
            try:
                yield Workers(
                    lambda cell, numbers, root: pool.submit(run_batch, cell, numbers, root, halt.is_set),
                    lambda: workers,
                    warm_up,
                    halt.set,
                )
            finally:
                halt.set()
                pool.shutdown(wait=True, cancel_futures=True)


def _given(executor: Executor, threads: int | None) -> Workers:
    """Return an executor of the user's as workers; it stays open at the end."""
    workers = threads or getattr(executor, "_max_workers", None) or usable_cores()
    halt = threading.Event()
    more = (halt.is_set,) if isinstance(executor, ThreadPoolExecutor) else ()  # no event reaches a process
    waiting: set[Future] = set()

    def submit(*work) -> Future:
        try:
            future = executor.submit(run_batch, *work, *more)
        except BrokenExecutor:
            raise
        except RuntimeError as problem:
            raise InputError(f"the executor takes no trials ({problem}): give one that is open") from None
        waiting.add(future)
        future.add_done_callback(waiting.discard)
        return future

    def stop() -> None:
        halt.set()
        for future in list(waiting):
            future.cancel()

    return Workers(submit, lambda: workers, warm_up, stop)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Dask's own reports from stderr: what its user should know, our errors say."""
    loggers = [
        logging.getLogger(name)
        for name in {*logging.root.manager.loggerDict, *_DASK_LOGGERS}
        if name.partition(".")[0] in _DASK_LOGGERS
    ]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL + 1)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


@contextmanager
def _interrupts_held() -> Iterator[None]:
    """Keep Ctrl-C back, here until the end and for good in threads and processes that are started meanwhile.

    A terminal sends it to all processes; workers shall not die of it, since it is this one that stops them.
    """
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    from multiprocessing import resource_tracker

    resource_tracker.ensure_running()  # started later, with the first process, it would lift the mask
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


@contextmanager
def _dask(address: str, threads: int | None) -> Iterator[Workers]:
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise InputError(f"a cluster needs Dask: {how_to_install('cluster')}") from None
    if address != "local" and "://" not in address:
        raise InputError(f"the cluster {address!r} is no address; write 'local' or 'tcp://host:8786'")
    with _quiet(), contextlib.ExitStack() as stack:
        local = None
        if address == "local":
            with _interrupts_held():
                local = LocalCluster(
                    n_workers=threads or usable_cores(),
                    threads_per_worker=1,
                    processes=True,
                    silence_logs=logging.CRITICAL + 1,  # of the workers, in their own processes
                    dashboard_address=None,  # pyright: ignore[reportArgumentType]
                )
            stack.callback(local.close)
        try:
            client = Client(local or address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as problem:
            raise SterlingError(
                f"the cluster {address} does not answer ({problem}): is its scheduler running?"
            ) from None
        stack.enter_context(client)
        yield _dask_workers(client)


@contextmanager
def _answering() -> Iterator[None]:
    try:
        yield
    except (OSError, CancelledError) as problem:
        raise SterlingError(
            "the cluster does not answer any more: is its scheduler still running?"
        ) from problem


def _dask_workers(client: Any) -> Workers:
    executor = client.get_executor(pure=False)
    waiting: set[Future] = set()

    def submit(*work) -> Future:
        future = executor.submit(run_batch, *work)
        waiting.add(future)
        future.add_done_callback(waiting.discard)
        return future

    def stop() -> None:
        for future in list(waiting):
            future.cancel()

    counted = [0, -math.inf]  # how many, and when

    def count() -> int:
        if time.monotonic() - counted[1] > _COUNT_SECONDS:
            with _answering():
                counted[:] = max(1, sum(client.ncores().values())), time.monotonic()
        return int(counted[0])

    def warm(cells: list[Cell]) -> None:
        with _answering():
            client.run(warm_up, cells)

    return Workers(submit, count, warm, stop)
