"""Interruption, resuming and progress of a run."""

from __future__ import annotations

import signal

import numpy as np
import pytest

import sterling as st
from sterling.dynamics.train import MAX_STEPS
from tests.support import assert_same_orbit, go_slowly

ENGINES = ("event", "dense")


@pytest.fixture(scope="module")
def noisy():
    return st.Problem(n=8, samples=60, m=2, noise=0.5).draw(0)


@pytest.fixture(scope="module")
def clean():
    return st.Problem(n=8, samples=200).draw(0)


# ------------------------------------------------------------------------------- resume, interruption


class Press:
    """A display that presses Ctrl-C at the look given by its number, counted from 0."""

    def __init__(self, when):
        self.when, self.looks = when, -1

    def __call__(self, progress):
        self.looks += 1
        if self.looks == self.when:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("when", (0, 1, 2, 10))
def test_interrupted(noisy, monkeypatch, engine, when, tmp_path):
    """Ctrl-C returns what there is, at any moment, also before the first step is known; resume goes on."""
    whole = st.train(noisy, 100, engine=engine)
    go_slowly(monkeypatch)
    orbit = st.train(noisy, 100, engine=engine, progress=Press(when), checkpoint=tmp_path / "run")
    assert orbit.interrupted
    assert 0 <= orbit.steps < 100
    assert orbit.planned == 100
    assert 0 <= orbit.occupancy <= 1
    assert np.all((orbit.wrong_share >= 0) & (orbit.wrong_share <= 1))
    assert np.all(np.isfinite(orbit.ergodic_mean))
    assert "interrupted" in dict(orbit.summary())["steps"]
    assert orbit.verdict in (st.Verdict.WANDERING, st.Verdict.RECURRENT)
    loaded = st.Orbit.load(tmp_path / "run")
    assert_same_orbit(loaded, orbit)
    for part in (orbit, loaded):
        resumed = st.resume(part, noisy)
        assert not resumed.interrupted
        assert_same_orbit(resumed, whole)


def test_the_handler_is_put_back(noisy, monkeypatch):
    """After a run, Ctrl-C does what it did before."""
    before = signal.getsignal(signal.SIGINT)
    go_slowly(monkeypatch)
    st.train(noisy, 100, progress=Press(0))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_press_acts_at_once(noisy, monkeypatch):
    go_slowly(monkeypatch)

    def twice(progress):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        st.train(noisy, 100, progress=twice)


def test_a_failing_display_stops_the_run(noisy, monkeypatch):
    """Its error reaches the caller; helper threads and the signal handler are put away."""
    before = signal.getsignal(signal.SIGINT)
    go_slowly(monkeypatch)

    def fail(progress):
        raise RuntimeError("no terminal")

    with pytest.raises(RuntimeError, match="no terminal"):
        st.train(noisy, 100, progress=fail)
    assert signal.getsignal(signal.SIGINT) is before


def test_resume_asks_for_steps(noisy):
    orbit = st.train(noisy, 10)
    with pytest.raises(st.InputError, match="the run has all of its 10 steps: say how many more"):
        st.resume(orbit, noisy)
    for steps in (0, -1, 1.5, True):
        with pytest.raises(st.InputError, match="steps is"):
            st.resume(orbit, noisy, steps=steps)
    with pytest.raises(st.InputError, match="at most 1,000,000,000,000 are possible"):
        st.resume(orbit, noisy, steps=MAX_STEPS)


def test_resume_knows_its_instance(noisy, clean):
    orbit = st.train(noisy, 10)
    with pytest.raises(st.CheckpointError, match=r"belongs to another instance .*60 samples.*200 samples"):
        st.resume(orbit, clean, steps=10)
    with pytest.raises(st.InputError, match=r"the first argument is a str|instance"):
        st.resume(orbit, "noisy", steps=10)


@pytest.mark.parametrize("orbit", ("run.orbit", None))
def test_resume_knows_its_orbit(noisy, orbit):
    with pytest.raises(st.InputError, match=r"[Oo]rbit"):
        st.resume(orbit, noisy, steps=10)


def test_resume_takes_an_equal_instance(noisy):
    """The data count, not the object, nor where they came from."""
    orbit = st.train(noisy, 10)
    again = st.Problem(n=8, samples=60, m=2, noise=0.5).draw(0)
    assert_same_orbit(st.resume(orbit, again, steps=10), st.train(noisy, 20))


# --------------------------------------------------------------------------------------- progress


def test_progress(noisy, monkeypatch):
    """What displays are shown is consistent, goes forward, and ends with the result."""
    go_slowly(monkeypatch)
    seen = []
    orbit = st.train(noisy, 300, progress=seen.append)
    assert len(seen) > 10
    steps = [progress.done for progress in seen]
    assert steps == sorted(steps)
    assert steps[-1] == seen[-1].total == 300
    assert seen[-1].events == orbit.stats.events
    assert seen[-1].distance == orbit.errors
    for progress in seen:
        assert 0 <= progress.occupancy <= 1
        assert 0 <= progress.distance <= 8
    assert seen[-1].verdict is orbit.verdict


@pytest.mark.parametrize("engine", ENGINES)
def test_the_last_progress_tells_the_verdict(clean, engine):
    seen = []
    orbit = st.train(clean, 300, engine=engine, progress=seen.append)
    assert seen[-1].verdict is orbit.verdict is st.Verdict.OPTIMAL
