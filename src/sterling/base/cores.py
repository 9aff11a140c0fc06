"""The cores that this process may use, and work shared among them."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor


def usable_cores() -> int:
    """Return how many cores this process may use: fewer than there are under taskset or a scheduler."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        return os.cpu_count() or 1


def for_each(work: Callable[[int], None], items: Iterable[int]) -> None:
    """Call ``work`` for each item, on as many threads as there are cores; it should release the GIL."""
    listed = list(items)
    threads = min(len(listed), usable_cores())
    if threads < 2:
        for item in listed:
            work(item)
        return
    with ThreadPoolExecutor(threads) as pool:
        list(pool.map(work, listed))
