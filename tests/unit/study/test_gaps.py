"""What a round lacks is handed out once each, without what others are at, window by window."""

import random

import numpy as np
import pytest
from sterling.study.schema import frame_of

from sterling.study import Study, gaps
from sterling.study.gaps import Gaps
from sterling.study.ledger import Ledger
from sterling.study.notices import Notices, fcntl
from sterling.study.trial import run_batch

STUDY = Study(n=[4, 6], samples=12, trials=100, steps=50)
ONE, TWO = STUDY.cells


@pytest.fixture
def ledger(monkeypatch):
    """A ledger that knows the trials 3, 4 and 20 of the first cell; windows are small."""
    monkeypatch.setattr(gaps, "_WINDOW", 16)
    made = Ledger(STUDY.criteria)
    made.record(frame_of(run_batch(ONE, [3, 4, 20], STUDY.seed)))
    return made


def take_all(found, elsewhere):
    taken = {ONE: [], TWO: []}
    while batch := found.take(lambda cell: 7, elsewhere):
        assert 0 < batch[1].size <= 7
        taken[batch[0]].extend(batch[1].tolist())
    return taken


def test_every_lacking_trial_is_handed_out_once(ledger):
    found = Gaps(ledger, {ONE: 100, TWO: 40}, random.Random(0))
    assert found.waiting == 137
    taken = take_all(found, {})
    assert taken[ONE] == [number for number in range(100) if number not in (3, 4, 20)]
    assert taken[TWO] == list(range(40))
    assert not found
    assert found.waiting == 0


def test_what_others_are_at_stays_until_it_is_known(ledger):
    found = Gaps(ledger, {ONE: 40}, random.Random(0))
    assert 25 not in take_all(found, {ONE.key: np.arange(2, 30)})[ONE]
    assert found.waiting == 28 - 3
    learnt = ledger.record(frame_of(run_batch(ONE, list(range(2, 29)), STUDY.seed)))
    assert learnt == {ONE.key: 27 - 3}
    found.drop_known(learnt)
    assert found.waiting == 1
    assert take_all(found, {})[ONE] == [29]
    assert not found


def test_a_complete_plan_has_no_gaps(ledger):
    assert not Gaps(ledger, {ONE: 0}, random.Random(0))
    assert ledger.known(ONE, 5) == 2


def test_notices_are_seen_by_others_as_long_as_their_process_lives(tmp_path):
    mine, other = Notices(tmp_path), Notices(tmp_path)
    assert mine.others() is None
    other.publish({"cell": [np.array([5, 1, 2]), np.array([9])], "more": [np.arange(3)]})
    seen = mine.others()
    assert {cell: numbers.tolist() for cell, numbers in seen.items()} == {
        "cell": [1, 2, 5, 9],
        "more": [0, 1, 2],
    }
    assert other.others() is None
    other._path.write_bytes(b"")  # caught while it is being written
    assert sorted(mine.others()) == ["cell", "more"]
    other.close()
    assert mine.others() is None
    mine.close()
    assert [path.name for path in tmp_path.iterdir()] == []


def test_a_notice_of_a_killed_process_counts_for_nothing(tmp_path):
    mine, other = Notices(tmp_path), Notices(tmp_path)
    other.publish({"cell": [np.arange(3)]})
    left = other._path.read_bytes()
    other.close()
    other._path.write_bytes(left)
    assert mine.others() is None


def test_without_locks_a_process_that_falls_silent_is_forgotten(tmp_path, monkeypatch):
    monkeypatch.setattr("sterling.study.notices.fcntl", None)
    mine, other = Notices(tmp_path), Notices(tmp_path)
    other.publish({})
    with mine.turn():
        assert mine.others() == {}
    monkeypatch.setattr("sterling.study.notices._SILENCE", 0.0)
    assert mine.others() is None
    other.publish({})
    monkeypatch.undo()


@pytest.mark.skipif(fcntl is None, reason="this system has no file locks")
def test_two_processes_do_not_choose_at_one_moment(tmp_path, monkeypatch):
    monkeypatch.setattr("sterling.study.notices._TRIES", 1)
    mine, other = Notices(tmp_path), Notices(tmp_path)
    with mine.turn() as alone:
        assert alone
        with other.turn() as alone:
            assert not alone  # and it did not wait for ever
    with other.turn() as alone:
        assert alone
