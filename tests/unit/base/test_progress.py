"""Progress of long work, on a terminal and elsewhere."""

import io
import sys

import pytest

import sterling as st
from sterling.base.progress import Progress, reporting


def at(done, total: float | None = 2_000_000, left: float | None = 75.0):
    return Progress(done, total, "RECURRENT so far", ("occupancy 0.579", "visits 233,671"), left)


@pytest.fixture
def clock(monkeypatch):
    """Give a list whose only entry is the time."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_lines_are_sparse(capsys, clock):
    with reporting(True, "steps") as show:
        for tick in range(1, 700):
            clock[0] += 1 / 32
            show(at(2000 * tick))
    first, second = capsys.readouterr().err.splitlines()
    assert "642,000 of 2,000,000 steps" in first
    assert "1,282,000 of" in second


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("width", [60, 120])
@pytest.mark.parametrize("term", ["xterm-256color", "dumb"])
def test_a_bar_on_a_real_terminal_only(monkeypatch, width, term):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", term)
    monkeypatch.setenv("COLUMNS", str(width))
    with reporting(True, "steps") as show:
        show(at(1_000_000))
        show.say("[bold]P1[/] is judged")
    text = stream.getvalue()
    assert "[bold]P1[/] is judged" in text
    assert ("so far" in text) == ("50%" in text) == (term != "dumb")


def test_train_shows_its_progress_and_takes_it_away(capsys):
    st.train(st.Problem(n=4, samples=60).draw(0), 100, progress=True)
    assert capsys.readouterr() == ("", "")
