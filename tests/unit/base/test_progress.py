"""The display of a run under way, on a terminal and elsewhere."""

import io
import sys

import pytest
from rich.console import Console

import sterling as st
from sterling.base import progress
from sterling.dynamics.run import Progress


def at(step, steps=2_000_000, left: float | None = 75.0):
    return Progress(step, steps, st.Verdict.RECURRENT, 0.5792, 233_671, 1, 654_438, 550, 1.5, left)


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("step", [1, 1_234_567, 2_000_000])
def test_the_picture_fits_the_terminal(width, step):
    console = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    console.print(progress.picture(at(step), width))
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert all(len(line) <= width for line in lines)
    text = " ".join(" ".join(lines).split())
    for words in (
        f"step {step:,} of 2,000,000",
        "RECURRENT so far",
        "occupancy 0.579",
        "visits 233,671",
        "75 s left",
    ):
        assert words in text
    assert f"{step / 20_000:.0f} %" in text


def test_plain_lines_are_sparse(capsys, monkeypatch):
    with progress.display() as show:
        for step in range(1, 1000):
            show(at(step))
    assert capsys.readouterr().err == ""
    with progress.display(every=0.0) as show:
        show(at(1_000_000))
        show(at(1_500_000, left=None))
    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        "step 1,000,000 of 2,000,000 (50 %), RECURRENT so far, occupancy 0.579, visits 233,671, "
        "events 654,438, 75 s left"
    )
    assert second.endswith("events 654,438")


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.mark.parametrize("term, live", [("xterm-256color", True), ("dumb", False), ("", False)])
def test_a_live_display_on_a_real_terminal_only(monkeypatch, term, live):
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", term)
    if not term:
        monkeypatch.delenv("TERM")
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("NO_COLOR", "1")
    with progress.display() as show:
        show(at(1_000_000))
    text = stream.getvalue()
    assert ("so far" in text) == live
    assert ("\x1b[" in text) == live
    for colour in ("\x1b[3", "\x1b[9", "\x1b[1;3"):
        assert colour not in text


def test_train_shows_its_progress_and_takes_it_away(capsys):
    st.train(st.Problem(n=4, samples=60).draw(0), 100, progress=True)
    assert capsys.readouterr() == ("", "")


@pytest.mark.parametrize(
    "seconds, text",
    [
        (0.2, "under 1 s"),
        (7.4, "7 s"),
        (99, "99 s"),
        (125, "2 min 5 s"),
        (1800, "30 min"),
        (7_500, "2 h 5 min"),
        (400_000, "5 days"),
        (1e12, "years"),
    ],
)
def test_durations(seconds, text):
    assert progress.readable_time(seconds) == text
