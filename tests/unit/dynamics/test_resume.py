"""Interruption, resuming and progress of a run."""

from __future__ import annotations

import signal

import numpy as np
import pytest

import sterling as st
from sterling.dynamics import saved
from sterling.dynamics.options import MAX_STEPS
from tests.support import assert_same_orbit, go_slowly, interrupted

ENGINES = ("event", "dense")


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
@pytest.mark.parametrize("when", (0, 2))
def test_interrupted(noisy, monkeypatch, engine, when, tmp_path):
    """Ctrl-C brings what there is, at any moment, also before the first step is known; resume goes on."""
    whole = st.train(noisy, 100, engine=engine)
    go_slowly(monkeypatch)
    options = {"engine": engine, "progress": Press(when), "checkpoint": tmp_path / "run"}
    orbit = interrupted(st.train, noisy, 100, **options)
    assert orbit.interrupted
    assert 0 <= orbit.steps < 100
    assert 0 <= orbit.occupancy <= 1
    assert np.all((orbit.wrong_share >= 0) & (orbit.wrong_share <= 1))
    assert np.all(np.isfinite(orbit.ergodic_mean))
    assert "interrupted" in dict(orbit._rows())["steps"]
    assert orbit.verdict in (st.Verdict.WANDERING, st.Verdict.RECURRENT)
    loaded = st.Orbit.load(tmp_path / "run")
    assert_same_orbit(loaded, orbit)
    for part in (orbit, loaded):
        resumed = st.resume(part, noisy)
        assert not resumed.interrupted
        assert_same_orbit(resumed, whole)


def test_a_run_that_ends_all_the_same(noisy):
    """A press that the run did not notice is not lost, or a loop around short runs could not be stopped."""

    def press(progress):
        if progress.done == progress.total:
            signal.raise_signal(signal.SIGINT)

    orbit = interrupted(st.train, noisy, 50, progress=press)
    assert not orbit.interrupted
    assert_same_orbit(orbit, st.train(noisy, 50))
    orbit = interrupted(st.resume, orbit, noisy, 50, progress=press)
    assert_same_orbit(orbit, st.train(noisy, 100))


def test_a_last_save_that_fails(noisy, monkeypatch, tmp_path):
    """The run is not lost, nor is the failure; after Ctrl-C the reason is the cause."""
    path = tmp_path / "run"

    def fail(*_):
        raise st.StoreError("the disk is full")

    monkeypatch.setattr("sterling.dynamics.orbit.store", fail)
    with pytest.raises(st.StoreError, match="the disk is full") as caught:
        st.train(noisy, 50, checkpoint=path)
    assert_same_orbit(caught.value.orbit, st.train(noisy, 50))
    go_slowly(monkeypatch)
    with pytest.raises(KeyboardInterrupt) as pressed:
        st.train(noisy, 50, checkpoint=path, progress=Press(3))
    assert isinstance(pressed.value.__cause__, st.StoreError)
    assert pressed.value.orbit.interrupted
    assert not path.exists()


def test_a_save_that_fails_on_the_way_is_a_warning(noisy, monkeypatch, tmp_path):
    go_slowly(monkeypatch)
    tries = iter(range(10**6))
    written = saved.store

    def fail_at_first(*arguments):
        if next(tries) < 2:
            raise st.StoreError("the disk is full")
        written(*arguments)

    monkeypatch.setattr("sterling.dynamics.orbit.store", fail_at_first)
    with pytest.warns(st.SterlingWarning, match="not saved: the disk is full; the run goes on"):
        orbit = st.train(noisy, 50, checkpoint=tmp_path / "run", checkpoint_every=1e-9)
    assert_same_orbit(st.Orbit.load(tmp_path / "run"), orbit)


def test_what_resume_refuses(noisy, clean):
    orbit = st.train(noisy, 10)
    for instance, steps, message in (
        (noisy, None, "the run has all of its 10 steps: say how many more"),
        (noisy, MAX_STEPS, "at most 1,000,000,000,000 are possible"),
        ("noisy", 10, "instance is of the type str"),
    ):
        with pytest.raises(st.InputError, match=message):
            st.resume(orbit, instance, steps)
    with pytest.raises(st.CheckpointError, match=r"belongs to another instance .*60 samples"):
        st.resume(orbit, clean, steps=10)


# --------------------------------------------------------------------------------------- progress


@pytest.mark.parametrize("engine", ENGINES)
def test_the_last_progress_agrees_with_the_result(clean, engine):
    """Also where the stay at the teacher is not over, and so not yet counted by the engine."""
    seen = []
    orbit = st.train(clean, 300, engine=engine, progress=seen.append)
    assert orbit.verdict is st.Verdict.OPTIMAL
    assert orbit.visits == 1
    assert seen[-1].note == "OPTIMAL"
    assert seen[-1].facts[:2] == ("occupancy 98 %", "visits 1")
