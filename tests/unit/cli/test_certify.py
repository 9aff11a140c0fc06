"""`sterling certify`: what it prints, saves and refuses."""

import json

import pytest

import sterling as st
from tests.support import call

SMALL = ["certify", "--n", "6", "--samples", "400", "--noise", "0.5", "--seed", "0", "--quiet"]


def small():
    return st.certify(st.Problem(n=6, samples=400, noise=0.5).draw(0))


def test_json_is_what_python_gives():
    values = json.loads(call(*SMALL, "--json", "--check").stdout)
    assert values.pop("checked") is True
    assert values == small().to_dict()


def test_the_certificate_is_saved_and_proves_the_same(tmp_path):
    call(*SMALL, "--out", tmp_path / "proof.json")
    found = st.Certificate.load(tmp_path / "proof.json")
    assert found.verify(st.Problem(n=6, samples=400, noise=0.5).draw(0))


@pytest.mark.parametrize(
    ("arguments", "word"),
    [
        (["--n", "25"], "24"),
        (["--surrogate", "sigmoid"], "smooth"),
        (["--out", "proof.txt"], ".json"),
        (["--n", "12,8"], "12,8"),
    ],
)
def test_what_is_refused(arguments, word):
    assert word in call("certify", *arguments, code=2).stderr
