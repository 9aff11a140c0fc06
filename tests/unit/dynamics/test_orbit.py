"""What a run leaves: the fields of an orbit, and the bounds on what is recorded."""

from __future__ import annotations

import numpy as np
import pytest

import sterling as st
from sterling.dynamics import run as module
from sterling.dynamics.options import initial_latent
from tests.support import assert_same_orbit, go_slowly

ENGINES = ("event", "dense")


@pytest.mark.parametrize("engine", ENGINES)
def test_distance(noisy, engine):
    """Errors at any step, from the recorded flips, between and beyond them."""
    orbit = st.train(noisy, 150, engine=engine)
    signs = orbit.start_signs.copy()
    expected = []
    flips = orbit.flips.tolist()
    for t in range(151):
        for step, k, sign in flips:
            if step == t:
                signs[k] = sign
        expected.append(int((signs != noisy.teacher).sum()))
    assert orbit.distance(np.arange(151)).tolist() == expected
    assert orbit.distance(150) == orbit.errors
    assert (orbit.distance([]).shape, orbit.distance([]).dtype) == ((0,), np.int64)
    assert orbit.distance(np.array([[0, 1], [149, 150]])).shape == (2, 2)


@pytest.mark.parametrize("at", (-1, [0, 200], 0.5, None))
def test_distance_where_the_run_has_no_step(noisy, at):
    with pytest.raises(st.InputError, match=r"distance\(\) knows steps 0 to 150|must be integers"):
        st.train(noisy, 150).distance(at)


@pytest.mark.filterwarnings("ignore::sterling.SterlingWarning")
@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_without_mass(noisy, engine):
    """All rates zero: nothing moves, and the mean over no mass is where the run stands."""
    orbit = st.train(noisy, 20, st.Table([0.0]), engine=engine)
    np.testing.assert_array_equal(orbit.ergodic_mean, orbit.start_signs / np.sqrt(8))
    np.testing.assert_array_equal(orbit.latent, initial_latent(8, 0))
    assert orbit.occupancy in (0, 1)


def test_a_small_wrong_share_keeps_its_digits():
    """Six wrong steps of 10¹²: one less the share of right ones would be off in the sixth digit."""
    instance = st.Problem(n=8, samples=400).draw(0)
    init = 0.5 * instance.teacher
    init[3] *= -1e-3
    orbit = st.train(instance, 10**12, init=init)
    assert orbit.verdict is st.Verdict.OPTIMAL
    wrong = int(orbit.flips["step"][orbit.flips["coordinate"] == 3][0])
    assert orbit.wrong_share[3] == wrong / 10**12 > 0


@pytest.mark.parametrize("name", ("latent", "flips"))
def test_what_belongs_to_an_orbit_cannot_be_changed(noisy, tmp_path, name):
    orbit = st.train(noisy, 100)
    orbit.save(tmp_path / "run")
    for one in (orbit, st.Orbit.load(tmp_path / "run"), st.resume(orbit, noisy, steps=10)):
        with pytest.raises(ValueError, match="read-only"):
            getattr(one, name)[:] = 0


def test_the_bound_on_recorded_flips(noisy, monkeypatch):
    """Past it the run goes on unrecorded: the record is whole up to the step that it names."""
    full = st.train(noisy, 200_000, st.Constant(0.5))
    assert full.flips_complete_to == full.steps
    monkeypatch.setattr(module, "FLIP_BOUND", 70_000)
    cut = st.train(noisy, 200_000, st.Constant(0.5))
    assert cut.stats.flips == full.stats.flips > 150_000
    assert 70_000 <= len(cut.flips) < 70_000 + 2 * module._FLIP_BUFFER
    last = cut.flips_complete_to
    assert last < 200_000
    np.testing.assert_array_equal(cut.flips, full.flips[full.flips["step"] <= last])
    np.testing.assert_array_equal(cut.latent, full.latent)
    assert cut.distance(last) == full.distance(last)
    with pytest.raises(st.InputError, match="the recorded part of the run"):
        cut.distance(200_000)
    more = st.resume(cut, noisy, steps=1000)
    assert more.flips_complete_to == last
    np.testing.assert_array_equal(more.flips, cut.flips)


def test_bounds_do_not_depend_on_the_clock(noisy, monkeypatch):
    """How much was kept must not depend on how fast the machine was between two looks at the clock."""
    monkeypatch.setattr(module, "FLIP_BOUND", 1000)
    monkeypatch.setattr(module, "TIME_BOUND", 200)
    one = st.train(noisy, 5_000, st.Constant(0.5))
    assert len(one.return_times) == 200 < one.visits
    go_slowly(monkeypatch)
    assert_same_orbit(st.train(noisy, 5_000, st.Constant(0.5)), one)


def test_small_buffers(noisy, monkeypatch):
    """Buffers fill up and are emptied in the middle of a run, without losing or doubling anything."""
    expected = st.train(noisy, 3000, st.Constant(0.5))
    dense = st.train(noisy, 300, st.Constant(0.5), engine="dense")
    monkeypatch.setattr(module, "_FLIP_BUFFER", 1)
    monkeypatch.setattr(module, "_TIME_BUFFER", 1)
    assert_same_orbit(st.train(noisy, 3000, st.Constant(0.5)), expected)
    assert_same_orbit(st.train(noisy, 300, st.Constant(0.5), engine="dense"), dense)
