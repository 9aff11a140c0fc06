"""Names of files and folders that cannot be, or that few would give: one sentence from every verb."""

from __future__ import annotations

import os
import sys

import pytest
from typer.testing import CliRunner

from sterling.cli.verbs import app

LONG = "x" * 256
SMALL = "--n 4 --samples 30"


@pytest.mark.parametrize(
    "command",
    [
        "train {}.csv",
        f"train {SMALL} --steps 10 --out {{}}",
        f"train {SMALL} --steps 10 --plot {{}}.png",
        f"train {SMALL} --steps 10 --report {{}}.html",
        f"train {SMALL} --steps 10 --checkpoint {{}}",
        "landscape {}.csv",
        f"landscape {SMALL} --out {{}}.csv",
        f"landscape {SMALL} --plot {{}}.png",
        "study run {}.toml",
        "study run {}",
        "study run study.toml -o {}",
        "study status {}",
        "study fit {}",
        "study plot {}",
        "study export {} -o a.csv",
        "reproduce -o {}",
    ],
)
def test_a_name_that_is_too_long(command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "study.toml").write_text("[problem]\nn = 4\nsamples = 30\n[run]\ntrials = 1\nsteps = 10\n")
    result = CliRunner().invoke(app, command.format(LONG).split())
    assert result.exit_code in ((1, 2) if command.startswith("study") else (2,)), result.exception
    assert "File name too long" in result.stderr or "holds no study.toml" in result.stderr
    assert result.stderr.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["study.toml"]


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file systems that take UTF-8 names only")
def test_a_name_that_is_no_utf8(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"bad\xfc")
    (tmp_path / f"{name}.csv").write_text("a,b,label\n1,0,1\n0,1,0\n1,1,1\n0,0,0\n")
    targets = ["--out", name, "--plot", f"{name}.png", "--report", f"{name}.html"]
    result = CliRunner().invoke(app, ["train", f"{name}.csv", "--steps", "10", *targets, "--json", "-q"])
    assert result.exit_code == 0, (result.stderr, result.exception)
    assert {path.suffix for path in tmp_path.iterdir()} == {".csv", "", ".png", ".html"}
    result = CliRunner().invoke(app, ["train", f"{name}.txt"])
    assert result.exit_code == 2
    assert "bad\\xfc.txt" in result.stderr
