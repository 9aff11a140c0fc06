"""`sterling landscape`: what it prints and writes, what it refuses, how Ctrl-C ends it."""

import json
from contextlib import contextmanager

import numpy as np
import polars as pl
import pytest

import sterling as st
from tests.support import call, refused

SMALL = ["landscape", "--n", "8", "--samples", "12", "--seed", "3", "--quiet"]


def small():
    return st.landscape(st.Problem(n=8, samples=12).draw(3))


def test_json_is_what_python_gives():
    values = json.loads(call(*SMALL, "--json").stdout)
    expected = small().to_dict()
    assert values["estimated_deviation"] > values["deviation"] == expected["deviation"]
    for name in set(expected) - {"seconds"}:
        assert values[name] == expected[name], name


def test_options_reach_the_visit():
    options = "--n 6 --samples 1e2 --m 2 --noise 0.25 --readout 1,-0.5 --inputs uniform --seed 9"
    more = ["--normalize", "standard", "--surrogate", "identity", "--threads", "1", "--gaussian"]
    values = json.loads(call("landscape", *options.split(), *more, "--json", "--quiet").stdout)
    instance = st.Problem(6, 100, 2, 0.25, (1.0, -0.5), "uniform", "standard").draw(9)
    expected = st.landscape(instance, "identity", gaussian=True)
    assert values["instance"] == instance.to_dict()
    assert values["surrogate"] == "identity"
    assert values["deviation"] == expected.deviation is not None


def test_damping_reaches_the_visit():
    shown = call(*SMALL, "--noise", "0.5", "--damping", "0.6").stdout
    assert "surrogate relu · damping 0.6" in shown
    assert "At damping 0.6: " in shown
    values = json.loads(call(*SMALL, "--noise", "0.5", "--damping", "0.6", "--json").stdout)
    assert values["damping"] == 0.6


def test_the_table_says_it_in_words():
    found = small()
    assert not found.trap_free
    said = " ".join(call(*SMALL).stdout.split())
    for words in ("has traps", f"absorbing states {len(found.absorbing)}", f"{found.deviation:.3g}"):
        assert words in said
    assert "trap free" in call("landscape", "--n", "4", "--samples", "4000", "-q").stdout


def test_a_file_without_a_teacher(tmp_path):
    instance = st.Problem(n=6, samples=40).draw(0)
    path = tmp_path / "d.npz"
    np.savez(path, inputs=instance.inputs[:, 0], labels=instance.labels)
    values = json.loads(call("landscape", path, "--json", "-q").stdout)
    assert values["deviation"] is None is values["estimated_deviation"]
    assert values["lowest_loss"] == 0
    said = call("landscape", path, "-q").stdout
    assert "lowest minimiser" in said
    assert "unknown: the mean gradient needs a teacher" in said


def test_states_and_pictures_are_written_and_told_of(tmp_path):
    found = small()
    arguments = [argument for argument in SMALL if argument != "--quiet"]
    for name in ("s.csv", "s.parquet"):
        result = call(*arguments, "--out", tmp_path / name, "--plot", tmp_path / "p.svg")
        assert f"states saved: {tmp_path / name}" in result.stderr
        assert f"picture: {tmp_path / 'p.svg'}" in result.stderr
    assert (tmp_path / "p.svg").stat().st_size > 1000
    frame = pl.read_parquet(tmp_path / "s.parquet")
    assert frame.equals(found.table())
    assert pl.read_csv(tmp_path / "s.csv", schema=frame.schema).equals(frame)
    assert frame.columns == ["state", "loss", "distance", "absorbing"]
    np.testing.assert_array_equal(frame["loss"], found.loss)
    np.testing.assert_array_equal(np.flatnonzero(frame["absorbing"]), found.absorbing_states)
    signs = found.signs(77)
    assert frame["distance"][77] == int((signs != found.reference).sum())


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--n", "100_000", "--samples", "1e9"], "n may be at most 24"),
        (["--damping", "-1"], "--damping is -1"),
        (["--out", "states.npz"], "must end in .parquet or .csv"),
        (["missing.csv", "--noise", "3"], "--noise describes a drawn problem"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in refused("landscape", "--quiet", *arguments)
    assert not list(tmp_path.iterdir())


@contextmanager
def interrupting(progress, noun):
    """Stand in for `reporting`: Ctrl-C is pressed as soon as something is counted."""

    def press(_):
        raise KeyboardInterrupt

    yield press


def test_ctrl_c_ends_the_visit(monkeypatch, tmp_path):
    monkeypatch.setattr("sterling.landscapes.sweep.reporting", interrupting)
    result = call(*SMALL, "--out", tmp_path / "s.csv", code=130)
    assert result.stdout == ""
    assert result.stderr.startswith("interrupted")
    assert not list(tmp_path.iterdir())
