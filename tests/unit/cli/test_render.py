"""What the verbs share: which error is told how, and what goes to which stream."""

from __future__ import annotations

import errno
import os
import warnings

import pytest
import typer
from typer.testing import CliRunner

from sterling.cli import render
from sterling.errors import CapacityError, CheckpointError, InputError, StoreError

FULL = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


def run(body):
    """Run a verb that does this."""
    app = typer.Typer(add_completion=False)

    @app.command()
    @render.guarded
    def verb() -> None:
        body()

    return CliRunner().invoke(app, [])


def raising(problem):
    def body():
        raise problem

    return body


@pytest.mark.parametrize(
    "problem, code, text",
    [
        (InputError("n is 0;\n give more"), 2, "error: n is 0; give more"),
        (CheckpointError("damaged"), 2, "error: damaged"),
        (StoreError("cannot write"), 1, "error: cannot write"),
        (CapacityError("it needs 4 GiB"), 1, "error: it needs 4 GiB"),
        (MemoryError(), 1, "error: there is not enough memory: take fewer samples, or a smaller n or m"),
        (KeyboardInterrupt(), 130, render.STOPPED),
        (FULL, 1, "error: No space left on device"),  # of some file, not of standard output
        (PermissionError(13, "Permission denied", "a\x1b.csv"), 1, "error: a\\x1b.csv: Permission denied"),
    ],
)
def test_each_error_is_one_line_and_a_code(problem, code, text):
    result = run(raising(problem))
    assert (result.exit_code, result.stderr, result.stdout) == (code, f"{text}\n", "")


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a file that is always full")
def test_only_standard_output_is_told_as_such():
    with open("/dev/full", "w") as stream:
        out = render.open_output(stream)
        print("result", file=out)
        with pytest.raises(render.OutputError) as caught:
            out.close()
    result = run(raising(caught.value))
    assert result.exit_code == 1
    assert "standard output: No space left on device" in result.stderr


def test_letters_that_the_output_has_not_are_question_marks(tmp_path):
    with open(tmp_path / "out", "w", encoding="ascii") as stream:
        out = render.open_output(stream)
        print("grün", file=out, flush=True)
    assert (tmp_path / "out").read_text() == "gr?n\n"


def test_warnings_are_lines_too():
    result = run(lambda: warnings.warn("the disk is\n slow", render.SterlingWarning, stacklevel=1))
    assert (result.exit_code, result.stderr) == (0, "warning: the disk is slow\n")


def test_without_a_terminal_no_line_is_broken_and_no_frame_is_drawn(capsys, monkeypatch):
    monkeypatch.delenv("COLUMNS", raising=False)
    meaning = "word " * 60 + "end."
    render.print_verdict("about", "VERDICT", "green", meaning, [("name", "value " * 40 + "end")])
    out = capsys.readouterr().out
    assert meaning in out.splitlines()
    assert "╭" not in out
