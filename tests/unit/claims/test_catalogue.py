"""A claim is one file: laid into the folder of experiments, it is found and measured."""

from shutil import copy

from sterling.claims import catalogue, experiments
from sterling.claims.finding import Judgement
from sterling.claims.reproduce import reproduce
from sterling.report.figures import render
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
    assert "share of runs absorbed at w* against samples N" in render(finding.pictures[0]).svg
