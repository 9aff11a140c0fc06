"""`sterling landscape`: what it prints and writes, what it refuses."""

import json

import pytest

import sterling as st
from tests.support import call, refused

SMALL = ["landscape", "--n", "8", "--samples", "12", "--seed", "3", "--quiet"]


def small():
    return st.landscape(st.Problem(n=8, samples=12).draw(3))


def test_json_is_what_python_gives():
    values = json.loads(call(*SMALL, "--json").stdout)
    expected = small().to_dict()
    for name in expected:
        assert values[name] == expected[name], name


def test_a_picture_is_written_and_told_of(tmp_path):
    result = call(*SMALL[:-1], "--plot", tmp_path / "p.svg")
    assert f"picture: {tmp_path / 'p.svg'}" in result.stderr
    assert (tmp_path / "p.svg").stat().st_size > 1000


@pytest.mark.parametrize(
    "arguments, words", [(["--n", "25"], "n may be at most 24"), (["--damping", "-1"], "--damping is -1")]
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in refused("landscape", "--quiet", *arguments)
    assert not list(tmp_path.iterdir())
