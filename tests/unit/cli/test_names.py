"""Names of files that few would give."""

from __future__ import annotations

import os
import sys

import pytest
from typer.testing import CliRunner

from sterling.cli.verbs import app


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
