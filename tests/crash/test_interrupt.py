"""Ctrl-C ends a run with what there is, at the command line and in Python, and the run can go on."""

import json
import os
import pty
import re
import select
import signal
import time

import numpy as np
import pytest

import sterling as st
from sterling.base.interrupts import deferred_interrupt
from sterling.dynamics.event import EventEngine
from sterling.study import Study
from sterling.study.trial import warm_up
from tests.crash.processes import DEADLINE, STERLING, start, wait_until

LONG = ["train", "--n", "50", "--samples", "600", "--noise", "0.5", "--steps", "1e11"]


def assert_same(first, second):
    """Check that two runs came to the same, bit for bit."""
    for name in (
        "latent",
        "signs",
        "ergodic_mean",
        "wrong_share",
        "return_times",
        "sojourn_times",
        "reference",
    ):
        assert np.array_equal(getattr(first, name), getattr(second, name)), name
    for name in ("steps", "occupancy", "visits", "first_hit", "verdict", "recorded"):
        assert getattr(first, name) == getattr(second, name), name
    assert first.stats.events == second.stats.events
    if first.recorded:
        assert np.array_equal(first.flips, second.flips)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_prints_what_there_is_and_can_go_on(number, tmp_path):
    path = tmp_path / "run.orbit"
    with start(*LONG, "--json", "--checkpoint", path, "--checkpoint-every", "0.05") as process:
        wait_until(path.exists, process)
        process.send_signal(number)
        out, err = process.communicate(timeout=DEADLINE)
    assert process.returncode == 130, err
    result = json.loads(out)
    assert result["interrupted"]
    assert 0 < result["steps"] < 10**11
    assert err.splitlines()[-1] == (
        f"interrupted at step {result['steps']:,} of 100,000,000,000: the same command goes on from {path}"
    )
    orbit = st.Orbit.load(path)
    assert orbit.interrupted
    assert orbit.planned == 10**11
    assert orbit.to_dict() == result
    instance = st.Problem(n=50, samples=600, noise=0.5).draw(seed=0)
    resumed = st.resume(orbit, instance, steps=1000)
    assert_same(resumed, st.train(instance, orbit.steps + 1000, record=()))


@pytest.mark.skipif(not hasattr(pty, "fork"), reason="needs a terminal of its own")
def test_ctrl_c_typed_at_a_terminal():
    child, terminal = pty.fork()
    if child == 0:
        os.environ.update(TERM="xterm-256color", COLUMNS="100")
        os.execv(STERLING[0], [*STERLING, *LONG])
    seen, end = b"", time.monotonic() + DEADLINE
    typed = False
    while time.monotonic() < end:
        ready, _, _ = select.select([terminal], [], [], 1.0)
        try:
            part = os.read(terminal, 65536) if ready else None
        except OSError:  # the child has closed its side
            break
        if part == b"":
            break
        seen += part or b""
        if not typed and b"so far" in seen:
            os.write(terminal, b"\x03")
            typed = True
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", seen.decode())
    assert os.waitstatus_to_exitcode(status) == 130, text
    assert "Traceback" not in text
    assert "(interrupted)" in text
    assert re.search(
        r"interrupted at step [\d,]+ of 100,000,000,000: with --checkpoint FILE it could go on", text
    )


@pytest.mark.parametrize("engine, steps", [("event", 120_000), ("dense", 6_000)])
def test_an_interrupted_run_in_python_resumes_to_the_same_bits(engine, steps, tmp_path):
    instance = st.Problem(n=50, samples=600, noise=0.5).draw(seed=0)
    options = {"steps": steps, "engine": engine, "init": 4}
    whole = st.train(instance, **options)
    pressed = []

    def press(progress):
        if not pressed:
            pressed.append(progress.done)
            os.kill(os.getpid(), signal.SIGINT)

    orbit = st.train(instance, **options, progress=press)
    assert orbit.interrupted
    assert pressed
    assert pressed[0] <= orbit.steps < steps
    assert orbit.planned == steps
    assert "(interrupted)" in dict(orbit.summary())["steps"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    orbit.save(tmp_path / "run.orbit")
    for start_from in (orbit, st.Orbit.load(tmp_path / "run.orbit")):
        resumed = st.resume(start_from, instance)
        assert not resumed.interrupted
        assert_same(resumed, whole)


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


def test_ctrl_c_during_a_run_too_short_to_notice_is_passed_on(pressed_in_first_slice):
    """Otherwise a loop over short runs could not be stopped."""
    instance = st.Problem(n=5, samples=60).draw(seed=0)
    with pytest.raises(KeyboardInterrupt):
        st.train(instance, 100, record=())
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_ctrl_c_while_kernels_are_warmed_up_is_passed_on(pressed_in_first_slice):
    study = Study(n=8, samples=100, trials=1, steps=1000)
    with deferred_interrupt() as interrupted:
        warm_up(study.cells)
        assert interrupted()


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
