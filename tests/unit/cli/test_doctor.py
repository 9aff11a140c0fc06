"""`sterling doctor`: what it finds, and its exit code."""

import json

import pytest
from typer.testing import CliRunner

from sterling.cli import app, checks


@pytest.fixture(scope="module")
def report():
    result = CliRunner().invoke(app, ["doctor", "--json"])
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


def test_the_engines_agree(report):
    assert report["healthy"]
    assert len(report["self_test"]) == len(checks.CASES)
    assert all(test["equal"] for test in report["self_test"])
    assert any(test["flips"] > 1000 for test in report["self_test"])


def test_versions_machine_cache_and_speed_are_told(report):
    assert all(
        report["versions"][name] for name in ("sterling", "python", "numpy", "numba", "polars", "matplotlib")
    )
    assert report["machine"]["usable_cores"] >= 1
    assert report["kernels"]["folder"]
    assert report["speed"]["steps_per_second"] > 0


def test_extras_say_how_to_install_what_is_missing(report, monkeypatch):
    assert set(report["extras"]) == {"learn", "torch", "cluster"}
    monkeypatch.setattr(checks, "installed", lambda package: None if package == "torch" else "1.0")
    extras = checks.extras()
    assert extras["torch"] == {
        "packages": {"torch": None},
        "complete": False,
        "install": "pip install 'sterling[torch]'",
    }
    assert extras["cluster"]["complete"]


@pytest.mark.parametrize("equal, code, words", [(True, 0, "Healthy"), (False, 1, "The engines disagree")])
def test_a_failed_self_test_is_said_and_is_exit_code_1(report, monkeypatch, equal, code, words):
    report = {**report, "healthy": equal}
    report["self_test"] = [{"case": "label noise", "flips": 7, "verdict": "OPTIMAL", "equal": equal}]
    report["extras"] = {
        "torch": {"packages": {"torch": None}, "complete": False, "install": "pip install 'sterling[torch]'"}
    }
    monkeypatch.setattr(checks, "examine", lambda: report)
    for columns in ("40", "100"):
        result = CliRunner().invoke(app, ["doctor"], env={"COLUMNS": columns})
        assert result.exit_code == code
        assert words in " ".join(result.stdout.split())
        assert "missing" in result.stdout
        assert max(map(len, result.stdout.splitlines())) <= int(columns)
    assert "pip install 'sterling[torch]'" in result.stdout
