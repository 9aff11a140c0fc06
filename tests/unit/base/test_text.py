"""Numbers as words, and the small table of each object in a notebook, all escaped."""

import numpy as np
import pytest

import sterling as st
from sterling.base.text import readable_time

INSTANCE = st.Problem(n=4, samples=30, m=9, noise=0.5, readout="signs").draw(0)
SHOWN = {
    "problem": lambda: st.Problem(n=4, samples=30, noise=0.25),
    "instance": lambda: INSTANCE,
    "own-data": lambda: st.Instance(np.eye(3) / 3, [0, 1, 1], origin={"file": "<b>.csv"}),
    "orbit": lambda: st.train(INSTANCE, 10),
    "landscape": lambda: st.landscape(INSTANCE),
}


@pytest.mark.parametrize("name", SHOWN)
def test_a_notebook_shows_a_table(name):
    text = SHOWN[name]()._repr_html_()
    assert text.startswith("<table><tr>")
    assert "<b>" not in text
    assert text.count("<tr>") == text.count("</td></tr>") >= 5


@pytest.mark.parametrize(
    "seconds, text",
    [
        *((0.2, "under 1 s"), (7.4, "7 s"), (99, "99 s"), (125, "2 min 5 s"), (1800, "30 min")),
        *((7_500, "2 h 5 min"), (400_000, "5 days")),
    ],
)
def test_durations(seconds, text):
    assert readable_time(seconds) == text
