"""Studies on a real Dask cluster: the same rows, also when a worker is killed on the way."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest.mock import Mock

import pytest
from polars.testing import assert_frame_equal

from sterling.errors import SterlingError
from sterling.study import Store, Study, open_cluster, run
from sterling.study.cluster import open_workers
from tests.crash.processes import DEADLINE, start, wait_until
from tests.unit.study.test_collect import rows

STUDY = Study(n=[8, 12], samples=[16, 40], trials=30, steps=2000, seed=3)
ENDLESS = Study(n=16, samples=[32, 64], trials=10**6, steps=10_000)


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "s"
    run(STUDY, folder)
    return rows(folder)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """A scheduler, its address and two workers of one thread; the tests kill them in turn."""
    distributed = pytest.importorskip("distributed")
    info = tmp_path_factory.mktemp("cluster") / "scheduler.json"
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    part = [sys.executable, "-m", "distributed.cli.dask_"]
    serve = [*part[:2], f"{part[2]}scheduler", "--host", "127.0.0.1", "--port", "0", "--no-dashboard"]
    work = [*part[:2], f"{part[2]}worker", "--no-nanny", "--nthreads", "1", "--no-dashboard"]
    with contextlib.ExitStack() as stack:
        processes = []
        for command in (serve, work, work):
            processes.append(subprocess.Popen([*command, "--scheduler-file", info], **quiet))
            stack.enter_context(processes[-1])
            stack.callback(processes[-1].kill)
            wait_until(info.exists, processes[0])
        with distributed.Client(scheduler_file=str(info), set_as_default=False) as client:
            client.wait_for_workers(2, timeout=DEADLINE)
        yield processes, json.loads(info.read_text())["address"]


@pytest.mark.filterwarnings("ignore::Warning:distributed")
def test_a_killed_worker_changes_no_number(cluster, expected, tmp_path):
    (_, worker, _), address = cluster
    with open_cluster(address) as (executor, workers):
        assert workers == 2
        kill = lambda progress: progress.new and worker.kill()  # noqa: E731
        outcome = run(STUDY, tmp_path / "s", executor=executor, threads=workers, progress=kill)
    assert worker.wait(DEADLINE) == -signal.SIGKILL
    assert outcome.reason == "complete"
    assert_frame_equal(rows(tmp_path / "s"), expected)


@pytest.mark.filterwarnings("ignore")
def test_a_scheduler_that_dies_ends_the_run_with_a_reason(cluster, tmp_path):
    (scheduler, *_), address = cluster
    kill = lambda progress: progress.new and scheduler.kill()  # noqa: E731
    with (
        pytest.raises(SterlingError, match="is the executor still running"),
        open_cluster(address) as (executor, workers),
    ):
        run(ENDLESS, tmp_path / "s", executor=executor, threads=workers, progress=kill)
    assert len(Store(tmp_path / "s").trials()) > 0


def test_ctrl_c_at_a_terminal_reaches_the_workers_and_nobody_complains(tmp_path):
    toml = tmp_path / "s.toml"
    toml.write_text(ENDLESS.to_toml())
    run_it = ("study", "run", toml, "--cluster", "local", "--threads", 1, "-q")
    with start(*run_it, start_new_session=True) as process:
        wait_until(lambda: list(tmp_path.glob("s/trials/train-*")), process)
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, err
    assert out.startswith(f"interrupted: {len(Store(tmp_path / 's').trials()):,} new trials")
    assert err == f"interrupted; continue with: sterling study run {tmp_path / 's'}\n"


def test_workers_end_with_a_process_that_is_killed(tmp_path):
    toml = tmp_path / "s.toml"
    toml.write_text(ENDLESS.to_toml())  # of so many trials that the command starts processes
    with start("study", "run", toml, "--threads", 2, "-q") as process:
        wait_until(lambda: list(tmp_path.glob("s/trials/train-*")), process)
        workers = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        process.kill()
        process.communicate()
    end = time.monotonic() + DEADLINE
    assert len(workers) >= 2
    while any(Path("/proc", worker).exists() for worker in workers):
        assert time.monotonic() < end
        time.sleep(0.05)


def test_where_no_process_can_start_there_are_threads(monkeypatch):
    monkeypatch.setattr("sterling.study.cluster.ProcessPoolExecutor", Mock(side_effect=OSError))
    with open_workers(2) as opened:
        assert opened == (None, 2)
