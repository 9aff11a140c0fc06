"""`train` and `resume`: their arguments, the verdicts, and the fields of an orbit by small known cases."""

from __future__ import annotations

import dataclasses
import json
import signal
import warnings

import numpy as np
import pytest

import sterling as st
from sterling.dynamics import run as module
from sterling.dynamics.train import MAX_STEPS, initial_latent
from tests.support import SMOOTH, assert_same_orbit

ENGINES = ("event", "dense")


@pytest.fixture(scope="module")
def noisy():
    return st.Problem(n=8, samples=60, m=2, noise=0.5).draw(0)


@pytest.fixture(scope="module")
def clean():
    return st.Problem(n=8, samples=200).draw(0)


# ---------------------------------------------------------------------------------------- arguments


@pytest.mark.parametrize("steps", (0, -1, MAX_STEPS + 1, 10**30))
def test_steps_out_of_range(noisy, steps):
    with pytest.raises(
        st.InputError, match=f"steps is {steps:,}; it must lie between 1 and 1,000,000,000,000"
    ):
        st.train(noisy, steps)


@pytest.mark.parametrize("steps", (1.5, 1e6, "100", None, True, [5], np.float64(10)))
def test_steps_that_are_no_integers(noisy, steps):
    with pytest.raises(st.InputError, match=r"steps is .*; it must be an integer"):
        st.train(noisy, steps)


def test_steps_of_any_integer_type(noisy):
    assert st.train(noisy, np.int32(7)).steps == 7
    assert st.train(noisy, 1).steps == 1


@pytest.mark.parametrize(
    "name, hint",
    [("rleu", "relu"), ("hard-tanh", "hard_tanh"), ("Sigmoid", "sigmoid"), ("clip_relu", "clipped_relu")],
)
def test_unknown_surrogates_suggest_the_nearest(noisy, name, hint):
    with pytest.raises(
        st.InputError, match=f"unknown surrogate '{name}'; known: relu, .*Did you mean '{hint}'"
    ):
        st.train(noisy, 10, surrogate=name)


@pytest.mark.parametrize("surrogate", ("zebra", "", None, 3, ["relu"]))
def test_what_is_no_surrogate(noisy, surrogate):
    with pytest.raises(st.InputError, match="unknown surrogate"):
        st.train(noisy, 10, surrogate=surrogate)


@pytest.mark.parametrize("engine", ("fast", "", None, "Event", 1))
def test_unknown_engines(noisy, engine):
    with pytest.raises(st.InputError, match=r"engine is .*; it must be one of auto, event, dense"):
        st.train(noisy, 10, engine=engine)


@pytest.mark.parametrize("surrogate", SMOOTH)
def test_smooth_surrogates_need_the_dense_engine(noisy, surrogate):
    with pytest.raises(
        st.InputError, match=f'piecewise-constant surrogate, and {surrogate} is smooth: .*"dense"'
    ):
        st.train(noisy, 10, surrogate=surrogate, engine="event")
    assert st.train(noisy, 10, surrogate=surrogate).engine == "dense"
    assert st.train(noisy, 10).engine == "event"


@pytest.mark.parametrize("schedule", (0.5, "power:0.5,0.5", [0.5], st.Power))
def test_what_is_no_schedule(noisy, schedule):
    with pytest.raises(st.InputError, match=r"schedule is .*; give Constant\(rate\)"):
        st.train(noisy, 10, schedule)


def test_the_default_schedule(noisy):
    assert_same_orbit(st.train(noisy, 200), st.train(noisy, 200, st.Power(0.5, 0.5)))


@pytest.mark.parametrize("instance", (None, "data.npz", np.ones((3, 3)), st.Problem(n=3, samples=3)))
def test_what_is_no_instance(instance):
    with pytest.raises(st.InputError, match=f"the first argument is a {type(instance).__name__}"):
        st.train(instance, 10)


@pytest.mark.parametrize(
    "init, message",
    [
        (np.zeros(7), r"init has shape \(7,\); n=8 needs \(8,\)"),
        (np.zeros((1, 8)), r"init has shape \(1, 8\)"),
        (0.5, r"init has shape \(\)"),
        ([0.1] * 7 + [np.nan], "init holds a value that is not finite, at 7"),
        ([0.1, -np.inf] + [0.1] * 6, "not finite, at 1"),
        (True, "init is True"),
        ("0", "init is '0'"),
        (None, "init is None"),
        ([1j] * 8, "init is"),
        ([[1], [2, 3]], "init"),
        (-1, "-1"),
    ],
)
def test_bad_starts(noisy, init, message):
    with pytest.raises(st.InputError, match=message):
        st.train(noisy, 10, init=init)


