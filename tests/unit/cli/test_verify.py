"""`sterling verify`: exit code 0 if nothing differs, 1 if something does, 2 for wrong input."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="the extra `torch` is not installed")

import torch

import sterling.torch as stt
from sterling.cli.verbs import app

MODELS = """
import torch
import sterling.torch as stt
from tests.unit.torch import frameworks as fw

def net():
    torch.manual_seed(1)
    return stt.binarize(torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Linear(4, 4)), levels=3)

def byhand():
    return fw.Quantised(fw.detached), fw.X
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    (tmp_path / "verified_models.py").write_text(MODELS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import verified_models  # pyright: ignore[reportMissingImports]

    state = stt.unbinarize(verified_models.net(), keep="quantised").state_dict()
    torch.save(state, "right.pt")
    torch.save({**state, "0.weight": -state["0.weight"]}, "wrong.pt")
    model, example = verified_models.byhand()
    torch.save({"weight": stt.find(model, example)[0].values()}, "byhand.pt")
    return lambda *args: CliRunner().invoke(app, ["verify", *args])


def test_exit_codes(run):
    done = run("verified_models:net", "right.pt")
    assert done.exit_code == 0, done.output
    assert "2 quantised tensors" in done.stdout.splitlines()[0]
    done = run("verified_models:net", "wrong.pt")
    assert done.exit_code == 1
    assert "1 of 2" in done.stdout.splitlines()[0]
    assert "multiplied by −1" in done.stdout
    assert run("verified_models:byhand", "byhand.pt").exit_code == 0


def test_json(run):
    found = json.loads(run("verified_models:net", "wrong.pt", "--json").stdout)
    assert not found["ok"]
    assert len(found["findings"]) == 1
    assert [row["tensor"] for row in found["tensors"]] == ["0.weight", "1.weight"]


@pytest.mark.parametrize(
    "arguments, about",
    [
        (["verified_models:nothing", "right.pt"], "AttributeError"),
        (["verified_models:net", "missing.pt"], "no file"),
        (["verified_models:net", "verified_models.py"], "unknown format"),
    ],
)
def test_wrong_input_is_one_line(run, arguments, about):
    done = run(*arguments)
    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert about in done.stderr
