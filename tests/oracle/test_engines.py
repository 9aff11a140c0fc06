"""The event engine against the dense one, bit for bit, and against itself under every setting that must not
matter: threads, cache size, where a run was cut and resumed, whether a file lay in between."""

from __future__ import annotations

import signal
import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import sterling as st
from sterling.dynamics import event
from tests.support import PIECEWISE, assert_same_orbit, counted, go_slowly, interrupted, make_schedule

pytestmark = pytest.mark.filterwarnings("ignore::sterling.SterlingWarning")

rates = some.floats(0.01, 3).map(lambda x: round(x, 3))
schedules = some.one_of(
    some.tuples(some.just("constant"), rates),
    some.tuples(some.just("power"), rates, some.floats(-0.5, 2.5).map(lambda x: round(x, 2))),
    some.tuples(some.just("table"), some.lists(rates | some.just(0.0), min_size=1, max_size=5).map(tuple)),
)
families = some.sampled_from(
    ("gaussian", "rademacher", "uniform", "student_t:3", "exponential", "shifted:0.7", "ar1:0.6")
)
readouts = some.sampled_from(("ones", "signs", "gaussian"))


@some.composite
def instances(draw, largest_n=70, largest_rows=160):
    """An instance of any shape: drawn from a problem, or from arrays with odd scales and no teacher."""
    n = draw(some.integers(1, largest_n))
    m = draw(some.integers(1, 5))
    samples = draw(some.integers(1, largest_rows // m))
    noise = draw(some.sampled_from((0.0, 0.3, 1.0)))
    problem = st.Problem(n, samples, m, noise, draw(readouts), draw(families))
    instance = problem.draw(draw(some.integers(0, 1000)))
    kind = draw(some.sampled_from(("drawn", "drawn", "free", "scaled")))
    if kind == "drawn":
        return instance
    inputs = instance.inputs
    if kind == "scaled":
        rng = np.random.default_rng(n)
        inputs = inputs * 2.0 ** rng.uniform(-4, 4, n) + rng.normal(size=n)
    labels = np.rint(instance.labels * 8) / 8 + 1 / 16
    return st.Instance(inputs, labels, instance.readout, constant="keep")


@settings(max_examples=counted(150, 1000))
@given(instances(), schedules, some.sampled_from(PIECEWISE), some.integers(0, 50), some.integers(1, 250))
def test_event_equals_dense(instance, schedule, surrogate, init, steps):
    """Whatever differs is a bug in one of them: the dense engine is short enough to tell in which."""
    arguments = instance, steps, make_schedule(schedule), surrogate, init
    assert_same_orbit(st.train(*arguments, engine="event"), st.train(*arguments, engine="dense"))


@settings(max_examples=40)
@given(instances(largest_n=12, largest_rows=40), schedules, some.sampled_from(PIECEWISE), some.data())
def test_event_equals_dense_from_latents_on_a_grid(instance, schedule, surrogate, data):
    """Given latents may be zero, minus zero, tiny, huge, or tied with one another."""
    values = some.sampled_from((0.0, -0.0, 0.25, -0.25, 1.0, -1.0, 1e-300, -1e-300, 5e-324, 1e6, -1e6, 1e-17))
    init = np.array(data.draw(some.lists(values, min_size=instance.n, max_size=instance.n)))
    arguments = instance, 100, make_schedule(schedule), surrogate, init
    assert_same_orbit(st.train(*arguments, engine="event"), st.train(*arguments, engine="dense"))


# ------------------------------------------------------------------------------- long quiet stretches

QUIET = {
    "tiny-constant-rate": (("constant", 1e-7), 1e-3),
    "growing-power": (("power", 1e-5, -0.5), 0.5),
    "table-that-all-but-stops": (("table", (1.0, 0.5, 1e-4)), 6.0),
    "table-with-a-pause": (("table", (1.0, *[0.0] * 3000, 0.5, *[0.0] * 2000, 0.001)), 5.0),
    "summable-power": (("power", 1.0, 1.2), 4.0),
}


@pytest.mark.parametrize("name", QUIET)
def test_quiet_stretches(name):
    """A flip is foretold over thousands of steps, and must be the very step that the dense engine finds."""
    schedule, scale = QUIET[name]
    instance = st.Problem(n=6, samples=200).draw(0)
    start = -instance.teacher * np.array([0.02, 0.05, 0.1, 0.2, 0.25, -0.1]) * scale
    arguments = instance, 6_000, make_schedule(schedule), "relu", start
    dense = st.train(*arguments, engine="dense")
    assert_same_orbit(st.train(*arguments, engine="event"), dense)
    gaps = np.diff(np.unique(dense.flips["step"]), prepend=0)
    assert gaps.max() > 500
    assert dense.stats.events > 1


@pytest.mark.parametrize("ulps", (-1, 0, 1))
@pytest.mark.parametrize("rate", (0.5, 1 / 7))
def test_a_mass_that_ends_where_a_latent_does(rate, ulps):
    """Rounding decides, and no step to come changes anything: that must not be tried step by step."""
    instance = st.Instance([[1.0]], [0.0], constant="keep")
    init = rate * instance.gradient([1])
    for _ in range(abs(ulps)):
        init = np.nextafter(init, np.sign(ulps) * np.inf)
    arguments = instance, 300, st.Table([rate, 0.0]), "relu", init
    dense = st.train(*arguments, engine="dense")
    assert_same_orbit(st.train(*arguments, engine="event"), dense)
    long = st.train(instance, 10**12, st.Table([rate, 0.0]), init=init)  # scanning would take half an hour
    np.testing.assert_array_equal(long.flips, dense.flips)


def test_rates_that_all_but_vanish():
    """Subnormal step sizes: most steps add nothing, and flips lie far apart."""
    instance = st.Problem(n=1, samples=30, noise=0.3).draw(1)
    arguments = st.Power(5e-324, 0.5), "relu", np.array([0.0])
    dense = st.train(instance, 1000, *arguments, engine="dense")
    assert_same_orbit(st.train(instance, 1000, *arguments, engine="event"), dense)
    assert st.train(instance, 10**10, *arguments).steps == 10**10


@pytest.mark.parametrize("late", (10**6, 10**12 - 2000))
@pytest.mark.parametrize("schedule", (st.Power(0.5, 0.5), st.Power(3.0, 0.9), st.Constant(1e-3)), ids=repr)
def test_late_steps(schedule, late):
    """Far out, steps are tiny shares of the mass spent; both engines go on from the same late orbit.

    The start lies so far from zero, along the gradient, that all weights flip near the late step.
    """
    instance = st.Problem(n=5, samples=60, noise=0.8).draw(1)
    gradient = instance.gradient(-instance.teacher)
    assert np.all(np.sign(gradient) == -instance.teacher)
    init = gradient * schedule.mass(late)
    first = int(st.train(instance, late + 1000, schedule, init=init).flips["step"][0])
    assert abs(first - late) < 2
    results = []
    for engine in ("event", "dense"):
        orbit = st.train(instance, first, schedule, init=init)
        assert orbit.stats.events == 1
        orbit.engine = engine  # to go on with the other one, which no user can ask for
        results.append(st.resume(orbit, instance, steps=400))
    assert_same_orbit(*results)
    assert results[0].steps == first + 400
    assert results[0].stats.events > 50


def test_to_a_certified_verdict_in_a_billion_steps():
    """Without noise the run is proved to be over early, and the rest is filled in to T."""
    instance = st.Problem(n=60, samples=6000).draw(3)
    orbit = st.train(instance, 10**9)
    assert orbit.verdict is st.Verdict.OPTIMAL
    assert orbit.certified
    assert orbit.steps == 10**9
    assert orbit.stats.events < 10**5
    assert orbit.occupancy == (10**9 - orbit.first_hit) / 10**9
    assert not orbit.return_times.size
    np.testing.assert_allclose(orbit.ergodic_mean, instance.teacher / np.sqrt(60), rtol=2e-3)
    mass = st.Power(0.5, 0.5).mass(int(orbit.flips["step"][-1]), 10**9)
    moved = np.abs(orbit.latent - orbit._course.state.latent)
    np.testing.assert_allclose(moved, mass * np.abs(orbit._course.gradient), rtol=1e-9)
    assert np.all(orbit.signs * orbit._course.gradient <= 0)


# ---------------------------------------------------------------------- settings that must not matter


@pytest.fixture(scope="module")
def big():
    """An instance above the size at which helper threads are used, in several chunks of rows."""
    instance = st.Problem(n=40, samples=4000, m=3, noise=4.0, readout="signs").draw(0)
    assert instance.grid.rows.size > 2 * event._SPLIT
    return instance


@pytest.mark.parametrize("threads, surrogate", ((7, "relu"), (3, "clipped_relu")))
def test_threads(big, threads, surrogate, monkeypatch):
    """Chunks of rows go to whichever thread is free, and integer sums do not care."""
    monkeypatch.setattr("sterling.base.resources.usable_cores", lambda: threads)
    alone = st.train(big, 1000, surrogate=surrogate, threads=1)
    assert alone.stats.states > 200
    orbit = st.train(big, 1000, surrogate=surrogate, threads=threads)
    assert_same_orbit(orbit, alone)
    assert (orbit.stats.states, orbit.stats.passes) == (alone.stats.states, alone.stats.passes)
    assert not any(thread.name.startswith("sterling-helper") for thread in threading.enumerate())


@settings(max_examples=30)
@given(instances(largest_n=80), some.sampled_from(PIECEWISE), some.sampled_from((0, 1, 500, 3000, 20_000)))
def test_small_caches(instance, surrogate, cache_bytes):
    """With room for two states nearly every visit evicts one; the orbit must not notice."""
    arguments = instance, 700, st.Power(0.7, 0.4), surrogate
    assert_same_orbit(st.train(*arguments, cache_bytes=cache_bytes), st.train(*arguments))


def test_sums_beyond_float64():
    """Sums of 2^53 and more cannot be read off the gradients made of them; they must not get lost either."""
    rng = np.random.default_rng(0)
    inputs, labels = rng.normal(size=(300, 2, 70)), rng.normal(size=300)
    instance = st.Instance(inputs, labels, readout=[0.7123, -0.311], precision="int32")
    assert instance.gradient_bound > 1 << 56
    arguments = instance, 500, st.Power(1.0, 0.3), "hard_tanh"
    dense = st.train(*arguments, engine="dense")
    free = st.train(*arguments)
    assert free.stats.states > 64
    assert_same_orbit(free, dense)
    assert_same_orbit(st.train(*arguments, cache_bytes=1 << 16), dense)


def test_a_state_is_evaluated_once():
    """While the cache has room for all states, none is computed twice."""
    instance = st.Problem(n=8, samples=40, noise=0.5).draw(0)
    orbit = st.train(instance, 50_000, st.Power(0.5, 0.3))
    states, seen = orbit.start_signs.copy(), set()
    seen.add(states.tobytes())
    starts = np.flatnonzero(np.diff(orbit.flips["step"], prepend=-1))
    for part in np.split(orbit.flips, starts[1:]):
        states[part["coordinate"]] = part["sign"]
        seen.add(states.tobytes())
    assert orbit.stats.states == len(seen)


# -------------------------------------------------------------------------------------------- resuming


@settings(max_examples=40)
@given(
    instances(largest_n=40, largest_rows=80),
    schedules,
    some.sampled_from(PIECEWISE),
    some.lists(some.integers(1, 500), min_size=2, max_size=4),
    some.booleans(),
)
def test_resumed_equals_uninterrupted(tmp_path, instance, schedule, surrogate, parts, through_a_file):
    """Cut anywhere, also within a stretch, and through a file or not: the same bits."""
    schedule = make_schedule(schedule)
    whole = st.train(instance, sum(parts), schedule, surrogate, init=2)
    orbit = st.train(instance, parts[0], schedule, surrogate, init=2)
    for steps in parts[1:]:
        if through_a_file:
            orbit.save(tmp_path / "orbit")
            orbit = st.Orbit.load(tmp_path / "orbit")
        orbit = st.resume(orbit, instance, steps=steps)
    assert_same_orbit(orbit, whole)


def test_interrupted_at_every_slice(monkeypatch):
    """Stop a run again and again, whenever the engine looks up, and go on: the same bits as in one go."""
    instance = st.Problem(n=30, samples=120, noise=0.5).draw(0)
    whole = st.train(instance, 20_000)
    go_slowly(monkeypatch, budget=100_000)  # about a tenth of a millisecond of work
    orbit, stops = interrupted(st.train, instance, 20_000, progress=Press()), 0
    while orbit.interrupted:
        assert orbit.steps < 20_000
        stops += 1
        try:
            orbit = st.resume(orbit, instance, progress=Press())
        except KeyboardInterrupt as press:
            orbit = press.orbit  # type: ignore[attr-defined]
    assert stops > 10
    assert_same_orbit(orbit, whole)


class Press:
    """A display that presses Ctrl-C, once."""

    pressed = False

    def __call__(self, progress):
        if not self.pressed and progress.done < progress.total:
            self.pressed = True
            signal.raise_signal(signal.SIGINT)
