"""`sterling audit` and `sterling verify`: the first line says what is wrong, the exit code whether."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("torch", reason="the extra `torch` is not installed")

import torch

import sterling.torch as stt
from tests.support import call, refused

MODELS = """
import torch
import sterling.torch as stt
from tests.unit.torch import frameworks as fw

ready = stt.binarize(torch.nn.Linear(64, 8))
three = lambda: (1, 2, 3)
plain = lambda: (torch.nn.Linear(2, 2), fw.X[:, :2])
noted = lambda: (fw.Lora(), fw.X)
int1 = lambda: torch.nn.Sequential(fw.torchao("int1"))

def net():
    torch.manual_seed(1)
    return stt.binarize(torch.nn.Sequential(torch.nn.Linear(8, 4), torch.nn.Linear(4, 4)), levels=3)

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
"""


@pytest.fixture(autouse=True)
def models(tmp_path, monkeypatch):
    (tmp_path / "models_to_check.py").write_text(MODELS, encoding="utf-8")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    import models_to_check  # pyright: ignore[reportMissingImports]

    return models_to_check


@pytest.mark.parametrize(
    "source, about",
    [
        ("models_to_check", "MODULE:FUNCTION"),
        ("models_to_check:nothing", "AttributeError"),
        ("no_such_module_here:f", "ModuleNotFoundError"),
        ("models_to_check:broken", "KeyError"),
        ("models_to_check:three", "3 objects"),
        ("models_to_check:exits", "sys.exit"),
        ("models_to_check:plain", "no quantised weight"),
    ],
)
def test_wrong_models_are_one_line(source, about):
    assert about in refused("audit", source)


def test_what_the_users_code_prints_is_no_result():
    done = call("audit", "models_to_check:talking", "--json")
    assert json.loads(done.stdout)["tensors"][0]["levels"] == 3
    assert set(done.stderr.splitlines()) == {"hello", "forward"}


@pytest.mark.parametrize("function, grade", [("ready", None), ("noted", "note"), ("int1", "defect")])
def test_grades_fail_on_request(function, grade):
    if function == "int1":
        pytest.importorskip("torchao", reason="torchao is not installed (extra `qat`)")
    source = f"models_to_check:{function}"
    for fail_on, grades in [("defect", ["defect"]), ("note", ["defect", "note"]), ("none", [])]:
        done = call("audit", source, "--fail-on", fail_on, "--json", code=int(grade in grades))
        assert json.loads(done.stdout)["grade"] == grade
    assert call("audit", source).stdout.startswith("Wrong" if grade == "defect" else "Nothing is wrong")


def test_verify_compares_with_a_file(models):
    state = stt.unbinarize(models.net(), keep="quantised").state_dict()
    torch.save(state, "right.pt")
    torch.save({**state, "0.weight": -state["0.weight"]}, "wrong.pt")
    model, example = models.noted()
    torch.save({"base.weight": stt.find(model, example)[0].values()}, "noted.pt")
    assert "2 quantised tensors" in call("verify", "models_to_check:net", "right.pt").stdout.splitlines()[0]
    call("verify", "models_to_check:noted", "noted.pt")
    done = call("verify", "models_to_check:net", "wrong.pt", code=1)
    assert "1 of 2" in done.stdout.splitlines()[0]
    assert "multiplied by −1" in done.stdout
    found = json.loads(call("verify", "models_to_check:net", "wrong.pt", "--json", code=1).stdout)
    assert not found["ok"]
    assert len(found["findings"]) == 1
    assert [row["tensor"] for row in found["tensors"]] == ["0.weight", "1.weight"]
    assert "AttributeError" in refused("verify", "models_to_check:nothing", "right.pt")
    assert "no file" in refused("verify", "models_to_check:net", "missing.pt")
    assert "unknown format" in refused("verify", "models_to_check:net", "models_to_check.py")
