"""A claim is one file: laid into the folder of experiments, it is found and measured."""

import tomllib
from importlib import import_module
from pkgutil import iter_modules
from shutil import copy

from sterling.claims import catalogue, experiments
from sterling.claims.finding import Judgement
from sterling.claims.reproduce import reproduce
from sterling.report.figures import render
from sterling.study.kind import KINDS
from tests.support import ROOT


def test_one_more_file_is_one_more_claim(tmp_path, monkeypatch):
    copy(ROOT / "examples" / "own_claim.py", tmp_path / "own_claim.py")
    monkeypatch.setattr(experiments, "__path__", [*experiments.__path__, str(tmp_path)])
    found = catalogue.find()
    assert list(found) == sorted([*catalogue.CLAIMS, "enough"])
    monkeypatch.setitem(catalogue.CLAIMS, "enough", found["enough"])
    finding = reproduce(tmp_path, effort="quick", only="enough")["enough"]
    assert finding.judgement is Judgement.CONSISTENT
    assert finding.rule.startswith("Consistent where the whole 95 % interval")
    assert "samples N" in render(finding.pictures[0]).svg


def test_kinds_of_the_claims_are_known_to_the_package():
    """Named in pyproject.toml, they let `sterling study` read what `sterling reproduce` keeps."""
    with open(ROOT / "pyproject.toml", "rb") as file:
        named = tomllib.load(file)["project"]["entry-points"]["sterling.kinds"]
    own = {}
    for module in iter_modules(experiments.__path__):
        kind = getattr(import_module(f"{experiments.__name__}.{module.name}"), "KIND", None)
        if kind is not None and kind.name not in KINDS.built_in:
            own[kind.name] = f"{experiments.__name__}.{module.name}:KIND"
    assert named == {**own, "starts": "sterling.claims.starts:KIND"}
