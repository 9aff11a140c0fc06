"""`sterling explore`: what it writes, what it opens, what it refuses."""

import re
import webbrowser
from html import unescape
from importlib.resources import files
from urllib.parse import parse_qsl

import numpy as np
import pytest

import sterling as st
import tests.support
from sterling.report.explore import USUAL


@pytest.fixture
def opened(monkeypatch):
    """The addresses that a browser is sent to, as on a screen."""
    addresses = []
    monkeypatch.setattr("sterling.cli.explore._has_screen", lambda: True)
    monkeypatch.setattr(webbrowser, "open", lambda address: addresses.append(address) or True)
    return addresses


def call(*arguments, code=0):
    return tests.support.call("explore", *arguments, code=code)


def test_the_page_is_written_and_opened(tmp_path, opened):
    path = tmp_path / "new" / "page.html"
    assert str(path) in call("-o", path).stdout
    assert path.read_text("utf-8").startswith("<!doctype html>")
    assert opened == [path.as_uri()]


def test_without_a_browser_the_page_is_there_and_said_to_be(tmp_path, monkeypatch):
    monkeypatch.setattr("sterling.cli.explore._has_screen", lambda: True)
    monkeypatch.setattr(webbrowser, "open", lambda address: False)
    result = call("-o", tmp_path / "page.html")
    assert "no browser" in result.stderr
    assert (tmp_path / "page.html").exists()


def settings(page):
    """Return the settings at which a page opens."""
    (found,) = re.findall('data-start="([^"]*)"', page.read_text("utf-8"))
    return dict(parse_qsl(unescape(found), keep_blank_values=True))


def test_options_are_the_settings_at_which_the_page_opens(tmp_path, opened):
    page = tmp_path / "page.html"
    call("-o", page)
    assert settings(page) == {}
    call("-o", page, "--n", 40, "--noise", 0.3)
    found = settings(page)
    assert opened[1:] == [f"{page.as_uri()}#{'&'.join(f'{name}={value}' for name, value in found.items())}"]
    expected = {"n": "40", "samples": "1600", "noise": "0.3", "seed": "5", "init": "5", "steps": "1000000"}
    assert expected.items() <= found.items()


def test_the_usual_settings_are_those_of_the_page():
    text = (files("sterling.report") / "templates" / "explore" / "settings.js").read_text("utf-8")
    usual = re.search(r"USUAL = Object.freeze\(\{(.*?)\}\)", text, re.DOTALL)[1]
    numbers = dict(re.findall(r"(\w+): ([\d.e]+)", usual))
    assert {name: float(numbers[name]) for name in USUAL} == USUAL


@pytest.mark.parametrize(
    "words, cause", [("--n 257", "256"), ("--noise 0.333", "noise"), ("-o a.png", ".html")]
)
def test_what_the_page_cannot_do_is_refused_in_one_line(tmp_path, words, cause, opened):
    (line,) = call("-o", tmp_path / "page.html", *words.split(), code=2).stderr.splitlines()
    assert cause in line
    assert not list(tmp_path.iterdir())


def test_a_run_opens_with_its_settings(tmp_path, opened):
    orbit = st.train(st.Problem(n=6, samples=100, noise=0.5, m=2).draw(seed=4), steps=50)
    address = orbit.explore(tmp_path / "run.html")
    assert opened == [address]
    expected = {"n": "6", "m": "2", "seed": "4", "init": "0", "steps": "50", "schedule": "power:0.5,0.5"}
    assert expected.items() <= settings(tmp_path / "run.html").items()
    start = np.array([0.1, -0.2, 1 / 3, 1e-9, -5, 2])
    damped = st.train(
        st.Problem(n=6, samples=100).draw(seed=4), steps=50, init=start, optimizer=st.SGD(damping=0.5)
    )
    damped.explore(tmp_path / "run.html")
    found = settings(tmp_path / "run.html")
    assert [float(one) for one in found["latent"].split(",")] == start.tolist()
    assert found["schedule"] == f"constant:{damped.schedule.rate!r}"
    assert st.train(st.Problem(n=4, samples=50).draw(seed=0), steps=5).explore().startswith("file:")


def test_runs_that_the_page_cannot_make_are_refused(tmp_path, opened):
    drawn = st.Problem(n=6, samples=100).draw(seed=4)
    for orbit in (
        st.train(st.Instance(drawn.inputs, drawn.labels), steps=5),
        st.train(st.Problem(n=6, samples=100, inputs="uniform").draw(seed=4), steps=5),
        st.train(st.Problem(n=6, samples=100, levels=3).draw(seed=4), steps=5),
        st.train(st.Problem(n=6, samples=100).draw(np.random.SeedSequence(4, spawn_key=(1,))), steps=5),
        st.train(drawn, steps=5, optimizer="adam"),
        st.train(drawn, steps=5, batch=10),
    ):
        with pytest.raises(st.InputError, match="explorable page"):
            orbit.explore(tmp_path / "run.html")
    assert not list(tmp_path.iterdir())
