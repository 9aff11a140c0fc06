"""Symmetries of the dynamics (docs/science, 5): transformed data must give the transformed orbit.

No oracle is needed here, so a mistake that the engines share, and that the naive loop might share, shows too.
Transformations by powers of two are exact in float64, so they must leave even the last bits alone.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as some

import sterling as st
from sterling.dynamics.options import initial_latent
from tests.support import PIECEWISE

pytestmark = pytest.mark.filterwarnings("ignore::sterling.SterlingWarning")


class Case:
    """Data, a start and a schedule, to be transformed one by one."""

    def __init__(self, n, m, samples, noise, inputs, seed, rate, exponent, surrogate, engine):
        drawn = st.Problem(n, samples, m, noise, "signs", inputs).draw(seed)
        self.inputs, self.labels, self.readout = drawn.inputs, drawn.labels, drawn.readout
        self.teacher, self.latent = drawn.teacher, initial_latent(n, seed)
        self.rate, self.exponent, self.surrogate, self.engine = rate, exponent, surrogate, engine
        self.n, self.m, self.samples = n, m, samples
        self.rng = np.random.default_rng(seed)

    def run(self, **changed):
        """Run with some of the parts replaced."""
        part = {**vars(self), **changed}
        instance = st.Instance(
            part["inputs"], part["labels"], part["readout"], part["teacher"], constant="keep"
        )
        np.testing.assert_array_equal(instance.inputs, part["inputs"])
        np.testing.assert_array_equal(instance.labels, part["labels"])
        schedule = st.Power(part["rate"], part["exponent"])
        steps = 400 if self.engine == "event" else 50
        return st.train(instance, steps, schedule, self.surrogate, part["latent"], self.engine)


cases = some.builds(
    Case,
    n=some.integers(1, 40),
    m=some.integers(1, 4),
    samples=some.integers(1, 60),
    noise=some.sampled_from((0.0, 0.5, 1.5)),
    inputs=some.sampled_from(("gaussian", "uniform", "exponential", "rademacher")),
    seed=some.integers(0, 10**6),
    rate=some.sampled_from((0.3, 0.5, 1.7)),
    exponent=some.sampled_from((0.0, 0.3, 0.5, 1.0)),
    surrogate=some.sampled_from(PIECEWISE),
    engine=some.sampled_from(("event", "event", "event", "dense")),
)


def triples(orbit):
    return [tuple(flip) for flip in orbit.flips.tolist()]


def assert_unchanged(one, other, *, latent_scale=1.0):
    """Assert the same orbit, with latents scaled, bit for bit."""
    assert triples(one) == triples(other)
    assert one.verdict is other.verdict
    assert (one.certified, one.visits, one.first_hit, one.occupancy) == (
        other.certified,
        other.visits,
        other.first_hit,
        other.occupancy,
    )
    np.testing.assert_array_equal(one.latent * latent_scale, other.latent)
    np.testing.assert_array_equal(one.ergodic_mean, other.ergodic_mean)
    np.testing.assert_array_equal(one.wrong_share, other.wrong_share)
    np.testing.assert_array_equal(one.return_times, other.return_times)
    np.testing.assert_array_equal(one.sojourn_times, other.sojourn_times)


@settings(max_examples=20)
@given(cases, some.integers(-40, 40))
def test_scaling_rates_and_latents(case, power):
    """(a) η and u_0 times c > 0: the same weights; c a power of two: the same bits."""
    c = 2.0**power
    assert_unchanged(case.run(), case.run(rate=case.rate * c, latent=case.latent * c), latent_scale=c)


@settings(max_examples=20)
@given(cases)
def test_permuting_coordinates(case):
    """(b) Which coordinate is which does not matter."""
    order = case.rng.permutation(case.n)
    place = np.argsort(order)  # where each coordinate went
    one = case.run()
    other = case.run(inputs=case.inputs[:, :, order], teacher=case.teacher[order], latent=case.latent[order])
    assert sorted((t, place[k], s) for t, k, s in triples(one)) == triples(other)
    assert one.verdict is other.verdict
    assert (one.visits, one.occupancy) == (other.visits, other.occupancy)
    np.testing.assert_array_equal(one.latent[order], other.latent)
    np.testing.assert_array_equal(one.ergodic_mean[order], other.ergodic_mean)
    np.testing.assert_array_equal(one.wrong_share[order], other.wrong_share)


@settings(max_examples=20)
@given(cases)
def test_mirroring_columns(case):
    """(c) Columns of the inputs, teacher and start change sign: so do the orbit's coordinates."""
    mirror = case.rng.choice([-1, 1], case.n)
    one = case.run()
    other = case.run(inputs=case.inputs * mirror, teacher=case.teacher * mirror, latent=case.latent * mirror)
    assert [(t, k, s * mirror[k]) for t, k, s in triples(one)] == triples(other)
    assert one.verdict is other.verdict
    assert (one.visits, one.occupancy) == (other.visits, other.occupancy)
    np.testing.assert_array_equal(one.latent * mirror, other.latent)
    np.testing.assert_array_equal(one.ergodic_mean * mirror, other.ergodic_mean)


