"""Executors beyond the threads of this process: processes of this machine, or a Dask cluster."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from multiprocessing import get_context, parent_process

from sterling.base import checks
from sterling.base.extras import how_to_install
from sterling.base.resources import thread_count
from sterling.errors import InputError, SterlingError

_CONNECT_SECONDS = 30


@contextmanager
def open_cluster(address: str, workers: int | None = None) -> Iterator[tuple[Executor, int]]:
    """Open a cluster, and close it at the end.

    Parameters
    ----------
    address : str
        "local" starts processes on this machine, which open no port; "tcp://host:8786" is that of a running
        Dask scheduler. Anyone who can reach a scheduler over plain TCP can run programs in its workers: use
        "tls://…" where strangers share the network.
    workers : int, optional
        Number of trials at a time: by default one for each core, or each thread of the cluster.

    Yields
    ------
    executor : Executor
        The executor to pass to `run` or `iterate`.
    workers : int
        Number of trials at a time, for their argument ``threads``.

    Raises
    ------
    SterlingError
        If the cluster does not answer; `InputError` if the address is not valid, or Dask is missing.

    Examples
    --------
    >>> from sterling.study import Study, open_cluster, run
    >>> with open_cluster("local") as (executor, workers):                  # doctest: +SKIP
    ...     run(Study(n=8, samples=40), "out", executor=executor, threads=workers)
    """
    if address == "local":
        count = thread_count(workers)
        try:
            # Spawned, not forked: a fork would copy locks that threads of this process hold.
            pool = ProcessPoolExecutor(count, get_context("spawn"), _be_worker)
        except (OSError, ImportError, NotImplementedError) as problem:  # no semaphores, as in some sandboxes
            raise SterlingError(f"this machine starts no worker processes ({problem}): use threads") from None
        try:
            yield pool, count
        except BaseException:
            for process in list((pool._processes or {}).values()):  # their results are not wanted
                process.terminate()
            raise
        finally:
            pool.shutdown(cancel_futures=True)
    elif isinstance(address, str) and "://" in address:
        with _dask(address) as (executor, known):
            yield executor, known if workers is None else checks.integer(workers, "workers", 1)
    else:
        raise InputError(
            f"{address!r:.60} is not the address of a cluster; write 'local' or 'tcp://host:8786'"
        )


@contextmanager
def open_workers(threads: int | None) -> Iterator[tuple[Executor | None, int]]:
    """Open processes for short trials; yield None, for threads, where one suffices or none can start.

    Python runs one thread at a time, so in trials of a few milliseconds threads wait for one another.
    Processes do not, but take a second to start, which they do with the first trial.
    """
    with ExitStack() as stack:
        opened: tuple[Executor | None, int] = None, thread_count(threads)
        if opened[1] > 1:
            with suppress(SterlingError):
                opened = stack.enter_context(open_cluster("local", threads))
        yield opened


_pressed = False  # whether this worker got Ctrl-C


def pressed() -> bool:
    """Whether this process, a worker of a pool, was asked to end."""
    return _pressed


def _be_worker() -> None:
    """Prepare a worker: at Ctrl-C it gives up its trial in silence, and it ends if its parent is killed."""

    def note(number, frame):
        global _pressed
        _pressed = True

    def end_with_parent():
        parent_process().join()  # type: ignore[union-attr]
        os._exit(1)

    signal.signal(signal.SIGINT, note)
    threading.Thread(target=end_with_parent, daemon=True).start()


@contextmanager
def _dask(address: str) -> Iterator[tuple[Executor, int]]:
    try:
        from distributed import Client
    except ImportError:
        raise InputError(f"a cluster needs Dask: {how_to_install('cluster')}") from None
    try:
        client = Client(address, timeout=_CONNECT_SECONDS, set_as_default=False)
    except (OSError, ValueError) as problem:
        raise SterlingError(
            f"the cluster {address} does not answer ({problem}): is its scheduler running?"
        ) from None
    with client:
        cores: dict[str, int] = client.ncores()  # type: ignore[assignment]
        yield client.get_executor(pure=False), max(1, sum(cores.values()))
