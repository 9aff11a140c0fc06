"""Ctrl-C ends a run with what there is: shown by the command line, brought by the exception in Python."""

import json
import os
import signal

import pytest

import sterling as st
from sterling.base.interrupts import deferred_interrupt
from sterling.dynamics.event import EventEngine
from tests.crash.processes import DEADLINE, allow_small_files_only, start, wait_until
from tests.support import assert_same_orbit, interrupted

LONG = ["train", "--n", "50", "--samples", "600", "--noise", "0.5", "--steps", "1e11"]


def test_an_unsaved_checkpoint_is_not_promised(tmp_path):
    """The same command cannot go on from a file that is not there."""
    path = tmp_path / "run.orbit"
    options = ["--json", "--checkpoint", path, "--checkpoint-every", "0.05"]
    with start(*LONG, *options, preexec_fn=allow_small_files_only) as process:
        assert process.stderr is not None
        while "not saved" not in process.stderr.readline():
            assert process.poll() is None
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, err
    assert json.loads(out)["interrupted"]
    assert "cannot be continued" in err.splitlines()[-1]
    assert not list(tmp_path.iterdir())


def ignore_ctrl_c():
    """As a script does that starts `command &`; a batch system then ends the command by SIGTERM."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)


def test_a_terminated_command_prints_what_there_is_and_can_go_on(tmp_path):
    """And says which files it still writes: the user has asked for the end."""
    path, table = tmp_path / "run.orbit", tmp_path / "w.csv"
    options = ["--json", "--checkpoint", path, "--checkpoint-every", "0.05", "--weights", table]
    with start(*LONG, *options, preexec_fn=ignore_ctrl_c) as process:
        wait_until(path.exists, process)
        process.send_signal(signal.SIGINT)
        process.send_signal(signal.SIGTERM)
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, err
    result = json.loads(out)
    assert result["interrupted"]
    assert 0 < result["steps"] < 10**11
    assert err.splitlines()[-1] == (
        f"interrupted at step {result['steps']:,} of 100,000,000,000: the same command continues from {path}"
    )
    assert f"weights: {table}" in err.splitlines()
    assert table.exists()
    orbit = st.Orbit.load(path)
    assert orbit.interrupted
    assert orbit.to_dict() == result
    instance = st.Problem(n=50, samples=600, noise=0.5).draw(seed=0)
    resumed = st.resume(orbit, instance, steps=1000)
    assert_same_orbit(resumed, st.train(instance, orbit.steps + 1000, record=("recurrence",)))


def test_a_second_ctrl_c_acts_at_once():
    instance = st.Problem(n=50, samples=600, noise=0.5).draw(seed=0)

    def press_twice(progress):
        os.kill(os.getpid(), signal.SIGINT)
        os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        st.train(instance, 300_000, record=(), progress=press_twice)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    assert st.train(instance, 100).steps == 100


@pytest.fixture
def pressed_in_first_slice(monkeypatch):
    """Press Ctrl-C just before the engine's first slice, which a short run never leaves."""
    advance = EventEngine.advance

    def press(engine, until, budget):
        monkeypatch.setattr(EventEngine, "advance", advance)
        os.kill(os.getpid(), signal.SIGINT)
        return advance(engine, until, budget)

    monkeypatch.setattr(EventEngine, "advance", press)


def test_a_loop_over_short_runs_ends(pressed_in_first_slice):
    """Also where the run in which Ctrl-C fell was too short to notice it."""
    instance = st.Problem(n=5, samples=60).draw(seed=0)
    done = []

    def loop():
        for seed in range(1000):
            done.append(st.train(instance, 100, init=seed, record=()))

    orbit = interrupted(loop)
    assert not done
    assert orbit.steps == 100
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_that_nobody_looks_at_goes_to_the_handler_before():
    with deferred_interrupt() as outer:
        with deferred_interrupt() as inner:
            os.kill(os.getpid(), signal.SIGINT)
            assert not outer()
            assert inner()
        assert not outer()
        with deferred_interrupt():
            os.kill(os.getpid(), signal.SIGINT)
        assert outer()
    with pytest.raises(KeyboardInterrupt), deferred_interrupt():
        os.kill(os.getpid(), signal.SIGINT)
