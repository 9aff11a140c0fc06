"""The counts of a run against a plain loop over its iterates, in both engines and across resumes."""

from __future__ import annotations

import numpy as np
import pytest

import sterling as st
from sterling.dynamics.bookkeeping import plain
from sterling.dynamics.options import first_state
from sterling.dynamics.state import ANCHOR, FLIP, LEFT, Log
from sterling.returns import counts as layout
from sterling.returns.counts import VisitCounts
from tests.support import assert_same_orbit


def naive(orbit):
    """Count the visits to the reference among the iterates, from the recorded flips alone."""
    T, n = orbit.steps, orbit.n
    distance = orbit.distance(np.arange(T + 1))
    home = distance == 0
    by_step = {}
    for flip in orbit.flips:
        by_step.setdefault(int(flip["step"]), []).append(int(flip["coordinate"]))
    out = {
        "returns": [],
        "sojourns": [],
        "reached": np.zeros(n + 1, int),
        "first": np.zeros(n, int),
        "flips": np.bincount(orbit.flips["coordinate"], minlength=n),
        "before": np.zeros((T + 1, 2), int),
        "wrong": np.concatenate([[0], np.cumsum(distance)]),  # before each step
    }
    arrived = left = None
    deepest = 0
    occupied = visits = 0
    for t in range(T + 1):
        out["before"][t] = occupied, visits
        if t and home[t - 1] and t in by_step:
            for k in by_step[t]:
                out["first"][k] += 1
        if t == T:
            break
        if home[t]:
            occupied += 1
            if arrived is None:
                visits += 1
                arrived = t
                if left is not None:
                    out["returns"].append(t - left)
                    out["reached"][deepest] += 1
        else:
            if arrived is not None:
                out["sojourns"].append(t - arrived)
                arrived, left, deepest = None, t, 0
            deepest = max(deepest, distance[t])
    return out


def assert_counts(orbit, expected):
    cells = orbit._end.tally
    counts = VisitCounts.read(cells, steps=orbit.steps, visits=0, occupied=0, away=0, stayed=0)
    starts = layout.bin_starts()
    for name in ("returns", "sojourns"):
        times = np.array(expected[name], int)
        np.testing.assert_array_equal(getattr(counts, name), np.histogram(times, starts)[0], err_msg=name)
        longest = counts.longest_return if name == "returns" else counts.longest_sojourn
        assert longest == max(expected[name], default=0)
    for name in ("reached", "first", "flips"):
        np.testing.assert_array_equal(getattr(counts, name), expected[name], err_msg=name)
    marks = layout.mark_steps()
    marks = marks[marks <= orbit.steps]
    np.testing.assert_array_equal(counts.marks, expected["before"][marks])
    spacing, batches = counts.batch_steps, len(counts.batches)
    assert batches == orbit.steps // spacing
    assert batches < layout.BATCHES
    assert spacing == 1 or batches >= layout.BATCHES // 2
    ends = spacing * np.arange(1, batches + 1)
    np.testing.assert_array_equal(counts.batches, expected["before"][ends])
    known = ends >= cells[layout.MOVED]  # before that, distances are those to another reference
    np.testing.assert_array_equal(np.diff(counts.wrong[known]), np.diff(expected["wrong"][ends[known]]))
    if orbit.reference_kind == "teacher":
        np.testing.assert_array_equal(counts.wrong, expected["wrong"][ends])
    assert not cells[layout.BATCH_COUNTS + 2 * batches : layout.WRONG_SUMS].any()
    assert not cells[layout.WRONG_SUMS + batches : layout.FLIPPED].any()
    assert_late(orbit, counts, expected)
    assert not cells[layout.MARK_COUNTS + 2 * len(marks) : layout.BATCH_COUNTS].any()


