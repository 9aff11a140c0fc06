"""Time averages of several levels against the law of chatter, which has no free parameter."""

from __future__ import annotations

import numpy as np
import pytest

import sterling as st


@pytest.mark.parametrize("levels", [3, 4])
def test_time_averages_follow_the_law(levels):
    """With seeds 0 and 1, runs of twice this length gave .9997 or more, and .010 to .014 of a level."""
    instance = st.Problem(n=96, samples=240, levels=levels).draw(0)
    half = st.train(instance, 3000, st.Constant(0.1), "identity", init=0, record=())
    whole = st.resume(half, instance, 3000)
    late = (2 * whole.ergodic_mean - half.ergodic_mean) * np.sqrt(96)
    law = st.theory.chatter_mean(instance, "identity")
    assert np.corrcoef(late, law)[0, 1] > 0.999
    assert np.abs(late - law).mean() < 0.025 * np.diff(np.unique(instance.teacher))[0]
