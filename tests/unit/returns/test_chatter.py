"""The rule for chattering: each part alone, false alarms on made-up series, and runs of known kind."""

from __future__ import annotations

import numpy as np
import pytest

import sterling as st
from sterling.returns.chatter import TOLERANCE, chatters


def series(level=20.0, batches=32, trend=0.0, memory=0.0, seed=0):
    """Return batch means with noise of 4 %, a linear trend between halves, and correlated neighbours."""
    rng = np.random.default_rng(seed)
    noise = rng.standard_normal(batches + 100)
    for i in range(1, len(noise)):
        noise[i] = memory * noise[i - 1] + np.sqrt(1 - memory**2) * noise[i]
    time = np.linspace(-1, 1, batches)
    return level * (1 + trend * time + 0.04 * noise[100:])


FLIPS = np.full(256, 200)


@pytest.mark.parametrize(
    ("wrong", "flips", "expected"),
    [
        (series(), FLIPS, True),
        (series(batches=16), FLIPS, False),  # too few to tell
        (np.full(32, 20.0), FLIPS, False),  # no variation
        (series(level=0.5), FLIPS, False),  # too few wrong weights
        (series(trend=0.3), FLIPS, False),
        (series(trend=-0.3), FLIPS, False),
        (series(), np.r_[np.full(24, 200), np.zeros(232)], False),  # always the same ones are wrong
        (series(), np.r_[np.full(250, 1), np.zeros(6)], False),
        (series(), np.full(40, 2), False),  # not replaced often enough
        (np.zeros(0), np.zeros(0), False),
    ],
)
def test_each_part_of_the_rule(wrong, flips, expected):
    assert chatters(wrong, flips, 1000) is expected


@pytest.mark.parametrize("trend", [TOLERANCE, -TOLERANCE])
def test_false_alarms(trend):
    """A change by a tenth is named in at most 5 % of 200 series, correlated or not.

    At the stated 1.3 % this fails with probability 10⁻⁴; a rule without the interval would name half.
    """
    for memory in (0.0, 0.6):
        slope = trend / (2 + trend) * 2
        named = sum(
            chatters(series(trend=slope, memory=memory, seed=seed), FLIPS, 1000) for seed in range(100)
        )
        assert named <= 5


def test_the_verdict_of_a_run(tmp_path):
    """Counts in the run itself give it, saved and resumed alike; a short run and one not counted wander."""
    instance = st.Problem(n=128, samples=3 * 128).draw(1)
    options = {"schedule": st.Constant(0.5), "surrogate": "identity", "init": 1}
    run = st.train(instance, 1500, **options, record="recurrence")
    assert run.verdict is st.Verdict.CHATTERING
    assert not run.certified
    run.save(tmp_path / "run")
    begun = st.Orbit.load(tmp_path / "run")
    assert begun.verdict is st.Verdict.CHATTERING
    assert st.train(instance, 1500, **options, record=()).verdict is st.Verdict.WANDERING
    short = st.train(instance, 200, **options)
    assert short.verdict is st.Verdict.WANDERING
    assert st.resume(short, instance, 1300).verdict is st.Verdict.CHATTERING
