"""The film of a run: its states and its file."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

import sterling as st
from sterling.plot.film import states


@pytest.fixture(scope="module")
def orbit():
    return st.train(st.Problem(n=8, samples=200, noise=0.5).draw(seed=3), steps=2000)


def test_states_are_those_of_the_run(orbit):
    steps = np.array([0, 1, 5, 5, 700, 2000])
    seen = [weights.copy() for weights in states(orbit, steps)]
    np.testing.assert_array_equal(seen[0], orbit.start_signs)
    np.testing.assert_array_equal(seen[-1], orbit.signs)
    assert [int((weights != orbit.reference).sum()) for weights in seen] == orbit.distance(steps).tolist()


@pytest.mark.parametrize("levels", [2, 3])
def test_the_film_has_the_pictures_that_were_asked_for(levels, tmp_path):
    orbit = st.train(st.Problem(n=7, samples=200, noise=0.5, levels=levels).draw(seed=3), steps=500)
    orbit.animate(tmp_path / "run.gif", frames=6, rate=10)
    with Image.open(tmp_path / "run.gif") as film:
        assert film.format == "GIF"
        assert 3 <= film.n_frames <= 6  # equal ones in a row are one
        assert film.info["duration"] % 100 == 0


def test_what_cannot_be_filmed_is_refused(orbit, tmp_path):
    silent = st.train(st.Problem(n=4, samples=50).draw(seed=0), steps=10, record=())
    for run, name, frames in ((orbit, "run.mp4", 2), (orbit, "run.gif", 1), (silent, "run.gif", 2)):
        with pytest.raises(st.InputError):
            run.animate(tmp_path / name, frames=frames)
    with pytest.raises(st.StoreError):
        orbit.animate(tmp_path / "no" / "run.gif", frames=2)
    assert not list(tmp_path.iterdir())
