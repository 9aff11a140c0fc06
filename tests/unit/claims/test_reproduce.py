"""Measuring the claims on tiny budgets: findings, reuse, breaks, damaged files, independence of threads."""

import os
import signal
import threading

import pytest
from matplotlib.figure import Figure
from polars.testing import assert_frame_equal

import sterling as st
from sterling.claims import proofs
from sterling.claims.catalogue import CLAIMS
from sterling.claims.experiments import (
    concentration,
    constants,
    fresh_data,
    input_distributions,
    levels,
    optimisers,
    restart,
    returns,
    step_sizes,
    threshold,
    visits,
)
from sterling.claims.finding import Finding, Judgement
from sterling.claims.reproduce import reproduce
from sterling.claims.scaling import ScalingBudget
from sterling.report.figures import identifier

QUIET = ScalingBudget(n=(4, 8), width=3.0, steps=(300,), max_trials=300)
TINY = {
    "P1": QUIET,
    "P2": visits.VisitsBudget(
        QUIET, ScalingBudget(n=(4, 6), width=3.0, steps=(500,), max_trials=300, noise=0.5)
    ),
    "P3": returns.ReturnsBudget(
        places=((8, 200),),
        steps=20_000,
        instances=3,
        proofs=proofs.ProofsBudget(
            places=((5, 300),), instances=2, starts=1, steps=500, schedules=("constant:0.5",)
        ),
    ),
    "P4": step_sizes.StepSizeBudget(
        n=8,
        factors=(0.3, 0.6, 1.0, 2.0),
        schedules={
            2_000: ("constant:0.1", "constant:1", "power:0.1,0.5", "power:1,0.5"),
            3_000: ("power:5,1",),
        },
        trials=12,
        exact_n=6,
        exact_trials=4,
        starts=1,
    ),
    "P5": input_distributions.InputBudget(
        n=8,
        factors=(4.0,),
        trials=6,
        steps=1_000,
        families=("gaussian", "shifted:1"),
        shapes=("gaussian", "rectified"),
        crossed=4,
        crossed_steps=1_000,
    ),
    "concentration": concentration.ConcentrationBudget(n=(4, 5), samples=(50, 200), instances=2),
    "constants": constants.ConstantsBudget({3: 3, 4: 3}, ((4, 300),), checked=2, steps=500, factor=30),
    "online": fresh_data.FreshDataBudget(n=4, samples=20, trials=2, steps=1_500),
    "levels": levels.LevelsBudget(n=12, samples=36, instances=2, steps=200),
    "optimisers": optimisers.OptimisersBudget(
        n=8,
        samples=200,
        instances=2,
        steps=500,
        methods=("SGD, full batch", "Adam, batch 32", "sign, full batch"),
    ),
    "restart": restart.RestartBudget(n=(8, 32), trials=20, ratios=(1.0, 2.0, 4.0), steps=1_500),
    "threshold": threshold.ThresholdBudget(
        n=16,
        instances=2,
        damped={"n": (4, 8), "samples": {"c": [2, 6, 18], "a": 1.28}, "steps": 500, "trials": 8},
        plain={"n": (4, 6), "samples": {"c": [0.05, 0.4, 3], "a": 3}, "steps": 500, "trials": 8},
        settings={"relu": {"surrogate": "relu", "samples": {"c": [4], "a": 1}, "steps": 500}},
    ),
}


@pytest.fixture(scope="module", autouse=True)
def quick_law():
    """The law of damped runs takes longer than all the runs here; the tests of theory try it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threshold, "samples_for_last", lambda problem, damping: 20.0 * problem.n)
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("claims")
    seen = []
    result = reproduce(folder, effort="quick", budgets=TINY, threads=1, on_finding=seen.append)
    return folder, result, seen


def test_every_claim_has_a_finding_in_order(done):
    _, result, seen = done
    assert [finding.key for finding in result.findings] == list(CLAIMS)
    assert [len(one.findings) for one in seen] == list(range(1, len(CLAIMS) + 1))
    assert (result.effort, result.seed, result.version) == ("quick", 2026, st.__version__)


def test_findings_can_be_shown(done):
    _, result, _ = done
    titles = []
    for finding in result.findings:
        assert isinstance(finding.judgement, Judgement)
        assert finding.headline is not None
        assert finding.tables
        assert "Not decided otherwise" in finding.rule
        for text in (finding.experiment, finding.reason, finding.rule, *finding.notes):
            assert text.endswith((".", "!"))
            assert "nan" not in text
            assert not set("{}") & set(text)  # a sentence in which a number was to stand
        for picture in finding.pictures:
            titles.append((finding.key, identifier(picture.title)))
            figure = Figure()
            reading = picture.draw(figure.add_subplot())
            assert reading.endswith(".")
            figure.canvas.draw()
    assert len(set(titles)) == len(titles) >= len(CLAIMS)


def test_a_second_call_runs_nothing_and_finds_the_same(done, monkeypatch):
    folder, result, _ = done

    def refuse(*_arguments, **_named):
        raise AssertionError("a trial was run again")

    monkeypatch.setattr("sterling.study.trial.run_trial", refuse)
    monkeypatch.setattr("sterling.dynamics.run.Run.go", refuse)
    monkeypatch.setattr("sterling.landscapes.landscape.sweep", refuse)
    again = reproduce(folder, effort="quick", budgets=TINY, threads=2)
    for one, other in zip(result.findings, again.findings, strict=True):
        same(one, other)


def same(one: Finding, other: Finding):
    """Assert that two findings agree in all but the time that they took."""
    assert one.measured == other.measured or repr(one.measured) == repr(other.measured)
    for name in ("key", "judgement", "reason", "notes", "experiment", "rule"):
        assert getattr(one, name) == getattr(other, name)
    for name, table in one.tables.items():
        left, right = (
            frame.select(c for c in frame.columns if c != "seconds") for frame in (table, other.tables[name])
        )
        assert_frame_equal(left, right, check_row_order="trial" not in table.columns)


@pytest.mark.parametrize("key", ["P3", "concentration"])
def test_threads_change_no_number(done, key, tmp_path):
    _, result, _ = done
    same(result[key], reproduce(tmp_path, budgets=TINY, threads=2, only=[key])[key])


def test_ctrl_c_keeps_what_there_is_and_the_next_call_goes_on(done, tmp_path):
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("signals reach the main thread only")
    (_, result, _), key, seen = done, "concentration", []

    def press(progress):
        seen.append(progress)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt) as stop:
        reproduce(tmp_path, budgets=TINY, threads=1, only=["restart", key], progress=press)
    assert len(stop.value.reproduction.findings) < 2
    assert seen[0].total == 2
    same(result[key], reproduce(tmp_path, budgets=TINY, threads=1, only=[key])[key])


@pytest.mark.parametrize("arguments", [{"effort": "fast"}, {"only": ["P7"]}, {"only": []}, {"seed": -1}])
def test_wrong_arguments_are_refused(arguments, tmp_path):
    with pytest.raises(st.InputError):
        reproduce(tmp_path, **arguments)
