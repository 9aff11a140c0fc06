"""Studies on a real Dask cluster: the same rows, also when a worker is killed on the way."""

import os
import signal

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sterling.study import Store, Study, run

distributed = pytest.importorskip("distributed")

STUDY = Study(n=[8, 12], samples=[16, 40], trials=60, steps=3000, seed=3)


def rows(folder):
    frame = Store(folder).trials().drop("seconds").with_columns(pl.col(pl.Categorical).cast(pl.String))
    return frame.sort("cell", "trial")


@pytest.fixture(scope="module")
def expected(tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "s"
    run(STUDY, folder)
    return rows(folder)


@pytest.mark.filterwarnings("ignore::Warning:distributed")
def test_a_killed_worker_changes_no_number(expected, tmp_path):
    with (
        distributed.LocalCluster(n_workers=2, threads_per_worker=1, dashboard_address=None) as cluster,
        distributed.Client(cluster, set_as_default=False) as client,
    ):
        pids = list(client.run(os.getpid).values())
        killed = []

        def kill_one(progress):
            if progress.new and not killed:
                killed.append(pids[0])
                os.kill(pids[0], signal.SIGKILL)

        outcome = run(STUDY, tmp_path / "s", cluster=cluster.scheduler_address, progress=kill_one)
    assert killed
    assert outcome.reason == "complete"
    assert_frame_equal(rows(tmp_path / "s"), expected)


def test_a_local_cluster_gives_the_same_rows(expected, tmp_path):
    assert run(STUDY, tmp_path / "s", cluster="local", threads=2).reason == "complete"
    assert_frame_equal(rows(tmp_path / "s"), expected)
