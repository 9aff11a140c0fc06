"""The display of work under way, on a terminal and elsewhere."""

import io
import sys

import pytest
from rich.console import Console

import sterling as st
from sterling.base import progress
from sterling.base.progress import Progress
from sterling.errors import InputTypeError


def at(done, total: float | None = 2_000_000, left: float | None = 75.0):
    return Progress(done, total, "RECURRENT so far", ("occupancy 0.579", "visits 233,671"), left)


@pytest.fixture
def clock(monkeypatch):
    """Give a list whose only entry is the time."""
    now = [1000.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_plain_lines_are_sparse(capsys, clock):
    with progress.display("steps") as show:
        for tick in range(1, 700):
            clock[0] += 1 / 32
            show(at(2000 * tick))
    first, second = capsys.readouterr().err.splitlines()
    assert first == (
        "640,000 of 2,000,000 steps (32 %), RECURRENT so far, occupancy 0.579, visits 233,671, 75 s left"
    )
    assert second.startswith("1,280,000 of")


@pytest.mark.parametrize(
    "told, noun, line",
    [
        (Progress(25, 100), "runs", "25 of 100 runs (25 %)"),
        (Progress(0.25, 1.0, "P1"), "", "25 %, P1"),
        (Progress(1200, None), "rows", "1,200 rows"),
        (Progress(3, 0), "rows", "3 rows"),
        (Progress(3, None, "looking"), "", "looking"),
    ],
)
def test_what_a_line_says(capsys, monkeypatch, told, noun, line):
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)
    with progress.display(noun) as show:
        show(told)
    assert capsys.readouterr().err.strip(", \n") == line


def test_the_time_left_follows_from_the_pace(capsys, monkeypatch, clock):
    """Work that was done before, as in a resumed run, says nothing about the pace."""
    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)
    with progress.display("runs") as show:
        show(Progress(40, 100))
        clock[0] += 10
        show(Progress(50, 100))
        show(Progress(100, 100, seconds_left=0.0))
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["40 of 100 runs (40 %)", "50 of 100 runs (50 %), 50 s left", "100 of 100 runs (100 %)"]


class Terminal(io.StringIO):
    def isatty(self):
        return True


def terminal(monkeypatch):
    """Put a terminal in the place of stderr, within a test: between fixtures pytest puts its own back."""
    stream = Terminal()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("NO_COLOR", "1")
    return stream


@pytest.mark.parametrize("term, live", [("xterm-256color", True), ("dumb", False), ("", False)])
def test_a_live_display_on_a_real_terminal_only(monkeypatch, term, live):
    stream = terminal(monkeypatch)
    monkeypatch.setenv("TERM", term)
    if not term:
        monkeypatch.delenv("TERM")
    with progress.display() as show:
        show(at(1_000_000))
    text = stream.getvalue()
    assert ("so far" in text) == live
    assert ("\x1b[" in text) == live
    for colour in ("\x1b[3", "\x1b[9", "\x1b[1;3"):
        assert colour not in text


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("done, total", [(1, 2_000_000), (1_234_567, 2_000_000), (5, None)])
def test_the_picture_fits_the_terminal(monkeypatch, width, done, total):
    terminal(monkeypatch)
    monkeypatch.setenv("COLUMNS", str(width))
    with progress.display("steps") as show:
        assert isinstance(show, progress._Live)
        show(at(done, total))
        console = Console(file=io.StringIO(), width=width)
        console.print(show.bars.get_renderable())
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert all(len(line) <= width for line in lines)
    text = " ".join(" ".join(lines).split())
    for words in ("RECURRENT so far", "occupancy 0.579", "visits 233,671", "75 s left", f"{done:,}"):
        assert words in text
    if total:
        assert f"{100 * done / total:.0f}%" in text


def test_lines_that_stay(monkeypatch):
    stream = terminal(monkeypatch)
    with progress.display() as show:
        show(Progress(1, 2))
        show.say("[bold]P1[/] is judged")
    assert "[bold]P1[/] is judged" in stream.getvalue()


def test_an_argument_becomes_what_shows():
    with progress.showing(False) as show:
        assert show is None
    with progress.showing(True, "steps") as show:
        assert isinstance(show, progress.Display)
    with progress.showing(print) as show:
        assert show is print
    with pytest.raises(InputTypeError, match="progress"), progress.showing("yes"):  # type: ignore[arg-type]
        pass


def test_no_stderr_costs_nothing(monkeypatch):
    class Full(io.StringIO):
        def write(self, text):
            raise OSError(28, "No space left on device")

    monkeypatch.setattr(progress, "PLAIN_EVERY", 0.0)
    for stream in (None, Full()):
        monkeypatch.setattr(sys, "stderr", stream)
        with progress.display() as show:
            show(Progress(1, 2))


def test_train_shows_its_progress_and_takes_it_away(capsys, monkeypatch):
    monkeypatch.setattr(progress, "PLAIN_EVERY", float("inf"))  # kernels may have to be compiled first
    st.train(st.Problem(n=4, samples=60).draw(0), 100, progress=True)
    assert capsys.readouterr() == ("", "")
