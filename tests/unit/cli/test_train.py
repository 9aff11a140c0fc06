"""`sterling train`: what it prints and writes, what it refuses, how it goes on from a checkpoint."""

import json
import os
import re
import sys
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import sterling as st
from sterling.dynamics.learned import outcome
from tests.support import call, refused

SMALL = ["train", "--n", "8", "--samples", "200", "--noise", "0.5", "--seed", "3", "--quiet"]


def small(**more):
    instance = st.Problem(n=8, samples=200, noise=0.5).draw(seed=3)
    return st.train(instance, **{"steps": 5000, "record": (), **more})


def alike(first, second):
    """Compare results apart from what depends on time and on pauses."""
    for result in (first, second):
        for cost in ("seconds", "states", "passes"):
            result["stats"].pop(cost)
    return first == second


def test_json_is_what_python_gives():
    result = call(*SMALL, "--steps", "5e3", "--json")
    assert alike(json.loads(result.stdout), small().to_dict())
    assert result.stderr == ""


@pytest.mark.parametrize(
    "options, arguments",
    [
        (["--schedule", "constant:0.1"], {"schedule": st.Constant(0.1)}),
        (["--surrogate", "identity", "--engine", "dense"], {"surrogate": "identity", "engine": "dense"}),
        (["--init", "5", "--threads", "1"], {"init": 5}),
        (["--init", "-0.1,0.2" + ",0.1" * 6], {"init": np.array([-1, 2, *[1] * 6]) / 10}),
    ],
)
def test_options_of_the_run_reach_it(options, arguments):
    result = call(*SMALL, "--steps", "1_000", "--json", *options)
    assert alike(json.loads(result.stdout), small(steps=1000, **arguments).to_dict())


def test_options_of_the_problem_reach_it():
    options = "--n 6 --samples 1e2 --m 2 --noise 0.25 --readout 1,-0.5 --inputs student_t:4 --seed 9"
    result = call("train", *options.split(), "--normalize", "standard", "--steps", "50", "--json", "--quiet")
    problem = st.Problem(6, 100, 2, 0.25, (1.0, -0.5), "student_t:4", "standard")
    assert json.loads(result.stdout)["instance"] == problem.draw(9).to_dict()


def test_levels_reach_the_data_and_the_run():
    options = ["--n", "12", "--samples", "100", "--noise", "0.5", "--levels", "3", "--steps", "50"]
    result = call("train", *options, "--json", "--quiet")
    instance = st.Problem(n=12, samples=100, noise=0.5, levels=3).draw(0)
    assert alike(json.loads(result.stdout), st.train(instance, 50, record=("recurrence",)).to_dict())
    assert "3 levels" in call("train", *options, "--quiet").stdout
    assert "two levels only" in refused("train", *options, "--restart", "20")


def test_a_data_file_and_its_options_reach_the_run(tmp_path):
    instance = st.Problem(n=3, samples=50).draw(seed=0)
    path = tmp_path / "d.npy"
    np.save(path, np.column_stack([instance.labels, instance.inputs[:, 0], np.ones(50)]))
    options = ["--labels", "0", "--keep-constant", "--quiet"]
    result = call("train", path, *options, "--readout", "1", "--steps", "50", "--json")  # not standardised
    expected = st.load_data(path, labels=0, constant="keep")
    assert json.loads(result.stdout)["instance"] == expected.to_dict()
    assert "has the same value" in refused("train", path, *options, "--normalize", "standard")


def test_a_data_file_without_options_is_standardised_and_takes_identity(tmp_path):
    """And says so; a value that is given counts, and so does a teacher in the file."""
    instance = st.Problem(n=3, samples=60, noise=0.5, inputs="shifted:2").draw(seed=1)
    inputs, labels = instance.inputs, instance.labels
    np.savez(tmp_path / "own.npz", inputs=inputs, labels=labels)
    np.savez(tmp_path / "drawn.npz", inputs=inputs, labels=labels, teacher=np.asarray(instance.teacher))

    def run(name, *options):
        result = call("train", tmp_path / name, *options, "--steps", "50", "--json")
        values = json.loads(result.stdout)
        return values["instance"]["origin"]["normalize"], values["surrogate"], result.stderr

    normalize, surrogate, note = run("own.npz")
    assert (normalize, surrogate) == ("standard", "identity")
    assert "--normalize standard --surrogate identity" in note
    assert run("own.npz", "--normalize", "none", "--surrogate", "relu") == (None, "relu", "")
    assert "identity" not in run("own.npz", "--surrogate", "hard_tanh")[2]
    assert run("drawn.npz") == (None, "relu", "")