def test_starts(noisy):
    """A seed of any kind, or latents, which the run must not change."""
    latent = np.linspace(-1, 1, 8)
    kept = latent.copy()
    one = st.train(noisy, 50, init=latent)
    np.testing.assert_array_equal(latent, kept)
    assert_same_orbit(one, st.train(noisy, 50, init=latent.tolist()))
    assert_same_orbit(st.train(noisy, 50, init=3), st.train(noisy, 50, init=np.int64(3)))
    assert_same_orbit(st.train(noisy, 50, init=3), st.train(noisy, 50, init=np.random.SeedSequence(3)))
    assert st.train(noisy, 1, init=np.arange(8) - 4).start_signs.tolist() == [-1] * 4 + [1] * 4
    assert (initial_latent(8, 3) != initial_latent(8, 4)).all()
    assert initial_latent(20_000, 0).std() == pytest.approx(1 / np.sqrt(20_000), rel=0.025)  # 5σ


@pytest.mark.parametrize("record", (("flip",), "all", ["flips", "states"], (1,)))
def test_unknown_records(noisy, record):
    with pytest.raises(st.InputError, match=r"cannot record .*; known are flips"):
        st.train(noisy, 10, record=record)


@pytest.mark.parametrize("record", (None, 5, True))
def test_records_that_are_no_names(noisy, record):
    with pytest.raises(st.InputError, match="record"):
        st.train(noisy, 10, record=record)


@pytest.mark.parametrize("engine", ENGINES)
def test_without_recording(noisy, engine):
    """Nothing else changes, and asking for flips says how to get them."""
    bare, full = (st.train(noisy, 150, record=record, engine=engine) for record in ((), "flips"))
    assert not bare.recorded
    assert bare.stats.events == full.stats.events > 0
    np.testing.assert_array_equal(bare.latent, full.latent)
    np.testing.assert_array_equal(bare.return_times, full.return_times)
    for ask in (lambda: bare.flips, lambda: bare.distance([0])):
        with pytest.raises(st.InputError, match=r'flips were not recorded: run with record=\("flips",\)'):
            ask()


@pytest.mark.parametrize("threads", (0, -1, 1.5, "2", True))
def test_bad_threads(noisy, threads):
    with pytest.raises(st.InputError, match=f"threads is {threads!r}; it must be a positive integer"):
        st.train(noisy, 10, threads=threads)


def test_a_masked_start(noisy):
    with pytest.raises(st.InputError, match="init has masked values"):
        st.train(noisy, 10, init=np.ma.masked_less(np.linspace(-1, 1, 8), 0))


@pytest.mark.parametrize("path", (None, 3))
def test_saving_to_what_is_no_path(noisy, path):
    with pytest.raises(st.InputError, match="give a path"):
        st.train(noisy, 10).save(path)


@pytest.mark.parametrize("every", (0, -5, float("nan"), "a", None, True))
def test_bad_checkpoint_times(noisy, every):
    with pytest.raises(st.InputError, match=r"checkpoint_every is .*; it must be a positive number"):
        st.train(noisy, 10, checkpoint_every=every)


@pytest.mark.parametrize("surrogate", ("relu", "swish_sign"))
@pytest.mark.parametrize("schedule", (st.Constant(1e308), st.Constant(1e306), st.Power(1e300, -8)))
def test_rates_that_would_leave_the_range_of_floats(noisy, schedule, surrogate):
    with pytest.raises(st.InputError, match="latents beyond the range of floats within 100 steps"):
        st.train(noisy, 100, schedule, surrogate)


@pytest.mark.parametrize("engine", ("event", "dense"))
def test_a_huge_rate_may_be_as_long_as_all_stays_finite(noisy, engine, tmp_path):
    orbit = st.train(noisy, 1000, st.Constant(1e300), engine=engine)
    assert np.isfinite(orbit.latent).all()
    assert not orbit.certified
    orbit.save(tmp_path / "run")
    back = st.Orbit.load(tmp_path / "run")
    assert_same_orbit(back, orbit)
    with pytest.raises(st.InputError, match="beyond the range of floats"):
        st.resume(back, noisy, steps=10**9)


