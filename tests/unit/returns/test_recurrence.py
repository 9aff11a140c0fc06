"""Recurrence statistics: what they say is what the recorded times and flips say."""

from __future__ import annotations

import json
import math
import re

import numpy as np
import pytest

import sterling as st
from sterling.dynamics.visits import counts_of
from sterling.returns.recurrence import growth, recurrence


@pytest.fixture(scope="module")
def orbit():
    return st.train(st.Problem(n=10, samples=150, noise=0.5).draw(0), 200_000)


@pytest.fixture(scope="module")
def found(orbit):
    return orbit.recurrence()


def test_times_are_those_recorded(orbit, found):
    """VisitCounts, means and extremes exactly, quantiles too while they are short."""
    for times, recorded in ((found.returns, orbit.return_times), (found.sojourns, orbit.sojourn_times)):
        assert times.count == len(recorded) > 1000
        assert times.mean == pytest.approx(recorded.mean(), rel=1e-14)
        assert times.longest == recorded.max()
        for share in (0.0, 0.1, 0.5, 0.9, 0.99, 1.0):
            exact = np.quantile(recorded, share, method="inverted_cdf")
            assert times.quantile(share) == pytest.approx(exact, rel=1 / 64, abs=0.5 if exact >= 64 else 0)
    most = re.search(r"99 % at most ([\d,]+)", found.returns.text)[1].replace(",", "")
    assert np.mean(orbit.return_times <= int(most)) >= 0.99


def test_mean_of_runs_cut_anywhere():
    """The totals come from the clock, so they must hold at home, away, and right after a change."""
    instance = st.Problem(n=5, samples=60, noise=0.6).draw(2)
    seen = set()
    for steps in range(1, 160):
        orbit = st.train(instance, steps)
        found = orbit.recurrence()
        for times, recorded in ((found.returns, orbit.return_times), (found.sojourns, orbit.sojourn_times)):
            assert times.count == len(recorded)
            if len(recorded):
                assert times.mean == pytest.approx(recorded.mean())
        seen.add((orbit.errors == 0, found.returns.count > 0))
    assert len(seen) == 4


def test_counts_of_weights(orbit, found):
    flips = orbit.flips
    np.testing.assert_array_equal(found.flips, np.bincount(flips["coordinate"], minlength=orbit.n))
    before = orbit.distance(np.maximum(flips["step"] - 1, 0))
    first = np.bincount(flips["coordinate"][before == 0], minlength=orbit.n)
    np.testing.assert_array_equal(found.first, first)
    assert found.reached.sum() == found.returns.count
    assert found.reached[0] == 0


def test_growth_of_visits(orbit, found):
    at_home = orbit.distance(np.arange(orbit.steps)) == 0
    arrivals = np.diff(at_home, prepend=False) & at_home
    visits = np.concatenate([[0], np.cumsum(arrivals)])
    np.testing.assert_array_equal(found.mark_visits, visits[found.mark_steps])
    assert found.growth == pytest.approx(1.0, abs=0.1)
    assert found.halves is not None
    assert found.halves.low < 1 < found.halves.high


def test_long_run(found):
    known = found.long_run
    assert known.low < known.value < known.high
    assert known.batches >= 12
    assert known.batches * known.length <= found.steps
    words = dict(found._rows())
    assert known.percent.text in words["occupancy of the teacher"]
    assert f"{found.returns.longest:,}" in words["absences"]


@pytest.mark.parametrize("steps", (1, 50, 400))
def test_too_short_for_an_interval(steps):
    """A number that cannot be had is not shown, and why is said."""
    found = st.train(st.Problem(n=16, samples=1600, noise=0.5).draw(0), steps).recurrence()
    assert found.long_run is None
    assert found.halves is None
    if found.visits:
        assert "no interval: " in dict(found._rows())["occupancy of the teacher"]


def test_an_absorbed_run():
    found = st.train(st.Problem(n=10, samples=500).draw(0), 10_000).recurrence()
    assert found.certified
    assert not found.recurs
    assert found.long_run is None
    assert found.growth is None
    assert not found.arrivals
    assert dict(found._rows())["visits to the teacher"].endswith("the weights rest")
    assert math.isnan(found.returns.mean)
    assert math.isnan(found.returns.quantile(0.5))


def test_a_weight_on_its_way():
    """A weight that has yet to come to the border is foretold: with a steady gradient to the very step."""
    instance = st.Problem(n=6, samples=300, noise=0.8).draw(4)
    k = int(np.argmax(instance.teacher * instance.gradient(instance.teacher)))
    assert instance.teacher[k] * instance.gradient(instance.teacher)[k] > 0
    init = 0.05 * instance.teacher
    init[k] *= 400
    schedule = st.Constant(0.1)
    found = st.train(instance, 3000, schedule, init=init).recurrence()
    weight, step = found.arrivals[0]
    assert weight == k
    whole = st.train(instance, int(2 * step), schedule, init=init)
    first = int(whole.flips["step"][whole.flips["coordinate"] == k][0])
    assert first > 3000
    assert step == pytest.approx(first, rel=0.1)
    assert f"weight {k} flips first" in dict(found._rows())["still to come"]


def test_the_interval_allows_for_weights_on_their_way():
    """What comes will lower the occupancy, so the lower end is low enough for the stationary value."""
    instance = st.Problem(n=16, samples=1600, noise=0.5).draw(1021)
    found = st.train(instance, 100_000, init=21).recurrence()
    known = found.long_run
    assert [weight for weight, _ in found.arrivals] == [2]
    early = st.train(instance, 50_000, st.Constant(0.1), init=1e-6 * instance.teacher)
    stationary = st.resume(early, instance, steps=450_000).occupancy
    assert known.low < stationary < known.value
    assert known.value - known.low > 1.5 * (known.high - known.value)


def test_a_weight_that_the_steps_do_not_reach():
    instance, start = st.Problem(n=4, samples=90, noise=0.8).draw(1), np.full(4, 30.0)
    with pytest.warns(st.SterlingWarning):
        found = st.train(instance, 500, st.Power(0.5, 1.5), init=start).recurrence()
    assert all(math.isinf(step) for _, step in found.arrivals)
    json.dumps(found.to_dict(), allow_nan=False)


def test_growth_is_the_slope_of_the_last_two_decades():
    steps = (2 ** np.linspace(3, 17, 113)).round().astype(int)
    assert growth(steps, 3 * steps**0.5) == pytest.approx(0.5)
    assert growth(steps, np.minimum(steps, 5)) is None


def test_a_reference_found_late_has_no_interval(orbit):
    late = recurrence(counts_of(orbit), reference_kind="lowest risk seen", since=orbit.steps // 2)
    assert (late.long_run, late.halves) == (None, None)
    assert "no interval: the best state seen was found too late" in late._rows()[1][1]
