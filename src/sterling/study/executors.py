"""Where trials run: threads of this process, or a Dask cluster, both as `concurrent.futures.Executor`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sterling.cores import usable_cores
from sterling.errors import InputError, SterlingError
from sterling.study.trial import Cell, run_batch, warm_up

_CONNECT_SECONDS = 30


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
        Run on this one. Its tasks must be able to import sterling.

    Raises
    ------
    InputError
        If Dask is missing or the arguments do not fit.
    SterlingError
        If the cluster does not answer.
    """
    if threads is not None and (isinstance(threads, bool) or not isinstance(threads, int) or threads < 1):
        raise InputError(f"threads is {threads!r}; it must be a positive integer")
    if cluster is not None and executor is not None:
        raise InputError("give a cluster or an executor, not both")
    if executor is not None:
        workers = threads or getattr(executor, "_max_workers", None) or usable_cores()
        yield Workers(lambda *work: executor.submit(run_batch, *work), lambda: workers, warm_up, lambda: None)
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


@contextmanager
def _dask(address: str, threads: int | None) -> Iterator[Workers]:
    try:
        from distributed import Client, LocalCluster
    except ImportError:
        raise InputError("a cluster needs Dask: pip install 'sterling[cluster]'") from None
    if address != "local" and "://" not in address:
        raise InputError(f"the cluster {address!r} is no address; write 'local' or 'tcp://host:8786'")
    local = None
    if address == "local":
        local = LocalCluster(
            n_workers=threads or usable_cores(),
            threads_per_worker=1,
            processes=True,
            dashboard_address=None,  # pyright: ignore[reportArgumentType]
        )
    try:
        try:
            client = Client(local or address, timeout=_CONNECT_SECONDS, set_as_default=False)
        except (OSError, ValueError) as problem:
            raise SterlingError(
                f"the cluster {address} does not answer ({problem}): is its scheduler running?"
            ) from None
        with client:
            yield _dask_workers(client)
    finally:
        if local is not None:
            local.close()


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

    def count() -> int:
        return max(1, sum(client.ncores().values()))

    def warm(cells: list[Cell]) -> None:
        client.run(warm_up, cells)

    return Workers(submit, count, warm, stop)