def test_pictures_and_runs_are_written_and_told_of(tmp_path):
    result = call(*SMALL[:-1], "--steps", "500", "--plot", tmp_path / "p.svg", "--out", tmp_path / "run")
    assert (tmp_path / "p.svg").stat().st_size > 1000
    saved = st.Orbit.load(tmp_path / "run")
    assert np.array_equal(saved.flips, small(steps=500, record=("flips",)).flips)
    assert f"picture: {tmp_path / 'p.svg'}" in result.stderr
    assert f"run saved: {tmp_path / 'run'}" in result.stderr


def test_weights_and_predictions_on_ones_own_data(tmp_path, monkeypatch):
    """They carry the names of the columns and are what Python gives."""
    monkeypatch.chdir(tmp_path)
    drawn = st.Problem(n=3, samples=60, noise=0.5).draw(seed=1)
    values = drawn.inputs[:, 0]
    frame = pl.DataFrame({"size": values[:, 0], "US$": values[:, 1], "age": values[:, 2], "y": drawn.labels})
    frame.write_csv("own.csv")
    call("train", "own.csv", "--steps", "2e3", "--weights", "w.csv", "--predictions", "p.parquet")
    instance = st.load_data("own.csv", normalize="standard")
    orbit = st.train(instance, 2000, surrogate="identity")
    weights, answers = pl.read_csv("w.csv"), pl.read_parquet("p.parquet")
    assert weights["feature"].to_list() == ["size", "US$", "age"]
    assert weights["last"].to_list() == orbit.signs.tolist()
    assert weights["average"].to_list() == orbit.ergodic_signs.tolist()
    assert weights["best_state_seen"].to_list() == orbit.reference.tolist()
    np.testing.assert_allclose(weights["time_average"], orbit.ergodic_mean * 3**0.5)
    assert answers["label"].to_list() == instance.labels.tolist()
    assert answers["last"].to_list() == instance.predict(orbit.signs).tolist()
    assert answers["average"].to_list() == instance.predict(orbit.ergodic_signs).tolist()
    assert answers["best_state_seen"].to_list() == instance.predict(orbit.reference).tolist()
    assert "--weights is w.txt" in refused("train", "own.csv", "--weights", "w.txt")


@pytest.mark.parametrize("n, advice", [(6, "decode with the time average"), (30, "the best state seen")])
def test_the_advice_follows_what_fits(n, advice):
    """Which reading to take of one's own data is said by how many labels each has right."""
    table = pl.read_csv(Path(__file__).parents[3] / "examples/data/breast_cancer_wisconsin.csv")
    instance = st.Instance(table[:, :n], table["label"], normalize="standard")
    orbit = st.train(instance, 20_000)
    assert orbit.verdict is st.Verdict.RECURRENT
    meaning, rows = outcome(orbit, instance)
    right = [
        int(np.sum(instance.predict(signs) == instance.labels))
        for signs in (orbit.ergodic_signs, orbit.reference, orbit.signs)
    ]
    assert [text for name, text in rows if "right" in name] == [f"{count} of 569" for count in [*right, 357]]
    assert right.index(max(right)) == ["decode with the time average", "the best state seen"].index(advice)
    assert meaning.startswith(f"The best state seen was left and visited again: {advice}")
    poor = st.Problem(n=24, samples=200, noise=1.0).draw(0)  # where the time average is wrong too
    assert "1 wrong weight, so take more samples" in outcome(st.train(poor, 3000), poor)[0]


