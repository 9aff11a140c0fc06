"""Adaptive placement: brackets, narrowing, determinism, and giving up with a reason."""

from dataclasses import replace

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from sterling.study import Store, Study, adaptive, fit, fit_store, likelihood, run, status
from sterling.study.adaptive import Placement
from sterling.study.ledger import Tally
from sterling.study.rounds import Rounds


def share(n, size):
    return 1 / (1 + (1.7 * n**1.5 / size) ** (2 * (n / 8) ** 0.3))


def play(placement, law=share, seed=0, cost=lambda n, size: 1.0):
    """Run a placement against a law of success; return the tallies and the number of rounds."""
    rng = np.random.default_rng(seed)
    tallies, rounds = {}, 0
    while wish := placement.propose(tallies):
        rounds += 1
        for (n, size), count in wish.items():
            old = tallies.get((n, size), Tally())
            more = max(0, count - old.trials)
            won = int(rng.binomial(more, law(n, size)))
            tallies[n, size] = Tally(old.trials + more, old.successes + won, 0, cost(n, size))
    return tallies, rounds


def test_the_target_width_is_reached():
    placement = Placement((8, 16, 32, 64), width=0.1)
    tallies, rounds = play(placement, seed=1)
    assert placement.reason == "width reached"
    assert placement.fit is not None
    assert placement.fit.width <= 0.1
    assert placement.fit.exponent_low < 1.5 < placement.fit.exponent_high
    assert rounds < 40
    trials = sum(tally.trials for tally in tallies.values())
    assert trials < 4000


@pytest.mark.parametrize("error", [1e-10, -1e-10])
def test_the_last_bits_of_a_fit_decide_nothing(monkeypatch, error):
    """They differ between machines: BLAS and the C library leave them open."""
    exact, _ = play(Placement((8, 16, 32), width=0.15), cost=lambda n, size: float(n * size))
    real = likelihood.maximise

    def other_machine(*arguments):
        found = real(*arguments)
        return replace(found, parameters=found.parameters * (1 + error), value=found.value * (1 + error))

    for module in (adaptive, fit):
        monkeypatch.setattr(module, "maximise", other_machine)
    again, _ = play(Placement((8, 16, 32), width=0.15), cost=lambda n, size: float(n * size))
    assert again == exact


def test_what_a_fit_holds_for_is_said_with_it(tmp_path):
    study = Study(n=[6, 12], samples=[8, 16, 32, 64], trials=25, steps=800)
    run(study, tmp_path / "s")
    (one,) = fit_store(tmp_path / "s")
    assert one.budget == "within 800 steps"
    assert any("800 steps" in note for note in one.notes)
    assert not one.placed
    assert "93 %" not in " ".join(one.notes)


def test_dear_dimensions_get_fewer_trials():
    even, _ = play(Placement((8, 16, 32, 64), width=0.1))
    dear, _ = play(Placement((8, 16, 32, 64), width=0.1), cost=lambda n, size: float(n) ** 2)
    at_64 = [sum(t.trials for (n, _), t in tallies.items() if n == 64) for tallies in (even, dear)]
    assert at_64[1] < 0.7 * at_64[0]


def test_every_dimension_gets_its_share():
    tallies, _ = play(Placement((8, 16, 32, 64), width=0.08))
    totals = {n: sum(t.trials for (one, _), t in tallies.items() if one == n) for n in (8, 16, 32, 64)}
    assert min(totals.values()) > 0.03 * sum(totals.values())


def test_listed_sample_sizes_are_kept_to():
    sizes = [10, 20, 40, 80, 160, 320, 640, 1280]
    tallies, _ = play(Placement((8, 16, 32), width=0.2, listed=lambda n: sizes))
    assert {size for _, size in tallies} <= set(sizes)


def test_a_law_without_threshold_ends_with_the_reason():
    placement = Placement((8, 16), width=0.1)
    play(placement, law=lambda n, size: 0.0)
    assert placement.reason == "no threshold"
    assert "at n = 8 most trials fail even with" in placement.message
    placement = Placement((8, 16), width=0.1)
    play(placement, law=lambda n, size: 1.0)
    assert "most trials succeed even with 1 samples" in placement.message


def test_the_trials_allowed_are_not_passed():
    placement = Placement((8, 16, 32, 64), width=0.01, max_trials=3000)
    tallies, _ = play(placement)
    assert placement.reason == "trials spent"
    assert sum(tally.trials for tally in tallies.values()) <= 3000


def test_a_jump_is_resolved():
    """Where success jumps between neighbouring sample sizes the study looks there, and ends in any case."""
    placement = Placement((8, 16, 32), width=0.2, max_trials=5000)
    play(placement, law=lambda n, size: float(size >= 2 * n))
    assert placement.reason in ("trials spent", "width reached")


class Told:
    """A ledger that knows some first trials of each cell, or all there can be."""

    def __init__(self, known=None):
        self.known = known

    def tally(self, cell, count, criterion):
        trials = count if self.known is None else min(count, self.known.get(cell, 0))
        easier = 1 if str(criterion) == "optimal" else 2
        return Tally(trials, round(trials * share(cell.problem.n, easier * cell.problem.samples)), 0, 1.0)


def test_criteria_side_by_side_go_by_complete_rounds_alone():
    """So a study that is broken off, and then knows more than it asks for, takes the same way again."""
    study = Study(n=[8, 16, 32], criteria=["optimal", "visit"], width=0.3)
    first, steps = Told({}), []
    for wanted, _ in Rounds(study, first):
        steps.append(wanted)
        first.known = wanted
    assert [wanted for wanted, _ in Rounds(study, Told())] == steps


STUDY = Study(n=[6, 9, 14], width=0.8, steps=1500, seed=2)


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
    run(STUDY, tmp_path / "two", threads=2)
    assert_frame_equal(rows(tmp_path / "two"), rows(done))
    folder = tmp_path / "broken"
    for limit in (0.1, 0.2, 0.4, 0.8):  # a restart plans its earlier rounds again, which takes time too
        run(STUDY, folder, time_limit=limit)
    run(STUDY, folder)
    assert_frame_equal(rows(folder), rows(done))


def test_status_and_fit_of_an_adaptive_study(done):
    found = status(done)
    assert found.reached
    assert found.widest is not None
    assert found.widest <= 0.8
    assert found.work_left == 0
    assert "widest</th><td>0." in found._repr_html_()
    (series,) = fit_store(done)
    assert series.fit is not None
    assert series.fit.width == found.widest
    assert (series.left_out is not None) == (series.fit.undecided > 0)
    (other,) = fit_store(done, "certified")
    assert other.criterion == "certified"


def test_a_narrower_target_goes_on(done, tmp_path):
    before = len(rows(done))
    outcome = run(done, width=0.35)
    assert outcome.new > 0
    assert len(rows(done)) == before + outcome.new
