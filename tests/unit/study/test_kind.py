"""Kinds of trials: what each measures, what is asked of a kind, and a kind of the user's own."""

from dataclasses import dataclass

import numpy as np
import polars as pl
import pytest

import sterling as st
from sterling.base.registry import register
from sterling.study import (
    COUNT,
    FLAG,
    REAL,
    SHARE,
    Cancelled,
    Cell,
    Column,
    Kind,
    Store,
    Study,
    replay,
    run,
    words,
)
from sterling.study.spec import arguments
from sterling.study.train_kind import run_orbit
from sterling.study.trial import TrialBatch, run_batch, run_trial, trial_seeds
from sterling.surrogates import get_surrogate

LANDSCAPES = Study(n=[5, 6], samples=[4, 8, 30], trials=12, kind="landscape", seed=2)


def test_a_landscape_trial_says_what_the_landscape_of_its_data_says():
    answers = set()
    for cell in LANDSCAPES.cells:
        for number in range(3):
            row = run_trial(cell, number, 2)
            found = st.landscape(cell.problem.draw(trial_seeds(2, cell, number).data))
            assert row["trap_free"] == found.trap_free
            assert row["deviation"] == found.deviation
            assert row["absorbing"] == len(found.absorbing_states)
            assert row["lowest_loss"] == found.loss.min()
            answers.add(row["trap_free"])
    assert answers == {True, False}


def test_lists_are_stored_and_exported(registries, tmp_path):
    def three(cell, seeds, look):
        return {"list": np.arange(3), "word": ["a", "b"]}

    register(Kind("three", three, {"list": COUNT.list(), "word": words("a", "b").list()}))
    run(Study(n=6, samples=50, trials=3, kind="three"), tmp_path / "s")
    trials = Store(tmp_path / "s").trials(["trial", "list"])
    assert trials.explode("list").height == 3 * 3
    text = pl.read_csv(Store(tmp_path / "s").export(tmp_path / "t.csv"))
    assert text["list"].to_list() == ["0 1 2"] * 3
    assert text["word"].to_list() == ["a b"] * 3


@pytest.mark.parametrize("kind, settings", [("landscape", {}), ("train", {"steps": 10**11})])
def test_a_trial_is_given_up_on_request(kind, settings):
    asked = []

    def stop():
        asked.append(1)
        return len(asked) > 2

    cell = Cell(kind, st.Problem(n=20, samples=100, noise=1.0), settings)
    with pytest.raises(Cancelled):
        run_trial(cell, 0, 0, stop)
    assert run_batch(0, stop, TrialBatch(cell, np.arange(2))) == ([], {})


@pytest.mark.parametrize(
    "arguments, part",
    [
        ({"kind": "landscpe"}, "Did you mean 'landscape'"),
        ({"kind": "landscape", "n": 25}, "n may be at most 24"),
        ({"kind": "landscape", "steps": 100}, "setting of the kind 'landscape' is 'steps'"),
        ({"stpes": 100}, "did you mean 'steps'"),
    ],
)
def test_what_a_kind_cannot_do_is_refused(arguments, part):
    with pytest.raises(st.InputError, match=part):
        Study(**{"n": 6, "samples": 8, **arguments})


def mean_label(cell, seeds, look):
    look()
    labels = cell.problem.draw(seeds.data).labels
    yield {"mean": float(labels.mean()), "draws": seeds.rest % cell.settings["sides"], "word": None}


@pytest.fixture
def own(registries):
    columns = {"mean": REAL, "draws": COUNT, "word": Column("String", optional=True)}
    kind = Kind("label_mean", mean_label, columns, settings={"sides": 6})
    register(kind)
    return kind


def test_a_kind_of_the_users_own(own, tmp_path):
    study = Study(n=4, samples=[8, 16], kind="label_mean", sides=[6, 20], trials=5, criteria="mean>=0.5")
    assert len(study.cells) == 4
    assert Study(**arguments(study.to_toml())) == study
    assert run(study, tmp_path / "s", threads=2).new == 20
    store = Store(tmp_path / "s")
    rows = store.trials()
    assert rows["draws"].max() > 6
    assert rows.filter(sides=6)["mean"].sort().equals(rows.filter(sides=20)["mean"].sort())  # the same data
    assert store.counts()["successes"].sum() == (rows["mean"] >= 0.5).sum()
    row = rows.row(0, named=True)
    assert replay(tmp_path / "s", f"{row['cell']}-{row['trial']}")["mean"] == row["mean"]