@pytest.mark.parametrize(
    "arguments, words",
    [
        (["--steps", "0"], "--steps is 0"),
        (["--noise", "nan"], "--noise is nan"),
        (["--optimizer", "sgd:damping=-1"], "--optimizer is 'sgd:damping=-1', where damping is -1.0"),
        (["--batch-seed", "1"], "--batch-seed needs --batch"),
        (["--batch-seed", "-1", "--batch", "4"], "--batch-seed is -1"),
        (["--plot", "run.gif"], "must end in .png, .svg or .pdf"),
        (["--labels", "y"], "--labels is for a data file"),
        (["missing.csv"], "there is no file missing.csv"),
        (["missing.csv", "--n", "3"], "--n describes a drawn problem"),
    ],
)
def test_wrong_input_is_one_line_and_exit_code_2(arguments, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert words in refused("train", *arguments)  # which allows no note before the error
    assert not list(tmp_path.iterdir())


def test_the_data_file_is_never_an_output(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "d.csv").write_text("a,b,label\n1,2,0\n2,1,1\n3,5,1\n")
    (tmp_path / "link").symlink_to("d.csv")
    before = (tmp_path / "d.csv").read_bytes()
    assert "the data file" in refused("train", "d.csv", "--quiet", "--out", "link")
    assert "--surrogate identity" in call("certify", "d.csv").stderr  # what train takes
    assert (tmp_path / "d.csv").read_bytes() == before


def test_a_target_that_can_be_no_file_is_refused_before_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(st.Problem, "draw", lambda *args: pytest.fail("work began"))
    os.mkfifo(tmp_path / "pipe.png")
    for path, words in ((tmp_path / "pipe.png", "a pipe"), ("/proc/none.png", "can be made in /proc")):
        assert words in refused(*SMALL, "--plot", path)


def test_a_finished_checkpoint_is_reported_and_extended(tmp_path):
    path = tmp_path / "run.orbit"
    call(*SMALL, "--steps", "3000", "--checkpoint", path)
    first = path.read_bytes()
    again = call(*SMALL[:-1], "--steps", "3000", "--checkpoint", path, "--json")
    assert "has all 3,000 steps already" in again.stderr
    assert path.read_bytes() == first
    further = call(*SMALL[:-1], "--steps", "5000", "--checkpoint", path, "--json")
    assert f"continuing from {path}, step 3,000" in further.stderr
    assert alike(json.loads(further.stdout), small().to_dict())


@pytest.mark.parametrize(
    "options, words",
    [
        (["--schedule", "constant:0.1"], "schedule power:0.5,0.5"),
        (["--seed", "4"], "belongs to another instance (n=8, m=1, 200 samples)"),
        (["--init", "1"], "another --init"),
        (["--steps", "1000"], "has 3,000 steps already, more than the 1,000"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused_and_kept(options, words, tmp_path):
    path = tmp_path / "run.orbit"
    call(*SMALL, "--steps", "3000", "--checkpoint", path)
    first = path.read_bytes()
    assert words in refused(*SMALL, "--steps", "3000", "--checkpoint", path, *options)
    assert path.read_bytes() == first


DAMPED = ["train", "--n", "16", "--samples", "300", "--noise", "0.5", "--steps", "600"]


def test_optimizer_and_batch_reach_the_run_and_its_checkpoint(tmp_path):
    """The run is that of Python, in one part or in two; a checkpoint of other options is another run."""
    file = tmp_path / "run.orbit"
    options = ["--optimizer", "sgd:damping=0.5", "--batch", "32,replace", "--batch-seed", "3"]
    keep = [*DAMPED, "--quiet", "--checkpoint", file]
    call(*keep, *options, "--steps", "250")
    result = json.loads(call(*keep, *options, "--json").stdout)
    instance = st.Problem(n=16, samples=300, noise=0.5).draw(0)
    orbit = st.train(instance, 600, optimizer=st.SGD(damping=0.5), batch=st.Batch(32, replace=True), seed=3)
    assert alike(result, orbit.to_dict())
    assert "optimizer sgd:damping=0.5" in refused(*keep)
    full = call(*DAMPED, "--batch", "300", columns=60)
    assert "every step uses all of them" in full.stderr
    assert max(map(len, full.stdout.splitlines())) <= 60


@pytest.mark.parametrize("batch, memory", [([], 30), (["--batch", "32"], 100)])
def test_a_damped_run_says_its_step_size(batch, memory):
    """1/(30 θS), or 1/(100 θS) with batches; the note is a command that gives the same run."""
    options = [*DAMPED, "--optimizer", "sgd:damping=0.5", *batch, "--json"]
    result = call(*options)
    said = re.search(r"so its step size is 1/\((\d+) θS\), as --schedule (constant:\S+) gives", result.stderr)
    assert said is not None
    assert int(said[1]) == memory
    again = call(*options, "--schedule", said[2])
    assert "so its step size" not in again.stderr
    assert alike(json.loads(again.stdout), json.loads(result.stdout))


@pytest.mark.skipif(sys.platform in ("win32", "darwin"), reason="file systems that take UTF-8 names only")
def test_a_name_that_is_no_utf8(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    name = os.fsdecode(b"bad\xfc")
    Path(f"{name}.csv").write_text("a,b,label\n1,0,1\n0,1,0\n1,1,1\n0,0,0\n")
    call("train", f"{name}.csv", "--steps", "10", "--out", name, "--json", "-q")
    assert Path(name).exists()
    assert "bad\\xfc.txt" in refused("train", f"{name}.txt", "-q")