@pytest.mark.parametrize(
    "name, words",
    [(3, "give a path"), ("nowhere/run", "no folder"), (".", "a folder"), ("x" * 300, "too long")],
)
def test_bad_checkpoints(noisy, name, words):
    """Before the run, not after it."""
    with pytest.raises(st.InputError, match=f"checkpoint is .*{words}"):
        st.train(noisy, 10, checkpoint=name)


@pytest.mark.parametrize(
    "schedule, words",
    [
        (st.Power(0.5, 1.5), ["summable"]),
        (st.Power(0.5, -0.5), ["not bounded"]),
        (st.Table([1.0, 0.0]), ["summable", "decay slowly"]),
    ],
    ids=repr,
)
def test_failing_schedules_are_warned_of(noisy, schedule, words):
    """Each failing term of the theorem gets a warning of its own, at the caller's line."""
    with pytest.warns(st.SterlingWarning) as caught:
        st.train(noisy, 10, schedule)
    assert len(caught) == len(words)
    for warning, word in zip(caught, words, strict=True):
        assert word in str(warning.message)
        assert warning.filename == __file__


@pytest.mark.parametrize(
    "schedule", (st.Power(0.5, 0.5), st.Constant(1.0), st.Power(1.0, 1.0), st.Table([2.0, 0.1]))
)
def test_good_schedules_are_not(noisy, schedule):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        st.train(noisy, 10, schedule)


# ----------------------------------------------------------------------------------------- verdicts


@pytest.mark.parametrize("engine", ENGINES)
def test_optimal(clean, engine):
    orbit = st.train(clean, 500, engine=engine)
    assert orbit.verdict is st.Verdict.OPTIMAL
    assert orbit.certified
    assert orbit.errors == orbit.ergodic_errors == 0
    assert orbit.visits == 1
    assert orbit.return_times.size == orbit.sojourn_times.size == 0


@pytest.mark.parametrize("engine", ENGINES)
def test_optimal_by_zero_risk_without_a_teacher(clean, engine):
    """Nobody says what the best weights are, but nothing can be better than no risk at all."""
    free = st.Instance.from_arrays(clean.inputs, clean.labels)
    orbit = st.train(free, 500, engine=engine)
    assert orbit.verdict is st.Verdict.OPTIMAL
    assert orbit.reference_kind == "lowest risk seen"
    np.testing.assert_array_equal(orbit.reference, clean.teacher)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("known", (True, False))
def test_trapped(engine, known):
    """Absorbed with some risk left. Without a teacher the trap is the reference too, and still a trap."""
    inputs, labels = np.array([[1.0], [-1.0]]), [0.25, 0.5]  # real labels: neither state fits
    instance = st.Instance.from_arrays(inputs, labels, teacher=[1] if known else None)
    assert instance.gradient([-1], "relu")[0] == -0.25
    orbit = st.train(instance, 100, init=[-0.5], engine=engine)
    assert instance.gradient([1], "relu")[0] > 0
    if not orbit.absorbed:
        labels = [1.5, 0.0]
        instance = st.Instance.from_arrays(inputs, labels, teacher=[-1] if known else None)
        orbit = st.train(instance, 100, init=[0.5], engine=engine)
    assert orbit.verdict is st.Verdict.TRAPPED
    assert orbit.certified
    assert instance.loss(orbit.signs) > 0
    assert orbit.errors == (1 if known else 0)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_zero_risk_state_other_than_the_teacher_is_optimal(engine):
    """Two states may fit the data; nobody can tell them apart, so neither is a trap."""
    inputs = np.array([[1.0, 0.25], [2.0, -0.5], [-1.0, 0.125]])
    labels = [1.0, 1.0, 0.0]  # the sign of the first weight decides alone
    instance = st.Instance.from_arrays(inputs, labels, teacher=[1, -1])
    orbit = st.train(instance, 50, init=[0.5, 0.5], engine=engine)
    assert orbit.errors == 1
    assert orbit.verdict is st.Verdict.OPTIMAL


