"""Processes that share a folder do little twice. Time is simulated and seeds are fixed."""

import random
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from sterling.base.pool import Done
from sterling.study import REAL, Kind, Study, collect
from sterling.study.collect import Collector
from sterling.study.store import frame_of
from sterling.study.trial import Finished


class SimulatedPool:
    """Two workers that take ``pace`` seconds for a trial, in simulated time."""

    def __init__(self, pace):
        self.now, self.pace, self.count, self.computed = 0.0, pace, 2, 0
        self.stopping, self.in_threads, self.here = False, True, True

    def results(self, work, feed, every, errors):
        free = [0.0] * self.count
        running = []
        more, looked = True, 0.0
        while True:
            while more and len(running) < 2 * self.count:
                item = next(feed, "end")
                if item is None or item == "end":
                    more = item is None
                    break
                worker = int(np.argmin(free))
                free[worker] = max(free[worker], self.now) + len(item.numbers) * self.pace
                running.append((free[worker], item))
            if not running and not more:
                return
            end, item = min(running, key=lambda one: one[0], default=(np.inf, None))
            if end <= looked + 0.02:
                self.now = max(self.now, end)
                running = [one for one in running if one[1] is not item]
                self.computed += len(item.numbers)
                yield Done(
                    item, Finished([(item.cell.text, int(n), 0.0, self.pace, "") for n in item.numbers], {})
                )
            else:
                self.now = looked = looked + 0.02
                yield None


class SharedStore:
    """Shards in memory, as all processes see them."""

    def __init__(self, study, shards):
        self.study, self.shards = study, shards

    def _names(self):
        return list(self.shards)

    def _add(self, rows):
        name = str(len(self.shards))
        keys = {cell.text: cell.key for cell in self.study.cells}
        self.shards[name] = frame_of(self.study.kind, rows).with_columns(pl.col("cell").replace(keys))
        return name

    def _read(self, name, columns):
        return self.shards[name].select(columns)


def computed(study, pace, monkeypatch, seed):
    """Run a study in three simulated processes; return how many trials each computed, and all rows."""
    current, shards = [], {}
    clock = SimpleNamespace(monotonic=lambda: current[-1].now if current else 0.0)
    monkeypatch.setattr(collect, "time", clock)
    monkeypatch.setattr(collect.os, "urandom", random.Random(seed).randbytes)
    pools = [SimulatedPool(pace) for _ in range(3)]
    runs = {pool: Collector(SharedStore(study, shards), pool).go() for pool in pools}
    while runs:
        pool = min(runs, key=lambda one: one.now)
        current.append(pool)
        if next(runs[pool], None) is None:
            del runs[pool]
    return [pool.computed for pool in pools], pl.concat(shards.values())


@pytest.mark.parametrize("pace, trials", [(0.01, 1440), (0.3, 360), (3.0, 180)])
def test_three_processes_do_at_most_a_third_twice(monkeypatch, pace, trials):
    """With these seeds processes once ran side by side through a cell, and did 42 % and 40 % twice."""
    kind = Kind("coin", lambda *_: {}, {"face": REAL})
    monkeypatch.setitem(collect.KINDS, "coin", kind)
    study = Study(n=[4, 6, 8], samples=[8, 12, 16], trials=trials // 9, kind="coin")
    for seed in (11, 15):
        each, rows = computed(study, pace, monkeypatch, seed)
        assert rows.select("cell", "trial").n_unique() == trials
        assert trials <= sum(each) <= 4 / 3 * trials
        assert min(each) > 0.2 * trials  # each does its part