def test_another_version_of_a_kind_is_another_kind(own, tmp_path):
    study = Study(n=4, samples=8, kind="label_mean", trials=2)
    run(study, tmp_path / "s")
    register(Kind("label_mean", mean_label, own.columns, version=2, settings=own.settings))
    with pytest.warns(st.SterlingWarning, match="version is '1'"):
        assert run(Study(**arguments(study.to_toml())), tmp_path / "s").new == 2


def window(cell, seeds, look):
    return {"width": float(np.ptp(get_surrogate(cell.settings["surrogate"]).window))}


def test_surrogates_of_the_users_own_are_a_part_of_the_cell(registries, tmp_path, processes):
    register(Kind("window", window, {"width": REAL}, settings={"surrogate": "hard_tanh"}))
    register(st.Surrogate("wide", window=(-2, 2)))
    study = Study(n=6, samples=30, kind="window", surrogate=["hard_tanh", "wide"], trials=4)
    assert run(study, tmp_path / "s", executor=processes).new == 8
    assert sorted(Store(tmp_path / "s").trials()["width"]) == [2.0] * 4 + [4.0] * 4
    relu, wide = study.cells
    assert "surrogate" not in relu.to_dict()
    assert wide.to_dict()["surrogate"]["window"] == [-2.0, 2.0]
    assert len(Store(tmp_path / "s").trials()) == 8
    register(st.Surrogate("wide", window=(-3, 3)))
    with pytest.warns(st.SterlingWarning, match="another definition"):
        assert Store(tmp_path / "s").trials().filter(surrogate="wide").is_empty()
    with pytest.raises(st.InputError, match="is not registered"):
        Study(n=6, samples=30, surrogate=st.Surrogate("other", window=(-3, 3)))


@pytest.mark.parametrize(
    "arguments, part",
    [
        (("Own", mean_label, {}), "lower-case"),
        (("own", mean_label, {"n": REAL}), "another name"),
        (("own", mean_label, {"a": "Decimal"}), "a Column"),
        (("own", mean_label, {"a": REAL}, 0), "version"),
        (("own", 5, {"a": REAL}), "run"),
        (("own", mean_label, {"a": REAL}, 1, {}, {"a": 5}), "criterion"),
    ],
)
def test_a_kind_that_cannot_be_is_refused(arguments, part):
    with pytest.raises(st.InputError, match=part):
        Kind(*arguments)


def test_an_optimizer_a_batch_and_a_restart_are_values_or_texts():
    restarts = Study(n=4, samples=8, restart=[None, 300, "400", st.Restart(500, 0.1)])
    assert restarts.settings["restart"] == ("none", "300,0.05", "400,0.05", "500,0.1")
    study = Study(
        n=4, samples=8, optimizer=["sgd", st.SGD(damping=0.5), "adam"], batch=[None, 4, "9,replace"]
    )
    assert study.settings["optimizer"] == ("sgd", "sgd:damping=0.5", "adam")
    assert study.settings["batch"] == ("none", "4", "9,replace")
    assert Study(**arguments(study.to_toml())) == study
    for wrong, part in (
        ({"optimizer": "nadam"}, "nadam"),
        ({"batch": "0"}, "batch"),
        ({"optimizer": "adam", "restart": 300}, "restart"),
        ({"optimizer": "bop"}, "step sizes"),  # takes the schedule "auto" alone
    ):
        with pytest.raises(st.InputError, match=part):
            Study(n=4, samples=8, **wrong)
    assert len(Study(n=4, samples=8, optimizer="bop", schedule="auto").cells) == 1


def test_the_default_optimizer_and_batch_leave_a_cell_as_it_was():
    problem = st.Problem(n=8, samples=50)
    plain = Cell("train", problem)
    assert plain.text == Cell("train", problem, {"optimizer": st.SGD(), "batch": None}).text
    assert set(plain.to_dict()["settings"]) == {"schedule", "surrogate", "steps", "restart"}
    assert plain.settings["optimizer"] == Cell.from_dict(plain.to_dict()).settings["optimizer"] == "sgd"
    assert "optimizer" not in Study(n=8, samples=50).to_toml()
    other = Cell("train", problem, {"batch": 8})
    assert other.key != plain.key
    assert Cell.from_dict(other.to_dict()) == other


