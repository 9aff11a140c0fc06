"""Measuring the claims on tiny budgets: findings, reuse, breaks, damaged files, independence of threads."""

import math
import os
import re
import signal
import threading
from dataclasses import replace

import pytest
from matplotlib.figure import Figure
from polars.testing import assert_frame_equal

import sterling as st
from sterling.claims.catalogue import CLAIMS
from sterling.claims.context import Context, Stopped, cell_seed, seeds
from sterling.claims.efforts import (
    EFFORTS,
    QUICK,
    Concentration,
    Effort,
    Inputs,
    Population,
    Rates,
    Recurrence,
    Scaling,
    StepSizes,
    Surrogates,
)
from sterling.claims.finding import Finding, Judgement
from sterling.claims.reproduce import Reproduction, reproduce
from sterling.report.described import described

TINY = Effort(
    name="tiny",
    noiseless=Scaling(n=(4, 8), width=1.0, steps=(300,), max_trials=2_000),
    noisy=Scaling(n=(4, 6), width=3.0, steps=(500,), max_trials=1_000, noise=0.5),
    recurrence=Recurrence(places=((8, 200),), steps=20_000, instances=3),
    step_sizes=StepSizes(
        n=8,
        factors=(0.3, 0.6, 1.0, 2.0),
        rates=(0.1, 1.0),
        exponents=(0.0, 0.5),
        trials=12,
        steps=2_000,
        landscape_n=6,
        landscapes=2,
        starts=2,
    ),
    inputs=Inputs(n=8, factors=(4.0,), trials=6, steps=1_000, families=("gaussian", "shifted:1")),
    population=Population(n=8, m=2, samples=500, instances=3, distances=2, surrogates=("relu", "sigmoid")),
    rates=Rates(n=8, factor=4.0, trials=6, steps=10**5, failing_steps=1_000),
    concentration=Concentration(n=(4, 5), samples=(50, 200), few=(10,), instances=2),
    surrogates=Surrogates(
        n=8,
        samples=(200,),
        instances=3,
        smooth_instances=2,
        steps=500,
        surrogates=("relu", "identity"),
        smooth=("sigmoid",),
    ),
)

CELL_BASED = ("P3", "population", "concentration", "surrogates")


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims")
    seen = []
    result = reproduce(folder, effort=TINY, threads=1, on_finding=seen.append)
    return folder, result, seen


def test_every_claim_has_a_finding_in_order(done):
    _, result, seen = done
    assert [finding.key for finding in result.findings] == list(CLAIMS)
    assert [len(one.findings) for one in seen] == list(range(1, len(CLAIMS) + 1))
    assert not result.interrupted
    assert (result.effort, result.seed, result.version) == ("tiny", 2026, st.__version__)
    assert result.machine["cores"] >= 1
    assert result["P3"].title == CLAIMS["P3"].title
    with pytest.raises(KeyError):
        result["P9"]


def test_findings_can_be_shown(done):
    _, result, _ = done
    names = []
    for finding in result.findings:
        assert isinstance(finding.judgement, Judgement)
        assert finding.headline is not None
        assert finding.tables
        assert "not decided otherwise" in finding.rule
        for text in (finding.statement, finding.experiment, finding.reason, *finding.notes):
            assert text.endswith((".", "!"))
            assert "nan" not in text
            assert not set("{}") & set(text)  # a sentence in which a number was to stand
            assert not re.search(r"(?<![\w.])-\d", text)  # a minus is a minus, as in tables
        for picture in finding.pictures:
            names.append(picture.name)
            figure = Figure()
            reading = picture.draw(figure.add_subplot())
            assert reading.endswith(".")
            figure.canvas.draw()
            assert len(described(figure)) > 40
    assert len(set(names)) == len(names) >= len(CLAIMS)
    assert all(set(name) <= set("abcdefghijklmnopqrstuvwxyz0123456789-") for name in names)


