"""Pictures of recurrence: what they say is in the data, and nothing is drawn that is not."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure

import sterling as st
from sterling.plot import visits as plots
from sterling.theory import wrong_share


@pytest.fixture(scope="module")
def instance():
    return st.Problem(n=12, samples=300, noise=0.5).draw(1)


@pytest.fixture(scope="module")
def orbit(instance):
    return st.train(instance, 60_000)


@pytest.fixture(scope="module")
def found(orbit):
    return orbit.recurrence()


@pytest.fixture
def ax():
    return Figure().subplots()


def test_survival(ax, orbit, found):
    text = plots.survival(ax, found)
    assert f"{orbit.return_times.max():,} at most" in text
    x, y = ax.lines[0].get_data()
    assert y[0] == 1
    assert x[-1] == orbit.return_times.max()
    assert y[-1] == np.mean(orbit.return_times == orbit.return_times.max())
    assert ax.get_xscale() == ax.get_yscale() == "log"


def test_shares(ax, instance, orbit):
    predicted = wrong_share(instance)
    text = plots.shares(ax, orbit.wrong_share, predicted)
    assert "mean-field" in ax.get_legend().get_texts()[-1].get_text()
    assert f"off by {np.abs(orbit.wrong_share - predicted).max():.2g} at most" in text
    assert f"{np.count_nonzero(orbit.wrong_share)} of 12 weights are ever wrong, the worst for" in text


def test_a_run_without_recurrence():
    """Every picture says so in words."""
    none = st.train(st.Problem(n=40, samples=100, noise=0.5).draw(0), 300).recurrence()
    for draw in (plots.survival, plots.growth, plots.batches):
        ax = Figure().subplots()
        assert draw(ax, none).endswith(".")
    over = st.train(st.Problem(n=6, samples=300).draw(0), 1000).recurrence()
    assert "no weight flips any more" in plots.growth(Figure().subplots(), over)
