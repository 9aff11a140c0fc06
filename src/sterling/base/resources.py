"""Cores and memory that this process may use, asked before work is shared out and before large allocations.

Affinity is honoured, and CPU quotas and memory limits of control groups (containers, batch systems), of
version 1 and 2 and of every group around ours. How work runs on the cores is in `pool.py`.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path

from sterling.base import checks
from sterling.errors import CapacityError

_PROCESS = Path("/proc/self")
_MEMORY_TABLE = Path("/proc/meminfo")
_UNLIMITED = 1 << 60  # version 1 writes "no limit" as a number near 2**63

_here = threading.local()


def usable_cores() -> int:
    """Return how many cores this process may use: fewer than there are under taskset or a CPU quota."""
    try:
        cores = len(os.sched_getaffinity(0))
    except AttributeError:  # not on every system
        cores = os.cpu_count() or 1
    return max(1, min([cores, *_quotas(_PROCESS)]))


def thread_count(threads: int | None, name: str = "threads") -> int:
    """Return how many threads to use: as asked for, but never more than there are cores to use.

    None means all of them; within work that shares the cores already (`one_core`), it means one.
    """
    if threads is None:
        return 1 if getattr(_here, "shared", False) else usable_cores()
    asked = checks.integer(threads, name, 1)
    return min(asked, usable_cores())


@contextmanager
def one_core() -> Iterator[None]:
    """Within, in this thread, work that asks for all cores gets one: its siblings are on the others."""
    before = getattr(_here, "shared", False)
    _here.shared = True
    try:
        yield
    finally:
        _here.shared = before


def available_memory() -> int | None:
    """Return the bytes that can be allocated now (limits of control groups honoured), or None if unknown."""
    found = list(_room_in_groups())
    try:
        table = dict(line.split(":", 1) for line in _MEMORY_TABLE.read_text().splitlines())
        found.append(int(table["MemAvailable"].split()[0]) * 1024)
    except (OSError, ValueError, LookupError):
        pass
    if not found:
        try:
            found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        except (AttributeError, ValueError, OSError):
            return None
    return max(0, min(found))


def require_memory(count: int, what: str) -> None:
    """Raise CapacityError if ``count`` bytes for ``what`` would not fit into the available memory."""
    free = available_memory()
    if free is not None and count > free:
        raise CapacityError(
            f"{what} needs {readable_bytes(count)}, but only {readable_bytes(free)} of memory is available: "
            "take fewer samples, or a smaller n or m"
        )


def readable_bytes(count: float) -> str:
    """Return a size as people read it: 1536 -> "1.5 KiB"."""
    units = ("KiB", "MiB", "GiB", "TiB")
    if count < 1024:
        return f"{count:.0f} bytes"
    power = min(int(math.log2(count) // 10), len(units))
    size = count / 1024**power
    return f"{size:.0f} {units[power - 1]}" if size >= 100 else f"{size:.3g} {units[power - 1]}"


# control groups


@lru_cache(maxsize=8)  # small draws would spend most of their time here, and no quota changes often
def _quotas(process: Path) -> tuple[int, ...]:
    """Return the CPU quotas, in cores, of the groups around a process."""
    found = []
    for group, version in _groups("cpu", process):
        try:
            if version == 2:
                quota, period = (group / "cpu.max").read_text().split()
            else:
                quota = (group / "cpu.cfs_quota_us").read_text()
                period = (group / "cpu.cfs_period_us").read_text()
            share = float(quota) / float(period)
        except (OSError, ValueError, ZeroDivisionError):
            continue  # no such file in the outermost group; "max" is no number
        if share > 0:
            found.append(math.ceil(share))
    return tuple(found)


def _room_in_groups() -> Iterator[int]:
    """Yield the bytes that each group with a memory limit leaves."""
    names = {2: ("memory.max", "memory.current"), 1: ("memory.limit_in_bytes", "memory.usage_in_bytes")}
    for group, version in _groups("memory", _PROCESS):
        try:
            limit, used = (int((group / name).read_text()) for name in names[version])
            if limit < _UNLIMITED:
                yield limit - used + _reclaimable((group / "memory.stat").read_text(), version)
        except (OSError, ValueError):
            continue


def _reclaimable(stat: str, version: int) -> int:
    """Return the bytes of cached files, which a control group counts as used but gives up when asked."""
    wanted = "inactive_file" if version == 2 else "total_inactive_file"
    return int(dict(line.split() for line in stat.splitlines()).get(wanted, 0))


@lru_cache(maxsize=8)
def _groups(controller: str, process: Path) -> tuple[tuple[Path, int], ...]:
    """Return the folders of the groups around a process, from its own outwards, with their version."""
    try:
        own = (process / "cgroup").read_text().splitlines()
        mounts = (process / "mountinfo").read_text().splitlines()
    except OSError:
        return ()
    return tuple(_below_mounts(controller, own, mounts))


def _below_mounts(controller: str, own: list[str], mounts: list[str]) -> Iterator[tuple[Path, int]]:
    paths = {}  # of this process in the hierarchy of each version
    for line in own:
        number, controllers, path = line.split(":", 2)
        if number == "0":
            paths[2] = path
        elif controller in controllers.split(","):
            paths[1] = path
    for line in mounts:
        fields, _, kind = line.partition(" - ")
        system, _, options = kind.split(" ", 2)
        version = {"cgroup2": 2, "cgroup": 1}.get(system, 0)
        if version not in paths or (version == 1 and controller not in options.split(",")):
            continue
        root, mounted = fields.split(" ")[3:5]
        below = os.path.relpath(paths[version], root)  # a container may see a part of the hierarchy alone
        if below.startswith(".."):
            below = "."
        folder = Path(mounted.replace("\\040", " "))
        inner = folder / below
        for group in (inner, *inner.parents):
            yield group, version
            if group == folder:
                break
