"""The criterion trap_free: trials that search their landscapes, and stores written before there was one."""

import io
from hashlib import blake2b

import polars as pl
import pytest

import sterling as st
from sterling.states import sweep
from sterling.states.landscape import trap_free
from sterling.study import Cell, Store, Study, fit_store, run
from sterling.study.ledger import Ledger
from sterling.study.schema import frame_of
from sterling.study.trial import COLUMNS, Cancelled, run_batch, run_trial, trial_seed, warm_up

STUDY = Study(n=[5, 6], samples=[4, 8, 30], trials=12, steps=300, criteria=["trap_free", "optimal"], seed=2)
PLAIN = Study(n=[5, 6], samples=[4, 8, 30], trials=12, steps=300, seed=2)


def row_of(cell, number, root=2):
    return dict(zip(COLUMNS, run_trial(cell, number, root), strict=True))


@pytest.mark.parametrize("surrogate", ["relu", "identity", "hard_tanh"])
@pytest.mark.parametrize("threads", [1, 2])
def test_the_early_end_answers_as_the_whole_landscape_does(surrogate, threads):
    answers = []
    for seed in range(12):
        instance = st.Problem(8, 6 + seed, 1 + seed % 2, 0.1 * (seed % 3)).draw(seed)
        answers.append(trap_free(instance, surrogate, threads=threads))
        assert answers[-1] == st.landscape(instance, surrogate).trap_free
    assert {True, False} == set(answers)


def test_it_ends_at_the_first_trap(monkeypatch):
    seen = []
    instance = st.Problem(n=18, samples=4).draw(0)
    assert not trap_free(instance, threads=1, progress=seen.append)
    assert seen[-1].done < seen[-1].total == 1 << 18
    assert sweep._Visit(instance, st.SURROGATES["relu"], None, home=0).kept == 0


@pytest.mark.parametrize(
    "instance, surrogate, words",
    [
        (st.Problem(n=25, samples=3).draw(0), "relu", "n may be at most 24"),
        (st.Problem(n=4, samples=30).draw(0), "sigmoid", "sigmoid is smooth"),
        (st.Instance([[1.0, -1.0], [0.5, 2.0]], [0, 1]), "relu", "no teacher"),
    ],
)
def test_what_has_no_answer_is_refused(instance, surrogate, words):
    with pytest.raises(st.InputError, match=words):
        trap_free(instance, surrogate)


def test_a_trial_says_what_the_landscape_of_its_data_says():
    answers = []
    for cell in STUDY.cells:
        for number in range(6):
            row = row_of(cell, number)
            instance = cell.problem.draw(trial_seed(2, cell, number))
            assert row["trap_free"] == st.landscape(instance).trap_free
            assert row["landscape"]
            if row["verdict"] == "TRAPPED":
                assert not row["trap_free"]
            answers.append((row["verdict"], row["trap_free"]))
    assert {("OPTIMAL", True), ("OPTIMAL", False), ("TRAPPED", False)} <= set(answers)


def test_a_run_that_was_caught_has_answered_already(monkeypatch):
    cell = STUDY.cells[0]
    caught = next(k for k in range(50) if row_of(cell, k)["verdict"] == "TRAPPED")

    def refuse(*arguments, **more):
        raise AssertionError("the landscape was visited")

    monkeypatch.setattr("sterling.states.landscape.trap_free", refuse)
    assert row_of(cell, caught)["trap_free"] is False


def test_a_plain_trial_visits_nothing_and_keeps_its_name():
    plain, searching = PLAIN.cells[0], STUDY.cells[0]
    assert row_of(plain, 0)["trap_free"] is None
    assert plain.key != searching.key
    assert Cell.from_content(searching.content) == searching
    assert Cell.from_content(plain.content) == plain
    # Named by the version before the landscape was a part of cells.
    assert Study(n=8, samples=50, steps=1000).cells[0].key == "e0a5b62b1e9d8e000143cef0"


def test_a_visit_is_given_up_on_request():
    asked = []

    def stop():
        asked.append(1)
        return len(asked) > 2

    cell = Cell(st.Problem(n=20, samples=100), st.Power(0.5, 0.5), "relu", 10, True)
    with pytest.raises(Cancelled):
        run_trial(cell, 0, 0, stop)


