"""Work on threads, or on any executor: the one loop that hands out work, shows progress and heeds Ctrl-C.

The caller decides what the work is and what becomes of results. `resources.py` says how many cores there are.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import (
    FIRST_COMPLETED,
    BrokenExecutor,
    CancelledError,
    Executor,
    Future,
    ThreadPoolExecutor,
    wait,
)
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from sterling.base import checks
from sterling.base.interrupts import deferred_interrupt
from sterling.base.resources import one_core, thread_count, usable_cores
from sterling.errors import InputError

Item = TypeVar("Item")
Value = TypeVar("Value")

_AHEAD = 2  # items in flight for each worker, so that none waits for the next
_LOOK = 0.2  # seconds between two looks
_END = object()  # of the items


@dataclass(frozen=True)
class Done(Generic[Item, Value]):
    """An item whose work is over: its value, or the error that it ended with."""

    item: Item
    value: Value
    error: BaseException | None = None


class Pool:
    """Workers, for the length of a `with` block: threads of our own, or an executor of the caller.

    The caller's executor stays open and must be able to pickle the work. Ctrl-C is raised at the next look of
    `results`; a second one acts at once. ``count`` is how many items are worked on at a time, ``in_threads``
    whether the workers are threads of this process, ``here`` whether they run on this machine. Long work in
    threads should check ``stopping`` now and then. Whoever sets it still gets what is finished.
    """

    def __init__(self, threads: int | None = None, executor: Executor | None = None):
        self.stopping = False
        self._given = executor
        if executor is None:
            self.count = thread_count(threads)
        else:
            checks.instance_of(
                executor,
                Executor,
                "executor",
                "a concurrent.futures.Executor: a ProcessPoolExecutor, or get_executor() of a Dask client",
            )
            own = getattr(executor, "_max_workers", None) or usable_cores()
            self.count = own if threads is None else checks.integer(threads, "threads", 1)
        self.in_threads = executor is None or isinstance(executor, ThreadPoolExecutor)
        self.here = self.in_threads or type(executor).__name__ == "ProcessPoolExecutor"

    def __enter__(self) -> Pool:
        with ExitStack() as stack:
            # Before the first thread starts, so that no Ctrl-C can fall between its start and its end.
            self._asked = stack.enter_context(deferred_interrupt())
            if self._given is None:
                self._executor: Executor = ThreadPoolExecutor(self.count, thread_name_prefix="sterling")
                stack.callback(self._executor.shutdown, cancel_futures=True)
            else:
                self._executor = self._given
            stack.callback(setattr, self, "stopping", True)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *problem) -> bool | None:
        return self._stack.__exit__(*problem)

    def results(
        self,
        work: Callable[[Item], Value],
        items: Iterable[Item | None],
        every: float = _LOOK,
        errors: str = "raise",
    ) -> Generator[Done[Item, Any] | None, None, None]:
        """Give the results of ``work(item)``, in the order of completion, and None at every look.

        None in place of an item means "not yet": it waits for results that were given. ``every`` is the time
        between two looks in seconds. With ``errors="give"`` an error of the work is given like a value.
        Otherwise it is raised, as KeyboardInterrupt is after Ctrl-C, once all other results have been given.
        """
        feed = iter(items)
        more = True
        looked = time.monotonic()
        running: dict[Future, Item] = {}
        failure: BaseException | None = None
        try:
            while more or running:
                if failure is not None or self.stopping:
                    more = False
                    self._stop(running)
                while more and len(running) < _AHEAD * self.count:
                    item: Any = next(feed, _END)
                    if item is None:
                        break
                    if item is _END:
                        more = False
                    else:
                        running[self._submit(work, item)] = item
                patience = max(0.0, looked + every - time.monotonic())
                if more and not running:  # the items wait for something outside
                    time.sleep(patience)
                for future in wait(running, patience, FIRST_COMPLETED).done:
                    item = running.pop(future)
                    error = CancelledError() if future.cancelled() else future.exception()
                    done = Done(item, future.result() if error is None else None, error)
                    if done.error is None or (errors == "give" and failure is None):
                        yield done
                    else:
                        failure = failure or done.error
                if failure is None and self._asked():
                    failure = KeyboardInterrupt()
                elif time.monotonic() - looked >= every:
                    looked = time.monotonic()
                    yield None
            if failure is not None:
                raise failure
        finally:  # the caller may have had enough, or the feed failed
            self._stop(running)
            wait(running)
            self.stopping = False

    def _submit(self, work: Callable[[Item], Value], item: Item) -> Future:
        try:
            return self._executor.submit(partial(_alone, work), item)
        except BrokenExecutor as problem:
            future: Future = Future()
            future.set_exception(problem)
            return future
        except RuntimeError as problem:
            raise InputError(f"the executor accepts no work ({problem}): give an open one") from None

    def _stop(self, running: dict[Future, Any]) -> None:
        """Have the work end; drop items that have not begun."""
        self.stopping = True
        for future in list(running):
            if future.cancel():
                del running[future]


def _alone(work: Callable[[Item], Value], item: Item) -> Value:
    """Do the work as one among several: it leaves the other cores to them."""
    with one_core():
        return work(item)
