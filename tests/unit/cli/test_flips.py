"""`sterling flips`: the first line has the churn, and wrong files are one line."""

from __future__ import annotations

import json

import numpy as np
import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="the extra `torch` is not installed")

from sterling.cli.verbs import app


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for step, row in enumerate([[0.5, -0.5, 0.1, -2], [0.5, 0.5, 0.1, -2], [0.5, -0.5, -0.1, -2]]):
        np.savez(f"{step}.npz", **{"a.weight": np.array([row]), "b.weight": np.array([row, row])})
    return lambda *args: CliRunner().invoke(app, ["flips", *args])


def test_table_and_json(run):
    done = run("0.npz", "1.npz", "2.npz", "--quantizer", "sign", "--exclude", "b*")
    first, *_, last = done.stdout.splitlines()
    assert first.startswith("50.00")
    assert "3 checkpoints" in first
    assert "25.00" in last
    done = run("0.npz", "1.npz", "2.npz", "--quantizer", "sign", "--include", "a*", "--json")
    (row,) = json.loads(done.stdout)["tensors"]
    assert (row["tensor"], row["flips"], row["never_moved"], row["undecided"]) == ("a.weight", 3, 2, 0.25)
    done = run("0.npz", "9.npz")
    assert (done.exit_code, len(done.stderr.strip().splitlines())) == (2, 1)
    assert "9.npz" in done.stderr
