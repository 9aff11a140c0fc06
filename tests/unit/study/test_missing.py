"""What a round lacks is handed out once each, in any order, and processes on one folder waste little."""

import random
import types
from collections import deque

import numpy as np
import polars as pl
import pytest

from sterling.base.pool import Done
from sterling.base.registry import register
from sterling.study import REAL, Kind, Store, Study, collector, missing
from sterling.study.collector import Collector
from sterling.study.ledger import Ledger
from sterling.study.missing import Missing
from sterling.study.shards import frame_of
from sterling.study.trial import Batch, run_batch


def coin(cell, seeds, look):
    return {"face": float(seeds.rest % 2)}


@pytest.fixture(autouse=True)
def coins(registries):
    """Trials that take no time."""
    register(Kind("coin", coin, {"face": REAL}))


def known(ledger, cell, numbers):
    """Have a ledger know some trials."""
    rows = run_batch(0, None, Batch(cell, np.array(numbers)))
    frame = frame_of(ledger.kind, rows).with_columns(cell=pl.lit(cell.key))
    return ledger.record(frame, {cell.key: cell})


@pytest.fixture
def two():
    """A study of two cells, and a ledger that knows the trials 3, 4 and 20 of the first."""
    study = Study(n=[4, 6], samples=12, trials=100, kind="coin")
    ledger = Ledger(study.kind, ())
    known(ledger, study.cells[0], [3, 4, 20])
    return (*study.cells, ledger)


def take_all(found):
    taken = {}
    while batch := found.take(lambda cell: 7):
        assert 0 < batch[1].size <= 7
        taken.setdefault(batch[0], []).extend(batch[1].tolist())
    return taken


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("window", [16, 1 << 14])
def test_every_lacking_trial_is_handed_out_once(two, monkeypatch, seed, window):
    monkeypatch.setattr(missing, "_WINDOW", window)
    one, other, ledger = two
    found = Missing(ledger, {one: 100, other: 40}, random.Random(seed))
    assert found.waiting == 137
    taken = take_all(found)
    assert sorted(taken[one]) == [number for number in range(100) if number not in (3, 4, 20)]
    assert sorted(taken[other]) == list(range(40))
    assert not found


def test_what_others_have_done_is_left_out(two):
    one, _, ledger = two
    found = Missing(ledger, {one: 40}, random.Random(0))
    found.learnt(known(ledger, one, range(2, 29)))
    assert found.waiting == 13
    assert sorted(take_all(found)[one]) == [0, 1, *range(29, 40)]


def test_what_came_back_without_a_row_is_handed_out_again(two):
    one, _, ledger = two
    found = Missing(ledger, {one: 40}, random.Random(0))
    take_all(found)
    ledger.take_back(one, [7, 8])
    found.learnt([one.key])
    assert found.waiting == 2
    assert sorted(take_all(found)[one]) == [7, 8]


def test_nothing_is_missing_of_nothing(two):
    one, _, ledger = two
    assert not Missing(ledger, {one: 0}, random.Random(0))
    assert ledger.known(one, 5) == 2


def test_two_processes_go_ways_of_their_own(two):
    _, other, ledger = two
    firsts = set()
    for seed in range(20):
        batch = Missing(ledger, {other: 10**9}, random.Random(seed)).take(lambda cell: 1)
        assert batch is not None
        firsts.add(int(batch[1][0]))
    assert len(firsts) == 20


class Clock:
    """A process in simulated time: workers that take ``pace`` seconds for a trial."""

    def __init__(self, pace, workers=2):
        self.now, self.pace, self.count, self.computed = 0.0, pace, workers, 0
        self.stopping, self.in_threads, self.here = False, True, True

    def results(self, work, feed, every, errors):
        free = [0.0] * self.count
        running: deque = deque()
        more, looked = True, 0.0
        while True:
            while more and len(running) < 2 * self.count:
                try:
                    item = next(feed)
                except StopIteration:
                    more = False
                    break
                if item is None:
                    break
                worker = int(np.argmin(free))
                free[worker] = max(free[worker], self.now) + len(item.numbers) * self.pace
                running.append((free[worker], item))
            if not running and not more:
                return
            nearest = min((end for end, _ in running), default=np.inf)
            if nearest <= looked + 0.02:
                self.now = max(self.now, nearest)
                done = next(pair for pair in running if pair[0] == nearest)
                running.remove(done)
                self.computed += len(done[1].numbers)
                yield Done(done[1], [(*row[:-2], self.pace, row[-1]) for row in work(done[1])])
            else:
                self.now = looked = looked + 0.02
                yield None


def share(folder, study, paces, monkeypatch, seed):
    """Run a study in several simulated processes; return how many trials each computed."""
    order = random.Random(seed)
    current: list = []
    monkeypatch.setattr(
        collector, "time", types.SimpleNamespace(monotonic=lambda: current[-1].now if current else 0.0)
    )
    monkeypatch.setattr(collector.os, "urandom", order.randbytes)
    Store(folder, study)
    clocks = [Clock(pace) for pace in paces]
    runs = {clock: Collector(Store(folder), study, clock, None).go() for clock in clocks}
    while runs:
        clock = min(runs, key=lambda one: one.now)
        current.append(clock)
        try:
            next(runs[clock])
        except StopIteration:
            del runs[clock]
    return [clock.computed for clock in clocks]


@pytest.mark.parametrize("pace, trials", [(0.005, 2880), (0.02, 720), (0.3, 360)])
def test_three_processes_waste_at_most_a_fifth(tmp_path, monkeypatch, pace, trials):
    """Time is simulated and seeds are fixed: this cannot fail by chance."""
    study = Study(n=[4, 6, 8], samples=[8, 12, 16], trials=trials // 9, kind="coin")
    computed = share(tmp_path / "s", study, [pace] * 3, monkeypatch, 1)
    assert len(Store(tmp_path / "s").trials(["trial"])) == trials
    assert trials <= sum(computed) <= 1.2 * trials
    assert min(computed) > 0.2 * trials  # each does its part