def test_a_damped_landscape_is_another_cell():
    problem = st.Problem(n=8, samples=50)
    plain = Cell("landscape", problem)
    assert plain.key == Cell("landscape", problem, {"damping": 0}).key == "47c9af40d978821aac13a25f"
    damped = Cell("landscape", problem, {"damping": 0.5})
    row = run_trial(damped, 0, 0)
    found = st.landscape(problem.draw(trial_seeds(0, damped, 0).data), damping=0.5)
    assert row["absorbing"] == found.absorbing_states.size
    with pytest.raises(st.InputError, match="damping"):
        Cell("landscape", problem, {"damping": -1})


def test_a_users_optimizer_is_part_of_the_cell(registries):
    """Its definition belongs to the cell, and another process gets its class."""

    def half(size):
        @register
        @dataclass(frozen=True)
        class Half(st.Optimizer):
            name = "half"
            share: float = size

            def step(self, latent, gradient, signs, rate, state):
                return latent - self.share * rate * gradient

        return Half

    half(0.5)
    cell = Cell("train", st.Problem(n=4, samples=20), {"optimizer": "half", "steps": 50})
    values = cell.to_dict()
    assert values["optimizer"] == {"name": "half", "share": 0.5}
    assert Cell.from_dict(values) == cell
    assert run_trial(cell, 0, 0)["certified"] is False
    other = half(0.25)
    assert isinstance(cell.own["optimizer"], other)
    with pytest.raises(st.InputError, match="optimizer of a cell has another definition"):
        Cell.from_dict(values)


def test_batches_take_the_seed_of_their_trial():
    cell = Cell("train", st.Problem(n=8, samples=50, noise=0.5), {"batch": 8, "steps": 300})
    seeds = trial_seeds(0, cell, 2)
    orbit = run_orbit(cell, seeds)
    given = {"batch": 8, "init": seeds.data, "schedule": st.Power(0.5, 0.5)}
    alone = st.train(cell.problem.draw(seeds.data), 300, seed=seeds.rest, **given)
    assert (orbit.latent == alone.latent).all()
    assert (orbit.latent != run_orbit(cell, trial_seeds(1, cell, 2)).latent).any()


POSSIBLE = {
    REAL: (
        [1.5, 2, np.float32(1), np.int64(3)],
        [None, "x", True, float("nan"), float("inf"), [1.0], 10**400],
    ),
    COUNT: ([0, np.int64(5)], [-1, 1.0, 2**63, True]),
    SHARE.maybe(): ([None, 0, 1.0], [1.1, -0.1]),
    FLAG: ([True, np.bool_(False)], [0, None]),
    words("a", "b"): (["a"], ["c", 1]),
    Column("String"): (["any"], [1]),
    COUNT.list(): ([[], [1, 2], np.arange(3), (1,)], [None, 3, [1, -1], [None]]),
    REAL.list().maybe(): ([None, [1.0, None]], [[float("nan")]]),
}


@pytest.mark.parametrize("column", POSSIBLE, ids=repr)
def test_what_the_store_can_keep_is_let_through_and_all_else_is_not(column, registries, tmp_path):
    good, bad = POSSIBLE[column]
    values = [*good, *bad]
    given = lambda cell, seeds, look: {"value": values[cell.settings["at"]]}  # noqa: E731
    register(Kind("given", given, {"value": column}, settings={"at": 0}))
    outcome = run(Study(n=4, samples=8, kind="given", trials=1, at=list(range(len(values)))), tmp_path / "s")
    assert outcome.new == len(good)
    assert sorted(Store(tmp_path / "s").trials(["at"])["at"]) == list(range(len(good)))


def test_a_kind_that_gives_other_columns_is_told(own, tmp_path):
    register(Kind("label_mean", mean_label, {"mean": REAL}, settings={"sides": 6}))
    with pytest.raises(st.SterlingError, match="one row with mean"):
        run(Study(n=4, samples=8, kind="label_mean", trials=2), tmp_path / "s")