@pytest.mark.parametrize("engine", ENGINES)
def test_recurrent_and_wandering(noisy, engine):
    orbit = st.train(noisy, 400, st.Constant(0.5), engine=engine)
    assert orbit.verdict is st.Verdict.RECURRENT
    assert orbit.visits >= 2
    assert not orbit.certified
    early = st.train(noisy, 2, st.Constant(0.01), init=-0.3 * noisy.teacher, engine=engine)
    assert early.verdict is st.Verdict.WANDERING
    assert early.visits == 0
    assert early.first_hit is None
    assert early.occupancy == 0


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.filterwarnings("ignore::sterling.SterlingWarning")
def test_stalled(noisy, engine):
    """The steps left, for ever, weigh less than the next flip needs; that too is a proof."""
    start = -0.3 * noisy.teacher
    for schedule in (st.Power(0.05, 2.0), st.Table([0.1, 0.0]), st.Table([0.0]), st.Power(1e-6, 1.01)):
        orbit = st.train(noisy, 50, schedule, init=start, engine=engine)
        assert orbit.verdict is st.Verdict.STALLED
        assert orbit.certified
    for schedule in (st.Power(50.0, 1.001), st.Table([*[0.0] * 60, 1e6, 0.0])):
        orbit = st.train(noisy, 50, schedule, init=start * 1e3, engine=engine)
        assert orbit.verdict is st.Verdict.WANDERING
        assert not orbit.certified


@pytest.mark.filterwarnings("ignore::sterling.SterlingWarning")
def test_stalled_after_a_resume_is_judged_anew(noisy):
    """A run that went on must not be judged by what its last flip, long past, had needed."""
    schedule = st.Table([0.5] * 40 + [0.0])
    start = -0.3 * noisy.teacher
    whole = st.train(noisy, 60, schedule, init=start)
    for cut in range(1, 60):
        part = st.train(noisy, cut, schedule, init=start)
        assert part.verdict is not st.Verdict.STALLED or part.signs.tolist() == whole.signs.tolist()
        assert_same_orbit(st.resume(part, noisy, steps=60 - cut), whole)


@pytest.mark.filterwarnings("ignore::sterling.SterlingWarning")
def test_what_a_checkpoint_certifies_holds(monkeypatch):
    """A checkpoint in the middle of a resumed run must not judge by what an earlier flip had needed."""
    instance = st.Problem(n=4, samples=400).draw(0)
    schedule = st.Table([0.1] * 100 + [0.0])
    start = -instance.teacher * np.array([1.2, 1.4, 1.6, 1.8])
    first = st.train(instance, 1, schedule, init=start)
    assert not first.certified  # the first flip needs 6 of a mass of 10, the others little more
    go_slowly(monkeypatch)
    kept = []
    monkeypatch.setattr("sterling.dynamics.train._save", lambda path, orbit: kept.append(orbit))
    whole = st.resume(first, instance, 200, checkpoint="kept", checkpoint_every=1e-9)
    assert whole.stats.events >= 4
    for orbit in kept:
        if orbit.certified:
            assert orbit.verdict is whole.verdict
            np.testing.assert_array_equal(orbit.signs, whole.signs)


def test_verdicts_speak():
    """The text of a verdict says what it means and what to try; its name is what tables show."""
    assert {str(verdict) for verdict in st.Verdict} == {
        "OPTIMAL",
        "TRAPPED",
        "RECURRENT",
        "WANDERING",
        "STALLED",
    }
    for verdict in st.Verdict:
        assert len(verdict.value) > 40
        assert repr(verdict) == f"Verdict.{verdict.name}"


# ---------------------------------------------------------------------------------- the orbit's fields


@pytest.mark.parametrize("engine", ENGINES)
def test_distance(noisy, engine):
    """Errors at any step, from the recorded flips, between and beyond them."""
    orbit = st.train(noisy, 150, engine=engine)
    signs = orbit.start_signs.copy()
    expected = []
    flips = orbit.flips.tolist()
    for t in range(151):
        for step, k, sign in flips:
            if step == t:
                signs[k] = sign
        expected.append(int((signs != noisy.teacher).sum()))
    assert orbit.distance(np.arange(151)).tolist() == expected
    assert orbit.distance(150) == orbit.errors
    assert orbit.distance(np.array([], int)).size == 0
    assert orbit.distance(np.array([[0, 1], [149, 150]])).shape == (2, 2)


@pytest.mark.parametrize("at", (-1, 151, [0, 200], [5, -3]))
def test_distance_outside_the_run(noisy, at):
    with pytest.raises(st.InputError, match=r"distance\(\) knows steps 0 to 150"):
        st.train(noisy, 150).distance(at)


