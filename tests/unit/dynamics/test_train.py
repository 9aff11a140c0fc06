"""`train` and `resume`: their arguments, the verdicts, and the fields of an orbit by small known cases."""

from __future__ import annotations

import numpy as np
import pytest

import sterling as st
from sterling.dynamics.learned import meaning
from sterling.dynamics.options import MAX_STEPS, Options, initial_latent
from sterling.dynamics.restart import as_restart
from tests.support import assert_same_orbit, go_slowly

ENGINES = ("event", "dense")


def test_a_restart_may_be_a_number(noisy):
    """As in a study's TOML; what is false means none."""
    every = st.train(noisy, 50, restart=20)
    assert every.restart == st.Restart(20)
    assert_same_orbit(every, st.train(noisy, 50, restart=st.Restart(20)))
    assert as_restart(300) == as_restart("3e2,0.05") == st.Restart()
    for nothing in (None, False, 0):
        assert Options(restart=nothing).restart is as_restart(nothing) is None
    for wrong in (True, "often", [300], -1, 2.5):
        with pytest.raises(st.InputError, match=r"restart is|every is"):
            st.train(noisy, 50, restart=wrong)


@pytest.mark.parametrize(
    "name, values",
    [
        ("steps", (0, -1, MAX_STEPS + 1)),
        ("surrogate", ("zebra",)),
        ("engine", ("fast",)),
        ("checkpoint", (3, "nowhere/run", ".", "x" * 300)),
        ("record", (("flip",), "all", ["flips", "states"])),
        ("threads", (0, -1)),
        ("cache_bytes", (np.inf, np.nan, -1)),
        ("checkpoint_every", (0, -5, np.nan)),
    ],
)
def test_wrong_values_are_refused(noisy, name, values):
    for value in values:
        with pytest.raises(st.InputError, match=name):
            st.train(noisy, **{"steps": 10, name: value})


@pytest.mark.parametrize(
    "init, message",
    [
        (np.zeros(7), r"init must have shape \(8,\) for n=8, not \(7,\)"),
        ([0.1] * 7 + [np.nan], "init must be finite; NaN is at weight 7"),
        (True, "init is True"),
        (np.ma.masked_less(np.linspace(-1, 1, 8), 0), "init must have no masked values"),
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
    one, again = np.random.default_rng(5), np.random.default_rng(5)
    first, second = (st.train(noisy, 50, init=one) for _ in range(2))  # a generator goes on
    assert_same_orbit(first, st.train(noisy, 50, init=again))
    assert (first.start_latent != second.start_latent).all()
    assert initial_latent(20_000, 0).std() == pytest.approx(1 / np.sqrt(20_000), rel=0.025)  # 5σ


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


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("known", (True, False))
def test_trapped(engine, known):
    """Absorbed with some risk left. Without a teacher the trap is the reference too, and still a trap."""
    instance = st.Instance([[1.0], [-1.0]], [1.5, 0.0], teacher=[-1] if known else None)
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
    instance = st.Instance(inputs, labels, teacher=[1, -1])
    orbit = st.train(instance, 50, init=[0.5, 0.5], engine=engine)
    assert orbit.errors == 1
    assert orbit.verdict is st.Verdict.OPTIMAL


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


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.filterwarnings("ignore::sterling.SterlingWarning")
def test_stalled_where_a_latent_and_its_gradient_are_zero(engine):
    inputs = np.array([[1.0, 2.0, 0.0], [2.0, -1.0, 0.0], [1.0, 1.0, 0.0], [-1.0, 2.0, 0.0]])
    instance = st.Instance(inputs, np.zeros(4), constant="keep")
    start = np.array([0.5, 5.0, 0.0])
    orbit = st.train(instance, 50, st.Table([0.01, 0.0]), init=start, engine=engine)
    assert orbit._course.gradient[2] == 0 < orbit._course.gradient.max()
    assert (orbit.verdict, orbit.certified) == (st.Verdict.STALLED, True)


@pytest.mark.filterwarnings("ignore::sterling.SterlingWarning")
def test_what_a_checkpoint_certifies_holds(monkeypatch, tmp_path):
    """A checkpoint in the middle of a resumed run must not judge by what an earlier flip had needed."""
    instance = st.Problem(n=4, samples=400).draw(0)
    schedule = st.Table([0.1] * 100 + [0.0])
    start = -instance.teacher * np.array([1.2, 1.4, 1.6, 1.8])
    first = st.train(instance, 1, schedule, init=start)
    assert not first.certified  # the first flip needs 6 of a mass of 10, the others little more
    go_slowly(monkeypatch)
    kept = []
    monkeypatch.setattr(st.Orbit, "save", lambda orbit, path: kept.append(orbit))
    whole = st.resume(first, instance, 200, checkpoint=tmp_path / "kept", checkpoint_every=1e-9)
    assert whole.stats.events >= 4
    for orbit in kept:
        if orbit.certified:
            assert orbit.verdict is whole.verdict
            np.testing.assert_array_equal(orbit.signs, whole.signs)


def test_damped_momentum_is_not_certified_before_it_overshoots():
    """After two steps every velocity points outwards, and still weights turn again later."""
    instance = st.Problem(n=4, samples=2000, noise=0.5).draw(0)
    options = {
        "schedule": st.Constant(0.3 / st.theory.signal(instance)),
        "init": -0.3 * instance.teacher,
        "optimizer": st.SGD(momentum=0.95, damping=0.1),
        "engine": "dense",
    }
    early = st.train(instance, 2, **options)
    assert (early.verdict, early.certified) == (st.Verdict.OPTIMAL, False)
    trapped = st.train(st.Problem(n=8, samples=4096, levels=3).draw(0), 999, optimizer="adam", batch=16)
    assert meaning(trapped).startswith("At rest elsewhere, not certified: the gradient turns no weight, but")
    assert len(st.resume(early, instance, 60).flips) > len(early.flips)