def test_tables_of_different_claims_do_not_share_names(done):
    _, result, _ = done
    names = [name for finding in result.findings for name in finding.tables]
    assert len(set(names)) == len(names)


def test_a_second_call_runs_nothing_and_finds_the_same(done, monkeypatch):
    folder, result, _ = done

    def refuse(*_arguments, **_named):
        raise AssertionError("a trial was run again")

    for place in ("sterling.study.trial.run_trial", "sterling.dynamics.train.Run.go"):
        monkeypatch.setattr(place, refuse)
    monkeypatch.setattr("sterling.states.landscape.sweep", refuse)
    monkeypatch.setattr("sterling.study.executors.warm_up", lambda _: None)
    monkeypatch.setattr("sterling.study.trial.warm_up", lambda _: None)
    again = reproduce(folder, effort=TINY, threads=2)
    for one, other in zip(result.findings, again.findings, strict=True):
        same(one, other)


def same(one: Finding, other: Finding, seconds: bool = True):
    """Assert that two findings agree in all but the time that they took."""
    assert one.measured == other.measured or repr(one.measured) == repr(other.measured)
    assert (one.key, one.judgement, one.reason, one.notes) == (
        other.key,
        other.judgement,
        other.reason,
        other.notes,
    )
    assert one.experiment == other.experiment
    for name, table in one.tables.items():
        left, right = (
            frame.select(c for c in frame.columns if c != "seconds" or seconds)
            for frame in (table, other.tables[name])
        )
        assert_frame_equal(left, right, check_row_order="trial" not in table.columns)


@pytest.mark.parametrize("key", ["P4", *CELL_BASED])
def test_threads_change_no_number(done, key, tmp_path):
    _, result, _ = done
    other = reproduce(tmp_path, effort=TINY, threads=2, only=[key])
    same(result[key], other[key], seconds=False)


def test_another_seed_gives_other_data(done, tmp_path):
    _, result, _ = done
    other = reproduce(tmp_path, effort=TINY, only="concentration", seed=1)
    assert other["concentration"].headline != result["concentration"].headline


def test_a_stopped_reproduction_keeps_what_it_has_and_goes_on(done, tmp_path):
    _, result, _ = done
    asked = []

    def stop():
        asked.append(1)
        return len(asked) > 12

    first = reproduce(tmp_path, effort=TINY, threads=1, only=["population", "concentration"], stop=stop)
    assert first.interrupted
    assert len(first.findings) < 2
    kept = len(list((tmp_path / "data").rglob("*.parquet")))
    second = reproduce(tmp_path, effort=TINY, threads=1, only=["population", "concentration"])
    assert not second.interrupted
    assert len(list((tmp_path / "data").rglob("*.parquet"))) > kept
    for finding in second.findings:
        same(result[finding.key], finding)


def test_a_stopped_study_goes_on(done, tmp_path):
    _, result, _ = done
    asked = []

    def stop():
        asked.append(1)
        return len(asked) > 4

    first = reproduce(tmp_path, effort=TINY, threads=1, only=["P5"], stop=stop)
    assert first.interrupted
    assert first.findings == ()
    same(result["P5"], reproduce(tmp_path, effort=TINY, threads=1, only=["P5"])["P5"], seconds=False)


def test_ctrl_c_ends_it_with_what_there_is(tmp_path):
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread only")
    steps = []

    def press(step):
        steps.append(step)
        if step.key == "population" and step.done == 1:
            os.kill(os.getpid(), signal.SIGINT)

    result = reproduce(tmp_path, effort=TINY, threads=1, only=["P3", "population"], progress=press)
    assert result.interrupted
    assert [finding.key for finding in result.findings] == ["P3"]
    assert all(0 <= step.share <= 1 for step in steps)
    assert (steps[-1].position, steps[-1].count) == (2, 2)


