"""Cores and memory under affinity, quotas and limits of control groups, from made-up system files."""

import threading

import numpy as np
import pytest

from sterling.base import resources
from sterling.errors import CapacityError

GIB = 1 << 30


@pytest.fixture
def system(tmp_path, monkeypatch):
    """Give a function that writes system files, for a machine of 16 cores with 8 GiB free."""
    for name, path in (("_OWN_GROUP", "self"), ("_GROUPS", "cg"), ("_MEMORY_TABLE", "meminfo")):
        monkeypatch.setattr(resources, name, tmp_path / path)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: set(range(16)), raising=False)

    def write(files):
        for name, text in {"meminfo": f"MemAvailable: {8 * GIB // 1024} kB\n", **files}.items():
            file = tmp_path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        forget()

    def forget():
        resources._groups.cache_clear()
        resources._quota.cache_clear()

    yield write
    forget()


def limit(folder, memory, used, cached=0):
    return {
        f"{folder}/memory.max": f"{memory}\n",
        f"{folder}/memory.current": f"{used}\n",
        f"{folder}/memory.stat": f"anon 1\ninactive_file {cached}\n",
    }


@pytest.mark.parametrize(
    "quota, cores", [("max 100000", 16), ("200000 100000", 2), ("250000 100000", 3), ("5000 100000", 1)]
)
def test_a_quota_is_rounded_up(system, quota, cores):
    system({"self": "0::/a\n", "cg/a/cpu.max": quota + "\n"})
    assert resources.usable_cores() == cores


def test_the_narrowest_of_nested_groups_counts(system):
    """A batch system sets its limit on the job, and the process is in a group two levels below."""
    system(
        {
            "self": "0::/job/step/task\n",
            "cg/job/cpu.max": "300000 100000\n",
            "cg/job/step/cpu.max": "max 100000\n",
            **limit("cg/job", 2 * GIB, GIB, cached=GIB // 2),
            **limit("cg/job/step", "max", GIB),
            **limit("cg/job/step/task", 4 * GIB, GIB),
        }
    )
    assert resources.usable_cores() == 3
    assert resources.available_memory() == GIB + GIB // 2


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


def test_work_that_shares_the_cores_asks_for_one(monkeypatch):
    monkeypatch.setattr(resources, "usable_cores", lambda: 4)
    with resources.one_core():
        assert resources.thread_count(None) == 1
        assert resources.thread_count(3) == 3  # who asks, knows
        counts = []
        other = threading.Thread(target=lambda: counts.append(resources.thread_count(None)))
        other.start()
        other.join()
        assert counts == [4]
    assert resources.thread_count(None) == 4
