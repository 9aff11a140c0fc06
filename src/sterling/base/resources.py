"""Cores and memory that this process may use, asked before work is shared out and before large allocations.

Affinity counts, and so do CPU quotas and memory limits of control groups (version 2: containers, batch
systems). Work that takes longer, or other workers, is for `pool.py`.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from typing import Any

from sterling.base import checks
from sterling.errors import CapacityError

_OWN_GROUP, _GROUPS = Path("/proc/self/cgroup"), Path("/sys/fs/cgroup")
_MEMORY_TABLE = Path("/proc/meminfo")

_here = threading.local()


def usable_cores() -> int:
    """Return how many cores this process may use: fewer than there are under taskset or a CPU quota."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        cores = os.cpu_count() or 1
    return max(1, math.ceil(min(cores, _quota())))


def thread_count(threads: int | None) -> int:
    """Return how many threads to use: as many as asked for, but at most one for each usable core.

    None means all cores; within work that shares the cores already (`one_core`), it means one.
    """
    if threads is None:
        return 1 if getattr(_here, "shared", False) else usable_cores()
    return min(checks.integer(threads, "threads", 1), usable_cores())


@contextmanager
def one_core() -> Iterator[None]:
    """In this block and thread, work that asks for all cores gets one: its siblings use the others."""
    before = getattr(_here, "shared", False)
    _here.shared = True
    try:
        yield
    finally:
        _here.shared = before


def available_memory() -> int | None:
    """Return the bytes that can be allocated now, within the limits of control groups; None if unknown."""
    found = []
    for group in _groups():
        with suppress(OSError, ValueError):  # no such file in the outermost group; "max" is not a number
            limit = int((group / "memory.max").read_text())
            used = int((group / "memory.current").read_text())
            stat = (group / "memory.stat").read_text().split()
            # Cached files count as used, but the system gives them up when asked.
            found.append(limit - used + int(stat[stat.index("inactive_file") + 1]))
    with suppress(OSError, ValueError):
        table = _MEMORY_TABLE.read_text().split()
        found.append(int(table[table.index("MemAvailable:") + 1]) * 1024)
    return max(0, min(found)) if found else None


def require_memory(count: int, what: str) -> None:
    """Raise CapacityError if ``count`` bytes for ``what`` would not fit into the available memory."""
    free = available_memory()
    if free is not None and count > free:
        raise CapacityError(
            f"{what} needs {readable_bytes(count)}, but only {readable_bytes(free)} of memory is available: "
            "take fewer samples, or a smaller n or m"
        )


def readable_bytes(count: float) -> str:
    """Return a size in words: 1536 -> "1.5 KiB"."""
    units = ("KiB", "MiB", "GiB", "TiB")
    if count < 1024:
        return f"{count:.0f} bytes"
    power = min(int(math.log2(count) // 10), len(units))
    size = count / 1024**power
    return f"{size:.0f} {units[power - 1]}" if size >= 100 else f"{size:.3g} {units[power - 1]}"


@lru_cache(maxsize=1)  # small draws would spend most of their time here, and quotas seldom change
def _quota() -> float:
    """Return the smallest CPU quota of the groups around this process, in cores."""
    found = [math.inf]
    for group in _groups():
        with suppress(OSError, ValueError):
            quota, period = (group / "cpu.max").read_text().split()
            found.append(float(quota) / float(period))
    return min(found)


@lru_cache(maxsize=1)
def _groups() -> tuple[Path, ...]:
    """Return the folders of the control groups around this process, from its own outwards."""
    try:
        path = _OWN_GROUP.read_text().partition("0::/")[2].strip()
    except OSError:
        return ()
    own = _GROUPS / path
    return tuple(group for group in (own, *own.parents) if group.is_relative_to(_GROUPS))


def for_each(work: Callable[[Any], Any], items: Iterable[Any], threads: int | None = None) -> None:
    """Call ``work`` for each item, in threads where there are cores; it should release the GIL."""
    from concurrent.futures import ThreadPoolExecutor

    listed = list(items)
    count = min(len(listed), thread_count(threads))
    if count < 2:
        list(map(work, listed))
        return
    with ThreadPoolExecutor(count) as executor:
        list(executor.map(work, listed))  # an error or Ctrl-C cancels what has not begun
