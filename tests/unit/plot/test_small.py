"""The small pictures of a notebook: each class has one, told in words, fit for light and dark pages."""

from __future__ import annotations

import re
import subprocess
import sys
from xml.etree import ElementTree

import numpy as np
import pytest

import sterling as st
from sterling.plot import small, style
from sterling.study import Study, fit_store, run, status
from tests.colours import contrast

INSTANCE = st.Problem(n=6, samples=200, noise=0.5).draw(seed=0)
SURFACES = ("#ffffff", "#111111")  # of notebooks: light, and the darkest in use


def store(folder):
    """A small study with rows."""
    run(Study(n=[4, 6], samples=[8, 24], trials=6, steps=200, name="a < b"), folder)
    return folder


def reports():
    """What the instruments for PyTorch say of a net with two binary layers after some steps, by class."""
    torch = pytest.importorskip("torch")
    import sterling.torch as stt

    torch.manual_seed(0)
    net = stt.binarize(torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2)))
    optimizer = torch.optim.SGD(net.parameters(), lr=0.5)
    monitor = stt.OrbitMonitor(net, optimizer, horizons=(20,))
    inputs = torch.randn(64, 8)
    for _ in range(60):
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(net(inputs), (inputs[:, 0] > 0).long()).backward()
        optimizer.step()
    return {
        "Audit": stt.audit(net),
        "MonitorReport": monitor.report(),
        "Changes": stt.decode(net, monitor).changes,
    }


SHOWN = {
    "Problem": lambda _: st.Problem(n=6, samples=200, inputs="student_t:4"),
    "Instance": lambda _: INSTANCE,
    "Orbit": lambda _: st.train(INSTANCE, steps=2000),
    "Landscape": lambda _: st.landscape(INSTANCE),
    "Certificate": lambda _: st.certify(INSTANCE),
    "Plan": lambda _: st.plan(st.Problem(n=16, samples=500, noise=0.5)),
    "Study": lambda _: Study(n=[8, 16], samples=[10, 20, 40]),
    "Status": lambda folder: status(store(folder)),
    "SeriesFit": lambda folder: fit_store(store(folder))[0],
    "Balance": lambda _: st.theory.balance(INSTANCE),
    "Recurrence": lambda _: st.train(INSTANCE, steps=2000).recurrence(),
    **{name: lambda _, name=name: reports()[name] for name in ("Audit", "MonitorReport", "Changes")},
}


def svg(text):
    """Return the element of the picture in what a notebook shows, as strict readers of XML take it."""
    return ElementTree.fromstring(re.search(r"<svg.*</svg>", text, re.DOTALL)[0])


@pytest.mark.parametrize("name", SHOWN)
def test_each_object_shows_a_picture_that_is_told_in_words(name, tmp_path):
    thing = SHOWN[name](tmp_path / "study")
    assert type(thing).__name__ == name
    text = thing._repr_html_()
    picture = svg(text)
    assert picture.get("role") == "img"
    assert len(picture.get("aria-label")) > 20
    assert len(list(picture.iter())) > 20
    assert "<table" in text
    assert len(text) < 60_000


def test_no_class_is_left_out():
    assert set(SHOWN) == set(small._DRAWN)


@pytest.mark.parametrize("name", ["Problem", "Orbit", "Plan"])
def test_letters_take_the_colour_of_the_page(name, tmp_path):
    text = SHOWN[name](tmp_path)._repr_html_().lower()
    assert style.INK.lower() not in text
    assert style.PALE.lower() not in text
    assert "fill: currentcolor" in text
    assert "<rect" not in text or "fill: #ffffff" not in text  # no ground of its own


@pytest.mark.parametrize("colour", [style.BLUE, style.VERMILLION, style.GREEN, style.GREY])
def test_colours_stand_out_from_light_and_dark_pages(colour):
    assert min(contrast(colour.lower(), surface) for surface in SURFACES) >= 3


def test_a_run_without_records_shows_its_weights():
    orbit = st.train(INSTANCE, steps=2000, record=())
    label = svg(orbit._repr_html_()).get("aria-label")
    assert f"{100 * orbit.wrong_share.max():.1f}" in label


def test_a_study_that_finds_its_sizes_says_so():
    assert "found by the study itself" in Study(n=[8, 16])._repr_html_()


@pytest.mark.parametrize("labels", [np.ones(8), np.arange(8.0) % 2])
def test_labels_of_any_kind_are_drawn(labels):
    inputs = np.random.default_rng(0).normal(size=(8, 3))
    assert "Labels from" in st.Instance(inputs, labels)._repr_html_()


def test_the_picture_of_an_object_is_the_same_each_time():
    problem = st.Problem(n=6, samples=200)
    assert problem._repr_html_() == problem._repr_html_()


def test_matplotlib_waits_until_a_notebook_asks():
    code = (
        "import sys, sterling as st; p = st.Problem(n=4, samples=30); repr(p); "
        "assert 'matplotlib' not in sys.modules; p._repr_html_(); "
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
