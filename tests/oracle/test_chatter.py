"""Runs in which every step flips many weights and no state is found again: the engine keeps none of them."""

from __future__ import annotations

import numpy as np
import pytest

import sterling as st
from sterling.dynamics import event, lookup, passes
from tests.support import PIECEWISE, assert_same_orbit, go_slowly

pytestmark = pytest.mark.filterwarnings("ignore::sterling.SterlingWarning")

SCHEDULE = st.Power(0.5, 0.5)


def drawn(n, samples, m=1, noise=0.0, readout="ones"):
    return st.Problem(n, samples, m, noise, readout).draw(0)


def own_data(precision, m=2, n=47, samples=150):
    """Features of unlike scale and place, so that columns have shifts and offsets, and labels of any kind."""
    rng = np.random.default_rng(3)
    inputs = rng.normal(size=(samples, m, n)) * 2.0 ** rng.integers(-4, 5, n) + rng.normal(size=n)
    labels = np.rint(4 * rng.normal(size=samples)) / 4
    instance = st.Instance(inputs, labels, precision=precision)
    assert instance.grid.shifts.any()
    assert instance.grid.offsets.any()
    return instance


SHAPES = {
    "odd n, odd N": lambda: drawn(61, 201),
    "three units": lambda: drawn(67, 75, 3, readout="signs"),
    "label noise": lambda: drawn(63, 190, noise=0.6),
    "own data, one unit": lambda: own_data("int16", m=1, samples=333),
    "32-bit codes": lambda: own_data("int32"),
}


@pytest.fixture
def soon(monkeypatch):
    """States are kept no longer after 130 new ones; a list of the ends tells how runs stood."""
    ends = []
    finish = event.EventEngine.finish

    def note(self):
        state, spare = self.cache.state, self.cache.uses[lookup.SPARE]
        ends.append((bool(state[lookup.PASSING]), bool(spare), int(state[lookup.WAIT])))
        finish(self)

    monkeypatch.setattr(lookup, "FIRST_WAIT", 130)
    monkeypatch.setattr(event.EventEngine, "finish", note)
    return ends


@pytest.mark.parametrize("surrogate", PIECEWISE)
@pytest.mark.parametrize("shape", SHAPES)
def test_states_that_are_not_kept(shape, surrogate, soon, monkeypatch):
    """Columns in pairs, rows with a coefficient or with a changed one: the orbit of the dense engine."""
    monkeypatch.setattr(lookup, "FIRST_WAIT", 4)
    instance = SHAPES[shape]()
    arguments = instance, 150, st.Constant(0.7), surrogate, 1
    orbit = st.train(*arguments, engine="event")
    assert_same_orbit(orbit, st.train(*arguments, engine="dense"))
    if not orbit.certified:
        assert orbit.stats.flips > 2 * orbit.stats.events
        assert soon[0][1]  # some states were not kept


def test_a_run_that_chatters_is_let_pass(soon):
    instance = drawn(128, 512)
    orbit = st.train(instance, 500, SCHEDULE)
    assert soon == [(True, True, 130)]
    assert orbit.stats.states == orbit.stats.events + 1
    assert_same_orbit(orbit, st.train(instance, 500, SCHEDULE, engine="dense"))


def test_states_are_kept_again_once_they_return(soon, monkeypatch):
    """A noisy run meets some states on its way, then the same few: those are computed twice at most."""
    monkeypatch.setattr(lookup, "FIRST_WAIT", 4)
    instance = drawn(16, 1600, noise=0.5)
    orbit = st.train(instance, 20_000, SCHEDULE)
    assert soon == [(False, True, 4)]  # a state was seen again
    assert orbit.stats.states < orbit.stats.events / 50
    assert_same_orbit(orbit, st.train(instance, 20_000, SCHEDULE, cache_bytes=1 << 12))


@pytest.mark.parametrize("noise", (0.0, 0.5))
def test_interruptions_do_not_count(noise, soon, monkeypatch):
    """What is kept, and so the cost, depends on the run alone, not on when the loop looked up."""
    instance = drawn(96, 384, noise=noise)
    whole = st.train(instance, 1500, SCHEDULE)
    go_slowly(monkeypatch, budget=30_000)
    cut = st.train(instance, 1500, SCHEDULE)
    assert_same_orbit(whole, cut)
    assert whole.stats.states == cut.stats.states
    assert whole.stats.passes == cut.stats.passes


@pytest.mark.parametrize("surrogate", ("relu", "clipped_relu"))
def test_threads(surrogate, soon, monkeypatch):
    """Several chunks of rows, some of them odd, shared by three threads."""
    monkeypatch.setattr(passes, "CHUNK", 224)
    instance = drawn(192, 700)
    assert instance.grid.rows.size > event._SPLIT
    one, three = (st.train(instance, 300, SCHEDULE, surrogate, threads=threads) for threads in (1, 3))
    assert_same_orbit(one, three)
    assert one.stats.passes == three.stats.passes
    assert_same_orbit(one, st.train(instance, 300, SCHEDULE, surrogate, engine="dense"))


def test_without_a_teacher(soon):
    """The state of lowest risk is looked for among states that are not kept, too."""
    drawn_one = drawn(70, 210)
    instance = st.Instance(drawn_one.inputs, drawn_one.labels)
    arguments = instance, 600, SCHEDULE
    orbit = st.train(*arguments)
    assert soon[0][1]
    assert_same_orbit(orbit, st.train(*arguments, engine="dense"))
