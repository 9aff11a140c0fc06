"""Studies that are killed, shared between processes, or run out of disk: nothing lost, nothing twice."""

import contextlib
import os
import signal
import subprocess
import sys

import pytest
from polars.testing import assert_frame_equal

from sterling.study import Study, run
from tests.crash.processes import DEADLINE, wait_until
from tests.unit.study.test_collect import rows

STUDY = Study(n=[8, 12, 16], samples=[16, 32, 64], trials=24, steps=2000, seed=11)
TOTAL = 9 * 24

# Shards of a few rows each, so that there is much to kill in.
DRIVER = """
import os, signal, sys
from pathlib import Path
from sterling.study import Study, Store, run, collect
collect._FLUSH_SECONDS = 0.01, 0.01
{extra}
outcome = run(Study.from_toml(sys.argv[1]), sys.argv[2], threads=2)
print(outcome.reason, outcome.done)
"""


@pytest.fixture(scope="module")
def toml(tmp_path_factory):
    path = tmp_path_factory.mktemp("study") / "study.toml"
    path.write_text(STUDY.to_toml())
    return path


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "s"
    assert run(STUDY, folder).new == TOTAL
    return rows(folder)


def start(toml, folder, extra="", **more):
    return subprocess.Popen(
        [sys.executable, "-c", DRIVER.format(extra=extra), str(toml), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **more,
    )


def shards(folder):
    with contextlib.suppress(FileNotFoundError):
        return [name for name in os.listdir(folder / "trials") if not name.startswith(".")]
    return []


KILL_BEFORE_RENAME = """
real = os.fsync
def fsync(handle, count=[0]):
    count[0] += 1
    if count[0] == 9:
        os.kill(os.getpid(), signal.SIGKILL)
    real(handle)
os.fsync = fsync
"""


def test_kill_between_writing_and_renaming(toml, expected, tmp_path):
    folder = tmp_path / "s"
    with start(toml, folder, KILL_BEFORE_RENAME) as process:
        process.communicate(timeout=DEADLINE)
    assert process.returncode == -signal.SIGKILL
    left = [name for name in os.listdir(folder / "trials") if name.endswith(".part")]
    assert len(left) == 1
    kept = rows(folder)
    assert 0 < len(kept) < TOTAL
    assert kept.n_unique(["cell", "trial"]) == len(kept)
    os.utime(folder / "trials" / left[0], (0, 0))  # younger ones may still have a writer
    assert run(folder).new == TOTAL - len(kept)
    assert_frame_equal(rows(folder), expected)
    assert not [name for name in os.listdir(folder / "trials") if name.endswith(".part")]


def test_one_of_two_processes_is_killed(toml, expected, tmp_path):
    folder = tmp_path / "s"
    with start(toml, folder) as one, start(toml, folder) as two:
        wait_until(lambda: len(shards(folder)) >= 4, one)
        one.kill()
        out, err = two.communicate(timeout=DEADLINE)
    assert two.returncode == 0, err
    assert out.split() == ["complete", str(TOTAL)]
    assert_frame_equal(rows(folder), expected)


@pytest.fixture
def tiny_disk(tmp_path):
    """A file system of 64 KiB."""
    place = tmp_path / "disk"
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)]
    try:
        made = subprocess.run(mount, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        made = False
    if not made:
        pytest.skip("mounting a small file system needs root")
    yield place
    subprocess.run(["umount", str(place)], check=True)


def test_a_full_disk(toml, expected, tiny_disk, tmp_path):
    folder = tiny_disk / "s"
    with start(toml, folder) as process:
        _, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 1
    assert "StoreError: cannot write" in err
    assert "No space left on device" in err
    kept = rows(folder)
    assert 0 < len(kept) < TOTAL
    moved = tmp_path / "moved"
    subprocess.run(["cp", "-r", str(folder), str(moved)], check=True)
    assert run(moved).new == TOTAL - len(kept)
    assert_frame_equal(rows(moved), expected)
