"""Runs of more than two levels equal a plain float64 loop step by step, and count what the loop counts."""

from __future__ import annotations

import numpy as np
import pytest

import sterling as st
from tests.oracle.naive import rates_of, slope
from tests.support import assert_same_orbit

_STEPS = 250


def nearest(latent, count, spacing):
    """Return levels of latents: the nearest multiple of the spacing, counted from the middle."""
    index = np.clip(np.floor(latent / spacing + count / 2), 0, count - 1)
    return (2 * index - (count - 1)) / (1 + count % 2)


def gradient_at(inputs, labels, readout, levels, surrogate, rows):
    """Return G at w = levels/√n over some samples."""
    n = inputs.shape[2]
    z, y = inputs[rows], labels[rows]
    a = z @ levels
    residual = (a > 0) @ readout - y
    return np.einsum("i,j,ij,ijk->k", residual, readout, slope(surrogate, a, n), z) / len(rows)


def loop(instance, count, latent, rates, surrogate, *, momentum, decay, back, clip, batch):
    """Return latents and levels of all steps, (T + 1, n)."""
    n = instance.n
    spacing, step = 3 / (count * np.sqrt(n)), 2 - count % 2
    scale = 1 / np.sum(instance.readout**2)
    limit = np.inf if clip is None else clip
    u = np.clip(latent, -limit, limit)
    velocity, b = np.zeros(n), nearest(u, count, spacing)
    latents, levels = [u], [b]
    for t, rate in enumerate(rates):
        rows = np.arange(instance.samples) if batch is None else batch(t)
        given = instance.inputs, instance.labels, instance.readout
        g = gradient_at(*given, b, surrogate, rows) + back * (u - b * spacing / step)
        velocity = momentum * velocity + g
        u = np.clip((1 - rate * scale * decay) * u - rate * scale * velocity, -limit, limit)
        b = nearest(u, count, spacing)
        latents.append(u)
        levels.append(b)
    return np.array(latents), np.array(levels)


CASES = {
    "plain": {},
    "momentum": {"momentum": 0.9},
    "decay": {"decay": 0.3},
    "damping": {"damping": 0.1},
    "all": {"momentum": 0.5, "decay": 0.2, "damping": 0.1, "clip": 0.6},
}


@pytest.mark.parametrize("count", [3, 16])
@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("size", [None, 7])
def test_a_run_equals_the_plain_loop(count, name, size):
    options, seed = CASES[name], count + 100 * len(name)
    # Of 16 levels w is so long that few pre-activations lie in the window of hard tanh.
    surrogate = ["relu", "identity", "hard_tanh"][seed % (2 if count == 16 else 3)]
    problem = st.Problem(n=9, samples=60, m=1 + count % 2, noise=0.5, levels=count)
    instance = problem.draw(seed)
    optimizer = st.SGD(**options)
    schedule = ("power", 0.4, 0.5) if not optimizer.damping else ("constant", 0.3)
    given = st.Power(*schedule[1:]) if schedule[0] == "power" else st.Constant(schedule[1])
    batch = None if size is None else st.Batch(size, replace=True)
    settings = {"init": seed, "optimizer": optimizer, "batch": batch, "seed": 5}
    orbit = st.train(instance, _STEPS, given, surrogate, **settings)
    assert orbit.engine == "step"
    assert_same_orbit(orbit, st.train(instance, _STEPS, given, surrogate, engine="dense", **settings))
    rows = None
    if batch is not None:
        from sterling.dynamics.options import Options
        from sterling.dynamics.steps import Batches

        rows = Batches(Options(batch=batch, seed=5), instance.samples).at
    back = optimizer.damping * orbit._course.options.signal / (1.5 / (count * 3))
    latents, levels = loop(
        instance,
        count,
        orbit.start_latent,
        rates_of(schedule, _STEPS),
        surrogate,
        momentum=optimizer.momentum,
        decay=optimizer.decay,
        back=back,
        clip=optimizer.clip,
        batch=rows,
    )
    found = np.repeat(orbit.start_signs[None].astype(float), _STEPS + 1, axis=0)
    for flip in orbit.flips:
        found[flip["step"] :, flip["coordinate"]] = flip["sign"]
    np.testing.assert_array_equal(found, levels)
    np.testing.assert_allclose(orbit.latent, latents[-1], rtol=0, atol=1e-12)
    check_counts(orbit, levels, rates_of(schedule, _STEPS))
    assert len(orbit.flips) > 20
    half = st.train(instance, _STEPS // 3, given, surrogate, **settings)
    whole = st.resume(half, instance, _STEPS - _STEPS // 3)
    assert whole.latent.tobytes() == orbit.latent.tobytes()
    assert np.array_equal(whole.flips, orbit.flips)
    assert whole.wrong_share.tobytes() == orbit.wrong_share.tobytes()


def check_counts(orbit, levels, rates):
    """Check all that an orbit counts against the levels of all steps."""
    iterates, home = levels[:-1], orbit.reference
    wrong = iterates != home
    np.testing.assert_allclose(orbit.wrong_share, wrong.mean(axis=0), rtol=1e-12)
    there = ~wrong.any(axis=1)
    assert orbit.occupancy == there.mean()
    begins = there & ~np.concatenate([[False], there[:-1]])
    assert orbit.visits == begins.sum()
    average = rates @ iterates / rates.sum()
    np.testing.assert_allclose(orbit.ergodic_mean, average / np.sqrt(orbit.n), rtol=0, atol=1e-12)
    values = np.array(sorted(set(np.unique(levels)) | set(home.tolist())))
    nearest_level = values[np.abs(average[:, None] - values).argmin(axis=1)]
    far = np.abs(np.abs(average - nearest_level) - 0.5 * (2 - orbit._quantiser.count % 2)) > 1e-9
    inside = (average >= values[0]) & (average <= values[-1])
    assert np.array_equal(orbit.ergodic_signs[far & inside], nearest_level[far & inside])
    assert orbit.errors == np.count_nonzero(levels[-1] != home)
    at = np.arange(len(levels))
    assert orbit.distance(at).tolist() == (levels != home).sum(axis=1).tolist()


@pytest.mark.parametrize("batch", [None, 7, st.Batch(2000, replace=True)])
@pytest.mark.parametrize("m", [1, 2])
def test_without_a_teacher_the_best_state_is_the_reference(batch, m):
    drawn = st.Problem(n=8, samples=50, m=m, noise=0.5, levels=3).draw(4)
    instance = st.Instance(drawn.inputs, drawn.labels, drawn.readout, levels=3)
    orbit = st.train(instance, 400, init=2, batch=batch)
    assert_same_orbit(orbit, st.train(instance, 400, init=2, batch=batch, engine="dense"))
    levels = np.repeat(orbit.start_signs[None].astype(int), 401, axis=0)
    for flip in orbit.flips:
        levels[flip["step"] :, flip["coordinate"]] = flip["sign"]
    losses = [instance.loss(row) for row in levels]
    assert instance.loss(orbit.reference) == min(losses)
    assert orbit.first_hit == int(np.argmin(losses))
    np.testing.assert_allclose(orbit.wrong_share, (levels[:-1] != orbit.reference).mean(axis=0), rtol=1e-12)
