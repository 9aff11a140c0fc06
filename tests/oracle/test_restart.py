"""Ergodic restart: both engines agree with a few lines of NumPy, resumed runs with uninterrupted ones."""

from __future__ import annotations

import numpy as np
import pytest

import sterling as st
from tests.support import assert_same_orbit

COLUMNS = ("step", "coordinate", "sign")


def naive(instance, steps, schedule, surrogate, start, restart):
    """The definition, step by step: a list of (step, coordinate, sign), and the last latents."""
    latent = start.copy()
    signs = np.where(latent >= 0, 1, -1)
    flips, total, begun = [], np.zeros(instance.n), 0
    for t in range(steps):
        rate = float(schedule.at(t - begun)) / instance.readout_norm2
        total = total + rate * signs
        latent = latent - rate * instance.gradient(signs, surrogate)
        if t + 1 - begun == restart.every:
            latent = restart.scale * instance.readout_norm2 * total / np.sqrt(instance.n)
            total, begun = np.zeros(instance.n), t + 1
        new = np.where(latent >= 0, 1, -1)
        for k in np.flatnonzero(new != signs):
            flips.append((t + 1, int(k), int(new[k])))
        signs = new
    return flips, latent


def recorded(orbit):
    return [tuple(int(flip[name]) for name in COLUMNS) for flip in orbit.flips]


CASES = [
    ({"n": 24, "samples": 60}, st.Power(0.5, 0.5), "relu", st.Restart(40, 0.1), 300),
    ({"n": 9, "samples": 40, "noise": 0.5}, st.Constant(0.3), "identity", st.Restart(25, 0.5), 200),
    ({"n": 13, "samples": 50, "m": 3, "noise": 0.3}, st.Power(1, 0.9), "hard_tanh", st.Restart(7, 0.2), 150),
    (
        {"n": 8, "samples": 20, "noise": 1},
        st.Table([0.5, 0.25, 0.1]),
        "clipped_relu",
        st.Restart(6, 0.05),
        90,
    ),
    ({"n": 2, "samples": 6, "noise": 1}, st.Constant(0.5), "identity", st.Restart(3, 0.1), 50),
]


@pytest.mark.parametrize(("problem", "schedule", "surrogate", "restart", "steps"), CASES)
@pytest.mark.parametrize("engine", ["event", "dense"])
def test_the_engines_do_what_the_definition_says(problem, schedule, surrogate, restart, steps, engine):
    instance = st.Problem(**problem).draw(3)
    orbit = st.train(instance, steps, schedule, surrogate, init=1, engine=engine, restart=restart)
    flips, latent = naive(instance, steps, schedule, surrogate, orbit.start_latent, restart)
    if orbit.certified:  # an absorbed run is over; the definition as it stands above would restart it
        last = orbit.last_flip
        flips = [flip for flip in flips if flip[0] <= last]
    else:
        assert orbit.latent == pytest.approx(latent, abs=1e-12)
    assert recorded(orbit) == flips
    assert len(flips) > 0


@pytest.mark.parametrize(("problem", "schedule", "surrogate", "restart", "steps"), CASES)
def test_the_engines_agree_to_the_last_bit(problem, schedule, surrogate, restart, steps):
    arguments = st.Problem(**problem).draw(8), 5 * steps, schedule, surrogate, 2
    event, dense = (st.train(*arguments, engine, restart=restart) for engine in ("event", "dense"))
    assert_same_orbit(event, dense)


@pytest.mark.parametrize("engine", ["event", "dense"])
@pytest.mark.parametrize("cut", [1, 39, 40, 41])
def test_a_resumed_run_is_the_uninterrupted_one(tmp_path, engine, cut):
    """Also where it is cut at a restart, next to one, and where it lay on disk meanwhile."""
    instance = st.Problem(n=24, samples=60, noise=0.4).draw(5)
    options = {"schedule": st.Power(0.5, 0.5), "engine": engine, "restart": st.Restart(40, 0.1)}
    whole = st.train(instance, 200, **options)
    st.train(instance, cut, **options).save(tmp_path / "run.orbit")
    again = st.resume(st.Orbit.load(tmp_path / "run.orbit"), instance, 200 - cut)
    assert again.restart == whole.restart == st.Restart(40, 0.1)
    assert_same_orbit(again, whole)


def test_the_history_knows_the_mass_of_restarted_runs():
    """The time average over the run is right at its end, whichever way it is computed."""
    from sterling.dynamics.history import history

    instance = st.Problem(n=24, samples=60).draw(5)
    orbit = st.train(instance, 1000, restart=st.Restart(150, 0.1))
    assert history(orbit).ergodic[-1] == orbit.ergodic_errors
