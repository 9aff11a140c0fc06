"""Rounds of a study: brackets, narrowing, determinism, and giving up with a reason."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sterling.study import Store, Study, fit, fit_store, likelihood, run, status
from sterling.study.place import Placement, Rounds
from sterling.study.spec import arguments


def share(n, size):
    return 1 / (1 + (1.7 * n**1.5 / size) ** (2 * (n / 8) ** 0.3))


def play(placement, curve=share, seed=0):
    """Run a placement against a known share of successes; return the tallies and the number of rounds."""
    rng = np.random.default_rng(seed)
    tallies, rounds = {}, 0
    while wish := placement.propose(tallies):
        rounds += 1
        for point, count in wish.items():
            trials, successes = tallies.get(point, (0, 0))
            more = max(0, count - trials)
            tallies[point] = trials + more, successes + int(rng.binomial(more, curve(*point)))
    return tallies, rounds


def test_the_target_width_is_reached():
    placement = Placement((8, 16, 32, 64), width=0.1)
    tallies, rounds = play(placement, seed=1)
    assert placement.reason == "width reached"
    assert placement.fit.width <= 0.1
    assert placement.fit.exponent_low < 1.5 < placement.fit.exponent_high
    assert rounds < 40
    assert sum(trials for trials, _ in tallies.values()) < 4000


@pytest.mark.parametrize("error", [1e-10, -1e-10])
def test_the_last_bits_of_a_fit_decide_nothing(monkeypatch, error):
    """They differ between machines: BLAS and the C library leave them open."""
    exact, _ = play(Placement((8, 16, 32), width=0.15))
    real = likelihood.maximise

    def other_machine(*arguments):
        found = real(*arguments)
        return replace(found, parameters=found.parameters * (1 + error), value=found.value * (1 + error))

    monkeypatch.setattr(fit, "maximise", other_machine)
    again, _ = play(Placement((8, 16, 32), width=0.15))
    assert again == exact


def test_most_trials_lie_where_success_is_nearest_one_half():
    tallies, _ = play(Placement((8, 16, 32, 64), width=0.08))
    totals = {
        n: sum(trials for (one, _), (trials, _) in tallies.items() if one == n) for n in (8, 16, 32, 64)
    }
    near = sum(trials for point, (trials, _) in tallies.items() if 0.3 < share(*point) < 0.7)
    assert near > 0.6 * sum(totals.values())
    assert min(totals.values()) > 0.03 * sum(totals.values())  # every dimension gets some


def test_listed_sample_sizes_are_kept_to():
    sizes = [10, 20, 40, 80, 160, 320, 640, 1280]
    tallies, _ = play(Placement((8, 16, 32), width=0.2, listed=lambda n: sizes))
    assert {size for _, size in tallies} <= set(sizes)


@pytest.mark.parametrize("always, word", [(0.0, "fail"), (1.0, "succeed")])
def test_without_a_threshold_it_ends_with_the_reason(always, word):
    placement = Placement((8, 16), width=0.1)
    play(placement, lambda n, size: always)
    assert placement.reason == "no threshold"
    assert f"at n = 8 most trials {word}" in placement.message


def test_the_trials_allowed_are_not_passed():
    placement = Placement((8, 16, 32, 64), width=0.01, max_trials=3000)
    tallies, _ = play(placement)
    assert placement.reason == "trials spent"
    assert sum(trials for trials, _ in tallies.values()) <= 3000


def test_a_jump_is_resolved():
    """Where success jumps between neighbouring sample sizes the study looks there, and ends in any case."""
    placement = Placement((8, 16, 32), width=0.2, max_trials=5000)
    play(placement, lambda n, size: float(size >= 2 * n))
    assert placement.reason in ("trials spent", "width reached")


class FakeKnown:
    """Knows some first trials of each cell, or as many as are asked for."""

    def __init__(self, known=None):
        self.known = known

    def tally(self, cell, count, criterion):
        trials = count if self.known is None else min(count, self.known.get(cell, 0))
        easier = 1 if str(criterion) == "optimal" else 2
        return trials, round(trials * share(cell.problem.n, easier * cell.problem.samples))


def test_criteria_side_by_side_go_by_complete_rounds_alone():
    """A study that was broken off knows more than it asks for, and takes the same way again."""
    study = Study(n=[8, 16, 32], criteria=["optimal", "visit"], width=0.3)
    first, steps = FakeKnown({}), []
    for wanted, _ in Rounds(study, first):
        steps.append(wanted)
        first.known = wanted
    assert [wanted for wanted, _ in Rounds(study, FakeKnown())] == steps


STUDY = Study(n=[6, 12], width=1.2, steps=1500, seed=2)


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    folder = tmp_path_factory.mktemp("adaptive") / "s"
    outcome = run(STUDY, folder, threads=1)
    assert outcome.reason == "width reached"
    return folder


def rows(folder):
    frame = Store(folder).trials().drop("seconds").with_columns(pl.col(pl.Categorical).cast(pl.String))
    return frame.sort("cell", "trial")


def test_the_way_does_not_depend_on_threads_or_breaks(done, tmp_path):
    folder = tmp_path / "broken"
    for limit in (0.1, 0.3):  # a restart plans its earlier rounds again, which takes time too
        run(Study(**arguments(STUDY.to_toml()) | {"time": limit}), folder, threads=2)
    run(STUDY, folder, threads=2)
    assert_frame_equal(rows(folder), rows(done))


def test_status_and_fit_of_an_adaptive_study(done):
    found = status(done)
    assert found.reached
    (series,) = found.fits
    assert series.fit.width == found.widest <= 1.2
    assert " of at most 200,000\n" in found.summary()
    assert "unfinished" in replace(found, widest=1.3).summary()
    assert series.placed
    assert any("within 1,500 steps" in note for note in series.notes)
    assert "extrapolated" in str(replace(series, cells=series.cells.with_columns(share=0.4)).notes)
    (other,) = fit_store(done, "ergodic")
    assert other.criterion == "ergodic"
    assert ("theorem", "α = 2 suffices without label noise") in other._rows()


def test_a_narrower_target_goes_on(done, tmp_path):
    before = len(rows(done))
    outcome = run(Study(**arguments(STUDY.to_toml()) | {"width": 0.9}), done)
    assert outcome.new > 0
    assert len(rows(done)) == before + outcome.new
