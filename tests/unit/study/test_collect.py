"""Running studies: rows, replay, independence of workers and of breaks, stop rules."""

import signal
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from types import SimpleNamespace

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import sterling as st
from sterling.study import SHARE, Cell, Kind, Store, Study, collect, iterate, replay, run
from sterling.study.spec import arguments
from sterling.study.trial import Finished, trial_seeds

SMALL = Study(n=[6, 10], samples=[8, 24, 60], trials=9, steps=3000, criteria=["optimal", "visit"], seed=5)


def rows(folder):
    """Return what was measured, in the order of the trials, without times."""
    return Store(folder).trials().drop("seconds").sort("cell", "trial")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("study") / "done"
    outcome = run(SMALL, folder, threads=1)
    assert (outcome.reason, outcome.new, outcome.done) == ("complete", 54, 54)
    return folder


def test_a_row_is_what_train_gives(done):
    frame = rows(done)
    assert len(frame) == frame.n_unique(["cell", "trial"]) == 54
    row = frame.filter(pl.col("n") == 10).row(-1, named=True)
    problem = st.Problem(n=10, samples=row["samples"])
    seed = trial_seeds(5, Cell("train", problem, {"steps": 3000}), row["trial"]).data
    orbit = st.train(problem.draw(seed), steps=3000, schedule=st.Power(0.5, 0.5), init=seed, record=())
    expected = orbit.to_dict()
    for name in ("verdict", "certified", "errors", "ergodic_errors", "occupancy", "visits", "first_hit"):
        assert row[name] == expected[name], name
    assert row["events"] == orbit.stats.events
    assert row["states"] == orbit.stats.states
    assert row["version"] == st.__version__


def test_a_trial_is_replayed_by_its_key(done):
    row = rows(done).row(17, named=True)
    orbit = replay(done, f"{row['cell']}-{row['trial']}")
    assert orbit.verdict.name == row["verdict"]
    assert orbit.recorded
    assert (orbit.stats.events, orbit.occupancy) == (row["events"], row["occupancy"])
    for key, words in (("abc", "name of a trial"), (f"{'0' * 24}-1", "no cell 000")):
        with pytest.raises(st.InputError, match=words):
            replay(done, key)


def test_the_number_of_threads_changes_nothing(done, tmp_path):
    run(SMALL, tmp_path / "two", threads=2)
    assert_frame_equal(rows(tmp_path / "two"), rows(done))


class Interrupted(ThreadPoolExecutor):
    """Workers that are interrupted: each batch gives its first row only, or nothing, or no rows ever."""

    def __init__(self, how):
        super().__init__(2)
        self.how, self.calls = how, 0

    def submit(self, task, batch):
        self.calls += 1
        if self.how == "first row":
            return super().submit(task, replace(batch, numbers=batch.numbers[:1]))
        if self.how == "killed" or self.calls <= 3:
            return super().submit(_interrupt if self.how == "pressed" else lambda: Finished([], {}))
        return super().submit(task, batch)


def _interrupt():
    raise KeyboardInterrupt


@pytest.mark.parametrize("how", ["first row", "pressed", "nothing"])
def test_trials_that_a_worker_left_out_are_run_again(done, tmp_path, how):
    with Interrupted(how) as pool:
        outcome = run(SMALL, tmp_path / "s", executor=pool)
    assert (outcome.reason, outcome.new, outcome.done) == ("complete", 54, 54)
    assert_frame_equal(rows(tmp_path / "s"), rows(done))


def test_a_worker_that_never_returns_rows_ends_in_an_error(tmp_path):
    with (
        Interrupted("killed") as pool,
        pytest.raises(st.SterlingError, match="no rows for trials of n="),
    ):
        run(SMALL, tmp_path / "s", executor=pool)


def test_an_executor_that_is_shut_down_is_refused(tmp_path):
    pool = ThreadPoolExecutor(1)
    endless = Study(n=8, samples=20, trials=10**6, steps=500)
    closing = lambda progress: pool.shutdown(wait=False, cancel_futures=True)  # noqa: E731
    for _ in range(2):
        with pytest.raises(st.InputError, match="accepts no work"):
            run(endless, tmp_path / "s", executor=pool, progress=closing)


def test_ctrl_c_stops_threads_of_the_user_in_a_long_trial(tmp_path):
    study = Study(n=64, samples=100, noise=1.0, trials=9, steps=10**11)
    looks = count()
    press = lambda progress: next(looks) or signal.raise_signal(signal.SIGINT)  # noqa: E731
    with ThreadPoolExecutor(2) as pool, pytest.raises(KeyboardInterrupt) as pressed:
        run(study, tmp_path / "s", executor=pool, progress=press)
    assert (pressed.value.outcome.reason, pressed.value.outcome.new) == ("interrupted", 0)
    assert "the next run goes on" in pressed.value.__notes__[0]


def test_a_study_goes_on_where_it_was(done, tmp_path):
    folder = tmp_path / "part"
    first = run(Study(**arguments(SMALL.to_toml()) | {"trials": 4}), folder)
    assert first.new == 24
    second = run(SMALL, folder)
    assert (second.new, second.done) == (30, 54)
    assert_frame_equal(rows(folder), rows(done))
    assert run(folder).new == 0
    assert Store(folder).study == SMALL


