"""`sterling doctor`: what it finds, and its exit code."""

import json

import pytest
from typer.testing import CliRunner

from sterling.cli import doctor_findings
from sterling.cli.verbs import app
from sterling.exact import jit


@pytest.fixture(scope="module")
def report():
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_engines_agree(report):
    assert report["healthy"]
    assert len(report["self_test"]) == len(doctor_findings.CASES)
    assert all(test["equal"] for test in report["self_test"])
    assert any(test["flips"] > 1000 for test in report["self_test"])


def test_a_damaged_kernel_is_dropped_and_made_anew(monkeypatch, tmp_path):
    if jit.INTERPRETED:
        pytest.skip("nothing is compiled")
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert doctor_findings.kernels()["not_writable"] is None
    folder = jit.cache_folder()
    assert folder is not None
    (folder / "a.nbc").write_bytes(b"whole")
    (folder / "b.nbc").write_bytes(b"cut")
    (folder / "sound").mkdir()
    (folder / "sound" / jit._digest(folder / "a.nbc")).touch()
    found = doctor_findings.kernels()
    assert (found["damaged"], found["files"], found["not_writable"]) == (1, 1, None)
    assert [file.name for file in jit.kept_kernels()] == ["a.nbc"]
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(folder / "a.nbc"))
    assert "a.nbc" in doctor_findings.kernels()["not_writable"]


def test_a_failed_self_test_is_exit_code_1(report, monkeypatch):
    report = {**report, "healthy": False}
    report["self_test"] = [{"case": "label noise", "flips": 7, "verdict": "OPTIMAL", "equal": False}]
    monkeypatch.setattr(doctor_findings, "examine", lambda: report)
    assert CliRunner().invoke(app, ["doctor"]).exit_code == 1
