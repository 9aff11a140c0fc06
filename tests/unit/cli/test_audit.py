"""`sterling audit`: the first line says what is wrong."""

from __future__ import annotations

import json

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch", reason="the extra `torch` is not installed")

from sterling.cli.verbs import app

MODELS = """
import torch
import sterling.torch
from tests.unit.torch import frameworks as fw

def ternary():
    return fw.brevitas("ternary"), fw.X

def plain():
    return torch.nn.Linear(2, 2), fw.X[:, :2]

def three():
    return 1, 2, 3

def broken():
    raise KeyError("no such\\nmodel")

def exits():
    raise SystemExit(3)

class Talking(fw.Quantised):
    def forward(self, x):
        print("forward")
        return super().forward(x)

def talking():
    print("hello")
    return Talking(fw.detached), fw.X

def int1():
    return torch.nn.Sequential(fw.torchao("int1"))

def noted():
    return fw.Lora(), fw.X

ready = sterling.torch.binarize(torch.nn.Linear(64, 8))
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    (tmp_path / "audited_models.py").write_text(MODELS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    return lambda *args: CliRunner().invoke(app, ["audit", *args])


def test_the_first_line_says_what_is_wrong(run):
    pytest.importorskip("brevitas", reason="brevitas is not installed (extra `qat`)")
    first = run("audited_models:ternary").stdout.splitlines()[0]
    assert "no gradient" in first
    assert "dead zone" in first


@pytest.mark.parametrize(
    "source, about",
    [
        ("audited_models", "MODULE:FUNCTION"),
        ("audited_models:nothing", "AttributeError"),
        ("no_such_module_here:f", "ModuleNotFoundError"),
        ("audited_models:broken", "KeyError"),
        ("audited_models:three", "3 objects"),
        ("audited_models:exits", "sys.exit"),
        ("audited_models:plain", "no quantised weight"),
    ],
)
def test_wrong_input_is_one_line(run, source, about):
    done = run(source)
    assert done.exit_code == 2
    assert len(done.stderr.strip().splitlines()) == 1
    assert about in done.stderr


def test_what_the_users_code_prints_is_no_result(run):
    done = run("audited_models:talking", "--json")
    assert json.loads(done.stdout)["tensors"][0]["levels"] == 3
    assert set(done.stderr.splitlines()) == {"hello", "forward"}


def test_a_model_may_be_named_itself(run):
    assert run("audited_models:ready").stdout.startswith("Nothing is wrong")


@pytest.mark.parametrize("function, grade", [("ready", None), ("noted", "note"), ("int1", "defect")])
def test_grades_fail_on_request(run, function, grade):
    if function == "int1":
        pytest.importorskip("torchao", reason="torchao is not installed (extra `qat`)")
    for fail_on, grades in [("defect", ["defect"]), ("note", ["defect", "note"]), ("none", [])]:
        done = run(f"audited_models:{function}", "--fail-on", fail_on, "--json")
        assert done.exit_code == (grade in grades)
        assert json.loads(done.stdout)["grade"] == grade