@pytest.mark.parametrize("at", (0.5, [1.0], "3", None))
def test_distance_at_no_integers(noisy, at):
    with pytest.raises(st.InputError, match="must be integers"):
        st.train(noisy, 150).distance(at)


@pytest.mark.parametrize("engine", ENGINES)
def test_one_step(noisy, engine):
    """T = 1: one iterate, w_0, and the averages are its own."""
    orbit = st.train(noisy, 1, engine=engine)
    assert orbit.occupancy in (0, 1)
    np.testing.assert_allclose(orbit.ergodic_mean, orbit.start_signs / np.sqrt(8), rtol=1e-15)
    assert set(orbit.wrong_share) <= {0, 1}
    expected = initial_latent(8, 0) - 0.5 / 2 * noisy.gradient(orbit.start_signs)
    np.testing.assert_allclose(orbit.latent, expected, rtol=1e-14)


@pytest.mark.filterwarnings("ignore::sterling.SterlingWarning")
@pytest.mark.parametrize("engine", ENGINES)
def test_a_run_without_mass(noisy, engine):
    """All rates zero: nothing moves, and the mean over no mass is where the run stands."""
    orbit = st.train(noisy, 20, st.Table([0.0]), engine=engine)
    np.testing.assert_array_equal(orbit.ergodic_mean, orbit.start_signs / np.sqrt(8))
    np.testing.assert_array_equal(orbit.latent, initial_latent(8, 0))
    assert orbit.occupancy in (0, 1)


def test_ergodic_mean_and_wrong_share_are_shares(noisy):
    orbit = st.train(noisy, 100_000, st.Constant(0.3))
    assert np.all(np.abs(orbit.ergodic_mean) <= 1 / np.sqrt(8))
    assert np.all((orbit.wrong_share >= 0) & (orbit.wrong_share <= 1))
    # a constant rate weighs every step alike, so the two averages tell the same story
    expected = (1 - 2 * orbit.wrong_share) * noisy.teacher / np.sqrt(8)
    np.testing.assert_allclose(orbit.ergodic_mean, expected, atol=1e-12)
    assert orbit.occupancy <= 1 - orbit.wrong_share.max()
    assert orbit.return_times.sum() + orbit.sojourn_times.sum() <= orbit.steps
    assert len(orbit.return_times) == orbit.visits - 1


def test_descriptions(noisy):
    """A short repr, a table for notebooks, and a plain dictionary that JSON takes."""
    orbit = st.train(noisy, 1000)
    assert repr(orbit).startswith("Orbit(RECURRENT so far, n=8, steps=1,000, errors=")
    assert len(repr(orbit)) < 160
    assert "<table>" in orbit._repr_html_()
    plain = json.loads(json.dumps(orbit.to_dict()))
    assert plain["verdict"] == "RECURRENT"
    assert plain["stats"]["events"] == orbit.stats.events
    assert plain["occupancy"] == orbit.occupancy
    assert dict(orbit.summary())["steps"] == "1,000"


@pytest.mark.parametrize("name", ("reference", "signs", "latent", "flips", "return_times"))
def test_what_belongs_to_an_orbit_cannot_be_changed(noisy, tmp_path, name):
    orbit = st.train(noisy, 100)
    orbit.save(tmp_path / "run")
    for one in (orbit, st.Orbit.load(tmp_path / "run"), st.resume(orbit, noisy, steps=10)):
        with pytest.raises(ValueError, match="read-only"):
            getattr(one, name)[:] = 0


def test_the_distance_at_no_steps(noisy):
    found = st.train(noisy, 100).distance([])
    assert found.shape == (0,)
    assert found.dtype == np.int64


def test_stats_as_plain_values(noisy):
    orbit = st.train(noisy, 100)
    assert orbit.stats.to_dict() == orbit.to_dict()["stats"]
    assert orbit.stats.to_dict()["events"] == orbit.stats.events


def test_a_surrogate_of_ones_own(noisy):
    """Its run could be saved, but not loaded."""
    own = dataclasses.replace(st.SURROGATES["sigmoid"], name="mine")
    with pytest.raises(st.InputError, match=r"none of sterling's surrogates.*take one of relu"):
        st.train(noisy, 10, surrogate=own)
    assert st.train(noisy, 10, surrogate=st.SURROGATES["sigmoid"]).surrogate == "sigmoid"


