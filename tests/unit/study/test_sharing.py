"""Processes that share a folder do little twice. Time is simulated and seeds are fixed."""

import random
import types
from collections import deque

import numpy as np
import pytest

from sterling.base.pool import Done
from sterling.base.registry import register
from sterling.study import REAL, Kind, Store, Study, collect
from sterling.study.collect import Collector
from sterling.study.trial import Finished


def coin(cell, seeds, look):
    return {"face": float(seeds.rest % 2)}


@pytest.fixture(autouse=True)
def coins(registries):
    """Trials that take no time."""
    register(Kind("coin", coin, {"face": REAL}))


class SimulatedPool:
    """Two workers that take ``pace`` seconds for a trial, in simulated time."""

    def __init__(self, pace):
        self.now, self.pace, self.count, self.computed = 0.0, pace, 2, 0
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
                rows = [(*row[:-2], self.pace, row[-1]) for row in work(done[1]).rows]
                yield Done(done[1], Finished(rows, {}))
            else:
                self.now = looked = looked + 0.02
                yield None


def computed(folder, study, pace, monkeypatch, seed):
    """Run a study in three simulated processes; return how many trials each computed."""
    order = random.Random(seed)
    current: list = []
    clock = types.SimpleNamespace(monotonic=lambda: current[-1].now if current else 0.0)
    monkeypatch.setattr(collect, "time", clock)
    monkeypatch.setattr(collect.os, "urandom", order.randbytes)
    Store(folder, study)
    pools = [SimulatedPool(pace) for _ in range(3)]
    runs = {pool: Collector(Store(folder), pool).go() for pool in pools}
    while runs:
        pool = min(runs, key=lambda one: one.now)
        current.append(pool)
        if next(runs[pool], None) is None:
            del runs[pool]
    return [pool.computed for pool in pools]


@pytest.mark.parametrize("pace, trials, seed", [(0.01, 1440, 15), (0.3, 360, 11)])
def test_three_processes_do_at_most_a_third_twice(tmp_path, monkeypatch, pace, trials, seed):
    """With these seeds processes once ran side by side through a cell, and did 42 % and 40 % twice."""
    study = Study(n=[4, 6, 8], samples=[8, 12, 16], trials=trials // 9, kind="coin")
    each = computed(tmp_path / "s", study, pace, monkeypatch, seed)
    assert len(Store(tmp_path / "s").trials(["trial"])) == trials
    assert trials <= sum(each) <= 4 / 3 * trials
    assert min(each) > 0.2 * trials  # each does its part
