"""`sterling plan`: the table, its labels, its JSON, what it refuses."""

import json

import pytest

import sterling as st
from sterling.theory import KINDS
from tests.support import call, refused


def test_json_is_what_python_gives():
    options = "--n 9 --m 2 --noise 0.5 --readout 1,-1 --surrogate identity --occupancy 0.7 --confidence 0.8"
    result = call(
        "plan", *options.split(), "--check", 3, "--steps", "1e3", "--seed", 4, "--threads", 1, "--json", "-q"
    )
    expected = st.plan(
        st.Problem(9, 1, 2, 0.5, (1.0, -1.0)),
        surrogate="identity",
        occupancy=0.7,
        confidence=0.8,
        check=3,
        steps=1000,
        seed=4,
    )
    assert json.loads(result.stdout) == json.loads(json.dumps(expected.to_dict()))
    assert result.stderr == ""


def test_the_table_tells_theorems_from_estimates_and_measurements():
    said = call("plan", "--n", 8, "--noise", 0.5, "--check", 4, "--steps", 500, "-q", columns=160).stdout
    for kind in ("theorem", "mean-field"):
        assert f"{kind}: {KINDS[kind]}" in said
    assert said.count("of 4 trials at N = ") == 3
    assert said.count("not checked here") == 4  # three rows, and what it means
    plain = call("plan", "--n", 8, "--noise", 0.5, columns=160)
    assert "measured" not in plain.stdout
    assert "--check 50 measures" in plain.stderr


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--n", "0"], "n is 0"),
        (["--check", "-1"], "check is -1"),
        (["--occupancy", "1.5"], "occupancy is 1.5"),
        (["--surrogate", "rleu"], "'relu'"),
        (["--check", "5", "--steps", "0"], "steps is 0"),
        (["--check", "5", "--schedule", "constant:-1"], "rate is -1"),
        (["--seed", "10"], "--seed needs --check"),
        (["--threads", "2"], "--threads needs --check"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments, words):
    assert words in refused("plan", "--quiet", *arguments)