# ------------------------------------------------------------------------------------------- bounds


def test_the_bound_on_recorded_flips(noisy, monkeypatch):
    """Past it the run goes on unrecorded: the record is whole up to the step that it names."""
    full = st.train(noisy, 200_000, st.Constant(0.5))
    assert full.flips_complete_to == full.steps
    monkeypatch.setattr(module, "FLIP_BOUND", 70_000)
    cut = st.train(noisy, 200_000, st.Constant(0.5))
    assert cut.stats.flips == full.stats.flips > 150_000
    assert 70_000 <= len(cut.flips) < 70_000 + 2 * module._FLIP_BUFFER
    last = cut.flips_complete_to
    assert last < 200_000
    np.testing.assert_array_equal(cut.flips, full.flips[full.flips["step"] <= last])
    np.testing.assert_array_equal(cut.latent, full.latent)
    assert cut.distance(last) == full.distance(last)
    with pytest.raises(st.InputError, match="the recorded part of the run"):
        cut.distance(200_000)
    more = st.resume(cut, noisy, steps=1000)
    assert more.flips_complete_to == last
    np.testing.assert_array_equal(more.flips, cut.flips)


def test_the_bound_on_return_times(noisy, monkeypatch):
    """Likewise for return and sojourn times; the counts themselves go on."""
    full = st.train(noisy, 200_000, st.Constant(0.5))
    monkeypatch.setattr(module, "TIME_BOUND", 5000)
    monkeypatch.setattr(module, "_TIME_BUFFER", 1000)
    cut = st.train(noisy, 200_000, st.Constant(0.5))
    assert len(full.return_times) > 10_000
    assert 5000 <= len(cut.return_times) <= 7001
    kept = len(cut.return_times) - 1
    np.testing.assert_array_equal(cut.return_times[:kept], full.return_times[:kept])
    assert cut.visits == full.visits
    assert cut.occupancy == full.occupancy


def test_bounds_do_not_depend_on_the_clock(noisy, monkeypatch):
    """How much was kept must not depend on how fast the machine was between two looks at the clock."""
    monkeypatch.setattr(module, "FLIP_BOUND", 3000)
    monkeypatch.setattr(module, "TIME_BOUND", 500)
    one = st.train(noisy, 20_000, st.Constant(0.5))
    go_slowly(monkeypatch)
    assert_same_orbit(st.train(noisy, 20_000, st.Constant(0.5)), one)


@pytest.mark.parametrize("buffers", ((1, 1), (2, 3), (1000, 7)))
def test_small_buffers(noisy, monkeypatch, buffers):
    """Buffers fill up and are emptied in the middle of a run, without losing or doubling anything."""
    expected = st.train(noisy, 3000, st.Constant(0.5))
    dense = st.train(noisy, 300, st.Constant(0.5), engine="dense")
    monkeypatch.setattr(module, "_FLIP_BUFFER", buffers[0])
    monkeypatch.setattr(module, "_TIME_BUFFER", buffers[1])
    assert_same_orbit(st.train(noisy, 3000, st.Constant(0.5)), expected)
    assert_same_orbit(st.train(noisy, 300, st.Constant(0.5), engine="dense"), dense)


# ------------------------------------------------------------------------------- resume, interruption


def go_slowly(monkeypatch, budget=1):
    """Let the loop look up after every bit of work, whatever the clock says."""

    def start(self, planned, step):
        self.planned, self.first, self.budget = planned, step, budget
        self.begun = self.mark = 0.0
        self._rate, self._last = None, (0.0, step)

    monkeypatch.setattr(module._Pace, "__init__", start)
    monkeypatch.setattr(module._Pace, "tick", lambda self, step: True)


class Press:
    """A display that presses Ctrl-C at the look given by its number, counted from 0."""

    def __init__(self, when):
        self.when, self.looks = when, -1

    def __call__(self, progress):
        self.looks += 1
        if self.looks == self.when:
            signal.raise_signal(signal.SIGINT)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("when", (0, 1, 2, 10))
