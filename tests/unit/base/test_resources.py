"""Cores and memory under affinity, quotas and limits of control groups, from made-up system files."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from sterling.base import resources
from sterling.errors import CapacityError, InputError, InputTypeError

GIB = 1 << 30


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Give a function that writes system files, for a machine of 16 cores with 8 GiB free."""
    monkeypatch.setattr(resources, "_PROCESS", tmp_path / "self")
    monkeypatch.setattr(resources, "_MEMORY_TABLE", tmp_path / "meminfo")
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)), raising=False)

    def write(files):
        for name, text in {"meminfo": f"MemAvailable: {8 * GIB // 1024} kB\n", **files}.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)

    return write


def mount(tmp_path, root="/", version=2, folder="cg", options="rw"):
    """Return a line of mountinfo."""
    kind = "cgroup2" if version == 2 else "cgroup"
    return f"30 20 0:1 {root} {tmp_path / folder} rw,nosuid shared:9 - {kind} none {options}\n"


def limit(memory, used, cached=0):
    return {
        "memory.max": f"{memory}\n",
        "memory.current": f"{used}\n",
        "memory.stat": f"anon 1\ninactive_file {cached}\n",
    }


def inside(folder, files):
    return {f"{folder}/{name}": text for name, text in files.items()}


def test_no_control_groups(system):
    system({})
    assert resources.usable_cores() == 16
    assert resources.available_memory() == 8 * GIB


@pytest.mark.parametrize(
    "quota, cores", [("max 100000", 16), ("200000 100000", 2), ("250000 100000", 3), ("5000 100000", 1)]
)
def test_a_quota_of_version_2_is_rounded_up(system, tmp_path, quota, cores):
    system({"self/cgroup": "0::/a\n", "self/mountinfo": mount(tmp_path), "cg/a/cpu.max": quota + "\n"})
    assert resources.usable_cores() == cores


def test_the_narrowest_of_nested_groups_counts(system, tmp_path):
    """A batch system sets its limit on the job, and the process is in a group two levels below."""
    system(
        {
            "self/cgroup": "0::/job/step/task\n",
            "self/mountinfo": mount(tmp_path),
            "cg/job/cpu.max": "300000 100000\n",
            "cg/job/step/cpu.max": "max 100000\n",
            "cg/job/step/task/cpu.max": "max 100000\n",
            **inside("cg/job", limit(2 * GIB, GIB, cached=GIB // 2)),
            **inside("cg/job/step", limit("max", GIB)),
            **inside("cg/job/step/task", limit(4 * GIB, GIB)),
        }
    )
    assert resources.usable_cores() == 3
    assert resources.available_memory() == GIB + GIB // 2


@pytest.mark.parametrize("root, below", [("/", "docker/x/"), ("/docker/x", ""), ("/elsewhere", "")])
def test_a_container_sees_a_part_of_the_hierarchy(system, tmp_path, root, below):
    system(
        {
            "self/cgroup": "0::/docker/x\n",
            "self/mountinfo": mount(tmp_path, root),
            f"cg/{below}cpu.max": "100000 100000\n",
            **inside(f"cg/{below}", limit(GIB, 0)),
        }
    )
    assert resources.usable_cores() == 1
    assert resources.available_memory() == GIB


def test_version_1(system, tmp_path):
    system(
        {
            "self/cgroup": "5:memory:/job\n4:cpu,cpuacct:/job\n0::/\n",
            "self/mountinfo": mount(tmp_path, version=1, folder="mem", options="rw,memory")
            + mount(tmp_path, version=1, folder="cpu", options="rw,cpu,cpuacct")
            + mount(tmp_path, version=2, folder="unified"),
            "cpu/job/cpu.cfs_quota_us": "150000\n",
            "cpu/job/cpu.cfs_period_us": "100000\n",
            "cpu/cpu.cfs_quota_us": "-1\n",
            "cpu/cpu.cfs_period_us": "100000\n",
            "mem/memory.limit_in_bytes": f"{(1 << 63) - 4096}\n",
            "mem/memory.usage_in_bytes": f"{9 * GIB}\n",
            "mem/memory.stat": "total_inactive_file 0\n",
            "mem/job/memory.limit_in_bytes": f"{400 << 20}\n",
            "mem/job/memory.usage_in_bytes": f"{100 << 20}\n",
            "mem/job/memory.stat": f"inactive_file 0\ntotal_inactive_file {50 << 20}\n",
        }
    )
    assert resources.usable_cores() == 2
    assert resources.available_memory() == 350 << 20


def test_too_much_memory_is_refused(system):
    system({})
    resources.require_memory(GIB, "a table")
    with pytest.raises(CapacityError, match=r"a table needs 9 GiB, but only 8 GiB"):
        resources.require_memory(9 * GIB, "a table")


def test_threads_are_capped_by_the_cores(monkeypatch):
    monkeypatch.setattr(resources, "usable_cores", lambda: 4)
    counts = [resources.thread_count(asked) for asked in (None, 1, 4, 32, np.int64(3))]
    assert counts == [4, 1, 4, 4, 3]
    assert all(type(count) is int for count in counts)


@pytest.mark.parametrize(
    "bad, error", [(0, InputError), (-1, InputError), (True, InputTypeError), (1.0, InputTypeError)]
)
def test_threads_that_cannot_be(bad, error):
    with pytest.raises(error, match="threads"):
        resources.thread_count(bad)


def test_work_that_shares_the_cores_asks_for_one(monkeypatch):
    monkeypatch.setattr(resources, "usable_cores", lambda: 4)
    with resources.one_core():
        with resources.one_core():
            assert resources.thread_count(None) == 1
        assert resources.thread_count(None) == 1
        assert resources.thread_count(3) == 3  # who asks, knows
        counts = []
        other = threading.Thread(target=lambda: counts.append(resources.thread_count(None)))
        other.start()
        other.join()
        assert counts == [4]
    assert resources.thread_count(None) == 4


@pytest.mark.parametrize(
    "count, text",
    [
        (0, "0 bytes"),
        (1023, "1023 bytes"),
        (1536, "1.5 KiB"),
        (1 << 20, "1 MiB"),
        (1 << 45, "32 TiB"),
        (1 << 60, "1048576 TiB"),
    ],
)
def test_sizes(count, text):
    assert resources.readable_bytes(count) == text
