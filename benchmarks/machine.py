"""Facts about the machine and the software that belong to every measured time."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import UTC, datetime
from importlib import metadata
from pathlib import Path

_PACKAGES = ("sterling", "numpy", "numba", "llvmlite", "torch")


def facts(threads: int) -> dict:
    """Return the present facts about the machine."""
    return {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "cpu": cpu_model(),
        "cores": os.cpu_count(),
        "cores_allowed": cores_allowed(),
        "threads": threads,
        "memory_gib": memory_gib(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "versions": {name: _version(name) for name in _PACKAGES},
        "commit": commit(),
        "load_at_start": load(),
        "environment": {
            name: value for name, value in os.environ.items() if name.startswith(("OMP_", "MKL_", "NUMBA_"))
        },
    }


def cpu_model() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def cores_allowed() -> int:
    """Return the number of cores that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def memory_gib() -> float | None:
    try:
        return round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1)
    except (ValueError, OSError, AttributeError):
        return None


def load() -> float | None:
    """Return the mean number of busy threads over the last minute."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


class OtherWork:
    """Measures the work of other processes, without this one and the children it has waited for."""

    def __init__(self):
        self._begun = self._now()

    def share(self) -> float | None:
        """Return the share of all cores' time that other work has taken, or None if unknown."""
        now = self._now()
        if self._begun is None or now is None or now[0] <= self._begun[0]:
            return None
        total, busy, own = (after - before for before, after in zip(self._begun, now, strict=True))
        return max(0.0, busy - own) / total

    @staticmethod
    def _now() -> tuple[float, float, float] | None:
        """Seconds of all cores so far: in total, busy, and busy for us."""
        try:
            fields = Path("/proc/stat").read_text().split(maxsplit=9)[1:9]
        except OSError:
            return None
        user, nice, system, idle, waiting, interrupt, soft, stolen = (int(value) for value in fields)
        tick = os.sysconf("SC_CLK_TCK")
        busy = user + nice + system + interrupt + soft + stolen
        own = sum(os.times()[:4])
        return (busy + idle + waiting) / tick, busy / tick, own


def commit() -> str | None:
    """Return the commit of the source tree, with a + if files differ from it."""
    root = Path(__file__).parent.parent
    try:
        head = _git(root, "rev-parse", "--short", "HEAD")
        return head + ("+" if _git(root, "status", "--porcelain", "--untracked-files=no") else "")
    except (OSError, subprocess.CalledProcessError):
        return None


def _git(root: Path, *arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=root, check=True, capture_output=True, text=True)
    return done.stdout.strip()


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def summary(known: dict) -> str:
    """Return the facts in two lines."""
    versions = ", ".join(f"{name} {version or 'missing'}" for name, version in known["versions"].items())
    return (
        f"{known['cpu']}, {known['cores']} cores, {known['threads']} threads for sterling and PyTorch alike, "
        f"{known['memory_gib']} GiB, load {known['load_at_start']} at the start\n"
        f"Python {known['python']} ({sys.platform}), {versions}, commit {known['commit']}"
    )