def test_interrupted(noisy, monkeypatch, engine, when, tmp_path):
    """Ctrl-C returns what there is, at any moment, also before the first step is known; resume goes on."""
    whole = st.train(noisy, 100, engine=engine)
    go_slowly(monkeypatch)
    orbit = st.train(noisy, 100, engine=engine, progress=Press(when), checkpoint=tmp_path / "run")
    assert orbit.interrupted
    assert 0 <= orbit.steps < 100
    assert orbit.planned == 100
    assert 0 <= orbit.occupancy <= 1
    assert np.all((orbit.wrong_share >= 0) & (orbit.wrong_share <= 1))
    assert np.all(np.isfinite(orbit.ergodic_mean))
    assert "interrupted" in dict(orbit.summary())["steps"]
    assert orbit.verdict in (st.Verdict.WANDERING, st.Verdict.RECURRENT)
    loaded = st.Orbit.load(tmp_path / "run")
    assert_same_orbit(loaded, orbit)
    for part in (orbit, loaded):
        resumed = st.resume(part, noisy)
        assert not resumed.interrupted
        assert_same_orbit(resumed, whole)


def test_the_handler_is_put_back(noisy, monkeypatch):
    """After a run, Ctrl-C does what it did before."""
    before = signal.getsignal(signal.SIGINT)
    go_slowly(monkeypatch)
    st.train(noisy, 100, progress=Press(0))
    assert signal.getsignal(signal.SIGINT) is before


def test_a_second_press_acts_at_once(noisy, monkeypatch):
    go_slowly(monkeypatch)

    def twice(progress):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        st.train(noisy, 100, progress=twice)


def test_a_failing_display_stops_the_run(noisy, monkeypatch):
    """Its error reaches the caller; helper threads and the signal handler are put away."""
    before = signal.getsignal(signal.SIGINT)
    go_slowly(monkeypatch)

    def fail(progress):
        raise RuntimeError("no terminal")

    with pytest.raises(RuntimeError, match="no terminal"):
        st.train(noisy, 100, progress=fail)
    assert signal.getsignal(signal.SIGINT) is before


def test_resume_asks_for_steps(noisy):
    orbit = st.train(noisy, 10)
    with pytest.raises(st.InputError, match="the run has all of its 10 steps: say how many more"):
        st.resume(orbit, noisy)
    for steps in (0, -1, 1.5, True):
        with pytest.raises(st.InputError, match="steps is"):
            st.resume(orbit, noisy, steps=steps)
    with pytest.raises(st.InputError, match="at most 1,000,000,000,000 are possible"):
        st.resume(orbit, noisy, steps=MAX_STEPS)


def test_resume_knows_its_instance(noisy, clean):
    orbit = st.train(noisy, 10)
    with pytest.raises(st.CheckpointError, match=r"belongs to another instance .*60 samples.*200 samples"):
        st.resume(orbit, clean, steps=10)
    with pytest.raises(st.InputError, match=r"the first argument is a str|instance"):
        st.resume(orbit, "noisy", steps=10)


@pytest.mark.parametrize("orbit", ("run.orbit", None))
def test_resume_knows_its_orbit(noisy, orbit):
    with pytest.raises(st.InputError, match=r"[Oo]rbit"):
        st.resume(orbit, noisy, steps=10)


def test_resume_takes_an_equal_instance(noisy):
    """The data count, not the object, nor where they came from."""
    orbit = st.train(noisy, 10)
    again = st.Problem(n=8, samples=60, m=2, noise=0.5).draw(0)
    assert_same_orbit(st.resume(orbit, again, steps=10), st.train(noisy, 20))


# --------------------------------------------------------------------------------------- progress


def test_progress(noisy, monkeypatch):
    """What displays are shown is consistent, goes forward, and ends with the result."""
    go_slowly(monkeypatch)
    seen = []
    orbit = st.train(noisy, 300, progress=seen.append)
    assert len(seen) > 10
    steps = [progress.step for progress in seen]
    assert steps == sorted(steps)
    assert steps[-1] == seen[-1].steps == 300
    assert seen[-1].events == orbit.stats.events
    assert seen[-1].distance == orbit.errors
    for progress in seen:
        assert 0 <= progress.occupancy <= 1
        assert 0 <= progress.distance <= 8
    assert seen[-1].verdict is orbit.verdict


@pytest.mark.parametrize("engine", ENGINES)
def test_the_last_progress_tells_the_verdict(clean, engine):
    seen = []
    orbit = st.train(clean, 300, engine=engine, progress=seen.append)
    assert seen[-1].verdict is orbit.verdict is st.Verdict.OPTIMAL