def test_a_damaged_file_is_computed_again_with_a_note(tmp_path):
    first = reproduce(tmp_path, effort=TINY, threads=1, only=["concentration"])["concentration"]
    paths = sorted((tmp_path / "data" / "concentration").glob("*.parquet"))
    paths[0].write_bytes(paths[0].read_bytes()[:-40])
    paths[1].write_bytes(b"")
    again = reproduce(tmp_path, effort=TINY, threads=1, only=["concentration"])["concentration"]
    assert again.measured == first.measured
    assert sum("damaged" in note for note in again.notes) == 2
    third = reproduce(tmp_path, effort=TINY, threads=1, only=["concentration"])["concentration"]
    assert third.notes == first.notes
    assert sorted((tmp_path / "data" / "concentration").glob("*.parquet")) == paths


def test_a_study_that_lost_trials_is_filled_again(done, tmp_path):
    _, result, _ = done
    reproduce(tmp_path, effort=TINY, threads=1, only=["P5"])
    shards = sorted((tmp_path / "data" / "inputs").rglob("train-*.parquet"))
    assert shards
    for shard in shards:
        shard.write_bytes(shard.read_bytes()[:100])
    again = reproduce(tmp_path, effort=TINY, threads=1, only=["P5"])["P5"]
    assert again.measured == result["P5"].measured
    assert any("damaged or cut off" in note for note in again.notes)


def test_a_time_limit_without_a_trial_decides_nothing(tmp_path):
    effort = replace(TINY, inputs=replace(TINY.inputs, limit=1e-9))
    finding = reproduce(tmp_path, effort=effort, threads=1, only=["P5"])["P5"]
    assert finding.judgement is Judgement.NOT_DECIDED
    assert "time limit" in finding.reason
    assert any("time limit" in note for note in finding.notes)


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"effort": "fast"}, "quick, default, full"),
        ({"only": ["P7"]}, "no claim 'P7'"),
        ({"only": []}, "only is empty"),
        ({"threads": 0}, "threads is 0"),
        ({"seed": -1}, "seed is -1"),
    ],
)
def test_wrong_arguments_are_refused(arguments, words, tmp_path):
    with pytest.raises(st.InputError, match=words):
        reproduce(tmp_path, **arguments)


def test_a_folder_that_cannot_be_made_is_told(tmp_path):
    (tmp_path / "data").write_text("in the way")
    with pytest.raises(st.StoreError, match="cannot make the folder"):
        reproduce(tmp_path, effort=TINY, only=["concentration"])


def test_seeds_come_from_content_alone():
    assert cell_seed(1, {"n": 4, "m": 1}) == cell_seed(1, {"m": 1, "n": 4})
    assert len({cell_seed(1, {"n": 4}), cell_seed(2, {"n": 4}), cell_seed(1, {"n": 5})}) == 3
    assert seeds(7, 5)[:3] == seeds(7, 3)
    assert len(set(seeds(7, 50))) == 50


def test_rows_keep_the_order_of_their_cells_and_stop(tmp_path):
    context = Context(tmp_path, TINY, threads=2)
    cells = [{"place": place, "list": [1, 2]} for place in range(9)]
    frame = context.rows("x", cells, lambda cell, seed: [{"seed": seed, "k": k} for k in range(2)])
    assert frame["place"].to_list() == [place for place in range(9) for _ in range(2)]
    assert frame.columns == ["place", "seed", "k"]
    assert frame["seed"].n_unique() == 9
    context = Context(tmp_path, TINY, stop=lambda: True)
    with pytest.raises(Stopped):
        context.rows("y", cells, lambda cell, seed: [{"k": 1}])


def test_efforts_grow():
    assert list(EFFORTS) == ["quick", "default", "full"]
    widths = [effort.noiseless.width for effort in EFFORTS.values()]
    assert widths == sorted(widths, reverse=True)
    assert QUICK.recurrence.instances <= EFFORTS["full"].recurrence.instances


def test_a_reproduction_is_plain():
    empty = Reproduction((), "quick", 3)
    assert empty.findings == ()
    assert math.isclose(empty.seconds, 0.0)
