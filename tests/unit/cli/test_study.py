"""`sterling study`: the verbs, their JSON, their exit codes."""

import json
import re
import shutil

import polars as pl
import pytest

import tests.support
from sterling.study import Store, Study


def call(*arguments, code=0):
    return tests.support.call("study", *arguments, code=code)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    path = tmp_path_factory.mktemp("cli") / "small.toml"
    text = Study(n=[6, 12], samples=[8, 16, 32, 64], trials=25, steps=800).to_toml()
    path.write_text(text.removeprefix('name = "study"\n'))  # so its name is that of its file
    said = call("run", path, "--threads", 2).output
    assert "complete: 200 new trials" in said
    return path.with_suffix("")


def test_run_goes_on_and_has_json(folder):
    outcome = json.loads(call("run", folder, "--json", "-q").stdout)
    assert (outcome["reason"], outcome["new"], outcome["finished"]) == ("complete", 0, True)


def test_status(folder):
    said = call("status", folder).output
    assert re.match(r"study +small\ntrials done +200 of 200\nwidest interval +0\.\d+ from end to end", said)
    values = json.loads(call("status", folder, "--json").stdout)
    assert (values["done"], values["planned"], values["reached"], len(values["cells"])) == (200, 200, True, 8)


def test_fit(folder):
    said = call("fit", folder).output
    assert call("fit", folder.with_suffix(".toml")).output == said  # its file names the study as well
    assert re.match(r"N₅₀ = C n\^α +α = ", said)  # the answer comes first
    assert re.search(r"\nmean-field +α = ", said)
    (values,) = json.loads(call("fit", folder, "--json").stdout)
    assert values["fit"]["exponent_low"] < values["fit"]["exponent"] < values["fit"]["exponent_high"]
    assert "no trial succeeds" in call("fit", folder, "--criterion", "occupancy>=0.99999", code=1).output
    more = Store(folder.with_name("more"), Study(n=[6, 12], samples=[8, 16, 32, 64], trials=30, steps=800))
    shutil.copytree(folder / "trials", more.folder / "trials", dirs_exist_ok=True)
    assert "only 200 of 240 trials are done: continue" in call("fit", more.folder).output


def test_plot_and_export(folder, tmp_path):
    call("plot", folder, "-o", tmp_path / "p.png")
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    call("export", folder, "-o", tmp_path / "t.csv")
    assert len(pl.read_csv(tmp_path / "t.csv")) == len(Store(folder).trials())


@pytest.mark.parametrize(
    "arguments, code, words",
    [
        (("run", "none.toml"), 2, "there is no file none.toml"),
        (("run", "{folder}", "-o", "x"), 2, "another folder"),
        (("run", "{folder}", "--cluster", "here"), 2, "address of a cluster"),
        (("status", "nowhere"), 2, "nowhere holds no study.toml"),
        (("fit", "{folder}", "--criterion", "best"), 2, "criterion is"),
    ],
)
def test_wrong_usage_has_an_exit_code_and_a_reason(folder, arguments, code, words):
    said = call(*(str(one).format(folder=folder) for one in arguments), code=code).output
    assert words in said