@settings(max_examples=20)
@given(cases)
def test_permuting_samples_and_units(case):
    """(d) The order of the samples is no part of the data, nor is that of the units with their readout."""
    order, units = case.rng.permutation(case.samples), case.rng.permutation(case.m)
    one = case.run()
    assert_unchanged(one, case.run(inputs=case.inputs[order], labels=case.labels[order]))
    assert_unchanged(one, case.run(inputs=case.inputs[:, units], readout=case.readout[units]))


@settings(max_examples=20)
@given(cases, some.sampled_from((2, 4)))
def test_duplicating_samples(case, times):
    """(e) Every sample twice: the same risk and gradient."""
    twice = case.run(inputs=np.repeat(case.inputs, times, axis=0), labels=np.repeat(case.labels, times))
    assert_unchanged(case.run(), twice)


@settings(max_examples=12)
@given(cases)
def test_rates_are_in_units_of_the_readout(case):
    """Readout and labels times c: residuals and readout grow, ‖v‖² takes it back."""
    assert_unchanged(case.run(), case.run(labels=case.labels * 4, readout=case.readout * 4))


def test_schedules_that_are_the_same():
    """Constant, a power law of exponent 0 and a table of one rate are one schedule."""
    instance = st.Problem(n=12, samples=50, m=2, noise=0.5).draw(0)
    one = st.train(instance, 3000, st.Constant(0.375))
    assert_unchanged(one, st.train(instance, 3000, st.Power(0.375, 0.0)))
    assert_unchanged(one, st.train(instance, 3000, st.Table([0.375])))
    assert_unchanged(one, st.train(instance, 3000, st.Table([0.375] * 7)))


# ---------------------------------------------------------------------------------- absorbing states


def all_states(n):
    return [np.array(signs, np.int8) for signs in itertools.product((-1, 1), repeat=n)]


@pytest.fixture(scope="module", params=PIECEWISE)
def landscape(request):
    """An instance, a surrogate, and all of its absorbing states by their definition."""
    instance = st.Problem(n=6, samples=22, m=2, inputs="exponential").draw(4)
    absorbing = {
        signs.tobytes()
        for signs in all_states(6)
        if np.all(signs * instance.gradient(signs, request.param) <= 0)
    }
    return instance, request.param, absorbing


SCHEDULES = (st.Constant(0.4), st.Table([3.0, 0.1]))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=repr)
def test_absorption_depends_on_the_data_alone(landscape, schedule):
    """Runs are absorbed in these states and nowhere else, from any start, by any schedule."""
    instance, surrogate, absorbing = landscape
    ends = set()
    for seed in range(40):
        orbit = st.train(instance, 20_000, schedule, surrogate, init=seed)
        if orbit.certified:
            ends.add(orbit.signs.tobytes())
            there = np.all(orbit.signs == instance.teacher)
            zero = instance.loss(orbit.signs) == 0
            assert orbit.verdict is (st.Verdict.OPTIMAL if there or zero else st.Verdict.TRAPPED)
        else:
            assert orbit.signs.tobytes() not in absorbing
            assert orbit.verdict in (st.Verdict.RECURRENT, st.Verdict.CHATTERING, st.Verdict.WANDERING)
    assert ends <= absorbing
    assert ends
