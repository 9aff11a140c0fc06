"""`sterling plan`: the table, its labels, its JSON, what it refuses."""

import json

import pytest

import sterling as st
from sterling.plans.needs import Check, Need, Plan
from sterling.theory import KINDS
from tests.support import call, refused


@pytest.fixture
def asked(monkeypatch):
    """What reaches `plan`, which is tested elsewhere; here its answer has one measured row."""
    given = {}
    check = Check(samples=80, trials=4, steps=500, successes=3, undecided=0, low=0.3, high=0.95)

    def fake(problem, **settings):
        given.update(settings, problem=problem)
        needs = (
            Need("the average", 64.0, "mean-field", "ergodic", 0.5, 0.5, 500, False, "here", check=check),
            Need("the end", 64.0, "mean-field", "optimal", 0.5, 0.5, 500, True, "here"),
            Need("visits", 64.0, "theorem", "", None, 0.5, None, True, "the paper"),
        )
        return Plan(problem, settings["surrogate"], needs)

    monkeypatch.setattr("sterling.plans.plan.plan", fake)
    return given


def test_options_reach_the_plan_and_its_json_is_printed(asked):
    options = "--n 9 --m 2 --noise 0.5 --readout 1,-1 --surrogate identity --occupancy 0.7 --confidence 0.8"
    further = "--check 3 --steps 1e3 --seed 4 --threads 1 --schedule constant:0.1 --json -q"
    result = call("plan", *options.split(), *further.split())
    assert asked.pop("problem") == st.Problem(9, 1, 2, 0.5, (1.0, -1.0))
    expected = {"surrogate": "identity", "occupancy": 0.7, "confidence": 0.8, "check": 3, "steps": 1000}
    expected |= {"schedule": st.Constant(0.1), "seed": 4, "threads": 1, "progress": False}
    assert asked == expected
    assert len(json.loads(result.stdout)["needs"]) == 3


def test_the_table_tells_theorems_from_estimates_and_measurements(asked):
    said = call("plan", "--n", 8, "--noise", 0.5, "--check", 4, "-q", columns=160).stdout
    for kind in ("theorem", "mean-field"):
        assert f"{kind}: {KINDS[kind]}" in said
    assert "of 4 trials at N = 80, 500 steps" in said
    assert "the first two rows are equal" in said
    assert said.count("not checked here") == 2  # a row, and what it means
    assert "--check 50 measures" in call("plan", "--n", 8, columns=160).stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--n", "0"], "n is 0"),
        (["--occupancy", "1.5"], "occupancy is 1.5"),
        (["--seed", "10"], "--seed needs --check"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments, words):
    assert words in refused("plan", "--quiet", *arguments)
