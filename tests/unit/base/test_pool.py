"""The loop over work: order, errors, Ctrl-C, stopping, and what it leaves behind."""

import signal
import threading
from concurrent.futures import Executor, Future

import pytest

from sterling.base import resources
from sterling.base.pool import Pool


class ByHand(Executor):
    """Runs an item where the test says so, in this thread."""

    def __init__(self):
        self.waiting = []

    def submit(self, fn, /, *args, **kwargs):
        future = Future()
        self.waiting.append((future, fn, args))
        return future

    def run(self):
        future, fn, args = self.waiting.pop(0)
        if future.set_running_or_notify_cancel():
            try:
                future.set_result(fn(*args))
            except BaseException as problem:
                future.set_exception(problem)


def keep(given, seen):
    """Take over what is given, for as long as something is."""
    for done in given:
        if done:
            seen.append(done.value)


@pytest.fixture(autouse=True)
def nothing_left_behind():
    threads, handler = threading.active_count(), signal.getsignal(signal.SIGINT)
    yield
    assert threading.active_count() == threads
    assert signal.getsignal(signal.SIGINT) is handler


def test_an_error_is_raised_after_what_was_finished():
    hand, seen = ByHand(), []

    def work(item):
        if item == 1:
            raise OSError(item)
        return item

    with Pool(threads=2, executor=hand) as pool:
        given = pool.results(work, range(4), every=0.0)
        next(given)
        for _ in range(3):
            hand.run()
        with pytest.raises(OSError, match="1"):
            keep(given, seen)
    assert sorted(seen) == [0, 2]
    assert hand.waiting[0][0].cancelled()


def test_ctrl_c_stops_threads_and_gives_what_they_return(monkeypatch):
    """Workers see `stopping`, and what they have by then counts; what raises instead is dropped."""
    monkeypatch.setattr(resources, "usable_cores", lambda: 2)
    begun, seen = threading.Barrier(3), []

    def work(item):
        begun.wait()
        while not pool.stopping:
            pass
        if item:
            raise RuntimeError("gave up")
        return "what there was"

    with Pool(threads=2) as pool:
        given = pool.results(work, [0, 1], every=0.0)
        next(given)
        begun.wait()
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            keep(given, seen)
    assert seen == ["what there was"]
