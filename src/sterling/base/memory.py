"""How much memory there is, asked before a large allocation rather than found out by a kill."""

from __future__ import annotations

import os
from pathlib import Path

from sterling.errors import CapacityError


def available_memory() -> int | None:
    """Return the bytes that can be allocated now (control groups honoured), or None if unknown."""
    found = []
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
    except (OSError, ValueError, IndexError):
        pass
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text().strip()
        if limit != "max":
            used = int(Path("/sys/fs/cgroup/memory.current").read_text())
            found.append(int(limit) - used + _reclaimable(Path("/sys/fs/cgroup/memory.stat").read_text()))
    except (OSError, ValueError):
        pass
    if not found:
        try:
            found.append(os.sysconf("SC_AVPHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
        except (AttributeError, ValueError, OSError):
            return None
    return max(0, min(found))


def _reclaimable(stat: str) -> int:
    """Return the bytes of cached files, which a control group counts as used but gives up when asked."""
    for line in stat.splitlines():
        name, _, value = line.partition(" ")
        if name == "inactive_file":
            return int(value)
    return 0


def readable_bytes(count: float) -> str:
    """Return a size as people read it: 1536 -> "1.5 KiB"."""
    for unit in ("bytes", "KiB", "MiB", "GiB", "TiB"):
        if count < 1024 or unit == "TiB":
            return f"{count:.0f} bytes" if unit == "bytes" else f"{count:.3g} {unit}"
        count /= 1024
    raise AssertionError("unreachable")


def require_memory(count: int, what: str) -> None:
    """Raise CapacityError if ``count`` bytes for ``what`` would not fit into the available memory."""
    free = available_memory()
    if free is not None and count > free:
        raise CapacityError(
            f"{what} needs {readable_bytes(count)}, but only {readable_bytes(free)} of memory is available: "
            "take fewer samples or a smaller n"
        )