def test_cells_of_one_problem_meet_the_same_data_and_starts():
    """So comparisons are paired: kind and settings decide the rest of the seeds alone."""
    cell = SMALL.cells[0]
    others = [
        replace(cell, settings={**cell.settings, "surrogate": "identity"}),
        replace(cell, settings={**cell.settings, "steps": 999}),
        replace(cell, settings={**cell.settings, "schedule": "power:0.5,0.4"}),
        Cell("landscape", cell.problem),
        Cell("baseline", cell.problem),
    ]
    mine = trial_seeds(5, cell, 3)
    assert {trial_seeds(5, other, 3).data for other in others} == {mine.data}
    assert len({mine.rest, *(trial_seeds(5, other, 3).rest for other in others)}) == 6
    assert trial_seeds(5, replace(cell, problem=replace(cell.problem, noise=0.5)), 3).data != mine.data


def test_the_identity_of_a_trial_does_not_drift():
    """Stored studies rest on these values: change them only together with SEMANTICS."""
    cell = Study(n=8, samples=50).cells[0]
    assert cell.key == "8a3ec6b5d46cbe7c43173c29"
    assert trial_seeds(0, cell, 0).data == 3206500325476106567
    assert trial_seeds(0, cell, 0).rest == 5297147968073756636


def test_a_long_trial_is_given_up_at_the_end_of_the_time_and_finished_ones_stay(tmp_path, monkeypatch):
    looks = count()
    monkeypatch.setattr(collect, "time", SimpleNamespace(monotonic=lambda: next(looks)))
    monkeypatch.setattr(collect, "_LOOK_SECONDS", 0.001)
    study = Study(n=64, samples=100, noise=1.0, trials=2, steps=10**11, time=10)
    outcome = run(study, tmp_path / "s")
    assert (outcome.reason, outcome.new) == ("time", 0)
    new, study = set(), Study(n=8, samples=40, trials=10**6, steps=500, time=10)
    clock = lambda: next(looks) * 1e-9 + 20 * any(new)  # noqa: E731
    monkeypatch.setattr(collect, "time", SimpleNamespace(monotonic=clock))
    outcome = run(study, tmp_path / "short", progress=lambda now: new.add(now.new))
    assert outcome.reason == "time"
    assert len(rows(tmp_path / "short")) == outcome.new > 0


def test_cells_get_trials_until_their_intervals_are_narrow(tmp_path):
    study = Study(n=8, samples=[14, 200], trials=400, steps=2000, target="proportion", width=0.2)
    outcome = run(study, tmp_path / "s")
    assert outcome.reason == "width reached"
    table = Store(tmp_path / "s").counts("optimal")
    hard, easy = table.sort("samples")["trials"]
    assert easy == 32
    assert 32 < hard < 400
    again = run(
        Study(n=8, samples=[14, 200], trials=40, steps=2000, target="proportion", width=0.2), tmp_path / "s"
    )
    assert again.reason == "trials spent"
    assert "1 of 2 cells stay wider" in again.messages[0]


def test_iterate_gives_the_rows_as_they_come(tmp_path):
    study = Study(n=6, samples=[10, 20], trials=30, steps=500)

    def steps():
        outcome = yield from iterate(study, tmp_path / "s")
        assert outcome.new == 60

    frames = [progress.rows for progress in steps() if progress.rows is not None]
    names = ["cell", "trial", *study.kind.columns]
    told, kept = pl.concat(frames).select(names), Store(tmp_path / "s").trials(names)
    assert_frame_equal(told.sort("cell", "trial"), kept.sort("cell", "trial"))


def test_who_leaves_the_loop_keeps_what_is_done(tmp_path):
    endless = Study(n=8, samples=20, trials=10**6, steps=500)
    for progress in iterate(endless, tmp_path / "s", threads=2):
        if progress.new > 20:
            break
    assert len(rows(tmp_path / "s")) > 20
    assert not [one for one in threading.enumerate() if one.name.startswith("sterling")]


def wrong_now_and_then(cell, seeds, look):
    """NaN in some trials, out of range or no list in others."""
    value = (seeds.rest >> 8) % 50
    return {"share": [float("nan"), 7.0][value] if value < 2 else 0.5, "list": None if value == 2 else [0.5]}


def test_a_trial_with_an_impossible_value_fails_alone(registries, tmp_path, processes):
    """W2: one NaN discarded its whole shard, and the study was called complete."""
    st.register(Kind("wrong", wrong_now_and_then, {"share": SHARE, "list": SHARE.list()}))
    study = Study(n=4, samples=8, kind="wrong", trials=300)
    outcome = run(study, tmp_path / "s", executor=processes)
    bad = [n for n in range(300) if (trial_seeds(0, study.cells[0], n).rest >> 8) % 50 < 3]
    assert 5 < len(bad) < 60
    assert (outcome.reason, outcome.finished) == ("trials failed", False)
    assert outcome.new == outcome.done == 300 - len(bad)
    assert f"{study.cells[0].key}-" in outcome.messages[0]
    assert f"{len(bad)} trials failed" in outcome.messages[-1]
    kept = Store(tmp_path / "s").trials()["trial"].to_list()
    assert sorted([*kept, *bad]) == list(range(300))
    assert run(tmp_path / "s").new == 0


def test_optimal_means_at_the_teacher(tmp_path):
    """With few samples zero risk is met elsewhere; such a run is absorbed for ever, and still no success."""
    folder = tmp_path / "s"
    run(Study(n=6, samples=10, trials=60, steps=2000), folder)
    there = rows(folder).filter(rows(folder)["verdict"] == "OPTIMAL")
    elsewhere = (there["errors"] > 0).sum()
    assert 0 < elsewhere < len(there)
    assert Store(folder).counts("optimal")["successes"].to_list() == [len(there) - elsewhere]
