"""Both engines against the definition: the naive loop of `naive.py`, flip for flip.

The loop takes inputs, labels, readout and the first latents from the instance and nothing else. Where a tie
could make floats ambiguous, the data are chosen so that every number of the run is exact in float64.
"""

from __future__ import annotations

from contextlib import nullcontext

import numpy as np
import pytest

import sterling as st
from sterling.dynamics.options import initial_latent
from tests.oracle import naive
from tests.support import PIECEWISE, SMOOTH, assert_agrees, label, make_schedule

SCHEDULES = (
    ("constant", 0.3),
    ("power", 0.5, 0.5),
    ("power", 0.7, 0.75),
    ("power", 2.0, 1.5),
    ("power", 0.01, -0.25),
    ("table", (0.5, 0.1, 0.25, 0.03125)),
    ("table", (1.0, 0.0, 0.7, 0.2, 0.0)),
)


def run_both(instance, schedule, steps, surrogate="relu", init=0, engine="event", tolerance=1e-10, **options):
    """Run an engine and the loop from the same start, and compare."""
    with nullcontext() if _meets_terms(schedule) else pytest.warns(st.SterlingWarning):
        orbit = st.train(
            instance,
            steps,
            make_schedule(schedule),
            surrogate,
            init,
            engine,
            **options,
        )
    latent = initial_latent(instance.n, init)
    run = naive.simulate(
        instance.inputs,
        instance.labels,
        instance.readout,
        latent,
        naive.rates_of(schedule, steps),
        surrogate,
        instance.teacher,
    )
    assert_agrees(orbit, run, tolerance=tolerance)
    norm2 = float(instance.readout @ instance.readout)
    told = orbit.verdict.name.replace("CHATTERING", "WANDERING")  # the two differ by a test of statistics
    assert told == run.verdict(make_schedule(schedule).remaining_mass(steps) / norm2)
    return orbit, run


def _meets_terms(schedule):
    return not make_schedule(schedule).conditions()


# ---------------------------------------------------------------- every surrogate through every schedule


@pytest.mark.parametrize("noise", (0.0, 0.5), ids=("clean", "noisy"))
@pytest.mark.parametrize("schedule", SCHEDULES, ids=label)
@pytest.mark.parametrize("surrogate", PIECEWISE)
def test_surrogates_and_schedules(surrogate, schedule, noise):
    """A wrong threshold, rate or mass moves a flip by a step or more."""
    instance = st.Problem(n=10, samples=48, m=2, noise=noise).draw(7)
    run_both(instance, schedule, 500, surrogate, init=3)


@pytest.mark.parametrize("schedule", SCHEDULES, ids=label)
@pytest.mark.parametrize("surrogate", PIECEWISE)
def test_dense_engine(surrogate, schedule):
    """The dense engine is the definition; a slip here would be copied by every comparison with it."""
    instance = st.Problem(n=9, samples=40, m=3, noise=0.4, readout="signs").draw(1)
    run_both(instance, schedule, 100, surrogate, init=5, engine="dense")


@pytest.mark.parametrize("schedule", (("constant", 0.3), ("power", 0.5, 0.5)), ids=label)
@pytest.mark.parametrize("surrogate", SMOOTH)
def test_smooth_surrogates(surrogate, schedule):
    """Derivatives of smooth surrogates lie on the grid 2^-20, so latents agree to about 1e-6."""
    instance = st.Problem(n=12, samples=60, m=2, noise=0.3, readout="gaussian").draw(2)
    run_both(instance, schedule, 150, surrogate, init=1, engine="dense", tolerance=2e-5)


# ----------------------------------------------------------------------------------------- shapes

SHAPES = (
    # n, m, N, noise, readout, inputs, surrogate, schedule, seed of an eventful draw
    (1, 1, 1, 0.0, "ones", "gaussian", "relu", ("constant", 0.5), 6),
    (1, 1, 7, 1.5, "ones", "gaussian", "identity", ("power", 1.0, 0.5), 2),
    (2, 1, 5, 0.8, "ones", "rademacher", "hard_tanh", ("power", 0.5, 0.5), 5),
    (2, 8, 3, 1.0, "gaussian", "exponential", "relu", ("power", 0.9, 0.3), 2),
    (5, 5, 12, 0.0, "ones", "ar1:0.9", "identity", ("power", 0.5, 0.5), 5),
    (8, 8, 25, 0.3, "ones", "gaussian", "clipped_relu", ("constant", 1.0), 1),
    (15, 6, 16, 0.5, "gaussian", "uniform", "hard_tanh", ("power", 2.0, 0.5), 0),
    (32, 1, 400, 0.5, "ones", "gaussian", "relu", ("table", (1.0, 0.5, 0.05)), 0),
    (65, 3, 90, 0.0, "signs", "gaussian", "identity", ("constant", 0.5), 0),
    (100, 8, 40, 0.5, "gaussian", "uniform", "relu", ("power", 0.5, 0.5), 0),
    (128, 1, 600, 0.4, "ones", "gaussian", "relu", ("power", 0.5, 0.5), 0),
    (129, 2, 200, 0.5, "signs", "student_t:8", "identity", ("power", 1.0, 0.7), 0),
    (300, 8, 30, 0.5, "gaussian", "gaussian", "hard_tanh", ("power", 0.5, 0.5), 0),
)