def assert_late(orbit, counts, expected):
    """The last part of the run: wrong weights in each batch, and flips, to the step."""
    if counts.late < 0:
        assert orbit.steps < 256 or orbit.reference_kind != "teacher"
        assert not counts.late_wrong.size
        return
    assert orbit.steps / 4 <= counts.late <= orbit.steps / 2
    ends = np.arange(counts.late, orbit.steps + 1, counts.batch_steps)
    np.testing.assert_array_equal(counts.late_wrong * counts.batch_steps, np.diff(expected["wrong"][ends]))
    late = orbit.flips["coordinate"][orbit.flips["step"] >= counts.late]
    np.testing.assert_array_equal(counts.late_flips, np.bincount(late, minlength=orbit.n))


CASES = {
    "recurrent": (dict(n=6, samples=60, noise=0.6), 5000, {}),
    "started-at-home": (dict(n=6, samples=100, noise=0.4), 2500, {"home": True}),
    "constant": (dict(n=9, samples=120, noise=0.5, m=2), 4000, {"schedule": st.Constant(0.1)}),
    "chattering": (dict(n=64, samples=192), 1100, {"schedule": st.Constant(0.5)}),
    "one-step": (dict(n=4, samples=30, noise=0.5), 1, {}),
}


@pytest.mark.parametrize("engine", ("event", "dense"))
@pytest.mark.parametrize("name", CASES)
def test_counts(name, engine):
    """Every table, cell by cell."""
    problem, steps, options = CASES[name]
    options = dict(options)
    instance = st.Problem(**problem).draw(1)
    if options.pop("home", False):
        options["init"] = instance.teacher * 0.01
    orbit = st.train(instance, steps, engine=engine, **options)
    expected = naive(orbit)
    if name in ("recurrent", "constant", "started-at-home"):
        assert len(expected["returns"]) > 50
        assert np.count_nonzero(expected["reached"]) > 2
    assert_counts(orbit, expected)


@pytest.mark.parametrize("engine", ("event", "dense"))
def test_without_a_teacher(engine):
    """A better state voids what was counted of the one before, but not the flips."""
    drawn = st.Problem(n=7, samples=80, noise=0.7).draw(3)
    free = st.Instance(drawn.inputs, drawn.labels)
    orbit = st.train(free, 3000, engine=engine, schedule=st.Constant(0.3))
    assert orbit.visits > 20
    assert_counts(orbit, naive(orbit))


@pytest.mark.parametrize("cuts", ((1, 2, 7, 190, 1000, 800), (1999, 1)))
def test_resumed(cuts, tmp_path):
    """Cut anywhere, saved and loaded: the very same array."""
    instance = st.Problem(n=6, samples=60, noise=0.6).draw(1)
    whole = st.train(instance, 2000)
    orbit = st.train(instance, cuts[0])
    for steps in cuts[1:]:
        orbit.save(tmp_path / "run")
        orbit = st.resume(st.Orbit.load(tmp_path / "run"), instance, steps=steps)
    assert_same_orbit(orbit, whole)
    np.testing.assert_array_equal(orbit._end.tally, whole._end.tally)
    assert_counts(orbit, naive(orbit))


def test_bins():
    """Each time lies in the bin whose start is the largest not above it; widths are at most 1/32."""
    starts = layout.bin_starts()
    assert np.all(np.diff(starts) > 0)
    assert starts[0] == 0
    assert starts[-1] > 10**12
    np.testing.assert_array_equal(starts[:65], np.arange(65))
    assert np.all(np.diff(starts)[64:] / starts[64:-1] <= 1 / 32)
    log = Log(np.empty(0, FLIP), np.empty(0, int), np.empty(0, int), np.zeros(3, int))
    rng = np.random.default_rng(0)
    for time in [1, 63, 64, 65, 127, 128, 10**12, *np.exp(rng.uniform(0, np.log(1e12), 40)).astype(int)]:
        state = first_state(np.ones(1), np.ones(1))
        state.clock[[ANCHOR, LEFT]] = time, 0
        plain.close(state, log, time)  # the run has just come back
        (index,) = np.flatnonzero(state.tally[layout.RETURN_TIMES : layout.SOJOURN_TIMES])
        assert starts[index] <= time < starts[index + 1]