def test_warming_up_visits_few_states(monkeypatch):
    seen = []
    monkeypatch.setattr("sterling.states.landscape.trap_free", lambda one, *_, **__: seen.append(one.n))
    warm_up([Cell(st.Problem(n=24, samples=100), st.Power(0.5, 0.5), "relu", 10, True)])
    assert seen
    assert max(seen) < 8


@pytest.mark.parametrize(
    "arguments, words",
    [
        ({"n": [8, 25], "samples": 9}, "n may be at most 24: leave out n = 25"),
        ({"n": 8, "samples": 9, "surrogate": ["relu", "sigmoid"]}, "sigmoid is smooth"),
    ],
)
def test_a_study_that_cannot_be_searched_is_refused_at_once(arguments, words):
    with pytest.raises(st.InputError, match=words):
        Study(**arguments, criteria=["optimal", "trap_free"])
    assert not Study(**arguments).landscape


def test_a_study_counts_trap_free_data_sets(tmp_path):
    outcome = run(STUDY, tmp_path / "s", threads=2)
    assert (outcome.reason, outcome.new) == ("complete", 72)
    store = Store(tmp_path / "s")
    assert store.study == STUDY
    counts, optimal = store.counts("trap_free"), store.counts("optimal")
    assert counts["undecided"].sum() == 0
    for n in (5, 6):
        shares = counts.filter(pl.col("n") == n)["successes"].to_list()
        assert shares[0] < 6 < shares[-1]
    # Where no state can catch a run, none is caught.
    assert (counts["successes"] <= optimal["successes"] + optimal["undecided"]).all()
    (fit,) = fit_store(store, "trap_free")
    assert fit.criterion == "trap_free"
    assert "landscape" not in fit.title


def test_a_landscape_costs_work():
    """Adaptive placement must know that a visit grows as 2ⁿ."""
    cell = STUDY.cells[2]
    ledger = Ledger(STUDY.criteria)
    ledger.record(frame_of(run_batch(cell, [0, 1, 2], 2)))
    searched = ledger.tally(cell, 3, STUDY.criteria[0]).work
    frame = frame_of(run_batch(cell, [0, 1, 2], 2)).with_columns(trap_free=pl.lit(None, pl.Boolean))
    other = Ledger(STUDY.criteria)
    other.record(frame)
    assert searched > other.tally(cell, 3, STUDY.criteria[0]).work
    assert other.tally(cell, 3, STUDY.criteria[0]).undecided == 3


def write_old_shard(store, rows):
    """Write rows as the version without landscapes did."""
    frame = frame_of(rows).drop("landscape", "trap_free")
    stream = io.BytesIO()
    frame.write_parquet(stream, metadata={"format": "sterling-study-1", "study": store.study.identity})
    digest = blake2b(stream.getvalue(), digest_size=16).hexdigest()
    path = store.folder / "trials" / f"trials-{len(frame)}-{digest}.parquet"
    path.write_bytes(stream.getvalue())
    return path


def test_a_store_written_before_is_read_and_continued(tmp_path):
    store = Store(tmp_path / "s", PLAIN)
    cell = PLAIN.cells[0]
    rows = run_batch(cell, list(range(4)), PLAIN.seed)
    path = write_old_shard(store, rows)
    read = store.trials()
    assert len(read) == 4
    assert not read["landscape"].any()
    assert read["trap_free"].is_null().all()
    assert run(PLAIN, store.folder, threads=1).new == 72 - 4
    assert not path.exists()  # merged with the new ones
    assert len(store.trials()) == 72
    with pytest.raises(st.InputError, match="put trap_free among the criteria"):
        fit_store(store, "trap_free")
    # The same study, now asked about landscapes: other trials, beside those that are there.
    assert run(STUDY, store.folder, threads=1).new == 72
    counts = Store(store.folder).counts("trap_free")
    assert (
        sorted(zip(counts["landscape"], counts["undecided"], strict=True))
        == [(False, 12)] * 6 + [(True, 0)] * 6
    )