def _shape_id(shape):
    n, m, samples, noise, readout, inputs, surrogate, schedule, *_ = shape
    return f"n{n}-m{m}-N{samples}-{noise:g}-{readout}-{inputs}-{surrogate}-{label(schedule)}"


@pytest.mark.parametrize("shape", SHAPES, ids=_shape_id)
def test_shapes(shape):
    """Vector tails, padding, several units a sample and words of packed signs all depend on the shape."""
    n, m, samples, noise, readout, inputs, surrogate, schedule, seed = shape
    steps = 500
    instance = st.Problem(n, samples, m, noise, readout, inputs).draw(seed)
    orbit, _ = run_both(instance, schedule, steps, surrogate, init=11)
    assert orbit.stats.events >= (steps // 4 if n > 9 else 1)


def test_long_runs():
    """Ten thousand steps, as the issue asks: errors that add up show here."""
    for instance, schedule, surrogate in (
        (st.Problem(40, 30, 3, 0.5, "signs").draw(3), ("power", 0.3, 0.4), "hard_tanh"),
        (st.Problem(6, 30, 2, 0.8, inputs="rademacher").draw(3), ("table", (0.9, 0.3, 0.1, 0.02)), "relu"),
    ):
        orbit, _ = run_both(instance, schedule, 10_000, surrogate, init=2)
        assert orbit.stats.events > 100


def test_more_units_than_rows_in_a_chunk():
    """A sample is never cut in two, even if its units fill more than one chunk of rows."""
    instance = st.Problem(n=3, samples=3, m=2100, noise=20.0, readout="signs").draw(0)
    orbit, _ = run_both(instance, ("power", 2.0, 0.5), 400, init=1)
    assert orbit.stats.events > 10


# -------------------------------------------------------------------------------------- exact ties


def _dyadic_start(n, seed):
    """Latents on the grid 2^-6, some of them zero: with dyadic gradients, latents then hit zero exactly."""
    return np.random.default_rng(seed).integers(-12, 13, n) / 64


@pytest.mark.parametrize("engine", ("event", "dense"))
@pytest.mark.parametrize("surrogate", PIECEWISE)
@pytest.mark.parametrize("n", (9, 16))
def test_ties_of_preactivations_and_thresholds(n, surrogate, engine):
    """Entries ±1 and n a square: pre-activations are 0 and ±√n exactly, the ends of every window."""
    instance = st.Problem(n=n, samples=32, m=2, noise=0.5, inputs="rademacher").draw(n)
    a = np.abs(instance.inputs @ np.ones(n))
    assert (a == np.sqrt(n)).any()
    assert n % 2 or (a == 0).any()
    run_both(instance, ("constant", 0.25), 600 if engine == "event" else 100, surrogate, 1, engine)


@pytest.mark.parametrize("engine", ("event", "dense"))
@pytest.mark.parametrize(
    "schedule", (("constant", 0.5), ("table", (1.0, 0.25, 0.5)), ("table", (1.0, 0.5, 0.0))), ids=label
)
@pytest.mark.parametrize("surrogate", PIECEWISE)
def test_latents_that_hit_zero(surrogate, schedule, engine):
    """Everything is dyadic, so no rounding happens and sign(0) = +1 decides again and again."""
    instance = st.Problem(n=8, samples=16, m=2, inputs="rademacher", noise=1.0).draw(6)
    labels = np.rint(instance.labels * 2) / 2
    instance = st.Instance(instance.inputs, labels, teacher=instance.teacher)
    start = _dyadic_start(8, 0)
    assert (start == 0).any()
    _, run = run_both(
        instance, schedule, 600 if engine == "event" else 120, surrogate, start, engine, tolerance=0
    )
    if schedule[-1] != (1.0, 0.5, 0.0):  # that one soon stands still
        u, zeros = start.copy(), 0
        for t in range(100):
            _, g = naive.loss_and_gradient(
                instance.inputs, instance.labels, instance.readout, run.states[t], surrogate
            )
            u = u - run.rates[t] * g
            zeros += (u == 0).sum()
        assert zeros > 0


@pytest.mark.parametrize("engine", ("event", "dense"))
def test_a_latent_that_comes_to_rest_at_zero(engine):
    """u reaches exactly 0, which counts as +1, when the steps are over: it does not flip, now or ever."""
    inputs = np.array([[1.0], [1.0], [1.0], [-1.0]])
    instance = st.Instance(inputs, [0.0, 0.0, 1.0, 0.0])  # G(+1) = 1/2
    assert instance.gradient([1]).tolist() == [0.5]
    orbit, _ = run_both(
        instance, ("table", (0.5, 0.0)), 2000 if engine == "event" else 50, init=[0.25], engine=engine
    )
    assert orbit.latent.tolist() == [0.0]
    assert orbit.verdict is st.Verdict.STALLED or orbit.verdict is st.Verdict.WANDERING
    orbit, _ = run_both(instance, ("constant", 0.5), 50, init=[0.25], engine=engine)
    assert orbit.flips["step"][0] == 2  # at step 1 the latent is 0, at step 2 it is −1/4


# ---------------------------------------------------------------------------------- arrays of users


def _regression(seed, samples, n, m=1):
    rng = np.random.default_rng(seed)
    inputs = rng.standard_normal((samples, m, n))
    hidden = np.sign(rng.standard_normal(n))
    labels = ((inputs @ hidden) > 0).sum(axis=1) + 0.4 * rng.standard_normal(samples)
    return rng, inputs, labels


@pytest.mark.parametrize("surrogate", PIECEWISE)
@pytest.mark.parametrize("precision", ("int16", "int32"))
@pytest.mark.parametrize("engine", ("event", "dense"))
def test_features_of_odd_scales_and_offsets(engine, precision, surrogate):
    """Each feature has a grid of its own: shifts and offsets enter pre-activations and sums alike."""
    _, inputs, labels = _regression(0, 60, 7, 2)
    inputs = inputs * np.array([1.0, 0.01, 3.7, 25.0, 1.0, 0.3, 7.0]) + np.array(
        [0, 0.02, -9, 40, 0.1, 0, 300.0]
    )
    inputs[:, :, 5] = np.rint(inputs[:, :, 5] * 8) / 8
    inputs -= inputs.mean(axis=(0, 1))
    inputs[:, :, 3] += 31.5
    labels = np.rint(labels * 16) / 16
    instance = st.Instance(inputs, labels, readout=[1.0, -0.5], precision=precision)
    assert np.abs(instance.inputs - inputs).max() > 0
    assert instance.grid.offsets.any()
    assert len(set(instance.grid.shifts)) > 2
    run_both(instance, ("power", 0.5, 0.5), 600 if engine == "event" else 100, surrogate, 4, engine)


def test_columns_of_very_different_ranges():
    """Shifts of twenty bits and more need 64-bit pre-activations."""
    _, inputs, labels = _regression(1, 80, 5)
    inputs = inputs * np.array([1e-3, 1.0, 1e3, 1.0, 2e3])
    instance = st.Instance(inputs, labels)
    assert instance.grid.shifts.max() >= 20
    assert 3 * instance.preactivation_bound >= 1 << 31
    for surrogate in PIECEWISE:
        run_both(instance, ("power", 0.5, 0.5), 500, surrogate, init=4)


@pytest.mark.parametrize("scale", (1e-8, 1e9))
def test_data_of_any_scale(scale):
    """Relu and identity do not care about the unit of the inputs; nor may the grid."""
    _, inputs, labels = _regression(5, 40, 6)
    instance = st.Instance(inputs * scale, labels)
    assert instance.rounding.inputs.max() <= 2.0**-15 * np.ptp(inputs) * scale
    for surrogate in PIECEWISE:
        run_both(instance, ("power", 0.5 / scale, 0.5), 200, surrogate, init=4)


@pytest.mark.parametrize("samples", (6, 400))
def test_real_labels_and_readout(samples):
    """Neither labels nor readout lie on a coarse grid here, yet both engines must follow the loop."""
    rng, inputs, _ = _regression(6, samples, 5, 2)
    labels = rng.standard_normal(samples) * 0.777
    instance = st.Instance(inputs, labels, readout=[0.7123, -0.311])
    np.testing.assert_allclose(instance.labels, labels, atol=2.0**-12 * np.abs(labels).max())
    np.testing.assert_allclose(instance.readout, [0.7123, -0.311], atol=2.0**-12)
    run_both(instance, ("power", 0.5, 0.5), 1000, init=4)
    run_both(instance, ("power", 0.5, 0.5), 100, init=4, engine="dense")


# ------------------------------------------------------------------------------------- no teacher


@pytest.mark.parametrize("engine", ("event", "dense"))
@pytest.mark.parametrize("noise", (0.0, 0.6), ids=("clean", "noisy"))
@pytest.mark.parametrize("n,samples", ((3, 12), (11, 50)))
def test_without_a_teacher(n, samples, noise, engine):
    """The reference is then the first state of lowest risk, and every count is about it."""
    drawn = st.Problem(n=n, samples=samples, m=2, noise=noise, readout="signs").draw(n)
    instance = st.Instance(drawn.inputs, drawn.labels, drawn.readout)
    assert instance.teacher is None
    for seed in range(3):
        run_both(instance, ("power", 1.0, 0.5), 600 if engine == "event" else 100, init=seed, engine=engine)


@pytest.mark.parametrize("steps", (1, 2, 17))
def test_runs_that_end_anywhere(steps):
    """The last weights w_T count for the errors and as a reference, but not as an iterate."""
    drawn = st.Problem(n=5, samples=10, noise=0.8).draw(3)
    free = st.Instance(drawn.inputs, drawn.labels)
    for seed in range(6):
        run_both(drawn, ("constant", 0.9), steps, init=seed)
        run_both(free, ("constant", 0.9), steps, init=seed)
