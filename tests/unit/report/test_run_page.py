"""The page of a run: whole in itself, escaped, and in words where there is nothing to draw."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import numpy as np
import pytest
from typer.testing import CliRunner

import sterling as st
from sterling.cli.verbs import app
from sterling.report.run_page import run_page
from sterling.theory import Balance


class Reader(HTMLParser):
    """Collects what a browser would load, and the drawings' descriptions."""

    def __init__(self, text):
        super().__init__()
        self.loads, self.drawings = [], []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        values = dict(attrs)
        for name in ("src", "href", "xlink:href", "srcset", "data"):
            if values.get(name):
                self.loads.append(values[name])
        if tag == "svg" and values.get("role") == "img":
            self.drawings.append(values.get("aria-label", ""))


def parse(text):
    reader = Reader(text)
    assert all(link.startswith(("data:", "#")) for link in reader.loads), reader.loads
    assert "http-equiv" in text
    assert all(len(label) > 20 for label in reader.drawings)
    assert "<script" not in text
    return reader


@pytest.fixture(scope="module")
def noisy():
    return st.Problem(n=8, samples=150, noise=0.5).draw(0)


def test_a_recurrent_run(noisy):
    orbit = st.train(noisy, 20_000)
    text = run_page(orbit, noisy, "sterling train --n 8 & <x>")
    reader = parse(text)
    assert len(reader.drawings) == 10
    assert f"{orbit.visits:,}" in text
    assert f"in the long run {orbit.recurrence().long_run.text} (" in text
    assert text.count('class="kind mean-field"') >= 3
    assert "sterling train --n 8 &amp; &lt;x&gt;" in text
    assert "prefers-color-scheme: dark" in text
    assert 'name="viewport"' in text
    table = text[text.index('id="weights"') :].partition("</table>")[0]
    signs = [orbit.signs, orbit.ergodic_signs, orbit.reference]
    shown = ["+1" if sign > 0 else "−1" for row in zip(*signs, strict=True) for sign in row]
    assert re.findall("<td[^>]*>([+−]1)</td>", table) == shown


def test_without_noise():
    instance = st.Problem(n=8, samples=400).draw(0)
    text = run_page(st.train(instance, 5000), instance)
    reader = parse(text)
    assert len(reader.drawings) == 4
    assert "The labels have no noise" in text
    assert "was absorbed at the teacher at step" in text
    assert "so there are no return times" in text
    assert "There is no prediction: the teacher absorbs, and nothing recurs." in text


def test_data_without_a_teacher(noisy):
    free = st.Instance(noisy.inputs, noisy.labels)
    orbit = st.train(free, 20_000)
    text = run_page(orbit, free)
    parse(text)
    assert "Which weights made the labels is not known" in text
    assert f"found at step {orbit.first_hit:,}; all counts about it start there" in text
    assert "mean squared error, best state seen" in text
    assert "Occupancy against sample size" not in text
    assert "exact gradients at the best state seen, at its 8 neighbours" in text
    assert "the prediction knows the best state seen" in text


def test_data_whose_noise_is_not_known(noisy):
    """Shares can be predicted all the same: only the law over N needs σ."""
    known = st.Instance(noisy.inputs, noisy.labels, teacher=noisy.teacher)
    text = run_page(st.train(known, 20_000), known)
    parse(text)
    assert "There is no prediction" not in text
    assert "The law over N needs labels of known noise, and these data have none" in text


def test_what_the_prediction_is_made_from(noisy):
    """The number of states is the one that was used."""
    used = st.theory.balance(noisy).states
    assert used > 1
    text = run_page(st.train(noisy, 2000), noisy)
    assert f"at its 8 neighbours and at {used} further states that it draws itself" in text


def test_a_teacher_that_absorbs_without_known_noise():
    instance = st.Problem(n=8, samples=400).draw(0)
    plain = st.Instance(instance.inputs, instance.labels, teacher=instance.teacher)
    text = run_page(st.train(plain, 5000, init=plain.teacher), plain)
    assert "There is no prediction: the teacher absorbs, and nothing recurs." in text
    assert "what follows is about the steps before" not in text


def test_a_run_that_kept_nothing(noisy):
    text = run_page(st.train(noisy, 500, record=()), noisy)
    assert "kept no flips" in text
    assert "did not count its visits" in text


def test_where_the_equations_have_no_solution(noisy, monkeypatch):
    """What is not a number is not shown as one."""
    nothing = Balance(np.full(8, np.nan), np.nan)
    monkeypatch.setattr("sterling.theory.balance", lambda *_, **__: nothing)
    text = run_page(st.train(noisy, 2), noisy)
    assert "the mean-field equations have no solution" in text
    assert not re.search(r"\bnan\b", re.sub(r"<svg.*?</svg>", "", text, flags=re.S))


def test_names_are_escaped(tmp_path, noisy):
    path = tmp_path / "<b>&x.npz"
    np.savez(path, inputs=noisy.inputs[:, 0], labels=noisy.labels)
    instance = st.load_data(path)
    text = run_page(st.train(instance, 2000), instance)
    assert "<b>&x" not in text
    assert "&lt;b&gt;&amp;x" in text


def test_the_command(tmp_path):
    out = tmp_path / "run.html"
    arguments = ["train", "--n", "6", "--samples", "80", "--noise", "0.5", "--steps", "5000", "--quiet"]
    done = CliRunner().invoke(app, [*arguments, "--report", str(out)])
    assert done.exit_code == 0, done.output
    parse(out.read_text("utf-8"))


@pytest.mark.parametrize("name, reason", [("x.pdf", "must end in .html"), ("no/x.html", "no folder")])
def test_a_name_that_cannot_be_written(tmp_path, name, reason):
    """Said before the run, not after it."""
    done = CliRunner().invoke(app, ["train", "--report", str(tmp_path / name)])
    assert done.exit_code == 2
    assert reason in done.output.replace("\n", " ")
